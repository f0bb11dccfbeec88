// Package keystore keeps the keys of a laboratory in a folder: the root key, the
// keys of its rigs and the list by which the root vouches for them.
//
//	root.pem            the root's private key; may be kept elsewhere, offline
//	root.pub.pem        the root's public key: what a verifier pins
//	keys.dsse.json      the key list, signed by the root, revocations included
//	ed25519-ID.pem      private keys of a rig, 0600; only those that still sign
//	p256-ID.pem
//
// A rig's computer needs the last three. Private keys have no passphrase: the
// formats that openssl reads are written by no library that we keep, and a key
// that signs at the end of an unattended run would have its passphrase beside
// it. Whoever wants more protection keeps the root on a medium of its own and
// lets rig keys live for weeks.
package keystore

import (
	"context"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"time"

	"plumbline/reports/seal"
)

// Names of the files of the root.
const (
	RootFile       = "root.pem"
	RootPublicFile = "root.pub.pem"
)

// Errors that callers tell apart.
var (
	ErrEmpty   = errors.New("keystore: no key list")                // nothing was made there yet
	ErrNoRoot  = errors.New("keystore: no private key of the root") // the list cannot be changed here
	ErrUnknown = errors.New("keystore: no such key")
	ErrBusy    = errors.New("keystore: another command changes the list")
	ErrNoKey   = errors.New("keystore: no key that may sign now")
	ErrLost    = errors.New("keystore: the key list is lost") // the root has been there before, and its list is not
)

// Store is a folder of keys. Make one with Open; it holds nothing open.
type Store struct {
	dir  string
	root string // path of the root's private key
	now  func() time.Time
}

// Open returns the store in dir, which need not exist. root is the path of the
// root's private key; "" means RootFile in dir.
func Open(dir, root string, now func() time.Time) *Store {
	if root == "" {
		root = filepath.Join(dir, RootFile)
	}
	return &Store{dir: dir, root: root, now: now}
}

// Request is what a new pair of rig keys is for.
type Request struct {
	Holder, Address, Rig, Site string
	Purposes                   []seal.Purpose
	Life                       time.Duration // at most seal.MaxRigKeyLife
}

// Made is what New and Rotate made.
type Made struct {
	Keys    []seal.KeyRecord // Ed25519, then P-256
	Files   []string         // their private keys
	Root    string           // fingerprint
	NewRoot bool             // the root was made just now
}

// List returns the key list, checked against root.pub.pem; ErrEmpty when there
// is neither, ErrLost when there is a root without it.
func (s *Store) List(ctx context.Context) (*seal.KeyList, error) {
	content, root, err := s.Published()
	if err != nil {
		return nil, err
	}
	if content == nil {
		return nil, s.lost(RootPublicFile)
	}
	list, err := seal.OpenKeys(ctx, content, root)
	if err != nil {
		return nil, fmt.Errorf("keystore: %q: %w", s.dir, err)
	}
	return list, nil
}

// lost says that the list of a root is not there.
func (s *Store) lost(root string) error {
	return fmt.Errorf("%w: %s is missing in %q, where the root is not new (%s)", ErrLost, seal.KeysFile, s.dir, root)
}

// Published returns what a verifier is given: the key list in its file form and
// the root's public key. The list is not checked; ErrEmpty when there is no root.
func (s *Store) Published() (list []byte, root ed25519.PublicKey, err error) {
	root, err = seal.LoadPublicKey(filepath.Join(s.dir, RootPublicFile))
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil, fmt.Errorf("%w in %q: %s is missing", ErrEmpty, s.dir, RootPublicFile)
	}
	if err != nil {
		return nil, nil, err
	}
	list, err = os.ReadFile(filepath.Join(s.dir, seal.KeysFile))
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, nil, fmt.Errorf("keystore: %w", err)
	}
	return list, root, nil
}

// New makes a pair of signing keys, one of each algorithm, and publishes them. In
// an empty store it makes the root first.
func (s *Store) New(ctx context.Context, r Request) (*Made, error) {
	return s.change(ctx, true, func(list *seal.KeyList, made *Made) error {
		return s.add(list, r, made)
	})
}

// Rotate ends the validity of a key and of its pair now and makes new ones with
// the same holder, rig, purposes and life. What the old ones signed stays good;
// their private files are removed, so that they sign nothing more.
func (s *Store) Rotate(ctx context.Context, id string) (*Made, error) {
	var old []seal.KeyRecord
	made, err := s.change(ctx, false, func(list *seal.KeyList, made *Made) error {
		found, err := find(list, id)
		if err != nil {
			return err
		}
		first := found[0]
		if first.Revoked != nil || first.ReplacedBy != "" {
			return fmt.Errorf("keystore: key %s is revoked or was replaced already: make a new one", first.ID)
		}
		life := first.ValidUntil.Sub(first.ValidFrom)
		if err := s.add(list, Request{Holder: first.Holder, Address: first.Address, Rig: first.Rig, Site: first.Site, Purposes: first.Purposes, Life: life}, made); err != nil {
			return err
		}
		for _, r := range found {
			for _, next := range made.Keys {
				if next.Algorithm == r.Algorithm {
					r.ReplacedBy = next.ID
				}
			}
			// Dates are whole seconds: what was signed in this one still is good.
			if ends := s.moment().Add(time.Second); ends.Before(r.ValidUntil) {
				r.ValidUntil = ends
			}
			put(list, r)
		}
		old = found
		return nil
	})
	if err != nil {
		return nil, err
	}
	return made, s.forget(old)
}

