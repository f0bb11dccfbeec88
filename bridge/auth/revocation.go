package auth

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"maps"
	"os"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"
)

// RevocationInterval is how often the file is looked at: a revocation holds at most this much later.
const RevocationInterval = 200 * time.Millisecond

// maxRevocationBytes bounds the file.
const maxRevocationBytes = 64 << 20

// Revocations is the set of revoked subjects, token ids and tenants read from a file, one `sub:NAME`, `sub:TENANT/NAME`, `jti:ID` or
// `tenant:TENANT` a line; a NAME without tenant is that of every tenant. Empty lines and lines starting with # count for nothing. To it come the tokens that their holders ended. The zero value is not usable; see
// NewRevocations. Safe for concurrent use.
type Revocations struct {
	path  string
	lone  bool // there are no tenants
	log   *slog.Logger
	set   atomic.Pointer[map[string]struct{}]
	ended *ended

	others atomic.Pointer[map[string]struct{}] // what other bridges' lists say, see Learn

	mu       sync.Mutex
	last     fileState
	fault    error // of the file in this state
	lastErr  string
	stale    func(float64)
	watchers map[int]func()
	next     int
}

// fileState tells whether a file may have changed.
type fileState struct {
	exists bool
	size   int64
	mod    time.Time
	sum    string // the content when it is small; a rewrite within one clock tick is then still seen
}

// NewRevocations reads path once. An empty path means that nothing is ever revoked; a missing file is an empty list, so that
// it may be made later. A malformed file is an error here; later, in Run, its good lines add to the list in force. Where the verifier has
// no tenant prefix (its Options.TenantPrefix) no token is of a tenant, and a line that revokes one is malformed.
func NewRevocations(path, tenantPrefix string, log *slog.Logger) (*Revocations, error) {
	r := &Revocations{path: path, lone: tenantPrefix == "", log: log, stale: func(float64) {}, watchers: map[int]func(){}, ended: newEnded()}
	empty := map[string]struct{}{}
	r.set.Store(&empty)
	r.others.Store(&empty)
	if path == "" {
		return r, nil
	}
	if _, err := r.reload(); err != nil {
		return nil, err
	}
	return r, nil
}

// Revoked reports whether id's subject, token id or tenant is on the list, or its token was ended.
func (r *Revocations) Revoked(id Identity) bool {
	if r.ended.has(id.Key) {
		return true
	}
	set, others := *r.set.Load(), *r.others.Load()
	if len(set)+len(others) == 0 {
		return false
	}
	names := []string{"sub:" + id.Subject}
	if id.TokenID != "" {
		names = append(names, "jti:"+id.TokenID)
	}
	if id.Tenant != "" {
		names = append(names, "tenant:"+id.Tenant, "sub:"+id.Account())
	}
	return slices.ContainsFunc(names, func(name string) bool {
		_, here := set[name]
		_, there := others[name]
		return here || there
	})
}

// ShowStale calls set with 0 now, and from Run's goroutine with 1 when the file begins not to be in force as a whole, with 0 when it is
// again. Call it before Run.
func (r *Revocations) ShowStale(set func(float64)) {
	r.stale = set
	set(0)
}

// Watch calls f after each change of the list, from Run's or End's goroutine. The returned function ends that.
func (r *Revocations) Watch(f func()) (cancel func()) {
	r.mu.Lock()
	defer r.mu.Unlock()
	n := r.next
	r.next++
	r.watchers[n] = f
	return func() {
		r.mu.Lock()
		defer r.mu.Unlock()
		delete(r.watchers, n)
	}
}

// Run looks at the file every RevocationInterval until ctx ends, and returns nil then. Of a file that cannot be read or parsed each state
// is logged once, and nothing comes off the list: never fail open. What can be read of it is added. It also writes ended tokens that could not be written before, a
// second later, while that fails once a minute at least, and before it returns.
func (r *Revocations) Run(ctx context.Context) error {
	var mending sync.WaitGroup
	mending.Go(func() { r.ended.follow(ctx) }) // on its own: a disk may take its time
	defer mending.Wait()
	tick := time.NewTicker(RevocationInterval)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
		}
		if r.path != "" {
			r.tick()
		}
	}
}

