package profile_test

import (
	"fmt"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"plumbline/harness/profile"
	"plumbline/reports"
)

// catalogue is a small one; the embedded profiles are checked against the real
// catalogue by the scenarios, which own it.
func catalogue() profile.Catalogue {
	return profile.Catalogue{
		Requirements: []profile.Known{
			{Requirement: reports.Requirement{ID: "LAT-01", Quantile: 0.5, Measurand: "latency", MinSamples: 100}, Unit: profile.UnitTime, Load: "steady"},
			{Requirement: reports.Requirement{ID: "LAT-02", Quantile: 0.99, Measurand: "latency", MinSamples: 10}, Unit: profile.UnitTime, Load: "steady"},
			{Requirement: reports.Requirement{ID: "DEL-01", MinSamples: 1}, Unit: "messages", Load: "steady"},
			{Requirement: reports.Requirement{ID: "RIG-01", MinSamples: 1, Class: reports.Optional}, Unit: profile.UnitShare},
		},
		Loads: map[string][]string{"steady": {"rate", "window"}},
	}
}

const good = `apiVersion: plumbline/v1
kind: Profile
name: lab
version: "1"
purpose: a test
certifies: true
gates: {offered: 99.9 %, slip: 5 %, blocks: 30, minBlock: 1 s, attempts: 3, guard: 0.3 ms}
limits:
  LAT-01: {limit: 25 ms, samples: 100, source: judgement}
  LAT-02: {limit: 0.25 s, samples: 299, source: judgement}
  DEL-01: {limit: 0 messages, samples: 4603, source: judgement}
  RIG-01: {limit: 2 %, samples: 1, source: judgement}
loads:
  steady: {rate: 500 /s, window: 10 s, runs: 2, viewers: 3, devices: 5}
`

func TestParse(t *testing.T) {
	p, err := catalogue().Parse("lab.yaml", []byte(good))
	if err != nil {
		t.Fatal(err)
	}
	if p.Name != "lab" || !p.Certifies || len(p.Digest) != 64 {
		t.Errorf("head is %+v", p)
	}
	if l := p.Limits["LAT-02"]; l.Time != 250*time.Millisecond || l.Samples != 299 || l.Source != "judgement" {
		t.Errorf("LAT-02 is %+v", l)
	}
	if p.Limits["RIG-01"].Share != 0.02 {
		t.Errorf("RIG-01 is %+v", p.Limits["RIG-01"])
	}
	l := p.Loads["steady"]
	if l.Rate != 500 || l.Window != 10*time.Second || l.Burst != 1 || l.Messages() != 10_000 {
		t.Errorf("steady is %+v with %v messages", l, l.Messages())
	}
	if p.Gates.Offered != 0.999 || p.Gates.MinBlock != time.Second || p.Gates.Guard != 300*time.Microsecond {
		t.Errorf("gates are %+v", p.Gates)
	}
	if r := p.Report(); r.Name != "lab" || r.Version != "1" || r.Digest != p.Digest {
		t.Errorf("report form is %+v", r)
	}
}

