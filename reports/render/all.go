package render

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"

	"plumbline/reports"
)

// All writes every form of the run into dir, which must exist: summary.json
// with its schema, junit.xml, ctrf.json, report.html, report.md, report.txt and badge.svg.
// Each file appears whole or not at all; existing ones are replaced. The run
// should have passed its Validate; All itself also shows partial runs.
func All(dir string, run *reports.Run) error {
	forms := []struct {
		name   string
		render Renderer
	}{
		{SummaryFile, JSON}, {JUnitFile, JUnit}, {CTRFFile, CTRF}, {HTMLFile, HTML},
		{MarkdownFile, Markdown}, {TextFile, Text}, {BadgeFile, Badge},
		{SchemaFile, func(w io.Writer, _ *reports.Run) error { _, err := w.Write(schema); return err }},
	}
	for _, form := range forms {
		var buf bytes.Buffer
		if err := form.render(&buf, run); err != nil {
			return err
		}
		if err := writeWhole(filepath.Join(dir, form.name), buf.Bytes()); err != nil {
			return fmt.Errorf("render: write report: %w", err)
		}
	}
	return nil
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
