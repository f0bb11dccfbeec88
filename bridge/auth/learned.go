package auth

import (
	"errors"
	"maps"
	"slices"
	"time"
)

// Several bridges may tell each other of what is revoked: what is said here is what they need for it.

// appendMost is how many learned tokens are written one by one; more are left to Run, which writes the file anew.
const appendMost = 16

// Ended returns the tokens that were ended, by Identity.Key, and until when each is kept.
func (r *Revocations) Ended() map[string]time.Time {
	_, all := r.ended.whole()
	return all
}

// FreshEnded returns the tokens that End was called for since the last call of FreshEnded; the first call returns none.
func (r *Revocations) FreshEnded() map[string]time.Time {
	e := r.ended
	e.mu.Lock()
	defer e.mu.Unlock()
	fresh := e.fresh
	e.fresh = map[string]time.Time{}
	return fresh
}

// List returns the entries of the file in force, in the form of its lines, in order.
func (r *Revocations) List() []string {
	return slices.Sorted(maps.Keys(*r.set.Load()))
}

// Learn takes what other bridges say: tokens that were ended there, which are ended here too from then on, and the entries of all their
// files, in the place of those of the call before. It calls the watchers if that changes anything, and then writes the file.
func (r *Revocations) Learn(ended map[string]time.Time, entries []string) error {
	e := r.ended
	var fresh []string
	for key, until := range ended {
		if e.now().Before(until) && e.note(key, until) {
			fresh = append(fresh, key)
		}
	}
	set := make(map[string]struct{}, len(entries))
	for _, entry := range entries {
		set[entry] = struct{}{}
	}
	was := r.others.Swap(&set)
	if len(fresh) > 0 || !maps.Equal(*was, set) {
		r.tell()
	}
	if len(fresh) > appendMost {
		e.mu.Lock()
		defer e.mu.Unlock()
		e.torn = e.path != ""
		return nil
	}
	var failed []error
	for _, key := range fresh {
		failed = append(failed, e.save(key, ended[key]))
	}
	return errors.Join(failed...)
}
