package scenarios

import (
	"errors"
	"fmt"
	"strings"
	"testing"

	"plumbline/harness/conform"
	"plumbline/harness/conform/mqtt"
	"plumbline/harness/conform/ws"
	"plumbline/harness/profile"
	"plumbline/harness/spec"
	"plumbline/reports"
)

// decided returns so many cases of a suite with verdicts that the callback
// gives by number.
func decided(rules []conform.Rule, verdict func(int) conform.Verdict) []conform.Case {
	var out []conform.Case
	for i, r := range rules {
		out = append(out, conform.Case{
			Rule: r, Verdict: verdict(i), Detail: fmt.Sprintf("case %d", i),
			Evidence: []conform.Exchange{{Conn: 1, From: "client", Bytes: conform.Hex("\x81\x00"), Length: 2}},
		})
	}
	return out
}

// Every case that binds is a check; one that failed is a finding by its id,
// and nothing that was not decided passes.
func TestStandardsAreJudgedByTheirCases(t *testing.T) {
	p, err := spec.Catalogue().Load("ci")
	if err != nil {
		t.Fatal(err)
	}
	pass := func(int) conform.Verdict { return conform.Pass }
	first := func(level conform.Level, v conform.Verdict, rules []conform.Rule) func(int) conform.Verdict {
		at := -1
		for i, r := range rules {
			if at < 0 && r.Level == level {
				at = i
			}
		}
		return func(i int) conform.Verdict {
			if i == at {
				return v
			}
			return conform.Pass
		}
	}
	web, broker := ws.Rules(), mqtt.Rules()
	for name, x := range map[string]struct {
		found  *examined
		id     string
		want   reports.Verdict
		says   string
		tested bool
	}{
		"all passed":           {&examined{Cases: decided(web, pass)}, "PRO-01", reports.Pass, "", true},
		"broker passed":        {&examined{Cases: decided(broker, pass)}, "PRO-03", reports.Pass, "", true},
		"a MUST failed":        {&examined{Cases: decided(web, first(conform.Must, conform.Fail, web))}, "PRO-01", reports.Fail, "WS-4.2.2-1", true},
		"a SHOULD failed":      {&examined{Cases: decided(web, first(conform.Should, conform.Fail, web))}, "PRO-01", reports.Pass, "", true},
		"one is undecided":     {&examined{Cases: decided(broker, first(conform.Must, conform.Inconclusive, broker))}, "PRO-03", reports.Inconclusive, "1 cases", true},
		"one was not run":      {&examined{Cases: decided(broker, first(conform.Must, conform.NotRun, broker))}, "PRO-03", reports.Inconclusive, "1 cases", true},
		"nothing applies":      {&examined{Cases: decided(web, func(int) conform.Verdict { return conform.NotApplicable })}, "PRO-01", reports.Inconclusive, "", true},
		"no WebSocket":         {&examined{Absent: "viewers of the protocol sse do not use WebSocket"}, "PRO-01", reports.NotApplicable, "sse", true},
		"nobody was there":     {&examined{Trouble: "endpoint unreachable"}, "PRO-03", reports.Inconclusive, "unreachable", true},
		"it was not asked for": {nil, "PRO-01", reports.NotRun, "", false},
	} {
		facts := conformance{WebSocket: x.found}
		if x.id == "PRO-03" {
			facts = conformance{MQTT: x.found}
		}
		c, err := spec.CaseOf(p, spec.Scenario{ID: "standards", Requirements: []string{"PRO-01", "PRO-03"}}, facts)
		if err != nil {
			t.Fatal(err)
		}
		judgeStandards(c)
		if !x.tested {
			if len(c.Results()) != 0 {
				t.Errorf("%s: %+v", name, c.Results())
			}
			continue
		}
		if len(c.Results()) != 1 {
			t.Fatalf("%s: %d results", name, len(c.Results()))
		}
		r := c.Results()[0]
		text := r.Sentence
		for _, f := range r.Findings {
			text += " " + f.Kind + " " + strings.Join(f.Context, " ")
		}
		if r.Requirement != x.id || r.Verdict != x.want || !strings.Contains(text, x.says) {
			t.Errorf("%s: %s %s, want %s with %q: %s", name, r.Requirement, r.Verdict, x.want, x.says, text)
		}
		if x.want == reports.Fail && (len(r.Findings) != 1 || !strings.Contains(text, "8100")) {
			t.Errorf("%s: no bytes with the finding: %s", name, text)
		}
	}
}

