package seal

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
)

func TestOpenKeyMakesItOnceAndKeepsIt(t *testing.T) {
	path := filepath.Join(t.TempDir(), "deep", "signing.pem")
	first, created, err := OpenKey(path)
	if err != nil || !created {
		t.Fatalf("first use: created %v, %v", created, err)
	}
	info, err := os.Stat(path)
	if err != nil {
		t.Fatal(err)
	}
	if runtime.GOOS != "windows" && info.Mode().Perm() != 0o600 {
		t.Errorf("key file has mode %04o, want 0600", info.Mode().Perm())
	}
	again, created, err := OpenKey(path)
	if err != nil || created || !again.Equal(first) {
		t.Errorf("second use: created %v, same %v, %v", created, again.Equal(first), err)
	}
	if _, err := makeKey(path); err == nil {
		t.Error("an existing key was overwritten")
	}
}

// TestFirstUsesAtOnce: one of many first uses makes the key, and all have it.
func TestFirstUsesAtOnce(t *testing.T) {
	dir := t.TempDir()
	const many = 16
	type used struct {
		key     ed25519.PrivateKey
		second  *ecdsa.PrivateKey
		created [2]bool
		err     error
	}
	uses, start := make(chan used, many), make(chan struct{})
	for range many {
		go func() {
			var u used
			var errs [2]error
			<-start
			u.key, u.created[0], errs[0] = OpenKey(filepath.Join(dir, "deep", "signing.pem"))
			u.second, u.created[1], errs[1] = OpenP256Key(filepath.Join(dir, "deep", "second.pem"))
			u.err = errors.Join(errs[:]...)
			uses <- u
		}()
	}
	close(start)
	var first used
	made := [2]int{}
	for i := range many {
		u := <-uses
		if u.err != nil {
			t.Errorf("%v", u.err)
			continue
		}
		if i == 0 {
			first = u
		}
		if !u.key.Equal(first.key) || !u.second.Equal(first.second) {
			t.Error("two first uses have two keys")
		}
		for k, created := range u.created {
			if created {
				made[k]++
			}
		}
	}
	if left, err := os.ReadDir(filepath.Join(dir, "deep")); err != nil || len(left) != 2 || made != [2]int{1, 1} {
		t.Errorf("made %v times; the folder has %v, %v", made, left, err)
	}
}

// TestKeyWithoutHardLinks: a stick takes a key as well, and replaces none.
func TestKeyWithoutHardLinks(t *testing.T) {
	dir := t.TempDir()
	key, _, err := OpenKey(filepath.Join(dir, "key.pem"))
	if err != nil {
		t.Fatal(err)
	}
	copied := filepath.Join(dir, "copy.pem")
	text := get(t, dir, "key.pem")
	if err := createKey(copied, text); err != nil {
		t.Fatal(err)
	}
	if again, created, err := OpenKey(copied); err != nil || created || !again.Equal(key) {
		t.Errorf("created %v, %v", created, err)
	}
	if err := createKey(copied, text); !errors.Is(err, fs.ErrExist) {
		t.Errorf("over another: %v", err)
	}
}

func TestOpenKeyRefuses(t *testing.T) {
	ec, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	der, err := x509.MarshalPKCS8PrivateKey(ec)
	if err != nil {
		t.Fatal(err)
	}
	for name, c := range map[string]struct {
		content string
		mode    os.FileMode
		want    string
	}{
		"no PEM":        {"hello", 0o600, "no PEM block"},
		"public key":    {string(pem.EncodeToMemory(&pem.Block{Type: publicBlock, Bytes: der})), 0o600, "no PEM block"},
		"broken":        {string(pem.EncodeToMemory(&pem.Block{Type: privateBlock, Bytes: der[:20]})), 0o600, "signing key"},
		"other kind":    {string(pem.EncodeToMemory(&pem.Block{Type: privateBlock, Bytes: der})), 0o600, "want Ed25519"},
		"open to group": {"hello", 0o640, "chmod 600"},
	} {
		path := filepath.Join(t.TempDir(), "key.pem")
		if err := os.WriteFile(path, []byte(c.content), c.mode); err != nil {
			t.Fatal(err)
		}
		if runtime.GOOS == "windows" && c.mode != 0o600 {
			continue
		}
		if _, _, err := OpenKey(path); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: %v, want %q", name, err, c.want)
		}
	}
}

func TestPublicKeyRoundTrip(t *testing.T) {
	key, _, err := OpenKey(filepath.Join(t.TempDir(), "k.pem"))
	if err != nil {
		t.Fatal(err)
	}
	content, err := MarshalPublicKey(public(key))
	if err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(t.TempDir(), "k.pub.pem")
	if err := os.WriteFile(path, content, 0o600); err != nil {
		t.Fatal(err)
	}
	back, err := LoadPublicKey(path)
	if err != nil || !back.Equal(public(key)) {
		t.Errorf("read back %v, %v", back, err)
	}
	if err := os.WriteFile(path, bytes.Replace(content, []byte("PUBLIC"), []byte("SECRET"), 2), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := LoadPublicKey(path); err == nil || !strings.Contains(err.Error(), path) {
		t.Errorf("foreign PEM: %v", err)
	}
	if _, err := LoadPublicKey(path + ".absent"); err == nil {
		t.Error("absent key was read")
	}
}

// TestOpenSSL runs the recipe of the report: an outsider needs no tool of ours.
func TestOpenSSL(t *testing.T) {
	for _, tool := range []string{"openssl", "sh", "sed", "base64", "wc"} {
		if _, err := exec.LookPath(tool); err != nil {
			t.Fatalf("%s is not installed; 'make deps-test' installs it", tool)
		}
	}
	dir, _ := runDir(t, sampleRun())
	const recipe = `set -e
sed -n 's/.*"payload": "\([^"]*\)".*/\1/p' "$1"/report.dsse.json | base64 -d > body
sed -n 's/.*"sig": "\([^"]*\)".*/\1/p' "$1"/report.dsse.json | base64 -d > sig
{ printf 'DSSEv1 28 application/vnd.in-toto+json %d ' "$(wc -c < body)"; cat body; } > pae
openssl pkeyutl -verify -pubin -inkey "$1"/signer.pub.pem -rawin -in pae -sigfile sig`
	run := func() (string, error) {
		cmd := exec.CommandContext(t.Context(), "sh", "-c", recipe, "sh", dir)
		cmd.Dir = t.TempDir()
		out, err := cmd.CombinedOutput()
		return string(out), err
	}
	if out, err := run(); err != nil || !strings.Contains(out, "Verified Successfully") {
		t.Fatalf("openssl: %v: %s", err, out)
	}
	path := filepath.Join(dir, EnvelopeFile)
	content, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	at := bytes.Index(content, []byte(`"payload": "`)) + 40
	content[at] ^= 0x01
	if err := os.WriteFile(path, content, 0o600); err != nil {
		t.Fatal(err)
	}
	if out, err := run(); err == nil {
		t.Errorf("openssl accepts a changed payload: %s", out)
	}
}
