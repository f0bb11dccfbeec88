package conform

import (
	"fmt"
	"sync"
)

// Standing is a rule that holds for everything that a server sends, whichever
// case makes it send that.
type Standing struct {
	Rule
	Empty string // why the rule does not apply when nothing of the kind was seen
}

// Observed gathers what all cases of a run see of standing rules; of each the
// first offence is kept. The zero value is ready. Any goroutine may use it.
type Observed struct {
	mu     sync.Mutex
	checks map[string]int
	first  map[string]Case
}

// Judge counts one observation of the rule with that id. The transcript of the
// first offence becomes the evidence; the format says what it is.
func (o *Observed) Judge(t *Trial, id string, kept bool, format string, args ...any) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.checks == nil {
		o.checks, o.first = map[string]int{}, map[string]Case{}
	}
	o.checks[id]++
	if _, found := o.first[id]; !found && !kept {
		o.first[id] = Case{Verdict: Fail, Detail: string(conceal(fmt.Appendf(nil, format, args...), t.secrets)), Evidence: t.Evidence()}
	}
}

// Cases returns the verdicts over all that was seen, in the order of the rules.
func (o *Observed) Cases(rules []Standing) (cases []Case) {
	o.mu.Lock()
	defer o.mu.Unlock()
	for _, r := range rules {
		c, offended := o.first[r.ID]
		switch n := o.checks[r.ID]; {
		case offended:
		case n == 0:
			c = Case{Verdict: NotApplicable, Detail: r.Empty}
		default:
			c = Case{Verdict: Pass, Detail: fmt.Sprintf("seen %d times", n)}
		}
		c.Rule = r.Rule
		c.Standing = true
		cases = append(cases, c)
	}
	return cases
}

// Rules returns what checks and standing rules judge, in their order.
func Rules(checks []Check, standing []Standing) (rules []Rule) {
	for _, c := range checks {
		rules = append(rules, c.Rule)
	}
	for _, s := range standing {
		s.Standing = true
		rules = append(rules, s.Rule)
	}
	return rules
}
