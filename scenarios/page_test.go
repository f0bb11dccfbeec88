package scenarios

import (
	"slices"
	"strings"
	"testing"
	"time"

	"plumbline/harness/browser"
	"plumbline/harness/oracle"
	"plumbline/harness/profile"
	"plumbline/harness/record"
	"plumbline/harness/spec"
	"plumbline/reports"
)

// paged adds a page and its frames to a recording: they have each message so long
// after the first viewer.
func paged(log *record.Log, seen, framed time.Duration) *record.Log {
	for i, name := range []string{pageName, browser.FrameName(pageName)} {
		node := uint16(len(log.Index.Nodes))
		log.Index.Nodes = append(log.Index.Nodes, record.Node{
			Name: name, Role: "viewer", Filters: []string{"bench/#"}, Clock: oracle.PageClock + pageName, Uncertainty: 400 * time.Microsecond,
		})
		log.Events = append(log.Events, record.Event{Kind: record.Subscribed, Subject: name})
		for _, r := range slices.Clone(log.Records) {
			if r.Kind == record.Received && r.Node == 2 {
				r.Node, r.At, r.Offset = node, r.At+int64([]time.Duration{seen, framed}[i]), 0
				log.Records = append(log.Records, r)
			}
		}
	}
	return log
}

// goodPage is what a page leaves of itself when nothing was wrong.
func goodPage() browser.Evidence {
	return browser.Evidence{Isolated: true, Step: browser.StepIsolated, Floor: &browser.Floor{
		N: 300, Seen50: time.Millisecond, Seen99: 3 * time.Millisecond, SeenMax: 5 * time.Millisecond,
		Framed50: 12 * time.Millisecond, Framed99: 20 * time.Millisecond, FramedMax: 25 * time.Millisecond,
	}}
}

func judgePaged(t *testing.T, log *record.Log, e browser.Evidence) map[string]reports.Result {
	t.Helper()
	h, err := oracle.Index(log)
	if err != nil {
		t.Fatal(err)
	}
	j := judgedOf(t, h)
	j.page(pageFacts{Windows: []string{"w"}}, e, 40*time.Second)
	all := map[string]reports.Result{}
	for _, r := range j.Results() {
		all[r.Requirement] = r
	}
	return all
}

// A page that is late, loses messages or was not looked at as it must be does not pass;
// the headless viewers beside it are none of its merit.
func TestPagesAreJudgedByTheirOwn(t *testing.T) {
	node := func(log *record.Log) uint16 { return uint16(len(log.Index.Nodes) - 2) }
	for name, c := range map[string]struct {
		seen    time.Duration
		tamper  func(*record.Log, *browser.Evidence)
		verdict reports.Verdict
		reason  reports.Reason
		words   string
	}{
		"in time":         {2 * time.Millisecond, nil, reports.Pass, "", "of it ±0.40 ms for the clock of page page-1"},
		"late (F80)":      {600 * time.Millisecond, nil, reports.Fail, "", "First violating messages"},
		"2 in a 100 late": {2 * time.Millisecond, func(l *record.Log, _ *browser.Evidence) { delay(l, node(l), 20, 600*time.Millisecond) }, reports.Fail, "", ""},
		"2 in a 100 lost": {2 * time.Millisecond, func(l *record.Log, _ *browser.Evidence) {
			n := 0
			l.Records = slices.DeleteFunc(l.Records, func(r record.Record) bool {
				if r.Node != node(l) {
					return false
				}
				n++
				return n%50 == 0
			})
		}, reports.Fail, "", ""},
		"nothing came": {2 * time.Millisecond, func(l *record.Log, _ *browser.Evidence) {
			l.Records = slices.DeleteFunc(l.Records, func(r record.Record) bool { return r.Node >= node(l) })
		}, reports.Fail, "", ""},
		"in a hidden tab":  {2 * time.Millisecond, func(_ *record.Log, e *browser.Evidence) { e.Hidden = true }, reports.Inconclusive, reports.ReasonRig, "hidden"},
		"by a slow rig":    {2 * time.Millisecond, func(_ *record.Log, e *browser.Evidence) { e.Floor.Seen99 = 200 * time.Millisecond }, reports.Inconclusive, reports.ReasonRig, "floor"},
		"by a vague clock": {2 * time.Millisecond, func(l *record.Log, _ *browser.Evidence) { l.Index.Nodes[node(l)].Uncertainty = 90 * time.Millisecond }, reports.Inconclusive, reports.ReasonClock, "clock of page page-1"},
		"damaged":          {2 * time.Millisecond, func(_ *record.Log, e *browser.Evidence) { e.Damaged = 1 }, reports.Inconclusive, reports.ReasonEnvironment, "damaged"},
	} {
		t.Run(name, func(t *testing.T) {
			log, e := paged(goodLog(), c.seen, c.seen+10*time.Millisecond), goodPage()
			if c.tamper != nil {
				c.tamper(log, &e)
			}
			r := judgePaged(t, log, e)["LAT-05"]
			if r.Verdict != c.verdict || r.Reason != c.reason || !strings.Contains(r.Sentence, c.words) {
				t.Errorf("%s(%s): %s", r.Verdict, r.Reason, r.Sentence)
			}
		})
	}
}

