package hub

import (
	"testing"
	"time"

	"plumbline/bridge/journal"
)

// crowd is subscriptions that are counted when they are told, and pull nothing by themselves.
type crowd struct {
	subs []*Subscription
	told []int // by place in subs
}

func (b *bench) crowd(n int, filter string) *crowd {
	b.t.Helper()
	c := &crowd{told: make([]int, n)}
	for i := range n {
		s, _, err := b.h.Subscribe(SubscribeOptions{Filter: filter, Notify: func() { c.told[i]++ }})
		if err != nil {
			b.t.Fatal(err)
		}
		c.subs = append(c.subs, s)
	}
	return c
}

func (c *crowd) times() (n int) {
	for _, told := range c.told {
		n += told
	}
	return n
}

// pull takes what i has and reports whether that was one empty batch up to the offset.
func (c *crowd) pull(i int, to uint64) bool {
	batches, gap, more := c.subs[i].Pull(1)
	return len(batches) == 1 && batches[0].Count == 0 && batches[0].To == to && gap == nil && !more
}

// round runs one round of a hub without its loop.
func (b *bench) round() {
	b.t.Helper()
	if wait, err := b.h.step(allFrames); err != nil || wait != 0 {
		b.t.Fatalf("a round waits for %v (%v)", wait, err)
	}
}

// quietCrowd is a hub without its loop, whose crowd is behind because of an entry that is not for it.
func quietCrowd(t *testing.T, n int) (*bench, *crowd, uint64) {
	t.Helper()
	b := newBench(t, journal.Options{}, Options{Progress: 10 * time.Second, FrameRate: 1 << 30})
	c := b.crowd(n, "quiet")
	to := b.publish("other", "x")
	b.round()
	b.h.moveQuietGroups()
	return b, c, to
}

// A crowd that only waits is not told of its progress all at once: that would be as many frames, behind which everybody's live
// readings would stand. Each is told once, within the time until the next progress.
func TestQuietCrowdMovesOnBitByBit(t *testing.T) {
	const n = 20_000
	b, c, to := quietCrowd(t, n)
	if told := c.times(); told > 0 {
		t.Fatalf("%d of %d were told at once", told, n)
	}
	start, most, before := time.Now(), 0, 0
	now := start
	for wait := b.h.stroll(now); wait != idle; wait = b.h.stroll(now) {
		if told := c.times(); told > before {
			most, before = max(most, told-before), told
		}
		if wait <= 0 || now.Sub(start) > time.Minute {
			t.Fatalf("after %v, with %d of %d told, the next are due in %v", now.Sub(start), before, n, wait)
		}
		now = now.Add(wait)
	}
	if took := now.Sub(start); took >= b.h.opts.Progress || most > n/100 {
		t.Errorf("it took %v of %v, and up to %d of %d were told at a time", took, b.h.opts.Progress, most, n)
	}
	for i, told := range c.told {
		if told != 1 || !c.pull(i, to) {
			t.Fatalf("subscription %d was told %d times, or did not get one empty batch then", i, told)
		}
	}
	if got := b.h.Stats().Notified; got != n {
		t.Errorf("%d notifications were counted of %d", got, n)
	}
}

// A reading does not wait for the progress: all are told of it at once, and who took both then is not told again. Nor is who
// pulled by himself, or has left.
func TestQuietCrowdIsToldOfReadingsAtOnce(t *testing.T) {
	const n = 1000
	b, c, to := quietCrowd(t, n)
	now := time.Now()
	b.h.stroll(now)
	early := c.times()
	if early == 0 || early == n {
		t.Fatalf("%d of %d were told at first", early, n)
	}
	for i, told := range c.told { // as who was told does
		if told > 0 && !c.pull(i, to) {
			t.Fatalf("subscription %d got no empty batch", i)
		}
	}
	b.publish("quiet", "y")
	b.round()
	if told := c.times(); told != early+n {
		t.Fatalf("%d of %d were told of a reading", told-early, n)
	}
	for _, s := range c.subs {
		for more := true; more; {
			_, _, more = s.Pull(1)
		}
	}
	for wait := b.h.stroll(now); wait != idle; wait = b.h.stroll(now) {
		now = now.Add(wait)
	}
	if told := c.times(); told != early+n {
		t.Errorf("%d were told once more of what they had", told-early-n)
	}

	to = b.publish("other", "z")
	b.round()
	b.h.moveQuietGroups()
	clear(c.told)
	c.subs[1].Close()
	if !c.pull(0, to) {
		t.Fatal("who was not told yet got nothing")
	}
	for wait := b.h.stroll(now); wait != idle; wait = b.h.stroll(now) {
		now = now.Add(wait)
	}
	if told := c.times(); told != n-2 || c.told[0]+c.told[1] != 0 {
		t.Errorf("%d were told, want %d; who had pulled %d times and who had left %d times", told, n-2, c.told[0], c.told[1])
	}
}

// Who could not be told before the next progress is told after it, and once.
func TestQuietCrowdThatIsLate(t *testing.T) {
	const n = 1000
	b, c, _ := quietCrowd(t, n)
	now := time.Now()
	b.h.stroll(now)
	early := c.times()
	to := b.publish("other", "z")
	b.round()
	b.h.moveQuietGroups()
	now = now.Add(b.h.opts.Progress)
	for wait := b.h.stroll(now); wait != idle; wait = b.h.stroll(now) {
		now = now.Add(wait)
	}
	if told := c.times(); told != n {
		t.Errorf("%d of %d were told, %d of them before the second progress", told, n, early)
	}
	for i, s := range c.subs {
		if batches, _, more := s.Pull(1 << 20); len(batches) != 2 || batches[1].To != to || more {
			t.Fatalf("subscription %d got %d batches", i, len(batches))
		}
	}
}
