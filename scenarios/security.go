package scenarios

// Security: who sees what, and how are the others refused?
//
// Requirements: SEC-01 … SEC-07, SEC-10.
//
// Procedure "admission":
//  1. Start the bridge and let devices publish, so that a leak would show.
//  2. Try every way in that must be closed: without TLS, with old TLS, without a
//     token, with each bad token, from each foreign origin, with broken frames.
//  3. Each attempt must be refused with its documented code and see no data; a
//     rightful viewer, before and after, must be served.
//
// Procedure "tenants":
//  1. Start the bridge; one viewer may see one device only.
//  2. Ask for every wider or tricky filter, directly and on resume, and stay on
//     while the other devices publish.
//  3. Nothing outside the grant may be confirmed or delivered.
//
// Procedure "sessions":
//  1. Open a session whose token expires soon and does not get renewed.
//  2. Open a session and revoke its subject.
//  3. Judge how long each session lives on.

import (
	"context"
	"fmt"
	"time"

	"plumbline/harness"
	"plumbline/harness/oracle"
	"plumbline/harness/spec"
	"plumbline/harness/stats"
	"plumbline/reports"
)

var _ = spec.Describe("Security", func(s *spec.Suite) {
	s.Scenario(spec.Scenario{
		ID: "admission", Title: "refuses plaintext, strangers, bad tokens, foreign origins and broken frames, and says why",
		Requirements: []string{"SEC-01", "SEC-02", "SEC-03", "SEC-06", "SEC-10"}, Loads: []string{"security"},
		Drive: driveAdmission, Judge: judgeAdmission,
	})
	s.Scenario(spec.Scenario{
		ID: "tenants", Title: "delivers nothing outside a viewer's grants, whatever the filter",
		Requirements: []string{"SEC-07"}, Loads: []string{"security"},
		Drive: driveTenants, Judge: judgeTenants,
	})
	s.Scenario(spec.Scenario{
		ID: "sessions", Title: "ends sessions whose token expired or whose subject was revoked",
		Requirements: []string{"SEC-04", "SEC-05"}, Loads: []string{"security"},
		Drive: driveSessions, Judge: judgeSessions,
	})
})

// quick settings keep waiting for a refusal short.
var quick = map[string]any{"viewers.authTimeout": "500ms"}

func driveAdmission(ctx context.Context, t *spec.Trial) {
	t.Step("start the bridge and let %d devices publish", t.Load("security").Devices)
	b := t.Open(ctx, harness.Plan{Load: t.Load("security"), Config: quick})
	attempts, err := intruders(b)
	t.Check(err)
	verdicts := map[string]*tally{}
	for _, id := range t.Scenario.Requirements {
		verdicts[id] = &tally{}
	}
	t.Check(b.Drive(ctx, 0, func(ctx context.Context) error {
		return besiege(ctx, t, b, attempts, verdicts)
	}))
	t.Keep(verdicts)
}

func judgeAdmission(c *spec.Case) {
	verdicts := spec.Facts[map[string]*tally](c)
	for _, id := range c.Scenario.Requirements {
		verdicts[id].judge(c, id)
	}
	c.Show(spec.Figures{Devices: c.Bench().Devices})
}

// besiege makes all attempts, with a rightful viewer before and after them.
func besiege(ctx context.Context, t *spec.Trial, b *harness.Bench, attempts map[string][]attempt, verdicts map[string]*tally) error {
	control := func() error {
		problem, err := rightful(ctx, b)
		for _, y := range verdicts {
			y.Control += problem
		}
		return err
	}
	if err := control(); err != nil {
		return err
	}
	for _, id := range t.Scenario.Requirements {
		if !t.Applies(id) {
			continue
		}
		t.Step("%s: %d attempts that must be refused", id, len(attempts[id]))
		for _, a := range attempts[id] {
			a.try(ctx, id, verdicts)
		}
	}
	t.Step("prove that a rightful viewer is still served")
	return control()
}

