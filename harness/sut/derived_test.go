//go:build unix

package sut

import (
	"bufio"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"testing"
	"time"

	"plumbline/harness/fault"
)

func TestWhatFollowsFromADescriptor(t *testing.T) {
	remote := &Descriptor{Viewer: Viewer{Protocol: "sse"}, Capabilities: []string{CapTLS, "x-own"}}
	if got := remote.All(); !slices.Equal(got, []string{CapTLS, "x-own"}) {
		t.Errorf("a remote system without hooks: %v", got)
	}
	remote.Hooks.RestartBridge = []string{"restart"}
	if remote.Has(CapClock) {
		t.Error("the clock of a remote system can be stepped without a hook")
	}
	if !remote.Has(CapRestart) || remote.Has(CapProcesses) || remote.Has(CapPublish) {
		t.Errorf("a remote system with a hook: %v", remote.All())
	}
	own := Default()
	for _, capability := range Derived() {
		want := (capability != CapClock || fault.NoClockStep() == nil) && !strings.HasPrefix(capability, CapCluster)
		if own.Has(capability) != want {
			t.Errorf("bridged has %q: %v", capability, own.Has(capability))
		}
		if slices.Contains(Capabilities(), capability) {
			t.Errorf("%q can be claimed, though it follows from the descriptor", capability)
		}
		if Lacking(capability) == "" {
			t.Errorf("nothing says why a system lacks %q", capability)
		}
	}
	for _, capability := range Capabilities() {
		if why := Lacking(capability); why != "" {
			t.Errorf("%q is claimed, and said to follow from the descriptor: %s", capability, why)
		}
	}
	if all := own.All(); len(all) != len(slices.Compact(slices.Sorted(slices.Values(all)))) || !slices.Equal(all[:len(own.Capabilities)], own.Capabilities) {
		t.Errorf("capabilities of bridged are %v", all)
	}
}

// The processes that a process started belong to it.
func TestFamilyOfAProcess(t *testing.T) {
	if runtime.GOOS != "linux" {
		t.Skip("proc(5) is needed")
	}
	cmd := exec.CommandContext(t.Context(), "sh", "-c", "sleep 60 & sleep 60 & echo ready; wait")
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	cmd.SysProcAttr = ownGroup()
	cmd.Cancel = func() error { return signalGroup(cmd.Process, sigKill) }
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = signalGroup(cmd.Process, sigKill)
		_ = cmd.Wait()
	})
	if _, err := bufio.NewReader(out).ReadString('\n'); err != nil {
		t.Fatal(err)
	}
	if got := family(int32(cmd.Process.Pid)); len(got) != 3 || got[0] != int32(cmd.Process.Pid) {
		t.Errorf("a shell with two children is %v", got)
	}
}

// The hook gets what to step by as its last argument, forth and back.
func TestStepOfTheClock(t *testing.T) {
	if _, err := exec.LookPath("sh"); err != nil {
		t.Skip("a shell is needed")
	}
	file := filepath.Join(t.TempDir(), "steps")
	s, err := New(Options{Dir: t.TempDir(), Descriptor: shellDescriptor(t, "exec sleep 300", fmt.Sprintf("hooks: {stepClock: [/bin/sh, -c, %q, sh]}", `echo "$1" >> `+file))})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = s.Close() })
	if !s.Has(CapClock) {
		t.Error("a system with the hook lacks the capability")
	}
	if err := errors.Join(s.StepClock(t.Context(), time.Hour), s.StepClock(t.Context(), -time.Hour)); err != nil {
		t.Fatal(err)
	}
	if text, err := os.ReadFile(file); err != nil || string(text) != "3600\n-3600\n" {
		t.Errorf("the hook was called with %q, %v", text, err)
	}
	none, err := New(Options{Dir: t.TempDir(), Descriptor: shellDescriptor(t, "exec sleep 300", "")})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = none.Close() })
	if err := none.StepClock(t.Context(), time.Hour); !errors.Is(err, ErrNoControl) {
		t.Errorf("without the hook: %v", err)
	}
}
