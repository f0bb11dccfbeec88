package agent

import (
	"bytes"
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"runtime"
)

// leastSecret is how long a secret is at least: 128 bits, if it was drawn.
const leastSecret = 16

// ErrSecret says that a file holds no secret that may be used.
var ErrSecret = errors.New("no usable secret")

// LoadSecret reads the secret that harness and agents share: the content of the
// file without surrounding space. A file that others may read, or with fewer than
// 16 bytes, is refused: the error wraps ErrSecret and says how to mend it. One of
// root's may be readable for the group of who is not root: so Kubernetes mounts secrets.
func LoadSecret(path string) ([]byte, error) {
	info, err := os.Stat(path)
	if err != nil {
		return nil, fmt.Errorf("agent: token file: %w", err)
	}
	if mode := info.Mode().Perm(); runtime.GOOS != "windows" && mode&forbidden(owner(info), os.Geteuid()) != 0 {
		return nil, fmt.Errorf("agent: token file %q: %w: others may read it (mode %#o, of user %d); chmod 600 it, and renew it if others are on this machine. "+
			"Only a file of root's may be readable for its group, for an agent that is not root, as Kubernetes mounts secrets: defaultMode 0440 with fsGroup", path, ErrSecret, mode, owner(info))
	}
	text, err := os.ReadFile(path)
	if err != nil {
		return nil, fmt.Errorf("agent: token file: %w", err)
	}
	secret := bytes.TrimSpace(text)
	if len(secret) < leastSecret {
		return nil, fmt.Errorf("agent: token file %q: %w: %d bytes, at least %d are needed; remove it and let plumbline agent draw one", path, ErrSecret, len(secret), leastSecret)
	}
	return secret, nil
}

// forbidden are the rights that a token file of that owner must not give, for a process of the user self.
func forbidden(owner, self int) fs.FileMode {
	if owner == 0 && self != 0 {
		return 0o037
	}
	return 0o077
}

// MakeSecret is LoadSecret for the side that owns the secret: where there is no
// file it draws one of 256 bits, which only the user can read.
func MakeSecret(path string) (secret []byte, made bool, err error) {
	if secret, err = LoadSecret(path); !errors.Is(err, fs.ErrNotExist) {
		return secret, false, err
	}
	var drawn [32]byte
	if _, err := rand.Read(drawn[:]); err != nil {
		return nil, false, fmt.Errorf("agent: draw a secret: %w", err)
	}
	text := hex.EncodeToString(drawn[:])
	if err := writeNew(path, []byte(text+"\n")); err != nil {
		return nil, false, fmt.Errorf("agent: token file: %w", err)
	}
	return []byte(text), true, nil
}

// writeNew writes a file that must not exist, for the user alone.
func writeNew(path string, text []byte) error {
	f, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return err
	}
	_, err = f.Write(text)
	return errors.Join(err, f.Close())
}
