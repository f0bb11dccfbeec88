package wire

import (
	"container/heap"
	"sync"
	"time"
)

// clock rings sessions at the times they ask for, with one timer for all of them: a timer and a closure for each event of each
// session would be a good part of what an idle viewer costs. Times are spans since start, on the monotonic clock.
type clock struct {
	start time.Time

	mu    sync.Mutex
	queue alarms
	timer *time.Timer // made at the first alarm
}

func newClock() *clock { return &clock{start: time.Now()} }

func (c *clock) now() time.Duration { return time.Since(c.start) }

// set arranges that s is rung at the time, instead of at the one before; 0 is never. It may be called with session.mu held.
func (c *clock) set(s *session, at time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	switch {
	case at == s.alarm.at:
		return
	case s.alarm.at == 0:
		s.alarm.at = at
		heap.Push(&c.queue, s)
	case at == 0:
		heap.Remove(&c.queue, s.alarm.index)
		s.alarm.at = 0
	default:
		s.alarm.at = at
		heap.Fix(&c.queue, s.alarm.index)
	}
	c.wind()
}

// wind sets the timer for the first alarm. Called with mu held.
func (c *clock) wind() {
	if len(c.queue) == 0 {
		if c.timer != nil {
			c.timer.Stop()
		}
		return
	}
	wait := max(0, c.queue[0].alarm.at-c.now())
	if c.timer == nil {
		c.timer = time.AfterFunc(wait, c.fire)
		return
	}
	c.timer.Reset(wait)
}

// fire rings those whose time has come.
func (c *clock) fire() {
	var due []*session
	c.mu.Lock()
	for now := c.now(); len(c.queue) > 0 && c.queue[0].alarm.at <= now; {
		s := heap.Pop(&c.queue).(*session) //nolint:forcetypeassert // the queue holds nothing else
		s.alarm.at = 0
		due = append(due, s)
	}
	c.wind()
	c.mu.Unlock()
	for _, s := range due {
		s.ring()
	}
}

// alarm is a session's place in the clock's queue. Guarded by clock.mu.
type alarm struct {
	at    time.Duration // 0 = not in the queue
	index int
}

// alarms is a heap of sessions, the first to be rung first.
type alarms []*session

func (a alarms) Len() int           { return len(a) }
func (a alarms) Less(i, j int) bool { return a[i].alarm.at < a[j].alarm.at }

func (a alarms) Swap(i, j int) {
	a[i], a[j] = a[j], a[i]
	a[i].alarm.index, a[j].alarm.index = i, j
}

// Push implements heap.Interface.
func (a *alarms) Push(x any) {
	s := x.(*session) //nolint:forcetypeassert // set gives nothing else
	s.alarm.index = len(*a)
	*a = append(*a, s)
}

// Pop implements heap.Interface.
func (a *alarms) Pop() any {
	last := len(*a) - 1
	s := (*a)[last]
	(*a)[last] = nil
	*a = (*a)[:last]
	return s
}
