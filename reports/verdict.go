package reports

import "fmt"

// Verdict is the outcome of judging one requirement.
//
// The zero value is NotRun and never passes: a requirement that was not
// exercised is not a requirement that was met.
type Verdict uint8

// The eight verdicts, in ascending order of severity apart from NotApplicable,
// which takes no part in the ordering (see Worst).
const (
	NotRun          Verdict = iota // nothing was measured
	Pass                           // conformity demonstrated at the stated confidence
	ConditionalPass                // estimate inside the limit, conformity not demonstrated
	ConditionalFail                // estimate outside the limit, non-conformity not demonstrated
	Inconclusive                   // no statement about conformity is possible; see Reason
	Fail                           // non-conformity demonstrated
	Error                          // the test equipment failed; no statement
	NotApplicable                  // the system declares that it lacks the capability
)

var verdictNames = [...]string{
	NotRun:          "NOT RUN",
	Pass:            "PASS",
	ConditionalPass: "CONDITIONAL PASS",
	ConditionalFail: "CONDITIONAL FAIL",
	Inconclusive:    "INCONCLUSIVE",
	Fail:            "FAIL",
	Error:           "ERROR",
	NotApplicable:   "N/A",
}

// String returns the published wording, for example "CONDITIONAL PASS".
func (v Verdict) String() string {
	if int(v) >= len(verdictNames) {
		return fmt.Sprintf("Verdict(%d)", uint8(v))
	}
	return verdictNames[v]
}

// MarshalText writes the published wording; an unknown value is an error.
func (v Verdict) MarshalText() ([]byte, error) {
	if int(v) >= len(verdictNames) {
		return nil, fmt.Errorf("reports: verdict %d is not defined", uint8(v))
	}
	return []byte(verdictNames[v]), nil
}

// UnmarshalText reads the published wording and refuses anything else.
func (v *Verdict) UnmarshalText(text []byte) error {
	for i, name := range verdictNames {
		if name == string(text) {
			*v = Verdict(i)
			return nil
		}
	}
	return fmt.Errorf("reports: unknown verdict %q", text)
}

// severity ranks verdicts for Worst: a verdict may only worsen. NOT RUN ranks
// above PASS, so that one requirement left out keeps the whole from passing.
func (v Verdict) severity() int {
	switch v {
	case NotApplicable:
		return 0
	case Pass:
		return 1
	case NotRun:
		return 2
	case ConditionalPass:
		return 3
	case ConditionalFail:
		return 4
	case Inconclusive:
		return 5
	case Fail:
		return 6
	default: // Error and anything undefined
		return 7
	}
}

// Worst returns the most severe verdict: ERROR > FAIL > INCONCLUSIVE >
// CONDITIONAL FAIL > CONDITIONAL PASS > NOT RUN > PASS. N/A does not count
// unless there is nothing else. Of no verdicts at all the worst is NotRun.
func Worst(verdicts ...Verdict) Verdict {
	if len(verdicts) == 0 {
		return NotRun
	}
	worst := verdicts[0]
	for _, v := range verdicts[1:] {
		if v.severity() > worst.severity() {
			worst = v
		}
	}
	return worst
}

// Exit codes of every command; they are a published interface.
const (
	ExitPass         = 0   // every requirement that decides passed
	ExitFail         = 1   // at least one FAIL
	ExitUsage        = 2   // wrong usage or configuration
	ExitInconclusive = 3   // inconclusive, conditional or nothing run
	ExitUnavailable  = 4   // bench or system under test not available
	ExitFault        = 5   // fault of the harness itself
	ExitVerify       = 6   // verification of a run or statement failed
	ExitInterrupted  = 130 // interrupted by the user
)

// ExitCode maps an overall verdict to the process exit code.
func (v Verdict) ExitCode() int {
	switch v {
	case Pass:
		return ExitPass
	case Fail:
		return ExitFail
	case Error:
		return ExitFault
	default:
		return ExitInconclusive
	}
}

// Reason says why a verdict is INCONCLUSIVE; the zero value means no reason.
type Reason string

// The reasons, as they are printed in brackets behind INCONCLUSIVE.
const (
	ReasonSamples       Reason = "N"       // too few effective samples
	ReasonRig           Reason = "RIG"     // the rig's own noise is too close to the limit
	ReasonClock         Reason = "CLK"     // clock impossible, bypassed or unmappable
	ReasonGenerator     Reason = "GEN"     // the generator did not keep its schedule
	ReasonEnvironment   Reason = "ENV"     // the fault was visible before the system under test
	ReasonNonstationary Reason = "NONSTAT" // figures drifted during the run
	ReasonBudget        Reason = "BUDGET"  // time ran out before a decision
	ReasonSUT           Reason = "SUT"     // the system under test was not available
	ReasonInterrupted   Reason = "INT"     // the run was interrupted
)
