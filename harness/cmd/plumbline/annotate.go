package main

import (
	"bytes"
	"errors"
	"fmt"
	"os"

	"plumbline/reports"
	"plumbline/reports/render"
)

// annotate tells GitHub Actions, when the program runs there, what did not pass:
// as annotations of the job and as its summary. file is shown as the place of
// each; "" is none. It changes no verdict: what fails is told and that is all.
func annotate(s streams, run *reports.Run, file string) {
	if s.getenv("GITHUB_ACTIONS") != "true" {
		return
	}
	err := render.GitHub(s.out, run, file)
	if path := s.getenv("GITHUB_STEP_SUMMARY"); path != "" {
		err = errors.Join(err, summarise(path, run))
	}
	if err != nil {
		complain(s.err, fmt.Errorf("tell GitHub of the run: %w", err))
	}
}

// summarise appends to the summary of the step, which has a limit.
func summarise(path string, run *reports.Run) error {
	f, err := os.OpenFile(path, os.O_APPEND|os.O_CREATE|os.O_WRONLY, 0o600)
	if err != nil {
		return err
	}
	const limit = 1 << 20
	info, err := f.Stat()
	if err != nil {
		return errors.Join(err, f.Close())
	}
	var buf bytes.Buffer
	if err := render.GitHubSummary(&buf, run, int(max(limit-info.Size(), 0))); err != nil {
		return errors.Join(err, f.Close())
	}
	_, err = f.Write(buf.Bytes())
	return errors.Join(err, f.Close())
}
