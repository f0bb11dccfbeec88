package scenarios

import (
	"errors"
	"fmt"
	"strings"
	"testing"

	"plumbline/harness/conform"
	"plumbline/harness/conform/mqtt"
	"plumbline/harness/conform/ws"
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

// Only what failed keeps its bytes: the facts of a run stay small.
func TestExaminedKeepsTheEvidenceOfFailuresOnly(t *testing.T) {
	cases := decided(ws.Rules()[:2], func(i int) conform.Verdict {
		if i == 0 {
			return conform.Fail
		}
		return conform.Pass
	})
	if e := examine(conform.Report{Cases: cases}, nil); len(e.Cases[0].Evidence) != 1 || e.Cases[1].Evidence != nil {
		t.Errorf("%+v", e.Cases)
	}
	if e := examine(conform.Report{}, errors.New("no server")); e.Trouble != "no server" {
		t.Errorf("%+v", e)
	}
}
