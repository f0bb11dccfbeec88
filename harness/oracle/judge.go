package oracle

import (
	"fmt"
	"math"
	"slices"
	"strings"
	"time"

	"plumbline/harness/record"
	"plumbline/harness/stats"
	"plumbline/reports"
)

// JudgeLatency applies DR-2 to latencies and words the result.
//
// Gates: those of the recording that the latencies come from, CLK when a
// latency is negative, CLK, GEN and RIG from in.Rig, and in.Gates. When more samples than a tenth of 1−q overlap hiccups of
// the rig longer than a tenth of the limit, a PASS stands, for hiccups can only
// have made the figures worse, and a FAIL that does not need those samples.
func JudgeLatency(req reports.Requirement, in LatencyInput) reports.Result {
	q := req.Quantile
	in = in.withDefaults(q)
	input := stats.Input{
		Series: in.Latency.Series, Limit: toMillis(in.Limit), Quantile: q,
		Guard: toMillis(in.Guard), Bias: toMillis(in.Bias),
		Rule: in.Rule, RunFails: in.RunFails, Steady: in.Steady,
		Gates: in.gates(q),
	}
	d := stats.DecideDR2(input)
	in.flag(&d, input)
	r := reports.Result{
		Requirement: req.ID, Scenario: in.Scenario, Verdict: d.Verdict, Reason: d.Reason,
		Started: in.Started, Duration: in.Duration, Attempt: 1,
		Measurement: in.measurement(req, d),
	}
	if d.Verdict == reports.Fail || d.Verdict == reports.ConditionalFail {
		r.Findings = in.Latency.late(req.ID, toMillis(in.Limit))
	}
	if floor := floorAt(in.Rig, q); floor > toMillis(in.Limit)/floorFlag {
		r.Findings = append(r.Findings, reports.Finding{
			Requirement: req.ID, Kind: "rig-noise", Subject: "rig",
			Detail: fmt.Sprintf("the noise floor of the rig is %s ms, above a tenth of the limit", figure(floor)),
		})
	}
	r.Headline = fmt.Sprintf("%s %s, limit %s", shortQuantile(q), withUnit(d.Estimate, "ms"), withUnit(toMillis(in.Limit), "ms"))
	r.Sentence = in.sentence(req, d, r.Findings)
	return r
}

func (in LatencyInput) withDefaults(q float64) LatencyInput {
	if u := float64(in.Rig.Uncertainty); u > toMillis(in.Guard) {
		in.Guard = time.Duration(u * 1e6)
	}
	if in.Guard == 0 {
		in.Guard = OneHostUncertainty
	}
	in.Guard += in.Latency.Clocks.Uncertainty
	// The noise floor bounds the bias of the rig; it only makes a FAIL harder.
	if floor := floorAt(in.Rig, q); floor > toMillis(in.Bias) {
		in.Bias = time.Duration(floor * 1e6)
	}
	if in.Section == "" {
		in.Section = "5"
	}
	if in.Rule.PassConfidence == 0 {
		in.Rule.PassConfidence = 0.95
	}
	if in.Rule.FailConfidence == 0 {
		in.Rule.FailConfidence = 0.99
	}
	return in
}

// gates returns the validity gates that do not hold, the gravest first.
func (in LatencyInput) gates(q float64) (gates []stats.Gate) {
	if h := in.Latency.history; h != nil {
		for _, o := range append([]Options{in.Latency.options}, in.Latency.also...) {
			gates = append(gates, h.Gates(o)...)
		}
	}
	if in.Latency.Negative > 0 {
		gates = append(gates, stats.Gate{
			Reason: reports.ReasonClock, Cure: "one monotonic clock for publisher and viewer",
			Detail: count(in.Latency.Negative) + " messages arrived before they were intended or written",
		})
	}
	if gate := in.Latency.Clocks.gate(in.Limit); gate != nil {
		gates = append(gates, *gate)
	}
	return append(append(gates, Gates(in.Rig, in.Limit, q)...), in.Gates...)
}

