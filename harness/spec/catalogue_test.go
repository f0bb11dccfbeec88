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
	"plumbline/reports"
)

// A catalogue of scenarios that behave and misbehave in every way that the
// engine must cope with. None needs a system under test.
var _ = spec.Require([]profile.Known{
	requirement("LAT-01", reports.Mandatory, ""), requirement("DEL-01", reports.Mandatory, ""), requirement("DEL-02", reports.Mandatory, ""),
	requirement("DEL-03", reports.Mandatory, ""), requirement("ORD-01", reports.Mandatory, ""), requirement("REC-01", reports.Mandatory, ""),
	requirement("REC-02", reports.Mandatory, ""), requirement("SEC-01", reports.Conditional, "x-nobody-has-it"), requirement("SEC-02", reports.Mandatory, ""),
	requirement("RIG-01", reports.Optional, ""), requirement("STA-01", reports.Mandatory, ""), requirement("STA-02", reports.Mandatory, ""), requirement("RES-01", reports.Mandatory, ""), requirement("RES-02", reports.Mandatory, ""),
	requirement("INT-01", reports.Mandatory, ""), requirement("PRO-01", reports.Mandatory, ""),
	requirement("RES-03", reports.Mandatory, ""), requirement("RES-04", reports.Mandatory, ""), requirement("INT-02", reports.Mandatory, ""),
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
	add := func(id string, body spec.Body, requirements ...string) {
		s.Scenario(spec.Scenario{ID: id, Title: id, Requirements: requirements, Loads: []string{"none"}, Timeout: 30 * time.Second}, body)
	}
	add("good", func(_ context.Context, t *spec.Trial) {
		t.Step("look at %d things", 3)
		t.Judge(passed("LAT-01"))
		t.Show(spec.Figures{Rig: &reports.RigHealth{SlipP99: 1, Offered: 10, Achieved: 10, FloorP50: reports.Float(math.NaN())},
			Devices: []reports.Device{{ID: "d", Mode: reports.ModeSim, Damaged: 2}}})
	}, "LAT-01")
	add("forgets", func(context.Context, *spec.Trial) {}, "DEL-01")
	add("panics", func(_ context.Context, t *spec.Trial) {
		t.Judge(passed("DEL-02"))
		panic("a nil map, say")
	}, "DEL-02", "DEL-03")
	add("judges-and-panics", func(_ context.Context, t *spec.Trial) {
		t.Judge(passed("INT-01"))
		panic("drawing a figure of nothing")
	}, "INT-01")
	add("bench-gone", func(_ context.Context, t *spec.Trial) {
		t.Check(fmt.Errorf("%w: nothing came from the plug", harness.ErrBench))
	}, "PRO-01")
	add("asserts", func(context.Context, *spec.Trial) { gomega.Expect(1).To(gomega.Equal(2)) }, "ORD-01")
	add("times-out", func(ctx context.Context, t *spec.Trial) {
		<-ctx.Done()
		t.Check(ctx.Err())
	}, "REC-01")
	add("lacks", func(_ context.Context, t *spec.Trial) { t.Judge(passed("SEC-01"), passed("SEC-02")) }, "SEC-01", "SEC-02")
	add("checks", func(_ context.Context, t *spec.Trial) {
		t.Judge(reports.Result{Requirement: "RIG-01", Verdict: reports.Fail, Sentence: "RIG-01 is off.", Headline: "off"})
	}, "RIG-01")
	add("interrupted", func(ctx context.Context, t *spec.Trial) {
		interrupt()
		<-ctx.Done()
		t.Check(ctx.Err())
	}, "REC-02")
	add("noisy", func(_ context.Context, t *spec.Trial) {
		noise--
		if noise >= 0 {
			t.Judge(reports.Result{Requirement: "STA-01", Verdict: reports.Inconclusive, Reason: reports.ReasonGenerator, Sentence: "STA-01 was disturbed."})
			return
		}
		t.Judge(passed("STA-01"))
	}, "STA-01")
	add("short", func(_ context.Context, t *spec.Trial) {
		t.Judge(reports.Result{Requirement: "STA-02", Verdict: reports.Inconclusive, Reason: reports.ReasonSamples, Sentence: "STA-02 had too little."})
	}, "STA-02")
	add("sut-gone", func(_ context.Context, t *spec.Trial) {
		t.Check(fmt.Errorf("starting: %w", sut.ErrUnavailable))
	}, "RES-01")
	add("after-sut-gone", func(_ context.Context, t *spec.Trial) {
		t.Judge(passed("RES-02")) // must not be reached when sut-gone was in the run
	}, "RES-02")
	add("disk-full", func(_ context.Context, t *spec.Trial) {
		t.Check(&fs.PathError{Op: "write", Path: filepath.Join(t.Rig.Dir(), "records", "records.bin"), Err: syscall.ENOSPC})
	}, "RES-03")
	add("other-disk-full", func(_ context.Context, t *spec.Trial) {
		t.Check(&fs.PathError{Op: "write", Path: filepath.Join(t.Rig.Dir()+"-of-others", "scratch"), Err: syscall.EDQUOT})
	}, "INT-02") // which comes before RES-04
	add("after-disk-full", func(_ context.Context, t *spec.Trial) {
		t.Judge(passed("RES-04")) // must not be reached when disk-full was in the run
	}, "RES-04")
})

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

func engineProfile(certifies bool) (*profile.Profile, error) {
	text := fmt.Sprintf(profileText, certifies)
	for _, k := range spec.Catalogue().Requirements {
		text += fmt.Sprintf("  %s: {limit: 0 messages, samples: 1, source: judgement}\n", k.Requirement.ID)
	}
	return spec.Catalogue().Parse("engine.yaml", []byte(text))
}
