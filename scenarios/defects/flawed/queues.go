package main

import (
	"sync"
	"time"
)

// queue holds frames that a viewer has not read yet; a goroutine of the session
// writes them while there are any.
type queue struct {
	mu      sync.Mutex
	frames  []frame
	running bool
	full    bool // of keepOldest: it takes none
	behind  bool // of keepOldest: a write was held up
}

// queued is a flaw with a queue for each viewer in place of waiting for it. put
// says whether a frame goes into it; pace is how long to wait after a write that
// took so long. Both are called with the lock of the queue held.
func queued(f *front, put func(*queue, frame) bool, pace func(*queue, time.Duration) time.Duration) *flaw {
	var mu sync.Mutex
	all := map[*session]*queue{}
	return &flaw{
		bridgeFrame: func(s *session, fr frame) bool {
			mu.Lock()
			q := all[s]
			if q == nil {
				q = &queue{}
				all[s] = q
			}
			mu.Unlock()
			q.mu.Lock()
			defer q.mu.Unlock()
			if !put(q, fr) {
				return false
			}
			q.frames = append(q.frames, fr)
			if !q.running {
				q.running = true
				f.tasks.Go(func() { q.write(s, pace) })
			}
			return false
		},
		ended: func(s *session) { mu.Lock(); defer mu.Unlock(); delete(all, s) },
	}
}

// write writes what is in the queue until it is empty.
func (q *queue) write(s *session, pace func(*queue, time.Duration) time.Duration) {
	for {
		q.mu.Lock()
		if len(q.frames) == 0 {
			q.running = false
			q.mu.Unlock()
			return
		}
		next := q.frames[0]
		q.frames = q.frames[1:]
		q.mu.Unlock()
		began := time.Now()
		if s.toViewer(next) != nil {
			s.end()
			continue
		}
		q.mu.Lock()
		wait := pace(q, time.Since(began))
		q.mu.Unlock()
		if wait > 0 {
			select {
			case <-time.After(wait):
			case <-s.done:
			}
		}
	}
}

// hoard (F59) has a queue without end for each viewer.
func hoard(f *front, p param) *flaw {
	most := int(p.count(0))
	return queued(f, func(q *queue, _ frame) bool {
		if len(q.frames) >= most {
			f.count.fire()
		}
		return true
	}, func(*queue, time.Duration) time.Duration { return 0 })
}

// keepOldest (F19) has a queue of so many messages for each viewer. When it is
// full it keeps the old ones and takes no new one until half of them are written;
// after a write that was held up it writes one in so long until none is left.
func keepOldest(f *front, p param) *flaw {
	most, every := int(p.count(0)), p.time(1)
	const heldUp = 100 * time.Millisecond
	return queued(f, func(q *queue, fr frame) bool {
		q.full = len(q.frames) >= most || (q.full && len(q.frames) > most/2)
		if !q.full || !fr.text() || typeOf(fr.payload) != "batch" {
			return true
		}
		f.count.fire()
		return false
	}, func(q *queue, took time.Duration) time.Duration {
		q.behind = len(q.frames) > 0 && (q.behind || took > heldUp)
		if !q.behind {
			return 0
		}
		return every
	})
}
