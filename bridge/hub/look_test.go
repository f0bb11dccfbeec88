package hub

import (
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"plumbline/bridge/journal"
)

// kicked takes the loop's wake-up, if there is one.
func (b *bench) kicked() bool {
	select {
	case <-b.h.kick:
		return true
	default:
		return false
	}
}

// watched is a hub without its loop that looks at what is appended.
func watched(t *testing.T, o Options) *bench {
	t.Helper()
	o.FrameRate = 1 << 30
	b := newBench(t, journal.Options{}, o)
	t.Cleanup(b.j.Watch(b.h.look))
	return b
}

// TestFewAreToldByWhoAppends: what concerns few subscriptions is fanned out when Append returns, and the loop is not woken. What
// concerns many, or is large, or comes while somebody is at it, is left to the loop.
func TestFewAreToldByWhoAppends(t *testing.T) {
	for _, c := range []struct {
		name string
		subs int
		size int
		few  bool
		lock bool
	}{
		{name: "one", subs: 1, few: true},
		{name: "nobody", few: true},
		{name: "as many as may be", subs: fewFrames - 1, few: true},
		{name: "one more", subs: fewFrames},
		{name: "as much as may be", subs: 4, size: fewBytes / 4, few: true},
		{name: "more", subs: 4, size: fewBytes/4 + 1},
		{name: "busy", subs: 1, lock: true},
	} {
		t.Run(c.name, func(t *testing.T) {
			told := 0
			b := watched(t, Options{Tell: func(all func()) { told++; all() }})
			crowd := b.crowd(c.subs, "x")
			if c.lock {
				b.h.turn.Lock()
			}
			at := b.publish("x", strings.Repeat("a", c.size))
			if c.lock {
				b.h.turn.Unlock()
			}
			if kicked := b.kicked(); kicked == c.few {
				t.Errorf("the loop was woken: %v", kicked)
			}
			want := 0
			if c.few {
				want = c.subs
			}
			if crowd.times() != want || told != min(want, 1) {
				t.Errorf("%d subscriptions told of %d, in %d times", crowd.times(), want, told)
			}
			b.h.turn.Lock()
			if b.h.position != at && c.few {
				t.Errorf("at %d, want %d", b.h.position, at)
			}
			b.h.turn.Unlock()
		})
	}
}

// TestManyEntriesForFew: each subscription counts once, however many entries of a round are for it.
func TestManyEntriesForFew(t *testing.T) {
	b := watched(t, Options{})
	crowd := b.crowd(fewFrames/2, "#")
	b.h.turn.Lock()
	for range fewFrames / 2 {
		b.publish("x", "1")
	}
	b.h.turn.Unlock()
	b.h.look()
	if b.kicked(); crowd.times() != fewFrames/2 { // of the time before
		t.Errorf("%d told, want %d", crowd.times(), fewFrames/2)
	}
}

// TestTickOfWhatWasLookedAt: a group that conflates is served at its tick though the loop was asleep when its entry came.
func TestTickOfWhatWasLookedAt(t *testing.T) {
	b := newBench(t, journal.Options{}, Options{Progress: time.Hour})
	b.run()
	v := b.subscribe(SubscribeOptions{Filter: "x", Every: 5 * time.Millisecond})
	for i := range 3 {
		v.until(b.publish("x", fmt.Sprint(i)))
	}
}

// TestLookBesideRun: whoever fans out, and however many append at a time, every entry is told once and none is forgotten.
func TestLookBesideRun(t *testing.T) {
	const appenders, each = 4, 200
	b := newBench(t, journal.Options{}, Options{FrameRate: 1 << 30})
	b.run()
	few, many := b.subscribe(SubscribeOptions{Filter: "few/#"}), b.subscribe(SubscribeOptions{Filter: "#"})
	b.crowd(fewFrames, "many/#")
	var all sync.WaitGroup
	for i := range appenders {
		all.Go(func() {
			for n := range each {
				topic := "few"
				if n%2 == 1 {
					topic = "many"
				}
				b.publish(fmt.Sprintf("%s/%d", topic, i), fmt.Sprint(n))
			}
		})
	}
	all.Wait()
	end := b.publish("few/end", "")
	few.until(end)
	many.until(end)
	if len(few.got) != appenders*each/2+1 || len(many.got) != appenders*each+1 {
		t.Errorf("%d and %d of %d and %d", len(few.got), len(many.got), appenders*each/2+1, appenders*each+1)
	}
}
