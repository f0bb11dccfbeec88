package agent

import (
	"errors"
	"net"
	"os"
	"path/filepath"
	"runtime"
	"testing"
	"time"
)

// An agent that serves once waits for a harness, and ends by itself when that has been gone for a while.
func TestServesOnce(t *testing.T) {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	certificate, err := NewCertificate(time.Now())
	if err != nil {
		t.Fatal(err)
	}
	const gone = 60 * time.Millisecond
	done := make(chan error, 1)
	go func() {
		done <- Serve(t.Context(), listener, Config{Secret: testSecret, Certificate: certificate, Dir: t.TempDir(), Once: true, idle: gone})
	}()
	select {
	case err := <-done:
		t.Fatalf("it ended before anybody came: %v", err)
	case <-time.After(2 * onceIdles * gone):
	}
	h, err := Dial(t.Context(), Target{Address: listener.Addr().String(), Fingerprint: FingerprintOf(certificate)}, testSecret, nil)
	if err != nil {
		t.Fatal(err)
	}
	select {
	case err := <-done:
		t.Fatalf("it ended while a harness was there: %v", err)
	case <-time.After(2 * onceIdles * gone):
	}
	if err := h.Close(); err != nil {
		t.Fatal(err)
	}
	select {
	case err := <-done:
		if err != nil {
			t.Error(err)
		}
	case <-time.After(30 * time.Second):
		t.Error("the harness hung up, and the agent is still there after 30 s")
	}
}

// A token file that others may read is refused, but for one that is another user's and readable for the group, as Kubernetes mounts it.
func TestTokenOfAnother(t *testing.T) {
	if runtime.GOOS == "windows" || os.Geteuid() != 0 {
		t.Skip("needs to give a file to another user: run it as root")
	}
	path := filepath.Join(t.TempDir(), "token")
	if err := os.WriteFile(path, testSecret, 0o600); err != nil {
		t.Fatal(err)
	}
	for _, row := range []struct {
		owner int
		mode  os.FileMode
		good  bool
	}{{0, 0o600, true}, {0, 0o440, false}, {65534, 0o440, true}, {65534, 0o444, false}, {65534, 0o460, false}} {
		if err := errors.Join(os.Chown(path, row.owner, 0), os.Chmod(path, row.mode)); err != nil {
			t.Fatal(err)
		}
		if _, err := LoadSecret(path); (err == nil) != row.good {
			t.Errorf("of user %d, mode %#o: %v", row.owner, row.mode, err)
		}
	}
}