// Revoke says in the list that a key and its pair are void, and removes their
// private files.
func (s *Store) Revoke(ctx context.Context, id string, at time.Time, reason seal.RevocationReason) ([]seal.KeyRecord, error) {
	var found []seal.KeyRecord
	_, err := s.change(ctx, false, func(list *seal.KeyList, _ *Made) (err error) {
		if found, err = find(list, id); err != nil {
			return err
		}
		for i := range found {
			if found[i].Revoked != nil {
				return fmt.Errorf("keystore: key %s is revoked already, since %s (%s)", found[i].ID, found[i].Revoked.At.Format(time.RFC3339), found[i].Revoked.Reason)
			}
			found[i].Revoked = &seal.Revocation{At: at.UTC().Truncate(time.Second), Reason: reason}
			put(list, found[i])
		}
		return nil
	})
	if err != nil {
		return nil, err
	}
	return found, s.forget(found)
}

// Find returns the key whose id begins with the text given, and its pair.
func (s *Store) Find(ctx context.Context, id string) ([]seal.KeyRecord, error) {
	list, err := s.List(ctx)
	if err != nil {
		return nil, err
	}
	return find(list, id)
}

// change reads the list, lets edit change it, and publishes the result with the
// next number. The new file is made before anything is read, and so keeps another
// command out.
func (s *Store) change(ctx context.Context, mayMakeRoot bool, edit func(*seal.KeyList, *Made) error) (made *Made, err error) {
	if err := s.findRoot(mayMakeRoot); err != nil {
		return nil, err
	}
	if err := os.MkdirAll(s.dir, 0o700); err != nil {
		return nil, fmt.Errorf("keystore: %w", err)
	}
	path := filepath.Join(s.dir, seal.KeysFile)
	next, err := os.OpenFile(path+".new", os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o644) //nolint:gosec // G302: a key list is for others to read
	if errors.Is(err, fs.ErrExist) {
		return nil, s.busy(path)
	}
	if err != nil {
		return nil, fmt.Errorf("keystore: %w", err)
	}
	made = &Made{}
	defer func() {
		if closed := next.Close(); err == nil {
			err = closed
		}
		if err == nil {
			err = os.Rename(path+".new", path)
		}
		if err != nil {
			err = errors.Join(err, os.Remove(path+".new"), s.undo(made))
			made = nil
		}
	}()
	content, err := s.next(ctx, edit, made)
	if err != nil {
		return made, err
	}
	if _, err := next.Write(content); err != nil {
		return made, fmt.Errorf("keystore: %w", err)
	}
	return made, next.Sync()
}

// busy says that the next list is in the making, or was when a command was interrupted;
// before there is any list that was the first key, and its root vouches for nothing.
func (s *Store) busy(path string) error {
	err := fmt.Errorf("%w: %s.new is there; when none runs, one was interrupted and the file may be removed", ErrBusy, path)
	if _, list := os.Stat(path); errors.Is(list, fs.ErrNotExist) {
		err = fmt.Errorf("%w; where no list of this root was ever published, begin anew: remove %s and %s, too, and make the first key again",
			err, s.root, filepath.Join(s.dir, RootPublicFile))
	}
	return err
}

// next is the list as edit changes it, in its file form.
func (s *Store) next(ctx context.Context, edit func(*seal.KeyList, *Made) error, made *Made) ([]byte, error) {
	root, err := s.openRoot(made)
	if err != nil {
		return nil, err
	}
	list, err := s.current(ctx, root)
	if err != nil {
		return nil, err
	}
	if err := edit(list, made); err != nil {
		return nil, err
	}
	made.Root = list.Root.ID
	return seal.SignKeys(ctx, root, list)
}

// undo removes what was made for a list that was not published, the root too where it
// is new: it has signed nothing that anybody has seen.
func (s *Store) undo(made *Made) error {
	paths := made.Files
	if made.NewRoot {
		paths = append(paths, s.root, filepath.Join(s.dir, RootPublicFile))
	}
	return s.drop(paths)
}

// current is the published list with the next number, or the first of a new root.
func (s *Store) current(ctx context.Context, root ed25519.PrivateKey) (*seal.KeyList, error) {
	now := s.moment()
	content, _, err := s.Published()
	if err != nil {
		return nil, err
	}
	if content != nil {
		list, err := seal.OpenKeys(ctx, content, root.Public().(ed25519.PublicKey))
		if err != nil {
			return nil, fmt.Errorf("keystore: %q: %w", s.dir, err)
		}
		if now.Before(list.Issued) {
			return nil, fmt.Errorf("keystore: the list is dated %s, and the clock says %s: correct the clock", list.Issued.Format(time.RFC3339), now.Format(time.RFC3339))
		}
		list.Sequence++
		list.Issued = now
		return list, nil
	}
	record, err := seal.NewKeyRecord(root.Public(), []seal.Purpose{seal.ForKeys}, now, now.AddDate(10, 0, 0))
	if err != nil {
		return nil, err
	}
	return &seal.KeyList{Schema: seal.KeysSchema, Sequence: 1, Issued: now, Root: record, Keys: []seal.KeyRecord{}}, nil
}

