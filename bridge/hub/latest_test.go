package hub

import (
	"context"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"strings"
	"sync"
	"testing"
	"time"

	"plumbline/bridge/journal"
)

// run is a part of a stream for which the number of conflated entries was told:
// one batch, or several of which all but the last were open.
type interval struct {
	from, to  uint64
	delivered []uint64
	conflated uint64
	counted   bool
}

// account is what one viewer that conflates was given.
type account struct {
	t      *testing.T
	v      *viewer
	runs   []interval
	open   bool
	gaps   []Gap
	topics map[uint64]string // of what was delivered
}

// pull takes once what is ready and books it.
func (a *account) pull(maxBytes int) (more bool) {
	batches, gap, more := a.v.s.Pull(maxBytes)
	if gap != nil {
		if gap.From != a.v.cursor || gap.To < gap.From || (gap.To == gap.From) != (gap.Count == 0) {
			a.t.Errorf("gap %+v at %d", gap, a.v.cursor)
		}
		a.gaps = append(a.gaps, *gap)
		a.open, a.v.cursor = false, gap.To
	}
	for _, b := range batches {
		var f struct {
			frame
			Conflated *uint64 `json:"conflated"`
			Open      bool    `json:"open"`
		}
		if err := json.Unmarshal(append([]byte("{"), b.Body...), &f); err != nil {
			a.t.Fatalf("%s: %v", b.Body, err)
		}
		if f.From != a.v.cursor || f.To != b.To || f.To < f.From || len(f.Readings) != b.Count || f.Open != b.Open || f.Open == (f.Conflated != nil) {
			a.t.Fatalf("batch %+v after %d: %.200s", b, a.v.cursor, b.Body)
		}
		if !a.open {
			a.runs = append(a.runs, interval{from: f.From})
		}
		r := &a.runs[len(a.runs)-1]
		last, seen := f.From, map[string]bool{}
		for _, one := range f.Readings {
			if one.O <= last || one.O > f.To || seen[one.Topic] {
				a.t.Fatalf("reading %d of %s after %d in (%d,%d]", one.O, one.Topic, last, f.From, f.To)
			}
			last, seen[one.Topic] = one.O, true
			a.topics[one.O] = one.Topic
			r.delivered = append(r.delivered, one.O)
		}
		r.to, a.v.cursor, a.open = f.To, f.To, f.Open
		if !f.Open {
			r.counted, r.conflated = true, *f.Conflated
		}
	}
	return more
}

// until pulls until the cursor reaches offset and the count is closed.
func (a *account) until(offset uint64) {
	a.t.Helper()
	deadline := time.After(time.Minute)
	for a.v.cursor < offset || a.open {
		for a.pull(1 << 20) {
		}
		if a.v.cursor >= offset && !a.open {
			return
		}
		select {
		case <-a.v.bell:
		case <-deadline:
			a.t.Fatalf("still waiting for %d, at %d, open %v", offset, a.v.cursor, a.open)
		}
	}
}

// judge holds the account against the ledger: delivered and conflated are all that
// was let through, and what was conflated was replaced by what was delivered, or by
// what a gap took. It returns how many parts had a count.
func (a *account) judge(l *ledger, wanted func(topic string) bool, start uint64) (counted int) {
	a.t.Helper()
	gone := func(o uint64) bool {
		for _, g := range a.gaps {
			if o > g.From && o <= g.To {
				return true
			}
		}
		return false
	}
	newest := map[string]uint64{}
	for o := uint64(len(l.entries)); o > start; o-- { // from the end: what comes later replaces
		name := l.topic(o)
		if a.topics[o] != "" || gone(o) {
			newest[name] = o
		} else if wanted(name) && newest[name] == 0 && o <= a.v.cursor {
			a.t.Fatalf("%d of %s was neither delivered nor replaced, nor in %+v", o, name, a.gaps)
		}
	}
	for _, r := range a.runs {
		if !r.counted {
			continue
		}
		counted++
		n := uint64(0)
		for o := r.from + 1; o <= r.to; o++ {
			if wanted(l.topic(o)) {
				n++
			}
		}
		if n != uint64(len(r.delivered))+r.conflated {
			a.t.Fatalf("(%d,%d]: %d delivered and %d conflated of %d", r.from, r.to, len(r.delivered), r.conflated, n)
		}
	}
	return counted
}

