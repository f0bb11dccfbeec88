package fault

import (
	"strconv"
	"sync/atomic"

	"plumbline/harness/record"
)

// maxListed bounds how many actions of one fault are listed for one way of one
// connection; all are counted.
const maxListed = 10_000

// tally counts what a fault does and stamps each action into the recording.
type tally struct {
	name  string
	rec   *record.Recorder // nil: count only
	fired atomic.Uint64
}

// acting is an action with a tally.
type acting struct {
	*action
	tally *tally
}

var _ Counted = acting{}

// Fired implements Counted.
func (a acting) Fired() uint64 { return a.tally.fired.Load() }

// newActing makes a fault of two functions and the tally that they act by. The
// count starts anew at each injection.
func newActing(name string, rec *record.Recorder, make func(t *tally) (inject, revert func() error)) Counted {
	t := &tally{name: name, rec: rec}
	inject, revert := make(t)
	return acting{action: plain(name, func() error { t.fired.Store(0); return inject() }, revert), tally: t}
}

// scribe lists the actions of one fault in one place. It belongs to one
// goroutine.
type scribe struct {
	tally  *tally
	link   uint64 // 0: there are no connections
	way    string
	listed int
}

// act says that the fault did what to the n-th unit that it could choose.
func (s *scribe) act(n uint64, what string) {
	s.tally.fired.Add(1)
	switch s.listed++; {
	case s.tally.rec == nil || s.listed > maxListed+1:
		return
	case s.listed == maxListed+1:
		what = "more, counted but not listed"
	}
	e := record.Event{Kind: record.FaultAction, Subject: s.tally.name, Detail: what, Fields: map[string]string{"n": strconv.FormatUint(n, 10)}}
	if s.link != 0 {
		e.Fields["link"] = strconv.FormatUint(s.link, 10)
	}
	if s.way != "" {
		e.Fields["way"] = s.way
	}
	s.tally.rec.Event(e)
}
