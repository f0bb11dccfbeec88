package scenarios

// Hardships: is the page there again after what befalls a page?
//
// Requirements: REC-08, REC-09 (both informative).
//
// Procedure "hardships":
//  1. Start the bridge and a browser, sign in, open the page of the system, let devices
//     publish.
//  2. One after the other: hide the tab behind another one; let the page sleep, as a
//     browser does with one that nobody has looked at; take its network away, of which the
//     browser tells it; have a network that swallows everything and tells nobody; let its
//     connections die without a word, while new ones work, until somebody resets them; reload
//     it again and again. Each for as long as the profile says, each followed by a rest.
//  3. After each the page must be given a message that was sampled after it, and at no
//     time may it ask for connections as fast as it can.

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"plumbline/harness"
	"plumbline/harness/browser"
	"plumbline/harness/fault"
	"plumbline/harness/oracle"
	"plumbline/harness/record"
	"plumbline/harness/spec"
	"plumbline/reports"
)

var _ = spec.Describe("Hardships of the page", func(s *spec.Suite) {
	s.Scenario(spec.Scenario{
		ID: "hardships", Title: "is there again after it was hidden, asleep, offline and reloaded, without a storm",
		Requirements: []string{"REC-08", "REC-09"}, Loads: []string{"hardships"}, Labels: []string{"browser"},
		Drive: driveHardships, Judge: judgeHardships,
	})
})

// hardshipFacts says why nothing was done, "" when it was.
type hardshipFacts struct {
	Absent  string `json:"absent"`
	Dark    string `json:"dark,omitempty"` // the page shows nothing
	Reloads int    `json:"reloads"`        // that befell the page
}

// hardship is one thing that befalls a page, while hold lasts.
type hardship struct {
	name   string
	befall func(ctx context.Context, hold func(context.Context) error) error
}

// between begins something and ends it when it was held, whatever came of that.
func between(begin, end func(context.Context) error) func(context.Context, func(context.Context) error) error {
	return func(ctx context.Context, hold func(context.Context) error) error {
		if err := begin(ctx); err != nil {
			return err
		}
		return errors.Join(hold(ctx), end(ctx))
	}
}

func driveHardships(ctx context.Context, t *spec.Trial) {
	facts := hardshipFacts{}
	if _, err := browser.Available(""); err != nil {
		facts.Absent = err.Error()
		t.Keep(facts)
		return
	}
	l := t.Load("hardships")
	t.Step("start the bridge and a browser, sign in and open the page of the system")
	b := t.Open(ctx, harness.Plan{Load: l, PageFault: true})
	p, err := b.OpenPage(ctx, harness.PagePlan{Name: pageName})
	if facts.Absent, facts.Dark = noPage(t, err); err != nil {
		t.Keep(facts)
		return
	}
	facts.Reloads = l.Cycles
	rest := patient(t.Limit("REC-08"), time.Second)
	t.Check(b.Around(ctx, "hardships", 500*time.Millisecond, 500*time.Millisecond, func(ctx context.Context) error {
		for _, h := range hardshipsOf(b, p, l.Cycles) {
			t.Step("%s for %s, then wait until the page is given something new", h.name, l.Hold)
			if err := undergo(ctx, b, p, h, l.Hold, rest); err != nil {
				return err
			}
		}
		return nil
	}))
	t.Check(b.Finish(ctx))
	t.Keep(facts)
}

// hardshipsOf are what befalls the page, the last of them so many times.
func hardshipsOf(b *harness.Bench, p *browser.Page, reloads int) []hardship {
	var show func(context.Context) error
	on := func(of func(*fault.Proxy) fault.Fault) func(context.Context, func(context.Context) error) error {
		return func(ctx context.Context, hold func(context.Context) error) error {
			return b.DuringPageFaults(ctx, func(p *fault.Proxy) []fault.Fault { return []fault.Fault{of(p)} }, hold)
		}
	}
	return []hardship{
		{"hidden tab", between(func(ctx context.Context) (err error) { show, err = p.Hide(ctx); return err }, func(ctx context.Context) error { return show(ctx) })},
		{"sleep", between(p.Freeze, p.Thaw)},
		{"no network", between(func(ctx context.Context) error { return p.Offline(ctx, true) }, func(ctx context.Context) error { return p.Offline(ctx, false) })},
		{"network that swallows everything", on(func(p *fault.Proxy) fault.Fault { return p.BlackHoleFault(fault.Both) })},
		{"connections that died without a word", on(func(p *fault.Proxy) fault.Fault { return p.HalfOpenFault(fault.Upstream) })},
		{"reloads", func(ctx context.Context, hold func(context.Context) error) error {
			err := hold(ctx)
			for range reloads {
				if p.Reload(ctx) != nil { // a page that is not there again is found by its silence
					return errors.Join(err, ctx.Err())
				}
			}
			return err
		}},
	}
}

