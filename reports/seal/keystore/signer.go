package keystore

import (
	"context"
	"crypto/ecdsa"
	"crypto/ed25519"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"time"

	"plumbline/reports/seal"
)

// Signer returns the keys of this store that may sign now and whose private
// files lie here, with their list. ErrNoKey when there are none, or those of
// several rigs.
func (s *Store) Signer(ctx context.Context) (seal.Signer, string, error) {
	list, err := s.List(ctx)
	if err != nil {
		return seal.Signer{}, "", err
	}
	var good []seal.KeyRecord
	why := "the list holds none"
	for _, r := range list.Keys {
		if r.Algorithm != seal.Ed25519 {
			continue
		}
		reason, detail := r.Refuse(seal.ForReports, s.moment())
		_, err := os.Stat(s.private(r))
		switch {
		case reason != "":
			why = detail
		case err != nil:
			why = fmt.Sprintf("the private key of %s is not here (%v)", r.ID, err)
		default:
			good = append(good, r)
		}
	}
	switch len(good) {
	case 0:
		return seal.Signer{}, "", fmt.Errorf("%w in %q: %s", ErrNoKey, s.dir, why)
	case 1:
		path := s.private(good[0])
		signer, _, err := FileSigner(ctx, path)
		return signer, path, err
	default:
		return seal.Signer{}, "", fmt.Errorf("%w in %q: it holds those of %d rigs, name the file of one", ErrNoKey, s.dir, len(good))
	}
}

// FileSigner returns the key in a file with its P-256 pair. In a store the pair
// is the one of the key list, which then vouches for both; elsewhere both are
// made on first use, the pair beside the key with "-p256" in its name, and nobody
// vouches for them. made says that the Ed25519 key is new.
func FileSigner(ctx context.Context, path string) (signer seal.Signer, made bool, err error) {
	dir := filepath.Dir(path)
	if signer.Key, made, err = seal.OpenKey(path); err != nil {
		return signer, false, err
	}
	ext := filepath.Ext(path)
	pair := strings.TrimSuffix(path, ext) + "-p256" + ext
	content, err := os.ReadFile(filepath.Join(dir, seal.KeysFile))
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return signer, made, fmt.Errorf("keystore: %w", err)
	}
	if err == nil {
		record, err := vouched(ctx, dir, content, signer.Key)
		if err != nil {
			return signer, made, err
		}
		if record != nil {
			signer.Keys = content
			pair = ""
			if record.Pair != "" {
				pair = Open(dir, "", time.Now).private(seal.KeyRecord{ID: record.Pair, Algorithm: seal.P256})
			}
		}
	}
	signer.P256, err = openPair(pair, signer.Keys != nil)
	if err != nil {
		return signer, made, fmt.Errorf("keystore: the pair of signing key %q: %w", path, err)
	}
	return signer, made, nil
}

// openPair reads the P-256 key. One that the list names must be there. Any other
// is made on first use, and where none can be made (the key lies on a medium that
// is only read) there is none, and then there are no Sigstore bundles.
func openPair(path string, listed bool) (*ecdsa.PrivateKey, error) {
	if path == "" {
		return nil, nil
	}
	_, err := os.Stat(path)
	missing := errors.Is(err, fs.ErrNotExist)
	if missing && listed {
		return nil, err
	}
	key, _, made := seal.OpenP256Key(path)
	if missing {
		return key, nil // nil when none could be made
	}
	return key, made
}

// vouched returns what the list in dir says about a key; nil when it is not there.
func vouched(ctx context.Context, dir string, content []byte, key ed25519.PrivateKey) (*seal.KeyRecord, error) {
	_, root, err := Open(dir, "", time.Now).Published()
	if err != nil {
		return nil, err
	}
	list, err := seal.OpenKeys(ctx, content, root)
	if err != nil {
		return nil, fmt.Errorf("keystore: %q: %w", dir, err)
	}
	id, err := seal.KeyID(key.Public())
	if err != nil {
		return nil, err
	}
	if record, listed := list.Key(id); listed {
		return &record, nil
	}
	return nil, nil
}
