package main

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/spf13/cobra"

	"plumbline/harness/cmd/plumbline/internal/campaign"
	"plumbline/harness/cmd/plumbline/internal/console"
	"plumbline/harness/cmd/plumbline/internal/exit"
	"plumbline/reports"
	"plumbline/reports/events"
	"plumbline/reports/render"
	"plumbline/reports/seal"
)

const reportHelp = `Writes every form of the report again from summary.json, byte for byte as the run wrote them.
A partial run is readable and says that it is partial. In a sealed directory nothing is replaced by
different bytes: if this version of plumbline renders differently, --to names another folder.
The exit code is that of the run's verdict, as its last line says.

--recompute writes nothing. It judges the run again from what was recorded (records/, facts/, config/) and compares
every verdict, sentence, bound and finding, and the rest of summary.json, bit for bit. Exit code 0: all same. 6:
something differs, or a file is missing, damaged or not the one in the manifest.

--pdf FILE prints the page with a Chromium of this machine and changes nothing in DIR. Exit code 4 when there is none.

--matrix prints runs of several systems by one profile as a table in Markdown, requirement by system, with the
reason of each FAIL below it; --into FILE puts it between the marks of a Markdown file instead. It believes each
summary.json; plumbline verify and report --recompute tell whether to.

--approaches prints what a run of the profile approaches compared, and what became of what is said of approaches, as tables in
Markdown; --into FILE puts them between their marks of a Markdown file instead.`

func newReport(s streams) *cobra.Command {
	var to, into string
	var recomputed, matrix, approaches bool
	var paper paperFlags
	cmd := &cobra.Command{
		Use: "report DIR...", Short: "Write the reports of a run directory again, recompute its verdicts, or show several runs as a table",
		Example: "plumbline report reports/out/latest\nplumbline report reports/out/latest --recompute\nplumbline report reports/out/latest --pdf report.pdf\nplumbline report --matrix runs/*/latest",
		Long:    reportHelp,
		Args: func(cmd *cobra.Command, args []string) error {
			if matrix && len(args) > 0 {
				return nil
			}
			return oneArg("a run directory")(cmd, args)
		},
		RunE: func(cmd *cobra.Command, args []string) error {
			switch {
			case paper.file != "" && (matrix || approaches):
				return paper.fits(true)
			case several(recomputed, to != "", matrix, approaches), into != "" && !matrix && !approaches:
				return exit.Usage(errors.New("--recompute, --to, --matrix and --approaches exclude each other, and --into belongs to the latter two"), "leave all but one out")
			case matrix:
				return showMatrix(s.out, args, into)
			case approaches:
				return showApproaches(s.out, args[0], into)
			}
			if err := paper.fits(recomputed || matrix || to != ""); err != nil {
				return err
			}
			if recomputed {
				return recomputeRun(cmd.Context(), s, args[0])
			}
			run, err := render.Load(args[0])
			if err != nil {
				return notARun(err)
			}
			if paper.file != "" {
				return printRun(cmd.Context(), s, args[0], run, paper)
			}
			return renderAgain(s, args[0], to, run)
		},
	}
	cmd.Flags().BoolVar(&matrix, "matrix", false, "print the runs as a table, requirement by system, in Markdown")
	cmd.Flags().BoolVar(&approaches, "approaches", false, "print what the run compared, approach by approach, in Markdown")
	cmd.Flags().StringVar(&into, "into", "", "put the table of --matrix or --approaches between its marks of this Markdown file")
	cmd.Flags().BoolVar(&recomputed, "recompute", false, "judge the run again from its records and compare; write nothing")
	paper.add(cmd)
	cmd.Flags().StringVar(&to, "to", "", "write into this folder instead of the run directory")
	return cmd
}

