package main

import (
	"net"
	"sync"
	"time"
)

// latency: messages that come late.
var latency = map[string]maker{
	"F20": flushSlowly, "F21": flushBySize, "F22": tail, "F23": tail, "F24": tail, "F25": stall, "F26": fanOut, "F27": tail, "F28": slowStart,
	"F29": creep, "F63": backOff, "C-latency": always,
}

// each sets when readings are due and counts those that have to wait.
func each(f *front, due func(s *session, st *stream, r *reading, now time.Time) time.Time) *flaw {
	return &flaw{arrive: func(s *session, st *stream, rs []reading) []reading {
		now := time.Now()
		for i := range rs {
			if rs[i].due = due(s, st, &rs[i], now); rs[i].due.After(now) {
				f.count.fire()
			}
		}
		return rs
	}}
}

// flushSlowly (F20) writes at a timer.
func flushSlowly(f *front, p param) *flaw {
	every := p.time(0)
	return each(f, func(_ *session, _ *stream, _ *reading, now time.Time) time.Time {
		return now.Truncate(every).Add(every)
	})
}

// flushBySize (F21) writes only when so many messages are there; it counts those
// that have to wait for others.
func flushBySize(f *front, p param) *flaw {
	n := int(p.count(0))
	return &flaw{arrive: func(_ *session, st *stream, rs []reading) []reading {
		now := time.Now()
		ready := (len(st.waiting) + len(rs)) / n * n // of those that wait and then of these
		if ready > 0 {
			for i := range st.waiting {
				st.waiting[i].due = now
			}
			clear(st.last) // nothing under its topic is due later any more
			ready -= len(st.waiting)
		}
		for i := range rs {
			rs[i].due = now
			if i >= ready {
				f.count.fire()
				rs[i].due = now.Add(24 * time.Hour)
			}
		}
		return rs
	}}
}

// tail (F22, F23, F24, F27) delays a share of the messages for so long; what
// follows under the same topic waits behind them.
func tail(f *front, p param) *flaw {
	share, late := p.number(0), p.time(1)
	return each(f, func(s *session, _ *stream, _ *reading, now time.Time) time.Time {
		if s.random.Float64() < share {
			return now.Add(late)
		}
		return time.Time{}
	})
}

// stall (F25) stands still for so long in every period.
func stall(f *front, p param) *flaw {
	long, period := p.time(0), p.time(1)
	began := time.Now()
	return each(f, func(_ *session, _ *stream, _ *reading, now time.Time) time.Time {
		at := now.Sub(began) % period
		if from := period - long; at >= from {
			return now.Add(period - at)
		}
		return time.Time{}
	})
}

// fanOut (F26) takes so long for each viewer, one after the other: the last has
// to wait for all that came before it.
func fanOut(f *front, p param) *flaw {
	one := p.time(0)
	var mu sync.Mutex
	viewers := 0
	made := each(f, func(_ *session, st *stream, _ *reading, now time.Time) time.Time {
		before, _ := st.state.(int)
		return now.Add(time.Duration(before) * one)
	})
	made.subscribed = func(_ *session, st *stream) {
		mu.Lock()
		defer mu.Unlock()
		st.state = viewers
		viewers++
	}
	made.ended = func(s *session) { mu.Lock(); defer mu.Unlock(); viewers -= len(s.streams) }
	return made
}

// slowStart (F28) delays everything of a share of the sessions until so long
// after the subscription.
func slowStart(f *front, p param) *flaw {
	share, late := p.number(0), p.time(1)
	return &flaw{
		subscribed: func(s *session, st *stream) {
			if s.random.Float64() < share {
				f.count.fire()
				st.state = st.began.Add(late)
			}
		},
		arrive: func(_ *session, st *stream, rs []reading) []reading {
			if until, slow := st.state.(time.Time); slow {
				for i := range rs {
					rs[i].due = until
				}
			}
			return rs
		},
	}
}

// creep (F29) gets slower by so much a minute.
func creep(f *front, p param) *flaw {
	minute := p.time(0)
	began := time.Now()
	return each(f, func(_ *session, _ *stream, _ *reading, now time.Time) time.Time {
		return now.Add(time.Duration(now.Sub(began).Minutes() * float64(minute)))
	})
}

// backOff (F63) makes viewers wait twice as long at each new connection after
// the first so many, and never forgets.
func backOff(f *front, p param) *flaw {
	free, wait := p.count(0), p.time(1)
	var mu sync.Mutex
	seen := uint64(0)
	return &flaw{accept: func(net.Conn) {
		mu.Lock()
		seen++
		late := time.Duration(0)
		if seen > free {
			f.count.fire()
			late = min(wait<<min((seen-free-1)/free, 8), 8*time.Second)
		}
		mu.Unlock()
		<-time.After(late)
	}}
}

// always delays everything by so long and up to so much more: a control, no
// defect, where that stays below the limit.
func always(f *front, p param) *flaw {
	late, jitter := p.time(0), float64(p.time(1))
	return each(f, func(s *session, _ *stream, _ *reading, now time.Time) time.Time {
		return now.Add(late + time.Duration(s.random.Float64()*jitter))
	})
}
