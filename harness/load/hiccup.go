package load

import (
	"context"
	"math"
	"slices"
	"sync"
	"time"

	"plumbline/harness/record"
	"plumbline/reports"
)

const (
	hiccupPeriod = time.Millisecond
	// maxGaps bounds the gap log: when it is full, the shorter ones go.
	maxGaps = 10_000
)

// Hiccup is a locked thread that measures how late its own 1 ms wake-ups are:
// what it suffers, every measurement of the same run suffers too.
type Hiccup struct {
	cancel context.CancelFunc
	done   chan struct{}
	once   sync.Once

	threshold time.Duration
	raised    bool // the threshold, above what was asked for
	lateness  Histogram
	gaps      []Gap
}

// Gap is a wake-up that came late by more than the threshold.
type Gap struct {
	At     int64 // when it should have come, ns on the run clock
	Length time.Duration
}

// HiccupReport is what the thread saw.
type HiccupReport struct {
	N        int64
	P50      time.Duration
	P99, Max time.Duration
	Gaps     []Gap         // at most 10,000, the longest ones, in the order of time
	GapsFrom time.Duration // Gaps holds all that are longer; 0 while those are all that were asked for
}

// StartHiccup starts the thread; wake-ups later than threshold are logged as
// gaps. Stop ends it.
func StartHiccup(clock *record.Clock, threshold time.Duration) *Hiccup {
	ctx, cancel := context.WithCancel(context.Background()) //nolint:gosec // G118: Stop calls it
	h := &Hiccup{cancel: cancel, done: make(chan struct{}), threshold: threshold}
	go h.run(ctx, clock)
	return h
}

func (h *Hiccup) run(ctx context.Context, clock *record.Clock) {
	defer close(h.done)
	m := newMetronome(clock, false) // as viewers are woken, not as the generator
	defer m.stop()
	for next := clock.Now() + int64(hiccupPeriod); ctx.Err() == nil; {
		m.sleeper.sleepUntil(next)
		late := time.Duration(max(clock.Now()-next, 0))
		h.lateness.Add(late)
		h.note(Gap{At: next, Length: late})
		// A missed wake-up is one hiccup, not a thousand: the count goes on from here.
		next = max(next, clock.Now()) + int64(hiccupPeriod)
	}
}

// note logs a gap. A log that is full doubles its threshold: what excuses a
// late message is a long gap, whenever it was.
func (h *Hiccup) note(g Gap) {
	for g.Length > h.threshold {
		if len(h.gaps) < maxGaps {
			h.gaps = append(h.gaps, g)
			return
		}
		h.threshold, h.raised = max(2*h.threshold, hiccupPeriod), true
		h.gaps = slices.DeleteFunc(h.gaps, func(g Gap) bool { return g.Length <= h.threshold })
	}
}

// Stop ends the thread and returns what it saw. It may be called again.
func (h *Hiccup) Stop() HiccupReport {
	h.once.Do(h.cancel)
	<-h.done
	from := time.Duration(0)
	if h.raised {
		from = h.threshold
	}
	return HiccupReport{
		N: h.lateness.N(), P50: h.lateness.Quantile(0.5), P99: h.lateness.Quantile(0.99),
		Max: h.lateness.Max(), Gaps: h.gaps, GapsFrom: from,
	}
}

// Into enters the figures into a report.
func (r HiccupReport) Into(rig *reports.RigHealth) {
	rig.HiccupP99, rig.HiccupMax = inMillis(r.P99), inMillis(r.Max)
}

func inMillis(d time.Duration) reports.Float {
	return reports.Float(float64(d) / float64(time.Millisecond))
}

// Histogram counts durations in buckets a hundredth of a power of two to ten
// apart, 1 % wide, without allocating. The zero value is ready. It belongs to
// one goroutine.
type Histogram struct {
	buckets [64 * perOctave]int64
	n       int64
	max     time.Duration
}

// perOctave gives buckets that are 1.1 % wide.
const perOctave = 64

// Add counts one duration; below a nanosecond counts as one.
func (h *Histogram) Add(d time.Duration) {
	i := int(math.Log2(float64(max(d, 1))) * perOctave)
	h.buckets[min(i, len(h.buckets)-1)]++
	h.n++
	h.max = max(h.max, d)
}

// N returns how many durations were counted.
func (h *Histogram) N() int64 { return h.n }

// Max returns the largest.
func (h *Histogram) Max() time.Duration { return h.max }

// Quantile returns the upper edge of the bucket that holds the q-quantile, at
// most Max; 0 when nothing was counted.
func (h *Histogram) Quantile(q float64) time.Duration {
	want := int64(math.Ceil(q * float64(h.n)))
	seen := int64(0)
	for i, c := range h.buckets {
		seen += c
		if c > 0 && seen >= want {
			return min(time.Duration(math.Exp2(float64(i+1)/perOctave)), h.max)
		}
	}
	return h.max
}
