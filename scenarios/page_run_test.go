package scenarios_test

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"plumbline/harness/browser"
	"plumbline/harness/browser/plain"
	"plumbline/harness/spec"
	"plumbline/harness/sut"
	"plumbline/reports"
)

// pageProfile is ci with the informative requirements of pages and shorter loads. Its times
// are no promise: they are what the busiest machine keeps, for the tests are about the way.
func pageProfile(t *testing.T) string {
	t.Helper()
	p, err := spec.Catalogue().Load("ci")
	if err != nil {
		t.Fatal(err)
	}
	text := strings.Replace(string(p.Source), "  LAT-07:", `  LAT-06: {limit: 5 s, samples: 299, source: "judgement"}
  REC-08: {limit: 5 s, samples: 4, source: "judgement"}
  REC-09: {limit: 20 connections, samples: 4, source: "judgement"}
  DEL-08: {limit: 0 messages, samples: 1000, source: "judgement"}
  SEC-14: {limit: 6 s, samples: 1, source: "judgement"}
  LAT-07:`, 1)
	text = strings.Replace(text, "LAT-05: {limit: 400 ms,", "LAT-05: {limit: 5 s,", 1)
	text = strings.Replace(text, "certifies: true", "certifies: false", 1)
	text = regexp.MustCompile(`page: .*window: 10 s`).ReplaceAllStringFunc(text, func(load string) string {
		return regexp.MustCompile(`extend: \d+`).ReplaceAllString(strings.Replace(load, "window: 10 s", "window: 8 s, hold: 2 s", 1), "extend: 1")
	})
	return regexp.MustCompile(`(hardships: .*)cycles: 5, hold: 3 s`).ReplaceAllString(text, "${1}cycles: 3, hold: 1500 ms")
}

// pageOf is bridged with a page of somebody else: not isolated, its token in the
// fragment.
func pageOf(t *testing.T) *sut.Descriptor {
	t.Helper()
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { _, _ = fmt.Fprint(w, plain.Page()) }))
	t.Cleanup(server.Close)
	d := sut.Default()
	d.Viewer.Origin = server.URL
	d.Viewer.Page = sut.Page{URL: server.URL + "/#ws=wss://127.0.0.1:{{port:viewers}}/ws&filter={{filter}}&token={{token}}"}
	return d
}

// Every scenario of pages, with a real browser and a real bridge, gives a verdict that
// stands when it is computed again from the files.
func TestPagesAreJudgedInARealBrowser(t *testing.T) {
	if testing.Short() {
		t.Skip("runs a browser against a real bridge for half a minute; leave -short out")
	}
	if _, err := browser.Available(""); err != nil {
		t.Fatalf("%v: make deps-test installs it", err)
	}
	onceEach(t)
	p, err := spec.Catalogue().Parse("pages.yaml", []byte(pageProfile(t)))
	if err != nil {
		t.Fatal(err)
	}
	binary := filepath.Join(t.TempDir(), "bridged")
	build := exec.CommandContext(t.Context(), "go", "build", "-trimpath", "-o", binary, "plumbline/bridge/cmd/bridged")
	build.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := build.CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	dir := filepath.Join(t.TempDir(), "run")
	run, err := spec.Execute(t.Context(), spec.Options{
		Profile: p, SUT: sut.Options{Binary: binary, Descriptor: pageOf(t)}, LabelFilter: "browser", Dir: dir, ID: "pages", Seed: 1, Tool: reports.Tool{Name: "test"},
	})
	if err != nil {
		t.Fatal(err)
	}
	for name, text := range run.Environment {
		if strings.HasPrefix(name, "page_") {
			t.Logf("%s: %s", name, text)
		}
	}
	judged := map[string]bool{}
	for _, r := range run.Results {
		judged[r.Requirement] = true
		t.Logf("%s %s(%s): %s", r.Requirement, r.Verdict, r.Reason, r.Sentence)
		busy := r.Verdict == reports.Inconclusive || r.Verdict == reports.ConditionalPass || r.Verdict == reports.ConditionalFail
		switch {
		case r.Requirement == "SEC-13":
			if r.Verdict != reports.NotApplicable { // its token is no cookie
				t.Errorf("%s is %s", r.Requirement, r.Verdict)
			}
		case r.Verdict != reports.Pass && (!busy || r.Reason == reports.ReasonSUT): // the machine of a test suite is shared
			t.Errorf("%s is %s", r.Requirement, r.Verdict)
		}
	}
	for _, id := range []string{"LAT-05", "LAT-06", "REC-08", "REC-09", "SEC-12", "SEC-13", "DEL-08", "SEC-14"} {
		if !judged[id] {
			t.Errorf("%s got no result", id)
		}
	}
	for _, hop := range run.Hops {
		if strings.Contains(hop.Name, "page") || strings.Contains(hop.Name, "frame") {
			t.Logf("%s %s→%s: p50 %v ms, p99 %v ms, n %d", hop.Name, hop.From, hop.To, hop.P50, hop.P99, hop.N)
		}
	}
	slowedDown(t, run)
	if v := run.Judge(); v == reports.NotRun {
		t.Errorf("the run is %s, though nothing but SEC-13 is N/A, which this page has no cookie for", v)
	}
	again, err := spec.Recompute(dir)
	if err != nil {
		t.Fatal(err)
	}
	if !slices.EqualFunc(run.Results, again.Results, func(a, b reports.Result) bool { return a.Requirement == b.Requirement && a.Sentence == b.Sentence }) {
		t.Error("the stored run is judged differently")
	}
}

