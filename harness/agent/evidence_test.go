package agent

import (
	"errors"
	"os"
	"path/filepath"
	"testing"

	"plumbline/harness/record"
)

// TestEvidenceThatLeadsAnywhere: a link or a pipe in a run directory is damage, and
// nobody reads it to its end.
func TestEvidenceThatLeadsAnywhere(t *testing.T) {
	for _, file := range []string{evidenceFile, clockFile} {
		dir := t.TempDir()
		if err := os.Symlink("/dev/zero", filepath.Join(dir, file)); err != nil {
			t.Skip(err) // a system without links
		}
		read := func() error { _, err := ReadEvidence(dir); return err }
		if file == clockFile {
			read = func() error { _, err := ReadClock(dir); return err }
		}
		if err := read(); !errors.Is(err, record.ErrCorrupt) {
			t.Errorf("%s: %v", file, err)
		}
	}
}
