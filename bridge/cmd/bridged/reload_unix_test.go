//go:build unix

package main

import (
	"crypto/tls"
	"crypto/x509"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"plumbline/bridge"
	"plumbline/bridge/devca"
	"plumbline/bridge/internal/eventually"
)

// TestSignalsWhileItStarts: the first lets the start come to its end and then ends it, the second ends it at once, and no number of
// hangups hides them.
func TestSignalsWhileItStarts(t *testing.T) {
	for _, twice := range []bool{false, true} {
		fifo := filepath.Join(t.TempDir(), "secret") // whose reader waits for a writer
		if err := syscall.Mkfifo(fifo, 0o600); err != nil {
			t.Fatal(err)
		}
		p := launch(t, filepath.Join(t.TempDir(), "data"), bridge.Addresses{}, nil, nil, nil, "auth.jwt.secretFile="+fifo)
		var secret *os.File
		eventually.Must(t, "the start to read the secret", func() (ok bool) {
			fd, err := syscall.Open(fifo, syscall.O_WRONLY|syscall.O_NONBLOCK, 0)
			if err == nil {
				secret = os.NewFile(uintptr(fd), fifo)
			}
			return err == nil
		})
		for range 3 {
			p.signal(syscall.SIGHUP)
		}
		p.signal(syscall.SIGTERM)
		eventually.Must(t, "the first signal", func() bool { return strings.Contains(p.log.String(), `"msg":"signal"`) })
		want := exitOK
		if twice {
			want = exitInterrupted
			p.signal(syscall.SIGTERM)
		} else {
			_, _ = secret.WriteString("0123456789abcdef0123456789abcdef")
			_ = secret.Close()
		}
		_ = p.awaitEnd()
		if code := p.cmd.ProcessState.ExitCode(); code != want || strings.Contains(p.log.String(), `"msg":"ready"`) {
			t.Errorf("twice %t: exit %d, want %d\n%s", twice, code, want, p.log)
		}
		if text := p.log.String(); twice != strings.Contains(text, "cut the start") || strings.Contains(text, "nothing was changed") {
			t.Errorf("twice %t: what it says of its end is not so:\n%s", twice, text)
		}
		_ = secret.Close()
	}
}

// TestHangupReloads: SIGHUP looks for new certificates and keys, long before the keys' own time comes, and ends nothing.
func TestHangupReloads(t *testing.T) {
	dirs, dir := []string{t.TempDir(), t.TempDir()}, t.TempDir()
	for _, d := range dirs {
		if _, err := devca.Ensure(d, time.Now()); err != nil {
			t.Fatal(err)
		}
	}
	put := func(n int) {
		t.Helper()
		for from, to := range map[string]string{devca.ServerFile: "cert.pem", devca.ServerKeyFile: "key.pem"} {
			raw, err := os.ReadFile(filepath.Join(dirs[n], from))
			if err == nil {
				err = os.WriteFile(filepath.Join(dir, to), raw, 0o600)
			}
			if err != nil {
				t.Fatal(err)
			}
		}
	}
	put(0)
	var asked atomic.Int64
	keys := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		asked.Add(1)
		_, _ = io.WriteString(w, `{"keys":[]}`)
	}))
	t.Cleanup(keys.Close)
	p := launch(t, filepath.Join(dir, "data"), bridge.Addresses{}, nil, nil, nil, "auth.jwt.keySetURL="+keys.URL, "viewers.tls.cert="+filepath.Join(dir, "cert.pem"), "viewers.tls.key="+filepath.Join(dir, "key.pem"))
	p.awaitReady()
	shows := func(n int) bool {
		pem, err := os.ReadFile(filepath.Join(dirs[n], devca.CAFile))
		if err != nil {
			t.Fatal(err)
		}
		pool := x509.NewCertPool()
		pool.AppendCertsFromPEM(pem)
		c, err := tls.Dial("tcp", p.addrs.Viewers, &tls.Config{RootCAs: pool, MinVersion: tls.VersionTLS12})
		if err == nil {
			_ = c.Close()
		}
		return err == nil
	}
	if !shows(0) {
		t.Error("the first certificate is not shown")
	}
	put(1)
	p.signal(syscall.SIGHUP)
	eventually.Must(t, "the question for keys", func() bool { return asked.Load() == 2 })
	eventually.Must(t, "the new certificate", func() bool { return shows(1) })
	if !strings.Contains(p.log.String(), "SIGHUP") {
		t.Error("the signal is not in the log")
	}
	p.signal(syscall.SIGTERM)
	if err := p.awaitEnd(); err != nil {
		t.Errorf("end: %v", err)
	}
}
