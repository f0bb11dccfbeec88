package auth

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
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

	mu       sync.Mutex
	last     fileState
	lastErr  string
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
// it may be made later. A malformed file is an error here; later, in Run, the last good list stays in force. Where the verifier has
// no tenant prefix (its Options.TenantPrefix) no token is of a tenant, and a line that revokes one is malformed.
func NewRevocations(path, tenantPrefix string, log *slog.Logger) (*Revocations, error) {
	r := &Revocations{path: path, lone: tenantPrefix == "", log: log, watchers: map[int]func(){}, ended: newEnded()}
	empty := map[string]struct{}{}
	r.set.Store(&empty)
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
	set := *r.set.Load()
	if len(set) == 0 {
		return false
	}
	names := []string{"sub:" + id.Subject}
	if id.TokenID != "" {
		names = append(names, "jti:"+id.TokenID)
	}
	if id.Tenant != "" {
		names = append(names, "tenant:"+id.Tenant, "sub:"+id.Account())
	}
	return slices.ContainsFunc(names, func(name string) bool { _, ok := set[name]; return ok })
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

// Run looks at the file every RevocationInterval until ctx ends, and returns nil then. A file that cannot be read or parsed
// is logged once and the last good list stays: never fail open. It also writes ended tokens that could not be written before, a
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
		if r.path == "" {
			continue
		}
		changed, err := r.reload()
		r.report(err)
		if changed {
			r.tell()
		}
	}
}

func (r *Revocations) report(err error) {
	text := ""
	if err != nil {
		text = err.Error()
	}
	r.mu.Lock()
	fresh := text != r.lastErr
	r.lastErr = text
	r.mu.Unlock()
	if fresh && err != nil {
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

// reload reads the file when it may have changed.
func (r *Revocations) reload() (changed bool, err error) {
	state, raw, err := look(r.path, r.lastState())
	if err != nil || raw == nil {
		return false, err
	}
	set, err := parseRevocations(r.path, r.lone, raw)
	if err != nil {
		return false, err
	}
	r.mu.Lock()
	r.last = state
	r.mu.Unlock()
	r.set.Store(&set)
	return true, nil
}

func (r *Revocations) lastState() fileState {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.last
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

func parseRevocations(path string, lone bool, raw []byte) (map[string]struct{}, error) {
	set := map[string]struct{}{}
	sc := bufio.NewScanner(bytes.NewReader(raw))
	for n := 1; sc.Scan(); n++ {
		line := strings.TrimSpace(sc.Text())
		if line == "" || strings.HasPrefix(line, "#") {
			continue
		}
		kind, name, ok := strings.Cut(line, ":")
		name = strings.TrimSpace(name) // "sub: NAME" is what hands that write YAML give
		if !ok || name == "" || kind != "sub" && kind != "jti" && kind != "tenant" {
			return nil, fmt.Errorf("auth: revocation file %q line %d: want sub:NAME, sub:TENANT/NAME, jti:ID or tenant:TENANT", path, n)
		}
		if lone && kind == "tenant" {
			return nil, fmt.Errorf("auth: revocation file %q line %d: there are no tenants without auth.tenantPrefix: set it, or revoke by sub:NAME or jti:ID", path, n)
		}
		set[kind+":"+name] = struct{}{}
	}
	if err := sc.Err(); err != nil {
		return nil, fmt.Errorf("auth: revocation file %q: %w", path, err)
	}
	return set, nil
}