// renderAgain writes every form of the run of a directory anew, there or into another folder, and ends with the
// exit code of its verdict.
func renderAgain(s streams, dir, to string, run *reports.Run) error {
	if to != "" {
		if err := errors.Join(besideSeal(dir, to), ofNoOther(to, run)); err != nil {
			return err
		}
		dir = to
	}
	if err := rewrite(dir, run); err != nil {
		return err
	}
	code := exit.OfRun(run)
	if err := console.Summary(s.out, s.style(), run, console.Ending{Code: code, Report: filepath.Join(dir, render.HTMLFile)}); err != nil {
		return err
	}
	return leave(code)
}

// several reports whether more than one of the choices was made.
func several(choices ...bool) bool {
	made := 0
	for _, c := range choices {
		if c {
			made++
		}
	}
	return made > 1
}

// notARun explains why a directory is not read as a run.
func notARun(err error) error {
	var refused *render.RefusedError
	if errors.As(err, &refused) {
		return exit.Usage(err, refused.Mend)
	}
	return exit.Usage(err, "name a run directory, one that holds "+render.SummaryFile)
}

// ofNoOther refuses the directory of another run, whose reports would be replaced by
// those of this one.
func ofNoOther(dir string, run *reports.Run) error {
	const mend = "name an empty folder, or one that holds reports of this run"
	if _, err := os.Stat(filepath.Join(dir, render.SummaryFile)); errors.Is(err, fs.ErrNotExist) {
		if _, err := os.Stat(filepath.Join(dir, events.FileName)); err == nil {
			return exit.Usage(fmt.Errorf("--to %q is the directory of a run that goes on or was cut off", dir), mend)
		}
		return nil
	}
	there, err := render.Load(dir)
	if err != nil {
		return exit.Usage(fmt.Errorf("--to %q holds a %s that cannot be read: %w", dir, render.SummaryFile, err), mend)
	}
	if there.ID != run.ID || !there.Started.Equal(run.Started) {
		return exit.Usage(fmt.Errorf("--to %q is the directory of run %s, and this is run %s", dir, there.ID, run.ID), mend)
	}
	return nil
}

// rewrite renders the run into dir. In a sealed directory it first renders
// aside and refuses to replace a file by other bytes, which would break the seal.
func rewrite(dir string, run *reports.Run) error {
	if err := os.MkdirAll(dir, 0o755); err != nil { //nolint:gosec // G301: a report is for others to read
		return campaign.WriteError(dir, err)
	}
	if _, err := os.Stat(filepath.Join(dir, seal.EnvelopeFile)); errors.Is(err, fs.ErrNotExist) {
		return campaign.WriteError(dir, render.All(dir, run))
	}
	aside, err := os.MkdirTemp("", "plumbline-report-")
	if err != nil {
		return campaign.WriteError(dir, err)
	}
	defer func() { _ = os.RemoveAll(aside) }() // a temporary folder; what stays is the system's to clear
	if err := render.All(aside, run); err != nil {
		return campaign.WriteError(aside, err)
	}
	name, err := differs(aside, dir)
	if err != nil || name == "" {
		return campaign.WriteError(dir, err)
	}
	return exit.With(reports.ExitVerify,
		fmt.Errorf("report %q: %s is not what this version renders from %s; the directory is sealed, so nothing was replaced",
			dir, name, render.SummaryFile),
		"plumbline verify tells whether it was changed; --to DIR renders elsewhere")
}

// differs names the first file below a that has other bytes, or is missing, in b.
func differs(a, b string) (name string, err error) {
	err = fs.WalkDir(os.DirFS(a), ".", func(path string, e fs.DirEntry, err error) error {
		if err != nil || e.IsDir() {
			return err
		}
		want, err := os.ReadFile(filepath.Join(a, filepath.FromSlash(path)))
		if err != nil {
			return err
		}
		got, err := os.ReadFile(filepath.Join(b, filepath.FromSlash(path)))
		missing := errors.Is(err, fs.ErrNotExist)
		if err != nil && !missing {
			return err
		}
		if missing || !bytes.Equal(got, want) {
			name = path
			return fs.SkipAll
		}
		return nil
	})
	return name, err
}
