package oracle

import (
	"math"
	"regexp"
	"strings"
	"testing"
	"time"

	"plumbline/harness/record"
	"plumbline/harness/stats"
	"plumbline/reports"
)

var goodRig = reports.RigHealth{
	SlipP50: 0.001, SlipP99: 0.02, SlipMax: 0.5, Offered: 1000, Achieved: 1000,
	FloorP50: 0.07, FloorP99: 0.2, FloorP999: 0.5, ClockRead: 25, ClockSource: "tsc", Uncertainty: 0.06,
}

var latReq = reports.Requirement{ID: "LAT-02", Measurand: "t0i→t4", Quantile: 0.99, Rule: "DR-2"}

// spread makes n latencies of 10 ms over a minute, late of them at 300 ms.
func spread(n, late int) Latencies {
	l := Latencies{}
	for i := range n {
		v := 10.0
		if late > 0 && i*late/n != (i+1)*late/n {
			v = 300
		}
		l.Series.Due = append(l.Series.Due, int64(i)*int64(time.Minute)/int64(n)+1)
		l.Series.Value = append(l.Series.Value, v)
		l.Stream, l.Viewer, l.Seq = append(l.Stream, 0), append(l.Viewer, 0), append(l.Seq, uint64(i+1))
	}
	return l
}

func judgeSpread(n, late int, change func(*LatencyInput)) reports.Result {
	in := LatencyInput{Scenario: "steady", Profile: "ci 1.0", Latency: spread(n, late), Limit: 250 * time.Millisecond, Rig: goodRig}
	if change != nil {
		change(&in)
	}
	return JudgeLatency(latReq, in)
}

func TestJudgeLatencySentences(t *testing.T) {
	for _, c := range []struct {
		name     string
		late     int
		verdict  reports.Verdict
		sentence string
	}{
		{"pass", 83, reports.Pass, "LAT-02 (profile ci 1.0): 99th percentile of t0i→t4 shall be ≤ 250 ms. Estimate 10 ms, 95 % upper bound 10 ms (n 10\u202f000, n_eff 10\u202f000; 83 exceedances of the guarded limit 249.94 ms after variance correction, 83 allowed). U = 0.060 ms (k=2). Rule DR-2, risk of false acceptance ≤ 5 %. Verdict PASS for the item and conditions of §5."},
		{"conditional pass", 90, reports.ConditionalPass, "LAT-02 (profile ci 1.0): 99th percentile of t0i→t4 shall be ≤ 250 ms. Estimate 10 ms, 95 % upper bound 300 ms (n 10\u202f000, n_eff 10\u202f000; 90 exceedances of the guarded limit 249.94 ms after variance correction, 83 allowed). U = 0.060 ms (k=2). The estimate is inside the limit but conformity is not demonstrated at 95 %. Not certified. About "},
		{"conditional fail", 110, reports.ConditionalFail, "The estimate is outside the limit but non-conformity is not demonstrated at 99 %. Not certified. About "},
		{"fail", 125, reports.Fail, "The estimate exceeds the limit; risk of false rejection ≤ 1 %. First violating messages: "},
	} {
		r := judgeSpread(10_000, c.late, nil)
		if r.Verdict != c.verdict || !strings.Contains(r.Sentence, c.sentence) {
			t.Errorf("%s: %v\n%s\nwant %v\n%s", c.name, r.Verdict, r.Sentence, c.verdict, c.sentence)
		}
		m := r.Measurement
		if m == nil || m.N != 10_000 || m.Allowed != 83 || m.Reject != 125 || m.ExceedPass != int64(c.late) || m.Guard != 0.06 || m.Bias != 0.2 {
			t.Errorf("%s: measurement %+v", c.name, m)
		}
	}
	runs := func(list ...float64) reports.Result {
		return judgeSpread(10_000, 3, func(in *LatencyInput) { in.Runs = list })
	}
	want := "§5. Exceedances came in 3 episodes. Spread of 5 runs: s_R = 1.58 ms. All are inside the limit, so at 95 % confidence at least 54.9 % of such runs would be."
	if r := runs(9, 10, 11, 12, 13); !strings.HasSuffix(r.Sentence, want) {
		t.Errorf("five runs: %s\nwant %s", r.Sentence, want)
	}
	if r := runs(10, 251); strings.Contains(r.Sentence, "All are inside") || !strings.Contains(r.Sentence, "s_R = 170 ms") {
		t.Errorf("a run outside the limit: %s", r.Sentence)
	}
	if r := runs(10, math.NaN()); strings.Contains(r.Sentence, "All are inside") || !strings.Contains(r.Sentence, "s_R = not established") {
		t.Errorf("an empty run: %s", r.Sentence)
	}
	if r := judgeSpread(10_000, 125, nil); len(r.Findings) != lateShown || r.Findings[0].Kind != "late" || r.Findings[0].At >= r.Findings[1].At {
		t.Errorf("first violating messages: %+v", r.Findings)
	}
	r := JudgeLatency(reports.Requirement{ID: "LAT-02", Measurand: "t0i→t4"}, LatencyInput{Latency: spread(10_000, 5000), Limit: time.Second, Rig: goodRig})
	if r.Verdict != reports.Error || !strings.Contains(r.Sentence, "ERROR: test equipment fault; no statement; campaign void: quantile 0") {
		t.Errorf("a requirement without a quantile: %v %s", r.Verdict, r.Sentence)
	}
	if r := judgeSpread(10_000, 0, func(in *LatencyInput) { in.Limit = time.Second }); r.Headline != "p99 10 ms, limit 1\u202f000 ms" {
		t.Errorf("headline %q", r.Headline)
	}
}

