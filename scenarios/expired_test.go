package scenarios

import (
	"slices"
	"testing"
	"time"

	"plumbline/harness/oracle"
	"plumbline/harness/profile"
	"plumbline/harness/record"
	"plumbline/reports"
)

// A page that is given messages after its session, stays as it was, or does not come back
// fails; one of which the rig could not tell is left open.
func TestSessionsOfPagesAreJudged(t *testing.T) {
	const ended = int64(20 * time.Second)
	good := expiredFacts{Ended: ended, Watched: stretch{ended, 6 * time.Second}, Words: 10, Said: []string{"not live"}, Back: "opened anew", Took: stretch{ended + int64(6*time.Second), time.Second}}
	silent, lost, brief := good, good, good
	silent.Said, lost.Back, brief.Brief = nil, "", "the page was live for a moment"
	for name, c := range map[string]struct {
		facts   expiredFacts
		goesOn  bool
		stood   oracle.Standstills
		verdict reports.Verdict
		kind    string
	}{
		"it ends, and says so": {facts: good, verdict: reports.Pass},
		"it goes on":           {facts: good, goesOn: true, verdict: reports.Fail},
		"it says nothing":      {facts: silent, verdict: reports.Fail, kind: "unsaid"},
		"it is never back":     {facts: lost, verdict: reports.Fail, kind: "never-back"},
		"too short a time":     {facts: brief, verdict: reports.Inconclusive},
		"nobody listened":      {facts: silent, stood: oracle.Standstills{Gaps: []oracle.Gap{{At: ended + int64(time.Second), Length: 2 * time.Second}}}, verdict: reports.Inconclusive},
	} {
		log := paged(goodLog(), 2*time.Millisecond, 12*time.Millisecond)
		log.Records = slices.DeleteFunc(log.Records, func(r record.Record) bool {
			return !c.goesOn && log.Index.Nodes[r.Node].Name == pageName && r.At > ended+int64(time.Second)
		})
		h, err := oracle.Index(log)
		if err != nil {
			t.Fatal(err)
		}
		j := judgedOf(t, h)
		j.stood = c.stood
		j.Profile.Limits["SEC-14"] = profile.Limit{Time: 3 * time.Second, Samples: 1}
		j.sessionOver("SEC-14", c.facts)
		r := only(t, j.Case)
		if r.Verdict != c.verdict || (c.kind != "" && !slices.ContainsFunc(r.Findings, func(f reports.Finding) bool { return f.Kind == c.kind && f.Confirmed })) {
			t.Errorf("%s: %s(%s): %s", name, r.Verdict, r.Reason, r.Sentence)
		}
	}
}

// What a page says for the first time is told, once, and what the letters of a payload make
// of it is not.
func TestNewWordsOfAPage(t *testing.T) {
	before := map[string]bool{"live": true, "class ok": true}
	got := newWords([]string{"live", "class down", `{"run":"abcdefab","crc":"fedcba"}`, "Sign in again"}, before, []string{"class down"})
	if !slices.Equal(got, []string{"class down", "Sign in again"}) {
		t.Errorf("new are %q", got)
	}
	if many := newWords(make20(), before, nil); len(many) != mostWords {
		t.Errorf("%d words are told", len(many))
	}
}

func make20() (words []string) {
	for c := 'a'; c < 'a'+20; c++ {
		words = append(words, "word "+string(c))
	}
	return words
}
