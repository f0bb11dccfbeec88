package main

import (
	"errors"
	"fmt"
	"io"
	"strings"

	"github.com/spf13/cobra"

	"plumbline/harness/cmd/plumbline/internal/compare"
	"plumbline/harness/cmd/plumbline/internal/console"
	"plumbline/harness/cmd/plumbline/internal/exit"
	"plumbline/harness/stats"
	"plumbline/reports"
	"plumbline/reports/render"
)

func newCompare(s streams) *cobra.Command {
	var f form
	cmd := &cobra.Command{
		Use: "compare OLD NEW", Short: "Say whether a new version of a system is worse than the old, from stored runs of both",
		Example: "plumbline compare runs/v1 runs/v2",
		Long: fmt.Sprintf(`OLD and NEW are each a run directory, or a folder that holds run directories. Both sides must be of one system, by one
profile, schedule, decision rule and kind of devices; what differs beside the version is named.

A requirement regresses when it passed in all old runs and fails in a new one, or when a quantile of latency is larger:
the run directory is the unit, %d of each are needed, made in turn (old, new, new, old); p < %v (less with more runs) by
Mann-Whitney on the figure of each run, and a change of at least 5 %% and of the uncertainty of the figures. Few runs leave it undecided, and so do
runs that differ so much among themselves that %.0f %% more is not excluded; how many are missing is said.

Exit code 0: nothing regressed. 1: something did. 3: something is undecided, or the runs cannot be compared.
The summaries are believed; plumbline verify and report --recompute tell whether to.`, stats.CompareRuns, stats.CompareAlpha, 100*stats.CompareDetect),
		Args: func(cmd *cobra.Command, args []string) error {
			if len(args) == 2 {
				return nil
			}
			return exit.Usage(fmt.Errorf("%s needs an old and a new run, got %d arguments", cmd.CommandPath(), len(args)), example(cmd))
		},
		RunE: func(_ *cobra.Command, args []string) error {
			c, err := compare.Of(args[0], args[1])
			var refused *render.RefusedError
			switch {
			case errors.As(err, &refused):
				return notARun(err)
			case errors.Is(err, compare.ErrNoRun):
				return exit.Usage(err, "name run directories, or folders of run directories")
			case errors.Is(err, compare.ErrNotComparable):
				return exit.With(reports.ExitInconclusive, err, "make both runs by the same profile, rig and command; only the version of the system may differ")
			case err != nil:
				return err
			}
			code := compareCodes[c.Outcome]
			write, err := f.pick(func(w io.Writer) error { return printComparison(w, c, code) }, c.Markdown, c.HTML, func(w io.Writer) error { return writeJSON(w, c) })
			if err != nil {
				return err
			}
			if err := write(s.out); err != nil {
				return err
			}
			return leave(code)
		},
	}
	f.add(cmd)
	return cmd
}

// compareCodes are the exit codes of what a comparison comes to.
var compareCodes = map[compare.Outcome]int{
	compare.Regression: reports.ExitFail, compare.Undecided: reports.ExitInconclusive,
	compare.Improvement: reports.ExitPass, compare.None: reports.ExitPass,
}

func printComparison(w io.Writer, c *compare.Comparison, code int) error {
	var b strings.Builder
	fmt.Fprintf(&b, "%s, profile %s\n", console.Clean(c.System), console.Clean(c.Profile))
	for _, side := range []struct {
		name string
		compare.Version
	}{{"old", c.Old}, {"new", c.New}} {
		fmt.Fprintf(&b, "%s  %s  (%d in %s)\n", side.name, console.Clean(side.Version.Version), len(side.Directories), console.Clean(strings.Join(side.Directories, ", ")))
	}
	for _, warning := range c.Warnings {
		fmt.Fprintf(&b, "warning: %s\n", console.Clean(warning))
	}
	for _, l := range c.Lines {
		text := fmt.Sprintf("  %-11s %-7s %s", l.Outcome, console.Clean(l.Requirement), console.Clean(l.Why))
		if f := l.Figure; f != nil {
			text += "; " + f.Text()
		}
		if l.Informative {
			text += " (informative)"
		}
		b.WriteString(text + "\n")
	}
	if m := c.Missing; m.Old+m.New > 0 {
		fmt.Fprintf(&b, "missing: %d runs of the old and %d of the new version would decide what is undecided for want of runs\n", m.Old, m.New)
	}
	fmt.Fprintf(&b, "compared: %s; outcome %s; exit %d\n", c.Count(), c.Outcome, code)
	_, err := io.WriteString(w, b.String())
	return err
}
