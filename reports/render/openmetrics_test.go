package render

import (
	"fmt"
	"math"
	"os"
	"os/exec"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"

	"plumbline/reports"
)

// The grammar of OpenMetrics 1.0, section ABNF, as far as it is written here.
var (
	metricDescriptor = regexp.MustCompile(`^# (TYPE|UNIT|HELP) ([a-zA-Z_:][a-zA-Z0-9_:]*) (.*)$`)
	metricSample     = regexp.MustCompile(`^([a-zA-Z_:][a-zA-Z0-9_:]*)\{((?:[a-zA-Z_][a-zA-Z0-9_]*="(?:[^"\\\n]|\\[\\n"])*",?)*)\} (\S+) (-?[0-9]+\.[0-9]{3})$`)
	metricLabel      = regexp.MustCompile(`([a-zA-Z_][a-zA-Z0-9_]*)="((?:[^"\\\n]|\\[\\n"])*)"(,|$)`)
	metricNumber     = regexp.MustCompile(`^([-+]?[0-9]+(\.[0-9]*)?(e[-+]?[0-9]+)?|[-+]?Inf|NaN)$`)
	metricHelp       = regexp.MustCompile(`^([^"\\\n]|\\[\\n"])*$`)
)

// metricFamily is one family as it is read back.
type metricFamily struct {
	name, kind, unit, help string
	samples                []metricRow
}

type metricRow struct {
	suffix string
	labels map[string]string
	value  float64
	at     string
}

// metricsOf renders the run and reads it back strictly.
func metricsOf(t *testing.T, run *reports.Run) map[string]*metricFamily {
	t.Helper()
	text := rendered(t, OpenMetrics, run)
	noHidden(t, "openmetrics", text)
	families, err := readMetrics(text)
	if err != nil {
		t.Fatal(err)
	}
	return families
}

// readMetrics reads an exposition by the rules of the specification: grammar,
// families in one piece and with a type, units as the end of names, what each type
// allows, no series twice, the end mark at the end.
func readMetrics(text string) (map[string]*metricFamily, error) {
	body, ok := strings.CutSuffix(text, "# EOF\n")
	if !ok {
		return nil, fmt.Errorf("the end mark is missing")
	}
	families, seen := map[string]*metricFamily{}, map[string]bool{}
	var now *metricFamily
	for line := range strings.Lines(body) {
		line = strings.TrimSuffix(line, "\n")
		if d := metricDescriptor.FindStringSubmatch(line); d != nil {
			if now == nil || now.name != d[2] {
				if families[d[2]] != nil {
					return nil, fmt.Errorf("family %s comes in two pieces", d[2])
				}
				now = &metricFamily{name: d[2]}
				families[d[2]] = now
			}
			if err := now.describe(d[1], d[3]); err != nil {
				return nil, err
			}
			continue
		}
		s := metricSample.FindStringSubmatch(line)
		if s == nil || now == nil || !strings.HasPrefix(s[1], now.name) {
			return nil, fmt.Errorf("neither descriptor nor sample of the family: %q", line)
		}
		series := s[1] + "{" + s[2] + "}"
		if seen[series] {
			return nil, fmt.Errorf("series %s comes twice", series)
		}
		seen[series] = true
		if err := now.take(strings.TrimPrefix(s[1], now.name), s[2], s[3], s[4]); err != nil {
			return nil, fmt.Errorf("%w: %q", err, line)
		}
	}
	for _, f := range families {
		if err := f.check(); err != nil {
			return nil, err
		}
	}
	return families, nil
}

func (f *metricFamily) describe(what, text string) error {
	field := map[string]*string{"TYPE": &f.kind, "UNIT": &f.unit, "HELP": &f.help}[what]
	if *field != "" || len(f.samples) > 0 || text == "" {
		return fmt.Errorf("family %s: %s comes twice, after samples, or says nothing", f.name, what)
	}
	*field = text
	return nil
}

func (f *metricFamily) take(suffix, labels, value, at string) error {
	if !metricNumber.MatchString(value) {
		return fmt.Errorf("%q is no number", value)
	}
	v, err := strconv.ParseFloat(value, 64)
	if err != nil {
		return err
	}
	row := metricRow{suffix: suffix, labels: map[string]string{}, value: v, at: at}
	for _, l := range metricLabel.FindAllStringSubmatch(labels, -1) {
		if _, twice := row.labels[l[1]]; twice {
			return fmt.Errorf("label %s comes twice", l[1])
		}
		row.labels[l[1]] = l[2]
	}
	f.samples = append(f.samples, row)
	return nil
}

