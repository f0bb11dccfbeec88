package main

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"plumbline/bridge"
	"plumbline/bridge/client"
	"plumbline/bridge/internal/eventually"
)

// TestUpgradeLosesNothing: the new process starts on the same folder and ports while the old one still serves, and begins when
// the old one has drained. Under load from publishers with QoS 1, viewers that come back have lost nothing, got nothing twice,
// and each topic in order.
func TestUpgradeLosesNothing(t *testing.T) {
	data := filepath.Join(t.TempDir(), "data")
	old := begin(t, data, bridge.Addresses{})
	b := load(old, 1500)
	const upgrades = 3
	for i := range upgrades {
		b.progress(float64(i+1) / (upgrades + 1))
		next := launch(t, data, old.addrs, nil, nil, []string{"--takeover", "1h"})
		eventually.Must(t, "the new process to wait", func() bool { return strings.Contains(next.log.String(), "waiting for another bridge") })
		old.signal(syscall.SIGTERM)
		if err := old.awaitEnd(); err != nil {
			t.Fatalf("the old process: %v\n%s", err, old.log)
		}
		next.awaitReady()
		old = next
	}
	b.whole()
	for _, v := range b.viewers {
		if n := len(v.of(client.EventDraining)); n != upgrades {
			t.Errorf("%s was told %d times that the bridge drains, want %d", v.name, n, upgrades)
		}
	}
}

// TestN103ProcessDrainUnderLoad: on SIGTERM every viewer is told, closed with 1012 and a hint when to come back, the process ends
// with 0 although publishers go on, and what was acknowledged is there for those who come back.
func TestN103ProcessDrainUnderLoad(t *testing.T) {
	data := filepath.Join(t.TempDir(), "data")
	p := begin(t, data, bridge.Addresses{})
	b := load(p, 800)
	b.progress(0.4)
	p.signal(syscall.SIGTERM)
	if err := p.awaitEnd(); err != nil {
		t.Errorf("the process ended with %v\n%s", err, p.log)
	}
	for _, v := range b.viewers {
		eventually.Must(t, "the end of the session of "+v.name, func() bool { return len(v.of(client.EventDisconnected)) > 0 })
		told := v.of(client.EventDraining)
		if len(told) != 1 {
			t.Fatalf("%s was told %d times that the bridge drains", v.name, len(told))
		}
		var closed *client.CloseError
		if e := v.of(client.EventDisconnected)[0]; !errors.As(e.Err, &closed) || closed.Code != 1012 || e.Wait != told[0].Wait {
			t.Errorf("%s: ended with %v, comes back after %s, was told %s", v.name, e.Err, e.Wait, told[0].Wait)
		}
	}
	if text := p.log.String(); !strings.Contains(text, `"msg":"stopped"`) || strings.Contains(text, "were cut while draining") {
		t.Errorf("log:\n%s", text)
	}
	begin(t, data, p.addrs)
	b.whole()
}

// TestDrainDelay: while the delay lasts /readyz says no and everybody is served, new ones too; then the drain begins.
func TestDrainDelay(t *testing.T) {
	p := begin(t, filepath.Join(t.TempDir(), "data"), bridge.Addresses{}, "drain.delay=10m")
	p.signal(syscall.SIGTERM)
	eventually.Must(t, "the bridge to say that it ends", func() bool { return strings.Contains(p.log.String(), "the drain begins later") })
	if code, out, errs := invoke(t, "", "health", "--set", "ops.listen="+p.addrs.Ops); code != exitRefused || !strings.Contains(out+errs, "draining") {
		t.Errorf("health: exit %d, %q %s", code, out, errs)
	}
	load(p, 20).progress(1)
	p.signal(syscall.SIGTERM)
	if err := p.awaitEnd(); err == nil || p.cmd.ProcessState.ExitCode() != exitInterrupted || strings.Contains(p.log.String(), `"msg":"draining"`) {
		t.Errorf("after a second signal: %v\n%s", err, p.log)
	}
	p = begin(t, p.data, bridge.Addresses{}, "drain.delay=1ms")
	p.signal(syscall.SIGTERM)
	if err := p.awaitEnd(); err != nil || !strings.Contains(p.log.String(), `"msg":"draining"`) {
		t.Errorf("after the delay: %v\n%s", err, p.log)
	}
}

// TestN102KilledUnderLoad: SIGKILL again and again; with the policy os nothing that was acknowledged is missing, and viewers come back
// where they were.
func TestN102KilledUnderLoad(t *testing.T) {
	data := filepath.Join(t.TempDir(), "data")
	p := begin(t, data, bridge.Addresses{})
	b := load(p, 1500)
	const kills = 4
	for i := range kills {
		b.progress(float64(i+1) / (kills + 1))
		p.signal(os.Kill)
		_ = p.awaitEnd()
		p = begin(t, data, p.addrs)
	}
	b.whole()
}
