package oracle

import (
	"strings"
	"testing"
	"time"

	"plumbline/harness/record"
)

func TestDelivery(t *testing.T) {
	for _, c := range []struct {
		name     string
		story    func() *story
		inside   bool
		want     Delivery
		findings string
	}{
		{
			name:  "clean",
			story: func() *story { return newStory("a").viewer("v", "#").send(1, 2, 3).get("v", 1, 2, 3) },
			want:  Delivery{Messages: 3, Owed: 3, Delivered: 3},
		},
		{
			name:     "one lost",
			story:    func() *story { return newStory("a").viewer("v", "#").send(1, 2, 3).get("v", 1, 3) },
			want:     Delivery{Messages: 3, Owed: 3, Delivered: 2, Lost: 1},
			findings: "lost 2",
		},
		{
			name: "lost for one viewer of two",
			story: func() *story {
				return newStory("a").viewer("v", "#").viewer("w", "t/+").send(1, 2).get("v", 1, 2).get("w", 1)
			},
			want:     Delivery{Messages: 2, Owed: 4, Delivered: 3, Lost: 1},
			findings: "lost 2",
		},
		{
			name:  "never confirmed",
			story: func() *story { return newStory("a").viewer("v", "#").write(0, 1) },
			want:  Delivery{Messages: 1, Owed: 1, Unconfirmed: 1}, findings: "lost? 1",
		},
		{
			name:  "witnessed but not acknowledged",
			story: func() *story { return newStory("a").viewer("v", "#").write(0, 1).witness(0, 1) },
			want:  Delivery{Messages: 1, Owed: 1, Lost: 1}, findings: "lost 1",
		},
		{
			name:  "acknowledged, but the witness never saw it",
			story: func() *story { return newStory("a").viewer("v", "#").write(0, 1).ack(0, 1) },
			want:  Delivery{Messages: 1, Owed: 1, Unconfirmed: 1}, findings: "lost? 1",
		},
		{
			name:   "the same with the broker inside the system",
			story:  func() *story { return newStory("a").viewer("v", "#").write(0, 1).ack(0, 1) },
			inside: true,
			want:   Delivery{Messages: 1, Owed: 1, Lost: 1}, findings: "lost 1",
		},
		{
			name: "acknowledged where no witness looked",
			story: func() *story {
				s := newStory("a").viewer("v", "#").write(0, 1).ack(0, 1)
				s.log.Index.Nodes[nodeWitness].Filters = []string{"t/other"}
				return s
			},
			want: Delivery{Messages: 1, Owed: 1, Lost: 1}, findings: "lost 1",
		},
		{
			name: "missing in a partial recording",
			story: func() *story {
				s := newStory("a").viewer("v", "#").send(1).get("v", 7)
				s.log.Partial = true
				return s
			},
			inside: true,
			want:   Delivery{Messages: 1, Owed: 1, Unconfirmed: 1}, findings: "lost? 1, phantom? 7",
		},
		{
			name:     "sent again where no witness looked, and twice at the viewer",
			story:    func() *story { return newStory("a").viewer("v", "#").write(0, 1).write(0, 1).ack(0, 1).get("v", 1, 1) },
			want:     Delivery{Messages: 1, Owed: 1, Delivered: 1, Repeated: 1},
			findings: "duplicate? 1",
		},
		{
			name: "blocked is owed to nobody",
			story: func() *story {
				return newStory("a").viewer("v", "#").add(record.Record{Kind: record.Blocked, Stream: 0, Seq: 1, Due: due(1)})
			},
			want: Delivery{Blocked: 1},
		},
		{
			name:  "outside the filters",
			story: func() *story { return newStory("a", "b").viewer("v", "t/b").send(1).sendOn(1, 1).getOn("v", 1, 1) },
			want:  Delivery{Messages: 2, Owed: 1, Delivered: 1},
		},
		{
			name:     "twice",
			story:    func() *story { return newStory("a").viewer("v", "#").send(1, 2).get("v", 1, 2, 1) },
			want:     Delivery{Messages: 2, Owed: 2, Delivered: 2, Duplicated: 1},
			findings: "duplicate 1",
		},
		{
			name:     "twice, and twice at the witness",
			story:    func() *story { return newStory("a").viewer("v", "#").send(1).witness(0, 1).get("v", 1, 1) },
			want:     Delivery{Messages: 1, Owed: 1, Delivered: 1, Repeated: 1},
			findings: "duplicate? 1",
		},
		{
			name:   "the same with the broker inside the system",
			story:  func() *story { return newStory("a").viewer("v", "#").send(1).witness(0, 1).get("v", 1, 1) },
			inside: true,
			want:   Delivery{Messages: 1, Owed: 1, Delivered: 1, Duplicated: 1}, findings: "duplicate 1",
		},
		{
			name:   "sent again over a new connection, as QoS 1 has it",
			story:  func() *story { return sentAgain(record.FlagDup, due(1)+2*ms) },
			inside: true,
			want:   Delivery{Messages: 1, Owed: 1, Delivered: 1, Repeated: 1}, findings: "redelivered? 1",
		},
		{
			name:   "sent again over a new connection without DUP",
			story:  func() *story { return sentAgain(0, due(1)+2*ms) },
			inside: true,
			want:   Delivery{Messages: 1, Owed: 1, Delivered: 1, Duplicated: 1}, findings: "duplicate 1",
		},
		{
			name:   "sent again with DUP over the connection on which it had come",
			story:  func() *story { return sentAgain(record.FlagDup, due(1)+ms/2) },
			inside: true,
			want:   Delivery{Messages: 1, Owed: 1, Delivered: 1, Duplicated: 1}, findings: "duplicate 1",
		},
		{
			name:   "sent again with DUP long after it must have been acknowledged",
			story:  func() *story { return sentAgain(record.FlagDup, due(1)+2*int64(time.Minute)) },
			inside: true,
			want:   Delivery{Messages: 1, Owed: 1, Delivered: 1, Duplicated: 1}, findings: "duplicate 1",
		},
		{
			name: "changed on its way",
			story: func() *story {
				s := newStory("a").viewer("v", "#").send(1)
				return s.add(record.Record{Kind: record.Received, Flags: record.FlagCorrupt, Node: s.viewers["v"], Stream: 0, At: due(1) + ms})
			},
			want:     Delivery{Messages: 1, Owed: 1, Lost: 1, Corrupted: 1},
			findings: "lost 1, corrupt 0",
		},
		{
			name: "of nobody",
			story: func() *story {
				s := newStory("a").viewer("v", "#").send(1).get("v", 1)
				return s.add(record.Record{Kind: record.Received, Node: s.viewers["v"], Stream: record.NoStream, Seq: 9, At: due(1) + ms})
			},
			want: Delivery{Messages: 1, Owed: 1, Delivered: 1, Phantom: 1}, findings: "phantom 9",
		},
		{
			name: "of nobody, between two windows",
			story: func() *story {
				s := newStory("a").viewer("v", "#").send(1, 5).get("v", 1, 5)
				s.add(record.Record{Kind: record.Received, Node: s.viewers["v"], Stream: record.NoStream, Seq: 8, At: ms})
				s.add(record.Record{Kind: record.Received, Node: s.viewers["v"], Stream: record.NoStream, Seq: 9, At: due(3)})
				return s.event(due(1), record.WindowOpen, "w1").event(due(2), record.WindowClose, "w1").
					event(due(4), record.WindowOpen, "w2").event(due(6), record.WindowClose, "w2")
			},
			want: Delivery{Messages: 2, Owed: 2, Delivered: 2, Phantom: 1}, findings: "phantom 9",
		},
		{
			name:     "never sent",
			story:    func() *story { return newStory("a").viewer("v", "#").send(1).get("v", 1, 7) },
			want:     Delivery{Messages: 1, Owed: 1, Delivered: 1, Phantom: 1},
			findings: "phantom 7",
		},
		{
			name: "under the topic of another",
			story: func() *story {
				s := newStory("a", "b").viewer("v", "#").send(1).get("v", 1)
				return s.add(record.Record{Kind: record.Received, Flags: record.FlagMisrouted, Node: s.viewers["v"], Stream: 0, Seq: 1, At: due(1) + 2*ms})
			},
			want: Delivery{Messages: 1, Owed: 1, Delivered: 1, Misrouted: 1}, findings: "misrouted 1",
		},
		{
			name: "after the drain",
			story: func() *story {
				return newStory("a").viewer("v", "#").send(1, 2).get("v", 1, 2).event(due(2), record.DrainEnd, "")
			},
			want: Delivery{Messages: 2, Owed: 2, Delivered: 1, Lost: 1}, findings: "lost 2",
		},
		{
			name: "outside the window",
			story: func() *story {
				return newStory("a").viewer("v", "#").send(1, 2, 3).get("v", 2).
					event(due(2), record.WindowOpen, "w").event(due(3), record.WindowClose, "w")
			},
			want: Delivery{Messages: 1, Owed: 1, Delivered: 1},
		},
		{
			name: "before the viewer was subscribed",
			story: func() *story {
				return newStory("a").viewer("v", "#").send(1, 2, 3).get("v", 3).event(due(3)-1, record.Subscribed, "v")
			},
			want: Delivery{Messages: 3, Owed: 1, Delivered: 1},
		},
		{
			name: "resent and delivered once",
			story: func() *story {
				s := newStory("a").viewer("v", "#").write(0, 1)
				return s.add(record.Record{Kind: record.Sent, Flags: record.FlagDup, Stream: 0, Seq: 1, Due: due(1), At: due(5), Aux: 2}).ack(0, 1).get("v", 1)
			},
			want: Delivery{Messages: 1, Owed: 1, Delivered: 1},
		},
	} {
		h := c.story().index(t)
		got, found := h.Delivery(Options{BrokerInside: c.inside, Requirement: "DEL-01"})
		if got != c.want {
			t.Errorf("%s: %+v, want %+v", c.name, got, c.want)
		}
		if tell(found) != c.findings {
			t.Errorf("%s: findings %q, want %q", c.name, tell(found), c.findings)
		}
		for _, f := range found {
			if f.Requirement != "DEL-01" || f.Evidence == "" || f.Subject == "" || f.Detail == "" || len(f.Context) == 0 {
				t.Errorf("%s: finding without its evidence: %+v", c.name, f)
			}
		}
	}
}

