package render

import (
	"fmt"
	"math"
	"slices"
	"time"

	"plumbline/reports"
)

// sampleEntry is a line of the sample catalogue.
type sampleEntry struct {
	id, title, text, capability, scenario, rule string
	quantile, limit, estimate                   float64
}

var sampleCatalogue = []sampleEntry{
	{"LAT-01", "Median latency", "The median of t0i→t4 shall be at most 25 ms.", "", "steady load", "DR-2", 0.5, 25, 1.1},
	{"LAT-02", "99th percentile of latency", "The 99th percentile of t0i→t4 shall be at most 100 ms.", "", "steady load", "DR-2", 0.99, 100, 12.4},
	{"LAT-03", "99.9th percentile of latency", "The 99.9th percentile of t0i→t4 shall be at most 250 ms.", "", "steady load", "DR-2", 0.999, 250, 187.4},
	{"LAT-08", "First message after connecting", "The first message after a viewer connects shall arrive within 1 s at the 95th percentile.", "", "churn", "DR-2", 0.95, 1000, 38},
	{"DEL-01", "No loss under steady load", "Every message acknowledged to its device shall reach every entitled viewer.", "", "steady load", "zero-event", 0, 0, 0},
	{"DEL-02", "No loss across a viewer's reconnection", "Every message shall reach a viewer that reconnects and resumes.", "resume", "viewer cut", "zero-event", 0, 0, 0},
	{"DEL-04", "No loss across a restart of the bridge", "Every acknowledged message shall reach the viewers after the bridge was killed and started again.", "resume", "bridge killed", "zero-event", 0, 0, 0},
	{"DEL-05", "No duplicates", "No message shall reach a viewer twice.", "", "bridge killed", "zero-event", 0, 0, 0},
	{"ORD-01", "Order within a topic", "Messages of one topic shall arrive in the order in which they were published, also in bursts of 0.1 ms spacing.", "", "micro-bursts", "zero-event", 0, 0, 0},
	{"ORD-02", "Order across the seam", "Replayed and live messages shall join without a step back.", "resume", "viewer cut", "zero-event", 0, 0, 0},
	{"REC-01", "Gap of a viewer", "A viewer whose connection is cut shall see fresh values again within 2 s.", "resume", "viewer cut", "DR-2", 0.95, 2000, 412},
	{"REC-02", "Outage of the broker", "Fresh values shall flow within 5 s after the broker is back.", "", "broker restart", "DR-2", 0.95, 5000, 890},
	{"REC-03", "Half-open connection", "A dead connection shall be detected within 10 s.", "", "black hole", "DR-2", 0.95, 10000, 4200},
	{"SEC-01", "TLS", "The bridge shall accept no connection below TLS 1.2 and none in plain text.", "", "security", "deterministic", 0, 0, 0},
	{"SEC-02", "Authentication", "A viewer without a valid token shall receive no data.", "", "security", "deterministic", 0, 0, 0},
	{"SEC-05", "Revocation", "A revoked token shall end its session within 1 s.", "revocation", "security", "deterministic", 0, 0, 0},
	{"SEC-06", "Origin", "A foreign origin shall be refused before the upgrade.", "origin-check", "security", "deterministic", 0, 0, 0},
	{"SEC-10", "Close codes", "Every refusal shall carry its published close code.", "", "security", "deterministic", 0, 0, 0},
}

func (c sampleEntry) requirement() reports.Requirement {
	r := reports.Requirement{ID: c.id, Title: c.title, Text: c.text, Class: reports.Mandatory, Rule: c.rule, Quantile: c.quantile,
		Measurand: "t0i→t4: from the instant the value was due to the viewer's read", MinSamples: 10000, Source: "judgement", Faults: []string{"F23", "F25"}, Since: "1.0"}
	if c.capability != "" {
		r.Class, r.Capability = reports.Conditional, c.capability
	}
	if c.rule == "deterministic" {
		r.Measurand, r.MinSamples = "answer of the bridge to a hostile client", 1
	}
	return r
}

// result judges the entry with figures that fit the verdict.
func (c sampleEntry) result(v reports.Verdict) reports.Result {
	r := reports.Result{Requirement: c.id, Scenario: c.scenario, Verdict: v, Attempt: 1, Started: sampleStart.Add(20 * time.Second), Duration: 41 * time.Second,
		Reproduce: "plumbline run --profile bench --label-filter 'req:" + c.id + "' --seed 8276155094713",
		Procedure: []string{"Start the bridge with an empty journal and 20 viewers over TLS.", "Drive 36 devices in an open loop for 60 s.", "Wait until the drain window closes.", "Judge from the records alone."}}
	switch {
	case v == reports.NotApplicable:
		r.Headline = "capability " + c.capability + " not declared"
		r.Sentence = c.id + ": not applicable, the system does not declare the capability " + c.capability + "."
		r.Procedure = nil
		return r
	case v == reports.Error:
		r.Headline = "recorder ran out of disk space"
		r.Sentence = c.id + ": ERROR: test equipment fault; no statement; campaign void."
		return r
	case c.quantile > 0:
		c.fillQuantile(&r)
	case c.rule == "zero-event":
		c.fillZero(&r)
	default:
		c.fillDeterministic(&r)
	}
	return r
}

