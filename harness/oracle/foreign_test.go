package oracle

import (
	"strings"
	"testing"

	"plumbline/harness/record"
)

// foreignStory is a device that publishes by itself; digests stand for its
// payloads.
func foreignStory(witnessed, received []uint64) *story {
	s := newStory().viewer("v", "#")
	s.log.Index.Streams = []record.Stream{{Device: "f", Topic: "t/f", Foreign: true, Mode: "real"}}
	for i, digest := range witnessed {
		s.add(record.Record{Kind: record.Witnessed, Flags: record.FlagForeign, Node: nodeWitness, Digest: digest, At: due(uint64(i + 1))})
	}
	for i, digest := range received {
		s.add(record.Record{Kind: record.Received, Flags: record.FlagForeign, Node: s.viewers["v"], Digest: digest, At: due(uint64(i+1)) + ms})
	}
	return s
}

func TestForeignStreams(t *testing.T) {
	for _, c := range []struct {
		name                string
		witnessed, received []uint64
		delivery, order     string
		lost                int64
	}{
		{"clean", []uint64{1, 2, 3}, []uint64{1, 2, 3}, "", "", 0},
		{"repeated payloads", []uint64{7, 7, 8, 7}, []uint64{7, 7, 8, 7}, "", "", 0},
		{"one lost", []uint64{1, 2, 3}, []uint64{1, 3}, "lost 2", "", 1},
		{"one of equal ones lost", []uint64{7, 8, 7}, []uint64{8, 7}, "lost 1", "", 1},
		{"twice", []uint64{1, 2}, []uint64{1, 1, 2}, "duplicate 1", "", 0},
		{"swapped", []uint64{1, 2}, []uint64{2, 1}, "", "reordered 1", 0},
		{"changed or invented", []uint64{1, 2}, []uint64{1, 2, 99}, "phantom 0", "", 0},
	} {
		h := foreignStory(c.witnessed, c.received).index(t)
		d, found := h.Delivery(Options{})
		if tell(found) != c.delivery || d.Lost != c.lost || d.Messages != int64(len(c.witnessed)) {
			t.Errorf("%s: %+v, findings %q, want %q", c.name, d, tell(found), c.delivery)
		}
		if _, found := h.Order(Options{}); tell(found) != c.order {
			t.Errorf("%s: order %q, want %q", c.name, tell(found), c.order)
		}
	}
	h := foreignStory([]uint64{1, 2}, []uint64{1, 2}).index(t)
	if l := h.Latencies(Options{}); len(l.Series.Value) != 2 || l.Series.Value[0] != 1 {
		t.Errorf("latencies from the witness on: %v, want 1 ms each", l.Series.Value)
	}
}

// TestForwardedRaw: raw frames that the generator published are followed by
// digest, but from the intended instant.
func TestForwardedRaw(t *testing.T) {
	s := newStory().viewer("v", "#")
	s.log.Index.Streams = []record.Stream{{Device: "f", Topic: "t/f", Foreign: true, Mode: "replay"}}
	for seq := uint64(1); seq <= 3; seq++ {
		s.add(record.Record{Kind: record.Sent, Flags: record.FlagForeign, Seq: seq, Due: due(seq), At: due(seq) + ms, Digest: seq + 10, Aux: 1})
		s.add(record.Record{Kind: record.Witnessed, Flags: record.FlagForeign, Node: nodeWitness, Digest: seq + 10, At: due(seq) + 2*ms})
	}
	for _, seq := range []uint64{1, 3} {
		s.add(record.Record{Kind: record.Received, Flags: record.FlagForeign, Node: s.viewers["v"], Digest: seq + 10, At: due(seq) + 5*ms})
	}
	h := s.index(t)
	if _, found := h.Delivery(Options{}); tell(found) != "lost 2" {
		t.Errorf("findings %q, want lost 2", tell(found))
	}
	l := h.Latencies(Options{})
	if len(l.Series.Value) != 3 || l.Series.Value[0] != 5 || l.Lost != 1 {
		t.Errorf("latencies %v, lost %d", l.Series.Value, l.Lost)
	}
}

