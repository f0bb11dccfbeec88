package render

import (
	"bytes"
	"math"
	"strings"
	"testing"
	"time"

	"plumbline/reports"
)

func TestNumber(t *testing.T) {
	for _, c := range []struct {
		in   float64
		want string
	}{
		{0, "0"}, {1, "1"}, {1.1, "1.1"}, {12.34, "12.3"}, {187.4, "187"}, {99.96, "100"}, {999.4, "999"}, {999.6, "1 000"}, {12345.6, "12 346"},
		{0.5, "0.5"}, {0.1234, "0.123"}, {0.00123, "0.00123"}, {0.0004, "4·10⁻⁴"}, {1.24e-5, "1.2·10⁻⁵"}, {-3.5, "−3.5"}, {1e9, "1 000 000 000"}, {1e19, "1·10¹⁹"}, {-math.MaxFloat64, "−1.8·10³⁰⁸"},
		{math.NaN(), "—"}, {math.Inf(1), "∞"}, {math.Inf(-1), "−∞"},
	} {
		if got := number(c.in); got != c.want {
			t.Errorf("number(%v) = %q, want %q", c.in, got, c.want)
		}
	}
}

func TestQuantityAndBounds(t *testing.T) {
	nan := reports.Float(math.NaN())
	for want, got := range map[string]string{
		"1.5 ms": quantity(1.5, "ms"), "1.5": quantity(1.5, ""), "0.25": quantity(0.25, "1"), "∞": quantity(math.Inf(1), "ms"), "—": quantity(math.NaN(), "ms"),
		"1 to 2 ms":                   bounds(&reports.Measurement{Lower: 1, Upper: 2, Unit: "ms"}),
		"at most 1·10⁻⁵":              bounds(&reports.Measurement{Lower: nan, Upper: 1e-5, Unit: "1"}),
		"at least 3 s":                bounds(&reports.Measurement{Lower: 3, Upper: nan, Unit: "s"}),
		"too few samples for a bound": bounds(&reports.Measurement{Lower: nan, Upper: nan}),
		"p99.9":                       quantileName(0.999), "p50": quantileName(0.5), "p99.99": quantileName(0.9999),
		"912 B": bytesText(912), "1.5 KiB": bytesText(1536), "14 MiB": bytesText(14 << 20),
		"−1 234 567": grouped(-1234567), "12": grouped(12), "123": grouped(123), "1 000": grouped(1000),
	} {
		if got != want {
			t.Errorf("got %q, want %q", got, want)
		}
	}
}

func TestSpan(t *testing.T) {
	for in, want := range map[time.Duration]string{
		0: "0 µs", 850 * time.Microsecond: "850 µs", 850 * time.Millisecond: "850 ms", 42 * time.Second: "42 s",
		200 * time.Second: "3 min 20 s", 3*time.Hour + 5*time.Minute: "3 h 5 min",
	} {
		if got := span(in); got != want {
			t.Errorf("span(%s) = %q, want %q", in, got, want)
		}
	}
}

// TestTotalsLine pins the lines that scripts look for.
func TestTotalsLine(t *testing.T) {
	text := rendered(t, Text, sampleMixed())
	want := "TOTAL: 18 requirements: 10 PASS, 2 FAIL, 1 ERROR, 1 INCONCLUSIVE, 1 CONDITIONAL FAIL, 1 CONDITIONAL PASS, 1 NOT RUN, 1 N/A\n" +
		"OVERALL: ERROR (not a certifying run: it shows these results and certifies nothing)\n"
	if !strings.HasSuffix(text, want) {
		t.Errorf("text ends with %q", text[max(len(text)-300, 0):])
	}
	_, trouble, _ := strings.Cut(text, "NOT PASSED")
	for _, id := range []string{"LAT-03 FAIL", "DEL-04 FAIL", "ORD-02 ERROR", "REC-03 INCONCLUSIVE(N)", "reproduce: plumbline run --profile bench --label-filter 'req:LAT-03'"} {
		if !strings.Contains(trouble, id) {
			t.Errorf("the repeated failures lack %q", id)
		}
	}
	if strings.Contains(rendered(t, Text, sampleCertified()), "NOT PASSED") {
		t.Error("a passing run repeats failures")
	}
}

