package archive

import (
	"cmp"
	"fmt"
	"maps"
	"math"
	"slices"
	"strings"
	"time"

	"plumbline/reports"
)

// Record is what the archive keeps of a run.
type Record struct {
	ID        string
	Path      string // of its directory, relative to the store, with slashes
	Started   time.Time
	Finished  time.Time
	System    string
	Version   string // of the system under test
	Profile   reports.Profile
	Bench     string // kinds and modes of the devices, and their places in the virtual bench
	Machine   map[string]string
	Overall   reports.Verdict
	Certified bool
	Partial   string // why the run is not whole
	Selected  bool   // something was deselected
	Floor     float64
	Judged    []Judged // in the order of the catalogue
}

// Judged is a requirement in a run.
type Judged struct {
	ID       string
	Title    string
	Class    reports.Class
	Verdict  reports.Verdict
	Reason   reports.Reason
	Headline string
	Figures  []Measured
}

// Measured is one figure behind a verdict. Smaller is better: every limit of the
// catalogue is an upper one.
type Measured struct {
	Scenario string
	Unit     string
	Quantile float64 // 0 for what is no quantile
	Value    float64 // never NaN; +Inf for what never came
	Limit    float64
	Guard    float64 // U of the figure
}

// Whole reports whether nothing was left out of the run.
func (r *Record) Whole() bool { return r.Partial == "" && !r.Selected }

func newRecord(dir string, run *reports.Run) *Record {
	r := &Record{
		ID: run.ID, Path: dir, Started: run.Started.UTC(), Finished: run.Finished.UTC(), System: run.SUT.Name, Version: run.SUT.Version,
		Profile: run.Profile, Bench: benchOf(run), Machine: run.Environment, Overall: run.Overall, Certified: run.Certified(),
		Partial: run.Partial, Selected: run.Deselected != nil, Floor: float64(run.Rig.FloorP99),
	}
	for _, j := range run.Judgements() {
		judged := Judged{ID: j.Requirement.ID, Title: j.Requirement.Title, Class: j.Requirement.Class, Verdict: j.Verdict, Reason: j.Reason}
		if j.Deciding != nil {
			judged.Headline = j.Deciding.Headline
		}
		for _, res := range j.Standing {
			judged.add(res)
		}
		r.Judged = append(r.Judged, judged)
	}
	return r
}

// add keeps the figure of a result, unless a validity gate voided it. Of several
// attempts the last counts.
func (j *Judged) add(res *reports.Result) {
	m := res.Measurement
	if m == nil || math.IsNaN(float64(m.Estimate)) || res.Reason.Voids() {
		return
	}
	figure := Measured{Scenario: res.Scenario, Unit: m.Unit, Quantile: m.Quantile, Value: float64(m.Estimate), Limit: float64(m.Limit), Guard: m.Guard}
	for i := range j.Figures {
		if j.Figures[i].Scenario == res.Scenario {
			j.Figures[i] = figure
			return
		}
	}
	j.Figures = append(j.Figures, figure)
}

// benchOf says what kinds of devices took part and where they stand: figures of
// different ones are not put into one series.
func benchOf(run *reports.Run) string {
	kinds := map[string]int{}
	for _, d := range run.Devices {
		kinds[string(d.Mode)+" "+d.Kind+" "+d.Place()]++
	}
	parts := make([]string, 0, len(kinds))
	for _, kind := range slices.Sorted(maps.Keys(kinds)) {
		parts = append(parts, fmt.Sprintf("%d %s", kinds[kind], strings.TrimSpace(kind)))
	}
	if len(parts) == 0 {
		return "no devices"
	}
	return strings.Join(parts, ", ")
}

func inOrder(a, b Record) int {
	return cmp.Or(a.Started.Compare(b.Started), strings.Compare(a.ID, b.ID))
}

// sameMachine reports whether two runs were made on one machine, as far as they say.
func sameMachine(a, b *Record) bool { return len(machineDiffers(a, b)) == 0 }

// machineDiffers names what differs between the machines of two runs. Load is no
// property of one.
func machineDiffers(a, b *Record) (what []string) {
	keys := map[string]bool{}
	for key := range a.Machine {
		keys[key] = true
	}
	for key := range b.Machine {
		keys[key] = true
	}
	for _, key := range slices.Sorted(maps.Keys(keys)) {
		if was, is := a.Machine[key], b.Machine[key]; was != is && !strings.HasPrefix(key, "load") {
			what = append(what, fmt.Sprintf("%s %q, then %q", key, was, is))
		}
	}
	return what
}
