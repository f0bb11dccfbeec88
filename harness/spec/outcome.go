package spec

import (
	"encoding/json"
	"fmt"

	"github.com/onsi/ginkgo/v2/types"

	"plumbline/reports"
)

// Figures is what a scenario shows beside its verdicts.
type Figures struct {
	Latencies   []reports.Distribution `json:"latencies,omitempty"`
	Timelines   []reports.Timeline     `json:"timelines,omitempty"`
	Hops        []reports.Hop          `json:"hops,omitempty"`
	Integrity   []reports.Integrity    `json:"integrity,omitempty"`
	Rasters     []reports.Raster       `json:"rasters,omitempty"`
	Recoveries  []reports.Recovery     `json:"recoveries,omitempty"`
	Resources   []reports.Resources    `json:"resources,omitempty"`
	Comparisons []reports.Comparison   `json:"comparisons,omitempty"`
	Rig         *reports.RigHealth     `json:"rig,omitempty"`
	Devices     []reports.Device       `json:"devices,omitempty"`
	SUT         *reports.SUT           `json:"sut,omitempty"`
}

// add adds figures; those that there is one of are replaced.
func (have *Figures) add(f Figures) {
	have.Latencies = append(have.Latencies, f.Latencies...)
	have.Timelines = append(have.Timelines, f.Timelines...)
	have.Hops = append(have.Hops, f.Hops...)
	have.Integrity = append(have.Integrity, f.Integrity...)
	have.Rasters = append(have.Rasters, f.Rasters...)
	have.Recoveries = append(have.Recoveries, f.Recoveries...)
	have.Resources = append(have.Resources, f.Resources...)
	have.Comparisons = append(have.Comparisons, f.Comparisons...)
	have.Devices = mergeDevices(have.Devices, f.Devices)
	if f.Rig != nil {
		have.Rig = f.Rig
	}
	if f.SUT != nil {
		have.SUT = f.SUT
	}
}

// entryName marks the report entry that carries an Outcome. Ginkgo takes
// entries from process to process, so results survive parallel running.
const entryName = "plumbline.outcome"

// Outcome is everything that one scenario leaves behind.
type Outcome struct {
	Scenario    string           `json:"scenario"`
	Results     []reports.Result `json:"results"`
	Figures     Figures          `json:"figures"`
	Unavailable string           `json:"unavailable,omitempty"` // why the system under test was not there
	NoBench     string           `json:"no_bench,omitempty"`    // which part of the bench was not there
	NoSpace     bool             `json:"no_space,omitempty"`    // that part is the disk of the run directory, which is full
	BrokeOff    string           `json:"broke_off,omitempty"`   // why the scenario did not reach its end although everything was judged
	NotBegun    bool             `json:"not_begun,omitempty"`   // the run ended before it

	void    bool    // a validity gate voided the last attempt
	failure string  // the first thing that went wrong in the last attempt, for Ginkgo's own report
	damage  []error // files that could not be judged, of all attempts
}

// encode writes the outcome as text: an entry value of any other type would
// come back as a map when the report has crossed a process border.
func (o Outcome) encode() (string, error) {
	data, err := json.Marshal(o)
	if err != nil {
		return "", fmt.Errorf("spec: outcome of %q: %w", o.Scenario, err)
	}
	return string(data), nil
}

// outcomeOf returns the outcome that the spec of a scenario attached; false when
// it did not get so far. A body that Ginkgo gave up waiting for attaches its own
// to whatever spec runs by then, so only that of the scenario itself counts.
func outcomeOf(report types.SpecReport, scenario string) (Outcome, bool) {
	for _, entry := range report.ReportEntries {
		if entry.Name != entryName {
			continue
		}
		text, isText := entry.Value.GetRawValue().(string)
		if !isText && json.Unmarshal([]byte(entry.Value.AsJSON), &text) != nil {
			continue
		}
		var out Outcome
		if json.Unmarshal([]byte(text), &out) == nil && out.Scenario == scenario {
			return out, true
		}
	}
	return Outcome{}, false
}
