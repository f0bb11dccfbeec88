package defects

import (
	"bytes"
	_ "embed"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"slices"
	"strings"
)

// Find returns the defect of that id.
func Find(id string) (Defect, bool) {
	all := All()
	i := slices.IndexFunc(all, func(d Defect) bool { return d.ID == id })
	if i < 0 {
		return Defect{}, false
	}
	return all[i], true
}

// FindControl returns the control of that id.
func FindControl(id string) (Control, bool) {
	all := Controls()
	i := slices.IndexFunc(all, func(c Control) bool { return c.ID == id })
	if i < 0 {
		return Control{}, false
	}
	return all[i], true
}

// Alone reports whether the trial measures time or memory, which others beside
// it would disturb. Trials that count what was lost, let in or damaged do not.
func (d Defect) Alone() bool {
	switch d.Scenario {
	case "admission", "tenants", "payloads", "mixed", "standards", "brokerdown", "clockstep", "kill", "churn", "badlines", "uptime":
		return false
	case "steady", "client", "refill":
		family, _, _ := strings.Cut(d.Kills, "-")
		return d.Kills != "REC-05" && family != "DEL" && family != "ORD"
	}
	return true
}

// Alone reports whether the control measures time; see Defect.Alone.
func (c Control) Alone() bool {
	for _, id := range c.Green {
		if family, _, _ := strings.Cut(id, "-"); family != "DEL" && family != "ORD" {
			return true
		}
	}
	return len(c.Green) == 0
}

// Tally is what the outcomes come to.
type Tally struct {
	Seeded, Killed  int // defects
	Faults, Covered int // numbers of the catalogue: seeded, and killed in every way they were seeded
	Controls, Green int
	FalseFails      int
}

// Sum counts outcomes.
func Sum(outcomes []Outcome) Tally {
	var t Tally
	faults := map[string]bool{}
	for _, o := range outcomes {
		if o.Kills == "" {
			t.Controls++
			switch o.Status {
			case Green:
				t.Green++
			case FalseFail:
				t.FalseFails++
			}
			continue
		}
		t.Seeded++
		if o.Status == Killed {
			t.Killed++
		}
		if d, ok := Find(o.ID); ok {
			was, seen := faults[d.CoversFault()]
			faults[d.CoversFault()] = o.Status == Killed && (was || !seen)
		}
	}
	for _, killed := range faults {
		t.Faults++
		if killed {
			t.Covered++
		}
	}
	return t
}

// Good reports whether every defect was killed and every control was green.
func (t Tally) Good() bool {
	return t.Killed == t.Seeded && t.Green == t.Controls && t.Seeded+t.Controls > 0
}

// String is the last line of the console.
func (t Tally) String() string {
	return fmt.Sprintf("killed %d of %d seeded defects (%d of %d faults of the catalogue); controls green %d of %d, %d false FAIL",
		t.Killed, t.Seeded, t.Covered, t.Faults, t.Green, t.Controls, t.FalseFails)
}

// Record is a stored result: the matrix of defects and requirements.
type Record struct {
	Schema   string    `json:"schema"`
	Outcomes []Outcome `json:"outcomes"` // in the order of the table, then the controls
	Limits   []Limit   `json:"limits,omitempty"`
	Clean    *Clean    `json:"clean,omitempty"`
}

const recordSchema = "plumbline.defects/v1"

//go:embed record.json
var stored []byte

// Stored returns the result that the README shows.
func Stored() (Record, error) { return decodeRecord(stored) }

func decodeRecord(text []byte) (Record, error) {
	var r Record
	d := json.NewDecoder(bytes.NewReader(text))
	d.DisallowUnknownFields()
	if err := d.Decode(&r); err != nil {
		return r, fmt.Errorf("defects: record: %w", err)
	}
	if r.Schema != recordSchema {
		return r, fmt.Errorf("defects: record: schema %q, this program reads %q", r.Schema, recordSchema)
	}
	return r, nil
}

// ReadRecord returns the record of a file; one that is not there is empty.
func ReadRecord(path string) (Record, error) {
	text, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		return Record{Schema: recordSchema}, nil
	}
	if err != nil {
		return Record{}, err
	}
	r, err := decodeRecord(text)
	if err != nil {
		return r, fmt.Errorf("%w (file %q; remove it to begin anew)", err, path)
	}
	return r, nil
}

// Add puts outcomes in the place of older ones of the same defects; those of
// defects that are no more are left out.
func (r *Record) Add(outcomes []Outcome) {
	latest := map[string]Outcome{}
	for _, o := range slices.Concat(r.Outcomes, outcomes) {
		latest[o.ID] = o
	}
	r.Outcomes = []Outcome{}
	for _, id := range IDs() {
		if o, ok := latest[id]; ok {
			r.Outcomes = append(r.Outcomes, o)
		}
	}
}

// AddLimits puts limits of detection in the place of older ones of the same
// defects.
func (r *Record) AddLimits(found []Limit) {
	latest := map[string]Limit{}
	for _, l := range slices.Concat(r.Limits, found) {
		latest[l.ID] = l
	}
	r.Limits = nil
	for _, s := range Sweeps() {
		if l, ok := latest[s.ID]; ok {
			r.Limits = append(r.Limits, l)
		}
	}
}

// Write keeps the record in a file.
func (r Record) Write(path string) error {
	text, err := json.MarshalIndent(r, "", " ")
	if err != nil {
		return fmt.Errorf("defects: record: %w", err)
	}
	return os.WriteFile(path, append(text, '\n'), 0o644) //nolint:gosec // there to be read by others
}

// IDs returns the ids of all defects and then of all controls.
func IDs() (ids []string) {
	for _, d := range All() {
		ids = append(ids, d.ID)
	}
	for _, c := range Controls() {
		ids = append(ids, c.ID)
	}
	return ids
}