// A run that drifts is judged on its worst third, and says so.
func TestJudgeLatencyOfADriftingRun(t *testing.T) {
	drifting := func(change func(*LatencyInput)) reports.Result {
		return judgeSpread(30_000, 0, func(in *LatencyInput) {
			for i := range in.Latency.Series.Value {
				in.Latency.Series.Value[i] += float64(50 * (3 * i / 30_000)) // a step at each third
			}
			in.Steady, in.Rule = true, stats.Rule{MinBlock: 100 * time.Millisecond, MaxBlock: 100 * time.Millisecond}
			if change != nil {
				change(in)
			}
		})
	}
	r := drifting(nil)
	if want := "; judged on its worst third. Rule DR-2,"; r.Verdict != reports.Pass || !strings.Contains(r.Sentence, " Note: the figure drifted by ") || !strings.Contains(r.Sentence, want) {
		t.Errorf("%v: %s", r.Verdict, r.Sentence)
	}
	r = drifting(func(in *LatencyInput) { in.Rule.MinBlocks = 300 })
	want := "INCONCLUSIVE(NONSTAT): no statement about conformity; reason: the figure drifted by "
	if r.Verdict != reports.Inconclusive || !strings.Contains(r.Sentence, want) || !strings.Contains(r.Sentence, "what would cure it: a longer warm-up and a longer run.") {
		t.Errorf("%v: %s", r.Verdict, r.Sentence)
	}
}

func TestJudgeLatencyNamesMessages(t *testing.T) {
	s := newStory("press-7").viewer("viewer-03", "#")
	for seq := uint64(1); seq <= 6000; seq++ {
		s.send(seq)
		if seq%20 != 0 {
			s.get("viewer-03", seq)
		}
	}
	r := JudgeLatency(latReq, LatencyInput{
		Latency: s.index(t).Latencies(Options{Evidence: "records/x/records.bin"}), Limit: 250 * time.Millisecond, Rig: goodRig,
	})
	want := "First violating messages: press-7 #20 at viewer-03, intended 0.200000 s never arrived, record "
	if !regexp.MustCompile(`, record \d+ \(records/x/records.bin\);`).MatchString(r.Sentence) {
		t.Errorf("no evidence is named: %s", r.Sentence)
	}
	if r.Verdict != reports.Fail || !strings.Contains(r.Sentence, want) || !strings.Contains(r.Sentence, "Estimate ∞ (never arrived)") {
		t.Errorf("%v: %s", r.Verdict, r.Sentence)
	}
}

