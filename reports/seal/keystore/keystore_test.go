package keystore

import (
	"context"
	"crypto/ed25519"
	"errors"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"testing"
	"time"

	"plumbline/reports/seal"
)

var epoch = time.Date(2026, 11, 23, 12, 0, 0, 0, time.UTC)

// clock is a time that tests set.
type clock struct{ now time.Time }

func (c *clock) read() time.Time { return c.now }

func newStore(t *testing.T) (*Store, *clock, string) {
	t.Helper()
	c := &clock{now: epoch}
	dir := filepath.Join(t.TempDir(), "keys")
	return Open(dir, "", c.read), c, dir
}

func request() Request {
	return Request{Holder: "Example Laboratory", Rig: "rig 7", Purposes: []seal.Purpose{seal.ForReports, seal.ForCertificates}, Life: 365 * 24 * time.Hour}
}

func mustNew(t *testing.T, s *Store) *Made {
	t.Helper()
	made, err := s.New(t.Context(), request())
	if err != nil {
		t.Fatal(err)
	}
	return made
}

func TestNewMakesRootAndPair(t *testing.T) {
	s, _, dir := newStore(t)
	if _, err := s.List(t.Context()); !errors.Is(err, ErrEmpty) {
		t.Errorf("list of nothing: %v", err)
	}
	first, second := mustNew(t, s), mustNew(t, s)
	if !first.NewRoot || second.NewRoot || len(first.Keys) != 2 || first.Keys[0].Pair != first.Keys[1].ID || first.Root != second.Root {
		t.Errorf("first %+v, second %+v", first, second)
	}
	list, err := s.List(t.Context())
	if err != nil || list.Sequence != 2 || len(list.Keys) != 4 {
		t.Fatalf("%+v, %v", list, err)
	}
	entries, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range entries {
		info, err := e.Info()
		if err != nil {
			t.Fatal(err)
		}
		secret := !slices.Contains([]string{RootPublicFile, seal.KeysFile}, e.Name())
		if runtime.GOOS != "windows" && secret && info.Mode().Perm() != 0o600 {
			t.Errorf("%s has mode %04o", e.Name(), info.Mode().Perm())
		}
	}
	if len(entries) != 7 {
		t.Errorf("%d files, want root, its public half, the list and two pairs: %v", len(entries), entries)
	}
}

