// Package profile holds the named sets of limits and loads that a run is
// judged against. Embedded are smoke and ci for every day, hardware for serial devices,
// approaches to set ways to bring readings side by side, cluster and crowd for several bridges, bench
// and soak for a quiet machine, and railway, industrial, building and web for a trade; others are
// files.
//
// Every limit carries its unit and its source. A profile is checked against
// the requirement catalogue before anything runs, so that a limit which no run
// could meet, or no sample count could decide, is an error of the user's file
// with its line and not a verdict.
package profile

import (
	"crypto/sha256"
	"embed"
	"encoding/hex"
	"fmt"
	"os"
	"slices"
	"strings"
	"time"

	"plumbline/harness/strictyaml"
	"plumbline/reports"
)

// Default is the profile that is used when none is named.
const Default = "ci"

//go:embed profiles/*.yaml
var embedded embed.FS

// MaxRate is the largest rate of a load, in messages per second.
const MaxRate = 1e6

// Profile is a checked profile. Treat it as read-only.
type Profile struct {
	Name      string
	Version   string
	Purpose   string
	Certifies bool
	Digest    string           // SHA-256 of the file as it was read, in hex
	Source    []byte           // the file as it was read
	Limits    map[string]Limit // by requirement; some may be absent, see Asks
	Loads     map[string]Load
	Gates     Gates
}

// Asks reports whether the profile asks for a requirement. One that it gives no
// limit is not asked for, so it is neither tried nor reported; a profile that
// certifies may leave out optional ones only.
func (p *Profile) Asks(r reports.Requirement) bool {
	_, given := p.Limits[r.ID]
	return given || (p.Certifies && r.Class != reports.Optional)
}

// Limit is what one requirement is judged against.
type Limit struct {
	Value   Quantity
	Time    time.Duration // Value as a time; 0 for counts
	Count   int64         // Value as a count, for requirements that count
	Share   float64       // Value as a fraction, for requirements in %
	Samples int64         // least effective sample count of this profile
	Source  string        // standard or document, or "judgement"
}

// Load is what a scenario does to the system under test. A scenario uses the
// fields that concern it; the catalogue of scenarios says which must be set.
type Load struct {
	Runs    int           `json:"runs,omitempty"`       // independent runs, each with a fresh system under test
	Extend  int           `json:"extend,omitempty"`     // further runs, or as many cycles again, at most, while effective samples are too few
	Devices int           `json:"devices,omitempty"`    //
	Rate    float64       `json:"rate_per_s,omitempty"` // messages per second over all devices
	Viewers int           `json:"viewers,omitempty"`    //
	Burst   int           `json:"burst,omitempty"`      // messages per micro-burst; 1 is none
	WarmUp  time.Duration `json:"warm_up_ns,omitempty"` // sent, not judged
	Window  time.Duration `json:"window_ns,omitempty"`  // judged
	Drain   time.Duration `json:"drain_ns,omitempty"`   // longest wait for what is still on its way
	Cycles  int           `json:"cycles,omitempty"`     // repetitions of a fault
	Hold    time.Duration `json:"hold_ns,omitempty"`    // how long a fault holds
}

// Took returns p with the loads of a run in the place of its own. A run keeps the
// loads of its profile; where that does not certify, the command line may give
// every load that has a rate or a window another one. What differs else is an error.
func (p *Profile) Took(loads map[string]Load) (*Profile, error) {
	for name := range loads {
		if _, known := p.Loads[name]; !known {
			return nil, fmt.Errorf("load %q is none of the profile %q", name, p.Name)
		}
	}
	for name, own := range p.Loads {
		l := loads[name]
		if !p.Certifies && own.Rate > 0 && l.Rate > 0 && l.Rate <= MaxRate {
			own.Rate = l.Rate
		}
		if !p.Certifies && own.Window > 0 && l.Window > 0 {
			own.Window = l.Window
		}
		if l != own {
			return nil, fmt.Errorf("load %q is %+v, in the profile %q it is %+v", name, l, p.Name, p.Loads[name])
		}
	}
	taken := *p
	taken.Loads = loads
	return &taken, nil
}

