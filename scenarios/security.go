package scenarios

// Security: who sees what, and how are the others refused?
//
// Requirements: SEC-01 … SEC-11.
//
// Procedure "admission":
//  1. Start the bridge and let devices publish, so that a leak would show.
//  2. Try every way in that must be closed: without TLS, with old TLS, without a
//     token, with each bad token, from each foreign origin, with broken frames.
//  3. Each attempt must be refused with its documented code and see no data; a
//     rightful viewer, before and after, must be served.
//  4. None of the tokens that were shown may stand in a log or on a page for operators.
//
// Procedure "tenants":
//  1. Start the bridge; one viewer may see one device only.
//  2. Ask for every wider or tricky filter, directly and on resume, and stay on
//     while the other devices publish.
//  3. Nothing outside the grant may be confirmed or delivered.
//  4. The viewer's own topic must be served. Where the protocol has a cursor, come
//     back to it again and again: what is restored must be the viewer's own.
//  5. Where it takes a new token in a live session, take a grant away by one: the
//     topic must stop.
//  6. With a token that may see everything, try every way of the protocol to
//     publish to the topics of devices. Nothing may be confirmed or reach the broker.
//
// Procedure "sessions":
//  1. Open a session whose token expires soon and does not get renewed.
//  2. Open a session and revoke its subject.
//  3. Judge how long each session lives on.
//  4. Beside that make many connections that get nowhere: silent ones before and
//     after TLS and the handshake, half a request, a handshake byte by byte, a frame
//     of a tebibyte. All must be closed, with little memory, while others are served.

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
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
		Requirements: []string{"SEC-01", "SEC-02", "SEC-03", "SEC-06", "SEC-09", "SEC-10"}, Loads: []string{"security"},
		Drive: driveAdmission, Judge: judgeAdmission,
	})
	s.Scenario(spec.Scenario{
		ID: "tenants", Title: "delivers nothing outside a viewer's grants, whatever the filter, and lets no viewer publish",
		Requirements: []string{"SEC-07", "SEC-08"}, Loads: []string{"security"},
		Drive: driveTenants, Judge: judgeTenants,
	})
	s.Scenario(spec.Scenario{
		ID: "sessions", Title: "ends sessions whose token expired or whose subject was revoked, and connections that get nowhere",
		Requirements: []string{"SEC-04", "SEC-05", "SEC-11"}, Loads: []string{"security"},
		Drive: driveSessions, Judge: judgeSessions,
	})
})

// quick settings keep waiting for a refusal short.
var quick = map[string]any{"viewers.authTimeout": "500ms"}

func driveAdmission(ctx context.Context, t *spec.Trial) {
	t.Step("start the bridge and let %d devices publish", t.Load("security").Devices)
	b := t.Open(ctx, harness.Plan{Load: t.Load("security"), Config: quick})
	seen := admissionFacts{Verdicts: map[string]*tally{}}
	attempts, err := intruders(b, &seen.Shown)
	t.Check(err)
	for _, id := range t.Scenario.Requirements {
		seen.Verdicts[id] = &tally{}
	}
	t.Check(b.Drive(ctx, 0, func(ctx context.Context) error {
		return besiege(ctx, t, b, attempts, seen.Verdicts)
	}))
	if t.Applies("SEC-09") {
		t.Step("SEC-09: look for the tokens in all that was logged")
		seen.Shown.look(ctx, b)
	}
	t.Keep(seen)
}

// admissionFacts is what intruders met.
type admissionFacts struct {
	Verdicts map[string]*tally `json:"verdicts"`
	Shown    canaries          `json:"shown"`
}

func judgeAdmission(c *spec.Case) {
	seen := spec.Facts[admissionFacts](c)
	for _, id := range c.Scenario.Requirements {
		if id == "SEC-09" {
			seen.Shown.judge(c, id, c.Bench().Logs(), c.Bench().Omitted)
			continue
		}
		seen.Verdicts[id].judge(c, id, c.Bench().Standstills())
	}
	c.Show(spec.Figures{Devices: c.Bench().Devices})
}