// A page that was not given one message of those that the broker took has lost it, however
// complete the headless viewers beside it are.
func TestAPageIsWholeOrNot(t *testing.T) {
	for name, c := range map[string]struct {
		lost      int
		conflates bool
		verdict   reports.Verdict
	}{
		"whole": {0, false, reports.Pass}, "one lost": {1, false, reports.Fail}, "one left out as declared": {1, true, reports.NotApplicable},
	} {
		log := paged(goodLog(), 2*time.Millisecond, 12*time.Millisecond)
		node, lost := uint16(len(log.Index.Nodes)-2), 0
		log.Records = slices.DeleteFunc(log.Records, func(r record.Record) bool {
			if r.Node != node || r.Seq != 100 || lost == c.lost {
				return false
			}
			lost++
			return true
		})
		h, err := oracle.Index(log)
		if err != nil {
			t.Fatal(err)
		}
		j := judgedOf(t, h)
		j.Profile.Limits["DEL-08"] = profile.Limit{Samples: 1000}
		j.wholePage("DEL-08", pageFacts{Conflates: c.conflates})
		if r := only(t, j.Case); r.Verdict != c.verdict || lost != c.lost {
			t.Errorf("%s: %s(%s): %s", name, r.Verdict, r.Reason, r.Sentence)
		}
	}
}

// Windows go on while LAT-05 or LAT-06 has too few effective samples, and no longer.
func TestWindowsOfPagesGoOnForBoth(t *testing.T) {
	h, err := oracle.Index(paged(goodLog(), 2*time.Millisecond, 12*time.Millisecond))
	if err != nil {
		t.Fatal(err)
	}
	for name, c := range map[string]struct {
		seen, framed int64
		short        string
	}{
		"enough":           {299, 299, ""},
		"too few messages": {1_000_000, 299, "LAT-05"},
		"too few frames":   {299, 1_000_000, "LAT-06"},
	} {
		p := *judgedOf(t, h).Profile
		p.Loads = map[string]profile.Load{"page": {Window: 40 * time.Second}}
		p.Limits = map[string]profile.Limit{"LAT-05": {Time: 400 * time.Millisecond, Samples: c.seen}, "LAT-06": {Time: 450 * time.Millisecond, Samples: c.framed}}
		short, id := shortOfPage(h, oracle.Options{BrokerInside: true}, &p, pageFacts{Windows: []string{"w"}}), ""
		if short != nil {
			id = short.id
		}
		if id != c.short {
			t.Errorf("%s: short of %q (%v)", name, id, short)
		}
	}
}

// perEffective is what an effective sample of a page takes on a machine that stands still for
// 0.2 s now and then: what comes meanwhile is one event, however much it is.
const perEffective = 200 * time.Millisecond

// Every profile that certifies gives a page so many windows that its limits can be decided on
// such a machine.
func TestWindowsOfPagesSuffice(t *testing.T) {
	for _, name := range profile.Names() {
		p, err := spec.Catalogue().Load(name)
		if err != nil {
			t.Fatal(err)
		}
		for _, id := range asked(p, "LAT-05", "LAT-06") {
			l, samples := p.Loads["page"], p.Limits[id].Samples
			most, needs := time.Duration(1+l.Extend)*l.Window, time.Duration(samples)*perEffective
			if p.Certifies && most < needs {
				t.Errorf("%s: %d effective samples of %s take %s, its windows are %s at most: raise extend of the load page", name, samples, id, needs, most)
			}
		}
	}
}
