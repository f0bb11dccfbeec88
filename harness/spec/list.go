package spec

import (
	"errors"
	"fmt"
	"strings"

	"github.com/onsi/ginkgo/v2/types"

	"plumbline/harness"
	"plumbline/harness/profile"
)

// Errors that callers branch on. Those of the system under test wrap
// sut.ErrUnavailable instead.
var (
	// ErrUsage marks a mistake in the options (exit code 2).
	ErrUsage = errors.New("wrong options")
	// ErrEmpty says that nothing was selected; such a run never passes.
	ErrEmpty = errors.New("no scenario was selected")
	// ErrInterrupted says that the run was ended from outside.
	ErrInterrupted = errors.New("interrupted")
	// ErrFault marks a fault of the harness or the scenarios themselves.
	ErrFault = errors.New("fault of the harness")
)

// List returns the scenarios that the label filter selects, in the order in
// which they would run. It starts nothing and needs no system under test.
// An empty selection is ErrEmpty, a malformed filter ErrUsage.
func List(p *profile.Profile, labelFilter string) ([]Scenario, error) {
	rig, err := harness.NewRig(harness.Config{Profile: p})
	if err != nil {
		return nil, err
	}
	all, err := Bind(rig)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrFault, err)
	}
	selected, _, err := choose(all, labelFilter)
	return selected, err
}

// choose splits the scenarios by the filter, in the language of Ginkgo:
// "LAT || ORD", "req: containsAny {LAT-02, DEL-01}", "!tier:check".
func choose(all []Scenario, labelFilter string) (selected, left []Scenario, err error) {
	match, err := types.ParseLabelFilter(labelFilter)
	if err != nil {
		var told types.GinkgoError // its Error is for a terminal: colours, several lines
		if errors.As(err, &told) {
			_, problem, _ := strings.Cut(told.Message, "\n")
			err = errors.New(problem)
		}
		return nil, nil, fmt.Errorf("spec: label filter %q: %w: %w; write for example \"LAT || req:DEL-01\"", labelFilter, ErrUsage, err)
	}
	for _, sc := range all {
		if match(sc.AllLabels()) {
			selected = append(selected, sc)
		} else {
			left = append(left, sc)
		}
	}
	if len(selected) == 0 {
		return nil, left, fmt.Errorf("spec: label filter %q: %w; plumbline list shows the labels", labelFilter, ErrEmpty)
	}
	return selected, left, nil
}