// TestConservation lets writers and stalling viewers that conflate run against each
// other: each entry is delivered, or counted as conflated and replaced, or in a gap.
func TestConservation(t *testing.T) {
	for _, c := range []struct {
		name string
		jo   journal.Options
		ho   Options
		each int
	}{
		{"roomy", journal.Options{}, Options{}, 600},
		{"small", journal.Options{}, Options{RingBytes: 1500, BatchBytes: 200, CatchUps: 1, Progress: 2 * time.Millisecond}, 600},
		{"little held", journal.Options{}, Options{TotalBytes: 4000, BatchBytes: 200}, 600},
		{"from disk", journal.Options{TailBytes: 1000, SegmentBytes: 8192, Sync: journal.SyncOS}, Options{RingBytes: 1000}, 300},
		{"evicting", journal.Options{TailBytes: 1000, SegmentBytes: 4096, RetainBytes: 8192, Sync: journal.SyncOS}, Options{RingBytes: 1000, BatchBytes: 200}, 300},
	} {
		for seed := uint64(1); seed <= 3; seed++ {
			t.Run(fmt.Sprintf("%s/seed %d", c.name, seed), func(t *testing.T) {
				b := newBench(t, c.jo, c.ho)
				b.run()
				runConservation(t, b, seed, c.each)
			})
		}
	}
}

func runConservation(t *testing.T, b *bench, seed uint64, each int) {
	t.Helper()
	l := &ledger{entries: make(map[uint64]string)}
	ctx, stop := context.WithCancel(context.Background())
	defer stop()
	var viewing, writing sync.WaitGroup
	type watcher struct {
		account
		start  uint64
		wanted func(string) bool
	}
	watchers := make([]*watcher, 10)
	for i := range watchers {
		r := rand.New(rand.NewPCG(seed, uint64(100+i)))
		o := SubscribeOptions{Filter: randomFilter(r), Every: time.Duration(1+r.IntN(20)) * time.Millisecond, Snapshot: r.IntN(3) == 0}
		if r.IntN(3) == 0 {
			o.Access = Access{Key: "no-b", Allow: func(name string) bool { return !strings.Contains(name, "b") }}
		}
		w := &watcher{wanted: func(name string) bool { return allowed(o.Filter, o.Access, name) }}
		watchers[i] = w
		viewing.Go(func() {
			w.account = account{t: t, v: b.subscribe(o), topics: map[uint64]string{}}
			w.start = w.v.cursor
			for ctx.Err() == nil {
				switch r.IntN(6) {
				case 0: // slower than many ticks
					select {
					case <-time.After(time.Duration(r.IntN(40)) * time.Millisecond):
					case <-ctx.Done():
					}
				default:
					if !w.pull(1 + r.IntN(3000)) {
						select {
						case <-w.v.bell:
						case <-ctx.Done():
						}
					}
				}
			}
		})
	}
	for n := range 3 {
		r := rand.New(rand.NewPCG(seed, uint64(n)))
		writing.Go(func() {
			for i := range each {
				m := journal.Message{Topic: randomTopic(r), Payload: fmt.Append(nil, n, "-", i, strings.Repeat(".", r.IntN(60)))}
				if r.IntN(100) == 0 {
					m.Payload, m.Retain = nil, true // clears the last value
				}
				offset, _, err := b.j.Append(ctx, m)
				if err != nil {
					t.Error(err)
					return
				}
				l.add(offset, m.Topic, string(m.Payload))
				if r.IntN(4) == 0 {
					<-time.After(time.Duration(r.IntN(400)) * time.Microsecond)
				}
			}
		})
	}
	writing.Wait()
	stop()
	viewing.Wait()
	last := b.publish("a", "end")
	l.add(last, "a", "end")
	for _, w := range watchers {
		end := last
		for end > w.start && !w.wanted(l.topic(end)) {
			end--
		}
		w.until(end)
		// Who does not want the end may have seen nothing but a gap.
		if counted := w.judge(l, w.wanted, w.start); counted == 0 && end == last {
			t.Error("nothing was counted")
		}
	}
}