// flag withdraws a FAIL and a CONDITIONAL verdict when the rig's own hiccups could
// have caused it. A FAIL stands that would stand without what they may have held up.
func (in LatencyInput) flag(d *stats.Decision, input stats.Input) {
	switch d.Verdict {
	case reports.Fail, reports.ConditionalFail, reports.ConditionalPass:
	default:
		return
	}
	var away string
	held, untold := in.Latency.held(in.Stood, in.Limit), in.Stood.Untold(in.Limit)
	switch share := float64(len(held)) / float64(max(len(input.Value), 1)); {
	case untold != "":
		away = untold
	case share <= 0.1*(1-input.Quantile):
		return
	case d.Verdict == reports.Fail && in.failsWithout(held, input):
		return
	default:
		away = fmt.Sprintf("%s %% of the messages were under way while the rig itself did not run", figure(100*share))
	}
	d.Verdict, d.Reason, d.Detail, d.Cure = reports.Inconclusive, reports.ReasonRig, away, "a quieter machine"
}

// failsWithout reports whether the samples fail also without what the rig held up.
func (in LatencyInput) failsWithout(held []int, input stats.Input) bool {
	input.Series = in.Latency.unheld(held, in.Limit)
	return stats.DecideDR2(input).Verdict == reports.Fail
}

func (in LatencyInput) measurement(req reports.Requirement, d stats.Decision) *reports.Measurement {
	m := &reports.Measurement{
		Name: req.Measurand, Unit: "ms",
		Estimate: reports.Float(d.Estimate), Lower: reports.Float(d.Lower), Upper: reports.Float(d.Upper),
		Confidence: in.Rule.PassConfidence, Limit: reports.Float(toMillis(in.Limit)),
		Guard: toMillis(in.Guard), Bias: toMillis(in.Bias), Quantile: req.Quantile,
		N: d.N, NEff: d.NEff, VIF: d.VIF, Events: d.Lost,
		ExceedPass: d.XPass, Allowed: d.Allowed, ExceedFail: d.XFail, Reject: d.Reject,
	}
	for _, run := range in.Runs {
		m.Runs = append(m.Runs, reports.Float(run))
	}
	return m
}

func shortQuantile(q float64) string {
	return "p" + trimZeros(fmt.Sprintf("%.4f", q*100))
}

// sentence words a latency result as metrology 2.7 does.
func (in LatencyInput) sentence(req reports.Requirement, d stats.Decision, found []reports.Finding) string {
	opening := fmt.Sprintf("%s: %s of %s shall be ≤ %s.", head(req.ID, in.Profile), percentile(req.Quantile),
		req.Measurand, withUnit(toMillis(in.Limit), "ms"))
	if d.Verdict == reports.Error {
		return opening + fmt.Sprintf(" ERROR: test equipment fault; no statement; campaign void: %s; what would cure it: %s.", d.Detail, d.Cure)
	}
	if d.Verdict == reports.Inconclusive {
		return opening + fmt.Sprintf(" INCONCLUSIVE(%s): no statement about conformity; reason: %s; what would cure it: %s.", d.Reason, d.Detail, d.Cure)
	}
	facts := fmt.Sprintf(" Estimate %s, %s upper bound %s (n %s, n_eff %s; %s exceedances of the guarded limit %s after variance correction, %s allowed). U = %s ms (k=2)%s.",
		withUnit(d.Estimate, "ms"), percent(in.Rule.PassConfidence), withUnit(d.Upper, "ms"), count(d.N), count(d.NEff),
		figure(float64(d.XPass)/d.VIF), resolved(toMillis(in.Limit-in.Guard), toMillis(in.Guard))+" ms", count(d.Allowed), twoDigits(toMillis(in.Guard)), in.Latency.Clocks.share())
	if d.Detail != "" {
		facts += " Note: " + d.Detail + "."
	}
	return opening + facts + " " + in.conclusion(d, found) + episodes(d) + in.between()
}

// conclusion is the part of the sentence that depends on the verdict.
func (in LatencyInput) conclusion(d stats.Decision, found []reports.Finding) string {
	pass, fail := in.Rule.PassConfidence, in.Rule.FailConfidence
	switch d.Verdict {
	case reports.Pass:
		return fmt.Sprintf("Rule DR-2, risk of false acceptance ≤ %s. Verdict PASS for the item and conditions of §%s.", percent(1-pass), in.Section)
	case reports.Fail:
		return fmt.Sprintf("The estimate exceeds the limit; risk of false rejection ≤ %s. First violating messages: %s. Verdict FAIL.", percent(1-fail), firstOf(found))
	case reports.ConditionalPass:
		return fmt.Sprintf("The estimate is inside the limit but conformity is not demonstrated at %s. Not certified. %s", percent(pass), moreMessages(d.NeedMore))
	default:
		return fmt.Sprintf("The estimate is outside the limit but non-conformity is not demonstrated at %s. Not certified. %s", percent(fail), moreMessages(d.NeedMore))
	}
}

