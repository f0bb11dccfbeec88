package scenarios

import (
	"strings"
	"testing"

	"plumbline/harness"
	"plumbline/harness/spec"
	"plumbline/reports"
)

// What is there and not claimed is a remark, never a verdict; what could not be
// tried passes nothing.
func TestClaimsAreRemarks(t *testing.T) {
	p, err := spec.Catalogue().Load("ci")
	if err != nil {
		t.Fatal(err)
	}
	there := harness.Claim{Capability: "tls", Claimed: true, Present: true, Seen: "x"}
	silent := harness.Claim{Capability: "resume", Claimed: true, Seen: "x"}
	hidden := harness.Claim{Capability: "snapshot", Present: true, Seen: "a new viewer was shown a value"}
	unknown := harness.Claim{Capability: "retained", Unknown: "no answer"}
	for name, c := range map[string]struct {
		claims  []harness.Claim
		verdict reports.Verdict
		found   int
	}{
		"as claimed":      {[]harness.Claim{there, silent}, reports.Pass, 0},
		"not claimed":     {[]harness.Claim{there, hidden}, reports.Pass, 1},
		"not tried":       {[]harness.Claim{there, unknown}, reports.Inconclusive, 0},
		"nothing at all":  {[]harness.Claim{}, reports.Inconclusive, 0},
		"both, and worse": {[]harness.Claim{hidden, unknown}, reports.Inconclusive, 1},
	} {
		k, err := spec.CaseOf(p, spec.Scenario{ID: "claims", Requirements: []string{"CAP-01"}}, c.claims)
		if err != nil {
			t.Fatal(err)
		}
		judgeClaims(k)
		all := k.Results()
		if len(all) != 1 {
			t.Fatalf("%s: %d results", name, len(all))
		}
		r := all[0]
		if r.Verdict != c.verdict || len(r.Findings) != c.found || r.Validate() != nil || !strings.HasSuffix(r.Sentence, "Verdict "+c.verdict.String()+".") {
			t.Errorf("%s: %+v, %v", name, r, r.Validate())
		}
		for _, f := range r.Findings {
			if f.Subject != "snapshot" || f.Confirmed || !strings.Contains(f.Detail, "claim it") {
				t.Errorf("%s: finding %+v", name, f)
			}
		}
	}
}