// slowedDown checks that a slow network slows down the WebSocket that was open before: nothing
// overtakes the way, and what DEL-08 asks holds in that window, too.
func slowedDown(t *testing.T, run *reports.Run) {
	t.Helper()
	for _, d := range run.Latencies {
		if strings.HasPrefix(d.Name, "t0i→t5, network of 40 ms") {
			median := d.Percentiles[slices.IndexFunc(d.Percentiles, func(p reports.Percentile) bool { return p.Q == 0.5 })].Value
			off := run.Uncertainty.Applied // by which the clock of the page may be wrong, too
			t.Logf("%s: n %d, least %v ms, median %v ms ± %v ms, percentiles %v", d.Name, d.N, d.Min, median, off, d.Percentiles)
			if d.N < 100 || median < 40-2*off {
				t.Errorf("%s: half of %d messages came within %v ms (± %v ms), sooner than the way takes", d.Name, d.N, median, off)
			}
			return
		}
	}
	t.Errorf("no latency of a slow network among %d", len(run.Latencies))
}

// Nothing is said about a page where no Chromium is, and how to get one; a run with
// such a page comes to no certificate, and not to NOT RUN either.
func TestPagesWithoutABrowserAreInconclusive(t *testing.T) {
	onceEach(t)
	p, err := spec.Catalogue().Parse("pages.yaml", []byte(pageProfile(t)))
	if err != nil {
		t.Fatal(err)
	}
	binary, err := os.Executable() // it is not started
	if err != nil {
		t.Fatal(err)
	}
	t.Setenv("PATH", t.TempDir())
	run, err := spec.Execute(t.Context(), spec.Options{
		Profile: p, SUT: sut.Options{Binary: binary, Descriptor: sut.Default()}, LabelFilter: "browser", Dir: filepath.Join(t.TempDir(), "run"), ID: "none", Seed: 1, Tool: reports.Tool{Name: "test"},
	})
	if err != nil {
		t.Fatal(err)
	}
	judged := map[string]bool{}
	for _, j := range run.Judgements() {
		r := j.Deciding
		if r == nil {
			t.Errorf("%s got no result", j.Requirement.ID)
			continue
		}
		judged[r.Requirement] = true
		if r.Verdict != reports.Inconclusive || r.Reason != reports.ReasonEnvironment || !strings.Contains(r.Sentence, "apt-get install chromium") {
			t.Errorf("%s is %s(%s): %s", r.Requirement, r.Verdict, r.Reason, r.Sentence)
		}
	}
	if !judged["LAT-05"] || !judged["SEC-12"] || !judged["SEC-13"] {
		t.Errorf("judged are %v", judged)
	}
	if v := run.Judge(); v != reports.Inconclusive {
		t.Errorf("the run is %s", v)
	}
}

// A system whose page has no cookie that could be tried lacks nothing for want of SEC-13.
func TestAPageWithoutACookieIsExempt(t *testing.T) {
	for name, change := range map[string]func(*sut.Descriptor){
		"token after #":      func(d *sut.Descriptor) { d.Viewer.Page.SignIn = sut.SignIn{} },
		"viewers of MQTT":    func(d *sut.Descriptor) { d.Viewer.Protocol = "mqtt" },
		"on another machine": func(d *sut.Descriptor) { d.Viewer.Page.URL = "https://bridge.example/" },
		"as bridged is":      func(*sut.Descriptor) {},
	} {
		d := sut.Default()
		change(d)
		run := &reports.Run{SUT: reports.SUT{Capabilities: d.All()}}
		for id, verdict := range map[string]reports.Verdict{"SEC-12": reports.Pass, "SEC-13": reports.NotApplicable} {
			known, ok := spec.Requirement(id)
			if !ok {
				t.Fatalf("%s is not known", id)
			}
			run.Requirements = append(run.Requirements, known.Requirement)
			run.Results = append(run.Results, reports.Result{Requirement: id, Scenario: "guests", Verdict: verdict, Attempt: 1})
		}
		want := reports.Pass
		if name == "as bridged is" {
			want = reports.NotRun
		}
		if v := run.Judge(); v != want {
			t.Errorf("%s: the run is %s, want %s", name, v, want)
		}
	}
}
