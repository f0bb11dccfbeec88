package lock

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"time"
)

// DefaultTTL is how long a lock lasts without being renewed.
const DefaultTTL = 30 * time.Second

// guardWait bounds how long the guard of a folder is waited for: it is held for
// microseconds, so this is a process that was stopped within.
const guardWait = 5 * time.Second

// ErrHeld is wrapped by the error of Acquire for a lock that another has.
var ErrHeld = errors.New("it is locked")

// Dir is a folder of locks, made at the first use. The zero value is the one
// that all programs of this machine share: plumbline-locks in the folder for
// temporary files.
type Dir struct {
	Path string
	TTL  time.Duration    // 0 = DefaultTTL
	Now  func() time.Time // nil = time.Now
}

// Claim is what a lock says about its holder.
type Claim struct {
	Name    string    `json:"name"`
	Owner   string    `json:"owner"`   // program and user
	Purpose string    `json:"purpose"` // what for
	PID     int       `json:"pid"`
	Host    string    `json:"host"`
	Since   time.Time `json:"since"`
	Expires time.Time `json:"expires"` // unless it is renewed
}

// String says who holds it, what for and since when.
func (c Claim) String() string {
	if c.PID == 0 {
		return "by an unknown process"
	}
	return fmt.Sprintf("by %s (process %d on %s) for %q since %s, until %s unless renewed",
		c.Owner, c.PID, c.Host, c.Purpose, c.Since.Format(time.RFC3339), c.Expires.Format(time.RFC3339))
}

// Lock is a held lock. It renews itself until Release.
type Lock struct {
	dir   Dir
	file  *os.File
	claim Claim // owned by the renewing goroutine once it runs

	stop context.CancelFunc
	done chan struct{} // closed when the renewing goroutine has ended
	lost chan struct{}

	once sync.Once
	err  error
}

// Folder returns the path of the folder.
func (d Dir) Folder() string { return d.path() }

func (d Dir) path() string {
	if d.Path != "" {
		return d.Path
	}
	tmp := os.TempDir()
	if runtime.GOOS != "windows" {
		tmp = "/tmp" // TMPDIR differs between users; the devices do not
	}
	return filepath.Join(tmp, "plumbline-locks")
}

func (d Dir) now() time.Time {
	if d.Now != nil {
		return d.Now()
	}
	return time.Now()
}

func (d Dir) ttl() time.Duration {
	if d.TTL > 0 {
		return d.TTL
	}
	return DefaultTTL
}

// file is the path of a lock.
func (d Dir) file(name string) string { return filepath.Join(d.path(), escape(name)+suffix) }

// maxName bounds a name in bytes; escaped it is up to three times as long and
// must still be the name of a file.
const maxName = 80

// suffix ends the name of a lock's file.
const suffix = ".lock"

// escape turns the name of a device into one of a file.
func escape(name string) string {
	var b strings.Builder
	for _, c := range []byte(name) {
		if c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= '0' && c <= '9' || c == '-' || c == '_' {
			b.WriteByte(c)
		} else {
			fmt.Fprintf(&b, "%%%02X", c)
		}
	}
	return b.String()
}

