package scenarios

// Page: how late is what a person at the system's own page sees?
//
// Requirements: LAT-05; LAT-06 and DEL-08 (informative).
//
// Procedure "page":
//  1. Start the bridge, a witness, a headless viewer beside which the page is seen, and
//     a browser. Measure with the same instrument what harness and browser add
//     themselves: a local server, a page that does nothing.
//  2. Sign in, open the page of the system in a visible tab and publish until it shows
//     something. A page to which nothing comes within 30 s though it asks for connections
//     goes on all the same: what comes to nobody is infinitely late.
//  3. Warm up, then publish in an open loop. The instrument stamps each message when
//     the page's own script is given it, and the frame after that. As long again
//     follows, as often as the profile allows, while there are too few effective samples.
//  4. Where the profile says so (hold): the same with a processor that is four times
//     slower, and over a slow network: a proxy between browser and system, which passes all
//     on at once until then, delays what goes through, TLS and an open WebSocket like
//     anything else. Both are figures, no verdicts.
//  5. Drain, end everything and judge the recordings: how late the page was, and whether
//     it was given everything that the broker took, in the slow windows too.

import (
	"context"
	"errors"
	"fmt"
	"time"

	"plumbline/harness"
	"plumbline/harness/browser"
	"plumbline/harness/fault"
	"plumbline/harness/oracle"
	"plumbline/harness/profile"
	"plumbline/harness/spec"
	"plumbline/harness/stats"
	"plumbline/reports"
)

var _ = spec.Describe("The page", func(s *spec.Suite) {
	s.Scenario(spec.Scenario{
		ID: "page", Title: "shows in its own page, in a real browser, what was sampled, in time",
		Requirements: []string{"LAT-05", "LAT-06", "DEL-08"}, Loads: []string{"page"}, Labels: []string{"browser"},
		Drive: drivePage, Judge: judgePage,
	})
})

const (
	pageName = "page-1"
	// frameLength is that of a frame at 60 Hz, which leaves open when a frame was seen.
	frameLength = 16_700 * time.Microsecond
)

// pageFacts says what was opened and what was done to it.
type pageFacts struct {
	Absent    string   `json:"absent"`              // why no page was opened, "" when one was
	Dark      string   `json:"dark,omitempty"`      // why it shows nothing
	Mute      string   `json:"mute,omitempty"`      // that nothing came to it, though it asked
	Viewer    string   `json:"viewer,omitempty"`    // the headless one beside it
	Conflates bool     `json:"conflates,omitempty"` // the descriptor says so
	Windows   []string `json:"windows,omitempty"`   // that are judged, together
	Slowed    []string `json:"slowed,omitempty"`    // windows in which page or network were made slower
}

// windowPage is the first judged window.
const windowPage = "page"

// shortOfPage returns the first of LAT-05 and LAT-06 that the windows so far cannot carry,
// nil when they carry what the profile asks for. Frames are the fewer: what comes within one
// is seen at once.
func shortOfPage(h *oracle.History, o oracle.Options, p *profile.Profile, facts pageFacts) *want {
	rule := pageRule(p, time.Duration(len(facts.Windows))*p.Loads["page"].Window)
	for _, id := range asked(p, "LAT-05", "LAT-06") {
		viewer, allowed := pageName, time.Duration(0)
		if id == "LAT-06" {
			viewer, allowed = browser.FrameName(pageName), frameLength
		}
		rule.MinSamples = p.Limits[id].Samples
		in := question(pageLatencies(h, o, viewer, facts, facts.Windows...), p, id, rule)
		in.Guard += allowed.Seconds() * 1e3
		if short := in.Short(); short != nil {
			return &want{id: id, Short: *short}
		}
	}
	return nil
}

// noPage says why no page was opened, as facts keep it: no browser can be started on this
// machine (absent), or the page of the system shows nothing (dark). Any other error ends the
// scenario.
func noPage(t *spec.Trial, err error) (absent, dark string) {
	switch {
	case errors.Is(err, browser.ErrNone):
		return err.Error(), ""
	case errors.Is(err, harness.ErrDark):
		return "", err.Error()
	}
	t.Check(err)
	return "", ""
}

// unseen tells for each requirement of the scenario that nothing can be said, for the
// page showed nothing; false when it did.
func unseen(c *spec.Case, why string) bool {
	return nothingSaid(c, reports.ReasonSUT, "the page shows nothing", why, "a look at viewer.page of the descriptor, and a page that is built")
}

// browserless tells the same for want of a Chromium that can be started on this machine,
// which why names with how to get one.
func browserless(c *spec.Case, why string) bool {
	return nothingSaid(c, reports.ReasonEnvironment, "no browser can be started on this machine", why, "a Chromium that starts here, which plumbline doctor looks for")
}

func nothingSaid(c *spec.Case, reason reports.Reason, headline, why, cure string) bool {
	if why == "" {
		return false
	}
	for _, id := range c.Scenario.Requirements {
		c.Judge(reports.Result{
			Requirement: id, Scenario: c.Scenario.ID, Verdict: reports.Inconclusive, Reason: reason, Attempt: 1, Headline: headline,
			Sentence: fmt.Sprintf("%s (%s): INCONCLUSIVE(%s): no statement about conformity; reason: %s; what would cure it: %s.", id, c.Title(), reason, why, cure),
		})
	}
	return true
}

