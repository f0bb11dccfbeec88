package scenarios

import (
	"strings"
	"testing"

	"plumbline/reports"
)

// An attack passes a system only when it worked from the page itself and the cookies
// went along; one that got data fails it in any case.
func TestIntrusionsAreJudged(t *testing.T) {
	for name, c := range map[string]struct {
		facts   guestFacts
		verdict reports.Verdict
		words   string
	}{
		"nothing got":               {guestFacts{Own: "3", Foreign: "0"}, reports.Pass, ""},
		"served":                    {guestFacts{Own: "3", Foreign: "2"}, reports.Fail, "2 messages"},
		"nothing anywhere":          {guestFacts{Own: "0", Foreign: "0"}, reports.Inconclusive, "own origin either"},
		"without the cookie":        {guestFacts{Own: "3", Foreign: "0", Withheld: []string{"session"}}, reports.Inconclusive, "no cookie session"},
		"served without the cookie": {guestFacts{Own: "3", Foreign: "2", Withheld: []string{"session"}}, reports.Fail, "2 messages"},
	} {
		k := caseOf(t, nil)
		judgeIntrusion(k, c.facts)
		r := only(t, k)
		if r.Verdict != c.verdict || (r.Verdict == reports.Inconclusive && r.Reason != reports.ReasonSamples) || !strings.Contains(r.Sentence, c.words) {
			t.Errorf("%s: %s(%s): %s", name, r.Verdict, r.Reason, r.Sentence)
		}
	}
}
