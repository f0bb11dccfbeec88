package reports

// Class says when a requirement must be met.
type Class string

// The classes of ISO/IEC 9646 conformance statements.
const (
	Mandatory   Class = "mandatory"   // always
	Conditional Class = "conditional" // when the system declares Requirement.Capability
	Optional    Class = "optional"    // informative; decides the overall verdict only by an ERROR, or where the run asks for nothing else (Run.Informative)
)

// Requirement is one published guarantee. IDs are stable and never re-used.
type Requirement struct {
	ID         string   `json:"id"`                   // for example "LAT-02"
	Title      string   `json:"title"`                // a few words
	Text       string   `json:"text"`                 // one sentence with one "shall"
	Class      Class    `json:"class"`                //
	Capability string   `json:"capability,omitempty"` // without which it is N/A; needed when Class is Conditional
	Measurand  string   `json:"measurand"`            // what is measured, with its two points
	Rule       string   `json:"rule"`                 // "DR-2", "zero-event" or "deterministic"
	Quantile   float64  `json:"quantile,omitempty"`   // for DR-2, for example 0.99
	MinSamples int64    `json:"min_samples"`          // least effective sample count of any profile
	Source     string   `json:"source"`               // standard, document or "judgement"
	Faults     []string `json:"faults,omitempty"`     // seeded faults that it must kill
	Since      string   `json:"since"`                // catalogue version
}

// Family returns the letters before the dash, for example "LAT".
func (r Requirement) Family() string {
	for i := range len(r.ID) {
		if r.ID[i] == '-' {
			return r.ID[:i]
		}
	}
	return r.ID
}
