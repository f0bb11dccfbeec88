package oracle

import (
	"testing"
	"time"

	"plumbline/harness/record"
)

// cutStory is a viewer whose connection is cut at 55 ms and that is back at
// 75 ms; messages 6 and 7 come with the resume.
func cutStory() *story {
	s := newStory("a").viewer("v", "#").
		event(0, record.Subscribed, "v", "recovered", "false").
		event(due(1)-1, record.WindowOpen, "w").
		event(50*ms, record.FaultOnset, "cut").event(60*ms, record.FaultEnd, "cut").
		event(55*ms, record.Disconnected, "v", "error", "reset").
		event(75*ms, record.Connected, "v").
		event(76*ms, record.Subscribed, "v", "recovered", "true", "reason", "").
		event(due(11), record.WindowClose, "w").
		event(due(11)+1, record.Disconnected, "v", "reason", "closed")
	return s.send(numbers(1, 10)...)
}

func catchUp(s *story, seq uint64, at int64) *story {
	s.offset++
	return s.add(record.Record{Kind: record.Received, Flags: record.FlagCatchUp, Node: s.viewers["v"], Seq: seq, At: at, Offset: s.offset})
}

func TestResumption(t *testing.T) {
	s := cutStory().get("v", 1, 2, 3, 4, 5)
	catchUp(s, 6, 77*ms)
	catchUp(s, 7, 77*ms)
	s.get("v", 8, 9, 10)
	h := s.index(t)
	list := h.Resumptions(Options{})
	if len(list) != 1 {
		t.Fatalf("%d resumptions, want 1: %+v", len(list), list)
	}
	r := list[0]
	want := Resumption{
		Viewer: "v", Onset: 50 * ms, FaultEnd: 60 * ms, LastBefore: due(5) + ms, Lost: 55 * ms,
		Back: 75 * ms, Subscribed: 76 * ms, Fresh: due(8) + ms, Recovered: true,
	}
	if r != want {
		t.Errorf("%+v\nwant %+v", r, want)
	}
	if d, ok := r.ToFresh(); !ok || d != 21*time.Millisecond {
		t.Errorf("to fresh %v %v, want 21 ms from the end of the fault", d, ok)
	}
	if d, ok := r.Detection(); !ok || d != 5*time.Millisecond {
		t.Errorf("detection %v %v, want 5 ms", d, ok)
	}
	if d, ok := r.Silence(); !ok || d != 30*time.Millisecond {
		t.Errorf("silence %v %v, want 30 ms", d, ok)
	}
	if d, a, found := h.Seam(Options{}); len(found) != 0 || d.Lost != 0 || d.Delivered != 10 || a.Reordered != 0 {
		t.Errorf("clean seam: %+v %+v %q", d, a, tell(found))
	}
}

// TestSeamsOverlap: two cuts within a second make one seam; nothing in it
// counts twice.
func TestSeamsOverlap(t *testing.T) {
	s := newStory("a").viewer("v", "#").event(0, record.Subscribed, "v").event(1, record.WindowOpen, "w")
	for _, cut := range []int64{35 * ms, 75 * ms} {
		s.event(cut-ms, record.FaultOnset, "cut").event(cut, record.Disconnected, "v").event(cut+ms, record.FaultEnd, "cut").
			event(cut+2*ms, record.Connected, "v").event(cut+3*ms, record.Subscribed, "v", "recovered", "true")
	}
	s.event(due(11), record.WindowClose, "w").send(numbers(1, 10)...).get("v", 1, 2, 3, 5, 4, 6, 7, 8, 9, 10)
	h := s.index(t)
	if n := len(h.Resumptions(Options{})); n != 2 {
		t.Fatalf("%d resumptions, want 2", n)
	}
	d, a, found := h.Seam(Options{})
	if d.Owed != 10 || a.Deliveries != 9 || a.Reordered != 1 {
		t.Errorf("%+v %+v %q, want ten owed, nine compared and one reordered", d, a, tell(found))
	}
}

