package console

import (
	"math"
	"strings"
	"testing"
	"time"

	"plumbline/harness/cmd/plumbline/internal/terminaltest"
	"plumbline/reports"
	"plumbline/reports/events"
)

var noon = time.Date(2026, 11, 26, 16, 0, 0, 0, time.UTC)

func at(s float64) time.Time { return noon.Add(time.Duration(s * float64(time.Second))) }

func number[T any](v T) *T { return &v }

// course is a run in its second scenario, with a fault on and a failure behind it.
func course() []events.Event {
	return []events.Event{
		{Kind: events.RunBegan, Time: at(0), Total: 3, Left: number(200.0), Run: &events.Run{
			SUT: "bridged v1.2", Profile: "ci", Scenarios: []events.Planned{
				{ID: "load", Requirements: []string{"DEL-01", "ORD-01"}}, {ID: "steady", Requirements: []string{"LAT-01", "LAT-02", "DEL-01"}},
				{ID: "kill", Requirements: []string{"DEL-04", "REC-01"}},
			},
		}},
		{Kind: events.ScenarioBegan, Time: at(0), Scenario: "load", Index: 1, Total: 3},
		{Kind: events.ScenarioFinished, Time: at(10), Scenario: "load", Index: 1, Total: 3, Results: []events.Result{
			{Requirement: "ORD-01", Verdict: reports.Pass, Attempt: 1},
			{Requirement: "DEL-01", Verdict: reports.Fail, Attempt: 1, Findings: []events.Finding{{Kind: "lost", Subject: "sim-07", Detail: "seq 12"}}},
		}},
		{Kind: events.ScenarioBegan, Time: at(10), Scenario: "steady", Index: 2, Total: 3},
		{Kind: events.StepBegan, Time: at(11), Scenario: "steady", Step: "run 1: warm up for 1s, then publish 1000 messages/s for 15s"},
		{Kind: events.FaultBegan, Time: at(20), Scenario: "steady", Fault: &events.Fault{Name: "cut the viewers' link"}},
		{Kind: events.FiguresTaken, Time: at(22), Scenario: "steady", Left: number(150.0), Figures: &events.Figures{
			P50: 1.234, P99: 123.4, N: 9800, Window: 10, SentRate: 1000, ReceivedRate: 1999.6, Viewers: 2, Connected: 1, Devices: 50,
			Limits: []reports.Limit{{Requirement: "LAT-01", Q: 0.5, Value: 20}, {Requirement: "LAT-02", Q: 0.99, Value: 100}, {Requirement: "LAT-03", Q: 0.999, Value: 500}},
		}},
	}
}

func drawn(v view, style Style) string {
	var out []string
	for _, r := range frame(v) {
		out = append(out, r.text(style, v.width-1))
	}
	return strings.Join(out, "\n")
}

func stateOf(all []events.Event) *events.State {
	s := &events.State{}
	for _, e := range all {
		s.Apply(e)
	}
	return s
}

func TestTheFrame(t *testing.T) {
	v := view{state: stateOf(course()), width: 100, height: 24, now: at(22.5)}
	want := strings.Join([]string{
		"1 of 3 scenarios  bridged v1.2, ci  22 s  about 2 min left",
		"DEL ░░░░░ 0/2  ORD █████ 1/1  LAT ░░░░░ 0/2  REC ░░░░░ 0/1",
		"steady  12 s  run 1: warm up for 1s, then publish 1000 messages/s for 15s",
		"  latency  p50 1.23 ms of 20.0 ms (LAT-01)  p99 123 ms of 100 ms (LAT-02)  9800 samples in 10 s",
		"  1000/s sent, 2000/s received  50 devices  1 of 2 viewers connected  1 fault so far",
		"  fault: cut the viewers' link  2.5 s",
		"FAIL DEL-01 lost sim-07: seq 12",
	}, "\n")
	if got := drawn(v, Style{}); got != want {
		t.Errorf("drew\n%s\nwant\n%s", got, want)
	}
	painted := drawn(v, Style{Color: true})
	for _, part := range []string{"\x1b[32m1.23 ms\x1b[0m", "\x1b[31m123 ms\x1b[0m", "\x1b[31m░░░░░\x1b[0m", "\x1b[32m█████\x1b[0m", "\x1b[31mFAIL\x1b[0m"} {
		if !strings.Contains(painted, part) {
			t.Errorf("the painted frame lacks %q:\n%q", part, painted)
		}
	}
	if strings.Contains(painted, "\x1b[m") || strings.Count(painted, "\x1b[0m") != strings.Count(painted, "\x1b[")-strings.Count(painted, "\x1b[0m") {
		t.Errorf("colours that do not end or are none in %q", painted)
	}
	v.leaving = true
	if got := drawn(v, Style{}); !strings.Contains(got, "interrupted: ending what runs") {
		t.Errorf("interrupted it shows\n%s", got)
	}
}