// TestFarBehindIsGivenThePresent: a viewer that slept through a hundred thousand
// entries of a few topics reads the last values and not the journal, and its count
// is exact.
func TestFarBehindIsGivenThePresent(t *testing.T) {
	b := newBench(t, journal.Options{}, Options{})
	b.run()
	a := account{t: t, v: b.subscribe(SubscribeOptions{Filter: "t/#", Every: time.Millisecond}), topics: map[uint64]string{}}
	const entries = 100_000
	var last uint64
	for i := range entries {
		name := fmt.Sprint("t/", i%7)
		if i%10 == 0 {
			name = "other"
		}
		last = b.publish(name, fmt.Sprint(i))
	}
	waitFor(t, "fan-out", func() bool { return b.h.Stats().Position == last })
	before := b.h.Stats().CatchUps
	a.until(last)
	delivered, conflated := 0, uint64(0)
	for _, r := range a.runs {
		delivered += len(r.delivered)
		conflated += r.conflated
	}
	if uint64(delivered)+conflated != entries*9/10 || delivered > 7*keepTicks {
		t.Errorf("%d delivered and %d conflated of %d", delivered, conflated, entries*9/10)
	}
	if n := b.h.Stats().CatchUps - before; n > 4 {
		t.Errorf("%d reads of the journal or the last values", n)
	}
}

// TestSampleIsOncePerInterval: one batch in each interval, and viewers that ask for
// the same share it.
func TestSampleIsOncePerInterval(t *testing.T) {
	b := newBench(t, journal.Options{}, Options{})
	b.run()
	const every = 40 * time.Millisecond
	first := account{t: t, v: b.subscribe(SubscribeOptions{Filter: "#", Every: every}), topics: map[uint64]string{}}
	second := account{t: t, v: b.subscribe(SubscribeOptions{Filter: "#", Every: every}), topics: map[uint64]string{}}
	begin := time.Now()
	var last uint64
	for i := 0; len(first.runs) < 5; i++ { // pulled as they come, or a late viewer is given the present
		if last = b.publish(fmt.Sprint("t/", i%3), "x"); time.Since(begin) > time.Minute {
			t.Fatalf("%d batches in a minute", len(first.runs))
		}
		for first.pull(1<<20) || second.pull(1<<20) {
		}
	}
	first.until(last)
	second.until(last)
	took := time.Since(begin)
	if n := len(first.runs); n < 2 || n > int(took/every)+2 {
		t.Errorf("%d batches in %s", n, took)
	}
	if s := b.h.Stats(); s.Groups != 1 || s.Batches > uint64(len(first.runs))+1 || s.Conflated+s.Readings != last {
		t.Errorf("%+v with %d batches pulled", s, len(first.runs))
	}
	if len(first.runs) != len(second.runs) {
		t.Errorf("%d and %d batches", len(first.runs), len(second.runs))
	}
}

// TestCountBreaksWhereTheHubSkips: what the hub itself never saw is in a gap, and in no count of conflated entries.
func TestCountBreaksWhereTheHubSkips(t *testing.T) {
	b := newBench(t, journal.Options{Sync: journal.SyncOS, SegmentBytes: 4096, RetainBytes: 8192, TailBytes: 1}, Options{})
	a := account{t: t, v: b.subscribe(SubscribeOptions{Filter: "#", Every: time.Millisecond}), topics: map[uint64]string{}}
	for range 400 {
		b.publish("a", strings.Repeat("x", 200))
	}
	waitFor(t, "retention", func() bool { return b.j.Stats().DiskBytes <= 8192 })
	b.run()
	last := b.publish("a", "end")
	a.until(last)
	all := uint64(0)
	for _, r := range a.runs {
		all += uint64(len(r.delivered)) + r.conflated
	}
	for _, g := range a.gaps {
		all += g.Count
	}
	if len(a.gaps) == 0 || all != last {
		t.Errorf("%d delivered, conflated or in one of %d gaps, want %d", all, len(a.gaps), last)
	}
}

// TestSentAt: how many entries were let through up to an offset is known on both sides of where the hub stands.
func TestSentAt(t *testing.T) {
	b := newBench(t, journal.Options{}, Options{})
	v := b.subscribe(SubscribeOptions{Filter: "a", Every: time.Hour})
	var last uint64
	for i := range 30 {
		last = b.publish([]string{"a", "a", "b"}[i%3], "x")
	}
	if sent, ok := v.s.sentAt(last); !ok || sent != 20 {
		t.Errorf("before the hub was there: %d, %v, want 20", sent, ok)
	}
	b.run()
	waitFor(t, "fan-out", func() bool { return b.h.Stats().Position == last })
	for offset, want := range map[uint64]uint64{last: 20, last - 1: 20, last - 2: 19, last - 15: 10, 0: 0} {
		if sent, ok := v.s.sentAt(offset); !ok || sent != want {
			t.Errorf("at %d: %d, %v, want %d", offset, sent, ok, want)
		}
	}
}
