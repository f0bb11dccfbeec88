package main

import (
	"context"
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/rogpeppe/go-internal/testscript"

	"plumbline/harness/spec"
	"plumbline/harness/sut"
	"plumbline/reports"
	"plumbline/reports/render"
	"plumbline/reports/seal"
	"plumbline/reports/seal/keystore"
)

// makeCertified writes a certified run directory, signed by the keys of a store;
// "id=ID" names the run and "fails" lets it fail.
func makeCertified(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) < 2 {
		ts.Fatalf("usage: certified DIR STORE [id=ID] [fails]")
	}
	dir := ts.MkAbs(args[0])
	ts.Check(os.MkdirAll(dir, 0o755))
	bridge := []byte("the bridge\n")
	ts.Check(os.WriteFile(filepath.Join(filepath.Dir(dir), "bridge"), bridge, 0o644))
	started := time.Date(2026, 11, 23, 3, 40, 0, 0, time.UTC)
	run := &reports.Run{
		Schema: reports.SchemaVersion, ID: "0badcafe", Started: started, Finished: started.Add(time.Minute), Certifying: true,
		Profile: reports.Profile{Name: "ci", Version: "1.0"}, Tool: reports.Tool{Name: "plumbline"},
		SUT:          reports.SUT{Name: "bridge", Artifacts: []reports.Evidence{{Path: "bridge", SHA256: digest(strings.NewReader(string(bridge))), Size: int64(len(bridge))}}},
		Requirements: []reports.Requirement{{ID: "A-1", Title: "t", Text: "It shall.", Class: reports.Mandatory, Rule: "deterministic"}},
		Results:      []reports.Result{{Requirement: "A-1", Scenario: "a", Verdict: reports.Pass, Sentence: "A-1: it does. Verdict PASS.", Started: started, Attempt: 1}},
	}
	for _, arg := range args[2:] {
		if id, named := strings.CutPrefix(arg, "id="); named {
			run.ID = id
		} else {
			run.Results[0].Verdict = reports.Fail
		}
	}
	run.Overall = run.Judge()
	signer, _, err := keystore.Open(ts.MkAbs(args[1]), "", time.Now).Signer(context.Background())
	ts.Check(err)
	ts.Check(render.All(dir, run))
	issued, err := seal.Issue(context.Background(), dir, signer, seal.Terms{Issued: time.Now()}, run)
	ts.Check(err)
	if (issued.Certificate != nil) != run.Certified() {
		ts.Fatalf("certificate: %s", issued.Why)
	}
}

// nameSigner puts the id of the last Ed25519 key of a store into $SIGNER.
func nameSigner(ts *testscript.TestScript, _ bool, args []string) {
	list, err := keystore.Open(ts.MkAbs(args[0]), "", time.Now).List(context.Background())
	ts.Check(err)
	for _, r := range list.Keys {
		if r.Algorithm == seal.Ed25519 {
			ts.Setenv("SIGNER", r.ID)
		}
	}
}

// TestConformanceStatements: every capability and requirement is in the one, all
// that reaches the system in the other, and no value of a secret in any.
func TestConformanceStatements(t *testing.T) {
	dir := t.TempDir()
	if err := os.Mkdir(filepath.Join(dir, configFolder), 0o700); err != nil {
		t.Fatal(err)
	}
	d := *sut.Default()
	d.Broker.Username, d.Broker.PasswordFile = "device-user", "secret.txt"
	if err := writeConformance(dir, &d); err != nil {
		t.Fatal(err)
	}
	var b bics
	var x bixit
	for name, into := range map[string]any{seal.BICSFile: &b, seal.BIXITFile: &x} {
		text, err := os.ReadFile(filepath.Join(dir, name))
		if err != nil {
			t.Fatal(err)
		}
		if err := json.Unmarshal(text, into); err != nil {
			t.Fatal(err)
		}
		for _, secret := range []string{"device-user", "secret.txt", "jwt.key"} {
			if strings.Contains(string(text), secret) {
				t.Errorf("%s names %q", name, secret)
			}
		}
	}
	if len(b.Capabilities) != len(sut.Capabilities()) || len(b.Selects) != len(spec.Catalogue().Requirements) || b.Replay != "R0" || len(b.QoS) != 2 || len(b.Derived) == 0 {
		t.Errorf("conformance statement: %+v", b)
	}
	for _, c := range b.Capabilities {
		if c.Claimed != d.Has(c.Name) {
			t.Errorf("%s: claimed %v", c.Name, c.Claimed)
		}
	}
	for _, r := range b.Selects {
		if known, _ := spec.Requirement(r.ID); r.Applies != (known.Requirement.Class != reports.Conditional || d.Has(known.Requirement.Capability)) {
			t.Errorf("%s: applies %v", r.ID, r.Applies)
		}
	}
	if x.Broker.URL != d.Broker.URL || !x.Broker.Username || x.Viewer.Protocol != "plumbline" || len(x.Processes) != 1 || x.Processes[0].Timeout != 20*time.Second ||
		x.Auth == nil || x.Auth.Alg != "HS256" || !x.Auth.Revocation || x.Metrics == "" {
		t.Errorf("extra information: %+v", x)
	}
	remote := newBIXIT(&sut.Descriptor{Name: "far", Viewer: sut.Viewer{Protocol: "sse"}, Hooks: sut.Hooks{KillBridge: []string{"ssh"}}})
	if remote.Auth != nil || len(remote.Processes) != 0 || len(remote.Hooks) != 1 {
		t.Errorf("of a remote system: %+v", remote)
	}
}
