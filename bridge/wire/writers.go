package wire

import (
	"runtime"
	"slices"
	"sync"
	"time"
)

// writers write to the viewers that take at once what they are given: a few goroutines for all, so that a message costs a viewer
// one system call and no goroutine. A viewer whose socket is full gets a goroutine of its own for as long as it takes.
type writers struct {
	work chan *session
	wg   sync.WaitGroup

	mu       sync.Mutex
	gathers  bool       // who begins is not given to a writer, but added to gathered; guarded by mu, as gathered is then
	gathered []*session // else it belongs to together, as own does
	own      turn
}

// fewSessions is how many together writes to itself. Measured with 40 viewers and two processors, writing to all of them one after the
// other costs as much as waking two writers, for it takes twice the time, in which viewers are woken one by one, and adds to p99.
const fewSessions = 8

// Together calls wake, which may wake sessions, and writes to them itself when they are few. It does not wait for a viewer. It must
// not be called concurrently with itself.
func (s *Server) Together(wake func()) { s.writers.together(wake) }

func (w *writers) together(wake func()) {
	w.gather(true)
	wake()
	w.gather(false)
	for i, s := range w.gathered {
		s.step(&w.own)
		w.gathered[i] = nil
	}
	w.gathered = w.gathered[:0]
}

func (w *writers) gather(on bool) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.gathers = on
}

// take adds s to those that are gathered, if they are and still few. Else all go to the writers.
func (w *writers) take(s *session) bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	if !w.gathers {
		return false
	}
	if len(w.gathered) < fewSessions {
		w.gathered = append(w.gathered, s)
		return true
	}
	w.gathers = false
	for i, other := range w.gathered {
		w.work <- other
		w.gathered[i] = nil
	}
	w.gathered = w.gathered[:0]
	return false
}

// newWriters starts the writers. No more than limit sessions may be under way; so adding never waits, for each stands in
// the queue once at most.
func newWriters(limit int) *writers {
	w := &writers{work: make(chan *session, limit)}
	for range runtime.GOMAXPROCS(0) {
		w.wg.Go(func() {
			var t turn
			for s := range w.work {
				s.step(&t)
			}
		})
	}
	return w
}

// close ends the writers; no session may be added any more.
func (w *writers) close() {
	close(w.work)
	w.wg.Wait()
}

// begin gives s to a writer.
func (w *writers) begin(s *session) {
	if s.nc.quick == nil {
		go s.write(turn{})
		return
	}
	if !w.take(s) {
		w.work <- s
	}
}

// step is one turn of a shared writer. It never waits for the viewer.
func (s *session) step(t *turn) {
	t.s = s
	s.dirty.Store(false)
	t.fill()
	if len(t.buf) > 0 {
		start := time.Now()
		n, whole, err := s.nc.try(t.buf)
		switch {
		case err != nil:
			s.failed(err)
			t.last = true
		case !whole: // the socket is full, or the connection is about to end
			s.srv.m.Bytes.Add(float64(n))
			// Only what is left waits with the viewer: thousands of stalled ones must not hold a buffer each.
			go s.write(turn{late: true, buf: slices.Clone(t.buf[n:]), frames: t.frames, readings: t.readings, conflated: t.conflated, ping: t.ping, more: t.more, last: t.last})
			t.s = nil
			return
		default:
			s.srv.m.Writes.Observe(time.Since(start).Seconds())
			s.wrote(t)
		}
	}
	if cap(t.buf) > keepBytes {
		t.buf = nil
	}
	switch {
	case t.last:
		s.idle(true)
		s.writer.Done()
	case !t.more && s.rest():
		s.writer.Done()
	default:
		s.srv.writers.work <- s // behind the others, and not for who gathers: what is left may be much
	}
	t.s = nil
}
