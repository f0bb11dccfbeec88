package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/spf13/cobra"

	"plumbline/harness/cmd/plumbline/internal/campaign"
	"plumbline/harness/cmd/plumbline/internal/console"
	"plumbline/harness/cmd/plumbline/internal/exit"
	"plumbline/harness/cmd/plumbline/internal/export"
	"plumbline/reports"
	"plumbline/reports/pdf"
	"plumbline/reports/render"
	"plumbline/reports/seal"
)

// paperFlags are those of printing a report.
type paperFlags struct {
	file    string
	browser string
}

func (f *paperFlags) add(cmd *cobra.Command) {
	cmd.Flags().StringVar(&f.file, "pdf", "", "print the page of the report into this file, with a Chromium of this machine")
	cmd.Flags().StringVar(&f.browser, "browser", "", "Chromium to print with; by default the first one on the PATH")
}

// fits refuses the flags beside others that ask for something else.
func (f *paperFlags) fits(others bool) error {
	if (f.file != "" && others) || (f.file == "" && f.browser != "") {
		return exit.Usage(errors.New("--pdf excludes --recompute, --to and --matrix, and --browser belongs to --pdf"), "leave all but one out")
	}
	return nil
}

// printRun prints the page of a run and says how the run ended.
func printRun(ctx context.Context, s streams, dir string, run *reports.Run, f paperFlags) error {
	if err := besideSeal(dir, f.file); err != nil {
		return err
	}
	if _, err := os.Stat(filepath.Dir(f.file)); err != nil {
		return campaign.WriteError(filepath.Dir(f.file), err)
	}
	browser, err := pdf.Find(f.browser)
	if err != nil {
		return exit.With(reports.ExitUnavailable, err, "install Chromium (Debian and Ubuntu: apt-get install chromium), name one with --browser PATH, or open report.html in any browser and print it there")
	}
	var page bytes.Buffer
	if err := render.HTML(&page, run); err != nil {
		return err
	}
	text, err := pdf.Print(ctx, browser, page.Bytes())
	if errors.Is(err, pdf.ErrNoSandbox) {
		return exit.With(reports.ExitUnavailable, err, "let this user create user namespaces (sysctl kernel.unprivileged_userns_clone=1, or kernel.apparmor_restrict_unprivileged_userns=0), or print report.html from a browser")
	}
	if err != nil {
		return exit.With(reports.ExitUnavailable, err, "open report.html in a browser and print it there")
	}
	if err := os.WriteFile(f.file, text, 0o644); err != nil { //nolint:gosec // G306: a report is for others to read
		return campaign.WriteError(filepath.Dir(f.file), err)
	}
	code := exit.OfRun(run)
	if err := console.Summary(s.out, s.style(), run, console.Ending{Code: code, Report: f.file}); err != nil {
		return err
	}
	return leave(code)
}

// besideSeal refuses a file or folder in a sealed run directory: one more than the
// manifest names breaks the seal.
func besideSeal(dir, to string) error {
	if _, err := os.Stat(filepath.Join(dir, seal.EnvelopeFile)); errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err := export.Outside(dir, to); err != nil {
		return exit.Usage(fmt.Errorf("report %q, which is sealed: %w", dir, err), outsideMend)
	}
	return nil
}
