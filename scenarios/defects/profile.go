package defects

import (
	"fmt"
	"maps"

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
	optionalOf = "bench" // limits that ci leaves out, where a defect asks for them
	attempts   = 3
)

// Profile returns what the defect is judged by.
func (d Defect) Profile() (*profile.Profile, error) { return profileOf(d.Loads, d.Limits) }

// profileOf returns that profile with other loads and limits over its own.
// Requirements and loads that come to the catalogue later come along.
func profileOf(loads map[string]map[string]any, limits map[string]string) (*profile.Profile, error) {
	all, err := read(limitsOf)
	if err != nil {
		return nil, err
	}
	small, err := read(loadsOf)
	if err != nil {
		return nil, err
	}
	for _, name := range []string{"gates", "limits", "loads"} {
		maps.Copy(group(all, name), group(small, name))
	}
	all["name"], all["certifies"], all["purpose"] = "prove", false, "What it takes to detect one seeded defect. Never certifies."
	group(all, "gates")["attempts"] = attempts
	for name, fields := range loads {
		own := group(group(all, "loads"), name)
		if len(own) == 0 {
			return nil, fmt.Errorf("defects: profile %s has no load %q", limitsOf, name)
		}
		maps.Copy(own, fields)
	}
	large, err := read(optionalOf)
	if err != nil {
		return nil, err
	}
	for id, limit := range limits {
		own := group(group(all, "limits"), id)
		if len(own) == 0 {
			own = group(group(large, "limits"), id)
			group(all, "limits")[id] = own
		}
		if len(own) == 0 {
			return nil, fmt.Errorf("defects: neither profile %s nor %s has a limit for %q", limitsOf, optionalOf, id)
		}
		own["limit"], own["source"] = limit, "judgement: below the defect, which is none at the limit of the profile"
	}
	text, err := yaml.Marshal(all)
	if err != nil {
		return nil, fmt.Errorf("defects: profile: %w", err)
	}
	return spec.Catalogue().Parse("prove.yaml", text)
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
