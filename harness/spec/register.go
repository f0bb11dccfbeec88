package spec

import (
	"context"
	"errors"
	"fmt"
	"regexp"
	"slices"
	"strings"
	"time"

	"github.com/onsi/ginkgo/v2/types"

	"plumbline/harness"
	"plumbline/harness/profile"
	"plumbline/reports"
)

// Tiers of a scenario, printed as labels.
const (
	TierCore  = "tier:core"  // judges guarantees of the system under test
	TierCheck = "tier:check" // judges the harness itself
)

// Drive is what a scenario does to the live system. It judges nothing: what it
// sees is in the records of the benches it opens, or is handed on with
// Trial.Keep. ctx ends with the time limit of the scenario, an interrupt or the
// end of Options' context.
type Drive func(ctx context.Context, t *Trial)

// Judge turns what a drive left in the run directory into verdicts. It is
// called when the drive has come to its end and everything it opened has been
// closed, and once more whenever somebody judges the stored run again. It must be a
// pure function of the Case: no clock, no random numbers but from its seed, no
// live system, no state, no Gomega.
type Judge func(c *Case)

// Scenario describes one experiment. Its ID names the folder of its records
// and is never re-used.
type Scenario struct {
	ID           string        // lower case letters, digits and dashes
	Title        string        // what it shows, as a sentence without a full stop
	Requirements []string      // what it judges; every one must get a result
	Loads        []string      // loads of the profile that it uses
	Needs        string        // capability without which it is not done and nothing that it judges applies; "": each requirement by its own
	Labels       []string      // beside the ones that follow from ID and Requirements
	Tier         string        // "" means TierCore
	Timeout      time.Duration // 0 means what its loads take, doubled, plus two minutes
	Faults       int           // that a cycle of its loads holds one after the other; 0 means one
	Declared     bool          // opens the declared devices; the others use a simulated fleet
	Apart        harness.Apart // where its viewers may be
	Drive        Drive
	Judge        Judge

	guarantee string
}

// Guarantee returns the text of the description that the scenario stands in.
func (s Scenario) Guarantee() string { return s.guarantee }

// AllLabels returns every label, sorted: the scenario's id, the families
// ("LAT"), "req:LAT-02" for each requirement, the tier and its own.
func (s Scenario) AllLabels() []string {
	labels := append([]string{s.ID, s.Tier}, s.Labels...)
	for _, id := range s.Requirements {
		labels = append(labels, "req:"+id, reports.Requirement{ID: id}.Family())
	}
	slices.Sort(labels)
	return slices.Compact(labels)
}

// Suite hands the rig to a description and takes its scenarios.
type Suite struct {
	Rig       *harness.Rig
	guarantee string
	scenarios []Scenario
}

// Scenario adds a scenario.
func (s *Suite) Scenario(sc Scenario) {
	sc.guarantee = s.guarantee
	if sc.Tier == "" {
		sc.Tier = TierCore
	}
	s.scenarios = append(s.scenarios, sc)
}

// description is one file of scenarios that registered.
type description struct {
	guarantee string
	body      func(*Suite)
}

// registry is filled at init, before main or any test runs, and only read
// afterwards. It is the one registry of the module: a scenario is an ordinary
// Go file that is linked in or is not.
var registry struct {
	descriptions []description
	known        []profile.Known
	loads        map[string][]string
}

// Describe registers the scenarios of one guarantee. Call it from a package
// variable: var _ = spec.Describe("Delivery", func(s *spec.Suite) { … }).
func Describe(guarantee string, body func(*Suite)) bool {
	registry.descriptions = append(registry.descriptions, description{guarantee, body})
	return true
}

// Require registers the requirement catalogue and the loads that scenarios
// use, each with the fields that a profile must set.
func Require(known []profile.Known, loads map[string][]string) bool {
	registry.known = append(registry.known, known...)
	if registry.loads == nil {
		registry.loads = map[string][]string{}
	}
	for name, fields := range loads {
		registry.loads[name] = fields
	}
	return true
}

// Catalogue returns all registered requirements by id, and all loads. It also
// loads profiles: spec.Catalogue().Load("ci").
func Catalogue() profile.Catalogue {
	known := slices.Clone(registry.known)
	slices.SortFunc(known, func(a, b profile.Known) int {
		return strings.Compare(order(a.Requirement.ID), order(b.Requirement.ID))
	})
	return profile.Catalogue{Requirements: known, Loads: registry.loads}
}