func TestJudgeLatencyGates(t *testing.T) {
	nanFloat := reports.Float(math.NaN())
	for _, c := range []struct {
		name   string
		reason reports.Reason
		change func(*LatencyInput)
	}{
		{"late generator", reports.ReasonGenerator, func(in *LatencyInput) { in.Rig.SlipP99 = 12.6 }},
		{"blocked messages", reports.ReasonGenerator, func(in *LatencyInput) { in.Rig.Achieved = 998 }},
		{"nothing offered", reports.ReasonGenerator, func(in *LatencyInput) { in.Rig.Offered, in.Rig.Achieved = 0, 0 }},
		{"noise floor", reports.ReasonRig, func(in *LatencyInput) { in.Rig.FloorP99 = 51 }},
		{"no noise floor", reports.ReasonRig, func(in *LatencyInput) { in.Rig.FloorP99 = nanFloat }},
		{"noise floor forgotten", reports.ReasonRig, func(in *LatencyInput) { in.Rig.FloorP99 = 0 }},
		{"slow clock", reports.ReasonClock, func(in *LatencyInput) { in.Rig.ClockRead = 151 }},
		{"clock not measured", reports.ReasonClock, func(in *LatencyInput) { in.Rig.ClockRead = nanFloat }},
		{"negative latency", reports.ReasonClock, func(in *LatencyInput) { in.Latency.Negative = 1 }},
		{"partial recording", reports.ReasonInterrupted, func(in *LatencyInput) {
			in.Gates = (&History{log: &record.Log{Partial: true}}).Gates(Options{})
		}},
		{"few blocks", reports.ReasonSamples, func(in *LatencyInput) { in.Rule.MinBlock = 3 * time.Second }},
	} {
		r := judgeSpread(10_000, 0, c.change)
		want := "INCONCLUSIVE(" + string(c.reason) + "): no statement about conformity; reason: "
		if r.Verdict != reports.Inconclusive || r.Reason != c.reason || !strings.Contains(r.Sentence, want) || !strings.Contains(r.Sentence, "what would cure it: ") {
			t.Errorf("%s: %v(%s) %s", c.name, r.Verdict, r.Reason, r.Sentence)
		}
	}
	if r := judgeSpread(10_000, 0, func(in *LatencyInput) { in.Rig.SlipP99, in.Rig.FloorP99 = 12.4, 24 }); r.Verdict != reports.Pass || len(r.Findings) != 0 {
		t.Errorf("just inside every gate: %v %s", r.Verdict, r.Sentence)
	}
	if r := judgeSpread(10_000, 0, func(in *LatencyInput) { in.Rig.FloorP99 = 26 }); r.Verdict != reports.Pass || len(r.Findings) != 1 || r.Findings[0].Kind != "rig-noise" {
		t.Errorf("floor above a tenth: %v %+v", r.Verdict, r.Findings)
	}
}

