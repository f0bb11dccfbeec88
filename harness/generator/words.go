package generator

import (
	"bytes"
	"fmt"
	"log/slog"
	"strings"
	"sync"
)

const (
	// keptLines is how many of the last lines of a generator an error quotes.
	keptLines = 8
	// maxLine bounds what is kept of one line, in bytes.
	maxLine = 512
)

// causes begin the line that says why a program of Go ended: hundreds may follow.
var causes = []string{"panic: ", "fatal error: ", "plumbline: "}

// Words keeps the last lines that a process says, the one that names a cause, and
// logs all of them. Make it with NewWords.
type Words struct {
	log *slog.Logger

	mu    sync.Mutex
	line  []byte // that has not ended yet
	lines []string
	cause string // the first of causes, when it is no longer among lines
}

// NewWords makes the Words of a process that has said nothing yet.
func NewWords(log *slog.Logger) *Words { return &Words{log: log} }

// Write implements io.Writer. It never fails.
func (w *Words) Write(p []byte) (int, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	for rest := p; len(rest) > 0; {
		part, after, whole := bytes.Cut(rest, []byte("\n"))
		w.line = append(w.line, part[:min(len(part), maxLine-len(w.line))]...)
		if whole {
			w.end()
		}
		rest = after
	}
	return len(p), nil
}

// end keeps the line that has ended; the caller holds mu.
func (w *Words) end() {
	line := strings.TrimRight(string(w.line), "\r ")
	w.line = w.line[:0]
	if line == "" {
		return
	}
	w.log.Debug("a process of the harness", "said", line)
	if w.lines = append(w.lines, line); len(w.lines) <= keptLines {
		return
	}
	for _, begin := range causes {
		if w.cause == "" && strings.HasPrefix(w.lines[0], begin) {
			w.cause = w.lines[0] + "\n…\n"
		}
	}
	w.lines = append(w.lines[:0], w.lines[1:]...)
}

// Last returns the end of a sentence that quotes what was said last, "" when
// nothing was.
func (w *Words) Last() string {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.end()
	if len(w.lines) == 0 {
		return ""
	}
	return fmt.Sprintf("; it said last: %q", w.cause+strings.Join(w.lines, "\n"))
}
