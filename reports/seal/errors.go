package seal

import (
	"encoding/json"
	"errors"
	"io"
	"strings"
)

// Reason says why a run directory or a statement did not verify; the words are printed.
type Reason string

// The reasons.
const (
	ReasonMissing       Reason = "missing"
	ReasonAdditional    Reason = "additional file"
	ReasonDigest        Reason = "changed"
	ReasonTruncated     Reason = "truncated"
	ReasonSpecial       Reason = "not a regular file"
	ReasonOutside       Reason = "path outside the run directory"
	ReasonName          Reason = "a name that not every system can hold"
	ReasonUnreadable    Reason = "unreadable"
	ReasonMalformed     Reason = "malformed"
	ReasonType          Reason = "wrong type"
	ReasonSchema        Reason = "another version of the schema"
	ReasonSignature     Reason = "signature does not match"
	ReasonKey           Reason = "wrong key"
	ReasonUnknownKey    Reason = "unknown key"
	ReasonPurpose       Reason = "wrong purpose"
	ReasonRevoked       Reason = "revoked"
	ReasonExpired       Reason = "expired"
	ReasonNotYet        Reason = "not yet valid"
	ReasonOtherRun      Reason = "of another run"
	ReasonContradiction Reason = "contradicts the signed statement"
	ReasonNotTested     Reason = "not what was tested"
)

// Mend says what whoever meets the reason can do about it.
func (r Reason) Mend() string {
	switch r {
	case ReasonMissing, ReasonTruncated:
		return "copy the whole run directory again from whoever signed it"
	case ReasonAdditional:
		return "move what was added elsewhere; if it belongs to the run, get the directory again"
	case ReasonSchema:
		return "use a plumbline as new as the one that signed"
	case ReasonKey:
		return "ask the signer which key is his; compare fingerprints over another channel"
	case ReasonUnknownKey:
		return "get the newest keys.dsse.json from the signer and give its folder with --keys"
	case ReasonPurpose:
		return "have it signed by a key that the root made for that purpose"
	case ReasonRevoked:
		return "have it issued again with a key that is not revoked"
	case ReasonExpired:
		return "certify again; --at TIME asks what held at an earlier time"
	case ReasonNotYet:
		return "check the clock of this machine, or give --at TIME"
	case ReasonNotTested:
		return "certify what you run: a certificate is about the digests that it names and nothing else"
	case ReasonOtherRun:
		return "put the statement back into the directory of its own run"
	default:
		return "get the run directory again from whoever signed it"
	}
}

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

// broken tells a file that ends too early from one that is no JSON of ours.
func broken(file string, err error) error {
	reason := ReasonMalformed
	var syntax *json.SyntaxError
	if errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) ||
		errors.As(err, &syntax) && strings.Contains(syntax.Error(), "unexpected end") {
		reason = ReasonTruncated
	}
	return &Error{File: file, Reason: reason, Detail: err.Error()}
}