func TestContextIsBounded(t *testing.T) {
	s := newStory("a").viewer("v", "#").send(numbers(1, 200)...).get("v", numbers(1, 100)...).get("v", 50).get("v", numbers(101, 200)...)
	_, found := s.index(t).Delivery(Options{})
	if len(found) != 1 || len(found[0].Context) != maxContext {
		t.Fatalf("%d findings with %d lines of context, want 1 with %d", len(found), len(found[0].Context), maxContext)
	}
	marked := 0
	for _, line := range found[0].Context {
		if strings.HasPrefix(line, ">") {
			marked++
			if !strings.Contains(line, "v received a #50") {
				t.Errorf("marked line %q", line)
			}
		}
	}
	if marked != 1 {
		t.Errorf("%d marked lines, want 1: %q", marked, found[0].Context)
	}
}

func TestFindingsAreBounded(t *testing.T) {
	s := newStory("a").viewer("v", "#").send(numbers(1, 500)...)
	account, found := s.index(t).Delivery(Options{})
	if account.Lost != 500 || len(found) != maxFindings {
		t.Errorf("%d lost, %d findings, want 500 and %d", account.Lost, len(found), maxFindings)
	}
	if len(found[0].Context) == 0 || len(found[1].Context) != 0 {
		t.Error("the first finding has the context, the others have none")
	}
}