func drivePage(ctx context.Context, t *spec.Trial) {
	facts := pageFacts{Viewer: "viewer-01"}
	if _, err := browser.Available(""); err != nil {
		t.Step("look for a browser: there is none")
		facts.Absent = err.Error()
		t.Keep(facts)
		return
	}
	l := t.Load("page")
	t.Step("start the bridge, a headless viewer, %d devices and a browser, and measure what harness and browser add", l.Devices)
	b := t.Open(ctx, harness.Plan{Load: l, Floor: true, PageFault: l.Hold > 0})
	facts.Conflates = b.SUT.Viewer().Page.Conflates
	p, err := b.OpenPage(ctx, harness.PagePlan{Name: pageName, Frames: true, Floor: true})
	if errors.Is(err, harness.ErrMute) {
		facts.Mute = err.Error()
		t.Step("go on though nothing comes to the page: %s", facts.Mute)
	} else if facts.Absent, facts.Dark = noPage(t, err); err != nil {
		t.Keep(facts)
		return
	}
	t.Step("warm up for %s, then publish %.0f messages/s for %s in an open loop", l.WarmUp, l.Rate, l.Window)
	t.Check(b.Window(ctx, windowPage, l.WarmUp, l.Window))
	facts.Windows = []string{windowPage}
	for n := range l.Extend {
		h, err := b.Peek(ctx)
		t.Check(err)
		short := shortOfPage(h, b.Options(""), t.Rig.Profile(), facts)
		if short == nil {
			break
		}
		t.Step("%s: as long once more", short)
		facts.Windows = append(facts.Windows, fmt.Sprintf("%s-%d", windowPage, n+2))
		t.Check(b.Window(ctx, facts.Windows[n+1], 0, l.Window))
	}
	if l.Hold > 0 {
		facts.Slowed, err = slowed(ctx, t, b, p, l.Hold)
		t.Check(err)
	}
	t.Step("drain, end everything and judge the recordings")
	t.Check(b.Finish(ctx))
	t.Keep(facts)
}

// slowed publishes while the page's processor and then its network are slower, and
// returns the names of these windows.
func slowed(ctx context.Context, t *spec.Trial, b *harness.Bench, p *browser.Page, length time.Duration) (windows []string, err error) {
	for _, c := range []struct {
		name   string
		during func(context.Context, func(context.Context) error) error
	}{
		{"processor a quarter as fast", func(ctx context.Context, action func(context.Context) error) error {
			if err := p.Throttle(ctx, 4); err != nil {
				return err
			}
			return errors.Join(action(ctx), p.Throttle(ctx, 1))
		}},
		{slowNetwork, func(ctx context.Context, action func(context.Context) error) error {
			return b.DuringPageFaults(ctx, slowNetworkOf(t.Rig.Seed()), action)
		}},
	} {
		t.Step("the same for %s: %s", length, c.name)
		windows = append(windows, c.name)
		if err := c.during(ctx, func(ctx context.Context) error { return b.Window(ctx, c.name, time.Second, length) }); err != nil {
			return windows, err
		}
	}
	return windows, nil
}

// slowNetwork is that of a telephone: each way slowDelay and up to slowJitter, slowRate.
const (
	slowNetwork = "network of 40 ms each way and 10 Mbit per s"
	slowDelay   = 40 * time.Millisecond
	slowJitter  = 10 * time.Millisecond
	slowRate    = 10_000_000 / 8
)

// slowNetworkOf makes a proxy into it.
func slowNetworkOf(seed uint64) func(*fault.Proxy) []fault.Fault {
	return func(p *fault.Proxy) []fault.Fault {
		return []fault.Fault{p.LatencyFault(fault.Both, slowDelay, slowJitter, seed), p.ThrottleFault(fault.Both, slowRate)}
	}
}

func judgePage(c *spec.Case) {
	facts := spec.Facts[pageFacts](c)
	if browserless(c, facts.Absent) || unseen(c, facts.Dark) {
		return
	}
	r := c.Bench()
	e, err := r.Page(pageName)
	c.Check(err)
	j, length := newJudged(c), time.Duration(len(facts.Windows))*c.Load("page").Window
	j.page(facts, e, length)
	j.showPage(facts, length)
}

// page judges what a page saw in its windows, which have that length together.
func (j *judged) page(facts pageFacts, e browser.Evidence, length time.Duration) {
	j.floored(e)
	rule := pageRule(j.Profile, length)
	rule.MinSamples = j.samples("LAT-05")
	j.latency("LAT-05", j.pageLatencies(pageName, facts, facts.Windows...), rule)
	if j.Applies("DEL-08") {
		j.wholePage("DEL-08", facts)
	}
	if !j.Applies("LAT-06") {
		return
	}
	rule.MinSamples = j.samples("LAT-06")
	in := j.latencyInput("LAT-06", j.pageLatencies(browser.FrameName(pageName), facts, facts.Windows...), rule)
	in.Guard += frameLength
	if f := e.Floor; f != nil {
		in.Bias = f.Framed99
	}
	j.Judge(oracle.JudgeLatency(j.Requirement("LAT-06"), in))
}

