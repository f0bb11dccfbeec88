package main

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"encoding/json"
	"encoding/pem"
	"math/big"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"plumbline/bridge"
	"plumbline/bridge/internal/eventually"
)

// child is a real bridged.
type child struct {
	t     *testing.T
	cmd   *exec.Cmd
	log   *lockedBuffer
	data  string
	addrs bridge.Addresses
	ended chan error // gets Wait's answer once
}

// lockedBuffer can be read while a process writes to it.
type lockedBuffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (l *lockedBuffer) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Write(p)
}

func (l *lockedBuffer) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.String()
}

// launch starts bridged on the data folder; settings are key=value. It is killed when the test ends. wrap, if any, is a command
// that runs it, such as prlimit with its arguments.
func launch(t *testing.T, data string, addrs bridge.Addresses, environ, wrap, args []string, settings ...string) *child {
	t.Helper()
	if runtime.GOOS == "windows" {
		t.Skip("SIGTERM cannot be sent on Windows")
	}
	for _, a := range []*string{&addrs.MQTT, &addrs.Viewers, &addrs.Ops} {
		if *a == "" {
			*a = "127.0.0.1:0"
		}
	}
	line := append(append([]string{}, wrap...), os.Args[0])
	line = append(line, args...)
	for _, s := range append([]string{"data=" + data, "mqtt.listen=" + addrs.MQTT, "viewers.listen=" + addrs.Viewers, "ops.listen=" + addrs.Ops, "drain.spread=200ms"}, settings...) {
		line = append(line, "--set", s)
	}
	p := &child{t: t, log: &lockedBuffer{}, data: data, ended: make(chan error, 1)}
	p.cmd = exec.CommandContext(t.Context(), line[0], line[1:]...)
	p.cmd.Env = append(append(os.Environ(), "BRIDGED_AS_TEST=1"), environ...)
	p.cmd.Stderr = p.log
	if err := p.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	gone := make(chan struct{})
	go func() { p.ended <- p.cmd.Wait(); close(gone) }()
	t.Cleanup(func() { _ = p.cmd.Process.Kill(); <-gone })
	return p
}

// begin launches bridged and returns when it serves.
func begin(t *testing.T, data string, addrs bridge.Addresses, settings ...string) *child {
	t.Helper()
	p := launch(t, data, addrs, nil, nil, nil, settings...)
	p.awaitReady()
	return p
}

// awaitReady returns when the process has written down where it listens.
func (p *child) awaitReady() {
	p.t.Helper()
	eventually.Must(p.t, "the process's address file", func() bool {
		select {
		case err := <-p.ended:
			p.t.Fatalf("it ended: %v\n%s", err, p.log)
		default:
		}
		raw, err := os.ReadFile(filepath.Join(p.data, bridge.AddressFile))
		return err == nil && json.Unmarshal(raw, &p.addrs) == nil && p.addrs.PID == p.cmd.Process.Pid
	})
}

func (p *child) signal(sig os.Signal) {
	p.t.Helper()
	if err := p.cmd.Process.Signal(sig); err != nil {
		p.t.Fatal(err)
	}
}

// awaitEnd returns how the process ended.
func (p *child) awaitEnd() error {
	p.t.Helper()
	var err error
	eventually.Must(p.t, "the end of the process", func() bool {
		select {
		case err = <-p.ended:
			return true
		default:
			return false
		}
	})
	return err
}

// TestProcess starts the daemon, kills it without mercy, starts it again on the same folder and ends it by signal.
func TestProcess(t *testing.T) {
	data := filepath.Join(t.TempDir(), "data")
	p := begin(t, data, bridge.Addresses{})
	p.signal(os.Kill)
	_ = p.awaitEnd()
	p = begin(t, data, bridge.Addresses{})
	if code, out, errs := invoke(t, "", "health", "--set", "ops.listen="+p.addrs.Ops); code != exitOK || out != "ready\n" {
		t.Errorf("health: exit %d, %q %s", code, out, errs)
	}
	if code, _, errs := invoke(t, "", "health", "--set", "ops.listen=127.0.0.1:0", "--set", "data="+data); code != exitOK {
		t.Errorf("health by the address file: exit %d, %s", code, errs)
	}
	if code, _, errs := invoke(t, "", "--set", "data="+data, "--set", "mqtt.listen=127.0.0.1:0", "--set", "viewers.listen=127.0.0.1:0", "--set", "ops.listen=127.0.0.1:0"); code != exitUnavailable {
		t.Errorf("a second bridge on the data folder: exit %d, %s", code, errs)
	}
	p.signal(syscall.SIGTERM)
	if err := p.awaitEnd(); err != nil {
		t.Fatalf("after SIGTERM: %v\n%s", err, p.log)
	}
	for _, part := range []string{`"msg":"ready"`, `"msg":"draining"`, `"msg":"stopped"`} {
		if !strings.Contains(p.log.String(), part) {
			t.Errorf("the log lacks %s:\n%s", part, p.log)
		}
	}
	if _, err := os.Stat(filepath.Join(data, bridge.AddressFile)); !os.IsNotExist(err) {
		t.Errorf("address file after the end: %v", err)
	}
	if code, _, _ := invoke(t, "", "health", "--set", "ops.listen="+p.addrs.Ops); code != exitUnavailable {
		t.Errorf("health of a bridge that has ended: exit %d", code)
	}
}

