package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strings"

	"github.com/spf13/cobra"

	"plumbline/harness/bench"
	"plumbline/harness/cmd/plumbline/internal/console"
	"plumbline/harness/cmd/plumbline/internal/exit"
	"plumbline/reports"
)

func newDoctor(s streams) *cobra.Command {
	opts := bench.DoctorOptions{}
	var c calibration
	wanted := false
	cmd := &cobra.Command{
		Use: "doctor", Short: "Check whether this machine is fit to measure, with the mend for each point", Args: noArgs,
		Long: `Each point is looked at and, where it is not as it should be, the mend is named.
With --calibrate it also measures, for about ten seconds, what this rig itself adds to a latency: frames
go through a bridge of known delay, 0, 1, 5, 20 and 50 ms, in a process of its own.`,
		RunE: func(cmd *cobra.Command, _ []string) error {
			checks, err := diagnose(cmd.Context(), s.out, opts, &c, wanted || c.history != "" || c.record != "")
			if err != nil {
				return err
			}
			return showChecks(s.out, s.style(), checks)
		},
	}
	cmd.Flags().BoolVar(&wanted, "calibrate", false, "measure what this rig adds to a latency")
	cmd.Flags().StringVar(&c.record, "calibration-record", "", "file to write the calibration to (JSON); implies --calibrate")
	c.addHistory(cmd)
	cmd.Flags().StringVar(&opts.Bridged, "bridged", "", "bridged executable; by default looked for as run does")
	cmd.Flags().StringVar(&opts.Runs, "output-dir", defaultOutput, "folder of the run directories")
	return cmd
}

// diagnose looks at the machine and calibrates it when that is wanted.
func diagnose(ctx context.Context, w io.Writer, opts bench.DoctorOptions, c *calibration, wanted bool) ([]bench.Check, error) {
	if err := errors.Join(c.check(), c.checkRecord()); err != nil {
		return nil, err
	}
	checks := bench.Doctor(ctx, opts)
	if !wanted {
		return checks, nil
	}
	r, known, err := c.measure(ctx, nil)
	if err != nil {
		return nil, err
	}
	return append(checks, c.show(w, r, known)...), nil
}

// showChecks prints the checks; one that blocks makes exit code 4.
func showChecks(w io.Writer, style console.Style, checks []bench.Check) error {
	bad, warned := []string{}, 0
	for _, c := range checks {
		fmt.Fprintf(w, "%s  %-20s %s\n", style.Status(string(c.Status)), console.Clean(c.Name), console.Clean(c.Detail))
		if c.Mend != "" {
			fmt.Fprintf(w, "      mend: %s\n", console.Clean(c.Mend))
		}
		switch c.Status {
		case bench.Bad:
			bad = append(bad, c.Name)
		case bench.Warn:
			warned++
		}
	}
	fmt.Fprintf(w, "doctor: %d checks, %d blocking, %d warnings\n", len(checks), len(bad), warned)
	if len(bad) > 0 {
		return exit.With(reports.ExitUnavailable, fmt.Errorf("this machine cannot run a campaign: %s", strings.Join(bad, ", ")),
			"do what the lines above say, then run plumbline doctor again")
	}
	return nil
}