// episodes says how often lateness came, which the number of late messages
// hides when they come together.
func episodes(d stats.Decision) string {
	if d.Episodes == 0 {
		return ""
	}
	return fmt.Sprintf(" Exceedances came in %s %s.", count(d.Episodes), noun("episode/episodes", d.Episodes))
}

// between words the spread between independent runs; "" for fewer than two.
func (in LatencyInput) between() string {
	if len(in.Runs) < 2 {
		return ""
	}
	n, mean, squares := float64(len(in.Runs)), 0.0, 0.0
	for _, run := range in.Runs {
		mean += run / n
	}
	for _, run := range in.Runs {
		squares += (run - mean) * (run - mean)
	}
	text := fmt.Sprintf(" Spread of %d runs: s_R = %s.", len(in.Runs), withUnit(math.Sqrt(squares/(n-1)), "ms"))
	if slices.Max(in.Runs) <= toMillis(in.Limit) { // false for NaN
		text += fmt.Sprintf(" All are inside the limit, so at %s confidence at least %s %% of such runs would be.",
			percent(in.Rule.PassConfidence), figure(100*stats.RunShare(len(in.Runs), in.Rule.PassConfidence)))
	}
	return text
}

func moreMessages(n int64) string {
	if n <= 0 {
		return "More messages of the same kind would not decide."
	}
	return fmt.Sprintf("About %s further messages would decide.", count(n))
}

// firstOf lists the late messages among the findings.
func firstOf(found []reports.Finding) string {
	var parts []string
	for _, f := range found {
		if f.Kind == "late" || f.Kind == "missing" {
			parts = append(parts, fmt.Sprintf("%s (%s)", f.Detail, f.Evidence))
		}
	}
	if len(parts) == 0 {
		return "none recorded"
	}
	return strings.Join(parts, "; ")
}

// lateShown is how many violating messages a result names.
const lateShown = 3

// late returns the first messages above the limit, in the order intended.
func (l Latencies) late(requirement string, limit float64) (found []reports.Finding) {
	var first []int
	for i, v := range l.Series.Value {
		if v <= limit {
			continue
		}
		at := len(first)
		for at > 0 && l.Series.Due[first[at-1]] > l.Series.Due[i] {
			at--
		}
		if at < lateShown {
			first = append(first[:at], append([]int{i}, first[at:]...)...)
			first = first[:min(len(first), lateShown)]
		}
	}
	for _, i := range first {
		found = append(found, l.lateFinding(requirement, i))
	}
	return found
}

func (l Latencies) lateFinding(requirement string, i int) reports.Finding {
	due := l.Series.Due[i]
	kind, took := "late", "took "+withUnit(l.Series.Value[i], "ms")
	if math.IsInf(l.Series.Value[i], 1) {
		kind, took = "missing", "never arrived"
	}
	f := reports.Finding{
		Requirement: requirement, Kind: kind, At: time.Duration(due), Confirmed: true, Evidence: l.options.Evidence,
		Detail: fmt.Sprintf("intended %s %s", clock(due), took),
	}
	if f.Evidence == "" {
		f.Evidence = "records.bin"
	}
	if l.history != nil {
		viewer, device := l.history.viewers[l.Viewer[i]].name, l.history.device(l.Stream[i])
		f.Seq, f.Subject = l.Seq[i], viewer+" ← "+device
		f.Detail = fmt.Sprintf("%s #%d at %s, %s", device, f.Seq, viewer, f.Detail)
		if k := l.history.recordOf(l.Stream[i], l.Viewer[i], l.Seq[i]); k >= 0 {
			f.Detail += fmt.Sprintf(", record %d", k)
			f.Context = l.history.around(k)
		}
		if kind == "missing" { // the records around show nothing of it
			f.Context = l.history.story(int(l.Viewer[i]), int(l.Stream[i]), l.Seq[i])
		}
	}
	return f
}

// recordOf returns the number of the record that shows a message's way best:
// its arrival at a viewer, else its sending; -1 when no record names it by
// stream and position.
func (h *History) recordOf(stream uint32, viewer uint16, seq uint64) int {
	sent := -1
	for k := range h.log.Records {
		switch r := &h.log.Records[k]; {
		case r.Stream != stream || r.Seq != seq:
		case r.Kind == record.Received && r.Node == viewer:
			return k
		case sent < 0 && (r.Kind == record.Sent || r.Kind == record.Blocked):
			sent = k
		}
	}
	return sent
}
