package ingest

import (
	"fmt"
	"strings"
	"sync"
	"testing"
)

// TestWhoDoesNotReadHoldsUpNobody: a publisher, who writes to subscribers himself, does not wait for one that does not read; that one
// has everything when it does, in order.
func TestWhoDoesNotReadHoldsUpNobody(t *testing.T) {
	const n = 300 // × 60 KB are more than the sockets hold
	b, _ := start(t, nil)
	s := dial(t, b, 5).ok(login{id: "s", clean: true})
	s.sub("x", 0, nil)
	p := dial(t, b, 5).ok(login{id: "p", clean: true})
	pad := strings.Repeat("x", 60_000)
	for i := range n {
		p.publish("x", fmt.Sprint(i, " ", pad), 1, uint16(i+1), 0, nil)
		p.want(4)
	}
	for i := range n {
		if number, _, _ := strings.Cut(s.next().payload, " "); number != fmt.Sprint(i) {
			t.Fatalf("got %s, want %d", number, i)
		}
	}
}

// TestOfferedInPart: what a client takes only in part when it is offered is finished before anything else is written to it.
func TestOfferedInPart(t *testing.T) {
	b, _ := start(t, nil)
	s := dial(t, b, 5).ok(login{id: "s", clean: true})
	s.quiet() // its session is up
	c := sessionOf(b, "s").connection()
	var rest func()
	n := 0
	for ; rest == nil; n++ {
		rest = c.offer(s.publishPacket("x", fmt.Sprint(n, strings.Repeat("x", 60_000)), 0, 0, 0, nil))
	}
	var later sync.WaitGroup
	later.Go(func() { _, _ = c.Write(s.publishPacket("x", "after", 0, 0, 0, nil)) })
	if other := c.offer(s.publishPacket("x", "after", 0, 0, 0, nil)); other == nil {
		t.Error("written behind a part of a packet")
	} else {
		later.Go(other)
	}
	later.Go(rest)
	for i := range n {
		if got := s.next().payload; !strings.HasPrefix(got, fmt.Sprint(i, "x")) {
			t.Fatalf("got %.10q, want %d", got, i)
		}
	}
	for range 2 {
		if got := s.next().payload; got != "after" {
			t.Errorf("got %q", got)
		}
	}
	later.Wait()
}

// TestFewSessionsAreOfferedAtOnce: when a message is acknowledged it has been offered to few sessions; many are left to the dispatcher.
func TestFewSessionsAreOfferedAtOnce(t *testing.T) {
	b, j := start(t, nil)
	b.stop() // no dispatcher
	b.runs.Wait()
	t.Cleanup(j.Watch(b.sessions.look))
	var subs []*client
	p := dial(t, b, 5).ok(login{id: "p", clean: true})
	for i := range fewSessions + 1 {
		p.storm("x", i, 1)
		if got, want := b.sessions.position.Load(), uint64(min(i, fewSessions)+1); got != want {
			t.Errorf("%d sessions: offered up to %d, want %d", i, got, want)
		}
		s := dial(t, b, 5).ok(login{id: fmt.Sprint(i), clean: true})
		s.sub("x", 1, nil)
		subs = append(subs, s)
	}
	p.storm("x", 77, 1)
	if got := b.sessions.position.Load(); got != fewSessions+1 {
		t.Errorf("%d sessions: offered up to %d, want %d", len(subs), got, fewSessions+1)
	}
	b.sessions.round()
	for i, s := range subs {
		for n := i + 1; n <= fewSessions; n++ {
			s.next()
		}
		if got := s.next().payload; got != "77" {
			t.Errorf("%d got %q", i, got)
		}
	}
}