func TestResumptionNeverBack(t *testing.T) {
	s := newStory("a").viewer("v", "#").send(numbers(1, 10)...).get("v", 1, 2).
		event(0, record.WindowOpen, "w").event(due(11), record.WindowClose, "w").
		event(25*ms, record.FaultOnset, "black-hole").event(60*ms, record.Disconnected, "v")
	list := s.index(t).Resumptions(Options{})
	if len(list) != 1 || list[0].Back != 0 || list[0].Fresh != 0 {
		t.Fatalf("%+v", list)
	}
	if _, ok := list[0].ToFresh(); ok {
		t.Error("a viewer that never came back has fresh data")
	}
	if d, ok := list[0].Detection(); !ok || d != 35*time.Millisecond {
		t.Errorf("detection %v %v, want 35 ms", d, ok)
	}
	closed := newStory("a").viewer("v", "#").send(1).get("v", 1).event(due(2), record.Disconnected, "v")
	if list := closed.index(t).Resumptions(Options{}); len(list) != 0 {
		t.Errorf("a viewer closed on purpose is a loss: %+v", list)
	}
}

func TestSeamFaults(t *testing.T) {
	for _, c := range []struct {
		name string
		tell func(s *story)
		want string
	}{
		{"lost in the seam", func(s *story) { catchUp(s, 7, 77*ms) }, "lost 6"},
		{"twice", func(s *story) { catchUp(s, 5, 77*ms); catchUp(s, 6, 77*ms); catchUp(s, 7, 77*ms) }, "duplicate 5"},
		{"replay out of order", func(s *story) { catchUp(s, 7, 77*ms); catchUp(s, 6, 77*ms) }, "reordered 6"},
	} {
		s := cutStory().get("v", 1, 2, 3, 4, 5)
		c.tell(s)
		s.get("v", 8, 9, 10)
		if _, _, found := s.index(t).Seam(Options{}); tell(found) != c.want {
			t.Errorf("%s: %q, want %q", c.name, tell(found), c.want)
		}
	}
	s := cutStory().get("v", 1, 2, 3, 4, 5)
	s.get("v", 8)
	catchUp(s, 6, 90*ms)
	catchUp(s, 7, 90*ms)
	s.get("v", 9, 10)
	if _, order, found := s.index(t).Seam(Options{}); order.Reordered != 2 || tell(found) != "reordered 6, reordered 7" {
		t.Errorf("live before the replay: %+v %q", order, tell(found))
	}
}

func TestFirstMessages(t *testing.T) {
	s := newStory("a", "b").viewer("v", "#").viewer("w", "t/b").send(numbers(1, 5)...).sendOn(1, 4).
		get("v", 3, 4, 5).getOn("v", 1, 4).
		event(due(2)+1, record.Subscribed, "v").event(due(3)+1, record.Subscribed, "w").event(due(4)+1, record.Subscribed, "w")
	h := s.index(t)
	got := h.FirstMessages(Options{})
	if len(got) != 2 {
		t.Fatalf("%d first messages, want 2 (nothing follows the last subscription): %+v", len(got), got)
	}
	if got[0].Viewer != "v" || got[0].Device != "a" || got[0].Latency != 1 {
		t.Errorf("first message of v: %+v, want 1 ms", got[0])
	}
	if got[1].Viewer != "w" || got[1].Device != "b" || got[1].Latency < 1e300 {
		t.Errorf("first message of w: %+v, want +Inf: it never came", got[1])
	}
	if got[1].Watched != h.drain-due(4) {
		t.Errorf("w was there for %d ns of it", got[1].Watched)
	}
	left := s.event(due(4)+7*ms, record.Disconnected, "w", "reason", record.ReasonClosed).index(t).FirstMessages(Options{})
	if left[1].Watched != 7*ms {
		t.Errorf("w left after %d ns, want 7 ms", left[1].Watched)
	}
	if only := s.index(t).FirstMessages(Options{From: due(3), To: due(9)}); len(only) != 1 {
		t.Errorf("subscriptions from 30 ms on: %+v", only)
	}
}

