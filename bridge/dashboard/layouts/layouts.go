// Package layouts keeps the dashboards that viewers have laid out: one file each, replaced in one step and on disk before it is
// answered for, and an index of them in memory. What is in a layout is the page's business; here it is text of a bounded size.
package layouts

import (
	"cmp"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"sync"
	"time"
)

// How much is kept.
const (
	MaxBytes   = 64 << 10 // of one layout
	MaxOwn     = 64       // layouts of one account
	MaxAll     = 10_000   // layouts in all
	MaxAllSize = 64 << 20 // bytes in all
)

// Errors of a Store.
var (
	ErrNotFound = errors.New("layouts: there is no such layout")
	ErrOwn      = errors.New("layouts: the account has as many layouts as one may have")
	ErrFull     = errors.New("layouts: the bridge keeps no more layouts")
)

// Account is whose layouts are meant. No account sees another's, but for what that one shares within its tenant.
type Account struct{ Tenant, Subject string }

// key names the account's folder. Tenants and subjects hold what file names may not.
func (a Account) key() string {
	sum := sha256.Sum256([]byte(a.Tenant + "\x00" + a.Subject))
	return hex.EncodeToString(sum[:16])
}

// Entry says of a layout what is not in it.
type Entry struct {
	ID       string
	Owner    Account
	Title    string
	Shared   bool // all of the owner's tenant may read it
	Bytes    int
	Modified time.Time
	Tag      string // names this version of it, content and Shared: an entity tag without its quotes
}

var goodID = regexp.MustCompile(`^[a-z0-9]([a-z0-9-]{0,62}[a-z0-9])?$`)

// ValidID reports whether a name can be a layout's: 1 to 64 lower case letters, digits and dashes, no dash at an end. Such a name is
// a file's on every system.
func ValidID(id string) bool { return goodID.MatchString(id) }

// Store keeps layouts in a folder, which it makes and reads when it is first asked. It is safe for concurrent use; who writes waits
// for the disk, and so does who asks meanwhile.
type Store struct {
	dir string
	log *slog.Logger
	now func() time.Time

	mu    sync.RWMutex
	known map[string]map[string]*Entry // by Account.key and id; nil = not read yet
	count int
	bytes int64

	looked time.Time // when all files were last looked for
}

// New returns the store of a folder, which need not be there yet.
func New(dir string, log *slog.Logger, now func() time.Time) *Store {
	return &Store{dir: dir, log: log, now: now}
}

// List returns the account's own layouts, then those that others of its tenant share, each by title.
func (s *Store) List(who Account) ([]Entry, error) {
	if err := s.ready(); err != nil {
		return nil, err
	}
	s.mu.RLock()
	defer s.mu.RUnlock()
	var all []Entry
	for _, own := range s.known {
		for _, e := range own {
			if e.visible(who) {
				all = append(all, *e)
			}
		}
	}
	slices.SortFunc(all, func(a, b Entry) int {
		if mine := a.Owner == who; mine != (b.Owner == who) {
			return map[bool]int{true: -1, false: 1}[mine]
		}
		return cmp.Or(cmp.Compare(a.Title, b.Title), cmp.Compare(a.ID, b.ID), cmp.Compare(a.Owner.Subject, b.Owner.Subject))
	})
	return all, nil
}

func (e *Entry) visible(to Account) bool {
	return e.Owner == to || e.Shared && e.Owner.Tenant == to.Tenant
}

// Get returns a layout of owner's as who sees it. ErrNotFound is also said of what who may not see.
func (s *Store) Get(who, owner Account, id string) (text []byte, e Entry, err error) {
	if err := s.ready(); err != nil {
		return nil, Entry{}, err
	}
	key := owner.key()
	s.mu.RLock()
	found := s.known[key][id]
	if found == nil || !found.visible(who) {
		s.mu.RUnlock()
		return nil, Entry{}, ErrNotFound
	}
	e = *found
	_, text, err = read(s.path(key, id))
	s.mu.RUnlock()
	if errors.Is(err, fs.ErrNotExist) {
		s.mu.Lock()
		defer s.mu.Unlock()
		s.look(key, id)
		return nil, Entry{}, ErrNotFound
	}
	return text, e, err
}

