package scenarios

import (
	"cmp"
	"errors"
	"io"
	"strings"
	"testing"
	"time"

	"plumbline/harness"
	"plumbline/harness/oracle"
	"plumbline/harness/profile"
	"plumbline/reports"
)

// crowded is a crowd of which all goes well.
func crowded(sessions int) multitudeFacts {
	return multitudeFacts{
		Cores: 2, Load: profile.Load{Devices: 2000, Rate: 200, Viewers: sessions}, Reached: sessions, Readings: int64(sessions), Held: 30 * time.Second, Took: 20 * time.Second,
		Before: harness.Usage{RSS: 100 << 20}, With: harness.Usage{RSS: 100<<20 + uint64(sessions)<<15}, Busy: time.Second, Over: 10 * time.Second,
	}
}

func TestSessionsThatAreNotServedAreFound(t *testing.T) {
	for name, c := range map[string]struct {
		change func(*multitudeFacts)
		want   reports.Verdict
	}{
		"all served":               {func(*multitudeFacts) {}, reports.Pass},
		"one ended":                {func(f *multitudeFacts) { f.Dropped, f.Why = 1, "EOF" }, reports.Fail},
		"one was shown nothing":    {func(f *multitudeFacts) { f.Unshown = 1 }, reports.Fail},
		"too few were let in":      {func(f *multitudeFacts) { f.Reached = 5000 }, reports.Inconclusive},
		"nobody at all was let in": {func(f *multitudeFacts) { f.Reached = 0 }, reports.Inconclusive},
	} {
		t.Run(name, func(t *testing.T) {
			r, _ := comparedParts()
			facts := crowded(16_800)
			c.change(&facts)
			j := judgedComparison(t, r)
			j.allServed("APP-02", facts)
			if got := only(t, j.Case); got.Verdict != c.want {
				t.Errorf("%s: %s, want %s", got.Verdict, got.Sentence, c.want)
			}
		})
	}
}

// TestSessionsThatTheRigItselfLeftAlone: a machine that stood still while the crowd was held proves nothing against the system.
func TestSessionsThatTheRigItselfLeftAlone(t *testing.T) {
	for at, want := range map[time.Duration]reports.Verdict{10 * time.Second: reports.Fail, 40 * time.Second: reports.Inconclusive} {
		r, _ := comparedParts()
		facts := crowded(16_800)
		facts.From, facts.Unshown = int64(30*time.Second), 1
		j := judgedComparison(t, r)
		j.stood = oracle.Standstills{Gaps: []oracle.Gap{{At: int64(at), Length: 5 * time.Second}}}
		j.allServed("APP-02", facts)
		if got := only(t, j.Case); got.Verdict != want {
			t.Errorf("after %s: %s, want %s", at, got.Sentence, want)
		}
	}
}

// TestASessionIsCountedOnce: what it was shown before it was held says nothing, and one that ended is not one that was shown nothing as well.
func TestASessionIsCountedOnce(t *testing.T) {
	var f multitudeFacts
	f.count(3, nil)
	f.count(0, nil)
	f.count(0, io.EOF)
	f.count(1, io.ErrUnexpectedEOF)
	if f.Readings != 4 || f.Unshown != 1 || f.Dropped != 2 || f.Why != "EOF" {
		t.Errorf("%+v", f)
	}
}

// TestGrowthEndsWithThreeRefusalsInARow: one between others that came is no end, and what ended it is what the first of the three said.
func TestGrowthEndsWithThreeRefusalsInARow(t *testing.T) {
	var g gathering
	busy, full := errors.New("took too long"), errors.New("503")
	for i, step := range []struct {
		err  error
		over bool
	}{{nil, false}, {busy, false}, {nil, false}, {full, false}, {busy, false}, {busy, true}, {nil, true}} {
		if over := g.take(nil, step.err); over != step.over {
			t.Errorf("step %d: over is %v", i+1, over)
		}
		if i == 2 && g.ended() != "" {
			t.Errorf("one that was let in at the second try ended the growth: %s", g.ended())
		}
	}
	if len(g.crowd) != 3 || g.ended() != "503" {
		t.Errorf("%d came, then %q", len(g.crowd), g.ended())
	}
}

// TestACrowdIsHeldUntilAllHaveSpoken: a load that holds it for less holds it longer.
func TestACrowdIsHeldUntilAllHaveSpoken(t *testing.T) {
	for hold, want := range map[time.Duration]time.Duration{5 * time.Second: 20 * time.Second, 30 * time.Second: 30 * time.Second} {
		x := multitude{load: profile.Load{Devices: 2000, Rate: 200, Hold: hold}}
		if got := x.hold(); got != want {
			t.Errorf("held for %s, not %s", got, want)
		}
	}
}

func TestClaimsOfScaleFollowWhatWasReached(t *testing.T) {
	whole := oracle.Delivery{Owed: 1000, Delivered: 1000}
	for name, c := range map[string]struct {
		facts              func() multitudeFacts
		sent               oracle.Delivery
		devices, connected reports.Standing
		words              string
		beside             reports.Float // p99, in ms; 0 = 3
	}{
		"tens of thousands":  {func() multitudeFacts { return crowded(20_000) }, whole, reports.Holds, reports.Holds, "32 KiB", 0},
		"what was asked for": {func() multitudeFacts { return crowded(16_800) }, whole, reports.Holds, reports.HoldsPartly, "no more were asked for", 0},
		"few":                {func() multitudeFacts { return crowded(900) }, whole, reports.Holds, reports.HoldsNot, "900 sessions", 0},
		"many dropped":       {func() multitudeFacts { f := crowded(16_800); f.Dropped = 900; return f }, whole, reports.Holds, reports.HoldsNot, "900 sessions ended", 0},
		"refused":            {func() multitudeFacts { f := crowded(16_800); f.Ended = "503"; return f }, whole, reports.Holds, reports.HoldsPartly, "then: 503", 0},
		"lossy":              {func() multitudeFacts { return crowded(20_000) }, oracle.Delivery{Owed: 1000, Lost: 1}, reports.HoldsNot, reports.Holds, "10 % of a core", 0},
		"few devices":        {func() multitudeFacts { f := crowded(20_000); f.Load.Devices = 100; return f }, whole, reports.HoldsNot, reports.Holds, "p99 latency at others 2 ms before, 3 ms with them", 0},
		"slow":               {func() multitudeFacts { return crowded(20_000) }, whole, reports.HoldsPartly, reports.Holds, "401 ms with them", 401},
	} {
		claims := multitudeClaims(c.facts(), c.sent, 2, cmp.Or(c.beside, 3))
		if len(claims) != 2 || claims[0].Standing != c.devices || claims[1].Standing != c.connected || !strings.Contains(claims[1].Figure, c.words) {
			t.Errorf("%s: %+v, want %s, %s and %q", name, claims, c.devices, c.connected, c.words)
		}
	}
}
