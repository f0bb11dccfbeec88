package tables

import (
	"strings"
	"time"

	"plumbline/reports"
)

// Requirement is a row of requirements: the verdict about each.
type Requirement struct {
	Run        string  `parquet:"run"`
	ID         string  `parquet:"requirement"`
	Title      string  `parquet:"title"`
	Class      string  `parquet:"class"`
	Capability string  `parquet:"capability"`
	Rule       string  `parquet:"rule"`
	Quantile   float64 `parquet:"quantile"` // 0 when it is none of a quantile
	MinSamples int64   `parquet:"min_samples"`
	Source     string  `parquet:"source"`
	Verdict    string  `parquet:"verdict"`
	Reason     string  `parquet:"reason"`
	Listed     bool    `parquet:"listed"`
	Text       string  `parquet:"text"`
}

// Result is a row of results: one judgement of one requirement by one scenario.
type Result struct {
	Run         string    `parquet:"run"`
	Requirement string    `parquet:"requirement"`
	Scenario    string    `parquet:"scenario"`
	Attempt     int64     `parquet:"attempt"`
	Superseded  bool      `parquet:"superseded"` // voided by a validity gate, and repeated
	Verdict     string    `parquet:"verdict"`
	Reason      string    `parquet:"reason"`
	Headline    string    `parquet:"headline"`
	Started     time.Time `parquet:"started_utc,timestamp(microsecond)"`
	Duration    int64     `parquet:"duration_ns"`
	Findings    int64     `parquet:"findings"`
	Sentence    string    `parquet:"sentence"`
	Reproduce   string    `parquet:"reproduce"`
}

// Measurement is a row of measurements: the figures behind a result, in the unit
// of their row.
type Measurement struct {
	Run         string  `parquet:"run"`
	Requirement string  `parquet:"requirement"`
	Scenario    string  `parquet:"scenario"`
	Attempt     int64   `parquet:"attempt"`
	Name        string  `parquet:"measurand"`
	Unit        string  `parquet:"unit"`
	Estimate    float64 `parquet:"estimate"`
	Lower       float64 `parquet:"lower"`
	Upper       float64 `parquet:"upper"`
	Confidence  float64 `parquet:"confidence"`
	Limit       float64 `parquet:"limit"`
	Guard       float64 `parquet:"guard"`
	Bias        float64 `parquet:"bias"`
	Quantile    float64 `parquet:"quantile"`
	N           int64   `parquet:"n"`
	NEff        int64   `parquet:"n_eff"`
	VIF         float64 `parquet:"vif"`
	Events      int64   `parquet:"events"`
	ExceedPass  int64   `parquet:"exceed_pass"`
	Allowed     int64   `parquet:"allowed"`
	ExceedFail  int64   `parquet:"exceed_fail"`
	Reject      int64   `parquet:"reject"`
}

// Finding is a row of findings.
type Finding struct {
	Run         string `parquet:"run"`
	Requirement string `parquet:"requirement"`
	Scenario    string `parquet:"scenario"`
	Attempt     int64  `parquet:"attempt"`
	Kind        string `parquet:"kind"`
	Subject     string `parquet:"subject"`
	Detail      string `parquet:"detail"`
	Seq         uint64 `parquet:"seq"`
	At          int64  `parquet:"at_ns"`
	Confirmed   bool   `parquet:"confirmed"`
	Evidence    string `parquet:"evidence"`
	Context     string `parquet:"context"` // lines, joined by " | "
}

// Latency is a row of latencies: a point of the percentile curve.
type Latency struct {
	Run          string  `parquet:"run"`
	Scenario     string  `parquet:"scenario"`
	Distribution string  `parquet:"distribution"`
	N            int64   `parquet:"n"`
	Lost         int64   `parquet:"lost"`
	Quantile     float64 `parquet:"quantile"`
	Value        float64 `parquet:"value_ms"`
}

// Bucket is a row of latency_buckets: how many latencies were in [Low, High).
type Bucket struct {
	Run          string  `parquet:"run"`
	Scenario     string  `parquet:"scenario"`
	Distribution string  `parquet:"distribution"`
	Low          float64 `parquet:"low_ms"`
	High         float64 `parquet:"high_ms"`
	Count        int64   `parquet:"count"`
}

