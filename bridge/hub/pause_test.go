package hub

import (
	"slices"
	"testing"
	"time"
)

func TestPauseLastsAsLongAsTold(t *testing.T) {
	fine := newPause()
	defer fine.close()
	for name, p := range map[string]pause{"of the system": fine, "of the runtime": {}} {
		for _, d := range []time.Duration{time.Nanosecond, time.Millisecond, 3 * time.Millisecond, time.Millisecond} {
			start := time.Now()
			p.sleep(d)
			if took := time.Since(start); took < d {
				t.Errorf("%s: slept %v of %v", name, took, d)
			}
		}
	}
}

// BenchmarkPause shows how late the pacer's usual pause ends, beside a timer of the runtime.
func BenchmarkPause(b *testing.B) {
	const d = 1250 * time.Microsecond
	fine := newPause()
	defer fine.close()
	late := map[string][]time.Duration{}
	for b.Loop() {
		for name, p := range map[string]pause{"system": fine, "runtime": {}} {
			start := time.Now()
			p.sleep(d)
			late[name] = append(late[name], time.Since(start)-d)
		}
	}
	for name, all := range late {
		slices.Sort(all)
		b.ReportMetric(float64(all[len(all)/2].Microseconds()), name+"-late-p50-µs")
		b.ReportMetric(float64(all[len(all)*99/100].Microseconds()), name+"-late-p99-µs")
	}
}
