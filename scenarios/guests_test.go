package scenarios

import (
	"strings"
	"testing"
	"time"

	"plumbline/harness/oracle"
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

// A page that died of markup fails; one that was given nothing new while the rig itself
// stood still may live, and what became of markup fails in any case.
func TestMarkupIsJudged(t *testing.T) {
	second := int64(time.Second)
	asleep := oracle.Standstills{Gaps: []oracle.Gap{{At: 30 * second, Length: time.Second}}}
	lives := guestFacts{Sent: 48, Shown: true, Watched: stretch{29 * second, 2 * time.Second}}
	dead := lives
	dead.Page = "nothing new came"
	earlier, ran := dead, dead
	earlier.Watched.From, ran.Became = second, []string{"a script that ran"}
	for name, c := range map[string]struct {
		facts   guestFacts
		stood   oracle.Standstills
		verdict reports.Verdict
	}{
		"it lives":                  {lives, asleep, reports.Pass},
		"it is dead":                {dead, oracle.Standstills{}, reports.Fail},
		"dead long before":          {earlier, asleep, reports.Fail},
		"the rig stood still":       {dead, asleep, reports.Inconclusive},
		"it stood still untold":     {dead, oracle.Standstills{From: time.Second}, reports.Inconclusive},
		"and yet there is a script": {ran, asleep, reports.Fail},
	} {
		k := caseOf(t, nil)
		judgeMarkup(k, c.facts, c.stood)
		r := only(t, k)
		if r.Verdict != c.verdict || (r.Verdict == reports.Inconclusive && r.Reason != reports.ReasonRig) {
			t.Errorf("%s: %s(%s): %s", name, r.Verdict, r.Reason, r.Sentence)
		}
	}
}