// findRoot returns why there is no root and may none be made.
func (s *Store) findRoot(mayMake bool) error {
	_, err := os.Stat(s.root)
	_, published := os.Stat(filepath.Join(s.dir, RootPublicFile))
	switch {
	case !errors.Is(err, fs.ErrNotExist):
		return nil
	case published == nil:
		return fmt.Errorf("%w: %q is missing", ErrNoRoot, s.root)
	case !mayMake:
		return fmt.Errorf("%w in %q", ErrEmpty, s.dir)
	}
	return nil
}

// openRoot reads the root's private key, or makes it where nothing is yet. One that is
// not new has published a list: without that nobody knows whom it vouched for, and what
// it revoked would be good again.
func (s *Store) openRoot(made *Made) (root ed25519.PrivateKey, err error) {
	if root, made.NewRoot, err = seal.OpenKey(s.root); err != nil {
		return nil, err
	}
	if _, err := os.Stat(filepath.Join(s.dir, seal.KeysFile)); errors.Is(err, fs.ErrNotExist) && !made.NewRoot {
		return nil, s.lost(s.root)
	}
	public := filepath.Join(s.dir, RootPublicFile)
	if _, err := os.Stat(public); err == nil {
		return root, nil
	}
	content, err := seal.MarshalPublicKey(root.Public())
	if err != nil {
		return nil, err
	}
	if err := os.WriteFile(public, content, 0o644); err != nil { //nolint:gosec // G306: a public key
		return nil, fmt.Errorf("keystore: %w", err)
	}
	return root, nil
}

// add makes a pair of keys and enters it.
func (s *Store) add(list *seal.KeyList, r Request, made *Made) error {
	_, first, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		return fmt.Errorf("keystore: make a key: %w", err)
	}
	second, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return fmt.Errorf("keystore: make a key: %w", err)
	}
	now := s.moment()
	var records []seal.KeyRecord
	for _, public := range []any{first.Public(), second.Public()} {
		record, err := seal.NewKeyRecord(public, r.Purposes, now, now.Add(r.Life))
		if err != nil {
			return err
		}
		record.Holder, record.Address, record.Rig, record.Site = r.Holder, r.Address, r.Rig, r.Site
		records = append(records, record)
	}
	records[0].Pair, records[1].Pair = records[1].ID, records[0].ID
	for i, key := range []any{first, second} {
		path := s.private(records[i])
		if err := seal.WriteKey(path, key); err != nil {
			return err
		}
		made.Files = append(made.Files, path)
	}
	made.Keys = records
	list.Keys = append(list.Keys, records...)
	return nil
}

// private is the path of a private key.
func (s *Store) private(r seal.KeyRecord) string {
	kind := "ed25519"
	if r.Algorithm == seal.P256 {
		kind = "p256"
	}
	return filepath.Join(s.dir, kind+"-"+r.ID[:16]+".pem")
}

// forget removes the private files of keys that sign nothing more.
func (s *Store) forget(records []seal.KeyRecord) error {
	var paths []string
	for _, r := range records {
		paths = append(paths, s.private(r))
	}
	return s.drop(paths)
}

func (s *Store) drop(paths []string) (err error) {
	for _, path := range paths {
		if e := os.Remove(path); e != nil && !errors.Is(e, fs.ErrNotExist) {
			err = errors.Join(err, fmt.Errorf("keystore: %w", e))
		}
	}
	return err
}

// moment is now as a key list writes it.
func (s *Store) moment() time.Time { return s.now().UTC().Truncate(time.Second) }

// find returns the only key whose id begins with id, and its pair.
func find(list *seal.KeyList, id string) ([]seal.KeyRecord, error) {
	var found []seal.KeyRecord
	for _, r := range list.Keys {
		if len(id) >= 8 && strings.HasPrefix(r.ID, id) {
			found = append(found, r)
		}
	}
	switch {
	case id != "" && strings.HasPrefix(list.Root.ID, id):
		return nil, fmt.Errorf("%w: %s is the root, which nothing replaces: make another store, and have its fingerprint pinned anew", ErrUnknown, id)
	case len(found) == 0:
		return nil, fmt.Errorf("%w: %q is not the beginning (8 digits or more) of one", ErrUnknown, id)
	case len(found) > 1:
		return nil, fmt.Errorf("%w: %q is the beginning of %d keys", ErrUnknown, id, len(found))
	}
	if pair, listed := list.Key(found[0].Pair); listed {
		found = append(found, pair)
	}
	return found, nil
}

func put(list *seal.KeyList, r seal.KeyRecord) {
	for i := range list.Keys {
		if list.Keys[i].ID == r.ID {
			list.Keys[i] = r
		}
	}
}
