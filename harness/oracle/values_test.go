package oracle

import (
	"testing"
	"time"

	"plumbline/harness/record"
)

// retained marks everything that was published as to be retained.
func (s *story) retained() *story {
	for i := range s.log.Records {
		if s.log.Records[i].Kind == record.Sent {
			s.log.Records[i].Flags |= record.FlagRetained
		}
	}
	return s
}

// restore gives a viewer the last value of stream 0 at an instant.
func (s *story) restore(viewer string, seq uint64, at int64) *story {
	return s.add(record.Record{Kind: record.Restored, Node: s.viewers[viewer], Stream: 0, Seq: seq, At: at, Digest: seq})
}

func TestShown(t *testing.T) {
	came := due(5) + 2*ms
	for _, c := range []struct {
		name  string
		give  func(*story)
		want  Shown
		quiet bool // nothing is expected of the viewer
	}{
		{"newest", func(s *story) { s.restore("late", 5, came+3*ms) }, Shown{First: 5, Took: 3 * time.Millisecond, Current: true, Marked: true}, false},
		{"nothing", func(*story) {}, Shown{}, false},
		{"an old one", func(s *story) { s.restore("late", 4, came+3*ms) }, Shown{First: 4, Marked: true}, false},
		{"an old one, then the newest", func(s *story) { s.restore("late", 4, came+ms).restore("late", 5, came+2*ms) }, Shown{First: 4, Took: 2 * time.Millisecond, Current: true, Marked: true}, false},
		{"as if it were live", func(s *story) {
			s.add(record.Record{Kind: record.Received, Node: s.viewers["late"], Stream: 0, Seq: 5, At: came + ms})
		}, Shown{First: 5, Took: time.Millisecond, Current: true}, false},
		{"live with the flag of MQTT", func(s *story) {
			s.add(record.Record{Kind: record.Received, Flags: record.FlagRetained, Node: s.viewers["late"], Stream: 0, Seq: 5, At: came + ms})
		}, Shown{First: 5, Took: time.Millisecond, Current: true, Marked: true}, false},
	} {
		s := newStory("d").viewer("late", "t/#").send(1, 2, 3, 4, 5).retained().event(came, record.Connected, "late").event(came+ms/2, record.Subscribed, "late")
		c.give(s)
		got := s.index(t).Shown(Options{})
		c.want.Viewer, c.want.Device, c.want.At, c.want.Newest = "late", "d", came, 5
		if len(got) != 1 || got[0] != c.want {
			t.Errorf("%s: %+v, want %+v", c.name, got, c.want)
		}
	}
	// What is not retained, what was not acknowledged in time, and what the viewer
	// may not see is not owed to it.
	s := newStory("d").viewer("late", "t/#").send(1, 2, 3).event(came, record.Connected, "late")
	if got := s.index(t).Shown(Options{}); len(got) != 0 {
		t.Errorf("of messages that are not retained: %+v", got)
	}
	s = newStory("d").viewer("late", "t/#").send(1, 2, 3).retained().event(due(3), record.Connected, "late").restore("late", 2, due(3)+ms)
	if got := s.index(t).Shown(Options{}); len(got) != 1 || got[0].Newest != 2 || !got[0].Current {
		t.Errorf("#3 was not acknowledged yet: %+v", got)
	}
	s = newStory("d").viewer("late", "other/#").send(1, 2, 3).retained().event(came, record.Connected, "late")
	if got := s.index(t).Shown(Options{}); len(got) != 0 {
		t.Errorf("outside of its filters: %+v", got)
	}
}

