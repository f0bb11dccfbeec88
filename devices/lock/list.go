package lock

import (
	"context"
	"errors"
	"fmt"
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
)

// State is one lock of a folder.
type State struct {
	Claim  Claim
	Status Status
	Path   string
}

// List returns the locks of the folder, sorted by name; none when there is no
// folder. It blocks as Acquire does.
func (d Dir) List(ctx context.Context) ([]State, error) {
	paths, _ := filepath.Glob(filepath.Join(d.path(), "*"+suffix)) // the pattern is sound
	if len(paths) == 0 {
		return nil, nil
	}
	var out []State
	err := d.guarded(ctx, func() error {
		for _, path := range paths {
			state, found, err := d.look(path)
			if err != nil {
				return err
			}
			if found {
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

// look says what one file means; the guard is held.
func (d Dir) look(path string) (State, bool, error) {
	file, err := os.OpenFile(path, os.O_RDWR|noFollow, 0)
	if errors.Is(err, os.ErrNotExist) {
		return State{}, false, nil // released meanwhile
	}
	if err != nil {
		return State{}, false, err
	}
	defer func() { _ = file.Close() }()
	held, err := TryFile(file)
	if err != nil {
		return State{}, false, err
	}
	s := State{Claim: read(file), Status: Held, Path: path}
	switch {
	case !held && s.Claim.PID == 0:
		return s, false, nil // released, where files cannot be removed
	case !held:
		s.Status = Stale
	case s.Claim.PID != 0 && !s.Claim.Expires.After(d.now()):
		s.Status = Expired
	}
	return s, true, nil
}