// Put stores a layout of who's and returns what is known of it then. allow is asked first with what is there, nil for nothing; an
// error of it is returned and nothing happens. Without error the layout is on disk.
func (s *Store) Put(who Account, id, title string, shared bool, text []byte, allow func(now *Entry) error) (e Entry, created bool, err error) {
	if err := s.ready(); err != nil {
		return Entry{}, false, err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	key := who.key()
	s.look(key, id)
	old := s.known[key][id]
	if err := allow(old); err != nil {
		return Entry{}, false, err
	}
	e = Entry{ID: id, Owner: who, Title: title, Shared: shared, Bytes: len(text), Modified: s.now().UTC().Truncate(time.Microsecond), Tag: tag(shared, text)}
	if old != nil && old.Tag == e.Tag {
		return *old, false, nil // it is there already
	}
	if s.room(key, old, e.Bytes) != nil {
		s.lookAll()
	}
	if err := s.room(key, old, e.Bytes); err != nil {
		return Entry{}, false, err
	}
	replaced, err := s.write(key, &e, text)
	if replaced {
		s.keep(key, &e)
	}
	if err != nil {
		return Entry{}, false, err
	}
	return e, old == nil, nil
}

// room is nil when so many bytes may be stored in the place of old, nil for a new one. The caller holds mu.
func (s *Store) room(key string, old *Entry, size int) error {
	all := s.bytes + int64(size)
	switch {
	case old != nil:
		all -= int64(old.Bytes)
	case len(s.known[key]) >= MaxOwn:
		return ErrOwn
	case s.count >= MaxAll:
		return ErrFull
	}
	if all > MaxAllSize {
		return ErrFull
	}
	return nil
}

// Delete takes a layout of who's away; allow as in Put.
func (s *Store) Delete(who Account, id string, allow func(now *Entry) error) error {
	if err := s.ready(); err != nil {
		return err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	key := who.key()
	s.look(key, id)
	old := s.known[key][id]
	if old == nil {
		return ErrNotFound
	}
	if err := allow(old); err != nil {
		return err
	}
	if err := os.Remove(s.path(key, id)); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	if s.forget(key, old); s.known[key] == nil {
		_ = os.Remove(filepath.Join(s.dir, key)) // what is in it, as another's file, keeps it
		return syncDir(s.dir)
	}
	return syncDir(filepath.Join(s.dir, key))
}

// keep notes what is on disk. The caller holds mu.
func (s *Store) keep(key string, e *Entry) {
	own := s.known[key]
	if own == nil {
		own = map[string]*Entry{}
		s.known[key] = own
	}
	if old := own[e.ID]; old != nil {
		s.bytes -= int64(old.Bytes)
		s.count--
	}
	own[e.ID] = e
	s.bytes += int64(e.Bytes)
	s.count++
}

// forget takes note that a layout is not on disk any more. The caller holds mu.
func (s *Store) forget(key string, e *Entry) {
	own := s.known[key]
	delete(own, e.ID)
	s.count--
	s.bytes -= int64(e.Bytes)
	if len(own) == 0 {
		delete(s.known, key)
	}
}

// look forgets a layout whose file somebody has removed by hand. The caller holds mu.
func (s *Store) look(key, id string) {
	e := s.known[key][id]
	if e == nil {
		return
	}
	if _, err := os.Lstat(s.path(key, id)); errors.Is(err, fs.ErrNotExist) {
		s.forget(key, e)
	}
}

// lookEvery is how often all files are looked for at most.
const lookEvery = time.Minute

// lookAll looks for the files of all layouts, for an operator who has made room, and not more often than lookEvery. The caller holds mu.
func (s *Store) lookAll() {
	if now := s.now(); now.Sub(s.looked) >= lookEvery {
		s.looked = now
		for key, own := range s.known {
			for id := range own {
				s.look(key, id)
			}
		}
	}
}

func tag(shared bool, text []byte) string {
	h := sha256.New()
	if shared {
		h.Write([]byte{1})
	}
	h.Write([]byte{0})
	h.Write(text)
	return base64.RawURLEncoding.EncodeToString(h.Sum(nil)[:16])
}
