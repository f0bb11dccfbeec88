package record

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// TestReadEvidence: what is of another format, damaged or not there is told apart, and a newer format is named even where it has members
// of its own.
func TestReadEvidence(t *testing.T) {
	dir := t.TempDir()
	read := func(text string) (name string, err error) {
		path := filepath.Join(dir, "e.json")
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		var v struct{ Format, Name string }
		err = ReadEvidence(path, 100, "x/v1", &v)
		return v.Name, err
	}
	if name, err := read(`{"format": "x/v1", "name": "a"}`); err != nil || name != "a" {
		t.Errorf("%q, %v", name, err)
	}
	for text, want := range map[string]string{
		`{"format": "x/v2", "more": 1}`: `has format "x/v2", this program reads "x/v1"`, `{"name": "a"}`: `has format ""`,
		`{"format": "x/v1", "more": 1}`: "is damaged", `{"format":`: "is damaged", `{"format": "x/v1"` + strings.Repeat(" ", 100) + "}": "more than any recorder writes",
	} {
		if _, err := read(text); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v, want %q", text, err, want)
		}
	}
	if err := ReadEvidence(filepath.Join(dir, "none.json"), 100, "x/v1", &struct{}{}); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("none: %v", err)
	}
}
