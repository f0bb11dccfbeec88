package ingest

import (
	"errors"
	"fmt"
	"log/slog"
	"os"
	"sync"
	"time"
)

// followEvery is how often followed files are looked at: a change holds when it is seen a second time, settled later or more, so that
// a file that is being written in place is not taken half, also when [Broker.Reload] looks just beside a tick.
const (
	followEvery = 200 * time.Millisecond
	settled     = 150 * time.Millisecond
)

// errUnsettled is the answer of a look to a file that may still be written.
var errUnsettled = errors.New("ingest: the file has changed just now")

// maxFollowed bounds a followed file.
const maxFollowed = 64 << 20

// followed is a file whose content is parsed again when it changes; what is wrong leaves the last good content in force.
type followed struct {
	path  string
	key   string // of the configuration, for messages
	parse func(raw []byte) error
	now   func() time.Time // nil = time.Now

	mu   sync.Mutex
	seen stamp     // at the last look
	at   time.Time // of the first look that saw it
	read stamp     // of what was parsed last
	sum  string    // content of a small file: a rewrite within one tick of the file system's clock is seen too
	bad  error     // what is wrong with that content
	err  string    // what was said last
}

// stamp tells one state of a file from another.
type stamp struct {
	size int64
	mod  time.Time
}

// smallFile is the size up to which the content itself is compared.
const smallFile = 256 << 10

// first reads the file, which must be there and good.
func (f *followed) first() error {
	_, err := f.look(true)
	return err
}

// again reads the file if it changed and reports whether something new is in force. Each problem is said once.
func (f *followed) again(log *slog.Logger) bool {
	changed, err := f.look(false)
	if errors.Is(err, errUnsettled) {
		return false // what was said last holds
	}
	text := ""
	if err != nil {
		text = err.Error()
	}
	f.mu.Lock()
	fresh := text != f.err
	f.err = text
	f.mu.Unlock()
	switch {
	case fresh && err != nil:
		log.Error("a followed file cannot be used, the last good one stays in force", "key", f.key, "error", err)
	case changed || fresh:
		log.Info("a followed file is in force anew", "key", f.key)
	}
	return changed
}

// stale returns 1 while the last good content is in force instead of the file's.
func (f *followed) stale() float64 {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.err != "" {
		return 1
	}
	return 0
}

// look reads the file when it has changed and, but for the first time, has stayed so since an earlier look: errUnsettled until then.
func (f *followed) look(first bool) (changed bool, err error) {
	info, err := os.Stat(f.path)
	if err != nil {
		return false, fmt.Errorf("ingest: %s: %w", f.key, err)
	}
	if info.Size() > maxFollowed {
		return false, fmt.Errorf("ingest: %s: %q has %d bytes, at most %d are read", f.key, f.path, info.Size(), maxFollowed)
	}
	f.mu.Lock()
	now := stamp{info.Size(), info.ModTime()}
	same, stays := f.read == now, f.stays(now)
	sum, bad := f.sum, f.bad
	f.mu.Unlock()
	if !first && !stays {
		return false, errUnsettled
	}
	if same && info.Size() > smallFile {
		return false, bad
	}
	raw, err := os.ReadFile(f.path)
	if err != nil {
		return false, fmt.Errorf("ingest: %s: %w", f.key, err)
	}
	if same && string(raw) == sum {
		return false, bad
	}
	err = f.parse(raw)
	f.mu.Lock()
	defer f.mu.Unlock()
	f.read, f.sum = now, ""
	if len(raw) <= smallFile {
		f.sum = string(raw)
	}
	if f.bad = nil; err != nil {
		f.bad = fmt.Errorf("ingest: %s %q: %w", f.key, f.path, err)
	}
	return err == nil, f.bad
}

// stays notes what a look saw and reports whether it has been so for long enough. The caller holds mu.
func (f *followed) stays(now stamp) bool {
	clock := time.Now
	if f.now != nil {
		clock = f.now
	}
	if f.seen != now {
		f.seen, f.at = now, clock()
		return false
	}
	return clock().Sub(f.at) >= settled
}
