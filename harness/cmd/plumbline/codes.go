package main

import (
	"errors"

	"plumbline/harness"
	"plumbline/harness/cmd/plumbline/internal/exit"
	"plumbline/harness/cmd/plumbline/internal/source"
	"plumbline/harness/spec"
	"plumbline/harness/strictyaml"
	"plumbline/harness/sut"
	"plumbline/reports"
)

// classify gives the errors of the engine their exit codes. What it does not
// know stays a fault of the harness.
func classify(err error) error {
	var yaml *strictyaml.Error
	switch {
	case err == nil, errors.Is(err, exit.ErrInterrupted):
		return err
	case errors.Is(err, spec.ErrInterrupted):
		return exit.ErrInterrupted
	case errors.Is(err, spec.ErrEmpty):
		return exit.With(reports.ExitInconclusive, err, "")
	case errors.As(err, &yaml), errors.Is(err, spec.ErrUsage), errors.Is(err, sut.ErrUsage), errors.Is(err, source.ErrSpec):
		return exit.Usage(err, "")
	case errors.Is(err, harness.ErrRecording):
		return exit.With(reports.ExitUnavailable, err, "name a recording that is there and whole; plumbline watch replay:FILE shows what it holds")
	case errors.Is(err, harness.ErrSpace):
		return exit.With(reports.ExitUnavailable, err, "free space there, or choose another folder with --output-dir; what was recorded so far is kept and says that it is partial")
	case errors.Is(err, harness.ErrBench):
		return exit.With(reports.ExitUnavailable, err, "plumbline devices shows what is plugged in, plumbline doctor checks this machine")
	case errors.Is(err, sut.ErrUnavailable):
		return exit.With(reports.ExitUnavailable, err, "plumbline doctor checks this machine; the log of the system under test is in sut/ of the run directory")
	default:
		return err
	}
}
