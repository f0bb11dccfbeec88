package auth

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"strconv"
	"strings"
	"sync"
	"time"
)

// ended holds the tokens that their holders logged out, by Identity.Key, until they expire. A file keeps them over a restart.
type ended struct {
	now     func() time.Time
	replace func(path string, content []byte) error // replace, but in tests

	mu    sync.Mutex
	path  string // "" = memory only
	until map[string]time.Time
	torn  bool // the file lacks something, or ends within a line
}

// KeepEnded reads the file at path, which holds the ended tokens from now on; without it End holds until the process ends. Call
// it before anything else. A missing file is made at the first End. A line that a crash left incomplete is passed over. A file that
// can be read but not written anew, as on a full disk, is no error: what it holds counts, and Run tries again.
func (r *Revocations) KeepEnded(path string) error {
	if err := r.ReadEnded(path); err != nil {
		return err
	}
	e := r.ended
	e.mu.Lock()
	defer e.mu.Unlock()
	e.path = path
	if err := e.rewrite(); err != nil {
		e.torn = true
		r.log.Error("ended tokens not written anew at the start, trying again", "error", err)
	}
	return nil
}

// ReadEnded takes the ended tokens from the file at path, which belongs to a bridge, and changes nothing. A missing file has none.
func (r *Revocations) ReadEnded(path string) error {
	raw, err := os.ReadFile(path)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("auth: ended tokens: %w", err)
	}
	e := r.ended
	e.mu.Lock()
	defer e.mu.Unlock()
	for line := range strings.Lines(string(raw)) {
		key, end, ok := strings.Cut(strings.TrimSuffix(line, "\n"), " ")
		unix, err := strconv.ParseInt(end, 10, 64)
		if until := time.Unix(unix, 0); ok && err == nil && key != "" && e.now().Before(until) {
			e.until[key] = until
		}
	}
	return nil
}

// End makes the token behind id count for nothing from now on, here and after a restart, and calls the watchers. The error is
// that of the file; the token is ended in memory all the same, and comes into the file as soon as Run, or the next End, can write it.
func (r *Revocations) End(id Identity) error {
	if id.Key == "" {
		return errors.New("auth: end: the identity is not of a token")
	}
	err := r.ended.add(id.Key, id.Expires.Add(time.Minute)) // the leeway is at most that
	r.tell()
	return err
}

func (e *ended) has(key string) bool {
	e.mu.Lock()
	defer e.mu.Unlock()
	_, ok := e.until[key]
	return ok
}

// add appends one token; now and then it writes the file anew, without those that have expired.
func (e *ended) add(key string, until time.Time) error {
	e.mu.Lock()
	defer e.mu.Unlock()
	if _, ok := e.until[key]; ok && !e.torn {
		return nil
	}
	e.until[key] = until
	if n := len(e.until); n >= 1024 && n&(n-1) == 0 {
		for key, until := range e.until {
			if !e.now().Before(until) {
				delete(e.until, key)
			}
		}
		e.torn = true
	}
	if e.torn {
		return e.rewrite()
	}
	if e.path == "" {
		return nil
	}
	f, err := os.OpenFile(e.path, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err == nil {
		_, err = f.WriteString(endedLine(key, until))
		err = errors.Join(err, f.Sync(), f.Close())
	}
	if err != nil {
		e.torn = true
		return fmt.Errorf("auth: ended tokens: %w", err)
	}
	return nil
}

// mend writes what could not be written.
func (e *ended) mend() {
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.torn {
		_ = e.rewrite() // End has told it, and another try follows
	}
}

// rewrite replaces the file in one step, if there is anything to keep or to drop. The caller holds mu.
func (e *ended) rewrite() error {
	if e.path == "" {
		return nil
	}
	if _, err := os.Stat(e.path); errors.Is(err, fs.ErrNotExist) && len(e.until) == 0 {
		return nil
	}
	var text strings.Builder
	for key, until := range e.until {
		text.WriteString(endedLine(key, until))
	}
	if err := e.replace(e.path, []byte(text.String())); err != nil {
		return fmt.Errorf("auth: ended tokens: %w", err)
	}
	e.torn = false
	return nil
}

func endedLine(key string, until time.Time) string {
	return key + " " + strconv.FormatInt(until.Unix(), 10) + "\n"
}
