package ingest

import (
	"math"
	"slices"
)

// How many sessions may be offered something in one go; fewSessions are sent to by who has just published, on his goroutine.
const (
	fewSessions = 4
	allSessions = math.MaxInt
)

// look offers what has just been appended, on the goroutine of who did it, when few sessions get it: to wake run, and have it wake
// others, costs what a dozen packets cost. The rest is left to run, and all of it while that or another is at it.
func (ss *sessions) look() {
	if !ss.mu.TryLock() {
		ss.poke() // who is at it may have looked before this came
		return
	}
	var few [fewSessions]*session
	left := ss.offerNext(fewSessions) && ss.position.Load() < ss.log.Head().Offset
	n := copy(few[:], ss.touched)
	ss.forgetTouched()
	ss.mu.Unlock()
	for _, s := range few[:n] {
		s.hand()
	}
	if left {
		ss.poke()
	}
}

// handBytes is how much may wait for a client for who has just published to write it himself.
const handBytes = 64 << 10

// hand is kick for who has just brought something and may not wait: he sends himself what goes out without waiting for client or
// disk, and leaves the rest to a pump.
func (s *session) hand() {
	switch {
	case !s.start():
	case !s.answering.TryLock():
		go s.pump()
	case !s.atHand():
		s.answering.Unlock()
		go s.pump()
	case s.handOut():
		s.answering.Unlock()
		if s.rest() {
			s.ss.pumps.Done()
		} else { // another message came
			go s.pump()
		}
	}
}

// atHand reports whether all that the session has to send is in memory, and small, and nothing has to be saved before.
func (s *session) atHand() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.again = false
	return s.up && !s.keep && s.queued <= handBytes && s.lacks().nothing()
}

// handOut sends the next packets and reports whether they went out. Else a pump goes on with them, and with answering, which is held.
func (s *session) handOut() bool {
	cl, c, out, _ := s.take()
	if len(out) == 0 {
		return true
	}
	p, left := s.encode(cl, out)
	finish := c.offer(p)
	if finish == nil && len(left) == 0 && len(out) < pumpBatch {
		return true
	}
	go func() {
		if finish != nil {
			finish()
		}
		s.write(cl, c, left)
		s.answering.Unlock()
		s.pump()
	}()
	return false
}

// kickWaiting is kick after something was acknowledged: most often nothing waits for that.
func (s *session) kickWaiting() {
	s.mu.Lock()
	waits := s.front() != nil || !s.lacks().nothing() || slices.ContainsFunc(s.flights, func(f *flight) bool { return !f.sent })
	s.mu.Unlock()
	if waits {
		s.kick()
	}
}
