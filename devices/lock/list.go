package lock

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strings"
)

// Status is what a lock's file means.
type Status string

// The states of a lock. A stale one hinders nobody: the next who comes takes it.
const (
	Held    Status = "held"
	Expired Status = "expired" // its process lives and does not renew it: it hangs
	Stale   Status = "stale"   // its process has gone without releasing it
	Foreign Status = "foreign" // no file of this package, or of a user who lets nobody in: it says nothing and hinders who wants the lock
)

// State is one lock of a folder.
type State struct {
	Claim  Claim // as its file says; the name is that of the file
	Status Status
	Path   string
	Holder int // process whose hold the kernel lists; 0 when it lists none, or is none of Linux
}

// End is the command that ends the hold of a lock, or finds who has it. Every user
// may write what a claim says: a process gets into it by what the kernel says alone.
func (s State) End() string {
	if s.Holder == 0 {
		return "fuser " + s.Path
	}
	return fmt.Sprintf("kill %d", s.Holder)
}

// List returns the locks of the folder, sorted by name; none when there is no
// folder. Of a Foreign one the claim has nothing but the name. It blocks as Acquire does.
func (d Dir) List(ctx context.Context) ([]State, error) {
	paths, _ := filepath.Glob(filepath.Join(d.path(), "*"+suffix)) // the pattern is sound
	if len(paths) == 0 {
		return nil, nil
	}
	var out []State
	err := d.guarded(ctx, func() error {
		for _, path := range paths {
			if state, found := d.look(path); found {
				out = append(out, state)
			}
		}
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("lock: list %q: %w", d.path(), err)
	}
	slices.SortFunc(out, func(a, b State) int { return strings.Compare(a.Claim.Name, b.Claim.Name) })
	return out, nil
}

// name is the name whose lock the file of that path is, as far as its own name tells;
// false for a path that is no lock's. Such a file hinders nobody, and its name, which
// any user may have chosen, must not get into a command that a mend shows.
func (d Dir) name(path string) (string, bool) {
	base := strings.TrimSuffix(filepath.Base(path), suffix)
	name, err := url.PathUnescape(base)
	switch {
	case err == nil && name != "" && filepath.Base(d.file(name)) == filepath.Base(path):
		return name, true
	case len(base) == maxBase/2+1+2*sha256.Size: // the head of a long name and its hash
		return base, escape(strings.ReplaceAll(base, "%", "")) == strings.ReplaceAll(base, "%", "")
	}
	return "", false
}

// look says what one file means; the guard is held. Everybody may put a file into
// the folder: one that cannot be looked at must not hide the others.
func (d Dir) look(path string) (State, bool) {
	name, ours := d.name(path)
	if !ours {
		return State{}, false
	}
	foreign := State{Claim: Claim{Name: name}, Status: Foreign, Path: path}
	if info, err := os.Lstat(path); err == nil && !info.Mode().IsRegular() {
		return foreign, true // a pipe would keep who opens it
	}
	file, err := os.OpenFile(path, os.O_RDWR|noFollow, 0)
	if errors.Is(err, os.ErrNotExist) {
		return State{}, false // released meanwhile
	}
	if err != nil {
		return foreign, true
	}
	defer func() { _ = file.Close() }()
	held, err := TryFile(file)
	if err != nil {
		return foreign, true
	}
	s := State{Claim: read(file), Status: Held, Path: path}
	if filepath.Base(d.file(s.Claim.Name)) != filepath.Base(path) { // it says another
		s.Claim.Name = name
	}
	if held {
		s.Holder = holder(file)
	}
	switch {
	case !held && s.Claim.PID == 0:
		return s, false // released, where files cannot be removed
	case !held:
		s.Status = Stale
	case s.Claim.PID != 0 && !s.Claim.Expires.After(d.now()):
		s.Status = Expired
	}
	return s, true
}
