package events_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"math"
	"reflect"
	"strings"
	"testing"
	"time"
	"unicode"
	"unicode/utf8"

	"github.com/santhosh-tekuri/jsonschema/v6"

	"plumbline/reports"
	"plumbline/reports/events"
)

func compiled(t *testing.T) *jsonschema.Schema {
	t.Helper()
	doc, err := jsonschema.UnmarshalJSON(bytes.NewReader(events.Schema()))
	if err != nil {
		t.Fatal(err)
	}
	c := jsonschema.NewCompiler()
	c.AssertFormat()
	if err := c.AddResource("event.json", doc); err != nil {
		t.Fatal(err)
	}
	s, err := c.Compile("event.json")
	if err != nil {
		t.Fatal(err)
	}
	return s
}

var start = time.Date(2026, 11, 26, 16, 0, 0, 0, time.UTC)

func number[T any](v T) *T { return &v }

// course is a run with one event of each kind.
func course() []events.Event {
	lost := reports.Result{
		Requirement: "DEL-01", Verdict: reports.Fail, Headline: "3 lost, 0 allowed", Attempt: 1,
		Findings: []reports.Finding{{Kind: "lost", Subject: "sim-07", Detail: "seq 12"}, {Kind: "lost"}, {Kind: "lost"}, {Kind: "lost"}},
	}
	all := []events.Event{
		{Kind: events.RunBegan, Total: 2, Left: number(30.0), Run: &events.Run{
			Format: events.Format, ID: "0badcafe", SUT: "bridged v1", Profile: "smoke", Seed: 7, Expected: 30,
			Scenarios: []events.Planned{
				{ID: "steady", Title: "keeps latency", Requirements: []string{"LAT-01", "DEL-01"}, Expected: 20},
				{ID: "load", Title: "loses nothing", Requirements: []string{"DEL-01", "ORD-01"}, Expected: 10},
			},
		}},
		{Kind: events.ScenarioBegan, Scenario: "steady", Title: "keeps latency", Index: 1, Total: 2},
		{Kind: events.StepBegan, Scenario: "steady", Step: "start the bridge"},
		{Kind: events.FaultBegan, Scenario: "steady", Fault: &events.Fault{Name: "SIGKILL bridge"}},
		{Kind: events.FiguresTaken, Scenario: "steady", Left: number(12.5), Figures: &events.Figures{
			P50: 1.5, P99: reports.Float(math.NaN()), N: 100, Window: 10, Limits: []reports.Limit{{Requirement: "LAT-01", Q: 0.5, Value: 20}},
			Sent: 100, Acked: 99, Received: 198, SentRate: 100, ReceivedRate: 200, Viewers: 2, Connected: 1, Devices: 50,
		}},
		{Kind: events.FaultEnded, Scenario: "steady", Fault: &events.Fault{Name: "SIGKILL bridge", Fired: 1, Error: "none"}},
		{Kind: events.AttemptVoided, Scenario: "steady", Attempt: 1, Results: []events.Result{
			{Requirement: "LAT-01", Verdict: reports.Inconclusive, Reason: reports.ReasonRig, Attempt: 1},
		}},
		{Kind: events.ScenarioFinished, Scenario: "steady", Title: "keeps latency", Index: 1, Total: 2, Verdict: number(reports.Pass), Took: 9, Results: []events.Result{
			{Requirement: "LAT-01", Verdict: reports.Inconclusive, Reason: reports.ReasonRig, Attempt: 1},
			{Requirement: "LAT-01", Verdict: reports.Pass, Headline: "p50 2 ms", Attempt: 2},
			{Requirement: "DEL-01", Verdict: reports.Pass, Attempt: 2},
		}},
		{Kind: events.ScenarioBegan, Scenario: "load", Title: "loses nothing", Index: 2, Total: 2},
		{Kind: events.ScenarioFinished, Scenario: "load", Title: "loses nothing", Index: 2, Total: 2, Verdict: number(reports.Fail), Results: []events.Result{
			events.InShort(&lost), {Requirement: "ORD-01", Verdict: reports.Fail, Attempt: 1, Optional: true},
		}},
		{Kind: events.RunEnded, Verdict: number(reports.Fail), Exit: number(1), Partial: "interrupted", Counts: map[string]int{"FAIL": 1, "PASS": 2}},
		{Kind: events.Reported, Report: "out/run/report.html"},
		{Kind: events.Dropped, Dropped: 3},
	}
	for i := range all {
		all[i].Seq, all[i].Time, all[i].Elapsed = uint64(i+1), start.Add(time.Duration(i)*time.Second), float64(i)
	}
	return all
}

func TestEveryKindFitsTheSchemaAndComesBack(t *testing.T) {
	schema := compiled(t)
	for _, e := range course() {
		line, err := events.Encode(&e)
		if err != nil {
			t.Fatal(err)
		}
		if !bytes.HasSuffix(line, []byte("}\n")) || bytes.Count(line, []byte("\n")) != 1 {
			t.Errorf("%s is not one line: %q", e.Kind, line)
		}
		doc, err := jsonschema.UnmarshalJSON(bytes.NewReader(line))
		if err != nil {
			t.Fatal(err)
		}
		if err := schema.Validate(doc); err != nil {
			t.Errorf("%s: %v", e.Kind, err)
		}
		back, err := events.Decode(line)
		if err != nil {
			t.Fatal(err)
		}
		if again, err := events.Encode(&back); err != nil || !bytes.Equal(again, line) {
			t.Errorf("%s came back as %s (%v), was %s", e.Kind, again, err, line)
		}
	}
}

