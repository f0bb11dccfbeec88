package spec

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"time"

	"plumbline/harness"
	"plumbline/harness/profile"
	"plumbline/harness/record"
	"plumbline/harness/stats"
	"plumbline/reports"
)

// Files of a run directory that say under which conditions the run was made.
const (
	configFolder   = "config"
	conditionsFile = "run.json"
	profileFile    = "profile.yaml" // byte for byte as it was read
)

const conditionsFormat = "plumbline.run/v1"

// Conditions are what a verdict takes besides the evidence: who was judged, by
// which limits and rule, and what was selected.
type Conditions struct {
	Format      string                  `json:"format"`
	Run         string                  `json:"run"`
	Started     time.Time               `json:"started"`
	Seed        uint64                  `json:"seed"`
	Command     string                  `json:"command"`        // what "how to repeat it" starts with
	Profile     string                  `json:"profile"`        // as it is named on a command line
	Digest      string                  `json:"profile_sha256"` // of config/profile.yaml
	Loads       map[string]profile.Load `json:"loads"`          // as applied: the command line may change those of the profile
	LabelFilter string                  `json:"label_filter"`
	Scenarios   []string                `json:"scenarios"` // that were selected, in their order
	SUT         reports.SUT             `json:"sut"`       // as it is declared; capabilities decide what applies
	Deviations  []reports.Deviation     `json:"deviations"`
	Rule        string                  `json:"rule"` // the decision rule with its constants
	RuleDigest  string                  `json:"rule_sha256"`
	Catalogue   string                  `json:"catalogue_sha256"` // of all requirements
	Interrupted bool                    `json:"interrupted"`
	Generator   string                  `json:"generator,omitempty"`   // where the load came from: harness.OwnProcess or harness.WithinHarness
	Calibration *Calibration            `json:"calibration,omitempty"` // at the reference of the profile, if it has one
}

// conditionsOf returns the conditions that a rig gives.
func conditionsOf(rig *harness.Rig, command string) *Conditions {
	if command == "" {
		command = "plumbline run"
	}
	p := rig.Profile()
	return &Conditions{
		Format: conditionsFormat, Seed: rig.Seed(), Command: command, Profile: rig.ProfileArgument(), Digest: p.Digest, Loads: p.Loads,
		SUT: rig.SUTInfo(), Rule: stats.RuleText(), RuleDigest: ruleDigest(), Catalogue: catalogueDigest(),
		Generator: rig.Generator(),
	}
}

func ruleDigest() string { return digestOf([]byte(stats.RuleText())) }

// catalogueDigest is of everything that the catalogue says about requirements.
func catalogueDigest() string {
	text, err := json.Marshal(Catalogue().Requirements)
	if err != nil {
		return "" // strings and numbers always encode
	}
	return digestOf(text)
}

func digestOf(text []byte) string {
	sum := sha256.Sum256(text)
	return hex.EncodeToString(sum[:])
}

// write puts the conditions into a run directory, or replaces them there.
func (c *Conditions) write(dir string) error {
	text, err := json.MarshalIndent(c, "", " ")
	if err != nil {
		return fmt.Errorf("spec: conditions of the run: %w", err)
	}
	return os.WriteFile(filepath.Join(dir, configFolder, conditionsFile), append(text, '\n'), 0o644) //nolint:gosec // G306: a run directory is for others to read
}

// begin keeps conditions and profile before anything runs.
func (c *Conditions) begin(dir string, p *profile.Profile) error {
	folder := filepath.Join(dir, configFolder)
	if err := os.MkdirAll(folder, 0o755); err != nil { //nolint:gosec // G301: likewise
		return err
	}
	if err := os.WriteFile(filepath.Join(folder, profileFile), p.Source, 0o644); err != nil { //nolint:gosec // G306: likewise
		return err
	}
	return c.write(dir)
}

// ReadConditions reads the conditions that a run directory holds. They are what
// the run says of itself; nothing is compared with them.
func ReadConditions(dir string) (*Conditions, error) {
	text, err := record.ReadPlain(filepath.Join(dir, configFolder, conditionsFile), maxFacts)
	if err != nil {
		return nil, fmt.Errorf("spec: conditions of the run: %w", err)
	}
	c := &Conditions{}
	err = decodeStrictly(text, c)
	var head struct {
		Format string `json:"format"`
	}
	// The format first: a newer one may have members that this program does not know.
	if json.Unmarshal(text, &head) == nil && head.Format != conditionsFormat {
		return nil, fmt.Errorf("spec: %s/%s has format %.100q, this program reads %q", configFolder, conditionsFile, head.Format, conditionsFormat)
	}
	if err != nil {
		return nil, fmt.Errorf("spec: %s/%s is damaged: %w", configFolder, conditionsFile, err)
	}
	return c, nil
}

// readConditions reads conditions and profile of a run directory. The profile
// must be the one whose digest the conditions name.
func readConditions(dir string) (*Conditions, *profile.Profile, error) {
	c, err := ReadConditions(dir)
	if err != nil {
		return nil, nil, err
	}
	name := filepath.Join(dir, configFolder, profileFile)
	text, err := record.ReadPlain(name, maxFacts)
	if err != nil {
		return nil, nil, fmt.Errorf("spec: profile of the run: %w", err)
	}
	if have := digestOf(text); have != c.Digest {
		return nil, nil, fmt.Errorf("spec: %s/%s is not the profile that was judged by: its SHA-256 is %s, %s names %s",
			configFolder, profileFile, have, conditionsFile, c.Digest)
	}
	p, err := Catalogue().Parse(name, text)
	if err != nil {
		return nil, nil, fmt.Errorf("spec: the profile does not fit the catalogue of this version: %w", err)
	}
	if p, err = p.Took(c.Loads); err != nil {
		return nil, nil, fmt.Errorf("spec: %s/%s is not of a run by this profile: %w", configFolder, conditionsFile, err)
	}
	return c, p, nil
}

// has reports whether the system under test claims the capability.
func (c *Conditions) has(capability string) bool {
	return slices.Contains(c.SUT.Capabilities, capability)
}

// reproduce returns the command line that repeats one scenario, to be pasted
// into a shell: the path of a profile may hold anything.
func (c *Conditions) reproduce(scenario string) string {
	return fmt.Sprintf("%s --profile %s --seed %d --label-filter %s", c.Command, Quote(c.Profile), c.Seed, scenario)
}

// lacks returns the capability that the system under test lacks for a requirement
// to be asked by a scenario; "" when it lacks none.
func (c *Conditions) lacks(sc Scenario, id string) string {
	known, _ := Requirement(id) // Bind has checked it
	return lacks(sc, known.Requirement, c.has)
}

// lacks returns the first capability that a requirement, or else the scenario
// that asks for it, needs and that has does not report; "" for none.
func lacks(sc Scenario, r reports.Requirement, has func(capability string) bool) string {
	for _, capability := range []string{r.Capability, sc.Needs} {
		if capability != "" && !has(capability) {
			return capability
		}
	}
	return ""
}
