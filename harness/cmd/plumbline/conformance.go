package main

import (
	"bytes"
	"encoding/json"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"plumbline/harness/spec"
	"plumbline/harness/sut"
	"plumbline/reports"
	"plumbline/reports/seal"
)

// bics is the implementation conformance statement of a bridge (as in ISO/IEC
// 9646): what its descriptor claims, capability by capability, and which
// requirements that selects. Whoever writes the descriptor claims it; it is not
// signed by the vendor, only bound to the report by its digest.
type bics struct {
	Schema       string            `json:"schema"`
	System       string            `json:"system"`
	Version      string            `json:"version,omitempty"`
	Capabilities []bicsCapability  `json:"capabilities"`
	Derived      []string          `json:"derived"` // of the harness over the system: from what else the descriptor says
	QoS          []int             `json:"mqtt_qos"`
	Replay       string            `json:"replay_class"` // R0 continues where it was cut off, R1 last value of each topic, R2 none
	MaxPayload   int64             `json:"max_payload_bytes,omitempty"`
	Reconnect    time.Duration     `json:"reconnect_ns,omitempty"`
	Selects      []bicsRequirement `json:"requirements"`
}

type bicsCapability struct {
	Name    string `json:"name"`
	Claimed bool   `json:"claimed"`
}

type bicsRequirement struct {
	ID      string `json:"id"`
	Needs   string `json:"needs,omitempty"` // capability
	Applies bool   `json:"applies"`
}

// bixit is the extra information that a test needs to reach the system. Secrets
// stand in it as names of files, because that is how descriptors hold them.
type bixit struct {
	Schema    string         `json:"schema"`
	System    string         `json:"system"`
	Processes []bixitProcess `json:"processes"` // empty for a remote system
	Broker    bixitBroker    `json:"broker"`
	Viewer    bixitViewer    `json:"viewer"`
	Auth      *bixitAuth     `json:"auth,omitempty"` // nil: tokens are not spoken of
	Ready     string         `json:"ready,omitempty"`
	Metrics   string         `json:"metrics,omitempty"`
	Hooks     []string       `json:"hooks"` // that stand in for what the harness cannot do itself
}

type bixitProcess struct {
	Name    string        `json:"name"`
	Program string        `json:"program"`
	Timeout time.Duration `json:"ready_within_ns"`
}

type bixitBroker struct {
	URL         string `json:"url"`
	MQTTVersion string `json:"mqtt_version"`
	Username    bool   `json:"username"` // whether one is used
}

type bixitViewer struct {
	Protocol    string        `json:"protocol"`
	URL         string        `json:"url"`
	Subprotocol string        `json:"subprotocol,omitempty"`
	TokenIn     string        `json:"token_in,omitempty"`
	Origin      string        `json:"origin,omitempty"`
	Interval    time.Duration `json:"poll_interval_ns,omitempty"`
}

type bixitAuth struct {
	Alg          string `json:"alg"`
	Issuer       string `json:"issuer,omitempty"`
	Audience     string `json:"audience,omitempty"`
	SubjectClaim string `json:"subject_claim,omitempty"`
	GrantsClaim  string `json:"grants_claim,omitempty"`
	Revocation   bool   `json:"revocation_file"`
}

// writeConformance puts both statements into config/, where they are evidence.
func writeConformance(dir string, d *sut.Descriptor) error {
	for name, content := range map[string]any{seal.BICSFile: newBICS(d), seal.BIXITFile: newBIXIT(d)} {
		var text bytes.Buffer
		enc := json.NewEncoder(&text)
		enc.SetIndent("", "  ")
		enc.SetEscapeHTML(false)
		if err := enc.Encode(content); err != nil {
			return err
		}
		if err := os.WriteFile(filepath.Join(dir, filepath.FromSlash(name)), text.Bytes(), 0o644); err != nil { //nolint:gosec // G306: a run directory is for others to read
			return err
		}
	}
	return nil
}

func newBICS(d *sut.Descriptor) bics {
	b := bics{Schema: "plumbline.bics/v1", System: d.Name, Version: d.Version, QoS: []int{0}, Replay: "R2", Derived: []string{},
		MaxPayload: d.Limits.MaxPayload, Reconnect: d.Limits.Reconnect}
	claims := func(name string) bool { return slices.Contains(d.Capabilities, name) }
	for _, name := range sut.Capabilities() {
		b.Capabilities = append(b.Capabilities, bicsCapability{Name: name, Claimed: claims(name)})
	}
	for _, name := range d.Capabilities {
		if strings.HasPrefix(name, "x-") {
			b.Capabilities = append(b.Capabilities, bicsCapability{Name: name, Claimed: true})
		}
	}
	for _, name := range d.All() {
		if !claims(name) {
			b.Derived = append(b.Derived, name)
		}
	}
	if claims(sut.CapQoS1) {
		b.QoS = append(b.QoS, 1)
	}
	switch {
	case claims(sut.CapResume):
		b.Replay = "R0"
	case claims(sut.CapSnapshot), claims(sut.CapRetained):
		b.Replay = "R1"
	}
	for _, known := range spec.Catalogue().Requirements {
		req := known.Requirement
		b.Selects = append(b.Selects, bicsRequirement{ID: req.ID, Needs: req.Capability,
			Applies: req.Class != reports.Conditional || d.Has(req.Capability)})
	}
	return b
}

func newBIXIT(d *sut.Descriptor) bixit {
	b := bixit{Schema: "plumbline.bixit/v1", System: d.Name, Processes: []bixitProcess{}, Hooks: []string{}, Ready: d.Ops.Ready, Metrics: d.Ops.Metrics,
		Broker: bixitBroker{URL: d.Broker.URL, MQTTVersion: orElse(d.Broker.MQTTVersion, "5"), Username: d.Broker.Username != ""},
		Viewer: bixitViewer{Protocol: d.Viewer.Protocol, URL: d.Viewer.URL, Subprotocol: d.Viewer.Subprotocol, TokenIn: d.Viewer.Token.In,
			Origin: d.Viewer.Origin, Interval: d.Viewer.Interval},
	}
	for _, p := range d.Start {
		timeout := p.Ready.Timeout
		if timeout == 0 {
			timeout = sut.DefaultReadyTimeout
		}
		program := ""
		if len(p.Command) > 0 {
			program = p.Command[0]
		}
		b.Processes = append(b.Processes, bixitProcess{Name: p.Name, Program: program, Timeout: timeout})
	}
	if d.Auth != nil && d.Auth.JWT != nil {
		j := d.Auth.JWT
		b.Auth = &bixitAuth{Alg: j.Alg, Issuer: j.Issuer, Audience: j.Audience, SubjectClaim: orElse(j.SubjectClaim, "sub"),
			GrantsClaim: j.GrantsClaim, Revocation: d.Auth.RevocationFile != ""}
	}
	for _, h := range []struct {
		name    string
		command []string
	}{
		{"restartBroker", d.Hooks.RestartBroker}, {"restartBridge", d.Hooks.RestartBridge},
		{"killBridge", d.Hooks.KillBridge}, {"stepClock", d.Hooks.StepClock},
	} {
		if len(h.command) > 0 {
			b.Hooks = append(b.Hooks, h.name)
		}
	}
	return b
}

func orElse(s, other string) string {
	if s == "" {
		return other
	}
	return s
}
