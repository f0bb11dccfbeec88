package load

import (
	"context"
	"errors"
	"math"
	"math/rand/v2"
	"runtime"
	"runtime/debug"
	"slices"
	"testing"
	"time"

	"plumbline/harness/record"
	"plumbline/reports"
)

func TestMeasureFloor(t *testing.T) {
	for _, secure := range []bool{false, true} {
		f, err := MeasureFloor(testContext(t), FloorConfig{Rate: 1000, Messages: 300, TLS: secure})
		if err != nil {
			t.Fatal(err)
		}
		if f.N != 300 || f.P50 <= 0 || f.P50 > f.P99 || f.P99 > f.P999 || f.P999 > f.Max {
			t.Errorf("TLS %v: %+v", secure, f)
		}
		var rig reports.RigHealth
		f.Into(&rig)
		if float64(rig.FloorP99) != float64(f.P99)/1e6 {
			t.Errorf("report says %v ms, measured %v", rig.FloorP99, f.P99)
		}
	}
}

func TestMeasureFloorStops(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := MeasureFloor(ctx, FloorConfig{Messages: 1_000_000}); !errors.Is(err, context.Canceled) {
		t.Errorf("cancelled: %v", err)
	}
}

// TestMetronomeNeverEarly: whatever the machine does, an instant is never
// answered before its time. How late it is, is measured and not asserted.
func TestMetronomeNeverEarly(t *testing.T) {
	clock := record.NewClock()
	m := newMetronome(clock, true)
	defer m.stop()
	at := clock.Now()
	for range 50 {
		at += int64(time.Millisecond)
		if err := m.wait(t.Context(), at); err != nil {
			t.Fatal(err)
		}
		if now := clock.Now(); now < at {
			t.Fatalf("woke %v early", time.Duration(at-now))
		}
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := m.wait(ctx, clock.Now()+int64(time.Hour)); !errors.Is(err, context.Canceled) {
		t.Errorf("cancelled wait: %v", err)
	}
}

func TestHiccup(t *testing.T) {
	clock := record.NewClock()
	h := StartHiccup(clock, 0)
	start := clock.Now()
	until(t, "a fifth of a second", func() bool { return clock.Now()-start > int64(200*time.Millisecond) })
	r := h.Stop()
	if r.N == 0 || r.P50 > r.P99 || r.P99 > r.Max || r.Max <= 0 || len(r.Gaps) == 0 {
		t.Errorf("%d wake-ups, p50 %v, p99 %v, max %v, %d gaps", r.N, r.P50, r.P99, r.Max, len(r.Gaps))
	}
	longest := slices.MaxFunc(r.Gaps, func(a, b Gap) int { return int(a.Length - b.Length) })
	if longest.Length != r.Max {
		t.Errorf("longest gap %v, largest lateness %v", longest.Length, r.Max)
	}
	if again := h.Stop(); again.N != r.N {
		t.Errorf("stopped again: %d wake-ups, before %d", again.N, r.N)
	}
}

// TestFullGapLogKeepsTheLongest: a long gap after very many short ones is what
// a late message is excused with.
func TestFullGapLogKeepsTheLongest(t *testing.T) {
	h := &Hiccup{threshold: time.Millisecond}
	for i := range 3 * maxGaps {
		h.note(Gap{At: int64(i), Length: time.Duration(1001+i%900) * time.Microsecond})
	}
	last := Gap{At: 3 * maxGaps, Length: time.Second}
	h.note(last)
	if shortest := slices.MinFunc(h.gaps, func(a, b Gap) int { return int(a.Length - b.Length) }).Length; !h.raised || shortest <= h.threshold {
		t.Errorf("gaps from %v on are told to be logged, the shortest is %v", h.threshold, shortest)
	}
	if n := len(h.gaps); n == 0 || n > maxGaps || h.gaps[n-1] != last {
		t.Errorf("%d gaps are logged, the longest is not the last of them", n)
	}
	if !slices.IsSortedFunc(h.gaps, func(a, b Gap) int { return int(a.At - b.At) }) {
		t.Error("the log is out of order")
	}
}

func TestHistogram(t *testing.T) {
	var h Histogram
	if h.Quantile(0.5) != 0 {
		t.Error("nothing has a median")
	}
	rng := rand.New(rand.NewPCG(1, 1))
	var all []float64
	for range 10_000 {
		d := time.Duration(math.Exp(10 + 3*rng.NormFloat64()))
		h.Add(d)
		all = append(all, float64(d))
	}
	slices.Sort(all)
	for _, q := range []float64{0.01, 0.5, 0.99, 0.999, 1} {
		want := all[int(math.Ceil(q*float64(len(all))))-1]
		if got := float64(h.Quantile(q)); got < want*0.999-1 || got > want*1.012+1 {
			t.Errorf("quantile %v: %v, want %v to %v", q, got, want, want*1.012)
		}
	}
	h.Add(-time.Second) // a clock that went wrong must not panic
	h.Add(math.MaxInt64)
	if h.Max() != math.MaxInt64 || h.N() != 10_002 {
		t.Errorf("max %v of %d", h.Max(), h.N())
	}
}

func TestQuiet(t *testing.T) {
	procs := runtime.GOMAXPROCS(0)
	percent := debug.SetGCPercent(100)
	defer debug.SetGCPercent(percent)
	restore := Quiet(1 << 30)
	if got := runtime.GOMAXPROCS(0); got < runtime.NumCPU()+headroom {
		t.Errorf("%d threads in the window, want room for the metronome", got)
	}
	garbage := 0
	for range 200 {
		garbage += len(make([]byte, 1<<16)) // 13 MB: several cycles at GOGC 100
	}
	during := restore()
	if during.Cycles != 0 {
		t.Errorf("%d collections in a quiet window with %d bytes of garbage", during.Cycles, garbage)
	}
	if got := debug.SetGCPercent(100); got != 100 {
		t.Errorf("GOGC is %d after the window, want 100", got)
	}
	if got := runtime.GOMAXPROCS(0); got != procs {
		t.Errorf("%d threads after the window, want %d", got, procs)
	}
	if again := restore(); again != during {
		t.Errorf("asked again: %+v, before %+v", again, during)
	}
	loud := Quiet(1 << 30)
	runtime.GC()
	if r := loud(); r.Cycles == 0 || r.PauseMax <= 0 {
		t.Errorf("a collection in the window is not reported: %+v", r)
	}
}

// Windows that overlap put back what was before the first of them, and not sooner
// than the last of them ends.
func TestQuietWindowsOverlap(t *testing.T) {
	procs, memory := runtime.GOMAXPROCS(0), debug.SetMemoryLimit(-1)
	percent := debug.SetGCPercent(100)
	defer debug.SetGCPercent(percent)
	first, second := Quiet(1<<30), Quiet(2<<30)
	first()
	if r := first(); runtime.GOMAXPROCS(0) < runtime.NumCPU()+headroom || debug.SetMemoryLimit(-1) != 1<<30 || r.Cycles == 0 {
		t.Errorf("%d threads and a limit of %d while the second lasts; %+v in the first", runtime.GOMAXPROCS(0), debug.SetMemoryLimit(-1), r)
	}
	if got := debug.SetGCPercent(-1); got != -1 {
		t.Errorf("GOGC is %d while the second lasts", got)
	}
	second()
	if got := debug.SetGCPercent(100); got != 100 {
		t.Errorf("GOGC is %d after both, want 100", got)
	}
	if got, limit := runtime.GOMAXPROCS(0), debug.SetMemoryLimit(-1); got != procs || limit != memory {
		t.Errorf("%d threads and a limit of %d after both, want %d and %d", got, limit, procs, memory)
	}
}