// Point is a row of timelines: the latencies of what was intended in one slot.
type Point struct {
	Run      string  `parquet:"run"`
	Scenario string  `parquet:"scenario"`
	Timeline string  `parquet:"timeline"`
	At       int64   `parquet:"at_ns"`
	Slot     int64   `parquet:"slot_ns"`
	Count    int64   `parquet:"count"`
	Lost     int64   `parquet:"lost"`
	P50      float64 `parquet:"p50_ms"`
	P99      float64 `parquet:"p99_ms"`
	Max      float64 `parquet:"max_ms"`
}

// Fault is a row of faults: when one was there, on the clock of its timeline.
type Fault struct {
	Run      string `parquet:"run"`
	Scenario string `parquet:"scenario"`
	Timeline string `parquet:"timeline"`
	Name     string `parquet:"fault"`
	Onset    int64  `parquet:"onset_ns"`
	End      int64  `parquet:"end_ns"`
}

// Hop is a row of hops: one leg of the way.
type Hop struct {
	Run      string  `parquet:"run"`
	Scenario string  `parquet:"scenario"`
	Name     string  `parquet:"hop"`
	From     string  `parquet:"from"`
	To       string  `parquet:"to"`
	N        int64   `parquet:"n"`
	P50      float64 `parquet:"p50_ms"`
	P99      float64 `parquet:"p99_ms"`
	Note     string  `parquet:"note"`
}

// Integrity is a row of integrity: the account of one device in one scenario.
type Integrity struct {
	Run        string `parquet:"run"`
	Scenario   string `parquet:"scenario"`
	Device     string `parquet:"device"`
	Mode       string `parquet:"mode"`
	Sent       int64  `parquet:"sent"`
	Acked      int64  `parquet:"acked"`
	Blocked    int64  `parquet:"blocked"`
	Witnessed  int64  `parquet:"witnessed"`
	Expected   int64  `parquet:"expected"`
	Delivered  int64  `parquet:"delivered"`
	Lost       int64  `parquet:"lost"`
	Duplicated int64  `parquet:"duplicated"`
	Reordered  int64  `parquet:"reordered"`
	Corrupted  int64  `parquet:"corrupted"`
	Phantom    int64  `parquet:"phantom"`
}

// Device is a row of devices.
type Device struct {
	Run     string `parquet:"run"`
	ID      string `parquet:"device"`
	Kind    string `parquet:"kind"`
	Mode    string `parquet:"mode"`
	Detail  string `parquet:"detail"`
	Tier    int64  `parquet:"tier"`
	Time    string `parquet:"time"`
	Damaged uint64 `parquet:"damaged"`
}

// Requirements lays out the verdict about each requirement.
func Requirements(run *reports.Run) (rows []Requirement) {
	for _, j := range run.Judgements() {
		r := j.Requirement
		rows = append(rows, Requirement{Run: run.ID, ID: r.ID, Title: r.Title, Class: string(r.Class), Capability: r.Capability, Rule: r.Rule,
			Quantile: r.Quantile, MinSamples: r.MinSamples, Source: r.Source, Verdict: j.Verdict.String(), Reason: string(j.Reason), Listed: j.Listed, Text: r.Text})
	}
	return rows
}

// Results lays out every result, in the order of the run.
func Results(run *reports.Run) (rows []Result) {
	voided := map[*reports.Result]bool{}
	for _, j := range run.Judgements() {
		for _, r := range j.Superseded {
			voided[r] = true
		}
	}
	for i := range run.Results {
		r := &run.Results[i]
		rows = append(rows, Result{Run: run.ID, Requirement: r.Requirement, Scenario: r.Scenario, Attempt: int64(r.Attempt), Superseded: voided[r],
			Verdict: r.Verdict.String(), Reason: string(r.Reason), Headline: r.Headline, Started: r.Started, Duration: int64(r.Duration),
			Findings: int64(len(r.Findings)), Sentence: r.Sentence, Reproduce: r.Reproduce})
	}
	return rows
}