// TestJudgeLatencyHiccups: what the rig slept through excuses a late message,
// but takes neither a PASS away nor a FAIL that does not need it.
func TestJudgeLatencyHiccups(t *testing.T) {
	gaps := []Gap{{At: int64(10 * time.Second), Length: 2 * time.Second}}
	failing := judgeSpread(10_000, 127, func(in *LatencyInput) { in.Stood.Gaps = gaps })
	if failing.Verdict != reports.Inconclusive || failing.Reason != reports.ReasonRig {
		t.Errorf("late while the rig slept: %v(%s)", failing.Verdict, failing.Reason)
	}
	if r := judgeSpread(10_000, 200, func(in *LatencyInput) { in.Stood.Gaps = gaps }); r.Verdict != reports.Fail {
		t.Errorf("late enough while the rig was awake: %v(%s): %s", r.Verdict, r.Reason, r.Sentence)
	}
	if passing := judgeSpread(10_000, 0, func(in *LatencyInput) { in.Stood.Gaps = gaps }); passing.Verdict != reports.Pass {
		t.Errorf("in time though the rig slept: %v", passing.Verdict)
	}
	short := []Gap{{At: int64(10 * time.Second), Length: 24 * time.Millisecond}}
	if r := judgeSpread(10_000, 200, func(in *LatencyInput) { in.Stood.Gaps = short }); r.Verdict != reports.Fail {
		t.Errorf("a hiccup below a tenth of the limit: %v", r.Verdict)
	}
	// Where there were too many hiccups to keep them, nobody knows what they held up.
	unkept := func(in *LatencyInput) { in.Stood.From = 32 * time.Millisecond }
	if r := judgeSpread(10_000, 200, unkept); r.Verdict != reports.Inconclusive || r.Reason != reports.ReasonRig || !strings.Contains(r.Sentence, "up to 32ms") {
		t.Errorf("hiccups that matter were not kept: %v(%s): %s", r.Verdict, r.Reason, r.Sentence)
	}
	if r := judgeSpread(10_000, 0, unkept); r.Verdict != reports.Pass {
		t.Errorf("in time though the rig slept more often than was kept: %v", r.Verdict)
	}
	if r := judgeSpread(10_000, 200, func(in *LatencyInput) { in.Stood.From = 16 * time.Millisecond }); r.Verdict != reports.Fail {
		t.Errorf("hiccups that do not matter were not kept: %v", r.Verdict)
	}
}

func TestJudgeZero(t *testing.T) {
	req := reports.Requirement{ID: "DEL-01", MinSamples: 4603}
	lost := reports.Finding{Kind: "lost", Subject: "v ← a", Detail: "a #12", Confirmed: true}
	doubt := reports.Finding{Kind: "lost", Subject: "v ← a", Detail: "a #13"}
	gate := stats.Gate{Reason: reports.ReasonInterrupted, Detail: "stopped", Cure: "a whole run"}
	for _, c := range []struct {
		name     string
		in       ZeroInput
		verdict  reports.Verdict
		reason   reports.Reason
		sentence string
	}{
		{"none", ZeroInput{N: 460_800}, reports.Pass, "",
			"DEL-01 (profile ci 1.0): 0 losses in n = 460\u202f800 QoS 1 messages; 99 % upper bound 1.0·10⁻⁵ per message under the stated conditions. This does not state that loss is impossible. Verdict PASS."},
		{"one", ZeroInput{N: 460_800, Findings: []reports.Finding{lost}, Seed: 42}, reports.Fail, "",
			"DEL-01 (profile ci 1.0): 1 confirmed violation in n = 460\u202f800 QoS 1 messages; first: lost, a #12 (v ← a); reproduction seed 42. Verdict FAIL."},
		{"one in few", ZeroInput{N: 3, Findings: []reports.Finding{doubt, lost}}, reports.Fail, "", "1 confirmed violation in n = 3"},
		{"one behind a gate", ZeroInput{N: 5000, Findings: []reports.Finding{lost}, Gates: []stats.Gate{gate}}, reports.Fail, "", "1 confirmed violation"},
		{"counted, not listed", ZeroInput{N: 5000, Events: 250, Findings: []reports.Finding{lost}}, reports.Fail, "", "250 confirmed violations in n = 5\u202f000"},
		{"unconfirmed", ZeroInput{N: 5000, Findings: []reports.Finding{doubt}}, reports.Inconclusive, reports.ReasonEnvironment, "INCONCLUSIVE(ENV): no statement about conformity; reason: 1 unconfirmed loss"},
		{"unconfirmed, not listed", ZeroInput{N: 5000, Suspicions: 7}, reports.Inconclusive, reports.ReasonEnvironment, "7 unconfirmed losses"},
		{"too few", ZeroInput{N: 4602}, reports.Inconclusive, reports.ReasonSamples, "4\u202f602 QoS 1 messages, the requirement asks for 4\u202f603"},
		{"none at all", ZeroInput{MinN: -1}, reports.Inconclusive, reports.ReasonSamples, "asks for 1"},
		{"gate", ZeroInput{N: 5000, Gates: []stats.Gate{gate}}, reports.Inconclusive, reports.ReasonInterrupted, "reason: stopped; what would cure it: a whole run."},
	} {
		c.in.Profile, c.in.Noun, c.in.Unit = "ci 1.0", "loss/losses", "QoS 1 messages"
		r := JudgeZero(req, c.in)
		if r.Verdict != c.verdict || r.Reason != c.reason || !strings.Contains(r.Sentence, c.sentence) {
			t.Errorf("%s: %v(%s) %s\nwant %v(%s) %s", c.name, r.Verdict, r.Reason, r.Sentence, c.verdict, c.reason, c.sentence)
		}
		if r.Measurement == nil || r.Requirement != "DEL-01" || r.Headline == "" {
			t.Errorf("%s: result without its figures: %+v", c.name, r)
		}
	}
}

