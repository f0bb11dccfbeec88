package agent

import (
	"crypto/tls"
	"errors"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// Nobody gets in without the secret or is taken for another agent, and a
// stranger learns nothing.
func TestStrangersStayOut(t *testing.T) {
	a := start(t, nil)
	other, err := NewCertificate(time.Now())
	if err != nil {
		t.Fatal(err)
	}
	if _, err := Dial(t.Context(), a.target, []byte("another secret of some length"), nil); !errors.Is(err, ErrRefused) {
		t.Errorf("another secret: %v", err)
	}
	if _, err := Dial(t.Context(), Target{Address: a.target.Address, Fingerprint: FingerprintOf(other)}, testSecret, nil); !errors.Is(err, ErrCertificate) {
		t.Errorf("another certificate: %v", err)
	}
	conn, err := tls.Dial("tcp", a.target.Address, a.target.config())
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = conn.Close() }()
	if _, err := conn.Write(append([]byte("PLUMBAGT\x01X"), make([]byte, 32)...)); err != nil {
		t.Fatal(err)
	}
	answer := make([]byte, 100)
	if n, err := conn.Read(answer); n != 1 || answer[0] != 0 {
		t.Errorf("a stranger got %q, %v", answer[:n], err)
	}
	plain, err := net.Dial("tcp", a.target.Address)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = plain.Close() }()
	if _, err := plain.Write([]byte("GET / HTTP/1.1\r\n\r\n")); err != nil {
		t.Fatal(err)
	}
	for {
		n, err := plain.Read(answer)
		if strings.Contains(string(answer[:n]), "plumbline") {
			t.Errorf("without TLS one gets %q", answer[:n])
		}
		if err != nil {
			break // it was sent away
		}
	}
}

// A proof that was seen on one connection is worth nothing on another.
func TestAProofIsOfItsConnection(t *testing.T) {
	a := start(t, nil)
	var proofs []string
	for range 2 {
		conn, err := tls.Dial("tcp", a.target.Address, a.target.config())
		if err != nil {
			t.Fatal(err)
		}
		proof, err := prove(conn, testSecret, "harness", forControl)
		if err != nil {
			t.Fatal(err)
		}
		proofs = append(proofs, string(proof))
		_ = conn.Close()
	}
	if proofs[0] == proofs[1] {
		t.Error("two connections have one proof")
	}
}

func TestSecrets(t *testing.T) {
	path := filepath.Join(t.TempDir(), "token")
	drawn, made, err := MakeSecret(path)
	if err != nil || !made || len(drawn) != 64 {
		t.Fatalf("%q, %v, %v", drawn, made, err)
	}
	if again, made, err := MakeSecret(path); err != nil || made || string(again) != string(drawn) {
		t.Errorf("%q, %v, %v", again, made, err)
	}
	if err := os.Chmod(path, 0o644); err != nil {
		t.Fatal(err)
	}
	if _, err := LoadSecret(path); !errors.Is(err, ErrSecret) || strings.Contains(err.Error(), string(drawn)) {
		t.Errorf("a file for all: %v", err)
	}
	short := filepath.Join(t.TempDir(), "short")
	if err := os.WriteFile(short, []byte(" fifteen bytes.. \n"), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := LoadSecret(short); !errors.Is(err, ErrSecret) {
		t.Errorf("a short secret: %v", err)
	}
	certificate, err := MakeCertificate(filepath.Join(t.TempDir(), "agent.pem"), time.Now())
	if err != nil || FingerprintOf(certificate) == (Fingerprint{}) {
		t.Error(err)
	}
}

func TestTargets(t *testing.T) {
	digits := strings.Repeat("ab", 32)
	target, err := ParseTarget("host.example:7070#" + digits)
	if err != nil || target.Address != "host.example:7070" || target.String() != "host.example:7070#"+digits || target.Loopback() {
		t.Errorf("%v, %v", target, err)
	}
	for _, bad := range []string{"", "host:1", "host#" + digits, ":1#" + digits, "host:1#abcd", "host:1#" + digits + "00", "host:1#" + strings.Repeat("xy", 32)} {
		if got, err := ParseTarget(bad); err == nil {
			t.Errorf("%q is %v", bad, got)
		}
	}
}
