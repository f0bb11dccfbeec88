package mqtt

import (
	"fmt"
	"sync"

	"plumbline/harness/conform"
)

// observedRule holds for every packet of a broker in every case.
type observedRule struct {
	rule conform.Rule
}

func always(id, section, text string) observedRule {
	return observedRule{conform.Rule{ID: id, Section: section, Level: conform.Must, Text: text}}
}

var observedRules = []observedRule{
	always("MQTT311-2.0-1", "MQTT 3.1.1 sections 2 and 3", "Every packet that a server sends shall be well formed."),
	always("MQTT5-2.0-1", "MQTT 5.0 sections 2 and 3", "Every packet that a server sends shall be well formed."),
	always("MQTT5-3.1.2-27", "MQTT 5.0 [MQTT-3.1.2-27]", "A server shall send no topic alias to a client that announced none."),
	always("MQTT5-3.14.4-1", "MQTT 5.0 [MQTT-3.14.4-1]", "A server shall send nothing after DISCONNECT."),
}

// observed gathers what was seen of each rule; the first offence is kept.
type observed struct {
	mu     sync.Mutex
	checks map[string]int
	first  map[string]conform.Case
}

// judge counts one observation. The transcript of the first offence becomes
// the evidence.
func (o *observed) judge(t *conform.Trial, id string, kept bool, format string, args ...any) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.checks == nil {
		o.checks, o.first = map[string]int{}, map[string]conform.Case{}
	}
	o.checks[id]++
	if _, found := o.first[id]; !found && !kept {
		o.first[id] = conform.Case{Verdict: conform.Fail, Detail: fmt.Sprintf(format, args...), Evidence: t.Evidence()}
	}
}

// cases returns the verdicts over all that was seen.
func (o *observed) cases() []conform.Case {
	o.mu.Lock()
	defer o.mu.Unlock()
	var out []conform.Case
	for _, r := range observedRules {
		c, offended := o.first[r.rule.ID]
		n := o.checks[r.rule.ID]
		switch {
		case offended:
		case n == 0:
			c = conform.Case{Verdict: conform.NotApplicable, Detail: "the server sent nothing that the rule is about"}
		default:
			c = conform.Case{Verdict: conform.Pass, Detail: fmt.Sprintf("seen %d times", n)}
		}
		c.Rule = r.rule
		out = append(out, c)
	}
	return out
}