func TestParseRefuses(t *testing.T) {
	for _, c := range []struct{ name, old, new, want string }{
		{"unknown key", "purpose: a test", "purpos: a test", `lab.yaml:5: unknown key "purpos"; did you mean "purpose"?`},
		{"other kind", "kind: Profile", "kind: SUT", "lab.yaml:2: kind: "},
		{"other version", "plumbline/v1", "plumbline/v9", "lab.yaml:1: apiVersion: "},
		{"no name", "name: lab", `name: ""`, "lab.yaml:3: name: must be given"},
		{"no unit", "limit: 25 ms", "limit: 25", "lab.yaml:9: limits.LAT-01.limit: "},
		{"wrong unit", "limit: 25 ms", "limit: 25 kg", `"25 kg" is not a time`},
		{"time for a count", "limit: 0 messages", "limit: 5 ms", `"5 ms" is not a number of messages`},
		{"half a message", "limit: 0 messages", "limit: 0.5 messages", "not a whole number"},
		{"zero time", "limit: 25 ms", "limit: 0 ms", "is impossible"},
		{"below U", "limit: 25 ms", "limit: 0.1 ms", "is impossible"},
		{"negative", "limit: 25 ms", "limit: -25 ms", "is impossible"},
		{"quantiles crossed", "limit: 0.25 s", "limit: 20 ms", "lab.yaml:10: limits.LAT-02.limit: 20 ms is impossible: the lower quantile of LAT-01 may take 25 ms"},
		{"too few for the rule", "samples: 299", "samples: 298", "lab.yaml:10: limits.LAT-02.samples: 298 effective samples cannot decide LAT-02; at least 299"},
		{"fewer than the catalogue", "samples: 100", "samples: 99", "at least 100"},
		{"more than the load brings", "samples: 4603", "samples: 30001", `more than load "steady" can bring (30000)`},
		{"no source", "samples: 100, source: judgement", `samples: 100, source: ""`, "limits.LAT-01.source: must be given"},
		{"unknown requirement", "  RIG-01:", "  LAT-03: {limit: 1 s, samples: 1, source: x}\n  RIG-01:", "lab.yaml:12: limits.LAT-03: the catalogue holds no such requirement; did you mean LAT-0"},
		{"missing requirement", "  LAT-01: {limit: 25 ms, samples: 100, source: judgement}\n", "", "requirement LAT-01 has no limit"},
		{"unknown load", "  steady: {", "  stedy: {", "no scenario uses this load; did you mean steady?"},
		{"missing field", "rate: 500 /s, ", "", "lab.yaml:14: loads.steady.rate: must be given"},
		{"rate without unit", "rate: 500 /s", "rate: 500", "loads.steady.rate: "},
		{"rate of hell", "rate: 500 /s", "rate: 5e9 /s", "is not between"},
		{"negative count", "devices: 5", "devices: -5", "loads.steady.devices: -5 is not between"},
		{"negative window", "window: 10 s", "window: -10 s", "is negative"},
		{"window in messages", "window: 10 s", "window: 10 messages", "is not a time"},
		{"open gate", "offered: 99.9 %", "offered: 0 %", "a gate that is always open is no gate"},
		{"loose offer", "offered: 99.9 %", "offered: 99 %", "looser than the rule"},
		{"loose slip", "slip: 5 %", "slip: 6 %", "looser than the rule"},
		{"share above one", "offered: 99.9 %", "offered: 101 %", "not between 0 % and 100 %"},
		{"many attempts", "attempts: 3", "attempts: 4", "may be repeated twice at most"},
		{"one block", "blocks: 30", "blocks: 1", "fewer than 2 blocks"},
		{"few blocks to certify", "blocks: 30", "blocks: 29", "lab.yaml:7: gates.blocks: 29 are too few to certify"},
		{"blocks crossed", "minBlock: 1 s", "minBlock: 1 s, maxBlock: 0.5 s", "gates.maxBlock: 500ms is shorter than minBlock"},
		{"share as a number", "slip: 5 %", "slip: 0.05", "gates.slip: "},
	} {
		t.Run(c.name, func(t *testing.T) {
			text := strings.Replace(good, c.old, c.new, 1)
			if text == good {
				t.Fatalf("%q does not stand in the file", c.old)
			}
			_, err := catalogue().Parse("lab.yaml", []byte(text))
			if err == nil {
				t.Fatal("accepted")
			}
			if !strings.HasPrefix(err.Error(), "profile: lab.yaml:") || !strings.Contains(err.Error(), c.want) {
				t.Fatalf("error is %q, want %q in it", err, c.want)
			}
		})
	}
}

func TestAnOptionalRequirementMayBeLeftOut(t *testing.T) {
	text := strings.Replace(good, "  RIG-01: {limit: 2 %, samples: 1, source: judgement}\n", "", 1)
	p, err := catalogue().Parse("lab.yaml", []byte(text))
	if err != nil {
		t.Fatal(err)
	}
	for _, k := range catalogue().Requirements {
		if r := k.Requirement; p.Asks(r) != (r.ID != "RIG-01") {
			t.Errorf("it asks for %s: %v", r.ID, p.Asks(r))
		}
	}
}

func TestAProfileThatNeverCertifiesMayLeaveOutAnyRequirement(t *testing.T) {
	text := strings.Replace(good, "  DEL-01: {limit: 0 messages, samples: 4603, source: judgement}\n", "", 1)
	if _, err := catalogue().Parse("lab.yaml", []byte(text)); err == nil || !strings.Contains(err.Error(), "DEL-01 has no limit") {
		t.Errorf("a profile that certifies: %v", err)
	}
	p, err := catalogue().Parse("lab.yaml", []byte(strings.Replace(text, "certifies: true", "certifies: false", 1)))
	if err != nil {
		t.Fatal(err)
	}
	for _, k := range catalogue().Requirements {
		if r := k.Requirement; p.Asks(r) != (r.ID != "DEL-01") {
			t.Errorf("it asks for %s: %v", r.ID, p.Asks(r))
		}
	}
}

