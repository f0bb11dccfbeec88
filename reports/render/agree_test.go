package render

import (
	"regexp"
	"slices"
	"strings"
	"testing"

	"plumbline/reports"
)

// overallIn finds the overall verdict in each form of a report.
var overallIn = map[string]*regexp.Regexp{
	SummaryFile:  regexp.MustCompile(`(?m)^  "overall": "([^"]*)"`),
	JUnitFile:    regexp.MustCompile(`<property name="overall" value="([^"]*)">`),
	CTRFFile:     regexp.MustCompile(`"overall": "([^"]*)"`),
	HTMLFile:     regexp.MustCompile(`<p class="word">([^<]*)</p>`),
	MarkdownFile: regexp.MustCompile(`(?m)^# .*: ([A-Z/ ]+)$`),
	TextFile:     regexp.MustCompile(`(?m)^OVERALL: ([A-Z/ ]+) \(`),
	BadgeFile:    regexp.MustCompile(`<title>plumbline [a-z]+: ([A-Z/ ]+[A-Z]|certified)`),
}

// forms renders every form of the run but the schema.
func forms(t *testing.T, run *reports.Run) map[string]string {
	t.Helper()
	out := map[string]string{}
	for name, render := range map[string]Renderer{SummaryFile: JSON, JUnitFile: JUnit, CTRFFile: CTRF, HTMLFile: HTML,
		MarkdownFile: Markdown, TextFile: Text, BadgeFile: Badge} {
		out[name] = rendered(t, render, run)
	}
	return out
}

// TestAllFormsSayOneVerdict: whoever reads one form of a report is told what
// whoever reads another is told, and what the exit code says.
func TestAllFormsSayOneVerdict(t *testing.T) {
	for name, build := range samples() {
		run := build()
		for file, text := range forms(t, run) {
			found := overallIn[file].FindStringSubmatch(text)
			if found == nil {
				t.Errorf("%s: %s names no overall verdict", name, file)
				continue
			}
			if word := strings.Replace(found[1], "certified", "PASS", 1); word != run.Overall.String() {
				t.Errorf("%s: %s says %s, the run is %s", name, file, word, run.Overall)
			}
		}
	}
}

// TestRedInToolsIsWhatDoesNotPass: a tool that reads JUnit or CTRF comes to the
// colour that the exit code has.
func TestRedInToolsIsWhatDoesNotPass(t *testing.T) {
	unjudged, open, partial := sampleSelected(), sampleSelected(), sampleSelected()
	unjudged.Results = unjudged.Results[1:]
	open.Results[0].Verdict, open.Results[0].Reason = reports.Inconclusive, reports.ReasonSamples
	partial.Partial = "interrupted"
	for name, run := range map[string]*reports.Run{"mixed": sampleMixed(), "certified": sampleCertified(), "selected": sampleSelected(),
		"one without a result": unjudged, "one undecided": open, "partial": partial, "empty": {},
		"informative, one failed": sampleInformative(reports.Fail), "informative": sampleInformative(reports.Pass)} {
		run.Overall = run.Judge()
		j, c := junitOf(t, run), ctrfOf(t, run).Results.Summary
		if red := j.Failures+j.Errors > 0; red == (run.Overall == reports.Pass) {
			t.Errorf("%s: %s has %d failures and %d errors in JUnit", name, run.Overall, j.Failures, j.Errors)
		}
		if red := c["failed"] > 0; red == (run.Overall == reports.Pass) {
			t.Errorf("%s: %s has %d failed tests in CTRF", name, run.Overall, c["failed"])
		}
	}
}

// TestSelectionSaysWhatIsLeftOut: a PASS of a selection is never to be taken for
// one of everything, in no form.
func TestSelectionSaysWhatIsLeftOut(t *testing.T) {
	run := sampleSelected()
	if run.Overall != reports.Pass || run.Certified() {
		t.Fatalf("the sample is %s, certified %v", run.Overall, run.Certified())
	}
	for file, text := range forms(t, run) {
		if file == BadgeFile {
			if !strings.Contains(text, "PASS of a selection") {
				t.Errorf("%s: %s", file, text)
			}
			continue
		}
		for _, want := range []string{"SEC || claims", "LAT-01", "REC-03"} {
			if !strings.Contains(strings.ReplaceAll(text, `\|`, "|"), want) {
				t.Errorf("%s does not name %q among what was left out", file, want)
			}
		}
		if strings.Contains(text, "not judged completely") || strings.Contains(text, "that were asked") {
			t.Errorf("%s takes what was left out for what is missing", file)
		}
	}
	page := rendered(t, HTML, run)
	if !strings.Contains(page, ">5 of 6<") || !strings.Contains(page, "1 not applicable, 13 deselected") {
		t.Error("the page does not count what was selected and what was left out")
	}
	if !strings.Contains(page, "Of the informative requirements, which decide nothing, 1 did not pass") {
		t.Error("a PASS hides that an informative requirement failed")
	}
}

