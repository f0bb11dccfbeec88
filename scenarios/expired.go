package scenarios

// Expired: does a page go on when its session has ended in mid-view?
//
// Requirements: SEC-14 (informative).
//
// Procedure "expired":
//  1. Start the bridge and a browser, sign in with a token of 12 s, open the page of the
//     system and let devices publish. Until the token expires collect what the page says:
//     words, titles, classes, nothing with a figure in it.
//  2. From the expiry on nothing that is published may reach the page for longer than the
//     limit, and the page must say something within it that it did not say before: a value
//     that stays as it was is taken for live.
//  3. Sign in anew, as somebody does in the same browser. The page must be given fresh data
//     again: by itself, when it is looked at again, or at the latest when it is opened anew.
//     Which of them it took is told and not judged.

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"plumbline/harness"
	"plumbline/harness/browser"
	"plumbline/harness/record"
	"plumbline/harness/spec"
	"plumbline/harness/stats"
	"plumbline/reports"
)

var _ = spec.Describe("A page's session", func(s *spec.Suite) {
	s.Scenario(spec.Scenario{
		ID: "expired", Title: "shows nothing more in a page whose session has ended, and says so there",
		Requirements: []string{"SEC-14"}, Loads: []string{"security"}, Labels: []string{"browser"},
		Drive: driveExpired, Judge: judgeExpired,
	})
})

const (
	// pageSessionLife is how long the first session lasts.
	pageSessionLife = 12 * time.Second
	// pageListened is how long the page is listened to at least while it is live.
	pageListened = 3 * time.Second
	listenEvery  = 250 * time.Millisecond
	// pageBack is how long a page may take to be back; of the last way it may take as long
	// as any page to load, for nothing follows it.
	pageBack, pageBackAtLast = 2 * time.Second, 30 * time.Second
)

// expiredFacts is what became of a page whose session ended.
type expiredFacts struct {
	Absent  string   `json:"absent"`          // why no page was opened
	Dark    string   `json:"dark,omitempty"`  // why it shows nothing
	Brief   string   `json:"brief,omitempty"` // why the session was too short to tell
	Ended   int64    `json:"ended_ns"`        // when the token expired, on the run clock
	Watched stretch  `json:"watched"`         // from then on, until the next sign-in
	Words   int      `json:"words"`           // different ones that the page said while it was live
	Said    []string `json:"said,omitempty"`  // that it said afterwards for the first time
	Back    string   `json:"back,omitempty"`  // what brought it back, "" for nothing
	Took    stretch  `json:"took"`            // from the new sign-in until it was
}

func driveExpired(ctx context.Context, t *spec.Trial) {
	facts := expiredFacts{}
	if _, err := browser.Available(""); err != nil {
		facts.Absent = err.Error()
		t.Keep(facts)
		return
	}
	t.Step("start the bridge and a browser, sign in for %s, open the page of the system and listen to what it says", pageSessionLife)
	b := t.Open(ctx, harness.Plan{Load: t.Load("security")})
	p, err := b.OpenPage(ctx, harness.PagePlan{Name: pageName, TTL: pageSessionLife})
	if facts.Absent, facts.Dark = noPage(t, err); err != nil {
		t.Keep(facts)
		return
	}
	facts.Ended = b.SessionEnds()
	limit := t.Limit("SEC-14").Time
	t.Check(b.Around(ctx, "expired", 0, 0, func(ctx context.Context) error {
		before, err := listened(ctx, b, p, facts.Ended)
		facts.Words = len(before)
		switch {
		case err != nil:
			return err
		case before == nil:
			facts.Brief = fmt.Sprintf("the page was live for less than %s of its session of %s", pageListened, pageSessionLife)
			return nil
		}
		t.Step("its session has ended: nothing may come to the page after %s, and it must say so", limit)
		if err := watchOver(ctx, b, p, &facts, before, limit); err != nil {
			return err
		}
		t.Step("sign in anew and wait until the page is given something new")
		return comeBack(ctx, b, p, &facts)
	}))
	t.Check(b.Finish(ctx))
	t.Keep(facts)
}

// listened collects what a page says until an instant of the run clock; nil when there is
// too little time for that.
func listened(ctx context.Context, b *harness.Bench, p *browser.Page, until int64) (said map[string]bool, err error) {
	if b.Clock.Now() > until-int64(pageListened) {
		return nil, nil
	}
	said = map[string]bool{}
	for b.Clock.Now() < until {
		words, err := p.Says(ctx)
		if err != nil {
			return nil, err
		}
		for _, word := range words {
			said[word] = true
		}
		if err := harness.Wait(ctx, min(listenEvery, time.Duration(until-b.Clock.Now()))); err != nil {
			return nil, err
		}
	}
	return said, nil
}