// Acquire takes the lock of that name and does not wait for it: the error wraps
// ErrHeld and says who has it, what for and how to end that. Owner and purpose
// are for people, and cut off behind 256 bytes. It blocks for a few milliseconds, at most 5 s; ctx ends that.
func (d Dir) Acquire(ctx context.Context, name, owner, purpose string) (*Lock, error) {
	if name == "" || len(name) > maxName {
		return nil, fmt.Errorf("lock: name %q: must have 1 to %d bytes", name, maxName)
	}
	if err := d.make(); err != nil {
		return nil, err
	}
	host, err := os.Hostname()
	if err != nil {
		host = "unknown"
	}
	now := d.now().UTC()
	claim := Claim{Name: name, Owner: clip(owner), Purpose: clip(purpose), PID: os.Getpid(), Host: host, Since: now.Truncate(time.Second)}
	var file *os.File
	err = d.guarded(ctx, func() error {
		file, err = d.take(&claim)
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("lock: %q: %w", name, err)
	}
	run, stop := context.WithCancel(context.Background())
	l := &Lock{dir: d, file: file, claim: claim, stop: stop, done: make(chan struct{}), lost: make(chan struct{})}
	go l.renew(run)
	return l, nil
}

// maxText bounds owner and purpose, in bytes: a claim must fit into maxClaim
// however its texts are escaped.
const maxText = 256

// clip shortens a text for people.
func clip(text string) string {
	if len(text) <= maxText {
		return text
	}
	return strings.ToValidUTF8(text[:maxText], "") + "…"
}

// take opens, locks and writes the file of the claim; the guard is held.
func (d Dir) take(claim *Claim) (*os.File, error) {
	path := d.file(claim.Name)
	file, err := open(path)
	if err != nil {
		return nil, err
	}
	held, err := TryFile(file)
	if err != nil {
		return nil, errors.Join(err, file.Close())
	}
	if held {
		has := read(file)
		_ = file.Close() // read only
		switch {
		case has.PID == 0: // when it expires cannot be read
			return nil, fmt.Errorf("%w %s; end it: fuser %s", ErrHeld, has, path)
		case has.Expires.After(d.now()):
			return nil, fmt.Errorf("%w %s; wait, or end it: kill %d", ErrHeld, has, has.PID)
		}
		if file, err = d.supplant(path, claim); err != nil {
			return nil, fmt.Errorf("%w %s; it has expired and cannot be taken over (%w): end it: kill %d", ErrHeld, has, err, has.PID)
		}
		return file, nil
	}
	if err := d.write(file, claim); err != nil {
		return nil, errors.Join(err, file.Close())
	}
	return file, nil
}

// supplant puts a new file in the place of one whose holder does not renew it.
// The holder keeps the old one, and finds out. What fails changes nothing.
func (d Dir) supplant(path string, claim *Claim) (*os.File, error) {
	const fresh = ".new"
	_ = os.Remove(path + fresh) // of a process that ended in here
	file, err := open(path + fresh)
	if err != nil {
		return nil, err
	}
	held, err := TryFile(file)
	if held {
		err = errors.New("the new file is locked")
	}
	if err == nil {
		err = d.write(file, claim)
	}
	if err == nil {
		err = os.Rename(path+fresh, path)
	}
	if err != nil {
		return nil, errors.Join(err, file.Close(), os.Remove(path+fresh))
	}
	return file, nil
}

// write moves the claim's expiry on and puts it into its file.
func (d Dir) write(file *os.File, claim *Claim) error {
	claim.Expires = d.now().UTC().Add(d.ttl())
	return write(file, *claim)
}

// renew moves the expiry on until run ends or another has taken over.
func (l *Lock) renew(run context.Context) {
	defer close(l.done)
	tick := time.NewTicker(l.dir.ttl() / 3)
	defer tick.Stop()
	for {
		select {
		case <-run.Done():
			return
		case <-tick.C:
		}
		err := l.dir.guarded(run, func() error {
			if !same(l.file, l.dir.file(l.claim.Name)) {
				return errTaken
			}
			return l.dir.write(l.file, &l.claim)
		})
		if errors.Is(err, errTaken) {
			close(l.lost)
			return
		}
		// Any other failure is tried again: until the expiry nothing is lost.
	}
}

// errTaken says that the file of a lock is another's now.
var errTaken = errors.New("taken over")

// Lost is closed when another has taken the lock over because this process did
// not renew it in time: stop using the device.
func (l *Lock) Lost() <-chan struct{} { return l.lost }

// Release gives the lock back and waits for its goroutine. It is idempotent.
func (l *Lock) Release() error {
	l.once.Do(func() {
		l.stop()
		<-l.done
		err := l.dir.guarded(context.Background(), func() error {
			path := l.dir.file(l.claim.Name)
			if !same(l.file, path) {
				return nil // another's by now
			}
			if runtime.GOOS == "windows" {
				return l.file.Truncate(0) // an open file cannot be removed there
			}
			return os.Remove(path)
		})
		if err := errors.Join(err, l.file.Close()); err != nil {
			l.err = fmt.Errorf("lock: release %q: %w", l.claim.Name, err)
		}
	})
	return l.err
}
