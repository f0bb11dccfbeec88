package reports

import (
	"errors"
	"fmt"
	"math"
	"slices"
	"strings"
)

// Validate reports everything that makes the run unfit to be published, joined
// into one error: wrong schema, missing names, double or unknown requirement
// ids, a PASS without its figures, an INCONCLUSIVE without a reason, and an
// Overall that Judge does not confirm. A nil error says nothing about quality.
func (r *Run) Validate() error {
	var errs []error
	add := func(format string, args ...any) {
		errs = append(errs, fmt.Errorf("reports: run %q: "+format, append([]any{r.ID}, args...)...))
	}
	if r.Schema != SchemaVersion {
		add("schema is %q, this program writes %q", r.Schema, SchemaVersion)
	}
	if !plainID(r.ID) || r.ID[0] == '.' || len(r.ID) > longestID {
		add("its id is empty, longer than %d, begins with a dot or has other characters than letters, digits, dot, dash and underscore", longestID)
	}
	if r.Started.IsZero() || r.Finished.Before(r.Started) {
		add("started %s and finished %s are not an interval", r.Started, r.Finished)
	}
	rules := make(map[string]string, len(r.Requirements))
	for _, req := range r.Requirements {
		if _, twice := rules[req.ID]; twice || !plainID(req.ID) {
			add("requirement id %q is empty, listed twice or has other characters than letters, digits, dot, dash and underscore", req.ID)
		}
		rules[req.ID] = req.Rule
		if err := req.Validate(); err != nil {
			errs = append(errs, err)
		}
	}
	for i := range r.Results {
		res := &r.Results[i]
		rule, listed := rules[res.Requirement]
		if !listed {
			add("result of scenario %q names requirement %q, which the run does not list", res.Scenario, res.Requirement)
		}
		if err := errors.Join(res.Validate(), res.supports(rule)); err != nil {
			errs = append(errs, err)
		}
	}
	if r.Deselected != nil {
		errs = append(errs, r.validDeselection()...)
	}
	if r.Uncertified != "" && !r.Earned() {
		add("says why it has no certificate (%s), and earned none", r.Uncertified)
	}
	if want := r.Judge(); r.Overall != want {
		add("overall verdict is %s, its results say %s", r.Overall, want)
	}
	return errors.Join(errs...)
}

// validDeselection reports a run that certifies although something was left out
// of it, and requirements that are said to be left out and are listed or judged.
func (r *Run) validDeselection() (errs []error) {
	if r.Certifying {
		errs = append(errs, fmt.Errorf("reports: run %q: certifies and has scenarios deselected", r.ID))
	}
	if len(r.Deselected.Scenarios) == 0 {
		errs = append(errs, fmt.Errorf("reports: run %q: says that something was deselected and names no scenario", r.ID))
	}
	for _, req := range r.Deselected.Requirements {
		judged := func(res Result) bool { return res.Requirement == req.ID }
		listed := func(other Requirement) bool { return other.ID == req.ID }
		if !plainID(req.ID) || slices.ContainsFunc(r.Requirements, listed) || slices.ContainsFunc(r.Results, judged) {
			errs = append(errs, fmt.Errorf("reports: run %q: deselected requirement %q is malformed, listed or judged all the same", r.ID, req.ID))
		}
	}
	return errs
}

// idCharacters are safe in labels, links, file names and statements.
const idCharacters = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789.-_"

// longestID leaves room for more in a file name.
const longestID = 128

// plainID reports whether id is not empty and made of idCharacters only.
func plainID(id string) bool { return id != "" && strings.Trim(id, idCharacters) == "" }

// Validate reports what is missing or impossible in the requirement.
func (r Requirement) Validate() error {
	switch r.Class {
	case Mandatory, Optional:
	case Conditional:
		if r.Capability == "" {
			return fmt.Errorf("reports: requirement %q: class conditional needs a capability", r.ID)
		}
	default:
		return fmt.Errorf("reports: requirement %q: class %q is none of mandatory, conditional, optional", r.ID, r.Class)
	}
	if r.Text == "" {
		return fmt.Errorf("reports: requirement %q has no text", r.ID)
	}
	if r.Quantile < 0 || r.Quantile >= 1 || math.IsNaN(r.Quantile) {
		return fmt.Errorf("reports: requirement %q: quantile %v is not in [0,1)", r.ID, r.Quantile)
	}
	return nil
}

// Validate reports what keeps the result from being a statement.
func (r *Result) Validate() error {
	where := fmt.Sprintf("reports: result of %s by %q", r.Requirement, r.Scenario)
	switch {
	case int(r.Verdict) >= len(verdictNames):
		return fmt.Errorf("%s: verdict %d is not defined", where, r.Verdict)
	case r.Scenario == "":
		return fmt.Errorf("%s: has no scenario", where)
	case r.Attempt < 1:
		return fmt.Errorf("%s: attempt %d, attempts count from 1", where, r.Attempt)
	case r.Verdict == Inconclusive && r.Reason == "":
		return fmt.Errorf("%s: INCONCLUSIVE needs a reason", where)
	case r.Verdict != NotRun && r.Sentence == "":
		return fmt.Errorf("%s: %s needs its sentence", where, r.Verdict)
	}
	m := r.Measurement
	if m == nil {
		return nil
	}
	for _, f := range []struct {
		name  string
		value float64
	}{{"confidence", m.Confidence}, {"guard", m.Guard}, {"bias", m.Bias}, {"vif", m.VIF}, {"quantile", m.Quantile}} {
		if math.IsNaN(f.value) || math.IsInf(f.value, 0) {
			return fmt.Errorf("%s: %s is %v, which is no figure", where, f.name, f.value)
		}
	}
	if r.Verdict == Pass && m.N <= 0 {
		return fmt.Errorf("%s: PASS of a measurement with n = %d", where, m.N)
	}
	return nil
}

// supports reports a PASS that the figures asked for by the rule do not carry.
// A deterministic guarantee needs none.
func (r *Result) supports(rule string) error {
	where := fmt.Sprintf("reports: result of %s by %q", r.Requirement, r.Scenario)
	switch {
	case r.Verdict != Pass || rule != "DR-2" && rule != "zero-event":
		return nil
	case r.Measurement == nil:
		return fmt.Errorf("%s: PASS by rule %s without its figures", where, rule)
	case rule == "zero-event" && r.Measurement.Events > 0:
		return fmt.Errorf("%s: PASS by rule %s with %d violations", where, rule, r.Measurement.Events)
	default:
		return nil
	}
}
