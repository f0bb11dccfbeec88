package oracle

import (
	"math"
	"testing"

	"plumbline/harness/record"
	"plumbline/reports"
)

// TestPageHops: the legs behind a headless viewer, of messages that came to both ends.
func TestPageHops(t *testing.T) {
	s := newStory("a").viewer("v", "#").viewer("page", "#").viewer("page frame", "#").send(1, 2, 3).get("v", 1, 2)
	at := func(viewer string, seq uint64, after int64) {
		s.add(record.Record{Kind: record.Received, Node: s.viewers[viewer], Seq: seq, At: due(seq) + after})
	}
	at("page", 1, 3*ms)
	at("page", 2, 3*ms)
	at("page", 3, 3*ms)
	at("page frame", 1, 10*ms)
	hops := map[string]reports.Hop{}
	for _, hop := range s.index(t).PageHops("s", "v", "page", "page frame", Options{}) {
		hops[hop.Name] = hop
	}
	for name, want := range map[string]reports.Hop{
		"viewer → page":          {From: "t4", To: "t5", N: 2, P50: 2},
		"page → frame":           {From: "t5", To: "t6", N: 1, P50: 7},
		"whole way to the page":  {From: "t0i", To: "t5", N: 3, P50: 3},
		"whole way to the frame": {From: "t0i", To: "t6", N: 1, P50: 10},
	} {
		if hop := hops[name]; hop.N != want.N || hop.P50 != want.P50 || hop.From != want.From || hop.To != want.To {
			t.Errorf("%s: %+v, want %+v", name, hop, want)
		}
	}
}

// TestLatest: who is shown conflated data has a message when it has a newer one; what
// nothing newer came after is lost as ever.
func TestLatest(t *testing.T) {
	s := newStory("a").viewer("v", "#").send(1, 2, 3, 4).get("v", 3)
	l := s.index(t).Latencies(Options{})
	latest := l.Latest()
	for i, want := range []float64{21, 11, 1, math.Inf(1)} {
		if got := latest.Series.Value[i]; got != want {
			t.Errorf("message %d: %v ms, want %v", latest.Seq[i], got, want)
		}
	}
	if l.Lost != 3 || latest.Lost != 1 {
		t.Errorf("lost %d, then %d", l.Lost, latest.Lost)
	}
}

// TestLatestCountsWhatItLeaves: what could not be sent is no loss, and what a newer message outdid is neither.
func TestLatestCountsWhatItLeaves(t *testing.T) {
	s := newStory("a").viewer("v", "#").send(4, 5, 6, 7)
	for _, seq := range []uint64{1, 2, 3, 8} { // due, and never written
		s.add(record.Record{Kind: record.Blocked, Node: nodePublisher, Seq: seq, Due: due(seq)})
	}
	l := s.get("v", 4).index(t).Latencies(Options{})
	latest := l.Latest()
	if l.Lost != 3 || l.Blocked != 4 || latest.Lost != 3 || latest.Blocked != 1 {
		t.Errorf("%d lost and %d blocked, then %d and %d; want 3 and 4, then 3 and 1", l.Lost, l.Blocked, latest.Lost, latest.Blocked)
	}
}

// TestEveryWindowMustStand: windows that are judged together are all looked at: one that was never closed voids them.
func TestEveryWindowMustStand(t *testing.T) {
	s := newStory("a").viewer("v", "#").send(1, 2).get("v", 1, 2)
	s.event(due(1)-ms, record.WindowOpen, "first").event(due(1)+ms, record.WindowClose, "first").event(due(2)-ms, record.WindowOpen, "second")
	h := s.index(t)
	all := h.Latencies(Options{Window: "first"}).And(h.Latencies(Options{Window: "second"}))
	for _, gate := range (LatencyInput{Latency: all}).gates(0.99) {
		if gate.Reason == reports.ReasonInterrupted {
			return
		}
	}
	t.Error("the second window was never closed, and nothing says so")
}

// TestWhoseClock: a page's clock is no agent's.
func TestWhoseClock(t *testing.T) {
	use := ClockUse{Uncertainty: 1000, Names: []string{PageClock + "page-1", "host:1"}}
	if got := use.whose(); got != "page page-1, agent host:1" {
		t.Errorf("the clock of %s", got)
	}
}