// TestSigner: a store signs with the only pair that is good now.
func TestSigner(t *testing.T) {
	s, c, dir := newStore(t)
	made := mustNew(t, s)
	signer, path, err := s.Signer(t.Context())
	if err != nil || path != made.Files[0] || signer.P256 == nil {
		t.Fatalf("%q, %v", path, err)
	}
	if err := signer.Check(t.Context(), epoch.Add(time.Hour)); err != nil {
		t.Error(err)
	}
	c.now = epoch.AddDate(1, 0, 1)
	if _, _, err := s.Signer(t.Context()); !errors.Is(err, ErrNoKey) || !strings.Contains(err.Error(), "was valid until") {
		t.Errorf("expired: %v", err)
	}
	c.now = epoch.Add(time.Hour)
	mustNew(t, s)
	if _, _, err := s.Signer(t.Context()); !errors.Is(err, ErrNoKey) || !strings.Contains(err.Error(), "2 rigs") {
		t.Errorf("two rigs: %v", err)
	}
	// A rig's computer has its own keys and the list, and no root.
	rig := t.TempDir()
	for _, name := range []string{filepath.Base(made.Files[0]), filepath.Base(made.Files[1]), RootPublicFile, seal.KeysFile} {
		content, err := os.ReadFile(filepath.Join(dir, name))
		if err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(rig, name), content, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	away := Open(rig, "", c.read)
	if _, path, err := away.Signer(t.Context()); err != nil || filepath.Dir(path) != rig {
		t.Errorf("on the rig: %q, %v", path, err)
	}
	if _, err := away.New(t.Context(), request()); !errors.Is(err, ErrNoRoot) {
		t.Errorf("a rig without root makes keys: %v", err)
	}
	if err := os.Remove(filepath.Join(rig, filepath.Base(made.Files[1]))); err != nil {
		t.Fatal(err)
	}
	if _, _, err := away.Signer(t.Context()); err == nil || !strings.Contains(err.Error(), "pair") {
		t.Errorf("half a pair: %v", err)
	}
}

// TestRotate: the old pair ends, the new one follows, what was signed stays good.
func TestRotate(t *testing.T) {
	s, c, _ := newStore(t)
	old := mustNew(t, s)
	before, _, err := s.Signer(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	c.now = epoch.AddDate(0, 3, 0)
	next, err := s.Rotate(t.Context(), old.Keys[1].ID[:10]) // by the pair is as good
	if err != nil {
		t.Fatal(err)
	}
	list, err := s.List(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	for i, r := range old.Keys {
		now, _ := list.Key(r.ID)
		if now.ReplacedBy != next.Keys[i].ID || !now.ValidUntil.Equal(c.now.Add(time.Second)) || next.Keys[i].Rig != "rig 7" || !next.Keys[i].ValidUntil.Equal(c.now.Add(request().Life)) {
			t.Errorf("%s: %+v, next %+v", r.Algorithm, now, next.Keys[i])
		}
		if reason, detail := now.Refuse(seal.ForCertificates, epoch.AddDate(0, 1, 0)); reason != "" {
			t.Errorf("an old signature: %s %s", reason, detail)
		}
		if reason, _ := now.Refuse(seal.ForCertificates, c.now.Add(time.Second)); reason != seal.ReasonExpired {
			t.Errorf("a new signature of the old key: %q", reason)
		}
		if _, err := os.Stat(old.Files[i]); err == nil {
			t.Errorf("the old private key %s is still there", old.Files[i])
		}
	}
	signer, path, err := s.Signer(t.Context())
	if err != nil || path != next.Files[0] || signer.Key.Equal(before.Key) {
		t.Errorf("%q, %v", path, err)
	}
	if _, err := s.Rotate(t.Context(), old.Keys[0].ID); err == nil || !strings.Contains(err.Error(), "replaced already") {
		t.Errorf("rotated twice: %v", err)
	}
	// At once, in the same second.
	if _, err := s.Rotate(t.Context(), next.Keys[0].ID); err != nil {
		t.Errorf("rotated in the second in which it was made: %v", err)
	}
}

func TestRevoke(t *testing.T) {
	s, c, _ := newStore(t)
	made := mustNew(t, s)
	c.now = epoch.AddDate(0, 1, 0)
	revoked, err := s.Revoke(t.Context(), made.Keys[0].ID, c.now, seal.Compromised)
	if err != nil || len(revoked) != 2 {
		t.Fatalf("%+v, %v", revoked, err)
	}
	found, err := s.Find(t.Context(), made.Keys[1].ID[:8])
	if err != nil || found[0].Revoked == nil || found[0].Revoked.Reason != seal.Compromised || !found[0].Revoked.At.Equal(c.now) {
		t.Errorf("the pair: %+v, %v", found, err)
	}
	if _, err := os.Stat(made.Files[0]); err == nil {
		t.Error("the private key of a revoked key is still there")
	}
	if _, _, err := s.Signer(t.Context()); !errors.Is(err, ErrNoKey) || !strings.Contains(err.Error(), "revoked") {
		t.Errorf("signs with a revoked key: %v", err)
	}
	if _, err := s.Revoke(t.Context(), made.Keys[0].ID, c.now, seal.Retired); err == nil || !strings.Contains(err.Error(), "revoked already") {
		t.Errorf("revoked twice: %v", err)
	}
	if _, err := s.Rotate(t.Context(), made.Keys[0].ID); err == nil {
		t.Error("rotated a revoked key")
	}
}

func TestRefusals(t *testing.T) {
	s, c, dir := newStore(t)
	if _, err := s.Rotate(t.Context(), "0123456789"); !errors.Is(err, ErrEmpty) {
		t.Errorf("rotate in an empty store: %v", err)
	}
	made := mustNew(t, s)
	for id, want := range map[string]string{"": "8 digits", made.Keys[0].ID[:7]: "8 digits", "0000000000": "8 digits", made.Root[:12]: "is the root"} {
		if _, err := s.Find(t.Context(), id); !errors.Is(err, ErrUnknown) || !strings.Contains(err.Error(), want) {
			t.Errorf("%q: %v", id, err)
		}
	}
	long := request()
	long.Life = 2 * seal.MaxRigKeyLife
	if _, err := s.New(t.Context(), long); err == nil || !strings.Contains(err.Error(), "allowed are up to") {
		t.Errorf("a key for two years: %v", err)
	}
	if _, err := s.Revoke(t.Context(), made.Keys[0].ID, epoch, "because"); err == nil || !strings.Contains(err.Error(), "unknown reason") {
		t.Errorf("revoked for no reason: %v", err)
	}
	c.now = epoch.Add(-time.Hour)
	if _, err := s.New(t.Context(), request()); err == nil || !strings.Contains(err.Error(), "correct the clock") {
		t.Errorf("a clock that runs backwards: %v", err)
	}
	c.now = epoch
	entries, err := os.ReadDir(dir)
	if err != nil || len(entries) != 5 {
		t.Errorf("refused commands left something: %v, %v", entries, err)
	}
	lock := filepath.Join(dir, seal.KeysFile+".new")
	if err := os.WriteFile(lock, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := s.New(t.Context(), request()); !errors.Is(err, ErrBusy) || !strings.Contains(err.Error(), "may be removed") {
		t.Errorf("beside another command: %v", err)
	}
	if err := os.Remove(lock); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	_, _ = s.New(ctx, request()) // whatever it does with an ended context, the store stays whole
	if _, err := s.List(t.Context()); err != nil {
		t.Errorf("after an ended context: %v", err)
	}
}

// TestALostListIsNotBegunAnew: a root that is not new has published a list, and what it
// revoked would be good again without it.
func TestALostListIsNotBegunAnew(t *testing.T) {
	s, c, dir := newStore(t)
	made := mustNew(t, s)
	if _, err := s.Revoke(t.Context(), made.Keys[0].ID, epoch, seal.Compromised); err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(dir, seal.KeysFile)
	newest, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.Remove(path); err != nil {
		t.Fatal(err)
	}
	refused := func(what string, s *Store, folder string) {
		t.Helper()
		before := names(t, folder)
		if _, err := s.New(t.Context(), request()); !errors.Is(err, ErrLost) || !strings.Contains(err.Error(), seal.KeysFile) {
			t.Errorf("%s: %v", what, err)
		}
		if after := names(t, folder); !slices.Equal(before, after) {
			t.Errorf("%s: %v became %v", what, before, after)
		}
	}
	refused("the list alone is lost", s, dir)
	if _, err := s.Revoke(t.Context(), made.Keys[0].ID, epoch, seal.Retired); !errors.Is(err, ErrLost) {
		t.Errorf("revoke: %v", err)
	}
	elsewhere := t.TempDir()
	refused("the whole folder, and the root is kept elsewhere", Open(elsewhere, filepath.Join(dir, RootFile), c.read), elsewhere)
	// Put back, it goes on where it was.
	if err := os.WriteFile(path, newest, 0o600); err != nil {
		t.Fatal(err)
	}
	mustNew(t, s)
	if list, err := s.List(t.Context()); err != nil || list.Sequence != 3 || list.Keys[0].Revoked == nil {
		t.Errorf("put back: %+v, %v", list, err)
	}
}

// names lists the files of a folder.
func names(t *testing.T, dir string) (all []string) {
	t.Helper()
	entries, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range entries {
		all = append(all, e.Name())
	}
	return all
}

// TestAFirstKeyThatFailedLeavesNoRoot: else the next try would miss the list of it.
func TestAFirstKeyThatFailedLeavesNoRoot(t *testing.T) {
	s, _, dir := newStore(t)
	long := request()
	long.Life = 2 * seal.MaxRigKeyLife
	if _, err := s.New(t.Context(), long); err == nil {
		t.Fatal("a key for two years was made")
	}
	if left := names(t, dir); len(left) != 0 {
		t.Errorf("it left %v", left)
	}
	mustNew(t, s)
}

// TestAFirstKeyThatWasKilledCanBeBegunAnew: who does what the message says has a store.
func TestAFirstKeyThatWasKilledCanBeBegunAnew(t *testing.T) {
	s, _, dir := newStore(t)
	root, public, next := filepath.Join(dir, RootFile), filepath.Join(dir, RootPublicFile), filepath.Join(dir, seal.KeysFile+".new")
	mustNew(t, s)
	if err := os.Rename(filepath.Join(dir, seal.KeysFile), next); err != nil { // the step before the last one
		t.Fatal(err)
	}
	_, err := s.New(t.Context(), request())
	if !errors.Is(err, ErrBusy) || !strings.Contains(err.Error(), "begin anew") {
		t.Fatalf("in the middle of the first key: %v", err)
	}
	for _, path := range []string{next, root, public} {
		if !strings.Contains(err.Error(), path) {
			t.Errorf("%v does not name %s", err, path)
		}
		if err := os.Remove(path); err != nil {
			t.Fatal(err)
		}
	}
	if made := mustNew(t, s); !made.NewRoot {
		t.Error("the root is the old one")
	}
}

// TestRootElsewhere: the root's private key may lie on a medium of its own.
func TestRootElsewhere(t *testing.T) {
	c := &clock{now: epoch}
	dir, stick := filepath.Join(t.TempDir(), "keys"), filepath.Join(t.TempDir(), "stick", "root.pem")
	s := Open(dir, stick, c.read)
	mustNew(t, s)
	if _, err := os.Stat(filepath.Join(dir, RootFile)); err == nil {
		t.Error("the root lies in the store")
	}
	if _, err := Open(dir, "", c.read).New(t.Context(), request()); !errors.Is(err, ErrNoRoot) {
		t.Errorf("without the medium: %v", err)
	}
	other := Open(dir, filepath.Join(t.TempDir(), "other.pem"), c.read)
	if _, err := other.New(t.Context(), request()); !errors.Is(err, ErrNoRoot) {
		t.Errorf("with a root that is not there: %v", err)
	}
	stranger := filepath.Join(t.TempDir(), "stranger.pem")
	if _, _, err := seal.OpenKey(stranger); err != nil {
		t.Fatal(err)
	}
	if _, err := Open(dir, stranger, c.read).New(t.Context(), request()); err == nil || !strings.Contains(err.Error(), "wrong key") {
		t.Errorf("with another root: %v", err)
	}
	if runtime.GOOS == "windows" {
		return
	}
	if err := os.Chmod(stick, 0o644); err != nil {
		t.Fatal(err)
	}
	if _, err := s.New(t.Context(), request()); err == nil || !strings.Contains(err.Error(), "chmod 600") {
		t.Errorf("a root that others may read: %v", err)
	}
}

// TestFileSigner: a key outside a store gets its pair beside it, and nobody
// vouches for it.
func TestFileSigner(t *testing.T) {
	path := filepath.Join(t.TempDir(), "signing-key.pem")
	first, made, err := FileSigner(t.Context(), path)
	if err != nil || !made || first.Keys != nil || first.P256 == nil {
		t.Fatalf("made %v, %v", made, err)
	}
	again, made, err := FileSigner(t.Context(), path)
	if err != nil || made || !again.Key.Equal(first.Key) || !again.P256.Equal(first.P256) {
		t.Errorf("made %v, %v", made, err)
	}
	if _, err := os.Stat(filepath.Join(filepath.Dir(path), "signing-key-p256.pem")); err != nil {
		t.Error(err)
	}
	// A stranger's key in the folder of a store: the list does not vouch for it.
	s, _, dir := newStore(t)
	mustNew(t, s)
	stranger, _, err := FileSigner(t.Context(), filepath.Join(dir, "mine.pem"))
	if err != nil || stranger.Keys != nil {
		t.Errorf("%v, %v", stranger.Keys != nil, err)
	}
	// A list that was changed is not passed on.
	list := filepath.Join(dir, seal.KeysFile)
	content, err := os.ReadFile(list)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(list, content[:len(content)/2], 0o600); err != nil {
		t.Fatal(err)
	}
	if _, _, err := s.Signer(t.Context()); err == nil || !strings.Contains(err.Error(), "truncated") {
		t.Errorf("half a list: %v", err)
	}
	_, root, err := s.Published()
	if err != nil || len(root) != ed25519.PublicKeySize {
		t.Errorf("%v", err)
	}
}
