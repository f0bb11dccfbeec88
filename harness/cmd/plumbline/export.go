package main

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"github.com/spf13/cobra"

	"plumbline/harness/cmd/plumbline/internal/campaign"
	"plumbline/harness/cmd/plumbline/internal/console"
	"plumbline/harness/cmd/plumbline/internal/exit"
	"plumbline/harness/cmd/plumbline/internal/export"
	"plumbline/harness/record"
	"plumbline/reports"
	"plumbline/reports/render"
)

// codeQuality is the form of export that is one file and no table.
const codeQuality = "codequality"

// outsideMend is what to do when something would be written into a run.
const outsideMend = "name a place outside the run directory: a file more breaks its seal"

func newExport(s streams) *cobra.Command {
	var format, to, file string
	cmd := &cobra.Command{
		Use: "export DIR", Short: "Write a run as tables (CSV, Parquet) or as GitLab's report of code quality",
		Example: "plumbline export reports/out/latest --to tables\nplumbline export reports/out/latest --format parquet --to tables\n" +
			"plumbline export reports/out/latest --format codequality --to gl-code-quality-report.json --file my.sut.yaml",
		Long: `csv and parquet write a file per table into the folder --to: requirements, results, measurements, findings, latencies,
latency_buckets, timelines, faults, hops, integrity, devices, rasters, returns, resources, resource_faults, approaches, claims; and of the recordings every
record (records) and event (events). Column names say the unit; instants are on the clock of their bench. In CSV
(RFC 4180, UTF-8) text is one line of visible characters, and what a spreadsheet would take for a formula, also behind a
semicolon, begins with an apostrophe.

codequality writes one file, what does not pass as issues at the top of --file, for artifacts:reports:codequality.

What every run directory holds already needs no export: summary.json, junit.xml, ctrf.json, openmetrics.txt and, for the
tools of HdrHistogram, latency/*.hlog. The summary is believed; plumbline verify and report --recompute tell whether to.`,
		Args: oneArg("a run directory"),
		RunE: func(_ *cobra.Command, args []string) error {
			if to == "" {
				return exit.Usage(errors.New("--to is missing"), "name the folder, or with --format codequality the file, to write")
			}
			if format == codeQuality {
				return exportCodeQuality(s, args[0], to, file)
			}
			return exportTables(s, args[0], to, export.Format(format))
		},
	}
	cmd.Flags().StringVar(&format, "format", string(export.CSV), "csv, parquet or codequality")
	cmd.Flags().StringVar(&to, "to", "", "folder for the tables, or file for codequality")
	cmd.Flags().StringVar(&file, "file", ".gitlab-ci.yml", "path in the repository that issues of codequality are shown at")
	return cmd
}

func exportTables(s streams, dir, to string, format export.Format) error {
	if format != export.CSV && format != export.Parquet {
		return exit.Usage(fmt.Errorf("--format %q is none", format), "it is csv, parquet or codequality")
	}
	out, err := export.Tables(dir, to, format)
	switch {
	case errors.Is(err, record.ErrCorrupt):
		return exit.With(reports.ExitVerify, err, "get the run directory again from whoever made it; plumbline verify tells whether more of it was changed")
	case errors.Is(err, export.ErrInside):
		return exit.Usage(err, outsideMend)
	case err != nil:
		return refusedRun(dir, to, err)
	}
	for _, bench := range out.Partial {
		fmt.Fprintf(s.err, "plumbline: the recording of %s ends early; what it holds is written\n", console.Clean(bench))
	}
	_, err = fmt.Fprintf(s.out, "exported: %d tables, %d rows, in %s\n", len(out.Files), out.Rows, to)
	return err
}

func exportCodeQuality(s streams, dir, to, file string) error {
	run, err := render.Load(dir)
	if err != nil {
		return notARun(err)
	}
	if err := export.Outside(dir, to); err != nil {
		return exit.Usage(err, outsideMend)
	}
	var buf bytes.Buffer
	if err := render.CodeQuality(&buf, run, file); err != nil {
		return err
	}
	if err := os.WriteFile(to, buf.Bytes(), 0o644); err != nil { //nolint:gosec // G306: made to be shown
		return campaign.WriteError(to, err)
	}
	_, err = fmt.Fprintf(s.out, "exported: %s\n", to)
	return err
}

// refusedRun tells what could not be read from what could not be written.
func refusedRun(dir, to string, err error) error {
	var refused *render.RefusedError
	var path *os.PathError
	if errors.As(err, &path) && !errors.As(err, &refused) && below(to, path.Path) {
		return campaign.WriteError(to, err)
	}
	if _, missing := os.Stat(filepath.Join(dir, render.SummaryFile)); missing != nil || errors.As(err, &refused) {
		return notARun(err)
	}
	return err
}

// below reports whether path is dir or lies below it.
func below(dir, path string) bool {
	rel, err := filepath.Rel(dir, path)
	return err == nil && rel != ".." && !strings.HasPrefix(rel, ".."+string(filepath.Separator))
}