// Measurements lays out the figures of the results that have some.
func Measurements(run *reports.Run) (rows []Measurement) {
	for _, r := range run.Results {
		m := r.Measurement
		if m == nil {
			continue
		}
		rows = append(rows, Measurement{Run: run.ID, Requirement: r.Requirement, Scenario: r.Scenario, Attempt: int64(r.Attempt), Name: m.Name, Unit: m.Unit,
			Estimate: float64(m.Estimate), Lower: float64(m.Lower), Upper: float64(m.Upper), Confidence: m.Confidence, Limit: float64(m.Limit),
			Guard: m.Guard, Bias: m.Bias, Quantile: m.Quantile, N: m.N, NEff: m.NEff, VIF: m.VIF, Events: m.Events,
			ExceedPass: m.ExceedPass, Allowed: m.Allowed, ExceedFail: m.ExceedFail, Reject: m.Reject})
	}
	return rows
}

// Findings lays out the findings of all results.
func Findings(run *reports.Run) (rows []Finding) {
	for _, r := range run.Results {
		for _, f := range r.Findings {
			rows = append(rows, Finding{Run: run.ID, Requirement: r.Requirement, Scenario: r.Scenario, Attempt: int64(r.Attempt), Kind: f.Kind, Subject: f.Subject,
				Detail: f.Detail, Seq: f.Seq, At: int64(f.At), Confirmed: f.Confirmed, Evidence: f.Evidence, Context: strings.Join(f.Context, " | ")})
		}
	}
	return rows
}

// Latencies lays out the percentile curves.
func Latencies(run *reports.Run) (rows []Latency) {
	for _, d := range run.Latencies {
		for _, p := range d.Percentiles {
			rows = append(rows, Latency{Run: run.ID, Scenario: d.Scenario, Distribution: d.Name, N: d.N, Lost: d.Lost, Quantile: p.Q, Value: float64(p.Value)})
		}
	}
	return rows
}

// Buckets lays out the histograms of latency.
func Buckets(run *reports.Run) (rows []Bucket) {
	for _, d := range run.Latencies {
		for _, b := range d.Buckets {
			rows = append(rows, Bucket{Run: run.ID, Scenario: d.Scenario, Distribution: d.Name, Low: b.Low, High: b.High, Count: b.Count})
		}
	}
	return rows
}

// Points lays out the timelines.
func Points(run *reports.Run) (rows []Point) {
	for _, t := range run.Timelines {
		for _, p := range t.Points {
			rows = append(rows, Point{Run: run.ID, Scenario: t.Scenario, Timeline: t.Name, At: int64(p.At), Slot: int64(t.Slot), Count: p.Count, Lost: p.Lost,
				P50: float64(p.P50), P99: float64(p.P99), Max: float64(p.Max)})
		}
	}
	return rows
}

// Faults lays out the fault windows of the timelines.
func Faults(run *reports.Run) (rows []Fault) {
	for _, t := range run.Timelines {
		for _, f := range t.Faults {
			rows = append(rows, Fault{Run: run.ID, Scenario: t.Scenario, Timeline: t.Name, Name: f.Name, Onset: int64(f.Onset), End: int64(f.End)})
		}
	}
	return rows
}

// Hops lays out the legs of the way.
func Hops(run *reports.Run) (rows []Hop) {
	for _, h := range run.Hops {
		rows = append(rows, Hop{Run: run.ID, Scenario: h.Scenario, Name: h.Name, From: h.From, To: h.To, N: h.N, P50: float64(h.P50), P99: float64(h.P99), Note: h.Note})
	}
	return rows
}

// IntegrityOf lays out the accounts of the devices.
func IntegrityOf(run *reports.Run) (rows []Integrity) {
	for _, r := range run.Integrity {
		rows = append(rows, Integrity{Run: run.ID, Scenario: r.Scenario, Device: r.Device, Mode: string(r.Mode), Sent: r.Sent, Acked: r.Acked, Blocked: r.Blocked,
			Witnessed: r.Witnessed, Expected: r.Expected, Delivered: r.Delivered, Lost: r.Lost, Duplicated: r.Duplicated, Reordered: r.Reordered,
			Corrupted: r.Corrupted, Phantom: r.Phantom})
	}
	return rows
}

// Devices lays out what took part.
func Devices(run *reports.Run) (rows []Device) {
	for _, d := range run.Devices {
		rows = append(rows, Device{Run: run.ID, ID: d.ID, Kind: d.Kind, Mode: string(d.Mode), Detail: d.Detail, Tier: int64(d.Tier), Time: d.Time, Damaged: d.Damaged})
	}
	return rows
}