func driveTenants(ctx context.Context, t *spec.Trial) {
	t.Step("start the bridge; %d devices publish, a viewer may see one of them", t.Load("security").Devices)
	b := t.Open(ctx, harness.Plan{Load: t.Load("security"), Config: quick})
	own := harness.Topic(b.Devices()[0].ID)
	other := harness.Topic(b.Devices()[1].ID)
	result := &tally{}
	filters := trickyFilters(own, other)
	t.Step("ask for %d filters outside the grant, fresh and with a cursor, and watch for data for %s", len(filters), watched)
	t.Check(b.Drive(ctx, 0, func(ctx context.Context) error {
		way, err := doorOf(b, own)
		if err != nil {
			return err
		}
		before := b.Generator.Health().Acked
		way.askOutside(ctx, filters, result)
		if published := b.Generator.Health().Acked - before; published < int64(len(b.Devices())) {
			result.Control = fmt.Sprintf("only %d messages were published while the viewer asked for what it may not see", published)
		}
		way.askInside(ctx, result)
		return ctx.Err()
	}))
	t.Keep(result)
}

func judgeTenants(c *spec.Case) { spec.Facts[*tally](c).judge(c, "SEC-07") }

func driveSessions(ctx context.Context, t *spec.Trial) {
	t.Step("start the bridge and let devices publish")
	b := t.Open(ctx, harness.Plan{Load: t.Load("security")})
	var seen lifetimes
	t.Check(b.Drive(ctx, 0, func(ctx context.Context) error {
		if t.Applies("SEC-04") {
			t.Step("open a session whose token expires in 2 s and is not renewed")
			var err error
			if seen.Expiry, err = outlive(ctx, b); err != nil {
				return err
			}
		}
		if t.Applies("SEC-05") {
			t.Step("open a session and revoke its subject")
			var err error
			if seen.Revocation, err = revoke(ctx, b); err != nil {
				return err
			}
		}
		return ctx.Err()
	}))
	t.Keep(seen)
}

func judgeSessions(c *spec.Case) {
	seen := spec.Facts[lifetimes](c)
	seen.Expiry.judge(c, "SEC-04", "expiry of the token to the end of the session")
	seen.Revocation.judge(c, "SEC-05", "revocation to the end of the session")
}

// lifetimes are those of the sessions of one attempt.
type lifetimes struct {
	Expiry     lifetime `json:"expiry"`
	Revocation lifetime `json:"revocation"`
}

// lifetime is how long a session lived on after it should have ended.
type lifetime struct {
	After time.Duration     `json:"after_ns"`
	Early time.Duration     `json:"early_ns"` // it ended so long before it had to: nothing is shown
	Found []reports.Finding `json:"found"`
}

func (l lifetime) judge(c *spec.Case, id, name string) {
	if !c.Applies(id) {
		return
	}
	limit := c.Limit(id).Time
	ms := reports.Float(l.After.Seconds() * 1e3)
	var gates []stats.Gate
	if l.Early > 0 {
		gates = append(gates, stats.Gate{
			Reason: reports.ReasonEnvironment, Cure: "a bridge that keeps a rightful session",
			Detail: fmt.Sprintf("the session had ended by itself %s before it had to", l.Early),
		})
	}
	c.Judge(oracle.JudgeDeterministic(c.Requirement(id), oracle.DeterministicInput{
		Scenario: c.Scenario.ID, Profile: c.Title(), Checks: 1, Findings: l.Found, Gates: gates, Seed: c.Seed(),
		Figure: &reports.Measurement{
			Name: name, Unit: "ms", Estimate: ms, Lower: nan, Upper: nan, Confidence: 0.99, N: 1, NEff: 1, VIF: 1,
			Limit: reports.Float(limit.Seconds() * 1e3), Runs: []reports.Float{ms},
		},
	}))
}
