package render

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"html"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"plumbline/reports"
	"plumbline/reports/pdf"
)

// axeScript is where .ci/deps puts axe-core.
const axeScript = "../../.ci/node/node_modules/axe-core/axe.min.js"

// TestAccessible lets axe-core look at the page in a real Chromium, in both colour
// schemes and on a narrow screen: no fault that it calls serious or critical.
func TestAccessible(t *testing.T) {
	axe, err := os.ReadFile(axeScript)
	if err != nil {
		t.Skipf("%v: axe-core is needed: make deps-test installs it", err)
	}
	browser, err := pdf.Find("")
	if err != nil {
		t.Fatalf("%v: make deps-test installs it", err)
	}
	page := rendered(t, HTML, sampleBrief())
	for name, size := range map[string]string{"desktop": "1280,900", "phone": "390,844"} {
		t.Run(name, func(t *testing.T) {
			for _, fault := range axeFaults(t, browser, size, page, string(axe)) {
				t.Error(fault)
			}
		})
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

// axeRun opens what is folded and looks at the page, then at its contrast in the dark
// scheme. What it finds it leaves in the page, where --dump-dom shows it.
const axeRun = `
(async () => {
  const out = document.createElement('pre');
  try {
    for (const d of document.querySelectorAll('details')) d.open = true;
    const found = [];
    for (const scheme of ['light', 'dark']) {
      document.getElementById('s-' + scheme).checked = true;
      const r = await axe.run(document, scheme === 'light' ? {resultTypes: ['violations']} : {resultTypes: ['violations'], runOnly: ['color-contrast']});
      for (const v of r.violations) for (const n of v.nodes) found.push({scheme, impact: v.impact, id: v.id, help: v.help, target: n.target.join(' '), why: n.failureSummary});
      found.push({scheme, passes: r.passes.length});
    }
    out.textContent = JSON.stringify(found);
  } catch (e) { out.textContent = JSON.stringify([{impact: 'critical', id: 'axe', help: String(e)}]); }
  out.id = 'axe-found';
  document.body.append(out);
})();`

// axeFinding is one element against one rule.
type axeFinding struct {
	Scheme, Impact, ID, Help, Target, Why string
	Passes                                int
}

func axeFaults(t *testing.T, browser, size, page, axe string) (faults []string) {
	t.Helper()
	dir := t.TempDir()
	at := strings.Index(page, `<meta http-equiv="Content-Security-Policy"`)
	end := at + strings.Index(page[at:], ">") + 1
	page = page[:at] + page[end:] // the policy would not let axe in
	page = strings.Replace(page, "</body>", "<script>"+axe+"</script><script>"+axeRun+"</script></body>", 1)
	file := filepath.Join(dir, "page.html")
	if err := os.WriteFile(file, []byte(page), 0o600); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 3*time.Minute)
	defer cancel()
	args := []string{"--headless", "--disable-gpu", "--disable-dev-shm-usage", "--no-first-run", "--user-data-dir=" + filepath.Join(dir, "profile"),
		"--disable-background-networking", "--window-size=" + size, "--virtual-time-budget=600000", "--dump-dom", "file://" + file}
	if os.Geteuid() == 0 {
		args = append(args, "--no-sandbox")
	}
	dom, err := exec.CommandContext(ctx, browser, args...).Output()
	if err != nil {
		if _, printed := pdf.Print(ctx, browser, []byte("<p>")); errors.Is(printed, pdf.ErrNoSandbox) {
			t.Skipf("%v: let this user create user namespaces, or run the test as root", printed)
		}
		t.Fatalf("%s: %v", browser, err)
	}
	_, rest, found := strings.Cut(string(dom), `<pre id="axe-found">`)
	text, _, _ := strings.Cut(rest, "</pre>")
	var all []axeFinding
	if err := json.Unmarshal([]byte(html.UnescapeString(text)), &all); !found || err != nil {
		t.Fatalf("axe-core left nothing in a page of %d bytes: %v", len(dom), err)
	}
	checked := 0
	for _, f := range all {
		checked += f.Passes
		if f.Impact == "serious" || f.Impact == "critical" {
			faults = append(faults, fmt.Sprintf("%s, %s (%s): %s at %s: %s", f.Scheme, f.ID, f.Impact, f.Help, f.Target, f.Why))
		} else if f.ID != "" {
			t.Logf("%s, %s (%s): %s at %s", f.Scheme, f.ID, f.Impact, f.Help, f.Target)
		}
	}
	if checked < 30 {
		t.Errorf("axe-core passed %d rules in both schemes; it cannot have looked at the page", checked)
	}
	return faults
}
