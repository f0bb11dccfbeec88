package main

import (
	"encoding/json"
	"slices"
	"strings"
	"sync"
	"time"
)

// wired: defects that only devices bring out that fall silent and come back, that
// number what they say, or that obey.
var wired = map[string]maker{"F75": forgetSilent, "F76": echoSilent, "F77": misname, "F78": exchange, "F79": swallowCommands}

// swallowCommands (F79) confirms every N-th command of viewers and does not pass it
// on.
func swallowCommands(f *front, p param) *flaw {
	n := p.count(0)
	var mu sync.Mutex
	seen := uint64(0) // of all viewers
	return &flaw{viewerText: func(s *session, text []byte) []byte {
		var pub struct {
			Type string `json:"type"`
			ID   uint64 `json:"id"`
		}
		if json.Unmarshal(text, &pub) != nil || pub.Type != "pub" {
			return text
		}
		mu.Lock()
		seen++
		swallow := seen%n == 0
		mu.Unlock()
		if !swallow {
			return text
		}
		f.count.fire()
		pub.Type = "pubok"
		if s.toViewer(textFrame(encode(pub))) != nil {
			s.end()
		}
		return nil
	}}
}

// heard is when a stream last had something of each topic, and which topics it
// has given up.
type heard struct {
	at    map[string]time.Time
	gone  map[string]bool
	names map[string]string // under which others are shown
	alone string            // came back and has nobody yet to exchange names with
}

func heardOf(st *stream) *heard {
	h, ok := st.state.(*heard)
	if !ok {
		h = &heard{at: map[string]time.Time{}, gone: map[string]bool{}, names: map[string]string{}}
		st.state = h
	}
	return h
}

// silent keeps that something came under a topic, and reports whether nothing had
// for longer than limit.
func (h *heard) silent(topic string, limit time.Duration) bool {
	before, known := h.at[topic]
	h.at[topic] = time.Now()
	return known && h.at[topic].Sub(before) > limit
}

// forgetSilent (F75) shows nothing more of a topic under which nothing came for
// a time.
func forgetSilent(f *front, p param) *flaw {
	limit := p.time(0)
	return &flaw{arrive: func(_ *session, st *stream, rs []reading) []reading {
		h := heardOf(st)
		return slices.DeleteFunc(rs, func(r reading) bool {
			h.gone[r.Topic] = h.silent(r.Topic, limit) || h.gone[r.Topic]
			return h.gone[r.Topic] && fired(f)
		})
	}}
}

// echoSilent (F76) shows the last value of a topic again, as if it were new, when
// nothing came under it for a time.
func echoSilent(f *front, p param) *flaw {
	limit := p.time(0)
	return &flaw{arrive: func(_ *session, st *stream, rs []reading) []reading {
		h, due := heardOf(st), time.Now().Add(limit)
		for _, r := range slices.Clone(rs) {
			same := func(w reading) bool { return w.free && w.Topic == r.Topic }
			all := len(st.waiting) + len(rs)
			st.waiting, rs = slices.DeleteFunc(st.waiting, same), slices.DeleteFunc(rs, same)
			if _, known := h.at[r.Topic]; known && all == len(st.waiting)+len(rs) {
				f.count.fire() // what waited to be shown again has been
			}
			h.at[r.Topic] = due
			r.due, r.free = due, true
			rs = append(rs, r)
		}
		return rs
	}}
}

// exchange (F78) shows two topics under which nothing came for a time, from when
// they come back on, each under the name of the other.
func exchange(f *front, p param) *flaw {
	limit := p.time(0)
	return &flaw{arrive: func(_ *session, st *stream, rs []reading) []reading {
		h := heardOf(st)
		for i := range rs {
			topic := rs[i].Topic
			switch back := h.silent(topic, limit) && h.names[topic] == ""; {
			case back && h.alone != "" && h.alone != topic:
				h.names[topic], h.names[h.alone], h.alone = h.alone, topic, ""
			case back:
				h.alone = topic
			}
			if other := h.names[topic]; other != "" {
				f.count.fire()
				rs[i].Topic = other
			}
		}
		return rs
	}}
}

// misname (F77) flips a bit in the serial number that one line in N tells.
func misname(f *front, p param) *flaw {
	const head = `"id":"`
	n := p.number(0)
	return &flaw{arrive: func(s *session, _ *stream, rs []reading) []reading {
		for i := range rs {
			text := rs[i].text()
			before, after, found := strings.Cut(text, head)
			if found && after != "" && s.random.Float64()*n < 1 {
				f.count.fire()
				rs[i].setText(before + head + string(rune(after[0]^1)) + after[1:])
			}
		}
		return rs
	}}
}
