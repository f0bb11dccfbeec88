package hub

import (
	"sync"
	"time"
)

// slots limits how many subscriptions catch up at once.
type slots struct {
	mu     sync.Mutex
	free   int
	queue  []*Subscription
	called time.Time // when the last of the queue was called
}

// patience is how long a free slot is left to the one who was called. Who comes
// later finds a slot or waits again.
const patience = 20 * time.Millisecond

// take takes a slot, or puts s in the queue to be notified.
func (q *slots) take(s *Subscription) bool {
	q.mu.Lock()
	defer q.mu.Unlock()
	if q.free > 0 {
		q.free--
		return true
	}
	if !s.queued {
		s.queued = true
		q.queue = append(q.queue, s)
	}
	return false
}

// give returns a slot and calls the next who waits. The slot is not reserved for
// him: a viewer who does not come must not keep it. more says that others wait,
// whom urge has to call if he does not.
func (q *slots) give() (more bool) {
	q.mu.Lock()
	q.free++
	next := q.next()
	more = len(q.queue) > 0
	q.mu.Unlock()
	if next != nil {
		next.notify()
	}
	return more
}

// urge calls the next who waits when a slot stayed free although someone was
// called. It returns after how long it wants to be asked again, or idle.
func (q *slots) urge() (wait time.Duration) {
	q.mu.Lock()
	if q.free == 0 || len(q.queue) == 0 {
		q.mu.Unlock()
		return idle
	}
	if wait = patience - time.Since(q.called); wait > 0 {
		q.mu.Unlock()
		return wait
	}
	next := q.next()
	q.mu.Unlock()
	if next != nil {
		next.notify()
	}
	return patience
}

// next takes the first who is still there off the queue. Called with mu held.
func (q *slots) next() *Subscription {
	for len(q.queue) > 0 {
		s := q.queue[0]
		s.queued = false
		q.queue[0] = nil
		q.queue = q.queue[1:]
		if !s.closed.Load() {
			q.called = time.Now()
			return s
		}
	}
	return nil
}

// giveSlot ends a catch-up.
func (h *Hub) giveSlot() {
	if h.catchUp.give() {
		h.wake()
	}
}