// check holds the family against the rules of its type.
func (f *metricFamily) check() error {
	suffixes, known := map[string][]string{"gauge": {""}, "stateset": {""}, "info": {"_info"}, "summary": {"", "_count", "_sum"}}[f.kind]
	switch {
	case !known:
		return fmt.Errorf("family %s has type %q", f.name, f.kind)
	case f.help == "" || !metricHelp.MatchString(f.help):
		return fmt.Errorf("family %s has help %q", f.name, f.help)
	case f.unit != "" && !strings.HasSuffix(f.name, "_"+f.unit), f.unit != "" && (f.kind == "info" || f.kind == "stateset"):
		return fmt.Errorf("family %s has unit %q", f.name, f.unit)
	}
	for _, s := range f.samples {
		_, quantile := s.labels["quantile"]
		q, err := strconv.ParseFloat(s.labels["quantile"], 64)
		switch {
		case !slices.Contains(suffixes, s.suffix):
			return fmt.Errorf("family %s of type %s has a sample %q", f.name, f.kind, s.suffix)
		case f.kind == "info" && s.value != 1, f.kind == "stateset" && s.value != 0 && s.value != 1, f.kind == "stateset" && s.labels[f.name] == "":
			return fmt.Errorf("family %s of type %s has %v", f.name, f.kind, s)
		case f.kind == "summary" && quantile != (s.suffix == ""), f.kind == "summary" && quantile && (err != nil || q < 0 || q > 1):
			return fmt.Errorf("family %s: quantile %q with suffix %q", f.name, s.labels["quantile"], s.suffix)
		case f.kind == "summary" && (s.value < 0 || math.IsNaN(s.value) || s.suffix == "_count" && s.value != math.Trunc(s.value)):
			return fmt.Errorf("family %s: value %v", f.name, s.value)
		}
	}
	return nil
}

// one returns the only sample with these labels, names and values in turn.
func (f *metricFamily) one(t *testing.T, suffix string, labels ...string) float64 {
	t.Helper()
	var found []float64
	for _, s := range f.samples {
		fits := s.suffix == suffix
		for i := 0; i < len(labels); i += 2 {
			fits = fits && s.labels[labels[i]] == labels[i+1]
		}
		if fits {
			found = append(found, s.value)
		}
	}
	if len(found) != 1 {
		t.Fatalf("%s%s %v: %d samples", f.name, suffix, labels, len(found))
	}
	return found[0]
}

func TestOpenMetricsSaysWhatTheRunSays(t *testing.T) {
	run := sampleMixed()
	m := metricsOf(t, run)
	d := run.Latencies[0]
	for _, c := range []struct {
		name string
		got  float64
		want float64
	}{
		{"overall", m["plumbline_verdict"].one(t, "", "plumbline_verdict", run.Overall.String()), 1},
		{"overall PASS", m["plumbline_verdict"].one(t, "", "plumbline_verdict", "PASS"), 0},
		{"LAT-03", m["plumbline_requirement_verdict"].one(t, "", "requirement", "LAT-03", "plumbline_requirement_verdict", "FAIL"), 1},
		{"failed", m["plumbline_requirements"].one(t, "", "verdict", "FAIL"), float64(run.Count().By[reports.Fail])},
		{"duration", m["plumbline_duration_seconds"].one(t, ""), 163},
		{"p99", m["plumbline_latency_seconds"].one(t, "", "scenario", d.Scenario, "quantile", "0.99"), percentileOf(d, 0.99) / 1e3},
		{"count", m["plumbline_latency_seconds"].one(t, "_count", "scenario", d.Scenario), float64(d.N)},
		{"limit", m["plumbline_latency_limit_seconds"].one(t, "", "scenario", d.Scenario, "requirement", "LAT-03"), 0.25},
		{"lost", m["plumbline_deliveries"].one(t, "", "scenario", "steady load", "mode", "sim", "state", "lost"), 2},
		{"limit of LAT-01", m["plumbline_figure_seconds"].one(t, "", "requirement", "LAT-01", "figure", "limit"), 0.025},
	} {
		if math.Abs(c.got-c.want) > 1e-12*math.Abs(c.want) {
			t.Errorf("%s = %v, want %v", c.name, c.got, c.want)
		}
	}
	for _, f := range m {
		for _, s := range f.samples {
			if s.labels["sut"] != "bridged" || s.labels["profile"] != "ci" || s.at != "1763891030.000" {
				t.Fatalf("%s: sample %+v is of another system, profile or time", f.name, s)
			}
		}
	}
}