// TestSecondSignal: who does not want to wait for the drain's end gets it at once.
func TestSecondSignal(t *testing.T) {
	p := begin(t, filepath.Join(t.TempDir(), "data"), bridge.Addresses{}, "drain.spread=10m")
	load(p, 1) // viewers, to be closed one by one
	p.signal(syscall.SIGTERM)
	eventually.Must(t, "the drain", func() bool { return strings.Contains(p.log.String(), `"msg":"draining"`) })
	p.signal(syscall.SIGTERM)
	if err := p.awaitEnd(); err == nil || p.cmd.ProcessState.ExitCode() != exitInterrupted {
		t.Errorf("ended with %v, want exit code %d\n%s", err, exitInterrupted, p.log)
	}
}

// TestHangup: SIGHUP changes the log level, and a configuration that cannot be read changes nothing.
func TestHangup(t *testing.T) {
	file := write(t, "bridge.yaml", "log: {level: info}\n")
	p := launch(t, filepath.Join(t.TempDir(), "data"), bridge.Addresses{}, nil, nil, []string{"--config", file})
	p.awaitReady()
	for _, step := range []struct{ text, want string }{
		{"log: {level: loud}\n", "configuration not reloaded"}, {"log: {level: debug}\n", `"level":"debug"`},
	} {
		if err := os.WriteFile(file, []byte(step.text), 0o600); err != nil {
			t.Fatal(err)
		}
		p.signal(syscall.SIGHUP)
		eventually.Must(t, step.want, func() bool { return strings.Contains(p.log.String(), step.want) })
	}
	p.signal(syscall.SIGTERM)
	if err := p.awaitEnd(); err != nil {
		t.Errorf("end: %v", err)
	}
}

// TestTakeover: the second bridge waits until the first has gone; without --takeover, or when it lasts too long, it ends with 4.
func TestTakeover(t *testing.T) {
	data := filepath.Join(t.TempDir(), "data")
	old := begin(t, data, bridge.Addresses{})
	late := launch(t, data, old.addrs, nil, nil, []string{"--takeover", "50ms"})
	if err := late.awaitEnd(); err == nil || late.cmd.ProcessState.ExitCode() != exitUnavailable {
		t.Errorf("too late: %v", err)
	}
	gone := launch(t, data, old.addrs, nil, nil, []string{"--takeover", "1h"})
	eventually.Must(t, "the one that waits", func() bool { return strings.Contains(gone.log.String(), "waiting for another bridge") })
	gone.signal(syscall.SIGTERM)
	if err := gone.awaitEnd(); err != nil {
		t.Errorf("ended while it waited: %v", err)
	}
	next := launch(t, data, old.addrs, nil, nil, []string{"--takeover", "1h"})
	eventually.Must(t, "the one that waits", func() bool { return strings.Contains(next.log.String(), "waiting for another bridge") })
	old.signal(syscall.SIGTERM)
	if err := old.awaitEnd(); err != nil {
		t.Errorf("the old one: %v", err)
	}
	next.awaitReady()
	if next.addrs.MQTT != old.addrs.MQTT || next.addrs.Viewers != old.addrs.Viewers {
		t.Errorf("the new one listens on %+v, the old one did on %+v", next.addrs, old.addrs)
	}
}

// TestHealthOverTLS: the operators' listener is believed by its very certificate, whatever name that has.
func TestHealthOverTLS(t *testing.T) {
	cert, key := selfSigned(t)
	other, _ := selfSigned(t)
	p := launch(t, filepath.Join(t.TempDir(), "data"), bridge.Addresses{}, nil, nil, nil, "ops.tls.cert="+cert, "ops.tls.key="+key)
	p.awaitReady()
	ask := func(cert string) (int, string) {
		code, out, errs := invoke(t, "", "health", "--set", "ops.listen="+p.addrs.Ops, "--set", "ops.tls.cert="+cert, "--set", "ops.tls.key="+key)
		return code, out + errs
	}
	if code, text := ask(cert); code != exitOK {
		t.Errorf("exit %d, %s", code, text)
	}
	if code, text := ask(other); code != exitUnavailable || !strings.Contains(text, "another certificate") {
		t.Errorf("another certificate: exit %d, %s", code, text)
	}
	if code, text := ask(key); code != exitUnavailable {
		t.Errorf("a key for a certificate: exit %d, %s", code, text)
	}
}

// selfSigned writes a certificate for some host and its key.
func selfSigned(t *testing.T) (certFile, keyFile string) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	tmpl := &x509.Certificate{SerialNumber: big.NewInt(1), DNSNames: []string{"ops.example"}, NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour)}
	der, err := x509.CreateCertificate(rand.Reader, tmpl, tmpl, &key.PublicKey, key)
	if err != nil {
		t.Fatal(err)
	}
	raw, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	return write(t, "c.pem", string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}))), write(t, "k.pem", string(pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: raw})))
}