// TestTheSchemaKnowsEveryMember compares the types with the schema, so that none
// of the two grows alone.
func TestTheSchemaKnowsEveryMember(t *testing.T) {
	var doc struct {
		Properties map[string]any `json:"properties"`
		Defs       map[string]struct {
			Properties map[string]any `json:"properties"`
		} `json:"$defs"`
	}
	if err := json.Unmarshal(events.Schema(), &doc); err != nil {
		t.Fatal(err)
	}
	for name, of := range map[string]any{
		"": events.Event{}, "run": events.Run{}, "planned": events.Planned{}, "fault": events.Fault{}, "figures": events.Figures{},
		"limit": reports.Limit{}, "result": events.Result{}, "finding": events.Finding{},
	} {
		have := doc.Defs[name].Properties
		if name == "" {
			have = doc.Properties
		}
		typ := reflect.TypeOf(of)
		for i := range typ.NumField() {
			member, _, _ := strings.Cut(typ.Field(i).Tag.Get("json"), ",")
			if _, known := have[member]; !known {
				t.Errorf("the schema lacks %q of %s", member, typ)
			}
		}
		if len(have) != typ.NumField() {
			t.Errorf("%s has %d members, the schema %d", typ, typ.NumField(), len(have))
		}
	}
}

func TestTheSchemaRefuses(t *testing.T) {
	schema := compiled(t)
	for _, line := range []string{
		`{}`, `[]`, `{"time":"now","seq":1,"kind":"x"}`, `{"time":"2026-11-26T16:00:00Z","seq":0,"kind":"x"}`,
		`{"time":"2026-11-26T16:00:00Z","seq":1,"kind":"figures","scenario":"a"}`,
		`{"time":"2026-11-26T16:00:00Z","seq":1,"kind":"scenario-finished","scenario":"a","title":"","index":1,"total":1,"verdict":"PASSED"}`,
		`{"time":"2026-11-26T16:00:00Z","seq":1,"kind":"run-ended","verdict":"PASS"}`,
	} {
		doc, err := jsonschema.UnmarshalJSON(strings.NewReader(line))
		if err != nil {
			t.Fatal(err)
		}
		if schema.Validate(doc) == nil {
			t.Errorf("accepted %s", line)
		}
	}
}

func TestDecodeTakesOldAndNewAndRefusesOthers(t *testing.T) {
	for _, line := range []string{
		`{"time":"2026-11-26T15:40:32.047Z","kind":"scenario-finished","scenario":"freeze","verdict":"PASS","headline":"0.4 %","index":1,"total":26}`,
		`{"time":"2026-11-26T15:40:32.047Z","seq":4,"kind":"of-tomorrow","more":{"a":[1]}}`,
	} {
		if _, err := events.Decode([]byte(line)); err != nil {
			t.Errorf("%s: %v", line, err)
		}
	}
	for _, line := range []string{
		``, `{"time":"2026-11-26T1`, `{"seq":1}`, `[1]`, `{"kind":"run-began","run":{"format":"plumbline.events/v2"}}`, `{"kind":"run-ended","verdict":"PASSED"}`,
	} {
		if _, err := events.Decode([]byte(line)); !errors.Is(err, events.ErrFormat) {
			t.Errorf("%q: %v, want ErrFormat", line, err)
		}
	}
}

func TestNoLineHoldsWhatATerminalObeys(t *testing.T) {
	evil := "a\x1b[2J\u009b31m\u202eb\U000e0041\x7f\r\n\xffend"
	e := events.Event{Kind: events.StepBegan, Time: start, Seq: 1, Scenario: evil, Step: evil}
	line, err := events.Encode(&e)
	if err != nil {
		t.Fatal(err)
	}
	for _, r := range strings.TrimSuffix(string(line), "\n") {
		if unicode.IsControl(r) || unicode.Is(unicode.Cf, r) {
			t.Errorf("the line holds %U: %q", r, line)
		}
	}
	back, err := events.Decode(line)
	if err != nil || back.Step != strings.ToValidUTF8(evil, "\ufffd") {
		t.Errorf("came back as %q, %v", back.Step, err)
	}
}

func TestTextsAreCutBetweenCharacters(t *testing.T) {
	long := events.Cut(strings.Repeat("€", 1<<20))
	if !utf8.ValidString(long) || len(long) > 600 || !strings.HasSuffix(long, "…") {
		t.Errorf("%d bytes, valid %v", len(long), utf8.ValidString(long))
	}
	if got := events.Cut("short"); got != "short" {
		t.Errorf("got %q", got)
	}
	r := reports.Result{Headline: strings.Repeat("x", 1<<20), Findings: make([]reports.Finding, 10_000)}
	short := events.InShort(&r)
	if len(short.Findings) != 3 || short.Found != 10_000 || len(short.Headline) > 600 || short.Attempt != 1 {
		t.Errorf("in short %+v", short)
	}
}