func (c sampleEntry) fillQuantile(r *reports.Result) {
	factor := map[reports.Verdict]float64{reports.Pass: 1, reports.Fail: 1.9, reports.ConditionalPass: 7.7, reports.Inconclusive: 1}[r.Verdict]
	m := &reports.Measurement{Name: quantileName(c.quantile) + " of t0i→t4", Unit: "ms", Estimate: reports.Float(c.estimate * factor), Lower: reports.Float(c.estimate * factor * 0.96),
		Upper: reports.Float(c.estimate * factor * 1.08), Confidence: 0.95, Limit: reports.Float(c.limit), Guard: 0.06, Bias: 0.21, Quantile: c.quantile,
		N: 342000, NEff: 88100, VIF: 3.88, ExceedPass: 31, Allowed: 72, ExceedFail: 29, Reject: 116, Runs: []reports.Float{182, 191, 186.5, 188, 187}}
	r.Measurement = m
	r.Headline = fmt.Sprintf("%s ≤ %s", quantity(float64(m.Estimate), "ms"), quantity(c.limit, "ms"))
	sentence := fmt.Sprintf("%s (profile bench 1.0): %s Estimate %s, 95 %% upper bound %s (n 342 000, n_eff 88 100; 31 exceedances of the guarded limit after variance correction, 72 allowed). U = 0.06 ms (k=2). Rule DR-2, ",
		c.id, c.text, quantity(float64(m.Estimate), "ms"), quantity(float64(m.Upper), "ms"))
	switch r.Verdict {
	case reports.Fail:
		m.ExceedFail, m.ExceedPass = 421, 424
		r.Headline = fmt.Sprintf("%s > %s", quantity(float64(m.Estimate), "ms"), quantity(c.limit, "ms"))
		r.Sentence = c.id + " exceeds the limit; risk of false rejection ≤ 1 %. First violating messages below. Verdict FAIL."
		for i := range 3 {
			r.Findings = append(r.Findings, reports.Finding{Requirement: c.id, Kind: "late", Subject: fmt.Sprintf("viewer-%02d", i+3), Detail: fmt.Sprintf("took %d ms, limit 250 ms", 355+i*19),
				Seq: uint64(8812 + i), At: 31*time.Second + time.Duration(i)*3*time.Millisecond, Confirmed: true, Evidence: "records/steady-load/records.bin"})
		}
	case reports.ConditionalPass:
		r.Sentence = c.id + ": estimate is inside the limit but conformity is not demonstrated at 95 %. Not certified. About 41 000 further messages would decide."
	case reports.Inconclusive:
		r.Reason = reports.ReasonSamples
		m.N, m.NEff, m.Upper = 41, 12, reports.Float(math.NaN())
		r.Headline = "12 effective samples, 59 needed"
		r.Sentence = "INCONCLUSIVE(N): no statement about conformity; reason: 12 effective samples where 59 are needed; what would cure it: 5 further cycles."
	default:
		r.Sentence = sentence + "risk of false acceptance ≤ 5 %. Verdict PASS for the item and conditions of this report."
	}
}

func (c sampleEntry) fillZero(r *reports.Result) {
	r.Measurement = &reports.Measurement{Name: "violations", Estimate: 0, Lower: 0, Upper: 1e-5, Confidence: 0.99, N: 460800, NEff: 460800, VIF: 1}
	r.Headline = "0 in 460 800; at most 1.0·10⁻⁵"
	r.Sentence = "0 violations in n = 460 800 QoS 1 messages; 99 % upper bound 1.0·10⁻⁵ per message under the stated conditions. This does not state that none is possible."
	if r.Verdict != reports.Fail {
		return
	}
	r.Measurement.Events, r.Measurement.Estimate = 2, 4.3e-6
	r.Headline = "2 lost of 460 800"
	r.Sentence = "2 confirmed violations in n = 460 800; reproduction seed 8276155094713. Verdict FAIL."
	for i := range 2 {
		r.Findings = append(r.Findings, reports.Finding{Requirement: c.id, Kind: "lost", Subject: "gps-004", Detail: "acknowledged to the device and seen by the witness, absent at viewer-07 after the drain window",
			Seq: uint64(1203 + i), At: 9*time.Second + 400*time.Millisecond + time.Duration(i)*2*time.Millisecond, Confirmed: true, Evidence: "records/bridge-killed/records.bin",
			Context: []string{"9.398120 s  sent       gps-004 #1202", "9.398611 s  acked      gps-004 #1202", fmt.Sprintf("9.40%d311 s  acked      gps-004 #%d", i, 1203+i), "9.402700 s  fault      SIGKILL bridge", "10.61220 s  received   gps-004 #1205 (viewer-07, offset 40112)"}})
	}
}

func (c sampleEntry) fillDeterministic(r *reports.Result) {
	r.Headline = "14 of 14 attacks refused"
	r.Sentence = c.id + ": all 14 vectors were refused with the published answer. Verdict PASS for the item and conditions of this report."
	if r.Verdict == reports.ConditionalFail {
		r.Headline = "13 of 14 close codes as published"
		r.Sentence = c.id + ": one answer differed once in three tries; non-conformity not demonstrated at 99 %. Not certified."
	}
}

func sortedCopy(v []float64) []float64 {
	out := slices.Clone(v)
	slices.Sort(out)
	return out
}