func TestManyFindingsAreCutInText(t *testing.T) {
	run := sampleMixed()
	for i := range run.Results {
		if run.Results[i].Verdict == reports.Fail {
			run.Results[i].Findings = make([]reports.Finding, 1000)
		}
	}
	for name, r := range map[string]Renderer{"text": Text, "markdown": Markdown} {
		out := rendered(t, r, run)
		if !strings.Contains(out, "further findings") || len(out) > 20000 {
			t.Errorf("%s of 1000 findings has %d bytes", name, len(out))
		}
	}
	if page := rendered(t, HTML, run); !strings.Contains(page, "960 further findings") {
		t.Error("the page does not say how many findings it left out")
	}
}

func TestBadgeWords(t *testing.T) {
	for _, c := range []struct {
		change func(*reports.Run)
		want   string
	}{
		{func(*reports.Run) {}, ": certified<"},
		{func(r *reports.Run) { r.Certifying = false }, ": PASS, not certified<"},
		{func(r *reports.Run) { r.Partial = "x"; r.Overall = r.Judge() }, ": INCONCLUSIVE, partial<"},
		{func(r *reports.Run) { r.Results[0].Verdict = reports.Fail; r.Overall = r.Judge() }, ": FAIL<"},
	} {
		run := sampleCertified()
		c.change(run)
		if got := rendered(t, Badge, run); !strings.Contains(got, c.want) {
			t.Errorf("badge lacks %q: %s", c.want, got)
		}
	}
}

func TestLeadNeverPraisesWhatDidNotPass(t *testing.T) {
	for v := reports.NotRun; v <= reports.NotApplicable; v++ {
		run := sampleCertified()
		run.Results[0].Verdict, run.Results[0].Reason = v, ""
		run.Overall = run.Judge()
		text := lead(run)
		if praise := strings.Contains(text, "meets every") || strings.Contains(text, "met every"); praise != (run.Overall == reports.Pass) || text == "" {
			t.Errorf("%v: %q", run.Overall, text)
		}
	}
}

// TestEmptyRun: a run that recorded nothing still gives every form, and no
// form says that it passed.
func TestEmptyRun(t *testing.T) {
	run := &reports.Run{Schema: reports.SchemaVersion, Partial: "the system under test never got ready"}
	run.Overall = run.Judge()
	for name, r := range map[string]Renderer{"text": Text, "json": JSON, "junit": JUnit, "markdown": Markdown, "badge": Badge, "html": HTML} {
		var buf bytes.Buffer
		if err := r(&buf, run); err != nil {
			t.Errorf("%s: %v", name, err)
		}
		if out := buf.String(); !strings.Contains(out, "INCONCLUSIVE") && name != "junit" || strings.Contains(out, "%!") {
			t.Errorf("%s of an empty partial run: %.200s", name, out)
		}
		if name == "html" {
			checkPage(t, buf.String())
		}
		if name == "junit" && !strings.Contains(buf.String(), `errors="1"`) {
			t.Errorf("junit of a partial run is green: %s", buf.String())
		}
	}
}

// TestConditionsAreSectionFive: the verdict sentences refer to "the conditions of §5".
func TestConditionsAreSectionFive(t *testing.T) {
	for name, build := range samples() {
		if page := rendered(t, HTML, build()); !strings.Contains(page, `<h2 id="h-cond"><i>5</i>Conditions</h2>`) {
			t.Errorf("%s: section 5 is not the conditions", name)
		}
	}
}

// TestLimitedDistributionComesFirst: a self-check of the rig must not stand
// where the reader looks for the latency of the system.
func TestLimitedDistributionComesFirst(t *testing.T) {
	order := viewLatencies([]reports.Distribution{{Name: "self-check", N: 900}, {Name: "small", N: 10, Limits: make([]reports.Limit, 1)}, {Name: "steady", N: 500, Limits: make([]reports.Limit, 1)}})
	if order[0].Name != "steady" || order[1].Name != "small" || order[0].Folded || !order[1].Folded || !order[2].Folded {
		t.Errorf("order: %s, %s, %s", order[0].Name, order[1].Name, order[2].Name)
	}
}

func TestCapital(t *testing.T) {
	for in, want := range map[string]string{"median latency": "Median latency", "99th": "99th", "": "", "écart": "Écart"} {
		if got := capital(in); got != want {
			t.Errorf("capital(%q) = %q, want %q", in, got, want)
		}
	}
}