func TestTheFrameFollowsTheRun(t *testing.T) {
	s := stateOf(course())
	s.Apply(events.Event{Kind: events.FaultEnded, Time: at(23), Scenario: "steady", Fault: &events.Fault{Name: "cut the viewers' link", Error: "it stayed"}})
	v := view{state: s, width: 100, height: 24, now: at(24)}
	if got := drawn(v, Style{}); !strings.Contains(got, "fault over: cut the viewers' link  3.0 s  it stayed") {
		t.Errorf("after the fault\n%s", got)
	}
	if v.now = at(27); strings.Contains(drawn(v, Style{}), "fault over") {
		t.Error("a fault that is long over is shown")
	}
	s.Apply(events.Event{Kind: events.AttemptVoided, Time: at(28), Scenario: "steady", Attempt: 1})
	if got := drawn(v, Style{}); !strings.Contains(got, "steady attempt 2") || strings.Contains(got, "latency") {
		t.Errorf("in the second attempt\n%s", got)
	}
	s.Apply(events.Event{Kind: events.FiguresTaken, Time: at(29), Scenario: "steady", Figures: &events.Figures{P50: reports.Float(math.NaN()), P99: reports.Float(math.NaN()), Window: 10}})
	if got := drawn(v, Style{}); !strings.Contains(got, "nothing arrived in the last 10 s") {
		t.Errorf("without arrivals\n%s", got)
	}
	s.Apply(events.Event{Kind: events.RunEnded, Time: at(30), Verdict: number(reports.Fail)})
	if got := drawn(v, Style{}); !strings.Contains(got, "writing and sealing the reports") || strings.Contains(got, "left") {
		t.Errorf("at the end\n%s", got)
	}
	if got := drawn(view{state: &events.State{}, width: 80, height: 24, now: at(0)}, Style{}); got != "" {
		t.Errorf("before the run it shows %q", got)
	}
}

func TestTheFrameFitsEveryWindow(t *testing.T) {
	all := course()
	for i := range 20 {
		all = append(all, events.Event{Kind: events.FaultBegan, Time: at(22), Scenario: "steady", Fault: &events.Fault{Name: strings.Repeat("long ", i)}})
	}
	s := stateOf(all)
	for range 20 {
		s.Notable = append(s.Notable, events.Notable{Requirement: "DEL-01", Verdict: reports.Inconclusive, Text: strings.Repeat("文", 300)})
	}
	for width := range 130 {
		for height := range 30 {
			if width == 0 || height == 0 {
				continue
			}
			v := view{state: s, width: width, height: height, now: at(30)}
			rows := frame(v)
			if len(rows) > 0 && len(rows) > height-2 {
				t.Fatalf("%d rows in a window of %d × %d", len(rows), width, height)
			}
			for _, r := range rows {
				if text := r.text(Style{}, width-1); columns(text) > width-1 {
					t.Fatalf("%q has %d columns in a window of %d", text, columns(text), width)
				}
			}
			if width >= narrowWidth && height >= narrowHeight && len(rows) == 0 {
				t.Fatalf("nothing is shown in a window of %d × %d", width, height)
			}
		}
	}
	if got, want := drawn(view{state: s, width: 30, height: 24, now: at(22)}, Style{}), "1/3 steady p99 123 ms about …"; got != want {
		t.Errorf("a narrow window shows %q, want %q", got, want)
	}
}

func TestHostileTextsAreInertInTheFrame(t *testing.T) {
	evil := "\x1b[2J\u202e\u009b31m\a\r\nend\x1b]0;title\a"
	s := stateOf([]events.Event{
		{Kind: events.RunBegan, Time: at(0), Run: &events.Run{SUT: evil, Profile: evil, Scenarios: []events.Planned{{ID: evil, Requirements: []string{evil}}}}},
		{Kind: events.ScenarioBegan, Time: at(0), Scenario: evil, Title: evil, Index: 1, Total: 1},
		{Kind: events.StepBegan, Time: at(0), Scenario: evil, Step: evil},
		{Kind: events.FaultBegan, Time: at(0), Scenario: evil, Fault: &events.Fault{Name: evil}},
		{Kind: events.FaultBegan, Time: at(0), Scenario: evil, Fault: &events.Fault{Name: "b" + evil}},
		{Kind: events.FiguresTaken, Time: at(0), Scenario: evil, Figures: &events.Figures{N: 1, Limits: []reports.Limit{{Requirement: evil, Q: 0.5}}}},
	})
	s.Notable = []events.Notable{{Requirement: evil, Text: evil}}
	for _, width := range []int{30, 200} {
		term := terminaltest.New(width, 24)
		text := (&screen{}).compose(nil, frame(view{state: s, width: width, height: 24, now: at(1)}), width)
		term.Print(text)
		if len(term.Refused()) > 0 || strings.ContainsAny(text, "\u202e\u009b\a") {
			t.Errorf("sent %v in %q", term.Refused(), text)
		}
	}
	s.Apply(events.Event{Kind: events.FaultEnded, Time: at(1), Scenario: evil, Fault: &events.Fault{Name: evil, Error: evil}})
	s.Apply(events.Event{Kind: events.FaultEnded, Time: at(1), Scenario: evil, Fault: &events.Fault{Name: "b" + evil, Error: evil}})
	if text := drawn(view{state: s, width: 200, height: 24, now: at(1)}, Style{}); strings.ContainsAny(text, "\x1b\u202e\u009b\a\r") {
		t.Errorf("shows %q", text)
	}
}

func TestTimeLeftInWords(t *testing.T) {
	for left, want := range map[float64]string{0: "a few seconds", 33: "about 35 s", 61: "about 1 min", 600: "about 10 min", 5400: "about 1.5 h"} {
		v := view{state: &events.State{Left: number(left), At: at(0)}, now: at(0)}
		if got := v.left(); got != want {
			t.Errorf("%v s left: %q, want %q", left, got, want)
		}
	}
	v := view{state: &events.State{Left: number(100.0), At: at(0)}, now: at(95)}
	if got := v.left(); got != "a few seconds" {
		t.Errorf("long after the estimate %q", got)
	}
}

// BenchmarkFrame is what one of four frames a second costs.
func BenchmarkFrame(b *testing.B) {
	state, s := stateOf(course()), &screen{style: Style{Color: true}}
	i := 0
	for b.Loop() {
		i++
		s.compose(nil, frame(view{state: state, width: 120, height: 40, now: at(22 + float64(i)/4)}), 120)
	}
	b.ReportMetric(100*4*b.Elapsed().Seconds()/float64(b.N), "%core") // of a core at four a second
}