// mostWords is how many new words of a page are told.
const mostWords = 8

// watchOver watches a page after its session, for the limit and a while longer.
func watchOver(ctx context.Context, b *harness.Bench, p *browser.Page, facts *expiredFacts, before map[string]bool, limit time.Duration) error {
	for facts.Watched = (stretch{From: facts.Ended}); facts.Watched.Took < limit+pageBack; facts.Watched.Took = time.Duration(b.Clock.Now() - facts.Ended) {
		words, err := p.Says(ctx)
		if err != nil {
			return err
		}
		if time.Duration(b.Clock.Now()-facts.Ended) <= limit || len(facts.Said) > 0 {
			facts.Said = newWords(words, before, facts.Said)
		}
		if err := harness.Wait(ctx, listenEvery); err != nil {
			return err
		}
	}
	return nil
}

// newWords adds to said what a page says and has not said before. What a payload of ours
// leaves, whose letters may differ from one to the next, is no word.
func newWords(words []string, before map[string]bool, said []string) []string {
	for _, word := range words {
		if len(said) < mostWords && !before[word] && !slices.Contains(said, word) && !strings.Contains(word, `"run":`) {
			said = append(said, word)
		}
	}
	return said
}

// comeBack signs in anew and notes what brought the page back: nothing but that, a look at
// it, or its being opened anew.
func comeBack(ctx context.Context, b *harness.Bench, p *browser.Page, facts *expiredFacts) error {
	address, err := b.SignInAnew(ctx, p, harness.PagePlan{Name: pageName})
	if err != nil {
		return err
	}
	facts.Took.From = b.Clock.Now()
	b.Recorder.Event(record.Event{At: facts.Took.From, Kind: record.Note, Subject: pageName, Detail: "signed in anew"})
	for _, way := range []struct {
		name     string
		patience time.Duration
		do       func() error
	}{
		{"by itself", pageBack, func() error { return nil }},
		{"when it was looked at again", pageBack, func() error {
			show, err := p.Hide(ctx)
			if err != nil {
				return err
			}
			return errors.Join(harness.Wait(ctx, listenEvery), show(ctx))
		}},
		{"opened anew", pageBackAtLast, func() error { return p.Visit(ctx, address) }},
	} {
		if err := way.do(); err != nil {
			return err
		}
		err := harness.Until(ctx, way.patience, "something new at the page", func() bool { return p.Heard() > facts.Took.From+int64(backlog) })
		facts.Took.Took = time.Duration(b.Clock.Now() - facts.Took.From)
		switch {
		case err == nil:
			facts.Back = way.name
			return nil
		case ctx.Err() != nil:
			return err
		}
	}
	return nil
}

func judgeExpired(c *spec.Case) {
	facts := spec.Facts[expiredFacts](c)
	if browserless(c, facts.Absent) || unseen(c, facts.Dark) {
		return
	}
	j := newJudged(c)
	j.sessionOver("SEC-14", facts)
}

// sessionOver judges what became of a page after its session.
func (j *judged) sessionOver(id string, facts expiredFacts) {
	if facts.Brief != "" {
		j.unmet = append(j.unmet, stats.Gate{Reason: reports.ReasonRig, Cure: "a less busy machine", Detail: facts.Brief})
	}
	limit, till := j.Limit(id).Time, facts.Ended+int64(facts.Watched.Took)
	var found []reports.Finding
	add := func(kind, detail string, at int64, watched stretch) {
		held := j.stood.Still(limit, watched.From, watched.From+int64(watched.Took))
		found = append(found, reports.Finding{Requirement: id, Kind: kind, Subject: pageName, Confirmed: !held, At: time.Duration(at), Detail: detail})
	}
	if facts.Brief == "" {
		if len(facts.Said) == 0 {
			add("unsaid", fmt.Sprintf("within %s of the end of its session the page said nothing that it had not said while it was live: what stands there is taken for live", limit), facts.Ended, facts.Watched)
		}
		if facts.Back == "" {
			add("never-back", "after a new sign-in the page was given nothing, not when it was opened anew either", facts.Took.From, facts.Took)
		}
	}
	last := lastGiven(j.history.Log(), pageName, facts.Ended, till)
	j.within(id, "time from the end of the session to the last message at the page", []stretch{{facts.Ended, time.Duration(last - facts.Ended)}}, found, 1)
}

// lastGiven returns when a viewer was last given something within some time, its beginning
// when nothing was.
func lastGiven(log *record.Log, viewer string, from, to int64) int64 {
	last := from
	for _, r := range log.Records {
		if r.Kind == record.Received && r.At > last && r.At <= to && log.Index.Nodes[r.Node].Name == viewer {
			last = r.At
		}
	}
	return last
}
