package auth

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"maps"
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

	file sync.Mutex // held while the file is written, and taken before mu: nobody waits for a disk to have a token looked up

	mu      sync.Mutex
	path    string // "" = memory only
	until   map[string]time.Time
	unsaved map[string]struct{}  // of until: not in the file yet
	fresh   map[string]time.Time // of until: see FreshEnded; nil = nobody asks
	torn    bool                 // the file lacks something, holds what has expired, or ends within a line
}

// How long mending waits after the last try, which failed.
const (
	mendFirst = time.Second
	mendLast  = time.Minute
)

func newEnded() *ended {
	return &ended{until: map[string]time.Time{}, unsaved: map[string]struct{}{}, now: time.Now, replace: replace}
}

// KeepEnded reads the file at path, which holds the ended tokens from now on; without it End holds until the process ends. Call
// it before anything else. A missing file is made at the first End. A line that a crash left incomplete is passed over. A file that
// can be read but not written anew, as on a full disk, is no error: what it holds counts, and Run tries again.
func (r *Revocations) KeepEnded(path string) error {
	if err := r.ReadEnded(path); err != nil {
		return err
	}
	r.ended.keepAt(path)
	if err := r.ended.mend(); err != nil {
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

// End makes the token behind id count for nothing from now on, calls the watchers, and only then waits for the disk, which keeps it
// over a restart. The error is that of the file; the token is ended in memory all the same, and comes into the file as soon as Run, or
// the next End, can write it.
func (r *Revocations) End(id Identity) error {
	if id.Key == "" {
		return errors.New("auth: end: the identity is not of a token")
	}
	until := id.Expires.Add(time.Minute) // the leeway is at most that
	r.ended.noteFresh(id.Key, until)
	r.tell()
	return r.ended.save(id.Key, until)
}

func (e *ended) has(key string) bool {
	e.mu.Lock()
	defer e.mu.Unlock()
	_, ok := e.until[key]
	return ok
}

// keepAt makes path the file, which is due to be written.
func (e *ended) keepAt(path string) {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.path, e.torn = path, true
}

// save appends a token that was noted to the file; now and then it writes the file anew, without those that have expired.
func (e *ended) save(key string, until time.Time) error {
	e.file.Lock()
	defer e.file.Unlock()
	switch path, missing, torn := e.lacks(key); {
	case path == "":
		return nil
	case torn:
		return e.rewrite()
	case !missing:
		return nil
	default:
		return e.append(path, key, until)
	}
}

// noteFresh is note for a token that other bridges are to be told of.
func (e *ended) noteFresh(key string, until time.Time) {
	if !e.note(key, until) {
		return
	}
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.fresh != nil {
		e.fresh[key] = until
	}
}

// note keeps a token in memory, so that it counts for nothing from then on, and reports whether it is new.
func (e *ended) note(key string, until time.Time) bool {
	e.mu.Lock()
	defer e.mu.Unlock()
	if _, known := e.until[key]; known {
		return false
	}
	e.until[key] = until
	if e.path != "" {
		e.unsaved[key] = struct{}{}
	}
	if n := len(e.until); n >= 1024 && n&(n-1) == 0 {
		for key, until := range e.until {
			if !e.now().Before(until) {
				delete(e.until, key)
				delete(e.unsaved, key)
			}
		}
		e.torn = true
	}
	return true
}

// lacks says whether the token is missing in the file, and whether that is to be written anew.
func (e *ended) lacks(key string) (path string, missing, torn bool) {
	e.mu.Lock()
	defer e.mu.Unlock()
	_, missing = e.unsaved[key]
	return e.path, missing, e.torn
}

// append adds a line. The caller holds file.
func (e *ended) append(path, key string, until time.Time) error {
	f, err := os.OpenFile(path, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err == nil {
		_, err = f.WriteString(endedLine(key, until))
		err = errors.Join(err, f.Sync(), f.Close())
	}
	e.mu.Lock()
	defer e.mu.Unlock()
	if err != nil {
		e.torn = true
		return fmt.Errorf("auth: ended tokens: %w", err)
	}
	delete(e.unsaved, key)
	return nil
}

// follow writes what could not be written, until ctx ends: a second after it failed, then less and less often, and at the end once
// more, for the disk may be free again by then.
func (e *ended) follow(ctx context.Context) {
	wait := mendFirst
	timer := time.NewTimer(wait)
	defer timer.Stop()
	for {
		select {
		case <-ctx.Done():
			_ = e.mend() // of an error End, or KeepEnded, has told
			return
		case <-timer.C:
		}
		if wait = min(2*wait, mendLast); e.mend() == nil {
			wait = mendFirst
		}
		timer.Reset(wait)
	}
}

// mend writes what could not be written.
func (e *ended) mend() error {
	e.file.Lock()
	defer e.file.Unlock()
	if path, _, torn := e.lacks(""); path == "" || !torn {
		return nil
	}
	return e.rewrite()
}

// rewrite replaces the file in one step, if there is anything to keep or to drop. The caller holds file.
func (e *ended) rewrite() error {
	path, all := e.whole()
	if _, err := os.Stat(path); !errors.Is(err, fs.ErrNotExist) || len(all) > 0 {
		var text strings.Builder
		for key, until := range all {
			text.WriteString(endedLine(key, until))
		}
		if err := e.replace(path, []byte(text.String())); err != nil {
			return fmt.Errorf("auth: ended tokens: %w", err)
		}
	}
	e.mu.Lock()
	defer e.mu.Unlock()
	for key := range all { // others came meanwhile, and whoever brought them waits for file
		delete(e.unsaved, key)
	}
	e.torn = false
	return nil
}

// whole is what the file is to hold.
func (e *ended) whole() (path string, all map[string]time.Time) {
	e.mu.Lock()
	defer e.mu.Unlock()
	return e.path, maps.Clone(e.until)
}

func endedLine(key string, until time.Time) string {
	return key + " " + strconv.FormatInt(until.Unix(), 10) + "\n"
}
