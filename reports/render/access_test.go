package render

import (
	"os"
	"path/filepath"
	"testing"

	"plumbline/reports"
	"plumbline/reports/internal/browsertest"
)

// TestAccessible lets axe-core look at the pages of report and certificate in a real
// Chromium, in both colour schemes and on a narrow screen, where nothing may stick out:
// no fault that it calls serious or critical.
func TestAccessible(t *testing.T) {
	browser := browsertest.Start(t)
	dir := t.TempDir()
	for name, c := range map[string]struct {
		page  string
		rules int
	}{"report": {rendered(t, HTML, sampleBrief()), 30}, "certificate": {certificatePage(t, sampleCertificate(t)), 15}} {
		file := filepath.Join(dir, name+".html")
		if err := os.WriteFile(file, []byte(c.page), 0o600); err != nil {
			t.Fatal(err)
		}
		for size, window := range map[string]browsertest.Size{"desktop": browsertest.Desktop, "phone": browsertest.Phone} {
			t.Run(name+" "+size, func(t *testing.T) { browser.Accessible(t, browsertest.FileURL(file), window, c.rules) })
		}
	}
}

// sampleBrief has some of everything that the page shows, so that looking at each
// element does not take long.
func sampleBrief() *reports.Run {
	run := sampleMixed()
	run.Devices, run.Integrity, run.Latencies = run.Devices[35:], run.Integrity[36:], run.Latencies[:2]
	for i := range run.Latencies {
		run.Latencies[i].Buckets = run.Latencies[i].Buckets[8:14]
	}
	run.Timelines[0].Points = run.Timelines[0].Points[16:24]
	run.Requirements, run.Results = run.Requirements[:8], run.Results[:8]
	run.Overall = run.Judge()
	run.Rasters[0].Rows, run.Recoveries[1].Returns = run.Rasters[0].Rows[2:5], run.Recoveries[1].Returns[:3]
	for i := range run.Resources {
		run.Resources[i].Samples = run.Resources[i].Samples[:4]
	}
	return run
}
