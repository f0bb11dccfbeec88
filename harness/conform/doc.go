// Package conform holds what conformance suites against a foreign endpoint
// share: rules, verdicts with evidence, connections of raw bytes that keep a
// transcript, and the execution of many checks at once with bounded time and
// memory. The suites are conform/ws and conform/mqtt.
//
// It knows no protocol and shares no code with any implementation that it may
// be pointed at.
package conform

import (
	"errors"
	"time"
)

// ErrUnreachable says that nothing could be judged: the endpoint takes no
// connection, or refuses what every case begins with. The message says which.
var ErrUnreachable = errors.New("endpoint unreachable")

// ErrUsage says that a target or an option is wrong; the message says how.
var ErrUsage = errors.New("wrong target or option")

// Level is how binding a rule is (RFC 2119). Should also marks rules that are
// our judgement where the specification leaves the matter open; their Section says so.
type Level string

// The levels.
const (
	Must   Level = "MUST"
	Should Level = "SHOULD"
)

// Verdict is what a case came to. The zero value is NotRun, which is no pass.
type Verdict string

// The verdicts. Inconclusive means that what the case begins with did not come
// about, so that nothing is shown either way.
const (
	NotRun        Verdict = ""
	Pass          Verdict = "pass"
	Fail          Verdict = "fail"
	NotApplicable Verdict = "not-applicable"
	Inconclusive  Verdict = "inconclusive"
)

// Rule is what a case judges. Ids are never re-used.
type Rule struct {
	ID      string `json:"id"`
	Section string `json:"section"` // of the specification, or its statement id
	Level   Level  `json:"level"`
	Text    string `json:"text"` // one sentence with "shall"
	// Standing says that it is judged by what all cases see, and has none of its own.
	Standing bool `json:"standing,omitempty"`
}

// Check is a rule with the trial that judges it.
type Check struct {
	Rule
	Run  func(*Trial)
	Long bool // mostly waiting: begun before the others
}

// Case is one rule with what came of it.
type Case struct {
	Rule
	Verdict  Verdict    `json:"verdict"`
	Detail   string     `json:"detail,omitempty"` // what was observed, in words
	Evidence []Exchange `json:"evidence,omitempty"`
	Killed   bool       `json:"killed,omitempty"` // it ended the server

	began, ended time.Time // zero when it was not begun, and of a standing rule
}

// Span returns when the case began and ended; zero when it was not begun, and of a
// standing rule. What was encoded in between has none.
func (c Case) Span() (began, ended time.Time) { return c.began, c.ended }

// Exchange is one step of a transcript: bytes that one side sent, or a note.
type Exchange struct {
	At     time.Duration `json:"at_ns"`          // since the case began
	Conn   int           `json:"conn"`           // number of the connection in the case, from 1
	From   string        `json:"from"`           // "client", "server" or "note"
	Bytes  Hex           `json:"bytes,omitzero"` // at most MaxBytesShown of them
	Length int           `json:"length,omitempty"`
	Note   string        `json:"note,omitempty"`
}

// Report is what a suite found, in the order of the suite.
type Report struct {
	Suite  string        `json:"suite"`
	Target string        `json:"target"`
	Took   time.Duration `json:"took_ns"`
	Cases  []Case        `json:"cases"`
}

// Count returns how many cases of a level came to a verdict.
func (r Report) Count(level Level, verdict Verdict) int {
	n := 0
	for _, c := range r.Cases {
		if c.Level == level && c.Verdict == verdict {
			n++
		}
	}
	return n
}

// Case returns the case of that id.
func (r Report) Case(id string) (Case, bool) {
	for _, c := range r.Cases {
		if c.ID == id {
			return c, true
		}
	}
	return Case{}, false
}

// Verdict sums up what binds: Fail when a MUST failed, else Inconclusive when
// one is undecided or was not run, else Pass. A report without a single
// passed MUST shows nothing and is Inconclusive.
func (r Report) Verdict() Verdict {
	switch {
	case r.Count(Must, Fail) > 0:
		return Fail
	case r.Count(Must, Inconclusive)+r.Count(Must, NotRun) > 0, r.Count(Must, Pass) == 0:
		return Inconclusive
	default:
		return Pass
	}
}
