package lock

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strconv"
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

// Claim is what a lock says about its holder. It stands in a file that every user
// of the machine may write: String makes it fit to be shown.
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
		Printable(c.Owner), c.PID, Printable(c.Host), clip(c.Purpose), c.Since.Format(time.RFC3339), c.Expires.Format(time.RFC3339))
}

// Printable returns a text of a claim as it may be shown: shortened, and with what
// would control a terminal or change the order of characters escaped.
func Printable(text string) string {
	quoted := strconv.Quote(clip(text))
	return quoted[1 : len(quoted)-1]
}

// Lock is a held lock of one name or several. It renews itself until Release.
type Lock struct {
	dir   Dir
	claim Claim // of all names; Name and Expires are not set

	mu       sync.Mutex // taken after the guard
	held     []hold     // owned by mu
	released bool       // owned by mu

	stop context.CancelFunc
	done chan struct{} // closed when the renewing goroutine has ended
	lost chan struct{}

	once sync.Once
	err  error
}

// hold is the file of one name.
type hold struct {
	name string
	file *os.File
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
func (d Dir) file(name string) string {
	base := escape(name)
	if len(base) > maxBase { // its head for people, and what tells it from others
		base = fmt.Sprintf("%s-%x", base[:maxBase/2], sha256.Sum256([]byte(name)))
	}
	return filepath.Join(d.path(), base+suffix)
}

// maxBase bounds the name of a file without its suffix; systems take 255 bytes.
const maxBase = 240

// MaxName bounds a name, in bytes.
const MaxName = 512

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
// are for people, and cut off behind 256 bytes. It blocks for a few milliseconds,
// at most 5 s; ctx ends that.
func (d Dir) Acquire(ctx context.Context, name, owner, purpose string) (*Lock, error) {
	return d.AcquireAll(ctx, []string{name}, owner, purpose)
}

// AcquireAll is Acquire for one thing that has several names: it takes all of
// them or none, in one piece, so that two who name it in another order cannot
// get half of it each. Nobody is granted any of the names meanwhile.
func (d Dir) AcquireAll(ctx context.Context, names []string, owner, purpose string) (*Lock, error) {
	if len(names) == 0 {
		return nil, errors.New("lock: no name")
	}
	if err := d.make(); err != nil {
		return nil, err
	}
	host, err := os.Hostname()
	if err != nil {
		host = "unknown"
	}
	l := &Lock{dir: d, done: make(chan struct{}), lost: make(chan struct{}), claim: Claim{
		Owner: clip(owner), Purpose: clip(purpose), PID: os.Getpid(), Host: host, Since: d.now().UTC().Truncate(time.Second),
	}}
	if err := l.Rename(ctx, names); err != nil {
		return nil, err
	}
	run, stop := context.WithCancel(context.Background())
	l.stop = stop
	go l.renew(run)
	return l, nil
}

// Rename makes the lock one of other names, in one piece: those that it has
// already it keeps, those that it lacks it takes, the others it gives back. On
// an error it has what it had; the error wraps ErrHeld when another has one of
// the names. It blocks as Acquire does.
func (l *Lock) Rename(ctx context.Context, names []string) error {
	names = slices.Compact(slices.Sorted(slices.Values(names)))
	for _, name := range names {
		if name == "" || len(name) > MaxName {
			return fmt.Errorf("lock: name %q: must have 1 to %d bytes", name, MaxName)
		}
	}
	err := l.dir.guarded(ctx, func() error {
		l.mu.Lock()
		defer l.mu.Unlock()
		if l.released {
			return errors.New("it is released")
		}
		return l.rename(names)
	})
	if err != nil {
		return fmt.Errorf("lock: %w", err)
	}
	return nil
}

// rename is Rename; the guard and mu are held.
func (l *Lock) rename(names []string) error {
	var kept, taken, gone []hold
	for _, h := range l.held {
		switch {
		case !slices.Contains(names, h.name):
			gone = append(gone, h)
		case !same(h.file, l.dir.file(h.name)):
			return fmt.Errorf("%q: %w", h.name, errTaken)
		default:
			kept = append(kept, h)
		}
	}
	for _, name := range names {
		if slices.ContainsFunc(kept, func(h hold) bool { return h.name == name }) {
			continue
		}
		claim := l.claim
		claim.Name = name
		file, err := l.dir.take(&claim)
		if err != nil {
			return errors.Join(fmt.Errorf("%q: %w", name, err), l.dir.drop(taken))
		}
		taken = append(taken, hold{name, file})
	}
	l.held = slices.Concat(kept, taken)
	_ = l.dir.drop(gone) // a file that stays is stale: it hinders nobody
	return nil
}

// drop gives files back; the guard is held.
func (d Dir) drop(gone []hold) error {
	var errs []error
	for _, h := range gone {
		path := d.file(h.name)
		if same(h.file, path) { // else it is another's by now
			if runtime.GOOS == "windows" {
				errs = append(errs, h.file.Truncate(0)) // an open file cannot be removed there
			} else {
				errs = append(errs, os.Remove(path))
			}
		}
		errs = append(errs, h.file.Close())
	}
	return errors.Join(errs...)
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
		has, end := read(file), State{Path: path, Holder: holder(file)}.End()
		_ = file.Close() // read only
		switch {
		case has.PID == 0: // when it expires cannot be read
			return nil, fmt.Errorf("%w %s; end it: %s", ErrHeld, has, end)
		case has.Expires.After(d.now()):
			return nil, fmt.Errorf("%w %s; wait, or end it: %s", ErrHeld, has, end)
		}
		if file, err = d.supplant(path, claim); err != nil {
			return nil, fmt.Errorf("%w %s; it has expired and cannot be taken over (%w): end it: %s", ErrHeld, has, err, end)
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
		err := l.dir.guarded(run, l.prolong)
		if errors.Is(err, errTaken) {
			close(l.lost)
			return
		}
		// Any other failure is tried again: until the expiry nothing is lost.
	}
}

// prolong moves the expiry of every name on; the guard is held.
func (l *Lock) prolong() error {
	l.mu.Lock()
	defer l.mu.Unlock()
	var errs []error
	for _, h := range l.held {
		if !same(h.file, l.dir.file(h.name)) {
			return errTaken
		}
		claim := l.claim
		claim.Name = h.name
		errs = append(errs, l.dir.write(h.file, &claim))
	}
	return errors.Join(errs...)
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
		err := l.dir.guarded(context.Background(), func() error { return l.dir.drop(l.end()) })
		for _, h := range l.end() { // without the guard: the files stay, and hold nothing
			err = errors.Join(err, h.file.Close())
		}
		if err != nil {
			l.err = fmt.Errorf("lock: release: %w", err)
		}
	})
	return l.err
}

// end takes the files out of the lock, for good.
func (l *Lock) end() []hold {
	l.mu.Lock()
	defer l.mu.Unlock()
	held := l.held
	l.held, l.released = nil, true
	return held
}