// A case that ends the system fails its suite although it is a SHOULD, by its
// name and the words of the end; a death that no case has alone proves nothing.
func TestDeathsAreJudged(t *testing.T) {
	p, err := spec.Catalogue().Load("ci")
	if err != nil {
		t.Fatal(err)
	}
	x := &examination{found: conformance{WebSocket: &examined{}, MQTT: &examined{}}}
	cases := append(decided(ws.Rules(), func(int) conform.Verdict { return conform.Pass }), decided(mqtt.Rules(), func(int) conform.Verdict { return conform.Pass })...)
	for i, c := range cases {
		if c.ID == "WS-5.2-32" {
			cases[i].Verdict, cases[i].Killed, cases[i].Detail = conform.Fail, true, "the system ended: exit status 2"
		}
	}
	x.keep(cases, []conform.Death{{Case: "WS-5.2-32", Why: "exit status 2"}}, nil)
	for id, want := range map[string]reports.Verdict{"PRO-01": reports.Fail, "PRO-03": reports.Pass} {
		if r := resultOf(t, p, x.found, id); r.Verdict != want || want == reports.Fail && !strings.Contains(r.Sentence, "exit status 2") {
			t.Errorf("%s: %s", id, r.Sentence)
		}
	}
	x.found.Deaths = []conform.Death{{Why: "exit status 2", Suspects: []string{"WS-5.2-32", "WS-5.2-31"}}}
	if r := resultOf(t, p, x.found, "PRO-03"); r.Verdict != reports.Inconclusive || r.Reason != reports.ReasonSUT {
		t.Errorf("a death without a culprit: %s", r.Sentence)
	}
}

func resultOf(t *testing.T, p *profile.Profile, facts conformance, id string) reports.Result {
	t.Helper()
	c, err := spec.CaseOf(p, spec.Scenario{ID: "standards", Requirements: []string{"PRO-01", "PRO-03"}}, facts)
	if err != nil {
		t.Fatal(err)
	}
	judgeStandards(c)
	for _, r := range c.Results() {
		if r.Requirement == id {
			return r
		}
	}
	t.Fatalf("no result for %s", id)
	return reports.Result{}
}

// Only what failed keeps its bytes: the facts of a run stay small.
func TestExaminedKeepsTheEvidenceOfFailuresOnly(t *testing.T) {
	cases := decided(ws.Rules()[:2], func(i int) conform.Verdict {
		if i == 0 {
			return conform.Fail
		}
		return conform.Pass
	})
	x := &examination{found: conformance{WebSocket: &examined{}, MQTT: &examined{}}}
	x.keep(cases, nil, nil)
	if e := x.found.WebSocket; len(e.Cases) != 2 || len(e.Cases[0].Evidence) != 1 || e.Cases[1].Evidence != nil || len(x.found.MQTT.Cases) != 0 {
		t.Errorf("%+v", e)
	}
	x.keep([]conform.Case{{Rule: mqtt.Rules()[0]}}, nil, errors.New("no server"))
	if e := x.found.MQTT; e.Trouble != "no server" {
		t.Errorf("%+v", e)
	}
}

// A server that the last cases leave alive and serving nobody passes nothing; one
// that the last case ended has its verdict by that case.
func TestAServerThatHangsAfterTheLastCaseIsNoPass(t *testing.T) {
	p, err := spec.Catalogue().Load("ci")
	if err != nil {
		t.Fatal(err)
	}
	passed := func(int) conform.Verdict { return conform.Pass }
	unserved := fmt.Errorf("ws: %w: nobody answers", conform.ErrUnreachable)
	for name, c := range map[string]struct {
		err  error
		want reports.Verdict
	}{
		"it hangs": {unserved, reports.Inconclusive}, "it ended": {nil, reports.Pass},
	} {
		x := &examination{found: conformance{WebSocket: &examined{Trouble: unserved.Error()}, MQTT: &examined{}}}
		x.keep(append(decided(ws.Rules(), passed), decided(mqtt.Rules(), passed)...), nil, c.err)
		if r := resultOf(t, p, x.found, "PRO-01"); r.Verdict != c.want || c.want == reports.Inconclusive && r.Reason != reports.ReasonEnvironment {
			t.Errorf("%s: %s", name, r.Sentence)
		}
		if r := resultOf(t, p, x.found, "PRO-03"); r.Verdict != reports.Pass {
			t.Errorf("%s: the broker: %s", name, r.Sentence)
		}
	}
}
