// Package events is the course of a run, told while it goes on: one Event as a
// JSON object a line, in events.jsonl of the run directory and wherever else the
// user wants it. State is what the events so far add up to.
//
// The format is versioned by Format, which run-began carries, and described by
// Schema. Within a version kinds and members are only added: readers ignore what
// they do not know. Nothing here decides anything, figures least of all: they are
// a look at a sample of what arrived, and what is late without end is not in them.
// Verdicts come from the records when a scenario is over.
package events

import (
	"bytes"
	_ "embed"
	"encoding/json"
	"errors"
	"fmt"
	"time"
	"unicode"
	"unicode/utf16"
	"unicode/utf8"

	"plumbline/reports"
)

// Format is the version of the events that this package writes.
const Format = "plumbline.events/v1"

// FileName is the file of a run directory that holds them. It grows while the run
// goes on and is whole when its last line is run-ended.
const FileName = "events.jsonl"

//go:embed schema.json
var schema []byte

// Schema returns the JSON schema of one line.
func Schema() []byte { return bytes.Clone(schema) }

// Kind says what an Event tells.
type Kind string

// The kinds of events. A run begins with RunBegan and ends with RunEnded; only
// Reported and Dropped stand outside, and never in a run directory.
const (
	RunBegan         Kind = "run-began"         // Total, Run
	ScenarioBegan    Kind = "scenario-began"    // Scenario, Title, Index of Total
	StepBegan        Kind = "step-began"        // Scenario, Step
	FaultBegan       Kind = "fault-began"       // Scenario, Fault
	FaultEnded       Kind = "fault-ended"       // Scenario, Fault
	FiguresTaken     Kind = "figures"           // Scenario, Figures: about once a second while a scenario records
	AttemptVoided    Kind = "attempt-voided"    // Scenario, Attempt, Results: a validity gate voided it and it is repeated
	ScenarioFinished Kind = "scenario-finished" // Scenario, Title, Index of Total, Verdict, Headline, Took, Results
	RunEnded         Kind = "run-ended"         // Verdict, Exit, Partial, Counts
	Reported         Kind = "reported"          // Report: the reports are written and sealed
	Dropped          Kind = "dropped"           // Dropped: how many events a slow reader did not get just before
)

// Event is one line. Which members it has its Kind says; all have Time, Seq and
// Kind, and Elapsed once the run has begun.
type Event struct {
	Time     time.Time        `json:"time"` // when it happened, UTC
	Seq      uint64           `json:"seq"`  // from 1, one more each line; a hole is what a slow reader did not get
	Kind     Kind             `json:"kind"`
	Scenario string           `json:"scenario,omitempty"`
	Title    string           `json:"title,omitempty"`
	Step     string           `json:"step,omitempty"`
	Verdict  *reports.Verdict `json:"verdict,omitempty"`
	Headline string           `json:"headline,omitempty"` // of the result that decides
	Index    int              `json:"index,omitempty"`    // of the scenario, from 1
	Total    int              `json:"total,omitempty"`    // scenarios that will run
	Attempt  int              `json:"attempt,omitempty"`  // from 1
	Took     float64          `json:"took_s,omitempty"`
	Elapsed  float64          `json:"elapsed_s,omitempty"` // since the run began
	Left     *float64         `json:"left_s,omitempty"`    // estimate from what the profile declares; absent when unknown
	Run      *Run             `json:"run,omitempty"`
	Fault    *Fault           `json:"fault,omitempty"`
	Figures  *Figures         `json:"figures,omitempty"`
	Results  []Result         `json:"results,omitempty"`
	Exit     *int             `json:"exit,omitempty"`    // exit code that the verdict gives
	Partial  string           `json:"partial,omitempty"` // why the run is not whole
	Counts   map[string]int   `json:"counts,omitempty"`  // requirements by verdict
	Report   string           `json:"report,omitempty"`  // path of report.html
	Dropped  uint64           `json:"dropped,omitempty"`
}

// Run is what is known when a run begins.
type Run struct {
	Format     string    `json:"format"`
	ID         string    `json:"id"`
	SUT        string    `json:"sut"` // name and version
	Profile    string    `json:"profile"`
	Seed       uint64    `json:"seed"`
	Certifying bool      `json:"certifying"`
	Scenarios  []Planned `json:"scenarios"`  // in the order in which they run
	Expected   float64   `json:"expected_s"` // how long about all will take
}

// Planned is a scenario that will run.
type Planned struct {
	ID           string   `json:"id"`
	Title        string   `json:"title"`
	Requirements []string `json:"requirements"` // that it judges and the profile asks for
	Expected     float64  `json:"expected_s"`   // how long about it takes
}

