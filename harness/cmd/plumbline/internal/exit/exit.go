// Package exit decides the exit code of the process: of an error, of a run and
// of several of them together. The codes are a published interface.
package exit

import (
	"errors"

	"plumbline/reports"
)

// ErrInterrupted is the cause of a context that a signal ended.
var ErrInterrupted = errors.New("interrupted")

// Error is an error that knows its exit code and how to mend what it reports.
type Error struct {
	Code int
	Err  error
	Mend string // one line of advice; "" when the message already says it
}

// Error returns the message without the mend.
func (e *Error) Error() string { return e.Err.Error() }

// Unwrap returns the cause.
func (e *Error) Unwrap() error { return e.Err }

// With gives err an exit code and advice. A nil err stays nil, and an error
// that already carries a code keeps it: the place nearest to the cause knows best.
func With(code int, err error, mend string) error {
	var known *Error
	if err == nil || errors.As(err, &known) {
		return err
	}
	return &Error{Code: code, Err: err, Mend: mend}
}

// Usage is an error of the command line or of a configuration file.
func Usage(err error, mend string) error { return With(reports.ExitUsage, err, mend) }

// Code returns the exit code of err: 0 for nil, the carried code, 130 for an
// interruption by the user, and otherwise 5, because an error nobody foresaw is
// a fault of the harness; so is a cancellation that no signal caused.
func Code(err error) int {
	if err == nil {
		return reports.ExitPass
	}
	if errors.Is(err, ErrInterrupted) {
		return reports.ExitInterrupted
	}
	var known *Error
	if errors.As(err, &known) {
		return known.Code
	}
	return reports.ExitFault
}

// Mend returns the advice that err carries, or "".
func Mend(err error) string {
	var known *Error
	if errors.As(err, &known) {
		return known.Mend
	}
	return ""
}

// precedence lists the codes that may come together in one run, most telling
// first: a failure is never hidden behind "unknown".
var precedence = [...]int{
	reports.ExitInterrupted, reports.ExitFault, reports.ExitUnavailable,
	reports.ExitFail, reports.ExitInconclusive,
}

// Worst returns the code that wins: 130, then 5 > 4 > 1 > 3 > 0. Any other code
// (2 and 6 stand alone) wins over 0 only. No codes at all are 3: nothing was shown.
func Worst(codes ...int) int {
	if len(codes) == 0 {
		return reports.ExitInconclusive
	}
	worst := reports.ExitPass
	for _, code := range codes {
		if rank(code) > rank(worst) {
			worst = code
		}
	}
	return worst
}

func rank(code int) int {
	if code == reports.ExitPass {
		return 0
	}
	for i, c := range precedence {
		if c == code {
			return len(precedence) - i + 1
		}
	}
	return 1
}

// OfRun returns the exit code of a finished or partial run: that of its overall
// verdict, or 4 when a requirement that decides is inconclusive because the system
// under test was gone. A run that is partial or showed nothing is never 0.
func OfRun(run *reports.Run) int {
	codes := []int{run.Judge().ExitCode()}
	for _, j := range run.Judgements() {
		if j.Decides && j.Verdict == reports.Inconclusive && j.Reason == reports.ReasonSUT {
			codes = append(codes, reports.ExitUnavailable)
		}
	}
	return Worst(codes...)
}
