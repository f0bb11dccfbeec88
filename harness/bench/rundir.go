package bench

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"time"

	"plumbline/devices/lock"
)

// Errors that callers branch on; both are the user's to mend (exit code 2).
var (
	// ErrHeld marks a run directory that another process is writing.
	ErrHeld = errors.New("run directory is in use")
	// ErrNotEmpty marks a directory that holds something already.
	ErrNotEmpty = errors.New("run directory is not empty")
)

// LatestLink is the name of the link to the youngest run.
const LatestLink = "latest"

// lockSuffix is appended to the path of a run directory: the lock lies beside
// it, because everything inside is sealed.
const lockSuffix = ".lock"

// RunDir is a run directory that is held by this process until Release. The
// hold ends with the process, however that ends.
type RunDir struct {
	Path string // absolute

	once sync.Once
	file *os.File
	err  error
}

// holder is what the lock file says about its process.
type holder struct {
	PID     int       `json:"pid"`
	Host    string    `json:"host"`
	Started time.Time `json:"started"`
}

// CreateRun makes the directory <UTC>_<profile>_<id> under root, which is made
// as well, holds it and points the link "latest" to it.
func CreateRun(root, profile, id string, started time.Time) (*RunDir, error) {
	name := fmt.Sprintf("%s_%s_%s", started.UTC().Format("20060102T150405Z"), plain(profile), plain(id))
	if err := os.MkdirAll(root, 0o755); err != nil { //nolint:gosec // artifacts are there to be read by others
		return nil, fmt.Errorf("bench: folder of runs %q: %w", root, err)
	}
	r, err := HoldRun(filepath.Join(root, name))
	if err != nil {
		return nil, err
	}
	if err := pointLatest(root, name); err != nil {
		return nil, errors.Join(err, r.Release())
	}
	return r, nil
}

// plain keeps what may stand in a file name everywhere.
func plain(text string) string {
	return strings.Map(func(r rune) rune {
		if (r >= 'a' && r <= 'z') || (r >= 'A' && r <= 'Z') || (r >= '0' && r <= '9') || r == '-' || r == '.' {
			return r
		}
		return '-'
	}, text)
}

// HoldRun holds a directory, which must be empty or not exist yet. The error is
// ErrHeld, naming the process that has it, or ErrNotEmpty.
func HoldRun(path string) (*RunDir, error) {
	path, err := filepath.Abs(path)
	if err != nil {
		return nil, fmt.Errorf("bench: run directory %q: %w", path, err)
	}
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil { //nolint:gosec // artifacts are there to be read by others
		return nil, fmt.Errorf("bench: run directory %q: %w", path, err)
	}
	file, err := take(path, write)
	if err != nil {
		return nil, err
	}
	r := &RunDir{Path: path, file: file}
	if err := os.MkdirAll(path, 0o755); err != nil { //nolint:gosec // artifacts are there to be read by others
		return nil, errors.Join(fmt.Errorf("bench: run directory %q: %w", path, err), r.Release())
	}
	entries, err := os.ReadDir(path)
	if err == nil && len(entries) > 0 {
		err = fmt.Errorf("%w: it holds %q; give each run a directory of its own", ErrNotEmpty, entries[0].Name())
	}
	if err != nil {
		return nil, errors.Join(fmt.Errorf("bench: run directory %q: %w", path, err), r.Release())
	}
	return r, nil
}

// take opens and locks the lock file of a run directory; say writes into it who
// holds it. After an error neither the lock nor the file is left.
func take(path string, say func(*os.File) error) (*os.File, error) {
	name := path + lockSuffix
	for range 100 {
		file, err := os.OpenFile(name, os.O_RDWR|os.O_CREATE, 0o644) //nolint:gosec // artifacts are there to be read by others
		if err != nil {
			return nil, fmt.Errorf("bench: run directory %q: %w", path, err)
		}
		held, err := lock.TryFile(file)
		if err == nil && !held && same(file, name) {
			if err := say(file); err != nil {
				_ = os.Remove(name) //nolint:gosec // the path is the user's own
				_ = file.Close()
				return nil, fmt.Errorf("bench: lock of run directory %q: %w", path, err)
			}
			return file, nil
		}
		_ = file.Close()
		if err != nil {
			return nil, fmt.Errorf("bench: lock of run directory %q: %w", path, err)
		}
		if held {
			return nil, fmt.Errorf("bench: run directory %q: %w%s; wait for it or name another directory", path, ErrHeld, describe(name))
		}
		// The holder let go and removed the file while we waited: once more.
	}
	return nil, fmt.Errorf("bench: lock of run directory %q changes hands all the time: %w", path, ErrHeld)
}

// same reports whether the open file is still the one of that name.
func same(file *os.File, name string) bool {
	a, err := file.Stat()
	if err != nil {
		return false
	}
	b, err := os.Stat(name) //nolint:gosec // the path is the user's own
	return err == nil && os.SameFile(a, b)
}

// write says who holds the lock.
func write(file *os.File) error {
	host, err := os.Hostname()
	if err != nil {
		host = "unknown"
	}
	data, err := json.Marshal(holder{PID: os.Getpid(), Host: host, Started: time.Now().UTC().Truncate(time.Second)})
	if err != nil {
		return err
	}
	if err := file.Truncate(0); err != nil {
		return err
	}
	_, err = file.WriteAt(append(data, '\n'), 0)
	return err
}

// describe says who holds a lock file, as far as it tells.
func describe(name string) string {
	data, err := os.ReadFile(name) //nolint:gosec // the path is the user's own
	if err != nil {
		return ""
	}
	var h holder
	if json.Unmarshal(data, &h) != nil || h.PID == 0 {
		return ""
	}
	return fmt.Sprintf(" by process %d on %s since %s", h.PID, h.Host, h.Started.Format(time.RFC3339))
}

// Release lets the directory go. What is in it stays. It is idempotent.
func (r *RunDir) Release() error {
	r.once.Do(func() {
		// Removed while it is still held: whoever opened it before sees that.
		removed := os.Remove(r.Path + lockSuffix)
		if runtime.GOOS == "windows" {
			removed = nil // an open file cannot be removed there; it is stale and harmless
		}
		r.err = errors.Join(removed, r.file.Close())
	})
	return r.err
}

// pointLatest makes the link without a moment in which there is none.
func pointLatest(root, name string) error {
	link := filepath.Join(root, LatestLink)
	fresh := fmt.Sprintf("%s.%d", link, os.Getpid())
	err := os.Symlink(name, fresh)
	if err == nil {
		err = os.Rename(fresh, link)
	}
	if err == nil {
		return nil
	}
	_ = os.Remove(fresh)
	if runtime.GOOS == "windows" {
		return nil // links need a privilege there; the run is printed by its name anyway
	}
	return fmt.Errorf("bench: link %q: %w", link, err)
}