// TestForeignRepeats: equal payloads are told apart by time too. A snapshot
// holds none of the future, and a second copy is not the next message.
func TestForeignRepeats(t *testing.T) {
	s := newStory().viewer("v", "#")
	s.log.Index.Streams = []record.Stream{{Device: "f", Topic: "t/f", Foreign: true, Mode: "replay"}}
	for seq := uint64(1); seq <= 4; seq++ {
		s.add(record.Record{Kind: record.Sent, Flags: record.FlagForeign, Seq: seq, Due: due(seq), At: due(seq), Digest: 7, Aux: 1})
	}
	receive := func(kind record.Kind, at int64) {
		s.add(record.Record{Kind: kind, Flags: record.FlagForeign, Node: s.viewers["v"], Digest: 7, At: at})
	}
	receive(record.Received, due(1)+ms)
	receive(record.Restored, due(1)+2*ms) // the value of message 1
	receive(record.Received, due(2)+ms)
	receive(record.Received, due(2)+2*ms) // message 2 once more
	receive(record.Received, due(3)+ms)
	receive(record.Received, due(4)+ms)
	h := s.index(t)
	if l := h.Latencies(Options{}); l.Negative != 0 || l.Lost != 0 || l.Series.Value[1] != 1 {
		t.Errorf("latencies %v, %d negative", l.Series.Value, l.Negative)
	}
	if a, found := h.Order(Options{}); a.Stale != 0 {
		t.Errorf("order %+v %q, want nothing stale", a, tell(found))
	}
	if d, found := h.Delivery(Options{}); d.Duplicated != 1 || d.Delivered != 4 {
		t.Errorf("delivery %+v %q, want one duplicate and four delivered", d, tell(found))
	}
}

func TestLeaks(t *testing.T) {
	s := newStory("a", "b").viewer("v", "#").viewer("w", "#").send(1).sendOn(1, 1).get("v", 1).getOn("v", 1, 1).get("w", 1)
	s.add(record.Record{Kind: record.Restored, Node: s.viewers["w"], Stream: 1, Seq: 1, At: due(2)})
	onlyA := func(_, topic string) bool { return topic == "t/a" }
	checked, leaks := s.index(t).Leaks(Options{}, onlyA)
	if checked != 4 || tell(leaks) != "leak 1, leak 1" {
		t.Errorf("%d checked, %q", checked, tell(leaks))
	}
	if _, leaks := s.index(t).Leaks(Options{Viewers: []string{"v"}}, onlyA); len(leaks) != 1 || !strings.HasPrefix(leaks[0].Subject, "v ") {
		t.Errorf("of one viewer: %+v", leaks)
	}
	all := func(string, string) bool { return true }
	if _, leaks := s.index(t).Leaks(Options{}, all); len(leaks) != 0 {
		t.Errorf("everything allowed: %+v", leaks)
	}
	s.add(record.Record{Kind: record.Received, Node: s.viewers["v"], Stream: record.NoStream, At: due(2)})
	if _, leaks := s.index(t).Leaks(Options{}, all); len(leaks) != 1 {
		t.Errorf("a message of nobody known is a leak: %+v", leaks)
	}
}

func TestMatches(t *testing.T) {
	for _, c := range []struct {
		filter, topic string
		want          bool
	}{
		{"a/b", "a/b", true}, {"a/b", "a/c", false}, {"a/b", "a", false}, {"a", "a/b", false},
		{"#", "a/b", true}, {"a/#", "a/b/c", true}, {"a/#", "a", true}, {"a/#", "ab", false},
		{"+", "a", true}, {"+", "a/b", false}, {"+/b", "a/b", true}, {"a/+/c", "a//c", true},
		{"+/+", "/a", true}, {"/+", "/a", true}, {"+", "/a", false},
		{"#", "$SYS/x", false}, {"+/x", "$SYS/x", false}, {"$SYS/#", "$SYS/x", true}, {"a/+", "a/$x", true},
		{"a/+/#", "a/b", true}, {"a/+/#", "a", false},
	} {
		if got := matches(c.filter, c.topic); got != c.want {
			t.Errorf("matches(%q, %q) = %v", c.filter, c.topic, got)
		}
	}
}

func TestIndexRefusesDamage(t *testing.T) {
	for name, r := range map[string]record.Record{
		"node":     {Kind: record.Received, Node: 99},
		"stream":   {Kind: record.Received, Stream: 99},
		"position": {Kind: record.Sent, Seq: 1 << 40},
	} {
		if _, err := Index(&newStory("a").add(r).log); err == nil {
			t.Errorf("%s out of bounds was indexed", name)
		}
	}
}

// TestOnePayloadForEver: a device that says the same each time and a system that
// delivers it again and again hold up no verdict, and every delivery is told.
func TestOnePayloadForEver(t *testing.T) {
	const n, times = 20_000, 5
	witnessed := make([]uint64, n)
	received := make([]uint64, n*times)
	for i := range witnessed {
		witnessed[i] = 7
	}
	for i := range received {
		received[i] = 7
	}
	h := foreignStory(witnessed, received).index(t)
	d, _ := h.Delivery(Options{})
	if d.Delivered != n || d.Lost != 0 || d.Duplicated+d.Repeated != n*(times-1) {
		t.Errorf("%+v", d)
	}
}
