package scenarios

// Claims: does the descriptor say what the system can?
//
// Requirement: CAP-01. What is claimed and not kept fails by the requirement of
// that capability; this is about what is there and not claimed, so that nobody
// takes N/A for "not possible".
//
// Procedure "claims":
//  1. Start the system with nothing going on.
//  2. Try out what can be tried cheaply: TLS, a viewer without a token, a foreign
//     origin, what a new viewer is shown, what is brought after a loss.
//  3. Every capability that was seen and is not claimed is a remark.

import (
	"context"
	"fmt"
	"strings"

	"plumbline/harness"
	"plumbline/harness/profile"
	"plumbline/harness/spec"
	"plumbline/reports"
)

var _ = spec.Describe("Claims of the descriptor", func(s *spec.Suite) {
	s.Scenario(spec.Scenario{
		ID: "claims", Title: "tries out the capabilities that can be asked for cheaply and compares with the descriptor",
		Requirements: []string{"CAP-01"}, Drive: driveClaims, Judge: judgeClaims,
	})
})

func driveClaims(ctx context.Context, t *spec.Trial) {
	t.Step("start the system with nothing going on")
	b := t.Open(ctx, harness.Plan{Load: profile.Load{Devices: 1, Rate: 1}})
	t.Step("try out TLS, authentication, the check of origins, snapshot, retained messages and resumption")
	claims, err := b.Claims(ctx)
	t.Check(err)
	t.Keep(claims)
}

func judgeClaims(c *spec.Case) {
	claims := spec.Facts[[]harness.Claim](c)
	r := reports.Result{Requirement: "CAP-01", Scenario: c.Scenario.ID, Attempt: 1, Verdict: reports.Pass}
	var tried, silent []string
	for _, claim := range claims {
		switch {
		case claim.Unknown != "":
			silent = append(silent, claim.Capability)
		case claim.Present && !claim.Claimed:
			r.Findings = append(r.Findings, reports.Finding{
				Requirement: "CAP-01", Kind: "undeclared", Subject: claim.Capability,
				Detail: claim.Seen + "; claim it in the descriptor to have it judged",
			})
			fallthrough
		default:
			tried = append(tried, claim.Capability)
		}
	}
	r.Headline = fmt.Sprintf("%d tried, %d there and not claimed", len(tried), len(r.Findings))
	r.Sentence = fmt.Sprintf("CAP-01 (%s): tried %s; %d there and not claimed.", c.Title(), strings.Join(tried, ", "), len(r.Findings))
	if len(silent) > 0 {
		r.Sentence += fmt.Sprintf(" Nothing can be said about %s.", strings.Join(silent, ", "))
	}
	if len(tried) < len(claims) || len(tried) == 0 {
		r.Verdict, r.Reason = reports.Inconclusive, reports.ReasonEnvironment
	}
	r.Sentence += " Verdict " + r.Verdict.String() + "."
	c.Judge(r)
}
