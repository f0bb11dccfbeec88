//go:build unix

package main

import (
	"bytes"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"plumbline/bridge"
	"plumbline/bridge/devca"
	"plumbline/bridge/internal/eventually"
)

// lines is a log that may be read while it is written.
type lines struct {
	mu  sync.Mutex
	buf bytes.Buffer
}

func (l *lines) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.buf.Write(p)
}

func (l *lines) has(text string) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return bytes.Contains(l.buf.Bytes(), []byte(text))
}

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
		_ = secret.Close()
	}
}

// TestHangupReloads: SIGHUP brings a new certificate into force and ends nothing.
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
	log := &lines{}
	done := make(chan int, 1)
	go func() {
		done <- run(call{args: []string{
			"--set", "data=" + filepath.Join(dir, "data"), "--set", "mqtt.listen=127.0.0.1:0", "--set", "viewers.listen=127.0.0.1:0", "--set", "ops.listen=",
			"--set", "viewers.tls.cert=" + filepath.Join(dir, "cert.pem"), "--set", "viewers.tls.key=" + filepath.Join(dir, "key.pem"), "--set", "drain.spread=0",
		}, stdin: &bytes.Buffer{}, stdout: log, stderr: log})
	}()
	eventually.Must(t, "the bridge to serve", func() bool { return log.has(`"msg":"ready"`) })
	var addrs struct{ Viewers string }
	raw, err := os.ReadFile(filepath.Join(dir, "data", "addresses.json"))
	if err == nil {
		err = json.Unmarshal(raw, &addrs)
	}
	if err != nil {
		t.Fatal(err)
	}
	shows := func(n int) bool {
		pem, err := os.ReadFile(filepath.Join(dirs[n], devca.CAFile))
		if err != nil {
			t.Fatal(err)
		}
		pool := x509.NewCertPool()
		pool.AppendCertsFromPEM(pem)
		c, err := tls.Dial("tcp", addrs.Viewers, &tls.Config{RootCAs: pool, MinVersion: tls.VersionTLS12})
		if err == nil {
			_ = c.Close()
		}
		return err == nil
	}
	if !shows(0) {
		t.Error("the first certificate is not shown")
	}
	put(1)
	if err := syscall.Kill(os.Getpid(), syscall.SIGHUP); err != nil {
		t.Fatal(err)
	}
	eventually.Must(t, "the new certificate", func() bool { return shows(1) })
	if !log.has("SIGHUP") {
		t.Error("the signal is not in the log")
	}
	if err := syscall.Kill(os.Getpid(), syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	if code := <-done; code != exitOK {
		t.Errorf("exit code %d", code)
	}
}