// Fault is something that is broken on purpose.
type Fault struct {
	Name  string `json:"name"`            // with all its parameters
	Fired uint64 `json:"fired,omitempty"` // how often it acted, of one that counts
	Error string `json:"error,omitempty"` // that it ended with
}

// Figures is how a scenario does just now. Latency runs from the intended instant
// to the arrival at a viewer, of what arrived within the last Window seconds.
type Figures struct {
	P50          reports.Float   `json:"p50_ms"` // null without arrivals
	P99          reports.Float   `json:"p99_ms"` // likewise
	N            int64           `json:"n"`      // latencies behind the two; a sample when there are many
	Window       float64         `json:"window_s"`
	Limits       []reports.Limit `json:"limits,omitempty"` // of the requirements on latency that the scenario judges
	Began        time.Time       `json:"began"`            // when its bench was opened: counts run from there
	Sent         uint64          `json:"sent"`             // messages
	Acked        uint64          `json:"acked"`
	Received     uint64          `json:"received"` // by all viewers together
	SentRate     float64         `json:"sent_per_s"`
	ReceivedRate float64         `json:"received_per_s"`
	Viewers      int             `json:"viewers"`
	Connected    int             `json:"viewers_connected"`
	Devices      int             `json:"devices"`
}

// Result is a judgement in short; the reports have it in full.
type Result struct {
	Requirement string          `json:"requirement"`
	Verdict     reports.Verdict `json:"verdict"`
	Reason      reports.Reason  `json:"reason,omitempty"`
	Headline    string          `json:"headline,omitempty"`
	Attempt     int             `json:"attempt"`
	Optional    bool            `json:"optional,omitempty"` // it decides nothing unless it is an ERROR
	Findings    []Finding       `json:"findings,omitempty"` // the first few
	Found       int             `json:"findings_total,omitempty"`
}

// Finding is a violation or remark in short.
type Finding struct {
	Kind    string `json:"kind"`
	Subject string `json:"subject"`
	Detail  string `json:"detail"`
}

// What a line holds is bounded, whatever the system under test says of itself.
const (
	maxText     = 500 // bytes of a text of foreign making
	maxFindings = 3   // of a result
)

// InShort returns a result as events tell it, with its texts cut.
func InShort(r *reports.Result) Result {
	short := Result{
		Requirement: r.Requirement, Verdict: r.Verdict, Reason: r.Reason, Headline: Cut(r.Headline), Attempt: max(r.Attempt, 1), Found: len(r.Findings),
	}
	for _, f := range r.Findings[:min(len(r.Findings), maxFindings)] {
		short.Findings = append(short.Findings, Finding{Kind: Cut(f.Kind), Subject: Cut(f.Subject), Detail: Cut(f.Detail)})
	}
	return short
}

// Cut returns text, or its beginning and "…" when it is long.
func Cut(text string) string {
	if len(text) <= maxText {
		return text
	}
	end := maxText
	for end > 0 && !utf8.RuneStart(text[end]) {
		end--
	}
	return text[:end] + "…"
}

// Encode returns e as a line with its end.
func Encode(e *Event) ([]byte, error) {
	line, err := json.Marshal(e)
	if err != nil {
		return nil, fmt.Errorf("events: %s: %w", e.Kind, err)
	}
	return append(visible(line), '\n'), nil
}

// visible writes what a terminal would obey instead of show as JSON escapes, which
// say the same: C1 controls, format characters such as the direction overrides.
// What ASCII has of the kind JSON never holds as it is, but for DEL.
func visible(line []byte) []byte {
	hidden := func(r rune) bool { return unicode.IsControl(r) || unicode.Is(unicode.Cf, r) }
	if !bytes.ContainsFunc(line, hidden) {
		return line
	}
	var out []byte
	for _, r := range string(line) {
		switch {
		case !hidden(r):
			out = utf8.AppendRune(out, r)
		case r > 0xffff:
			high, low := utf16.EncodeRune(r)
			out = fmt.Appendf(out, `\u%04x\u%04x`, high, low)
		default:
			out = fmt.Appendf(out, `\u%04x`, r)
		}
	}
	return out
}

// ErrFormat says that a line is none of this version.
var ErrFormat = errors.New("events: no event of " + Format)

// Decode reads a line. Kinds and members that it does not know are no error. Lines
// of runs from before Format had only some of the members. Errors wrap ErrFormat.
func Decode(line []byte) (Event, error) {
	var e Event
	if err := json.Unmarshal(line, &e); err != nil {
		return Event{}, fmt.Errorf("%w: %w", ErrFormat, err)
	}
	switch {
	case e.Kind == "":
		return Event{}, fmt.Errorf("%w: it has no kind", ErrFormat)
	case e.Run != nil && e.Run.Format != Format:
		return Event{}, fmt.Errorf("%w: the run tells its course as %q", ErrFormat, e.Run.Format)
	}
	return e, nil
}