// wholePage judges that the page was given everything, whatever window it was in.
func (j *judged) wholePage(id string, facts pageFacts) {
	if facts.Conflates {
		notAsked(j.Case, id, "the page is not sent every message (viewer.page.conflates)")
		return
	}
	o := j.options(id)
	o.Viewers = []string{pageName}
	d, found := j.history.Delivery(o)
	j.Judge(oracle.JudgeZero(j.Requirement(id), oracle.ZeroInput{
		Scenario: j.Scenario.ID, Profile: j.Title(), Noun: "loss/losses", Unit: "acknowledged messages at the page", N: d.Owed,
		Findings: ofKind(found, "lost"), Events: d.Lost, Suspicions: d.Unconfirmed, MinN: j.samples(id), Seed: j.Seed(),
		Gates: append(j.history.Gates(o), j.unmet...),
	}))
}

// pageRule is DR-2 with as many blocks of the least length as the windows have whole: a
// profile of minutes gives a page no half of one, which metrology 2.3 asks for.
func pageRule(p *profile.Profile, length time.Duration) stats.Rule {
	rule := ruleOf(p, 0)
	rule.MinBlocks = max(min(rule.MinBlocks, int(length/max(rule.MinBlock, time.Second))-1), 5)
	return rule
}

// floored takes what harness and browser add themselves for the floor of the rig, and
// refuses a tab that was not visible.
func (j *judged) floored(e browser.Evidence) {
	if f := e.Floor; f != nil {
		ms := func(d time.Duration) reports.Float { return reports.Float(d.Seconds() * 1e3) }
		j.health.FloorP50, j.health.FloorP99, j.health.FloorP999 = ms(f.Seen50), ms(f.Seen99), ms(f.SeenMax)
	}
	if e.Hidden {
		j.unmet = append(j.unmet, stats.Gate{
			Reason: reports.ReasonRig, Cure: "nothing else that uses this browser",
			Detail: "the tab of the page was hidden, and hidden tabs are throttled",
		})
	}
	if e.Damaged > 0 {
		j.unmet = append(j.unmet, stats.Gate{
			Reason: reports.ReasonEnvironment, Cure: "a look at DEL-06 and INT-01 first",
			Detail: fmt.Sprintf("%d payloads reached the page damaged, and cannot be told apart", e.Damaged),
		})
	}
}

// pageLatencies are those of one viewer in some windows together; of a page that
// conflates, those of what it shows.
func pageLatencies(h *oracle.History, o oracle.Options, viewer string, facts pageFacts, windows ...string) (all oracle.Latencies) {
	o.Viewers = []string{viewer}
	for i, window := range windows {
		o.Window = window
		l := h.Latencies(o)
		if facts.Conflates && viewer != facts.Viewer {
			l = l.Latest()
		}
		if i == 0 {
			all = l
			continue
		}
		all = all.And(l)
	}
	return all
}

func (j *judged) pageLatencies(viewer string, facts pageFacts, windows ...string) oracle.Latencies {
	return pageLatencies(j.history, j.options(""), viewer, facts, windows...)
}

// showPage puts the figures of headless viewer, page and frame side by side.
func (j *judged) showPage(facts pageFacts, window time.Duration) {
	scenario, o := j.Scenario.ID, j.options("")
	o.Window = windowPage
	lines := j.lines()
	limit := func(id string) (own []reports.Limit) {
		for _, line := range lines {
			if line.Requirement == id {
				own = append(own, line)
			}
		}
		return own
	}
	figures := spec.Figures{Rig: &j.health, Devices: j.devices}
	add := func(name string, l oracle.Latencies, limits []reports.Limit) {
		figures.Latencies = append(figures.Latencies, oracle.Distribution(name, scenario, l, limits))
	}
	add("t0i→t5, page", j.pageLatencies(pageName, facts, facts.Windows...), limit("LAT-05"))
	add("t0i→t6, frame", j.pageLatencies(browser.FrameName(pageName), facts, facts.Windows...), limit("LAT-06"))
	add("t0i→t4, headless beside the page", j.pageLatencies(facts.Viewer, facts, facts.Windows...), nil)
	for _, slow := range facts.Slowed {
		add("t0i→t5, "+slow, j.pageLatencies(pageName, facts, slow), nil)
		add("t0i→t6, "+slow, j.pageLatencies(browser.FrameName(pageName), facts, slow), nil)
	}
	headless, page := o, o
	headless.Viewers, page.Viewers = []string{facts.Viewer}, []string{pageName}
	figures.Timelines = append(figures.Timelines, j.history.Timeline("t0i→t5, page", scenario, slotOf(window), page))
	figures.Hops = append(j.history.Hops(scenario, headless), j.history.PageHops(scenario, facts.Viewer, pageName, browser.FrameName(pageName), o)...)
	j.Show(figures)
}