func TestJudgeDeterministic(t *testing.T) {
	req := reports.Requirement{ID: "REC-01"}
	finding := reports.Finding{Kind: "leak", Subject: "v ← a", Detail: "a #12", Confirmed: true}
	figure := func(estimate float64) *reports.Measurement {
		return &reports.Measurement{Name: "time to fresh data", Unit: "s", Estimate: reports.Float(estimate), Limit: 2}
	}
	for _, c := range []struct {
		name     string
		in       DeterministicInput
		verdict  reports.Verdict
		reason   reports.Reason
		sentence string
	}{
		{"clean", DeterministicInput{Checks: 21}, reports.Pass, "", "REC-01: 0 violations in 21 checks. Verdict PASS."},
		{"never exercised", DeterministicInput{}, reports.Inconclusive, reports.ReasonSamples, "exercised 0 times, 1 are needed"},
		{"one", DeterministicInput{Checks: 21, Findings: []reports.Finding{finding}, Seed: 7}, reports.Fail, "",
			"REC-01: 1 confirmed violation in 21; reproduction seed 7. First: leak, a #12 (v ← a). Verdict FAIL."},
		{"inside the limit", DeterministicInput{Checks: 1, Figure: figure(1.25)}, reports.Pass, "", "time to fresh data: 1.25 s, limit 2 s."},
		{"outside the limit", DeterministicInput{Checks: 1, Figure: figure(2.5)}, reports.Fail, "", "time to fresh data: 2.5 s, limit 2 s."},
		{"never", DeterministicInput{Checks: 1, Figure: figure(math.Inf(1))}, reports.Fail, "", "∞ (never arrived)"},
		{"without a limit", DeterministicInput{Checks: 1, Figure: &reports.Measurement{Name: "time", Unit: "s", Estimate: 3, Limit: nan}},
			reports.Inconclusive, reports.ReasonSamples, "could not be established"},
		{"not established", DeterministicInput{Checks: 1, Figure: figure(math.NaN())}, reports.Inconclusive, reports.ReasonSamples, "could not be established"},
		{"seen before", DeterministicInput{Checks: 1, Findings: []reports.Finding{{Kind: "reordered"}}}, reports.Inconclusive, reports.ReasonEnvironment, "1 unconfirmed violation"},
	} {
		r := JudgeDeterministic(req, c.in)
		if r.Verdict != c.verdict || r.Reason != c.reason || !strings.Contains(r.Sentence, c.sentence) {
			t.Errorf("%s: %v(%s) %s\nwant %v(%s) %s", c.name, r.Verdict, r.Reason, r.Sentence, c.verdict, c.reason, c.sentence)
		}
	}
}