// Gates are the validity gates that a run must keep for its figures to count.
type Gates struct {
	Offered   float64       // least share of the schedule that must have been sent
	Slip      float64       // p99 of the send slip may be this share of the limit
	Blocks    int           // least number of time blocks for the variance factor
	MinBlock  time.Duration // least length of a block
	MaxBlock  time.Duration // most length of a block, for profiles with little time; 0 is no bound
	Steady    bool          // test for drift; needs runs long enough to show one
	Attempts  int           // at a scenario in all, when a gate voids one; 1 … 3
	Guard     time.Duration // U: expanded systematic uncertainty (k = 2)
	GuardNote string        // where U comes from
	Reference time.Duration // delay of the reference bridge that the rig is calibrated with before and after a run; 0 is no calibration
}

// Units of a limit besides the plurals that counts are written with.
const (
	UnitTime  = "time"
	UnitShare = "%"
)

// Known is what the catalogue knows about one requirement.
type Known struct {
	Requirement reports.Requirement
	Unit        string // UnitTime, UnitShare or the plural that a count is written with: "messages"
	Load        string // the load whose size decides the sample count; "" for none
}

// Catalogue tells a profile which names exist.
type Catalogue struct {
	Requirements []Known
	Loads        map[string][]string // load name → fields that must be set, for example "rate", or above a number, "devices>1"
}

// Names returns the embedded profiles in alphabetical order.
func Names() []string {
	entries, err := embedded.ReadDir("profiles")
	if err != nil {
		return nil // the folder is compiled in; it cannot be absent
	}
	var names []string
	for _, e := range entries {
		names = append(names, strings.TrimSuffix(e.Name(), ".yaml"))
	}
	slices.Sort(names)
	return names
}

// Load reads the embedded profile of that name, or the file at that path when
// it ends in .yaml or .yml or holds a path separator, and checks it.
// Errors name file and line.
func (c Catalogue) Load(nameOrPath string) (*Profile, error) {
	if isPath(nameOrPath) {
		data, err := os.ReadFile(nameOrPath)
		if err != nil {
			return nil, fmt.Errorf("profile: %w; built-in profiles are %s", err, strings.Join(Names(), ", "))
		}
		return c.Parse(nameOrPath, data)
	}
	data, err := embedded.ReadFile("profiles/" + nameOrPath + ".yaml")
	if err != nil {
		message := fmt.Sprintf("profile: no profile is called %q; choose one of %s, or give the path of a file", nameOrPath, strings.Join(Names(), ", "))
		if near := strictyaml.Nearest(nameOrPath, Names()); near != "" {
			message += fmt.Sprintf(" (did you mean %q?)", near)
		}
		return nil, fmt.Errorf("%s", message)
	}
	return c.Parse(nameOrPath+".yaml", data)
}

func isPath(s string) bool {
	return strings.ContainsAny(s, `/\`) || strings.HasSuffix(s, ".yaml") || strings.HasSuffix(s, ".yml")
}

// Parse reads and checks a profile; file is used in errors.
func (c Catalogue) Parse(file string, data []byte) (*Profile, error) {
	var raw rawProfile
	doc, err := strictyaml.Decode(file, data, &raw)
	if err != nil {
		return nil, fmt.Errorf("profile: %w", err)
	}
	sum := sha256.Sum256(data)
	p := &Profile{
		Name: raw.Name, Version: raw.Version, Purpose: raw.Purpose, Certifies: raw.Certifies,
		Digest: hex.EncodeToString(sum[:]), Source: slices.Clone(data),
		Limits: map[string]Limit{}, Loads: map[string]Load{},
	}
	k := checker{doc: doc, catalogue: c, raw: &raw, profile: p}
	if err := k.run(); err != nil {
		return nil, fmt.Errorf("profile: %w", err)
	}
	return p, nil
}

// Report returns the form that is printed in a run.
func (p *Profile) Report() reports.Profile {
	return reports.Profile{Name: p.Name, Version: p.Version, Digest: p.Digest, Purpose: p.Purpose}
}

// Messages returns how many messages the judged windows of the load hold.
func (l Load) Messages() float64 {
	return l.Rate * l.Window.Seconds() * float64(max(l.Runs, 1))
}
