package seal

// Reason says why a run directory did not verify; the words are printed.
type Reason string

// The reasons.
const (
	ReasonMissing       Reason = "missing"
	ReasonAdditional    Reason = "additional file"
	ReasonDigest        Reason = "changed"
	ReasonSpecial       Reason = "not a regular file"
	ReasonOutside       Reason = "path outside the run directory"
	ReasonName          Reason = "a name that not every system can hold"
	ReasonUnreadable    Reason = "unreadable"
	ReasonMalformed     Reason = "malformed"
	ReasonType          Reason = "wrong type"
	ReasonSignature     Reason = "signature does not match"
	ReasonKey           Reason = "wrong key"
	ReasonContradiction Reason = "contradicts the signed statement"
)

// Error is one failure of verification: which file, and why.
type Error struct {
	File   string // relative to the run directory
	Reason Reason
	Detail string
}

// Error implements error.
func (e *Error) Error() string {
	return "seal: " + e.File + ": " + string(e.Reason) + ": " + e.Detail
}
