package defects

import (
	"fmt"
	"maps"
	"slices"

	"github.com/goccy/go-yaml"

	"plumbline/harness/profile"
	"plumbline/harness/spec"
)

// Defects are judged by the limits of one profile, with the loads, the sample
// counts and the number of blocks of a smaller one. attempts is how often a
// scenario may be tried in all when the machine voided it, as in ci.
const (
	limitsOf   = "ci"
	loadsOf    = "smoke"
	optionalOf = "bench"   // limits that ci leaves out, where a defect asks for them
	severalOf  = "cluster" // of several bridges
	attempts   = 3
)

// ofLatency are the requirements that only the scenario steady judges and that a
// busy machine leaves open. Where none of them is in question they are not asked:
// a gate of theirs would void, and have repeated, what the others have decided.
var ofLatency = []string{"LAT-01", "LAT-02", "LAT-03", "LAT-04", "LAT-09"}

// wholeLoads are those of requirements for which only the larger profile has
// sample counts.
var wholeLoads = []string{"storm", "refill", "stall"}

// Profile returns what the defect is judged by.
func (d Defect) Profile() (*profile.Profile, error) { return d.asked().profile() }

// asks are what the profile of a trial differs in.
type asks struct {
	loads  map[string]map[string]any
	limits map[string]string
	named  []string // the requirements in question; empty for all
	clock  bool     // the wall clock of the system can be stepped as one
	extend bool     // go on for want of samples: a PASS takes them, a FAIL does not
}

// extensions are how often, at most, the loads on which quantiles are judged go on
// for want of effective samples: a machine that stands still for a fifth of a second
// now and then leaves a hundred of 44 000.
var extensions = map[string]int{"steady": 4, "connect": 4}

// lengthen lets loads go on for want of samples.
func (a asks) lengthen(loads map[string]any) {
	for name, most := range extensions {
		if a.extend {
			group(loads, name)["extend"] = most
		}
	}
}

// profile returns the profile with other loads and limits over its own.
// Requirements and loads that come to the catalogue later come along.
func (a asks) profile() (*profile.Profile, error) {
	all, err := read(limitsOf)
	if err != nil {
		return nil, err
	}
	small, err := read(loadsOf)
	if err != nil {
		return nil, err
	}
	whole := map[string]any{}
	for _, name := range wholeLoads {
		whole[name] = group(all, "loads")[name]
	}
	for _, name := range []string{"gates", "limits", "loads"} {
		maps.Copy(group(all, name), group(small, name))
	}
	maps.Copy(group(all, "loads"), whole)
	group(group(all, "loads"), "badlines")["hold"] = "400 ms" // for each of its faults to meet something
	all["name"], all["certifies"], all["purpose"] = "prove", false, "What it takes to detect one seeded defect. Never certifies."
	group(all, "gates")["attempts"] = attempts
	a.lengthen(group(all, "loads"))
	for name, fields := range a.loads {
		own := group(group(all, "loads"), name)
		if len(own) == 0 {
			return nil, fmt.Errorf("defects: profile %s has no load %q", limitsOf, name)
		}
		maps.Copy(own, fields)
	}
	if err := a.tighten(group(all, "limits")); err != nil {
		return nil, err
	}
	for _, id := range ofLatency {
		// The drift is a share of the limit of LAT-02.
		needed := slices.Contains(a.named, id) || (id == "LAT-02" && slices.Contains(a.named, "LAT-09"))
		if len(a.named) > 0 && !needed {
			delete(group(all, "limits"), id)
		}
	}
	if len(a.named) == 0 {
		delete(group(all, "limits"), "LAT-03") // the smaller loads are too short for it
	}
	if !a.clock {
		delete(group(all, "limits"), "RES-06") // a relay and a bridge whose clocks part are no system of anybody
	}
	text, err := yaml.Marshal(all)
	if err != nil {
		return nil, fmt.Errorf("defects: profile: %w", err)
	}
	return spec.Catalogue().Parse("prove.yaml", text)
}

// tighten sets the limits asked for. One that the profile lacks comes from those
// of optional parts or of several bridges.
func (a asks) tighten(limits map[string]any) error {
	large, err := read(optionalOf)
	if err != nil {
		return err
	}
	several, err := read(severalOf)
	if err != nil {
		return err
	}
	for id, limit := range a.limits {
		own := group(limits, id)
		for _, other := range []map[string]any{large, several} {
			if len(own) == 0 {
				own = group(group(other, "limits"), id)
				limits[id] = own
			}
		}
		if len(own) == 0 {
			return fmt.Errorf("defects: none of the profiles %s, %s and %s has a limit for %q", limitsOf, optionalOf, severalOf, id)
		}
		if own["limit"] != limit {
			own["limit"], own["source"] = limit, "judgement: below the defect, which is none at the limit of the profile"
		}
		if id == "LAT-09" {
			own["samples"] = 1 // it counts runs
		}
	}
	return nil
}

// group returns the group of that name, an empty one when there is none.
func group(of map[string]any, name string) map[string]any {
	if m, ok := of[name].(map[string]any); ok {
		return m
	}
	return map[string]any{}
}

// read returns an embedded profile as it was written.
func read(name string) (map[string]any, error) {
	p, err := spec.Catalogue().Load(name)
	if err != nil {
		return nil, err
	}
	var all map[string]any
	if err := yaml.Unmarshal(p.Source, &all); err != nil {
		return nil, fmt.Errorf("defects: profile %s: %w", name, err)
	}
	return all, nil
}
