package wire

import (
	"math"
	"time"

	"plumbline/bridge/auth"
)

// times are the moments at which something happens to a session without the viewer, on the server's clock; 0 is never. Guarded
// by session.mu.
type times struct {
	auth   time.Duration // no hello until then: closed
	beat   time.Duration // the next heartbeat
	silent time.Duration // look whether the viewer gave a sign of life
	notice time.Duration // tell that the token ends
	cut    time.Duration // the token has ended
	drain  time.Duration // close for the restart

	retryMS int64 // said with drain
	ahead   queue // of the oldest ping that is not answered
}

// queue is what stood before a ping. The zero value knows nothing.
type queue struct {
	line                  // as it was last looked at
	front   uint64        // bytes that arrive before the ping
	reached time.Duration // when all of them were seen to have arrived; 0 is not yet
	known   bool
}

// next returns the first of them.
func (t *times) next() (at time.Duration) {
	for _, one := range [...]time.Duration{t.auth, t.beat, t.silent, t.notice, t.cut, t.drain} {
		if one != 0 && (at == 0 || one < at) {
			at = one
		}
	}
	return at
}

// take reports whether the time has come, and clears it then.
func take(at *time.Duration, now time.Duration) bool {
	if *at == 0 || *at > now {
		return false
	}
	*at = 0
	return true
}

// wind tells the clock what comes next. The caller holds mu.
func (s *session) wind() {
	if s.finished {
		s.srv.clock.set(s, 0)
		return
	}
	s.srv.clock.set(s, s.times.next())
}

// isSilent reports whether the viewer gave no sign of life for too long, and else when to look again. It is silent when a ping,
// too, stood unanswered for half a heartbeat: one that could not be sent yet, because a write waits, which the write timeout
// ends, or because this process came late, as after the machine was frozen, is not the viewer's fault. The caller holds mu.
func (s *session) isSilent(now time.Duration) bool {
	due := s.times.silent
	if !take(&s.times.silent, now) || s.closing {
		return false
	}
	some := s.srv.opts.Heartbeat / 2
	held := s.nc.held.Load() > 0 // before seen, which it ends with
	seen, asked := time.Duration(s.nc.seen.Load()), time.Duration(s.nc.asked.Load())
	next := max(seen+s.patience(), asked+some)
	if held || asked <= seen || now-due > some {
		next = max(next, now+some)
	}
	if next <= now && s.advances(now) {
		next = now + some
	}
	if s.times.ahead.reached > 0 {
		next = max(next, s.times.ahead.reached+some)
	}
	if next <= now {
		return true
	}
	s.times.silent = next
	return false
}

// queued notes what stands before the ping that goes out now.
func (s *session) queued(now time.Duration) {
	l := s.nc.line()
	s.times.ahead = queue{line: l, front: l.arrived + uint64(max(l.waiting, 0)), known: true}
	if l.waiting <= 0 {
		s.times.ahead.reached = now
	}
}

// advances reports whether the viewer has taken some of what stood before the ping since it was looked at: the ping was not there
// to be answered. What came behind the ping is no excuse, and what a viewer's system takes without the viewer is bounded by what
// that keeps.
func (s *session) advances(now time.Duration) bool {
	q := &s.times.ahead
	if !q.known || q.reached > 0 {
		return false
	}
	before := q.arrived
	q.line = s.nc.line()
	if q.arrived >= q.front {
		q.reached = now
	}
	return q.arrived > before
}

// patience is how long a viewer may give no sign of life.
func (s *session) patience() time.Duration { return s.srv.opts.Heartbeat * 3 / 2 }

// start sets the times of a new session.
func (s *session) start() {
	o := s.srv.opts
	s.mu.Lock()
	defer s.mu.Unlock()
	s.times.auth = s.after(o.AuthTimeout)
	// The first heartbeat comes between a half and a whole interval, so that sessions that began together spread out.
	s.times.beat = s.after(o.Heartbeat/2 + randomUpTo(o.Heartbeat/2))
	s.times.silent = s.after(s.patience())
	s.wind()
}

// after returns the moment that lies wait ahead.
func (s *session) after(wait time.Duration) time.Duration {
	return max(1, s.srv.clock.now()+min(max(wait, 0), math.MaxInt64/2))
}

// ring does what is due. The clock calls it.
func (s *session) ring() {
	now := s.srv.clock.now()
	s.mu.Lock()
	late := take(&s.times.auth, now) && !s.live
	beat := take(&s.times.beat, now)
	notice, cut, drain := take(&s.times.notice, now), take(&s.times.cut, now), take(&s.times.drain, now)
	silent := s.isSilent(now)
	expires, retryMS := s.ident.Expires, s.times.retryMS
	if beat {
		if s.advances(now) && s.times.ahead.reached == 0 {
			s.nc.alive()
		}
		if s.nc.asked.Load() <= s.nc.seen.Load() || !s.times.ahead.known {
			s.queued(now)
		}
		s.beat = true
		s.times.beat = s.after(s.srv.opts.Heartbeat)
	}
	s.wind()
	s.mu.Unlock()
	switch {
	case silent:
		s.srv.log.Info("viewer silent, cut", "session", s.id, "remote", s.remote)
		s.nc.cut()
	case late:
		s.shut(CloseLate, "no hello in time", 0)
	case cut:
		s.shut(CloseTokenExpired, "token expired", 0)
	case drain:
		s.shut(CloseDrain, "draining", retryMS)
	}
	if notice {
		s.pushMessage(expiresMsg{"auth-expiring", stamp(expires)})
	}
	if beat {
		s.wake()
	}
}

// expiryNotice is how long before the end a viewer is told; a shorter life is told at its half.
const expiryNotice = time.Minute

// watchExpiry arranges the notice and the cut. The cut comes at exp plus the leeway, the first moment at which the token would
// be refused; the clock that counts is monotonic from now on, so a step of the wall clock changes nothing.
func (s *session) watchExpiry(id auth.Identity) {
	v := s.srv.opts.Verifier
	left := id.Expires.Sub(v.Now())
	notice := left - expiryNotice
	if notice < left/2 {
		notice = left / 2
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.times.notice = s.after(notice)
	s.times.cut = s.after(min(left, math.MaxInt64-v.Leeway()) + v.Leeway()) // Sub saturates at some 292 years
	s.wind()
}
