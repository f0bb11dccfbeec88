//go:build unix

package sut

import (
	"errors"
	"io"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"
)

func cluster(t *testing.T, text string) *SUT {
	t.Helper()
	d, err := Parse([]byte(text), "cluster.yaml", t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	s, err := New(Options{Dir: t.TempDir(), Descriptor: d})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = s.Close() })
	if err := s.Start(t.Context()); err != nil {
		t.Fatal(err)
	}
	return s
}

func TestClusterOfProcesses(t *testing.T) {
	s := cluster(t, clusterDescriptor)
	for _, capability := range []string{CapCluster, CapRelay, CapBalancer} {
		if !s.Has(capability) {
			t.Errorf("it lacks %q", capability)
		}
	}
	if s.Has(CapLinks) { // of one node only
		t.Errorf("it has %q", CapLinks)
	}
	if hosts := s.Brokers(); len(hosts) != 2 || hosts[0] == hosts[1] || !strings.HasPrefix(hosts[0], "127.0.0.1:2") && !strings.HasPrefix(hosts[0], "127.0.0.1:3") {
		t.Errorf("devices go to %v", hosts)
	}
	right, err := s.Part("right")
	if err != nil {
		t.Fatal(err)
	}
	at := func(name string) int { return s.processes()[s.source.index(name)].process.Pid }
	left, was := at("left"), at("right")
	if err := errors.Join(right.Pause(), right.Resume(), right.Kill(), right.Start(t.Context()), right.Restart(t.Context()), right.Stop(t.Context()), right.Start(t.Context())); err != nil {
		t.Fatal(err)
	}
	if at("left") != left || at("right") == was {
		t.Errorf("left was %d and is %d, right was %d and is %d", left, at("left"), was, at("right"))
	}
	if err := errors.Join(s.Err(), s.ReloadBalancer(t.Context())); err != nil {
		t.Error(err)
	}
	if text, err := os.ReadFile(filepath.Join(s.private, "reloaded")); err != nil || string(text) != "again\n" {
		t.Errorf("the hook left %q, %v", text, err)
	}
	if _, err := s.Part("centre"); !errors.Is(err, ErrNoControl) {
		t.Errorf("a process that there is none of: %v", err)
	}
}

// TestReadyWhenACommandSaysSo: a process is ready when the command of its descriptor has ended with 0 once.
func TestReadyWhenACommandSaysSo(t *testing.T) {
	const asks = `
    ready: {command: [/bin/sh, -c, "echo asked >> '{{dir}}/asked'; test $(wc -l < '{{dir}}/asked') -ge 3"], timeout: 1m}
  - {name: left`
	s := cluster(t, strings.Replace(clusterDescriptor, "\n  - {name: left", asks, 1))
	if text, err := os.ReadFile(filepath.Join(s.private, "asked")); err != nil || strings.Count(string(text), "asked\n") < 3 { // one that stalls is asked anew
		t.Errorf("it was asked: %q, %v; want three times at least", text, err)
	}
}

// What a reload is followed by was not asked for.
func TestDeathAfterAReloadIsOne(t *testing.T) {
	s := cluster(t, clusterDescriptor)
	if err := s.ReloadBalancer(t.Context()); err != nil {
		t.Fatal(err)
	}
	if err := signalGroup(s.processes()[s.source.index("front")].process, sigKill); err != nil {
		t.Fatal(err)
	}
	select {
	case <-s.Exited():
	case <-time.After(time.Minute):
		t.Error("nobody noticed for a minute that the balancer had died")
	}
}

func TestRelayIsEmptied(t *testing.T) {
	s := cluster(t, clusterDescriptor)
	state := filepath.Join(s.private, "joint", "state")
	for deadline := time.Now().Add(time.Minute); ; <-time.After(5 * time.Millisecond) {
		if text, err := os.ReadFile(state); err == nil && string(text) == "kept\n" {
			break
		}
		if time.Now().After(deadline) {
			t.Fatal("the process kept nothing for a minute")
		}
	}
	if err := s.EmptyRelay(); err != nil {
		t.Fatal(err)
	}
	if entries, err := os.ReadDir(filepath.Dir(state)); err != nil || len(entries) > 0 {
		t.Errorf("%v are left, %v", entries, err)
	}
	other := cluster(t, strings.Replace(clusterDescriptor, `  relayState: "{{dir}}/joint"`+"\n", "", 1))
	if err := other.EmptyRelay(); !errors.Is(err, ErrNoControl) {
		t.Errorf("a state that nobody names: %v", err)
	}
}

func TestLinkOfANode(t *testing.T) {
	s := cluster(t, clusterDescriptor)
	if s.Link("right") != nil {
		t.Error("the one without a link has one")
	}
	link := s.Cluster().Nodes[0].Link
	joint, err := net.Listen("tcp", link.To)
	if err != nil {
		t.Fatal(err)
	}
	defer joint.Close()
	go func() {
		for {
			conn, err := joint.Accept()
			if err != nil {
				return
			}
			_, _ = io.WriteString(conn, "joint")
			_ = conn.Close()
		}
	}()
	conn, err := net.Dial("tcp", link.Listen)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	_ = conn.SetDeadline(time.Now().Add(time.Minute))
	if said, err := io.ReadAll(conn); err != nil || string(said) != "joint" || s.Link("left") == nil {
		t.Errorf("%q came by the link, %v", said, err)
	}
}

// A folder that leads out of the harness's own by its dots is not emptied.
func TestRelayStateStaysWithin(t *testing.T) {
	s := cluster(t, strings.Replace(clusterDescriptor, `relayState: "{{dir}}/joint"`, `relayState: "{{dir}}/../joint"`, 1))
	if err := s.EmptyRelay(); !errors.Is(err, ErrNoControl) {
		t.Errorf("a folder elsewhere: %v", err)
	}
	if one := Default(); one.BrokerAtNodes() || one.Has(CapCluster) || slices.Contains(one.All(), CapLinks) {
		t.Errorf("one bridge is a cluster: %v", one.All())
	}
}
