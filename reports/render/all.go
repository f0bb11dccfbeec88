package render

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"

	"plumbline/reports"
)

// All writes every form of the run into dir, which must exist: summary.json
// with its schema, junit.xml, ctrf.json, openmetrics.txt, report.html, report.md,
// report.txt, badge.svg, and latency/ with an HdrHistogram log of each distribution.
// Each file appears whole or not at all; existing ones are replaced. The run
// should have passed its Validate; All itself also shows partial runs.
func All(dir string, run *reports.Run) error {
	files, err := filesOf(run)
	if err != nil {
		return err
	}
	for _, f := range files {
		if err := place(dir, f); err != nil {
			return fmt.Errorf("render: write report: %w", err)
		}
	}
	return nil
}

// filesOf renders every file that All writes.
func filesOf(run *reports.Run) ([]file, error) {
	forms := []struct {
		name   string
		render Renderer
	}{
		{SummaryFile, JSON}, {JUnitFile, JUnit}, {CTRFFile, CTRF}, {HTMLFile, HTML},
		{MarkdownFile, Markdown}, {TextFile, Text}, {BadgeFile, Badge}, {MetricsFile, OpenMetrics},
		{SchemaFile, func(w io.Writer, _ *reports.Run) error { _, err := w.Write(schema); return err }},
	}
	files, err := logs(run)
	if err != nil {
		return nil, err
	}
	for _, form := range forms {
		var buf bytes.Buffer
		if err := form.render(&buf, run); err != nil {
			return nil, err
		}
		files = append(files, file{name: form.name, content: buf.Bytes()})
	}
	return files, nil
}

// place writes one file below dir. A folder of it that is a link, which may lead
// anywhere, is refused.
func place(dir string, f file) error {
	full := filepath.Join(dir, filepath.FromSlash(f.name))
	if folder := filepath.Dir(full); folder != filepath.Clean(dir) {
		if err := os.Mkdir(folder, 0o755); err != nil && !errors.Is(err, fs.ErrExist) { //nolint:gosec // G301: a report is for others to read
			return err
		}
		if info, err := os.Lstat(folder); err != nil || !info.IsDir() {
			return errors.Join(err, fmt.Errorf("%s is no folder: remove it and render again", folder))
		}
	}
	return writeWhole(full, f.content)
}

// writeWhole replaces path by content through a temporary file in the same
// folder, so that a full disk never leaves half a report.
func writeWhole(path string, content []byte) error {
	tmp, err := os.CreateTemp(filepath.Dir(path), ".render-*")
	if err != nil {
		return err
	}
	_, err = tmp.Write(content)
	if err = errors.Join(err, tmp.Chmod(0o644), tmp.Close()); err == nil {
		err = os.Rename(tmp.Name(), path)
	}
	if err != nil {
		return errors.Join(err, os.Remove(tmp.Name()))
	}
	return nil
}
