package targets

import (
	"testing"

	"plumbline/harness/conform"
)

// Failed returns what the cases that failed say, by id, and logs all that did
// not pass. A failure without evidence fails the test.
func Failed(t *testing.T, r conform.Report) map[string]string {
	t.Helper()
	out := map[string]string{}
	for _, c := range r.Cases {
		if c.Verdict == conform.Fail {
			out[c.ID] = c.Detail
			if len(c.Evidence) == 0 {
				t.Errorf("%s failed without evidence", c.ID)
			}
		}
		if c.Verdict != conform.Pass {
			t.Logf("%-14s %-6s %s: %s", c.Verdict, c.Level, c.ID, c.Detail)
		}
	}
	t.Logf("%d cases in %s: of MUST %d failed and %d passed, of SHOULD %d and %d", len(r.Cases), r.Took,
		r.Count(conform.Must, conform.Fail), r.Count(conform.Must, conform.Pass), r.Count(conform.Should, conform.Fail), r.Count(conform.Should, conform.Pass))
	return out
}

// Explained fails the test for every case that came to no verdict, and for every
// failed one that explanations do not cover.
func Explained(t *testing.T, r conform.Report, explanations map[string]string) {
	t.Helper()
	for id, detail := range Failed(t, r) {
		if explanations[id] == "" {
			t.Errorf("%s failed and nothing explains it: %s", id, detail)
		}
	}
	Decided(t, r)
}

// Decided fails the test for every case that came to no verdict.
func Decided(t *testing.T, r conform.Report) {
	t.Helper()
	for _, c := range r.Cases {
		if c.Verdict == conform.NotRun || c.Verdict == conform.Inconclusive {
			t.Errorf("%s: no verdict: %s", c.ID, c.Detail)
		}
	}
}
