package main

import (
	"errors"
	"fmt"
	"io"

	"github.com/spf13/cobra"

	"plumbline/harness/cmd/plumbline/internal/console"
	"plumbline/harness/cmd/plumbline/internal/exit"
	"plumbline/reports"
	"plumbline/reports/archive"
)

// form is how a comparison or a history is written.
type form struct {
	json, markdown, html bool
}

func (f *form) add(cmd *cobra.Command) {
	cmd.Flags().BoolVar(&f.json, "json", false, "print JSON, with the figure of every run")
	cmd.Flags().BoolVar(&f.markdown, "markdown", false, "print Markdown, for a pull request")
	cmd.Flags().BoolVar(&f.html, "html", false, "print a page that needs neither network nor script")
}

// pick returns the writer of the chosen form; two at once are the user's mistake.
func (f *form) pick(text, markdown, html, json func(io.Writer) error) (func(io.Writer) error, error) {
	chosen, n := text, 0
	for _, c := range []struct {
		set   bool
		write func(io.Writer) error
	}{{f.json, json}, {f.markdown, markdown}, {f.html, html}} {
		if c.set {
			chosen = c.write
			n++
		}
	}
	if n > 1 {
		return nil, exit.Usage(errors.New("--json, --markdown and --html exclude each other"), "leave all but one out")
	}
	return chosen, nil
}

func newHistory(s streams) *cobra.Command {
	var choice archive.Choice
	var f form
	cmd := &cobra.Command{
		Use: "history STORE", Short: "Tell how systems fared over the runs of a store, and where they became slower",
		Example: "plumbline history reports/out\nplumbline history store --sut bridged --profile ci --markdown",
		Long: fmt.Sprintf(`STORE is a folder of run directories, which may lie up to three folders deep; reports/out is one. Nothing is written to it.
For each system under test and profile, every figure is a series over the runs in the order in which they were started.
Only whole runs by the profile text and with the devices of the newest one make a series.

A change-point is a split of the runs since the last one (E-divisive means) that at most %v of random orders of them would
show, of at least %g %% and the uncertainty of the figure; %d runs are needed before anything can be told. A regression is announced
when the worse level lasts %d runs, and withdrawn when a level as good as before lasts %d; one at which the machine or the
rig's own null bridge changed as well stays undecided. A requirement that passed regresses with its second FAIL, and recovers
with %d PASSes in a row. Smaller is better in every series: all limits are upper ones.
A level that is meant to be so is accepted with --since.

Exit code 0: no regression stands. 1: one does. 3: something is undecided, or there is no run.
Runs that cannot be used are named as ASIDE; what they say is not believed. The summaries of the others are: plumbline
verify and report --recompute tell whether to.`, archive.MaxChance, 100*archive.MinStep, archive.MinRuns, archive.Persist, archive.Persist, archive.RunsWithdraw),
		Args: oneArg("a store, which is a folder of run directories"),
		RunE: func(_ *cobra.Command, args []string) error {
			store, err := openStore(args[0])
			if err != nil {
				return err
			}
			h, err := store.History(choice)
			if err != nil {
				return noHistory(s.err, store, err)
			}
			write, err := f.pick(h.Text, h.Markdown, h.HTML, func(w io.Writer) error { return writeJSON(w, h) })
			if err != nil {
				return err
			}
			if err := write(s.out); err != nil {
				return err
			}
			return leave(h.Outcome.ExitCode())
		},
	}
	f.add(cmd)
	cmd.Flags().StringVar(&choice.System, "sut", "", "only this system under test, by the name in its runs")
	cmd.Flags().StringVar(&choice.Profile, "profile", "", "only this profile")
	cmd.Flags().StringVar(&choice.Since, "since", "", "only from this run (its id) or this day (2026-11-26) on")
	return cmd
}

// openStore reads a store; what is wrong with the path is the user's.
func openStore(path string) (*archive.Store, error) {
	store, err := archive.Load(path)
	if errors.Is(err, archive.ErrNoStore) {
		return nil, exit.Usage(err, "name a folder of run directories, such as reports/out")
	}
	return store, err
}

// noHistory says why there is nothing to tell, with what was set aside.
func noHistory(w io.Writer, store *archive.Store, err error) error {
	for _, a := range store.Aside {
		fmt.Fprintf(w, "ASIDE: %s: %s\n", console.Clean(a.Path), console.Clean(a.Why))
	}
	if errors.Is(err, archive.ErrNothing) {
		return exit.With(reports.ExitInconclusive, err, "plumbline run and certify put a run directory into --output-dir; --sut, --profile and --since narrow what is told")
	}
	return err
}
