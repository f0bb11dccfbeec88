package load

import (
	"math"
	"runtime"
	"runtime/debug"
	"runtime/metrics"
	"sync"
	"time"

	"plumbline/reports"
)

// headroom is how many goroutines may run besides one per CPU: the metronome
// and the hiccup thread each hold one while they spin or wake.
const headroom = 2

// GCReport is what the runtime did to the process in a window.
type GCReport struct {
	Cycles          uint64        // of the garbage collector
	PauseMax        time.Duration // longest stop of the world for it
	SchedLatencyMax time.Duration // longest wait of a ready goroutine for a thread
	SchedLatencyP99 time.Duration
}

// calm is what Quiet made of the process, and what it was before.
var calm struct {
	sync.Mutex
	windows        int // that are open
	procs, percent int
	memory         int64
}

// Quiet keeps the garbage collector out of a window: it collects once now, then
// only when the memory in use nears limit bytes. It also lets the runtime use
// two threads more than there are CPUs, so that a thread that spins holds up no
// goroutine. Calling the result puts everything back and reports what happened
// in between; calling it again reports the same.
//
// The settings are those of the process. Of windows that overlap, as those of
// tests do, the first sets them, limit included, and the last to end puts them
// back; what one did to the process is in the reports of the others as well.
func Quiet(limit int64) (restore func() GCReport) {
	calm.Lock()
	defer calm.Unlock()
	runtime.GC()
	if calm.windows++; calm.windows == 1 {
		calm.procs = runtime.GOMAXPROCS(0)
		if calm.procs < runtime.NumCPU()+headroom {
			runtime.GOMAXPROCS(runtime.NumCPU() + headroom)
		}
		calm.memory = debug.SetMemoryLimit(limit)
		calm.percent = debug.SetGCPercent(-1)
	}
	before := readRuntime()
	return sync.OnceValue(func() GCReport {
		calm.Lock()
		defer calm.Unlock()
		report := before.until(readRuntime())
		if calm.windows--; calm.windows == 0 {
			debug.SetGCPercent(calm.percent)
			debug.SetMemoryLimit(calm.memory)
			runtime.GOMAXPROCS(calm.procs)
		}
		return report
	})
}

// Into enters the longest pause into a report.
func (g GCReport) Into(rig *reports.RigHealth) { rig.GCPauseMax = inMillis(g.PauseMax) }

// runtimeState holds the runtime metrics that GCReport is made of.
type runtimeState struct {
	cycles        uint64
	pauses, waits *metrics.Float64Histogram
}

func readRuntime() runtimeState {
	samples := []metrics.Sample{
		{Name: "/gc/cycles/total:gc-cycles"},
		{Name: "/sched/pauses/total/gc:seconds"},
		{Name: "/sched/latencies:seconds"},
	}
	metrics.Read(samples)
	var s runtimeState
	if samples[0].Value.Kind() == metrics.KindUint64 {
		s.cycles = samples[0].Value.Uint64()
	}
	s.pauses, s.waits = histogram(samples[1]), histogram(samples[2])
	return s
}

// histogram copies a histogram metric; nil when this runtime has no such.
func histogram(s metrics.Sample) *metrics.Float64Histogram {
	if s.Value.Kind() != metrics.KindFloat64Histogram {
		return nil
	}
	h := s.Value.Float64Histogram()
	return &metrics.Float64Histogram{Counts: append([]uint64(nil), h.Counts...), Buckets: append([]float64(nil), h.Buckets...)}
}

func (s runtimeState) until(later runtimeState) GCReport {
	return GCReport{
		Cycles:          later.cycles - s.cycles,
		PauseMax:        grown(s.pauses, later.pauses, 1),
		SchedLatencyMax: grown(s.waits, later.waits, 1),
		SchedLatencyP99: grown(s.waits, later.waits, 0.99),
	}
}

// grown returns the q-quantile of what was added between two readings of a
// histogram, as the upper edge of its bucket (the lower when that is infinite).
func grown(before, after *metrics.Float64Histogram, q float64) time.Duration {
	if before == nil || after == nil || len(before.Counts) != len(after.Counts) {
		return 0
	}
	total := uint64(0)
	for i := range after.Counts {
		total += after.Counts[i] - before.Counts[i]
	}
	want, seen := uint64(math.Ceil(q*float64(total))), uint64(0)
	for i := range after.Counts {
		seen += after.Counts[i] - before.Counts[i]
		if want > 0 && seen >= want {
			edge := after.Buckets[i+1]
			if math.IsInf(edge, 1) {
				edge = after.Buckets[i]
			}
			return time.Duration(edge * float64(time.Second))
		}
	}
	return 0
}
