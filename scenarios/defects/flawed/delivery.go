package main

import (
	"fmt"
	"hash/crc32"
	"slices"
	"strings"
	"sync"
	"time"
)

// delivery: messages lost, doubled and made up.
var delivery = map[string]maker{
	"F01": dropOneIn, "F02": dropEvery, "F03": dropAtReturn, "F04": dropWhenFull, "F05": dropAtClose, "F06": dropFirst,
	"F08": doubleAtReturn, "F09": doubleOneIn, "F10": phantom, "F17": stuck, "F18": loseTheLast,
}

// dropOneIn (F01) drops each message with probability 1/N.
func dropOneIn(f *front, p param) *flaw {
	n := p.number(0)
	return &flaw{arrive: func(s *session, _ *stream, rs []reading) []reading {
		return slices.DeleteFunc(rs, func(reading) bool { return s.random.Float64()*n < 1 && fired(f) })
	}}
}

// fired counts and says true.
func fired(f *front) bool {
	f.count.fire()
	return true
}

// dropEvery (F02) drops every N-th message of a connection.
func dropEvery(f *front, p param) *flaw {
	n := p.count(0)
	return &flaw{arrive: func(_ *session, st *stream, rs []reading) []reading {
		seen := st.seen
		return slices.DeleteFunc(rs, func(reading) bool { seen++; return seen%n == 0 && fired(f) })
	}}
}

// dropAtReturn (F03) drops what the bridge takes in within a time after a
// viewer came back: neither replayed nor live.
func dropAtReturn(f *front, p param) *flaw {
	w := p.time(0)
	return &flaw{arrive: func(s *session, st *stream, rs []reading) []reading {
		if !st.resumed || time.Since(st.began) > w {
			return rs
		}
		s.mu.Lock()
		head := s.head
		s.mu.Unlock()
		return slices.DeleteFunc(rs, func(r reading) bool { return r.O > head && fired(f) })
	}}
}

// dropWhenFull (F04) has a queue of so many messages for each viewer, emptied at
// so many a second, and drops without a word what does not fit.
func dropWhenFull(f *front, p param) *flaw {
	type queue struct {
		level float64
		at    time.Time
	}
	size, rate := p.number(0), p.number(1)
	return &flaw{arrive: func(_ *session, st *stream, rs []reading) []reading {
		q, ok := st.state.(*queue)
		if !ok {
			q = &queue{at: time.Now()}
			st.state = q
		}
		return slices.DeleteFunc(rs, func(r reading) bool {
			now := time.UnixMicro(r.T) // messages of one batch came one after the other
			q.level = max(0, q.level-rate*max(0, now.Sub(q.at).Seconds()))
			q.at = now
			if q.level+1 > size {
				return fired(f)
			}
			q.level++
			return false
		})
	}}
}

// dropAtClose (F05) writes at a timer, counts what it was to write as delivered,
// and throws it away when the connection ends.
func dropAtClose(f *front, p param) *flaw {
	every := p.time(0)
	var mu sync.Mutex
	reached := map[string]cursor{} // by viewer and filter
	return &flaw{
		dropsAtEnd: true,
		arrive: func(_ *session, _ *stream, rs []reading) []reading {
			due := time.Now().Add(every)
			for i := range rs {
				rs[i].due = due
			}
			return rs
		},
		ended: func(s *session) {
			mu.Lock()
			defer mu.Unlock()
			for _, st := range s.streams {
				reached[s.viewer()+" "+st.filter] = cursor{st.epoch, st.upTo}
				if len(st.waiting) > 0 {
					f.count.fire()
				}
			}
		},
		resume: func(s *session, sub *subscribe) bool {
			mu.Lock()
			defer mu.Unlock()
			c := reached[s.viewer()+" "+sub.Filter]
			if c.Epoch != sub.Since.Epoch || c.Offset <= sub.Since.Offset {
				return false
			}
			sub.Since.Offset = c.Offset
			return true
		},
	}
}

// dropFirst (F06) loses the first message after a subscription, sometimes.
func dropFirst(f *front, p param) *flaw {
	share := p.number(0)
	return &flaw{arrive: func(s *session, st *stream, rs []reading) []reading {
		if st.seen == 0 && len(rs) > 0 && s.random.Float64() < share {
			f.count.fire()
			return rs[1:]
		}
		return rs
	}}
}

// doubleAtReturn (F08) replays some messages that the viewer has already.
func doubleAtReturn(f *front, p param) *flaw {
	n := p.count(0)
	return &flaw{resume: func(_ *session, sub *subscribe) bool {
		if sub.Since.Offset <= n || sub.Since.Epoch == "" {
			return false
		}
		f.count.fire()
		sub.Since.Offset -= n
		return true
	}}
}

// doubleOneIn (F09) delivers a message twice with probability 1/N.
func doubleOneIn(f *front, p param) *flaw {
	n := p.number(0)
	return &flaw{arrive: func(s *session, _ *stream, rs []reading) []reading {
		var out []reading
		for _, r := range rs {
			out = append(out, r)
			if s.random.Float64()*n < 1 {
				f.count.fire()
				out = append(out, r)
			}
		}
		return out
	}}
}

// phantom (F10) adds, after every N-th message, one that an earlier run sent.
func phantom(f *front, p param) *flaw {
	n := p.count(0)
	return &flaw{arrive: func(_ *session, st *stream, rs []reading) []reading {
		seen, out := st.seen, []reading(nil)
		for _, r := range rs {
			out = append(out, r)
			if seen++; seen%n == 0 {
				if text, ok := earlier(r.text()); ok {
					f.count.fire()
					r.setText(text)
					out = append(out, r)
				}
			}
		}
		return out
	}}
}

// earlier returns an own payload of the bench as an earlier run would have sent
// it: under another run id, with the checksum that belongs to it.
func earlier(payload string) (string, bool) {
	const head, tail = `{"run":"`, `,"crc":"`
	end := strings.LastIndex(payload, tail)
	if !strings.HasPrefix(payload, head) || len(payload) < len(head)+8 || end < 0 {
		return "", false
	}
	body := head + "00c0ffee" + payload[len(head)+8:end]
	return fmt.Sprintf(`%s%s%08x"}`, body, tail, crc32.Checksum([]byte(body), crc32.MakeTable(crc32.Castagnoli))), true
}

// stuck (F17) shows a viewer nothing new after N messages; the connection lives.
func stuck(f *front, p param) *flaw {
	n := p.count(0)
	return &flaw{arrive: func(_ *session, st *stream, rs []reading) []reading {
		if st.seen < n {
			return rs
		}
		f.count.fire()
		return nil
	}}
}

// loseTheLast (F18) conflates: of messages of one topic that come close together
// it leaves out the newest.
func loseTheLast(f *front, p param) *flaw {
	within := p.time(0)
	return &flaw{arrive: func(_ *session, st *stream, rs []reading) []reading {
		last, _ := st.state.(map[string]int64)
		if last == nil {
			last = map[string]int64{}
			st.state = last
		}
		return slices.DeleteFunc(rs, func(r reading) bool {
			close := r.T-last[r.Topic] < within.Microseconds()
			last[r.Topic] = r.T
			return close && fired(f)
		})
	}}
}
