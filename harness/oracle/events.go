package oracle

import (
	"math"
	"slices"
	"sort"

	"plumbline/harness/record"
)

// window is a stretch of time whose messages are judged.
type window struct {
	subject  string
	from, to int64
	declared bool // by an event; else it is the caller's or the whole recording
}

// faultWindow is the time between onset and end of a fault; end is 0 when it
// was never taken back.
type faultWindow struct {
	name       string
	onset, end int64
}

// indexEvents sorts the events and pairs windows and faults.
func (h *History) indexEvents() {
	h.events = slices.Clone(h.log.Events)
	sort.SliceStable(h.events, func(i, j int) bool { return h.events[i].At < h.events[j].At })
	h.drain = math.MaxInt64
	for _, e := range h.events {
		switch e.Kind {
		case record.WindowOpen:
			h.windows = append(h.windows, window{subject: e.Subject, from: e.At, to: math.MaxInt64, declared: true})
		case record.WindowClose:
			for i := len(h.windows) - 1; i >= 0; i-- {
				if h.windows[i].subject == e.Subject && h.windows[i].to == math.MaxInt64 {
					h.windows[i].to = e.At
					break
				}
			}
		case record.DrainEnd:
			h.drain = e.At
		case record.FaultOnset:
			h.faults = append(h.faults, faultWindow{name: e.Subject, onset: e.At})
		case record.FaultEnd:
			for i := len(h.faults) - 1; i >= 0; i-- {
				if h.faults[i].name == e.Subject && h.faults[i].end == 0 {
					h.faults[i].end = e.At
					break
				}
			}
		}
	}
}

// firstSubscribed returns when each filter of a viewer was first subscribed, by
// its events. One that names no filter stands for all of them.
func firstSubscribed(events []record.Event) map[string]int64 {
	first := map[string]int64{}
	for _, e := range events {
		if e.Kind != record.Subscribed {
			continue
		}
		filter := "#"
		if f := e.Fields["filter"]; f != "" {
			filter = f
		}
		if _, known := first[filter]; !known {
			first[filter] = e.At
		}
	}
	return first
}

// since returns when the first subscription that takes a topic began, 0 when
// the recording does not say.
func since(subscribed map[string]int64, topic string) int64 {
	first := int64(math.MaxInt64)
	for filter, at := range subscribed {
		if matches(filter, topic) {
			first = min(first, at)
		}
	}
	if first == math.MaxInt64 {
		return 0
	}
	return first
}

// selection is Options resolved against one recording.
type selection struct {
	Options
	viewers []int
	streams []int
	windows []window
}

func (h *History) choose(o Options) selection {
	s := selection{Options: o}
	for n := range h.viewers {
		if h.viewers[n].isView && (len(o.Viewers) == 0 || slices.Contains(o.Viewers, h.viewers[n].name)) {
			s.viewers = append(s.viewers, n)
		}
	}
	for n, stream := range h.log.Index.Streams {
		if len(o.Devices) == 0 || slices.Contains(o.Devices, stream.Device) {
			s.streams = append(s.streams, n)
		}
	}
	switch {
	case o.To > 0:
		s.windows = []window{{from: o.From, to: o.To}}
	default:
		for _, w := range h.windows {
			if o.Window == "" || o.Window == w.subject {
				s.windows = append(s.windows, w)
			}
		}
		if len(h.windows) == 0 && o.Window == "" {
			s.windows = []window{{from: 0, to: math.MaxInt64}} // none declared: everything
		}
	}
	return s
}

// covers reports whether an instant lies in a judged window.
func (s *selection) covers(at int64) bool {
	for _, w := range s.windows {
		if at >= w.from && at < w.to {
			return true
		}
	}
	return false
}

// span returns the first and the last instant of the windows, cut to the
// messages of the recording.
func (h *History) span(s *selection) (from, to int64) {
	from, to = math.MaxInt64, 0
	for _, id := range s.streams {
		for i := range h.streams[id].messages {
			if m := &h.streams[id].messages[i]; m.known && s.covers(m.due) {
				from, to = min(from, m.due), max(to, m.due)
			}
		}
	}
	return min(from, to), to
}

// pick says which oddities a selection covers: those whose message was intended
// in a window. When there is no such message, those that arrived in one or,
// unless the caller narrows the windows, between them and during the drain: a
// restart between two windows is where messages of nobody come from.
func (h *History) pick(s *selection, o oddity) bool {
	r := &h.log.Records[o.record]
	if !slices.Contains(s.viewers, int(r.Node)) || r.At > h.drain {
		return false
	}
	if r.Stream != record.NoStream && !slices.Contains(s.streams, int(r.Stream)) {
		return false
	}
	if m := h.at(r.Stream, o.seq); m != nil && m.known {
		return s.covers(m.due)
	}
	if s.Window == "" && s.To == 0 && len(s.windows) > 0 {
		return r.At >= s.windows[0].from
	}
	return s.covers(r.At)
}
