package oracle

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
	"time"

	"plumbline/harness/stats"
	"plumbline/reports"
)

// ClockUse says whose clocks stamped what viewers on other hosts and in browsers
// received. The zero value is that of a recording with one clock.
type ClockUse struct {
	// Uncertainty is how far any instant of them may be off, either way. It is a
	// bound and no deviation: it is added to U as it is.
	Uncertainty time.Duration
	Names       []string // of the clocks, in the order of the viewers
}

// Clocks returns whose clocks stamped what the viewers of o received.
func (h *History) Clocks(o Options) (use ClockUse) {
	s := h.choose(o)
	for _, n := range s.viewers {
		node := h.log.Index.Nodes[n]
		if node.Clock == "" {
			continue
		}
		use.Uncertainty = max(use.Uncertainty, node.Uncertainty)
		if !slices.Contains(use.Names, node.Clock) {
			use.Names = append(use.Names, node.Clock)
		}
	}
	return use
}

// clockHard is the share of a limit at which the uncertainty of a clock forbids
// a statement, as the noise floor does.
const clockHard = floorHard

// gate returns why no latency can be held against a limit, nil when it can.
func (c ClockUse) gate(limit time.Duration) *stats.Gate {
	if c.Uncertainty <= limit/clockHard {
		return nil
	}
	return &stats.Gate{
		Reason: reports.ReasonClock, Cure: "a shorter or quieter way to it, or a wider limit",
		Detail: fmt.Sprintf("the clock of %s is known to ±%s ms only, more than a fifth of the limit", c.whose(), twoDigits(toMillis(c.Uncertainty))),
	}
}

// share words what part of U is that of clocks; "" where there is one clock.
func (c ClockUse) share() string {
	if len(c.Names) == 0 {
		return ""
	}
	return fmt.Sprintf(", of it ±%s ms for the clock of %s", twoDigits(toMillis(c.Uncertainty)), c.whose())
}

// PageClock begins the name of a clock that is a page's; the others are of agents.
const PageClock = "page "

// whose names the owners of the clocks.
func (c ClockUse) whose() string {
	named := make([]string, 0, len(c.Names))
	for _, name := range c.Names {
		if !strings.HasPrefix(name, PageClock) {
			name = "agent " + name
		}
		named = append(named, name)
	}
	return strings.Join(named, ", ")
}

// Union returns all gaps in the order of time, those that overlap as one.
func Union(gaps ...[]Gap) []Gap {
	all := slices.Concat(gaps...)
	slices.SortStableFunc(all, func(a, b Gap) int { return cmp.Compare(a.At, b.At) })
	joined := all[:0]
	for _, g := range all {
		if n := len(joined); n > 0 && joined[n-1].At+int64(joined[n-1].Length) >= g.At {
			last := &joined[n-1]
			last.Length = max(last.Length, time.Duration(g.At+int64(g.Length)-last.At))
			continue
		}
		joined = append(joined, g)
	}
	return joined
}
