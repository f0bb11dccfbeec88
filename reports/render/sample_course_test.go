package render

import (
	"fmt"
	"math"
	"math/rand/v2"
	"strings"
	"time"

	"plumbline/reports"
)

// sampleCourse adds what a run may leave out: rasters, ways back, resources, budget
// and gates.
func sampleCourse(run *reports.Run) {
	steady, killed := reports.Raster{Scenario: "steady load", Slot: 500 * time.Millisecond}, reports.Raster{Scenario: "bridge killed", Slot: 500 * time.Millisecond}
	for _, d := range run.Devices[:37] {
		steady.Rows = append(steady.Rows, reports.RasterRow{Device: d.ID, Cells: strings.Repeat("o", 120)})
	}
	for i, fate := range []string{"b", "d"} {
		cells := strings.Repeat("o", 18) + strings.Repeat(fate, 3) + strings.Repeat("o", 45) + "bbbbbb" + strings.Repeat("o", 18)
		killed.Rows = append(killed.Rows, reports.RasterRow{Device: run.Devices[i].ID, Cells: cells})
	}
	run.Rasters = []reports.Raster{steady, killed}
	run.Recoveries = []reports.Recovery{sampleRecovery("bridge killed", 3), sampleRecovery("reconnect storm", 100)}
	run.Resources = []reports.Resources{sampleResources("steady load", 120, nil), sampleResources("bridge killed", 90, sampleTimeline().Faults)}
	run.Uncertainty = &reports.Uncertainty{Combined: 0.032, Expanded: 0.064, Applied: 0.3, Source: "judgement: one host, with a margin for a shared machine", Components: []reports.Component{
		{Name: "reading of the clock", Distribution: "rectangular ±20 ns", Standard: 0.000012},
		{Name: "stamp after the event", Distribution: "rectangular ±40 µs", Standard: 0.023}, {Name: "reference bridge", Distribution: "normal", Standard: 0.01}}}
	run.Gates = []reports.Gate{
		{Code: reports.ReasonGenerator, Text: "At least 99.9 % of the schedule was sent."},
		{Code: reports.ReasonRig, Text: "The rig itself adds at most a fifth of the limit."},
		{Code: reports.ReasonClock, Text: "A reading of the clock takes at most 150 ns."},
		{Code: reports.ReasonSamples, Text: "There are the samples that the decision rule asks for."}}
}

func sampleRecovery(scenario string, viewers int) reports.Recovery {
	rng := rand.New(rand.NewPCG(uint64(viewers), 3))
	r := reports.Recovery{Scenario: scenario}
	for i := range viewers {
		back := 40 + 900*rng.Float64()*rng.Float64()
		b := reports.Return{Viewer: fmt.Sprintf("viewer-%02d", i+1), Fault: "SIGKILL bridge", Lost: 9*time.Second + time.Duration(i)*time.Millisecond,
			Back: round3(back), Subscribed: round3(back + 3), Fresh: round3(back + 60*rng.Float64() + 4), Recovered: i%3 > 0, Reason: []string{"no-cursor", "", ""}[i%3]}
		if i == 1 {
			b.Fresh = reports.Float(math.NaN())
		}
		r.Returns = append(r.Returns, b)
	}
	return r
}

func sampleResources(name string, seconds int, faults []reports.FaultWindow) reports.Resources {
	rng := rand.New(rand.NewPCG(uint64(seconds), 9))
	r := reports.Resources{Name: strings.ReplaceAll(name, " ", "-"), Scenario: name, Faults: faults}
	cpu := time.Duration(0)
	for i := range seconds {
		cpu += time.Duration(float64(time.Second) * (0.22 + 0.1*rng.Float64()))
		if faults != nil && i == 10 {
			cpu = 0 // a new process
		}
		r.Samples = append(r.Samples, reports.Usage{At: time.Duration(i+1) * time.Second, CPU: cpu, RSS: int64(30+6*rng.Float64()) << 20, Files: 64 + i%3, Threads: 9})
	}
	return r
}
