package hub

import "time"

// quiet are the subscriptions that an empty batch has moved on and that have yet to be told. They are told a few at a time, until
// progress comes again: a crowd that only waits would get as many frames at once, and live readings would stand behind them, here
// and where they arrive. Meanwhile all of them wait as before, so a reading is told to everybody at once. Who leaves is kept until
// his turn, at the next progress at the latest.
type quiet struct {
	list  []*Subscription
	next  int       // in list
	share int       // at a time
	at    time.Time // of the next share; zero is at once
}

const (
	quietShares = 800              // in which all are told,
	quietParts  = 1000             // of the parts into which the time until the next progress is divided
	quietFew    = 16               // told at a time at least
	quietPause  = time.Millisecond // between two times at least
)

// begin takes who waits and is behind. Who was taken before and is so still is among them. Called with Hub.mu held.
func (q *quiet) begin(groups map[groupKey]*group) {
	clear(q.list)
	q.list = q.list[:0]
	for _, g := range groups {
		g.mu.Lock()
		for _, s := range g.waiting {
			if s.cursor.Load() < g.to {
				q.list = append(q.list, s)
			}
		}
		g.mu.Unlock()
	}
	q.next, q.share, q.at = 0, max(quietFew, (len(q.list)+quietShares-1)/quietShares), time.Time{}
}

// stroll tells the next of those whose group was quiet when their time has come, and returns how long to wait for those that
// follow, or idle. The loop calls it.
func (h *Hub) stroll(now time.Time) (wait time.Duration) {
	q := &h.quiet
	if q.next == len(q.list) {
		return idle
	}
	if wait = q.at.Sub(now); wait > 0 {
		return wait
	}
	told := uint64(0)
	end := min(q.next+q.share, len(q.list))
	for ; q.next < end; q.next++ {
		s := q.list[q.next]
		q.list[q.next] = nil
		if s.stopWaiting() {
			s.notify()
			told++
		}
	}
	h.mu.Lock()
	h.stats.Notified += told
	h.mu.Unlock()
	if q.next == len(q.list) {
		return idle
	}
	wait = max(quietPause, h.opts.Progress/quietParts)
	q.at = now.Add(wait)
	return wait
}

// stopWaiting takes s off the list of those that wait, if it is there although something is ready for it.
func (s *Subscription) stopWaiting() bool {
	s.group.mu.Lock()
	defer s.group.mu.Unlock()
	if s.place == notWaiting || s.cursor.Load() >= s.group.to {
		return false
	}
	s.group.unwait(s)
	return true
}