func TestOrder(t *testing.T) {
	for _, c := range []struct {
		name     string
		story    func() *story
		inside   bool
		want     Order
		findings string
	}{
		{
			name:  "in order",
			story: func() *story { return newStory("a").viewer("v", "#").send(1, 2, 3).get("v", 1, 2, 3) },
			want:  Order{Deliveries: 2},
		},
		{
			name:  "a gap is no reordering",
			story: func() *story { return newStory("a").viewer("v", "#").send(1, 2, 3).get("v", 1, 3) },
			want:  Order{Deliveries: 1},
		},
		{
			name:     "neighbours swapped",
			story:    func() *story { return newStory("a").viewer("v", "#").send(1, 2, 3).get("v", 1, 3, 2) },
			want:     Order{Deliveries: 2, Reordered: 1},
			findings: "reordered 2",
		},
		{
			name:     "first message late",
			story:    func() *story { return newStory("a").viewer("v", "#").send(1, 2, 3).get("v", 2, 3, 1) },
			want:     Order{Deliveries: 2, Reordered: 1},
			findings: "reordered 1",
		},
		{
			name: "swapped at the witness too",
			story: func() *story {
				s := newStory("a").viewer("v", "#")
				s.write(0, 1).write(0, 2).witness(0, 2).witness(0, 1)
				return s.get("v", 2, 1)
			},
			want:     Order{Deliveries: 1, Excused: 1},
			findings: "reordered? 1",
		},
		{
			name:   "the same with the broker inside the system",
			inside: true,
			story: func() *story {
				s := newStory("a").viewer("v", "#")
				s.write(0, 1).write(0, 2).witness(0, 2).witness(0, 1)
				return s.get("v", 2, 1)
			},
			want: Order{Deliveries: 1, Reordered: 1}, findings: "reordered 1",
		},
		{
			name: "devices do not order each other",
			story: func() *story {
				return newStory("a", "b").viewer("v", "#").send(1, 2).sendOn(1, 1, 2).getOn("v", 1, 1, 2).get("v", 1, 2)
			},
			want: Order{Deliveries: 2},
		},
		{
			name:  "a duplicate is no reordering",
			story: func() *story { return newStory("a").viewer("v", "#").send(1, 2, 3).get("v", 1, 2, 3, 1) },
			want:  Order{Deliveries: 2},
		},
		{
			name: "snapshot older than live",
			story: func() *story {
				s := newStory("a").viewer("v", "#").send(1, 2, 3).get("v", 1, 2, 3)
				return s.add(record.Record{Kind: record.Restored, Node: s.viewers["v"], Stream: 0, Seq: 2, At: due(4)})
			},
			want: Order{Deliveries: 2, Stale: 1}, findings: "stale 2",
		},
		{
			name: "snapshot as new as live",
			story: func() *story {
				s := newStory("a").viewer("v", "#").send(1, 2).get("v", 1, 2)
				return s.add(record.Record{Kind: record.Restored, Node: s.viewers["v"], Stream: 0, Seq: 2, At: due(4)})
			},
			want: Order{Deliveries: 1},
		},
		{
			name: "live older than the snapshot",
			story: func() *story {
				s := newStory("a").viewer("v", "#").send(1, 2, 3)
				return s.add(record.Record{Kind: record.Restored, Node: s.viewers["v"], Stream: 0, Seq: 2, At: due(3)}).get("v", 1, 3)
			},
			want: Order{Deliveries: 1, Stale: 1}, findings: "stale 1",
		},
		{
			name: "journal offset goes back",
			story: func() *story {
				s := newStory("a", "b").viewer("v", "#").send(1).sendOn(1, 1).get("v", 1)
				s.offset = 0
				return s.getOn("v", 1, 1)
			},
			want: Order{Backwards: 1}, findings: "offset-backwards 1",
		},
	} {
		got, found := c.story().index(t).Order(Options{BrokerInside: c.inside})
		if got != c.want {
			t.Errorf("%s: %+v, want %+v", c.name, got, c.want)
		}
		if tell(found) != c.findings {
			t.Errorf("%s: findings %q, want %q", c.name, tell(found), c.findings)
		}
	}
}

// sentAgain is a message that a viewer got twice, the second time with flags, and
// lost its connection at an instant.
func sentAgain(flags uint8, lost int64) *story {
	s := newStory("a").viewer("v", "#").send(1).get("v", 1).event(0, record.Subscribed, "v").event(lost, record.Disconnected, "v").event(lost+ms, record.Subscribed, "v")
	return s.add(record.Record{Kind: record.Received, Flags: flags, Node: s.viewers["v"], Stream: 0, Seq: 1, At: lost + 3*ms})
}
