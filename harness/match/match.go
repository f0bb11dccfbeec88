// Package match holds Gomega matchers over the oracles, so that a spec reads as
// a sentence: Expect(history).To(match.DeliverEverything(opts)). A matcher asks
// an oracle and never decides by itself; its failure names the first
// counter-example and how many more there are. A recording that holds nothing to
// look at is an error, also under NotTo: nothing is shown by it.
package match

import (
	"fmt"
	"strings"

	"github.com/onsi/gomega/gcustom"
	"github.com/onsi/gomega/types"

	"plumbline/harness/oracle"
	"plumbline/reports"
)

// DeliverEverything succeeds when no acknowledged or witnessed message is
// missing at any viewer; neither is one that only the publisher knows of, whose
// loss is unconfirmed. Actual must be an *oracle.History.
func DeliverEverything(o oracle.Options) types.GomegaMatcher {
	return history("deliver every acknowledged message to every viewer", func(h *oracle.History) (looked, bad int64, found []reports.Finding) {
		d, found := h.Delivery(o)
		return d.Owed, d.Lost + d.Unconfirmed, found
	})
}

// DeliverOnce succeeds when no viewer got a message twice.
func DeliverOnce(o oracle.Options) types.GomegaMatcher {
	return history("deliver no message twice", func(h *oracle.History) (looked, bad int64, found []reports.Finding) {
		d, found := h.Delivery(o)
		return d.Delivered, d.Duplicated, found
	})
}

// DeliverUnchanged succeeds when nothing arrived damaged, under a wrong topic
// or out of nowhere.
func DeliverUnchanged(o oracle.Options) types.GomegaMatcher {
	return history("deliver nothing damaged, misrouted or made up", func(h *oracle.History) (looked, bad int64, found []reports.Finding) {
		d, found := h.Delivery(o)
		return d.Delivered, d.Corrupted + d.Misrouted + d.Phantom, found
	})
}

// KeepOrder succeeds when no delivery overtook another of its topic.
func KeepOrder(o oracle.Options) types.GomegaMatcher {
	return history("keep the order within each topic", func(h *oracle.History) (looked, bad int64, found []reports.Finding) {
		a, found := h.Order(o)
		return a.Deliveries, a.Reordered + a.Backwards, found
	})
}

// DeclareItsGaps succeeds when the chain of intervals that the bridge told
// covers everything: no break, no loss outside a declared gap.
func DeclareItsGaps(o oracle.Options) types.GomegaMatcher {
	return history("declare everything it left out", func(h *oracle.History) (looked, bad int64, found []reports.Finding) {
		d, _ := h.Delivery(o)
		c, found := h.Chain(o)
		return d.Owed, c.Broken + c.SilentLost, found
	})
}

// HaveVerdict succeeds when a reports.Result has the verdict.
func HaveVerdict(want reports.Verdict) types.GomegaMatcher {
	return gcustom.MakeMatcher(func(r reports.Result) (bool, error) {
		return r.Verdict == want, nil
	}).WithTemplate("Expected\n  {{.Actual.Requirement}} by {{.Actual.Scenario}}: {{.Actual.Sentence}}\n{{.To}} have the verdict {{.Data}}, it has {{.Actual.Verdict}}", want)
}

// history makes a matcher from an oracle that counts what it looked at and what
// of it was a violation.
func history(promise string, violations func(*oracle.History) (looked, bad int64, found []reports.Finding)) types.GomegaMatcher {
	summary := &counted{}
	return gcustom.MakeMatcher(func(h *oracle.History) (bool, error) {
		if h == nil {
			return false, fmt.Errorf("match: there is no recording to look at")
		}
		looked, n, found := violations(h)
		if looked == 0 && n == 0 {
			return false, fmt.Errorf("match: the recording holds nothing that could show whether it does %s", promise)
		}
		*summary = counted{n: n, found: found}
		return n == 0, nil
	}).WithTemplate("Expected the recording {{.To}} "+promise+"{{.Data}}", summary)
}

// counted words the violations for a failure message.
type counted struct {
	n     int64
	found []reports.Finding
}

// String implements fmt.Stringer: the first counter-example and how many more.
func (c *counted) String() string {
	if c.n == 0 {
		return ""
	}
	var b strings.Builder
	fmt.Fprintf(&b, "; %d violations", c.n)
	if len(c.found) > 0 {
		f := c.found[0]
		fmt.Fprintf(&b, ", the first:\n  %s %s %s: %s", f.Requirement, f.Kind, f.Subject, f.Detail)
		for _, line := range f.Context {
			b.WriteString("\n  " + line)
		}
	}
	return b.String()
}
