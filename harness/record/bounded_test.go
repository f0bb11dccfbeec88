package record

import (
	"errors"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
)

// TestLoadIsBounded: files that no recorder wrote, however large they say they
// are and wherever they lead, are refused by name, and little memory is taken.
func TestLoadIsBounded(t *testing.T) {
	sparse := func(size int64) func(string) error {
		return func(path string) error { return os.Truncate(path, size) } // takes no room on the disk
	}
	for _, c := range []struct {
		name, file, want string
		spoil            func(path string) error
	}{
		{"many zeros", recordsFile, "no chunk begins here", sparse(4 << 30)},
		{"more zeros than any", recordsFile, "more than any recorder writes", sparse(maxRecords + 1)},
		{"endless events", eventsFile, "more than any recorder writes", sparse(maxEvents + 1)},
		{"an endless index", indexFile, "more than any recorder writes", sparse(maxIndex + 1)},
		{"a link", recordsFile, "no plain file", func(path string) error { return os.Symlink(filepath.Join(filepath.Dir(path), indexFile), path) }},
		{"a folder", eventsFile, "no plain file", func(path string) error { return os.Mkdir(path, 0o750) }},
		{"a link for an index", indexFile, "no plain file", func(path string) error { return os.Symlink("/dev/zero", path) }},
	} {
		t.Run(c.name, func(t *testing.T) {
			r, dir := newTestRecorder(t)
			r.Add(Record{Kind: Received, Seq: 1})
			if err := r.Close(); err != nil {
				t.Fatal(err)
			}
			path := filepath.Join(dir, c.file)
			if strings.HasPrefix(c.want, "no plain") {
				if err := os.Remove(path); err != nil {
					t.Fatal(err)
				}
			}
			if err := c.spoil(path); err != nil {
				t.Skip(err)
			}
			var before, after runtime.MemStats
			runtime.ReadMemStats(&before)
			_, err := Load(dir)
			runtime.ReadMemStats(&after)
			if !errors.Is(err, ErrCorrupt) || !strings.Contains(err.Error(), c.want) || !strings.Contains(err.Error(), c.file) {
				t.Errorf("%v, want damage of %s: %s", err, c.file, c.want)
			}
			if took := after.TotalAlloc - before.TotalAlloc; took > 32<<20 {
				t.Errorf("it took %d bytes of memory", took)
			}
		})
	}
}
