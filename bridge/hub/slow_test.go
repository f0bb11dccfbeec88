package hub

import (
	"fmt"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"plumbline/bridge/journal"
)

// A viewer that never pulls costs no notification after the first, and no batch
// beyond the ring's bound is kept for it.
func TestStalledViewerCostsNothing(t *testing.T) {
	b := newBench(t, journal.Options{}, Options{RingBytes: 4096, BatchBytes: 512})
	b.run()
	var calls atomic.Int64
	s, answer, err := b.h.Subscribe(SubscribeOptions{Filter: "#", Notify: func() { calls.Add(1) }})
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	var last uint64
	for range 500 {
		last = b.publish("a", strings.Repeat("x", 100))
	}
	waitFor(t, "fan-out", func() bool { return b.h.Stats().Position == last })
	if n := calls.Load(); n != 1 {
		t.Errorf("%d notifications for a viewer that does not pull, want 1", n)
	}
	if st := b.h.Stats(); st.RingBytes > 4096+2048 {
		t.Errorf("ring holds %d bytes, bound is 4096", st.RingBytes)
	}
	v := &viewer{t: t, s: s, answer: answer, cursor: answer.Cursor.Offset, bell: make(chan struct{})}
	v.until(last)
	if len(v.got) != int(last) || b.h.Stats().CatchUps == 0 {
		t.Fatalf("%d readings after the stall, want %d; %d catch-ups", len(v.got), last, b.h.Stats().CatchUps)
	}
}

func TestHubFellBehindRetention(t *testing.T) {
	b := newBench(t, journal.Options{Sync: journal.SyncOS, SegmentBytes: 4096, RetainBytes: 8192, TailBytes: 1}, Options{})
	v := b.subscribe(SubscribeOptions{Filter: "#"})
	var last uint64
	for range 400 {
		last = b.publish("a", strings.Repeat("x", 200))
	}
	waitFor(t, "retention", func() bool { return b.j.Stats().DiskBytes <= 8192 })
	b.run()
	v.until(last)
	if len(v.gaps) == 0 || v.gaps[0].From != 0 {
		t.Fatalf("gaps %+v", v.gaps)
	}
	if v.gaps[len(v.gaps)-1].To != b.j.First()-1 {
		t.Fatalf("gaps %+v, but entries from %d on can be read", v.gaps, b.j.First())
	}
	var missing uint64
	for _, g := range v.gaps {
		missing += g.Count
	}
	if uint64(len(v.got))+missing != last || b.h.Stats().Gaps == 0 {
		t.Fatalf("%d delivered + %d declared, want %d", len(v.got), missing, last)
	}
}

// Those who find no slot to catch up are called, in order, when one is free; who
// has gone is passed over.
func TestN78CatchUpSlots(t *testing.T) {
	var called []int
	subs := make([]*Subscription, 5)
	for i := range subs {
		subs[i] = &Subscription{notify: func() { called = append(called, i) }}
	}
	q := slots{free: 2}
	for i, s := range subs {
		if got := q.take(s); got != (i < 2) {
			t.Fatalf("taker %d of 2 slots: %v", i, got)
		}
	}
	q.take(subs[3]) // asking twice is being called once
	subs[2].closed.Store(true)
	q.give()
	if !slices.Equal(called, []int{3}) || !q.take(subs[3]) || q.take(subs[4]) {
		t.Fatalf("called %v, %d slots free", called, q.free)
	}
	for range 3 {
		q.give()
	}
	if !slices.Equal(called, []int{3, 4}) || q.free != 3 || len(q.queue) != 0 {
		t.Fatalf("called %v, %d slots free, %d wait", called, q.free, len(q.queue))
	}
}

// A viewer that waits for its turn to catch up is told when it comes.
func TestCatchUpWaitsForItsTurn(t *testing.T) {
	b := newBench(t, journal.Options{}, Options{CatchUps: 1})
	b.run()
	for i := range 20 {
		b.publish("a", fmt.Sprint(i))
	}
	waitFor(t, "fan-out", func() bool { return b.h.Stats().Position == 20 })
	v := b.subscribe(SubscribeOptions{Filter: "a", Since: &journal.Cursor{Epoch: b.j.Epoch()}})
	other := &Subscription{notify: func() {}}
	if !b.h.catchUp.take(other) {
		t.Fatal("no slot in the beginning")
	}
	<-v.bell // it begins behind
	if batches, gap, more := v.s.Pull(1 << 20); batches != nil || gap != nil || more {
		t.Fatal("caught up without a slot")
	}
	b.h.catchUp.give()
	v.until(20)
	if len(v.got) != 20 {
		t.Fatalf("%d readings", len(v.got))
	}
}

// What the groups keep for their viewers is bounded for all of them together.
func TestRingsShareTheirBound(t *testing.T) {
	const total, batch = 20_000, 500
	b := newBench(t, journal.Options{}, Options{TotalBytes: total, BatchBytes: batch})
	b.run()
	filters := []string{"#", "+", "a", "a/#", "+/#"}
	for _, filter := range filters {
		b.subscribe(SubscribeOptions{Filter: filter})
	}
	var last uint64
	for range 500 {
		last = b.publish("a", strings.Repeat("x", 100))
	}
	waitFor(t, "fan-out", func() bool { return b.h.Stats().Position == last })
	if st := b.h.Stats(); st.RingBytes > total+int64(len(filters))*(2*batch+400) {
		t.Errorf("%d groups keep %d bytes, bound is %d", st.Groups, st.RingBytes, total)
	}
}

// What is held for ticks that are far off is bounded, and given back with its group.
func TestHeldForTicksIsBounded(t *testing.T) {
	const total = 20_000
	b := newBench(t, journal.Options{}, Options{TotalBytes: total})
	b.run()
	v := b.subscribe(SubscribeOptions{Filter: "#", Every: time.Hour})
	held := func() int64 {
		b.h.mu.Lock()
		defer b.h.mu.Unlock()
		return b.h.held
	}
	var last uint64
	for i := range 500 {
		last = b.publish(fmt.Sprint("t/", i), strings.Repeat("x", 100))
	}
	waitFor(t, "fan-out", func() bool { return b.h.Stats().Position == last })
	if n := held(); n == 0 || n > total+slotBytes+100 {
		t.Errorf("%d bytes are held, bound is %d", n, total)
	}
	v.s.Close()
	if n := held(); n != 0 {
		t.Errorf("%d bytes are held for nobody", n)
	}
}
