package main

import (
	"context"
	"errors"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"plumbline/harness/agent"
)

// Two agents that have one certificate, at two addresses of a range, as pods of a Kubernetes Indexed Job are: the second one
// is there only when it was asked for already.
func TestAgentsOfARange(t *testing.T) {
	t.Parallel()
	token := filepath.Join(t.TempDir(), "agent.token")
	secret, _, err := agent.MakeSecret(token)
	if err != nil {
		t.Fatal(err)
	}
	certificate, err := agent.NewCertificate(time.Now())
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	done := make(chan error, 2)
	serve := func(l net.Listener) {
		done <- agent.Serve(ctx, l, agent.Config{Secret: secret, Certificate: certificate, Dir: t.TempDir()})
	}
	first, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	go serve(first)
	_, port, _ := net.SplitHostPort(first.Addr().String())
	asked, err := net.Listen("tcp", "127.0.0.2:"+port)
	if err != nil {
		t.Fatal(err)
	}
	go func() { // who asks too early is cut; then the agent is there
		conn, err := asked.Accept()
		if err == nil {
			err = errors.Join(conn.Close(), asked.Close())
		}
		var second net.Listener
		if err == nil {
			second, err = net.Listen("tcp", "127.0.0.2:"+port)
		}
		if err != nil {
			done <- err
			return
		}
		serve(second)
	}()
	f := agentsFlags{targets: []string{"127.0.0.{1..2}:" + port + "#" + agent.FingerprintOf(certificate).String()}, token: token, wait: 30 * time.Second}
	hosts, hangUp, err := f.dial(ctx)
	defer hangUp()
	if err != nil || len(hosts) != 2 {
		t.Fatalf("%d agents, %v", len(hosts), err)
	}
	// One that is there and has another secret is not waited for.
	if err := os.WriteFile(token, []byte(strings.Repeat("y", 32)), 0o600); err != nil {
		t.Fatal(err)
	}
	began := time.Now()
	if _, _, err := f.dial(ctx); !errors.Is(err, agent.ErrRefused) {
		t.Errorf("with another token: %v after %v", err, time.Since(began))
	}
	cancel()
	for range 2 {
		if err := <-done; err != nil {
			t.Error(err)
		}
	}
}
