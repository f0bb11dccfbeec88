package reports

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"
)

// SchemaVersion is the version of the JSON form of a Run.
const SchemaVersion = "plumbline.run/v1"

// Mode says what a device really was. A report never mixes them silently.
type Mode string

// The modes of a device.
const (
	ModeSim    Mode = "sim"    // a twin: computed values
	ModeReplay Mode = "replay" // a recording of a real device
	ModeReal   Mode = "real"   // the device itself
)

// Run is everything a report says about one run.
type Run struct {
	Schema       string            `json:"schema"`
	ID           string            `json:"id"`
	Started      time.Time         `json:"started"`
	Finished     time.Time         `json:"finished"`
	Profile      Profile           `json:"profile"`
	Certifying   bool              `json:"certifying"`            // nothing deselected, profile may certify
	Uncertified  string            `json:"uncertified,omitempty"` // why there is no certificate though the run earned one; "" when there is or it did not
	Deselected   *Deselection      `json:"deselected,omitempty"`  // nil when everything that the profile asks for was run
	Seed         uint64            `json:"seed"`
	Tool         Tool              `json:"tool"`
	SUT          SUT               `json:"sut"`
	Devices      []Device          `json:"devices"`
	Environment  map[string]string `json:"environment"`
	Requirements []Requirement     `json:"requirements"`
	Results      []Result          `json:"results"`
	Latencies    []Distribution    `json:"latencies"`
	Timelines    []Timeline        `json:"timelines"`
	Hops         []Hop             `json:"hops"`
	Integrity    []Integrity       `json:"integrity"`
	Rasters      []Raster          `json:"rasters,omitempty"`
	Recoveries   []Recovery        `json:"recoveries,omitempty"`
	Resources    []Resources       `json:"resources,omitempty"`
	Comparisons  []Comparison      `json:"comparisons,omitempty"`
	Rig          RigHealth         `json:"rig"`
	Uncertainty  *Uncertainty      `json:"uncertainty,omitempty"` // nil: only Rig.Uncertainty is known
	Gates        []Gate            `json:"gates,omitempty"`
	Deviations   []Deviation       `json:"deviations"`
	Evidence     []Evidence        `json:"evidence"`          // of the run directory, without summary and reports
	Partial      string            `json:"partial,omitempty"` // why the run is not whole; "" when it is
	Overall      Verdict           `json:"overall"`
}

// Deselection is what the user left out of a run. Such a run is judged by what
// was selected, says nothing about the rest and never certifies.
type Deselection struct {
	Filter       string        `json:"filter"`       // by which was selected, in the language of --label-filter
	Scenarios    []string      `json:"scenarios"`    // ids of those that were left out
	Requirements []Requirement `json:"requirements"` // that none but those judge; they are not in Run.Requirements
}

// Profile names the limits and loads that were used.
type Profile struct {
	Name    string `json:"name"`
	Version string `json:"version"`
	Digest  string `json:"sha256"`
	Purpose string `json:"purpose"`
}

// Tool identifies the harness that judged.
type Tool struct {
	Name    string `json:"name"`
	Version string `json:"version"`
	Commit  string `json:"commit,omitempty"`
	Digest  string `json:"sha256,omitempty"` // of the executable
}

// SUT identifies the system under test.
type SUT struct {
	Name         string     `json:"name"`
	Version      string     `json:"version,omitempty"`
	Description  string     `json:"description,omitempty"`
	Artifacts    []Evidence `json:"artifacts"` // executables and configuration, by digest
	Capabilities []string   `json:"capabilities"`
}

// Device is one source of samples that took part.
type Device struct {
	ID      string `json:"id"`
	Kind    string `json:"kind"` // driver, for example "nmea0183"
	Mode    Mode   `json:"mode"`
	Detail  string `json:"detail,omitempty"` // model, port, recording
	Tier    int    `json:"tier,omitempty"`   // of the virtual bench: 1 a pseudo terminal, 2 firmware on an emulated board, 3 a kernel's drivers; 0 for what is not of it
	Time    string `json:"time,omitempty"`   // of a device of the virtual bench: "live" or "fast-forward"
	Damaged uint64 `json:"damaged"`          // frames that failed their own check and were not published
}

// Place says where in the virtual bench a device stands and how its time passes,
// such as "tier 2, fast-forward"; "" for one that is not of it.
func (d Device) Place() string {
	switch {
	case d.Tier == 0:
		return ""
	case d.Time == "":
		return fmt.Sprintf("tier %d", d.Tier)
	}
	return fmt.Sprintf("tier %d, %s", d.Tier, d.Time)
}

