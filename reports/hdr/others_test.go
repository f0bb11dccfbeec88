package hdr

import (
	"bytes"
	"encoding/json"
	"math"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"testing"
	"time"
)

// logged writes a log of latencies of which one never came, and returns its path and
// what was counted, ascending.
func logged(t *testing.T) (path string, all []time.Duration) {
	t.Helper()
	h, all := draw(20_000)
	h.Record(Highest)
	all = append(all, Highest)
	var buf bytes.Buffer
	if err := (Log{Comments: []string{"a run"}, Start: time.Unix(1_795_683_600, 0), Length: time.Minute, Encoded: h.Encode()}).Write(&buf); err != nil {
		t.Fatal(err)
	}
	path = filepath.Join(t.TempDir(), "steady.hlog")
	if err := os.WriteFile(path, buf.Bytes(), 0o600); err != nil {
		t.Fatal(err)
	}
	return path, all
}

// near holds what a tool says of a quantile against what was counted: to a
// thousandth, at that rank or at the one beside it, which tools choose that round.
func near(t *testing.T, tool string, q, ns float64, all []time.Duration) {
	t.Helper()
	rank := q * float64(len(all))
	low, high := all[min(max(int(rank)-1, 0), len(all)-1)], all[min(max(int(math.Ceil(rank)), 0), len(all)-1)]
	if ns < float64(low)*0.999 || ns > float64(high)*1.001 {
		t.Errorf("%s: q %v = %.0f ns, counted was %d to %d", tool, q, ns, low, high)
	}
}

// java is where Debian's package libhdrhistogram-java puts the HdrHistogram project's
// own tools.
const java = "/usr/share/java/hdrhistogram.jar"

// Lines of HistogramLogProcessor: "value percentile count 1/(1-percentile)", and its
// last words.
var (
	javaLine  = regexp.MustCompile(`(?m)^\s*([0-9.]+)\s+([0-9.]+)\s+([0-9]+)\s+(?:[0-9.]+|inf|Infinity)?\s*$`)
	javaTotal = regexp.MustCompile(`Total count\s*=\s*([0-9]+)`)
)

// TestTheProjectsToolsInJavaReadIt: HistogramLogProcessor, by which the HdrHistogram
// project itself looks at logs, finds every count and each of its percentiles.
func TestTheProjectsToolsInJavaReadIt(t *testing.T) {
	program, err := exec.LookPath("java")
	if err != nil {
		t.Skipf("%v: a Java runtime is large, and only used where there is one", err)
	}
	if _, err := os.Stat(java); err != nil {
		t.Skipf("%v: make deps-test installs it where there is a Java runtime", err)
	}
	path, all := logged(t)
	out, err := exec.CommandContext(t.Context(), program, "-cp", java, "org.HdrHistogram.HistogramLogProcessor", "-i", path, "-outputValueUnitRatio", "1").CombinedOutput()
	if err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	total := javaTotal.FindSubmatch(out)
	if total == nil || string(total[1]) != strconv.Itoa(len(all)) {
		t.Errorf("it counts %q, want %d:\n%s", total, len(all), out)
	}
	lines := javaLine.FindAllSubmatch(out, -1)
	for _, m := range lines {
		value, errValue := strconv.ParseFloat(string(m[1]), 64)
		q, errQ := strconv.ParseFloat(string(m[2]), 64)
		if errValue != nil || errQ != nil {
			t.Fatalf("%q: %v, %v", m[0], errValue, errQ)
		}
		near(t, "HistogramLogProcessor", q, value, all)
	}
	if len(lines) < 50 {
		t.Errorf("only %d percentiles:\n%s", len(lines), out)
	}
}

// jsReads prints what hdr-histogram-js finds in a log.
const jsReads = `
const hdr = require('hdr-histogram-js'), fs = require('fs');
const reader = new hdr.HistogramLogReader(fs.readFileSync(process.argv[1], 'utf8'));
const all = [];
for (let h; (h = reader.nextIntervalHistogram()) != null;)
  all.push({count: h.totalCount, digits: h.numberOfSignificantValueDigits, from: h.startTimeStampMsec, to: h.endTimeStampMsec,
    at: Object.fromEntries([0.1, 25, 50, 90, 99, 99.9, 99.99, 100].map(p => [p, h.getValueAtPercentile(p)]))});
console.log(JSON.stringify(all));`

// TestJavaScriptReadsIt: so does the HdrHistogram project's package for JavaScript.
func TestJavaScriptReadsIt(t *testing.T) {
	modules, err := filepath.Abs(filepath.Join("..", "..", ".ci", "node"))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(filepath.Join(modules, "node_modules", "hdr-histogram-js")); err != nil {
		t.Skipf("%v: make deps-test installs it", err)
	}
	path, all := logged(t)
	cmd := exec.CommandContext(t.Context(), "node", "-e", jsReads, path)
	cmd.Dir = modules
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	var read []struct {
		Count    int     `json:"count"`
		Digits   int     `json:"digits"`
		From, To float64 // milliseconds since 1970
		At       map[string]float64
	}
	if err := json.Unmarshal(out, &read); err != nil || len(read) != 1 {
		t.Fatalf("%v: %s", err, out)
	}
	if h := read[0]; h.Count != len(all) || h.Digits != Digits || h.From != 1_795_683_600_000 || h.To-h.From != 60_000 || len(h.At) != 8 {
		t.Errorf("it reads %+v", h)
	}
	for percent, ns := range read[0].At {
		p, err := strconv.ParseFloat(percent, 64)
		if err != nil {
			t.Fatal(err)
		}
		near(t, "hdr-histogram-js", p/100, ns, all)
	}
}
