package agent

import (
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"runtime"
	"strings"
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

// A token file that others may read is refused, but for one of root's that is readable for the group, as Kubernetes mounts it for an agent that is
// not root. The error says so.
func TestTokenOfAnother(t *testing.T) {
	for _, row := range []struct {
		owner, self int
		mode        os.FileMode
		good        bool
	}{
		{1000, 1000, 0o600, true}, {1000, 1000, 0o440, false},
		{0, 65532, 0o440, true}, {0, 65532, 0o444, false}, {0, 65532, 0o460, false},
		{1000, 65532, 0o440, false}, {0, 0, 0o440, false},
	} {
		if good := row.mode&forbidden(row.owner, row.self) == 0; good != row.good {
			t.Errorf("of user %d for %d, mode %#o: %v", row.owner, row.self, row.mode, good)
		}
	}
	if runtime.GOOS == "windows" {
		return // which has other rights
	}
	path := filepath.Join(t.TempDir(), "token")
	if err := errors.Join(os.WriteFile(path, testSecret, 0o600), os.Chmod(path, 0o440)); err != nil {
		t.Fatal(err)
	}
	if _, err := LoadSecret(path); !errors.Is(err, ErrSecret) || !strings.Contains(err.Error(), fmt.Sprintf("mode 0440, of user %d", os.Geteuid())) || !strings.Contains(err.Error(), "chmod 600") || !strings.Contains(err.Error(), "of root's") {
		t.Errorf("a file of our own that the group may read: %v", err)
	}
}
