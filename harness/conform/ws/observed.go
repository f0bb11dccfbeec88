package ws

import (
	"fmt"
	"sync"

	"plumbline/harness/conform"
)

// observedRule holds for every frame of a server in every case.
type observedRule struct {
	rule  conform.Rule
	empty string // why it does not apply when nothing was seen
}

func always(id, section, text, empty string) observedRule {
	return observedRule{rule: conform.Rule{ID: "WS-" + id, Section: section, Level: conform.Must, Text: text}, empty: empty}
}

var observedRules = []observedRule{
	always("5.1-2", "5.1", "A server shall not mask any frame that it sends.", "the server sent no frame"),
	always("5.2-9", "5.2", "A server shall send no frame with a reserved opcode.", "the server sent no frame"),
	always("5.2-10", "5.2", "A server shall set no RSV bit that no negotiated extension defines.", "the server sent no frame"),
	always("5.2-11", "5.2", "A server shall encode each length in as few bytes as possible.", "the server sent no frame"),
	always("5.4-9", "5.4", "A server shall neither interleave its messages nor continue one that it did not begin.", "the server sent no data"),
	always("5.5-3", "5.5", "A server shall send control frames whole and with at most 125 bytes.", "the server sent no control frame"),
	always("5.5.1-7", "5.5.1", "A server shall send no frame after its close frame.", "the server sent no frame"),
	always("5.6-1", "5.6", "A server shall send text that is UTF-8.", "the server sent no text"),
	always("7.4-1", "7.4", "A server shall send close codes that may stand in a close frame, and reasons that are UTF-8.", "the server sent no close frame"),
	always("7692-6.1-2", "RFC 7692 6.1", "A compressed message of a server shall inflate.", "the server sent no compressed message"),
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
		o.first[id] = conform.Case{Verdict: conform.Fail, Detail: "the server sent " + fmt.Sprintf(format, args...), Evidence: t.Evidence()}
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
			c = conform.Case{Verdict: conform.NotApplicable, Detail: r.empty}
		default:
			c = conform.Case{Verdict: conform.Pass, Detail: fmt.Sprintf("seen %d times", n)}
		}
		c.Rule = r.rule
		out = append(out, c)
	}
	return out
}
