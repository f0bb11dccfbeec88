package ingest

import (
	"fmt"
	"sync"
	"sync/atomic"
	"testing"

	"plumbline/bridge/internal/eventually"
	"plumbline/bridge/journal"
)

// pausing is a journal whose answers to sessions that read it wait while it is paused.
type pausing struct {
	*journal.Journal
	gate    atomic.Pointer[chan struct{}] // nil: open
	waiting atomic.Int64
}

func (p *pausing) pause() (resume func()) {
	gate := make(chan struct{})
	p.gate.Store(&gate)
	return sync.OnceFunc(func() {
		p.gate.Store(nil)
		close(gate)
	})
}

// ReadInto implements Journal. The dispatcher, which asks for more, does not wait.
func (p *pausing) ReadInto(dst []journal.Entry, after uint64, maxEntries, maxBytes int) ([]journal.Entry, error) {
	out, err := p.Journal.ReadInto(dst, after, maxEntries, maxBytes)
	if gate := p.gate.Load(); gate != nil && maxEntries == maxQueue {
		p.waiting.Add(1)
		<-*gate
	}
	return out, err
}

// TestGoneWhileItReads: a client that goes while its session reads the journal is away like any other: what comes then waits for it,
// also over a restart, and whether something waited before or not.
func TestGoneWhileItReads(t *testing.T) {
	for _, before := range []int{0, 3} {
		t.Run(fmt.Sprint(before, " waiting"), func(t *testing.T) {
			var slow pausing
			r := &restartable{t: t, dir: t.TempDir(), change: func(o *Options) {
				slow.Journal = o.Journal.(*journal.Journal)
				o.Journal = &slow
			}}
			b := r.start()
			defer func() { r.stop() }()
			in := login{id: "s", props: kept1h}
			s := dial(t, b, 5).ok(in)
			s.sub("x", 1, nil)
			leave(t, b, s, "s")
			p := dial(t, b, 5).ok(login{id: "p", clean: true})
			p.storm("x", 0, before)

			resume := slow.pause()
			defer resume() // before stop, which waits for the reader
			s = dial(t, b, 5).ok(in)
			eventually.Must(t, "the session to read", func() bool { return slow.waiting.Load() > 0 })
			leave(t, b, s, "s")
			resume()
			b.sessions.mu.Lock()
			away := b.sessions.byID["s"]
			b.sessions.mu.Unlock()
			eventually.Must(t, "the end of the reading", func() bool {
				away.mu.Lock()
				defer away.mu.Unlock()
				return !away.pumping
			})
			p.storm("x", before, 5)
			eventually.Must(t, "the dispatcher", func() bool { return b.sessions.position.Load() == uint64(before+5) })
			away.mu.Lock()
			behind, cursor := away.behind, away.cursor()
			away.mu.Unlock()
			if !behind || cursor != 0 {
				t.Errorf("away: behind %v, and a restart would go on after %d", behind, cursor)
			}

			s = dial(t, b, 5).ok(in) // saves what a restart would know
			for i := range 2 {
				if g := s.next(); g.payload != fmt.Sprint(i) {
					t.Fatalf("message %d: %+v", i, g)
				}
			}
			r.stop()
			b = r.start()
			s = dial(t, b, 5).ok(in)
			for i := range before + 5 {
				g := s.next()
				if g.payload != fmt.Sprint(i) {
					t.Fatalf("message %d after the restart: %+v", i, g)
				}
				s.send(ackOf(0x40, g.id))
			}
			s.quiet()
		})
	}
}
