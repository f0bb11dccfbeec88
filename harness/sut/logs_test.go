//go:build unix

package sut

import (
	"bytes"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"
)

// A system that says much fills no disk: of its log the beginning is kept and the end,
// and how much is not is said in the log and to whoever asks. It goes on writing.
func TestALogIsKeptBelowItsLimit(t *testing.T) {
	const limit, each = 256 << 10, 100 * 801
	dir := t.TempDir()
	s := startProgram(t, "serve", Options{Dir: dir, LogLimit: limit})
	said, seen, shortened := int64(0), int64(0), 0
	waitFor(t, "the log to be shortened twice", func() bool {
		if say(t, s.Broker(), "chatter", time.Minute) == "chatter" {
			said += each
		}
		for _, o := range s.Omitted() {
			if o.Bytes > seen {
				seen = o.Bytes
				shortened++
			}
		}
		return shortened >= 2
	})
	if got := say(t, s.Broker(), "die", time.Minute); got != "" {
		t.Fatalf("it answered %q", got)
	}
	<-s.Exited()
	if err := s.Err(); err == nil || !strings.Contains(err.Error(), "told to die") {
		t.Errorf("its last words are lost: %v", err)
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	log, err := os.ReadFile(filepath.Join(dir, "program.log"))
	if err != nil {
		t.Fatal(err)
	}
	begin, err := os.ReadFile(filepath.Join(dir, "program.begin.log"))
	if err != nil {
		t.Fatal(err)
	}
	if len(log) > limit+each || len(begin) != limit/beginShare {
		t.Errorf("%d bytes are kept, and %d of the beginning", len(log), len(begin))
	}
	if !bytes.HasPrefix(begin, []byte("program starts in mode serve\n")) || !bytes.HasSuffix(log, []byte("program was told to die\n")) {
		t.Errorf("it begins with %.40q and ends with %.40q", begin, log[max(0, len(log)-40):])
	}
	told := regexp.MustCompile(`(?m)^plumbline: \d+ bytes before this line were left out: .* its beginning is in program\.begin\.log$`)
	if !told.Match(log) { // it may stand behind a line that was written meanwhile
		t.Errorf("it does not say what was left out: %.200q…", log)
	}
	omitted := s.Omitted()
	if len(omitted) != 1 || omitted[0].File != "program.log" {
		t.Fatalf("omitted %+v", omitted)
	}
	if kept := int64(len(log) + len(begin)); omitted[0].Bytes+kept < said-2*each { // what is written while it is shortened is not counted
		t.Errorf("%d bytes were said, %d are kept and %d said to be left out", said, kept, omitted[0].Bytes)
	}
}

// A log within its limit is left alone.
func TestAShortLogIsWhole(t *testing.T) {
	dir := t.TempDir()
	s := startProgram(t, "serve", Options{Dir: dir})
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	entries, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range entries {
		if strings.HasSuffix(e.Name(), beginSuffix) {
			t.Errorf("%s was kept of a short log", e.Name())
		}
	}
	if got := s.Omitted(); len(got) != 0 {
		t.Errorf("omitted %+v", got)
	}
}
