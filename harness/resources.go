package harness

import (
	"time"

	"plumbline/harness/record"
	"plumbline/reports"
)

// maxUsages bounds the samples of Resources.
const maxUsages = 300

// Resources returns what the system under test used on this bench, with the faults
// that were injected; false when it was looked at less than twice. Where there are
// many samples, those that lie together become one: the worst of each, the CPU time
// of the last. The files hold all of them.
func (r *Recorded) Resources(scenario string) (reports.Resources, bool) {
	if len(r.Usage) < 2 {
		return reports.Resources{}, false
	}
	out := reports.Resources{Name: r.folder, Scenario: scenario, Samples: []reports.Usage{}}
	group := (len(r.Usage) + maxUsages - 1) / maxUsages
	for i, u := range r.Usage {
		next := reports.Usage{At: time.Duration(u.At), CPU: u.CPU, RSS: int64(u.RSS), Files: u.Files, Threads: u.Threads}
		if n := len(out.Samples); i%group != 0 {
			last := &out.Samples[n-1]
			next.RSS, next.Files, next.Threads = max(next.RSS, last.RSS), max(next.Files, last.Files), max(next.Threads, last.Threads)
			*last = next
			continue
		}
		out.Samples = append(out.Samples, next)
	}
	out.Faults = r.faults(out.Samples[len(out.Samples)-1].At)
	return out, true
}

// faults returns the windows of the faults on the run clock; one that was never
// taken back lasts until end. A damaged file gives those before the damage: whoever
// judges the recording tells of it.
func (r *Recorded) faults(end time.Duration) (list []reports.FaultWindow) {
	events, _ := record.LoadEvents(r.dir)
	for _, e := range events {
		switch e.Kind {
		case record.FaultOnset:
			list = append(list, reports.FaultWindow{Name: e.Subject, Onset: time.Duration(e.At), End: max(end, time.Duration(e.At))})
		case record.FaultEnd:
			for i := len(list) - 1; i >= 0; i-- {
				if list[i].Name == e.Subject {
					list[i].End = time.Duration(e.At)
					break
				}
			}
		}
	}
	return list
}
