package hub

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"time"

	"plumbline/bridge/journal"
)

// busy keeps the hub behind the journal's head: each notification of its
// subscription appends one more entry before the loop looks at the head again.
func (b *bench) busy() {
	b.t.Helper()
	var s *Subscription
	ready := make(chan struct{})
	s, _, err := b.h.Subscribe(SubscribeOptions{Filter: "busy", Notify: func() {
		<-ready
		for more := true; more; {
			_, _, more = s.Pull(1 << 20)
		}
		if _, _, err := b.j.Append(context.Background(), journal.Message{Topic: "busy"}); err != nil {
			b.t.Errorf("append: %v", err)
		}
	}})
	if err != nil {
		b.t.Fatal(err)
	}
	close(ready)
	b.publish("busy", "")
}

func (v *viewer) called(what string) {
	v.t.Helper()
	select {
	case <-v.bell:
	case <-time.After(time.Minute):
		v.t.Fatalf("not notified within a minute: %s", what)
	}
}

// A hub that never reaches the head, because more comes all the time, still
// serves those who resume, moves quiet groups on and ends when told.
func TestBusyHubNeglectsNobody(t *testing.T) {
	b := newBench(t, journal.Options{}, Options{Progress: 10 * time.Millisecond, FrameRate: 1 << 30})
	for range 3 {
		b.publish("old", "x")
	}
	b.h = New(b.j, b.h.opts) // starts at the head
	quiet := b.subscribe(SubscribeOptions{Filter: "quiet"})
	b.busy()
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	ended := make(chan error, 1)
	go func() { ended <- b.h.Run(ctx) }()
	waitFor(t, "the hub to be busy", func() bool { return b.h.Stats().Rounds > 10 })

	old := b.subscribe(SubscribeOptions{Filter: "old", Since: &journal.Cursor{Epoch: b.j.Epoch()}})
	old.called("a subscription that begins behind")
	quiet.s.Pull(1) // waits from now on
	quiet.called("the progress of a quiet group")
	cancel()
	select {
	case err := <-ended:
		if err != nil {
			t.Fatal(err)
		}
	case <-time.After(time.Minute):
		t.Fatal("Run has not ended a minute after its context")
	}
}

// Who is called to catch up and does not come, because his connection is stalled
// or gone, does not keep the others from the free slot.
func TestStalledViewerDoesNotBlockCatchUp(t *testing.T) {
	b := newBench(t, journal.Options{}, Options{CatchUps: 1, Progress: time.Hour})
	b.run()
	for range 20 {
		b.publish("a", "x")
	}
	waitFor(t, "fan-out", func() bool { return b.h.Stats().Position == 20 })
	since := &journal.Cursor{Epoch: b.j.Epoch()}
	other := &Subscription{notify: func() {}}
	if !b.h.catchUp.take(other) {
		t.Fatal("no slot in the beginning")
	}
	var viewers []*viewer
	for range 4 {
		v := b.subscribe(SubscribeOptions{Filter: "a", Since: since})
		v.called("it begins behind")
		v.pull(1 << 20)
		viewers = append(viewers, v)
	}
	b.h.giveSlot()
	viewers[0].called("its turn to catch up") // and never pulls
	viewers[1].called("the turn of one who did not come")
	viewers[1].s.Close()
	viewers[2].called("the turn of one who has gone")
	viewers[3].called("the turn of another one who did not come")
}

// Who could not read the journal tries again although nothing new comes.
func TestFailedCatchUpIsTriedAgain(t *testing.T) {
	b := newBench(t, journal.Options{}, Options{Progress: 10 * time.Millisecond})
	b.publish("a", "x")
	b.h = New(b.j, b.h.opts)
	b.run()
	v := b.subscribe(SubscribeOptions{Filter: "a", Since: &journal.Cursor{Epoch: b.j.Epoch()}})
	v.called("it begins behind")
	if v.s.stuck(errors.New("too many open files")) {
		t.Fatal("asked to pull again at once")
	}
	v.called("time to try again")
	v.until(1)
	v.want("1 a x")
}

// What is remembered of topics is bounded together with the groups they reach.
func TestRoutesCountTheirGroups(t *testing.T) {
	var r routes
	for range 2000 {
		r.add("#", new(group))
	}
	for i := range 5000 {
		r.find(fmt.Sprint("topic/", i))
	}
	held := 0
	for _, known := range r.known {
		held += 8 * cap(known.groups)
	}
	if held > routeBytes+64<<10 {
		t.Fatalf("%d topics hold %d bytes of groups, bound is %d", len(r.known), held, routeBytes)
	}
	r.add("topic/+", new(group))
	for i := range 5000 {
		if n := len(r.find(fmt.Sprint("topic/", i)).groups); n != 2001 {
			t.Fatalf("%d groups, want 2001", n)
		}
	}
}