// sampleInformative is a selection of informative requirements alone, one of which got
// that verdict.
func sampleInformative(v reports.Verdict) *reports.Run {
	run := sampleSelected()
	must := func(id string) bool {
		return slices.ContainsFunc(run.Requirements, func(r reports.Requirement) bool { return r.ID == id && r.Class != reports.Optional })
	}
	run.Results = slices.DeleteFunc(run.Results, func(r reports.Result) bool { return must(r.Requirement) })
	for _, r := range run.Requirements {
		if must(r.ID) {
			run.Deselected.Requirements = append(run.Deselected.Requirements, r)
		}
	}
	run.Requirements = slices.DeleteFunc(run.Requirements, func(r reports.Requirement) bool { return r.Class != reports.Optional })
	for i := range run.Results {
		if r := &run.Results[i]; r.Requirement == "PRO-01" {
			r.Verdict = v
		}
	}
	run.Overall = run.Judge()
	return run
}

// TestASelectionOfInformativeOnesSaysWhatItIsWorth: their verdict is that of the run,
// and no sentence takes it for more.
func TestASelectionOfInformativeOnesSaysWhatItIsWorth(t *testing.T) {
	for v, want := range map[reports.Verdict]string{
		reports.Pass: "met everything that was selected. Nothing is said about the rest. It is all informative: nothing of it is required.",
		reports.Fail: "does not meet 1 of 2 requirements that were selected. They are all informative: none is required.",
	} {
		run := sampleInformative(v)
		if run.Overall != v {
			t.Errorf("the run is %s, its requirements %s", run.Overall, v)
		}
		if got := lead(run); !strings.Contains(got, want) || strings.Contains(got, "required of it") {
			t.Errorf("%s: %q", v, got)
		}
	}
	if got := lead(sampleSelected()); strings.Contains(got, "all informative") {
		t.Errorf("one that is required was selected, too: %q", got)
	}
}

// TestAProfileOfInformativeOnesSaysWhatItIsWorth: a run of it that got everything passes, in every form, and no
// form takes that for more.
func TestAProfileOfInformativeOnesSaysWhatItIsWorth(t *testing.T) {
	run := sampleInformative(reports.Pass)
	run.Deselected, run.Profile.Name = nil, "compared"
	if run.Overall = run.Judge(); run.Overall != reports.Pass || run.Certified() {
		t.Fatalf("the run is %s, certified %v", run.Overall, run.Certified())
	}
	for file, want := range map[string]string{
		BadgeFile: "PASS, not certified", TextFile: "OVERALL: PASS (all of it informative: it shows these results and certifies nothing)",
		MarkdownFile: "met everything that profile compared asks. It is all informative: nothing of it is required.", HTMLFile: "It is all informative: nothing of it is required.",
	} {
		if text := forms(t, run)[file]; !strings.Contains(text, want) || strings.Contains(text, "required of it that") {
			t.Errorf("%s does not say %q", file, want)
		}
	}
}

// TestRemarksAreInEveryForm: what was found beside a PASS is no secret of the page.
func TestRemarksAreInEveryForm(t *testing.T) {
	for file, text := range forms(t, sampleSelected()) {
		if file != BadgeFile && (!strings.Contains(text, "snapshot") || !strings.Contains(text, "undeclared") || !strings.Contains(text, "was shown the last value")) {
			t.Errorf("%s does not hold the remark", file)
		}
	}
}

// TestLeadingLatencyIsOneWithLimits: what a run does under a fault, of which there
// may be more messages, is not what the head of the page quotes.
func TestLeadingLatencyIsOneWithLimits(t *testing.T) {
	run := sampleCertified()
	fault := run.Latencies[0]
	fault.N, fault.Limits, fault.Scenario = fault.N*10, nil, "freeze"
	run.Latencies = append(run.Latencies, fault)
	if d, ok := leading(run); !ok || d.Scenario == "freeze" {
		t.Errorf("%q speaks for the run", d.Scenario)
	}
	run.Latencies = []reports.Distribution{fault}
	if page := rendered(t, HTML, run); !strings.Contains(page, "no limit in freeze") {
		t.Error("the head of the page does not say of what its latency is")
	}
}

// TestNeverCameIsNoLoss: what a device could not send during an outage has no
// latency, and is no loss of the system; plots must not contradict the account.
func TestNeverCameIsNoLoss(t *testing.T) {
	run := sampleCertified()
	run.Timelines[0].Points[3].Lost = 7
	run.Latencies[0].Lost = 7
	page := rendered(t, HTML, run)
	if !strings.Contains(page, "never came") || strings.Contains(page, "messages lost") || strings.Contains(page, ", 7 lost") {
		t.Error("a plot says lost of what never came")
	}
}

// TestHopsOfTheLeadingLatencyComeFirst: the waterfall that is open is of the same
// scenario as the latency at the head, not of the first fault.
func TestHopsOfTheLeadingLatencyComeFirst(t *testing.T) {
	run := sampleCertified()
	stopped := run.Hops[0]
	stopped.Scenario = "freeze"
	run.Hops = append([]reports.Hop{stopped}, run.Hops...)
	if hops := newView(run).Hops; len(hops) != 2 || hops[0].Scenario != "steady load" || hops[0].Folded || !hops[1].Folded {
		t.Errorf("the first waterfall is of %q", hops[0].Scenario)
	}
}