func TestChain(t *testing.T) {
	for _, c := range []struct {
		name     string
		tell     func(s *story)
		want     Chain
		findings string
	}{
		{"whole", func(s *story) { s.get("v", 1, 2, 3, 4) }, Chain{}, ""},
		{"lost in silence", func(s *story) { s.get("v", 1, 2, 4) }, Chain{SilentLost: 1}, "lost 3"},
		{"lost and declared", func(s *story) {
			s.get("v", 1, 2)
			s.offset++ // message 3 has offset 3
			s.get("v", 4).event(due(4), record.GapDeclared, "v", "from", "2", "to", "3", "count", "1", "reason", "evicted")
		}, Chain{Gaps: 1, Admitted: 1, DeclaredLost: 1}, ""},
		{"another gap declared", func(s *story) {
			s.get("v", 1, 2)
			s.offset++
			s.get("v", 4).event(due(4), record.GapDeclared, "v", "from", "10", "to", "12", "count", "2")
		}, Chain{Gaps: 1, Admitted: 2, SilentLost: 1}, "lost 3"},
		{"declared to somebody else", func(s *story) {
			s.get("v", 1, 2)
			s.offset++
			s.get("v", 4).event(due(4), record.GapDeclared, "w", "from", "2", "to", "3", "count", "1")
		}, Chain{SilentLost: 1}, "lost 3"},
		{"declared in another epoch", func(s *story) {
			s.log.Index.Epochs = []string{"e0", "e1"}
			s.get("v", 1, 2)
			s.offset++
			s.get("v", 4).event(due(4), record.GapDeclared, "v", "epoch", "e1", "from", "2", "to", "3", "count", "1")
		}, Chain{Gaps: 1, Admitted: 1, SilentLost: 1}, "lost 3"},
		{"declared in the epoch that ended", func(s *story) {
			s.log.Index.Epochs = []string{"e0", "e1"}
			s.get("v", 1, 2).event(due(4), record.GapDeclared, "v", "epoch", "e0", "from", "2", "to", "9", "count", "1")
			s.add(record.Record{Kind: record.Received, Node: s.viewers["v"], Seq: 4, At: due(4) + ms, Offset: 1, Aux: 1})
		}, Chain{Gaps: 1, Admitted: 1, DeclaredLost: 1}, ""},
		{"on its way when the connection was lost, and said so", func(s *story) {
			s.get("v", 1, 2).add(record.Record{Kind: record.Sent, Seq: 5, Due: due(2) + ms/2, At: due(2) + ms/2})
			s.add(record.Record{Kind: record.Witnessed, Node: nodeWitness, Seq: 5, At: due(2) + 3*ms/2})
			s.event(due(2)+2*ms, record.Disconnected, "v").
				event(due(2)+3*ms, record.Subscribed, "v", "recovered", "false", "reason", "epoch").get("v", 3, 4)
		}, Chain{DeclaredLost: 1}, ""},
		{"not recovered, and said so", func(s *story) {
			s.get("v", 1, 2).event(due(2)+2*ms, record.Disconnected, "v").
				event(due(3)+ms, record.Subscribed, "v", "recovered", "false", "reason", "epoch").get("v", 4)
		}, Chain{DeclaredLost: 1}, ""},
		{"recovered, it said, and was not", func(s *story) {
			s.get("v", 1, 2).event(due(2)+2*ms, record.Disconnected, "v").
				event(due(3)+ms, record.Subscribed, "v", "recovered", "true", "reason", "").get("v", 4)
		}, Chain{SilentLost: 1}, "lost 3"},
		{"lost before the witness", func(s *story) {
			s.write(0, 5).ack(0, 5).get("v", 1, 2, 3, 4)
		}, Chain{}, "lost? 5"},
		{"missing in a partial recording", func(s *story) {
			s.log.Partial = true
			s.get("v", 1, 2, 4)
		}, Chain{}, "lost? 3"},
		{"chain broken", func(s *story) {
			s.get("v", 1, 2, 3, 4).event(due(3), record.ChainBroken, "v", "from", "5")
		}, Chain{Broken: 1}, "chain-broken 0"},
	} {
		s := newStory("a").viewer("v", "#").send(1, 2, 3, 4).event(0, record.Subscribed, "v")
		c.tell(s)
		got, found := s.index(t).Chain(Options{})
		if got != c.want || tell(found) != c.findings {
			t.Errorf("%s: %+v %q, want %+v %q", c.name, got, tell(found), c.want, c.findings)
		}
	}
}
