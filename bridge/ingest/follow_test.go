package ingest

import (
	"bytes"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// TestHalfWrittenFileIsNotRead: a file that is written in place is empty, or half there, for a moment. Nobody is cut, and no
// certificate is good again, for that.
func TestHalfWrittenFileIsNotRead(t *testing.T) {
	path := filepath.Join(t.TempDir(), "f")
	write := func(text string) {
		t.Helper()
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	var inForce []string
	write("one")
	now := time.Unix(1_000_000, 0)
	f := &followed{
		path: path, key: "k", now: func() time.Time { return now },
		parse: func(raw []byte) error { inForce = append(inForce, string(raw)); return nil },
	}
	if err := f.first(); err != nil {
		t.Fatal(err)
	}
	for _, part := range []string{"", "tw", "two three"} {
		now = now.Add(followEvery)
		write(part)
		f.again(testLog())
		now = now.Add(settled - 1) // a signal, beside a tick
		f.again(testLog())
	}
	for range 2 {
		now = now.Add(1)
		f.again(testLog())
	}
	if got := strings.Join(inForce, "|"); got != "one|two three" {
		t.Errorf("read %q", got)
	}
}

// TestMissingFileIsStaleUntilItIsRead: a file that is there again is in force when it has settled and was read, and not before.
func TestMissingFileIsStaleUntilItIsRead(t *testing.T) {
	path := filepath.Join(t.TempDir(), "f")
	now, read := time.Unix(1_000_000, 0), 0
	var said bytes.Buffer
	f := &followed{path: path, key: "k", now: func() time.Time { return now }, parse: func([]byte) error { read++; return nil }}
	look := func(what string, stale float64, times int) {
		t.Helper()
		f.again(slog.New(slog.NewTextHandler(&said, nil)))
		if f.stale() != stale || read != times || strings.Contains(said.String(), "in force anew") != (read > 1) {
			t.Errorf("%s: stale %v, read %d times, said %q; want %v, %d", what, f.stale(), read, said.String(), stale, times)
		}
	}
	write := func(text string) {
		t.Helper()
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	write("one")
	if err := f.first(); err != nil {
		t.Fatal(err)
	}
	if err := os.Remove(path); err != nil {
		t.Fatal(err)
	}
	look("removed", 1, 1)
	write("other")
	look("written anew", 1, 1)
	now = now.Add(settled - 1)
	look("not settled", 1, 1)
	now = now.Add(1)
	look("settled", 0, 2)
}