// Tiers returns the places of the virtual bench at which devices of the run stand,
// sorted; none for a run without such devices.
func (r *Run) Tiers() []string {
	seen := map[string]bool{}
	for _, d := range r.Devices {
		if place := d.Place(); place != "" {
			seen[place] = true
		}
	}
	return slices.Sorted(maps.Keys(seen))
}

// Places names the devices at each of Tiers, for example "tier 1, live: gps,
// meter"; "none of the virtual bench" without any. Live latency of runs whose
// places differ is not to be compared.
func (r *Run) Places() string {
	var parts []string
	for _, place := range r.Tiers() {
		var names []string
		for _, d := range r.Devices {
			if d.Place() == place {
				names = append(names, d.ID)
			}
		}
		parts = append(parts, place+": "+strings.Join(names, ", "))
	}
	if len(parts) == 0 {
		return "none of the virtual bench"
	}
	return strings.Join(parts, "; ")
}

// Result is the judgement of one requirement by one scenario.
type Result struct {
	Requirement string        `json:"requirement"`
	Scenario    string        `json:"scenario"`
	Verdict     Verdict       `json:"verdict"`
	Reason      Reason        `json:"reason,omitempty"`
	Sentence    string        `json:"sentence"` // the full statement, ready to print
	Headline    string        `json:"headline"` // figure against limit in a few words
	Measurement *Measurement  `json:"measurement,omitempty"`
	Findings    []Finding     `json:"findings,omitempty"`
	Started     time.Time     `json:"started"`
	Duration    time.Duration `json:"duration_ns"`
	Attempt     int           `json:"attempt"` // from 1
	Procedure   []string      `json:"procedure,omitempty"`
	Reproduce   string        `json:"reproduce"` // the command that repeats it
}

// Measurement is the figure behind a verdict, with everything needed to check
// the decision by hand (rule DR-2 and the zero-event rule).
type Measurement struct {
	Name       string  `json:"name"`
	Unit       string  `json:"unit"`
	Estimate   Float   `json:"estimate"`
	Lower      Float   `json:"lower"` // one-sided bound at Confidence; NaN when it does not exist
	Upper      Float   `json:"upper"`
	Confidence float64 `json:"confidence"`
	Limit      Float   `json:"limit"`
	Guard      float64 `json:"guard"` // expanded systematic uncertainty U (k=2), in Unit
	Bias       float64 `json:"bias"`  // rig bias at the quantile, in Unit
	Quantile   float64 `json:"quantile,omitempty"`
	N          int64   `json:"n"`
	NEff       int64   `json:"n_eff"`
	VIF        float64 `json:"vif"`
	Events     int64   `json:"events"`         // violations, for zero-event rules
	ExceedPass int64   `json:"exceed_pass"`    // X_P: samples above Limit-Guard
	Allowed    int64   `json:"allowed"`        // c
	ExceedFail int64   `json:"exceed_fail"`    // X_F: samples above Limit+Guard+Bias
	Reject     int64   `json:"reject"`         // r
	Runs       []Float `json:"runs,omitempty"` // the estimate of each independent run
}

// Finding is one observed violation or remark, with its evidence.
type Finding struct {
	Requirement string        `json:"requirement"`
	Kind        string        `json:"kind"`    // lost, duplicate, reordered, corrupt, phantom, …
	Subject     string        `json:"subject"` // device, viewer or connection
	Detail      string        `json:"detail"`
	Seq         uint64        `json:"seq,omitempty"`
	At          time.Duration `json:"at_ns"` // on the run clock
	Confirmed   bool          `json:"confirmed"`
	Context     []string      `json:"context,omitempty"`  // records around it
	Evidence    string        `json:"evidence,omitempty"` // file in the run directory
}

// Evidence names a file by digest. Path is relative to the run directory.
type Evidence struct {
	Path   string `json:"path"`
	SHA256 string `json:"sha256"`
	Size   int64  `json:"size"`
}

// Deviation is a declared departure from the procedure. It may change how a
// step is done, never remove a check.
type Deviation struct {
	ID      string `json:"id"`
	Text    string `json:"text"`
	Owner   string `json:"owner,omitempty"`
	Expires string `json:"expires,omitempty"` // RFC 3339 date
}
