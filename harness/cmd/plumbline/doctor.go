package main

import (
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
	cmd := &cobra.Command{
		Use: "doctor", Short: "Check whether this machine is fit to measure, with the mend for each point", Args: noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return showChecks(s.out, s.style(), bench.Doctor(cmd.Context(), opts))
		},
	}
	cmd.Flags().StringVar(&opts.Bridged, "bridged", "", "bridged executable; by default looked for as run does")
	cmd.Flags().StringVar(&opts.Runs, "output-dir", defaultOutput, "folder of the run directories")
	return cmd
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