func TestFinals(t *testing.T) {
	windows := func(s *story) *story {
		return s.event(due(1), record.WindowOpen, "one").event(due(4), record.WindowClose, "one").
			event(due(4), record.WindowOpen, "two").event(due(7), record.WindowClose, "two").event(due(60), record.DrainEnd, "")
	}
	s := windows(newStory("d").viewer("v", "#").send(numbers(1, 6)...).get("v", 1, 3, 6)) // 2, 4 and 5 were conflated
	list, found := s.index(t).Finals(Options{})
	if len(list) != 2 || len(found) != 0 || list[0].Window != "one" || list[0].Took != time.Millisecond || !list[1].Arrived {
		t.Errorf("%+v, %s", list, tell(found))
	}
	s = windows(newStory("d").viewer("v", "#").send(numbers(1, 6)...).get("v", 1, 2, 3, 4, 5))
	if list, found = s.index(t).Finals(Options{}); len(list) != 2 || list[1].Arrived || tell(found) != "lost 6" {
		t.Errorf("without the last: %+v, %s", list, tell(found))
	}
	// A message that nobody saw at the broker is not known to be the system's loss.
	s = windows(newStory("d").viewer("v", "#").send(numbers(1, 5)...).write(0, 6).get("v", 1, 2, 3, 4, 5))
	if _, found = s.index(t).Finals(Options{}); tell(found) != "lost? 6" {
		t.Errorf("not at the broker: %s", tell(found))
	}
}

func TestStale(t *testing.T) {
	limit := 65 * time.Millisecond
	s := newStory("d").viewer("v", "#").send(numbers(1, 20)...).get("v", 1, 2, 3, 10, 20).event(due(90), record.DrainEnd, "")
	// From 10 on nothing came until 20: #11 was sampled at 110 ms, shown with #20 at 201 ms.
	got, found := s.index(t).Stale(Options{}, limit, Standstills{})
	if got.Values != 20 || tell(found[:1]) != "stale-shown 13" || got.Longest != 91*time.Millisecond {
		t.Errorf("%+v, %s", got, tell(found))
	}
	if got, found = s.index(t).Stale(Options{}, 200*time.Millisecond, Standstills{}); len(found) != 0 || got.Longest != 91*time.Millisecond {
		t.Errorf("conflation within the limit: %+v, %s", got, tell(found))
	}
	// While the rig was away nothing is held against the system.
	away := Standstills{Gaps: []Gap{{At: due(12), Length: 60 * time.Millisecond}}}
	got, found = s.index(t).Stale(Options{}, limit, away)
	if got.Excused != 3 || len(found) != 0 || got.Longest > limit {
		t.Errorf("the rig was away: %+v, %s", got, tell(found))
	}
	// A value that nothing ever takes the place of.
	s = newStory("d").viewer("v", "#").send(numbers(1, 5)...).get("v", 1, 2, 3).event(due(90), record.DrainEnd, "")
	if _, found = s.index(t).Stale(Options{}, limit, away); tell(found) != "lost 5, lost 4" {
		t.Errorf("stuck: %s", tell(found))
	}
}

func TestSights(t *testing.T) {
	s := newStory("d").viewer("a", "#").viewer("b", "#").viewer("c", "#")
	s.log.Index.Streams[0].Foreign = true
	at := func(kind record.Kind, node uint16, when int64, digest uint64) {
		s.add(record.Record{Kind: kind, Flags: record.FlagForeign, Node: node, Stream: 0, At: when, Digest: digest})
	}
	at(record.Received, s.viewers["a"], 5*ms, 9) // before anything had ended
	at(record.Witnessed, nodeWitness, 20*ms, 9)
	at(record.Received, s.viewers["a"], 21*ms, 9)
	at(record.Restored, s.viewers["b"], 30*ms, 9)
	at(record.Received, s.viewers["c"], 21*ms, 8) // another text
	sights, witnessed := s.index(t).Sights(Options{}, "d", 9, 10*ms)
	if !witnessed || len(sights) != 3 || sights[0].At != 21*ms || sights[1].At != 30*ms || sights[2].At != 0 {
		t.Errorf("%+v, witnessed %v", sights, witnessed)
	}
	if _, witnessed = s.index(t).Sights(Options{}, "other", 9, 10*ms); witnessed {
		t.Error("the witness saw another device")
	}
}
