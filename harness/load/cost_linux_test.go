package load

import (
	"slices"
	"syscall"
	"testing"
	"time"

	"plumbline/harness/record"
)

// cpuTime returns the CPU time of this process so far.
func cpuTime(tb testing.TB) time.Duration {
	tb.Helper()
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		tb.Fatal(err)
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

// BenchmarkGenerator says what 1,000 QoS 1 messages a second from 100 devices
// cost, acknowledgements and recording included, against a broker in a process
// of its own: percent of one core with and without the spin of the metronome
// (150 µs before each instant that is not late already), and the slip.
func BenchmarkGenerator(b *testing.B) {
	broker := startMosquitto(b)
	rec, err := record.NewRecorder(b.TempDir(), record.NewClock())
	if err != nil {
		b.Fatal(err)
	}
	g, err := NewGenerator(Config{Recorder: rec, Broker: broker, Run: testRun, Sequence: true, Sources: rampSources(100, time.Second, 1), Rate: 1000})
	if err != nil {
		b.Fatal(err)
	}
	if err := g.Connect(b.Context()); err != nil {
		b.Fatal(err)
	}
	restore := Quiet(1 << 30)
	const length = 5 * time.Second
	before, wall := cpuTime(b), time.Duration(0)
	for b.Loop() {
		if err := g.Run(b.Context(), length); err != nil {
			b.Fatal(err)
		}
		wall += length
	}
	used := cpuTime(b) - before
	restore()
	if err := g.WaitAcked(b.Context()); err != nil {
		b.Fatal(err)
	}
	if err := g.Close(); err != nil {
		b.Fatal(err)
	}
	if err := rec.Close(); err != nil {
		b.Fatal(err)
	}
	log, err := rec.Log()
	if err != nil {
		b.Fatal(err)
	}
	var slip []time.Duration
	for _, r := range kinds(log, record.Sent) {
		slip = append(slip, time.Duration(r.At-r.Due))
	}
	slices.Sort(slip)
	at := func(q float64) float64 { return float64(slip[int(q*float64(len(slip)-1))]) / 1e3 }
	b.ReportMetric(100*used.Seconds()/wall.Seconds(), "%core")
	b.ReportMetric(at(0.5), "slip-p50-µs")
	b.ReportMetric(at(0.99), "slip-p99-µs")
	b.ReportMetric(at(0.999), "slip-p99.9-µs")
	b.ReportMetric(float64(len(slip))/wall.Seconds(), "msg/s")
}