// besiege makes all attempts, with a rightful viewer before and after them.
func besiege(ctx context.Context, t *spec.Trial, b *harness.Bench, attempts map[string][]attempt, verdicts map[string]*tally) error {
	control := func() error {
		problem, err := rightful(ctx, b)
		for _, y := range verdicts {
			y.Control = cmp.Or(y.Control, problem)
		}
		return err
	}
	if err := control(); err != nil {
		return err
	}
	for _, id := range t.Scenario.Requirements {
		if !t.Applies(id) || len(attempts[id]) == 0 {
			continue
		}
		t.Step("%s: %d attempts that must be refused", id, len(attempts[id]))
		for _, a := range attempts[id] {
			a.try(ctx, b.Clock, id, verdicts)
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
	seen := tenantFacts{Outside: &tally{}}
	result, filters := seen.Outside, trickyFilters(own, other)
	t.Step("ask for %d filters outside the grant, fresh and with a cursor, and watch for data for %s", len(filters), watched)
	t.Check(b.Drive(ctx, 0, func(ctx context.Context) error {
		if err := askForAll(ctx, t, b, own, filters, result); err != nil {
			return err
		}
		if !t.Applies("SEC-08") {
			return ctx.Err()
		}
		t.Step("try to publish to the topics of devices as a viewer that may see everything")
		var err error
		seen.Verbs, err = publishAsViewer(ctx, t, b, []string{own, other, harness.TopicRoot + "/made-up"})
		return err
	}))
	t.Check(b.Finish(ctx))
	t.Keep(seen)
}

// askForAll asks for every filter as a viewer that may see the topic own.
func askForAll(ctx context.Context, t *spec.Trial, b *harness.Bench, own string, filters []string, result *tally) error {
	if !t.Applies("SEC-07") {
		return nil
	}
	before, err := b.Generator.Health(ctx)
	if err != nil {
		return err
	}
	if foreign(b) {
		askInGuise(ctx, b, own, filters, result)
	} else {
		way, err := doorOf(b, own)
		if err != nil {
			return err
		}
		way.askOutside(ctx, filters, result)
		t.Step("see the viewer's own topic served, come back to it %d times with a cursor, and take a grant away from a live session", returns)
		way.askInside(ctx, result)
	}
	after, err := b.Generator.Health(ctx)
	if err != nil {
		return err
	}
	if published := after.Acked - before.Acked; published < int64(len(b.Devices())) {
		result.Control = fmt.Sprintf("only %d messages were published while the viewer asked for what it may not see", published)
	}
	return ctx.Err()
}

// tenantFacts is what a viewer met that asked for more than it may have.
type tenantFacts struct {
	Outside *tally    `json:"outside"`
	Verbs   verbFacts `json:"verbs"`
}

func judgeTenants(c *spec.Case) {
	seen, j := spec.Facts[tenantFacts](c), newJudged(c)
	seen.Outside.judge(c, "SEC-07", j.stood)
	j.unpublished("SEC-08", seen.Verbs)
}

func driveSessions(ctx context.Context, t *spec.Trial) {
	t.Step("start the bridge and let devices publish")
	b := t.Open(ctx, harness.Plan{Load: t.Load("security"), Sample: stallSample})
	var seen lifetimes
	t.Check(b.Drive(ctx, 0, func(ctx context.Context) (err error) {
		if t.Applies("SEC-11") {
			t.Step("make connections that get nowhere; what follows happens meanwhile")
			besieged := make(chan error, 1)
			go func() {
				var err error
				seen.Siege, err = lay(ctx, b, t.Limit("SEC-11").Time)
				besieged <- err
			}()
			defer func() { err = errors.Join(err, <-besieged) }()
		}
		if t.Applies("SEC-04") {
			t.Step("open a session whose token expires in 2 s and is not renewed")
			if seen.Expiry, err = outlive(ctx, b, patient(t.Limit("SEC-04"), outlivedWait)); err != nil {
				return err
			}
		}
		if t.Applies("SEC-05") {
			t.Step("open a session and revoke its subject")
			if seen.Revocation, err = revoke(ctx, b, patient(t.Limit("SEC-05"), outlivedWait)); err != nil {
				return err
			}
		}
		return ctx.Err()
	}))
	t.Keep(seen)
}

func judgeSessions(c *spec.Case) {
	seen := spec.Facts[lifetimes](c)
	stood := c.Bench().Standstills()
	seen.Expiry.judge(c, "SEC-04", "expiry of the token to the end of the session", stood)
	seen.Revocation.judge(c, "SEC-05", "revocation to the end of the session", stood)
	seen.Siege.judge(c, "SEC-11", c.Bench().Usage, stood)
}

// lifetimes are those of the sessions of one attempt.
type lifetimes struct {
	Expiry     lifetime   `json:"expiry"`
	Revocation lifetime   `json:"revocation"`
	Siege      siegeFacts `json:"siege"`
}

// lifetime is how long a session lived on after it should have ended.
type lifetime struct {
	From  int64             `json:"from_ns"` // it should have ended, on the run clock
	After time.Duration     `json:"after_ns"`
	Early time.Duration     `json:"early_ns"` // it ended so long before it had to: nothing is shown
	Found []reports.Finding `json:"found"`
	// Watched is how long it was watched after it should have ended, where it did not meanwhile.
	Watched time.Duration `json:"watched_ns,omitempty"`
	// Unwatched is why it could be watched no longer though nobody ended it, "" when it could.
	Unwatched string `json:"unwatched,omitempty"`
	// Unserved is why the session got nothing from the beginning, "" when it did.
	Unserved string `json:"unserved,omitempty"`
}

// watchedInVain are the gates of a session that was not seen to end, and that was not
// watched for long enough, or by a rig that did not run all the while.
func (l lifetime) watchedInVain(limit time.Duration, stood oracle.Standstills) []stats.Gate {
	switch {
	case l.Watched > 0 && l.Watched <= limit:
		return []stats.Gate{{
			Reason: reports.ReasonSamples, Cure: "a hook that takes less time to revoke",
			Detail: fmt.Sprintf("the session was watched for %s after it had to end, and may live for %s", l.Watched.Round(time.Millisecond), limit),
		}}
	case stood.Excused(limit, l.Watched, l.From, l.From+int64(l.Watched)):
		return rigAway(1, stood.Untold(limit))
	default:
		return nil
	}
}

// judge judges a lifetime; stood is when the rig itself did not run.
func (l lifetime) judge(c *spec.Case, id, name string, stood oracle.Standstills) {
	if !c.Applies(id) {
		return
	}
	limit := c.Limit(id).Time
	ms := reports.Float(l.After.Seconds() * 1e3)
	var gates []stats.Gate
	if stood.Excused(limit, l.After, l.From, l.From+int64(l.After)) {
		ms, gates = nan, rigAway(1, stood.Untold(limit))
	}
	if l.Early > 0 {
		gates = append(gates, stats.Gate{
			Reason: reports.ReasonEnvironment, Cure: "a bridge that keeps a rightful session",
			Detail: fmt.Sprintf("the session had ended by itself %s before it had to", l.Early.Round(time.Millisecond)),
		})
	}
	if l.Unserved != "" {
		gates = append(gates, stats.Gate{Reason: reports.ReasonEnvironment, Cure: "a bridge that serves a rightful session", Detail: "the session was never served: " + l.Unserved})
	}
	found := slices.Clone(l.Found)
	if l.Unwatched != "" && l.Watched <= limit { // else it lived for too long, whatever it came to
		ms, found = nan, nil // nobody knows
		gates = append(gates, stats.Gate{Reason: reports.ReasonEnvironment, Cure: "a bridge that keeps its protocol", Detail: "the session could not be watched to its end: " + l.Unwatched})
	}
	if len(found) > 0 {
		ms = nan // it never ended
		if open := l.watchedInVain(limit, stood); len(open) > 0 {
			gates = append(gates, open...)
			for i := range found {
				found[i].Confirmed = false
			}
		}
	}
	c.Judge(oracle.JudgeDeterministic(c.Requirement(id), oracle.DeterministicInput{
		Scenario: c.Scenario.ID, Profile: c.Title(), Checks: 1, Findings: found, Gates: gates, Seed: c.Seed(),
		Figure: &reports.Measurement{
			Name: name, Unit: "ms", Estimate: ms, Lower: nan, Upper: nan, Confidence: 0.99, N: 1, NEff: 1, VIF: 1,
			Limit: reports.Float(limit.Seconds() * 1e3), Runs: []reports.Float{ms},
		},
	}))
}
