package main

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/goccy/go-yaml"

	"plumbline/harness"
	"plumbline/harness/spec"
	"plumbline/harness/sut"
	"plumbline/reports"
	"plumbline/reports/events"
)

// effective is what a run was really asked for, defaults and environment
// included. Secrets stand in it as names of files only, because that is how
// flags and descriptors hold them.
type effective struct {
	Command     string               `yaml:"command"`
	Profile     effectiveProfile     `yaml:"profile"`
	LabelFilter string               `yaml:"labelFilter"`
	Seed        uint64               `yaml:"seed"`
	Timeout     string               `yaml:"timeout"`
	Deviations  []reports.Deviation  `yaml:"deviations"`
	Devices     []harness.DeviceSpec `yaml:"devices"`
	SUT         *sut.Descriptor      `yaml:"sut"`
	Agents      []string             `yaml:"agents,omitempty"`
	Processes   int                  `yaml:"processes,omitempty"` // of this host that took viewers
}

type effectiveProfile struct {
	Name   string `yaml:"name"`
	SHA256 string `yaml:"sha256"`
}

func (f *campaignFlags) effective(opts spec.Options, certify bool) effective {
	e := effective{
		Command: "run", LabelFilter: opts.LabelFilter, Seed: opts.Seed, Timeout: opts.Timeout.String(),
		Profile:    effectiveProfile{Name: opts.Profile.Name, SHA256: opts.Profile.Digest},
		Deviations: opts.Deviations, Devices: declared(opts.Devices), SUT: opts.SUT.Descriptor, Agents: f.agents.targets, Processes: opts.Processes,
	}
	if certify {
		e.Command = "certify"
	}
	if e.SUT == nil {
		e.SUT = sut.Default()
	}
	e.SUT = withoutValues(e.SUT)
	return e
}

// withoutValues returns a copy that names the environment variables of the
// started processes and hides their values: some people keep secrets there.
func withoutValues(d *sut.Descriptor) *sut.Descriptor {
	shown := *d
	shown.Start = slices.Clone(d.Start)
	for i := range shown.Start {
		shown.Start[i].Env = slices.Clone(shown.Start[i].Env)
		for j, pair := range shown.Start[i].Env {
			name, _, _ := strings.Cut(pair, "=")
			shown.Start[i].Env[j] = name + "=(hidden)"
		}
	}
	return &shown
}

// write puts effective.yaml into config/. The engine keeps profile and
// conditions beside it.
func (e effective) write(dir string) error {
	folder := filepath.Join(dir, configFolder)
	if err := os.MkdirAll(folder, 0o755); err != nil { //nolint:gosec // G301: a run directory is for others to read
		return err
	}
	text, err := yaml.Marshal(e)
	if err != nil {
		return fmt.Errorf("effective configuration: %w", err)
	}
	if err := os.WriteFile(filepath.Join(folder, "effective.yaml"), text, 0o644); err != nil { //nolint:gosec // G306: likewise
		return err
	}
	return writeConformance(dir, e.SUT)
}

// declared returns the devices of a run: the user's, or else the built-in mix.
func declared(devices []harness.DeviceSpec) []harness.DeviceSpec {
	if len(devices) == 0 {
		return harness.DefaultDevices()
	}
	return devices
}

// digest returns the SHA-256 of r in hex, "" when it cannot be read.
func digest(r io.Reader) string {
	sum := sha256.New()
	if _, err := io.Copy(sum, r); err != nil {
		return ""
	}
	return hex.EncodeToString(sum.Sum(nil))
}

// openEvents makes the file of events in a run directory, which must not exist yet.
func openEvents(dir string) (*os.File, error) {
	return os.OpenFile(filepath.Join(dir, events.FileName), os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o644) //nolint:gosec // G302: a run directory is for others to read
}
