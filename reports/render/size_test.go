package render

import (
	"bytes"
	"fmt"
	"strings"
	"testing"
	"time"

	"plumbline/reports"
)

// maxPage is what a page may have at most, so that it can be sent by mail.
const maxPage = 5 << 20

// large is a run of ten minutes with 200 devices, ten messages a second of each: 1.2
// million messages. Everything that a page draws has as many slots as the harness makes
// of it, and enough goes wrong to be seen.
func large() *reports.Run {
	const devices, minutes = 200, 10
	run := sampleMixed()
	run.Started, run.Finished = sampleStart, sampleStart.Add(minutes*time.Minute)
	run.Devices, run.Integrity, run.Rasters = nil, nil, nil
	steady, kill := reports.Raster{Scenario: "steady load", Slot: 5 * time.Second}, reports.Raster{Scenario: "bridge killed", Slot: 5 * time.Second}
	for i := range devices {
		id := fmt.Sprintf("temperature-%03d", i+1)
		run.Devices = append(run.Devices, reports.Device{ID: id, Kind: "temperature", Mode: reports.ModeSim, Detail: "twin, 10 Hz ±10 %"})
		for _, scenario := range []string{"steady load", "bridge killed", "client cut"} {
			run.Integrity = append(run.Integrity, sampleIntegrity(id, scenario, reports.ModeSim, minutes*60*10, 5))
		}
		steady.Rows = append(steady.Rows, reports.RasterRow{Device: id, Cells: strings.Repeat("o", 120)})
		cells := []byte(strings.Repeat("ooooobod", 15))
		cells[i%120] = 'l'
		kill.Rows = append(kill.Rows, reports.RasterRow{Device: id, Cells: string(cells)})
	}
	run.Rasters = []reports.Raster{steady, kill}
	for i := range run.Latencies {
		run.Latencies[i].N = devices * minutes * 60 * 10
	}
	line := run.Timelines[0]
	for len(line.Points) < minutes*60*2 {
		p := line.Points[len(line.Points)%90]
		p.At = time.Duration(len(line.Points)) * line.Slot
		line.Points = append(line.Points, p)
	}
	run.Timelines = []reports.Timeline{line, line, line}
	run.Recoveries = []reports.Recovery{sampleRecovery("bridge killed", 1000)}
	run.Resources = []reports.Resources{sampleResources("steady load", 300, nil), sampleResources("bridge killed", 300, line.Faults)}
	for i := range run.Results {
		r := &run.Results[i]
		for k := range min(len(r.Findings)*20, 100) {
			f := r.Findings[0]
			f.Seq = uint64(k + 1)
			f.Context = nil
			for n := range 20 {
				f.Context = append(f.Context, fmt.Sprintf("  %d.004711 s viewer-01 received temperature-001 #%d offset %d latency 1.234 ms", k, n, 1000+n))
			}
			r.Findings = append(r.Findings, f)
		}
	}
	run.Overall = run.Judge()
	return run
}

// TestLargeRunFits: the page of 200 devices and 1.2 million messages stays small.
func TestLargeRunFits(t *testing.T) {
	run := large()
	if err := run.Validate(); err != nil {
		t.Fatal(err)
	}
	page := rendered(t, HTML, run)
	t.Logf("200 devices, 10 min, 1.2 million messages: report.html has %.2f MiB, summary.json %.2f MiB", float64(len(page))/(1<<20), float64(len(toJSON(t, run)))/(1<<20))
	if len(page) > maxPage {
		t.Errorf("%d bytes, at most %d are wanted", len(page), maxPage)
	}
}

// BenchmarkLargeRun renders every form of that run.
func BenchmarkLargeRun(b *testing.B) {
	run := large()
	for name, r := range map[string]Renderer{"html": HTML, "json": JSON, "junit": JUnit, "markdown": Markdown, "text": Text} {
		b.Run(name, func(b *testing.B) {
			var buf bytes.Buffer
			for b.Loop() {
				buf.Reset()
				if err := r(&buf, run); err != nil {
					b.Fatal(err)
				}
			}
			b.ReportMetric(float64(buf.Len()), "bytes")
		})
	}
}