func TestHistoryGates(t *testing.T) {
	partial := newStory("a").viewer("v", "#").send(1)
	partial.log.Partial = true
	for _, c := range []struct {
		name    string
		story   *story
		options Options
		reason  reports.Reason // "" for no gate
		detail  string
	}{
		{"whole", newStory("a").viewer("v", "#").send(1), Options{}, "", ""},
		{"partial", partial, Options{}, reports.ReasonInterrupted, "partial"},
		{"empty", newStory("a").viewer("v", "#"), Options{}, reports.ReasonSamples, "no message"},
		{"window left open", newStory("a").viewer("v", "#").send(1).event(0, record.WindowOpen, "w"), Options{},
			reports.ReasonInterrupted, `window "w" was never closed`},
		{"window without messages", newStory("a").viewer("v", "#").send(1).event(due(2), record.WindowOpen, "w").event(due(3), record.WindowClose, "w"),
			Options{}, reports.ReasonSamples, "no message"},
		{"window that is not there", newStory("a").viewer("v", "#").send(1), Options{Window: "w"}, reports.ReasonSamples, "no message"},
		{"no viewer", newStory("a").send(1), Options{}, reports.ReasonSamples, "no viewer"},
		{"subscribed too late", newStory("a").viewer("v", "#").viewer("w", "#").send(1).event(due(2), record.Subscribed, "w"), Options{},
			reports.ReasonSamples, `viewer "w" was to receive nothing`},
		{"filters take nothing", newStory("a").viewer("v", "t/b").send(1), Options{}, reports.ReasonSamples, `viewer "v" was to receive nothing`},
		{"unknown viewer", newStory("a").viewer("v", "#").send(1), Options{Viewers: []string{"v", "x"}}, reports.ReasonSamples, `"x" is to be judged`},
		{"unknown device", newStory("a").viewer("v", "#").send(1), Options{Devices: []string{"a", "x"}}, reports.ReasonSamples, `"x" is to be judged`},
	} {
		h := c.story.index(t)
		gates := h.Gates(c.options)
		if c.reason == "" {
			if len(gates) != 0 {
				t.Errorf("%s: %+v", c.name, gates)
			}
			continue
		}
		if len(gates) != 1 || gates[0].Reason != c.reason || !strings.Contains(gates[0].Detail, c.detail) || gates[0].Cure == "" {
			t.Errorf("%s: %+v, want %s with %q", c.name, gates, c.reason, c.detail)
		}
		r := JudgeLatency(latReq, LatencyInput{Latency: h.Latencies(c.options), Limit: time.Second, Rig: goodRig})
		if r.Verdict != reports.Inconclusive || r.Reason != c.reason {
			t.Errorf("%s: latency is judged %v(%s)", c.name, r.Verdict, r.Reason)
		}
	}
}

func TestWords(t *testing.T) {
	for got, want := range map[string]string{
		count(0): "0", count(342_000): "342\u202f000", count(-1234): "−1\u202f234", count(999): "999", count(1_000_000): "1\u202f000\u202f000",
		figure(187.4): "187", figure(4.9149): "4.91", figure(0.0123456): "0.0123", figure(99.96): "100", figure(250): "250", figure(999.5): "1\u202f000", figure(123_456.7): "123\u202f457", figure(-0.5): "−0.5", figure(2e-5): "2·10⁻⁵", figure(math.NaN()): "not established",
		power(1e-5): "1.0·10⁻⁵", power(4.6e-4): "4.6·10⁻⁴", power(1.3e-10): "1.3·10⁻¹⁰", power(0.5): "0.5",
		percentile(0.5): "median", percentile(0.99): "99th percentile", percentile(0.999): "99.9th percentile", percentile(0.01): "1st percentile", percentile(0.92): "92nd percentile",
		twoDigits(0.3): "0.30", twoDigits(0.24): "0.24", twoDigits(0): "0", twoDigits(12.3): "12",
		resolved(249.935, 0.065): "249.935", resolved(249.7, 0.3): "249.7", resolved(999.94, 0.06): "999.94", resolved(1999.4, 0.6): "1\u202f999.4", resolved(490, 10): "490", resolved(-1, 2): "−1",
		withUnit(0.25, "1"): "0.25", withUnit(1000, "ms"): "1\u202f000 ms",
		percent(0.95): "95 %", percent(0.999): "99.9 %",
		shortQuantile(0.999): "p99.9", shortQuantile(0.5): "p50",
	} {
		if got != want {
			t.Errorf("%q, want %q", got, want)
		}
	}
}