func TestOpenMetricsOfOddRuns(t *testing.T) {
	lost := sampleCertified()
	lost.Latencies[0].Lost, lost.Latencies[0].N = 7, 7
	lost.Latencies[0].Mean, lost.Latencies[0].Percentiles[3].Value = reports.Float(math.NaN()), reports.Float(math.Inf(1))
	lost.Latencies[1].Percentiles[0].Value = -0.02
	twice := sampleMixed()
	twice.Results = append(twice.Results, twice.Results...)
	twice.Latencies = append(twice.Latencies, twice.Latencies...)
	twice.Hops = append(twice.Hops, twice.Hops...)
	for name, run := range map[string]*reports.Run{"empty": {}, "selected": sampleSelected(), "all lost": lost, "everything twice": twice} {
		if len(metricsOf(t, run)) < 10 {
			t.Errorf("%s: families are missing", name)
		}
	}
	for n := range hostile {
		metricsOf(t, poisoned(n))
	}
}

// TestMetricsCheckFinds keeps the check above honest.
func TestMetricsCheckFinds(t *testing.T) {
	good := rendered(t, OpenMetrics, sampleMixed())
	for name, c := range map[string]struct{ from, to string }{
		"no end":             {"# EOF\n", ""},
		"an unknown type":    {"stateset", "states"},
		"a wrong unit":       {"UNIT plumbline_duration_seconds seconds", "UNIT plumbline_duration_seconds minutes"},
		"a family in pieces": {"# TYPE plumbline_verdict stateset", "# TYPE plumbline_run info"},
		"an open quote":      {`profile="ci"`, `profile="c"i"`},
		"a word as value":    {"} 163 ", "} long "},
		"a state of 2":       {`plumbline_verdict="ERROR"} 1`, `plumbline_verdict="ERROR"} 2`},
		"a quantile above 1": {`quantile="0.99"`, `quantile="99"`},
	} {
		bad := strings.Replace(good, c.from, c.to, 1)
		if bad == good {
			t.Fatalf("%s: the sample has no %q", name, c.from)
		}
		if _, err := readMetrics(bad); err == nil {
			t.Errorf("%s is not found", name)
		}
	}
}

// TestOpenMetricsInThePythonClient: the parser of the format's own authors reads
// what is written, the hostile runs among it.
func TestOpenMetricsInThePythonClient(t *testing.T) {
	python := "/usr/bin/python3" // Debian's, for which its packages are; another may stand before it
	if _, err := os.Stat(python); err != nil {
		if python, err = exec.LookPath("python3"); err != nil {
			t.Fatalf("%v: make deps-test installs it", err)
		}
	}
	const script = `import sys
try:
    from prometheus_client.openmetrics.parser import text_string_to_metric_families as parse
except ImportError as e:
    sys.exit("%s: make deps-test installs python3-prometheus-client" % e)
for text in sys.stdin.buffer.read().decode("utf-8").split("\0"):
    n = sum(len(f.samples) for f in parse(text))
    print(n)
`
	var texts, want []string
	for _, run := range append([]*reports.Run{sampleMixed(), sampleCertified(), sampleSelected(), {}}, allPoisoned()...) {
		text := rendered(t, OpenMetrics, run)
		families, err := readMetrics(text)
		if err != nil {
			t.Fatal(err)
		}
		n := 0
		for _, f := range families {
			n += len(f.samples)
		}
		texts, want = append(texts, text), append(want, strconv.Itoa(n))
	}
	cmd := exec.CommandContext(t.Context(), python, "-c", script)
	cmd.Stdin = strings.NewReader(strings.Join(texts, "\x00"))
	out, err := cmd.CombinedOutput()
	if err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	if got := strings.Fields(string(out)); !slices.Equal(got, want) {
		t.Errorf("the parser found %v samples, %v were written", got, want)
	}
}

func allPoisoned() (all []*reports.Run) {
	for n := range hostile {
		all = append(all, poisoned(n))
	}
	return all
}