// order sorts families the way a reader expects, the harness's own last.
func order(id string) string {
	families := []string{"LAT", "DEL", "ORD", "INT", "STA", "REC", "SEC", "RES", "PRO", "RIG"}
	family := reports.Requirement{ID: id}.Family()
	return fmt.Sprintf("%02d%s", slices.Index(families, family)+1, id)
}

// Requirement returns the registered requirement of that id.
func Requirement(id string) (profile.Known, bool) {
	for _, k := range registry.known {
		if k.Requirement.ID == id {
			return k, true
		}
	}
	return profile.Known{}, false
}

var (
	scenarioID = regexp.MustCompile(`^[a-z][a-z0-9-]*$`)
	numbered   = regexp.MustCompile(`-[0-9]+$`) // as the folders of repetitions are
)

// Bind asks every description for its scenarios and checks them against the
// catalogue: ids are unique, requirements and loads exist, nothing is judged
// by nobody. It leaves out scenarios of which the profile of the rig asks for no
// requirement. The rig may be one that never starts anything. Errors are faults
// of the scenarios, not of their user.
func Bind(rig *harness.Rig) ([]Scenario, error) {
	var all []Scenario
	for _, d := range registry.descriptions {
		s := &Suite{Rig: rig, guarantee: d.guarantee}
		d.body(s)
		all = append(all, s.scenarios...)
	}
	slices.SortStableFunc(all, func(a, b Scenario) int { return strings.Compare(rank(a), rank(b)) })
	if err := check(all); err != nil {
		return nil, err
	}
	asked := func(id string) bool { return asks(rig.Profile(), id) }
	return slices.DeleteFunc(all, func(s Scenario) bool { return !slices.ContainsFunc(s.Requirements, asked) }), nil
}

// asks reports whether a profile asks for the requirement of that id.
func asks(p *profile.Profile, id string) bool {
	known, found := Requirement(id)
	return !found || p.Asks(known.Requirement)
}

// rank puts the scenarios in the order in which they run: by the first
// requirement they judge, checks of the harness first.
func rank(s Scenario) string {
	if s.Tier == TierCheck {
		return "0"
	}
	if len(s.Requirements) == 0 {
		return "2"
	}
	return "1" + order(s.Requirements[0])
}

func check(all []Scenario) error {
	var errs []error
	fault := func(format string, args ...any) { errs = append(errs, fmt.Errorf("spec: "+format, args...)) }
	seen, judged := map[string]bool{}, map[string]bool{}
	for _, s := range all {
		if !scenarioID.MatchString(s.ID) || numbered.MatchString(s.ID) || seen[s.ID] {
			fault("scenario id %q is empty, malformed, ends in a number like a repetition, or is used twice", s.ID)
		}
		seen[s.ID] = true
		if s.Drive == nil || s.Judge == nil {
			fault("scenario %q lacks its Drive or its Judge", s.ID)
		}
		if len(s.Requirements) == 0 {
			fault("scenario %q judges nothing", s.ID)
		}
		for _, id := range s.Requirements {
			if _, known := Requirement(id); !known {
				fault("scenario %q judges %q, which the catalogue does not hold", s.ID, id)
			}
			judged[id] = true
		}
		for _, load := range s.Loads {
			if _, known := registry.loads[load]; !known {
				fault("scenario %q uses load %q, which the catalogue does not hold", s.ID, load)
			}
		}
	}
	checkLabels(all, seen, fault)
	once := map[string]bool{}
	for _, k := range registry.known {
		id := k.Requirement.ID
		if once[id] {
			fault("requirement %q is registered twice", id)
		}
		once[id] = true
		if !judged[id] {
			fault("no scenario judges requirement %q", id)
		}
	}
	return errors.Join(errs...)
}

// checkLabels refuses labels that Ginkgo would end the process for, and those
// that are the id of another scenario: a filter, and the report, would take the
// one for the other.
func checkLabels(all []Scenario, ids map[string]bool, fault func(format string, args ...any)) {
	for _, s := range all {
		for _, label := range s.AllLabels() {
			if _, err := types.ValidateAndCleanupLabel(label, types.CodeLocation{}); err != nil {
				fault("scenario %q has the label %q, which is empty or holds one of & | ! , ( ) /", s.ID, label)
			} else if ids[label] && label != s.ID {
				fault("scenario %q has the label %q, which is the id of another scenario", s.ID, label)
			}
		}
	}
}
