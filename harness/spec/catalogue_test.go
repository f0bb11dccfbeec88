package spec_test

import (
	"context"
	"fmt"
	"io/fs"
	"math"
	"path/filepath"
	"syscall"
	"time"

	"github.com/onsi/gomega"

	"plumbline/harness"
	"plumbline/harness/profile"
	"plumbline/harness/spec"
	"plumbline/harness/sut"
	"plumbline/harness/viewer"
	"plumbline/reports"
)

// A catalogue of scenarios that behave and misbehave in every way that the
// engine must cope with. None needs a system under test.
var _ = spec.Require([]profile.Known{
	requirement("LAT-01", reports.Mandatory, ""), requirement("DEL-01", reports.Mandatory, ""), requirement("DEL-02", reports.Mandatory, ""),
	requirement("DEL-03", reports.Mandatory, ""), requirement("ORD-01", reports.Mandatory, ""), requirement("REC-01", reports.Mandatory, ""),
	requirement("REC-02", reports.Mandatory, ""), requirement("SEC-01", reports.Conditional, "x-nobody-has-it"), requirement("SEC-02", reports.Mandatory, ""),
	requirement("RIG-01", reports.Optional, ""), requirement("STA-01", reports.Mandatory, ""), requirement("STA-02", reports.Mandatory, ""), requirement("STA-03", reports.Mandatory, ""),
	requirement("RES-01", reports.Mandatory, ""), requirement("RES-02", reports.Mandatory, ""),
	requirement("INT-01", reports.Mandatory, ""), requirement("PRO-01", reports.Mandatory, ""),
	requirement("RES-03", reports.Mandatory, ""), requirement("RES-04", reports.Mandatory, ""), requirement("INT-02", reports.Mandatory, ""),
	requirement("INT-03", reports.Mandatory, ""), requirement("INT-04", reports.Mandatory, ""), requirement("INT-05", reports.Mandatory, ""), requirement("INT-06", reports.Mandatory, ""),
	requirement("REC-03", reports.Mandatory, ""), requirement("LAT-09", reports.Optional, ""),
}, map[string][]string{"none": nil})

func requirement(id string, class reports.Class, capability string) profile.Known {
	return profile.Known{Unit: "messages", Requirement: reports.Requirement{
		ID: id, Title: id, Text: "It shall.", Class: class, Capability: capability, Measurand: "m", Rule: "deterministic", MinSamples: 1, Source: "s", Since: "1",
	}}
}

func passed(id string) reports.Result {
	return reports.Result{Requirement: id, Verdict: reports.Pass, Sentence: id + " holds.", Headline: "fine"}
}

// noise is how many attempts of the scenario "noisy" a gate still voids.
var noise int

// interrupt lets a test end the run from inside a scenario.
var interrupt context.CancelFunc