// tick looks at the file once.
func (r *Revocations) tick() {
	changed, err := r.reload()
	r.report(err, changed)
	if changed {
		r.tell()
	}
}

// report says what is wrong with the file, once for each state of it.
func (r *Revocations) report(err error, changed bool) {
	text, stale := "", 0.0
	if err != nil {
		text, stale = err.Error(), 1
	}
	r.mu.Lock()
	fresh := changed || text != r.lastErr
	r.lastErr = text
	r.mu.Unlock()
	if !fresh {
		return
	}
	r.stale(stale)
	if err != nil {
		r.log.Error("revocation file not read, the last good list stays in force", "error", err)
	}
}

func (r *Revocations) tell() {
	r.mu.Lock()
	fs := make([]func(), 0, len(r.watchers))
	for _, f := range r.watchers {
		fs = append(fs, f)
	}
	r.mu.Unlock()
	for _, f := range fs {
		f()
	}
}

// reload reads the file when it may have changed. With an error and changed, the good lines of the file were added to the list.
func (r *Revocations) reload() (changed bool, err error) {
	last, fault := r.lastState()
	state, raw, err := look(r.path, last)
	if err != nil {
		return false, err
	}
	if raw == nil {
		return false, fault
	}
	set, err := parseRevocations(r.path, r.lone, raw)
	if err != nil {
		maps.Copy(set, *r.set.Load()) // which names are to come off it nobody knows before the file is whole
	}
	r.mu.Lock()
	r.last, r.fault = state, err
	r.mu.Unlock()
	r.set.Store(&set)
	return true, err
}

func (r *Revocations) lastState() (state fileState, fault error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.last, r.fault
}

// smallFile is the size up to which the content itself is compared.
const smallFile = 64 << 10

// look returns the file's state and, when it may differ from last, its content; else nil.
func look(path string, last fileState) (fileState, []byte, error) {
	info, err := os.Stat(path)
	if errors.Is(err, fs.ErrNotExist) {
		if last.exists { // taking the file away must not give the revoked their rights back
			return last, nil, fmt.Errorf("auth: revocation file %q is gone: empty it to revoke nobody", path)
		}
		return last, nil, nil
	}
	if err != nil {
		return last, nil, fmt.Errorf("auth: revocation file: %w", err)
	}
	if info.Size() > maxRevocationBytes {
		return last, nil, fmt.Errorf("auth: revocation file %q has %d bytes: at most %d are read", path, info.Size(), maxRevocationBytes)
	}
	state := fileState{exists: true, size: info.Size(), mod: info.ModTime()}
	if info.Size() > smallFile && last.exists && last.size == state.size && last.mod.Equal(state.mod) {
		return last, nil, nil
	}
	raw, err := os.ReadFile(path)
	if err != nil {
		return last, nil, fmt.Errorf("auth: revocation file: %w", err)
	}
	if len(raw) <= smallFile {
		state.sum = string(raw)
	}
	if state == last {
		return last, nil, nil
	}
	return state, raw, nil
}

// parseRevocations returns the entries of all lines that are good, and what is wrong with the first that is not.
func parseRevocations(path string, lone bool, raw []byte) (set map[string]struct{}, fault error) {
	set = map[string]struct{}{}
	n := 0
	for text := range strings.Lines(string(raw)) {
		n++
		line := strings.TrimSpace(text)
		if line == "" || strings.HasPrefix(line, "#") {
			continue
		}
		kind, name, ok := strings.Cut(line, ":")
		name = strings.TrimSpace(name) // "sub: NAME" is what hands that write YAML give
		var why string
		switch {
		case !ok || name == "" || kind != "sub" && kind != "jti" && kind != "tenant":
			why = "want sub:NAME, sub:TENANT/NAME, jti:ID or tenant:TENANT"
		case lone && kind == "tenant":
			why = "there are no tenants without auth.tenantPrefix: set it, or revoke by sub:NAME or jti:ID"
		default:
			set[kind+":"+name] = struct{}{}
			continue
		}
		if fault == nil {
			fault = fmt.Errorf("auth: revocation file %q line %d: %s", path, n, why)
		}
	}
	return set, fault
}
