package course

import (
	"fmt"
	"io"
	"os"
	"sync"
	"time"

	"plumbline/reports/events"
)

// queued is how many events wait for a slow reader before some are dropped: at one
// a second and a few for each scenario, some minutes of a run.
const queued = 1024

// Outlet writes events to a reader that may be slow, stand still or go away: what
// it does not take in time is dropped and counted, and the run goes on.
type Outlet struct {
	to    io.Writer
	warn  func(text string)
	limit time.Duration // see Close

	mu      sync.Mutex
	waiting []line
	dropped uint64 // since the last line that was taken
	lastSeq uint64 // of what was dropped last
	closed  bool

	wake, done chan struct{}
}

type line struct {
	seq  uint64
	text []byte
}

// NewOutlet starts to write to w. warn is told once when w fails; nothing is
// written then any more. The caller must Close it.
func NewOutlet(w io.Writer, warn func(text string)) *Outlet {
	o := &Outlet{to: w, warn: warn, limit: lastWords, wake: make(chan struct{}, 1), done: make(chan struct{})}
	if f, ok := w.(*os.File); ok {
		if info, err := f.Stat(); err == nil && info.Mode().IsRegular() {
			o.limit = patience
		}
	}
	go o.run()
	return o
}

// put queues a line, or counts it as dropped.
func (o *Outlet) put(seq uint64, text []byte) {
	if len(text) == 0 {
		return
	}
	o.mu.Lock()
	defer o.mu.Unlock()
	switch {
	case o.closed:
		return
	case len(o.waiting) >= queued:
		o.dropped++
		o.lastSeq = seq
		return
	case o.dropped > 0:
		o.waiting = append(o.waiting, o.gap())
	}
	o.waiting = append(o.waiting, line{seq, text})
	select {
	case o.wake <- struct{}{}:
	default: // awake already
	}
}

// gap is the line that stands for those that were dropped. It has the number of
// the last of them. The caller holds mu.
func (o *Outlet) gap() line {
	text, err := events.Encode(&events.Event{Time: time.Now().UTC(), Seq: o.lastSeq, Kind: events.Dropped, Dropped: o.dropped})
	if err != nil {
		text = nil // never: these are numbers
	}
	o.dropped = 0
	return line{o.lastSeq, text}
}

// take returns what waits; false when nothing ever will again.
func (o *Outlet) take() ([]line, bool) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.closed && o.dropped > 0 {
		o.waiting = append(o.waiting, o.gap())
	}
	all := o.waiting
	o.waiting = nil
	return all, !o.closed
}

func (o *Outlet) run() {
	defer close(o.done)
	var failed error
	for open := true; open; {
		<-o.wake
		var all []line
		for all, open = o.take(); len(all) > 0; all, open = o.take() {
			for _, l := range all {
				if failed != nil {
					break
				}
				if _, failed = o.to.Write(l.text); failed != nil {
					o.warn(fmt.Sprintf("the events are written no more: %v; the run goes on", failed))
				}
			}
		}
	}
}

// How long Close waits for a reader that stands still, and for a disk.
const (
	lastWords = 2 * time.Second
	patience  = time.Minute
)

// Close writes what waits and ends the writing. A reader that stands still is
// waited for at most two seconds, a file a minute: then its goroutine, which hangs in a write that
// nothing can end, is left behind for the end of the process. It may be called again.
func (o *Outlet) Close() {
	o.mu.Lock()
	o.closed = true
	o.mu.Unlock()
	select {
	case o.wake <- struct{}{}:
	default:
	}
	limit := time.NewTimer(o.limit)
	defer limit.Stop()
	select {
	case <-o.done:
	case <-limit.C:
		if d, ok := o.to.(interface{ SetWriteDeadline(t time.Time) error }); ok && d.SetWriteDeadline(time.Now()) == nil {
			<-o.done
		}
	}
}