func TestLoad(t *testing.T) {
	path := filepath.Join(t.TempDir(), "mine.yaml")
	if err := os.WriteFile(path, []byte(good), 0o600); err != nil {
		t.Fatal(err)
	}
	if p, err := catalogue().Load(path); err != nil || p.Name != "lab" {
		t.Errorf("loading a file gave %v, %v", p, err)
	}
	for name, want := range map[string]string{
		"smok":           `did you mean "smoke"?`,
		"./absent.yaml":  "built-in profiles are approaches, bench, building, ci, cluster, crowd, hardware, industrial, railway, smoke, soak, web",
		"somethingother": "choose one of approaches, bench, building, ci, cluster, crowd, hardware, industrial, railway, smoke, soak, web",
	} {
		if _, err := catalogue().Load(name); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("Load(%q) gave %v, want %q", name, err, want)
		}
	}
	if got := profile.Names(); !slices.Equal(got, []string{"approaches", "bench", "building", "ci", "cluster", "crowd", "hardware", "industrial", "railway", "smoke", "soak", "web"}) {
		t.Errorf("embedded profiles are %v", got)
	}
}

// The smallest sample counts of metrology 2.1, column c = 0 at 95 %.
func TestLeastSamples(t *testing.T) {
	for q, want := range map[float64]int64{0.5: 5, 0.95: 59, 0.99: 299, 0.999: 2995, 0.9999: 29956} {
		if got := profile.LeastSamples(q, 0.95); got != want {
			t.Errorf("LeastSamples(%v) = %d, want %d", q, got, want)
		}
	}
}

func FuzzParseQuantity(f *testing.F) {
	for _, s := range []string{"25 ms", "1e3µs", "-0 %", "", "ms", "1", "99.9%", "1..2 s", "+5 /s", "0x1p4 s"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		q, err := profile.ParseQuantity(s)
		if err != nil {
			return
		}
		again, err := profile.ParseQuantity(q.String())
		if err != nil || again != q {
			t.Fatalf("%q reads as %+v, which reads back as %+v, %v", s, q, again, err)
		}
	})
}

// A run has the loads of its profile; only one that does not certify may have
// been given another rate or window, and only where it had one.
func TestLoadsOfARun(t *testing.T) {
	steady := profile.Load{Rate: 500, Window: 10 * time.Second, Runs: 2, Viewers: 3, Devices: 5, Burst: 1}
	with := func(change func(*profile.Load)) map[string]profile.Load {
		l := steady
		change(&l)
		return map[string]profile.Load{"steady": l}
	}
	override := with(func(l *profile.Load) { l.Rate, l.Window = 7, time.Second })
	for name, c := range map[string]struct {
		loads          map[string]profile.Load
		certifies, not bool
	}{
		"its own":         {with(func(*profile.Load) {}), true, true},
		"another rate":    {override, false, true},
		"no rate":         {with(func(l *profile.Load) { l.Rate = 0 }), false, false},
		"an endless rate": {with(func(l *profile.Load) { l.Rate = math.Inf(1) }), false, false},
		"no window":       {with(func(l *profile.Load) { l.Window = 0 }), false, false},
		"fewer runs":      {with(func(l *profile.Load) { l.Runs = 1 }), false, false},
		"a warm-up":       {with(func(l *profile.Load) { l.WarmUp = time.Second }), false, false},
		"none":            {nil, false, false},
		"another one":     {map[string]profile.Load{"steady": steady, "storm": steady}, false, false},
	} {
		for _, certifies := range []bool{false, true} {
			p, err := catalogue().Parse("lab.yaml", []byte(strings.Replace(good, "certifies: true", fmt.Sprint("certifies: ", certifies), 1)))
			if err != nil {
				t.Fatal(err)
			}
			want := c.not
			if certifies {
				want = c.certifies
			}
			took, err := p.Took(c.loads)
			if (err == nil) != want {
				t.Errorf("%s, certifying %v: %v", name, certifies, err)
			} else if want && took.Loads["steady"] != c.loads["steady"] {
				t.Errorf("%s: %+v", name, took.Loads)
			}
		}
	}
}