var _ = spec.Describe("Behaviour", func(s *spec.Suite) {
	add := func(id string, drive spec.Drive, judge spec.Judge, requirements ...string) {
		s.Scenario(spec.Scenario{
			ID: id, Title: id, Requirements: requirements, Loads: []string{"none"}, Timeout: 30 * time.Second, Drive: drive, Judge: judge,
		})
	}
	idle := func(context.Context, *spec.Trial) {}
	passing := func(ids ...string) spec.Judge {
		return func(c *spec.Case) {
			for _, id := range ids {
				c.Judge(passed(id))
			}
		}
	}
	add("good", func(_ context.Context, t *spec.Trial) {
		t.Step("look at %d things", 3)
		t.Keep(seen{Things: 3, Share: 0.1, Never: reports.Float(math.Inf(1))})
	}, func(c *spec.Case) {
		facts := spec.Facts[seen](c)
		r := passed("LAT-01")
		r.Measurement = &reports.Measurement{Name: "t0i→t4", Unit: "ms", Estimate: 3, Limit: 10, Confidence: 0.95, Quantile: 0.5, N: 300, NEff: 300, VIF: 1}
		r.Headline = fmt.Sprintf("%d things, %v of them, %v", facts.Things, facts.Share, float64(facts.Never))
		c.Judge(r)
		c.Show(spec.Figures{Rig: &reports.RigHealth{SlipP99: 1, Offered: 10, Achieved: 10, FloorP50: reports.Float(math.NaN())},
			Devices: []reports.Device{{ID: "d", Mode: reports.ModeSim, Damaged: 2}}})
	}, "LAT-01")
	add("more", idle, passing("REC-03", "LAT-09"), "REC-03", "LAT-09")
	add("forgets", idle, passing(), "DEL-01")
	add("panics", idle, func(c *spec.Case) {
		c.Judge(passed("DEL-02"))
		panic("a nil map, say")
	}, "DEL-02", "DEL-03")
	add("judges-and-panics", idle, func(c *spec.Case) {
		c.Judge(passed("INT-01"))
		panic("drawing a figure of nothing")
	}, "INT-01")
	add("drive-panics", func(context.Context, *spec.Trial) { panic("a closed channel, say") }, passing("INT-03"), "INT-03")
	add("keeps-nothing", idle, func(c *spec.Case) { spec.Facts[seen](c) }, "INT-04")
	add("keeps-nonsense", func(_ context.Context, t *spec.Trial) { t.Keep(math.Inf(1)) }, passing("INT-05"), "INT-05")
	add("keeps-another", func(_ context.Context, t *spec.Trial) { t.Keep(map[string]int{"thinks": 3}) },
		func(c *spec.Case) { spec.Facts[seen](c) }, "INT-06")
	add("bench-gone", func(_ context.Context, t *spec.Trial) {
		t.Check(fmt.Errorf("%w: nothing came from the plug", harness.ErrBench))
	}, passing("PRO-01"), "PRO-01")
	add("asserts", func(context.Context, *spec.Trial) { gomega.Expect(1).To(gomega.Equal(2)) }, passing("ORD-01"), "ORD-01")
	add("times-out", func(ctx context.Context, t *spec.Trial) {
		<-ctx.Done()
		t.Check(ctx.Err())
	}, passing("REC-01"), "REC-01")
	add("lacks", idle, passing("SEC-01", "SEC-02"), "SEC-01", "SEC-02")
	s.Scenario(spec.Scenario{
		ID: "needs", Title: "needs", Needs: "x-nor-this", Requirements: []string{"SEC-02"}, Loads: []string{"none"}, Timeout: 30 * time.Second,
		Drive: func(context.Context, *spec.Trial) { panic("done, though what it needs is not there") }, Judge: passing("SEC-02"),
	})
	add("checks", idle, func(c *spec.Case) {
		c.Judge(reports.Result{Requirement: "RIG-01", Verdict: reports.Fail, Sentence: "RIG-01 is off.", Headline: "off"})
	}, "RIG-01")
	add("interrupted", func(ctx context.Context, t *spec.Trial) {
		interrupt()
		<-ctx.Done()
		t.Check(ctx.Err())
	}, passing("REC-02"), "REC-02")
	add("noisy", func(_ context.Context, t *spec.Trial) {
		noise--
		t.Keep(noise >= 0)
	}, func(c *spec.Case) {
		if spec.Facts[bool](c) {
			c.Judge(reports.Result{Requirement: "STA-01", Verdict: reports.Inconclusive, Reason: reports.ReasonGenerator, Sentence: "STA-01 was disturbed."})
			return
		}
		c.Judge(passed("STA-01"))
	}, "STA-01")
	add("short", idle, func(c *spec.Case) {
		c.Judge(reports.Result{Requirement: "STA-02", Verdict: reports.Inconclusive, Reason: reports.ReasonSamples, Sentence: "STA-02 had too little."})
	}, "STA-02")
	add("sut-gone", func(_ context.Context, t *spec.Trial) {
		t.Check(fmt.Errorf("starting: %w", sut.ErrUnavailable))
	}, passing("RES-01"), "RES-01")
	add("after-sut-gone", idle, passing("RES-02"), "RES-02") // must not be reached when sut-gone was in the run
	add("refused", func(_ context.Context, t *spec.Trial) {
		t.Check(fmt.Errorf("%w: viewer: %w", sut.ErrUnavailable, &viewer.RefusedError{Filter: "tele/#", Reason: "not granted"}))
	}, passing("STA-03"), "STA-03")
	add("disk-full", func(_ context.Context, t *spec.Trial) {
		t.Check(&fs.PathError{Op: "write", Path: filepath.Join(t.Rig.Dir(), "records", "records.bin"), Err: syscall.ENOSPC})
	}, passing("RES-03"), "RES-03")
	add("other-disk-full", func(_ context.Context, t *spec.Trial) {
		t.Check(&fs.PathError{Op: "write", Path: filepath.Join(t.Rig.Dir()+"-of-others", "scratch"), Err: syscall.EDQUOT})
	}, passing("INT-02"), "INT-02") // which comes before RES-04
	add("after-disk-full", idle, passing("RES-04"), "RES-04") // must not be reached when disk-full was in the run
})

// seen is what the drive of "good" keeps.
type seen struct {
	Things int           `json:"things"`
	Share  float64       `json:"share"`
	Never  reports.Float `json:"never"`
}

const profileText = `apiVersion: plumbline/v1
kind: Profile
name: engine
version: "1"
purpose: test of the engine
certifies: %v
gates: {offered: 99.9 %%, slip: 5 %%, blocks: 30, minBlock: 1 s, attempts: 3, guard: 0.3 ms}
loads: {none: {}}
limits:
`

// profileOf returns the text of a profile with a limit for every requirement.
func profileOf(certifies bool) string {
	text := fmt.Sprintf(profileText, certifies)
	for _, k := range spec.Catalogue().Requirements {
		text += fmt.Sprintf("  %s: {limit: 0 messages, samples: 1, source: judgement}\n", k.Requirement.ID)
	}
	return text
}

func engineProfile(certifies bool) (*profile.Profile, error) {
	return spec.Catalogue().Parse("engine.yaml", []byte(profileOf(certifies)))
}
