package main

import (
	"errors"
	"fmt"
	"io/fs"
	"net/http"
	"os"
	"regexp"
	"strconv"
	"strings"
	"sync"
	"time"
)

// wall is the wall clock of the system. A hook of the descriptor steps it by way
// of a file, which holds the seconds that it is ahead of the machine's: no bench
// may step the clock that everybody on this machine goes by.
type wall struct {
	path string // "" for a clock that nobody steps

	mu     sync.Mutex
	looked time.Time
	ahead  time.Duration
}

// wallLook is how old what was read of the file may be.
const wallLook = 20 * time.Millisecond

// now returns the time of day, without a monotonic reading.
func (w *wall) now() time.Time {
	now := time.Now()
	if w.path == "" {
		return now.Round(0)
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	if now.Sub(w.looked) > wallLook {
		w.looked = now
		if seconds, err := readStep(w.path); err == nil {
			w.ahead = time.Duration(seconds) * time.Second
		}
	}
	return now.Round(0).Add(w.ahead)
}

var dateLine = regexp.MustCompile(`(?i)\r\ndate:[^\r\n]*`)

// date has the head of an answer tell the time of the wall clock, where somebody
// steps that.
func (w *wall) date(head []byte) []byte {
	if w.path == "" {
		return head
	}
	return dateLine.ReplaceAll(head, []byte("\r\nDate: "+w.now().UTC().Format(http.TimeFormat)))
}

// readStep returns by how many seconds the clock was stepped in all.
func readStep(path string) (int64, error) {
	text, err := os.ReadFile(path) //nolint:gosec // G703: where the harness says
	if errors.Is(err, fs.ErrNotExist) {
		return 0, nil
	}
	if err != nil {
		return 0, err
	}
	return strconv.ParseInt(strings.TrimSpace(string(text)), 10, 64)
}

// stepClock is what the hook runs: flawed --step FILE SECONDS.
func stepClock(args []string) error {
	if len(args) != 2 {
		return fmt.Errorf("%w: --step needs a file and seconds", errUsage)
	}
	by, err := strconv.ParseInt(args[1], 10, 64)
	if err != nil {
		return fmt.Errorf("%w: --step: %w", errUsage, err)
	}
	was, err := readStep(args[0])
	if err != nil {
		return fmt.Errorf("clock: %w", err)
	}
	// Whole or not at all: it is read meanwhile.
	next := args[0] + ".next"
	if err := os.WriteFile(next, strconv.AppendInt(nil, was+by, 10), 0o600); err != nil { //nolint:gosec // G703: as above
		return fmt.Errorf("clock: %w", err)
	}
	return os.Rename(next, args[0]) //nolint:gosec // G703: as above
}

// wallClock (F68) has its timer for viewers without data go by the wall clock: a
// step ahead ends them all.
func wallClock(f *front, p param) *flaw {
	idle := p.time(0)
	return &flaw{bridgeFrame: func(s *session, _ frame) bool {
		now := f.wall.now()
		late := !s.heard.IsZero() && now.Sub(s.heard) > idle
		s.heard = now
		if late {
			f.count.fire()
			s.end()
		}
		return !late
	}}
}
