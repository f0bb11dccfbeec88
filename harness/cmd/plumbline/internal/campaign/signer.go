package campaign

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"time"

	"plumbline/harness/cmd/plumbline/internal/exit"
	"plumbline/reports/seal"
	"plumbline/reports/seal/keystore"
)

// DefaultKey is where the signing key of this user lies who has no key store.
func DefaultKey() (string, error) { return configFile("signing-key.pem") }

// DefaultKeys is the folder of this user's key store, which may not exist.
func DefaultKeys() (string, error) { return configFile("keys") }

func configFile(name string) (string, error) {
	dir, err := os.UserConfigDir()
	if err != nil {
		return "", exit.Usage(fmt.Errorf("no folder for keys: %w", err), "set HOME, or name the file or folder of keys")
	}
	return filepath.Join(dir, "plumbline", name), nil
}

// openSigner opens the keys before anything is measured, so that nothing is
// measured that cannot be signed: a file, a store, or by default the user's store
// and else his signing key, which is made on first use.
func openSigner(ctx context.Context, path string, now func() time.Time) (where string, signer seal.Signer, made bool, err error) {
	if path == "" {
		if path, err = defaultSigner(); err != nil {
			return "", signer, false, err
		}
	}
	if info, statErr := os.Stat(path); statErr == nil && info.IsDir() {
		signer, where, err = keystore.Open(path, "", now).Signer(ctx)
		return where, signer, false, exit.Usage(err, "plumbline key list shows the keys of a folder, plumbline key new and key rotate make one that may sign")
	}
	if signer, made, err = keystore.FileSigner(ctx, path); err == nil {
		err = signer.Check(ctx, now())
	}
	return path, signer, made, exit.Usage(err, "--key FILE names an Ed25519 key (PEM) or a path where one may be made")
}

// defaultSigner is the user's store when there is a root in it, else his key.
func defaultSigner() (string, error) {
	store, err := DefaultKeys()
	if err != nil {
		return "", err
	}
	if _, _, err := keystore.Open(store, "", time.Now).Published(); !errors.Is(err, keystore.ErrEmpty) {
		return store, nil // whatever is wrong with it is said when it is opened
	}
	return DefaultKey()
}