// undergo lets a hardship befall the page and waits, at most for rest, until readings
// come again. What the page misses and when it is there again the records tell.
func undergo(ctx context.Context, b *harness.Bench, p *browser.Page, h hardship, hold, rest time.Duration) error {
	b.Recorder.Event(record.Event{Kind: record.FaultOnset, Subject: h.name})
	if err := h.befall(ctx, func(ctx context.Context) error { return harness.Wait(ctx, hold) }); err != nil {
		return err
	}
	ended := b.Clock.Now()
	b.Recorder.Event(record.Event{At: ended, Kind: record.FaultEnd, Subject: h.name})
	limited, cancel := context.WithTimeout(ctx, rest)
	defer cancel()
	for p.Heard() < ended+int64(backlog) {
		if harness.Wait(limited, 20*time.Millisecond) != nil {
			break // too late, or never: that is on record
		}
	}
	return harness.Wait(ctx, calmed)
}

// backlog is how long what the page missed may keep it busy before anything new comes.
const backlog = 300 * time.Millisecond

// calmed is how long a page that is back is watched before the next thing befalls it.
const calmed = 500 * time.Millisecond

func judgeHardships(c *spec.Case) {
	facts := spec.Facts[hardshipFacts](c)
	if browserless(c, facts.Absent) || unseen(c, facts.Dark) {
		return
	}
	e, err := c.Bench().Page(pageName)
	c.Check(err)
	j := newJudged(c)
	times, found := freshAfterFaults(j.history.Log(), "REC-08", pageName)
	j.within("REC-08", "time from the end of a hardship to the first message at the page that was sampled after it", times, found, j.samples("REC-08"))
	j.stormless("REC-09", e.Documents-1-facts.Reloads)
	j.showReturns()
}

// stormless judges how many connections the page asked for within a second, and how often
// it loaded itself anew: what a document asks for that is gone before its clock is known
// has no place in time.
func (j *judged) stormless(id string, itself int) {
	limit := float64(j.Limit(id).Count)
	var asked []int64
	faults := int64(0)
	for _, e := range j.history.Log().Events {
		switch {
		case e.Kind == record.FaultEnd:
			faults++
		case e.Kind == record.Note && e.Subject == pageName && e.Fields["address"] != "":
			asked = append(asked, e.At)
		}
	}
	slices.Sort(asked)
	most, at := 0, int64(0)
	for first, last := 0, 0; last < len(asked); last++ {
		for asked[last]-asked[first] > int64(time.Second) {
			first++
		}
		if n := last - first + 1; n > most {
			most, at = n, asked[first]
		}
	}
	figure := &reports.Measurement{
		Name: "most connections asked for within a second", Unit: "connections", Estimate: reports.Float(most), Limit: reports.Float(limit),
		N: int64(len(asked)), NEff: int64(len(asked)), VIF: 1, Confidence: 0.99, Lower: nan, Upper: nan,
	}
	var found []reports.Finding
	if float64(most) > limit {
		found = append(found, reports.Finding{
			Requirement: id, Kind: "storm", Subject: pageName, Confirmed: true, At: time.Duration(at),
			Detail: fmt.Sprintf("the page asked for %d connections within a second", most),
		})
	}
	if float64(itself) > limit {
		found = append(found, reports.Finding{
			Requirement: id, Kind: "reloads", Subject: pageName, Confirmed: true,
			Detail: fmt.Sprintf("the page loaded itself anew %d times, and asked for its connections each time", itself),
		})
	}
	j.Judge(oracle.JudgeDeterministic(j.Requirement(id), oracle.DeterministicInput{
		Scenario: j.Scenario.ID, Profile: j.Title(), Checks: faults, MinN: j.samples(id), Findings: found, Figure: figure, Seed: j.Seed(), Gates: j.sound(id),
	}))
}
