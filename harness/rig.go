// Package harness binds a declared bench to real parts: a Rig says what there
// is, Open starts a fresh system under test with recorder, witness, proxies,
// viewers and devices around it for one scenario, and Bench.Close ends all of
// it in the right order.
//
// It judges nothing. Oracles read what a Bench recorded.
package harness

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"path/filepath"
	"sync"

	"plumbline/harness/agent"
	"plumbline/harness/load"
	"plumbline/harness/profile"
	"plumbline/harness/record"
	"plumbline/harness/sut"
	"plumbline/reports"
)

// Config declares a rig. Profile is required, Dir for everything but listing.
type Config struct {
	Profile     *profile.Profile
	ProfilePath string        // when the profile is a file
	Seed        uint64        // of twins, dither and faults
	Dir         string        // run directory
	SUT         sut.Options   // Dir and Config are set per scenario
	Devices     []DeviceSpec  // of the real-input scenario; empty means DefaultDevices
	Agents      []*agent.Host // on other hosts; they take the viewers of plans that say OtherHosts. The caller closes them
	// Generator is a program with its arguments that does ServeGenerator over its
	// standard streams, for the load to come from a process of its own. Empty means
	// from within this process, which is what a report says then.
	Generator []string
	// Generators is how many such processes share the devices of a fleet; 0 for as many as
	// their number takes descriptors for. Without Generator there is one.
	Generators int
	// Processes is how many processes of this host take the viewers of plans that say
	// OwnProcesses or more, so that they may outnumber the descriptors of one; 0 leaves them
	// in this one.
	// Each is started by Viewing, a program with its arguments that does agent.ServeHere
	// over its standard streams. With Agents there are none.
	Processes int
	Viewing   []string
	// GuestAgent is the program of devices/guest/cmd/guestinit, built for Linux on
	// amd64, that guest twins need. "" means guestinit beside this program.
	GuestAgent string
	Log        *slog.Logger // nil discards
	// Recording is called when a bench has begun to record, before anything is
	// connected; nil for nobody. It must not block.
	Recording func(scenario string, recorder *record.Recorder)
}

// MaxProcesses is how many processes of this host may share viewers, or devices.
const MaxProcesses = 64

// Rig is a declared bench. Nothing runs until Open. It may be used by several
// goroutines, but one Bench at a time gives figures worth reading.
type Rig struct {
	cfg        Config
	descriptor *sut.Descriptor

	mu     sync.Mutex
	binary string
	used   map[string]int // times a scenario was opened, for its folder
	floor  *load.Floor    // the latest, see noiseFloor
}

// NewRig checks the declaration. It starts nothing and touches no file.
func NewRig(cfg Config) (*Rig, error) {
	if cfg.Profile == nil {
		return nil, errors.New("harness: a rig needs a profile")
	}
	if cfg.Processes > 0 && (len(cfg.Viewing) == 0 || len(cfg.Agents) > 0) {
		return nil, errors.New("harness: a rig of several processes needs the program that starts them, and has no agents beside them")
	}
	if cfg.Generators > 1 && len(cfg.Generator) == 0 {
		return nil, errors.New("harness: a rig of several generators needs the program that starts them")
	}
	if cfg.Log == nil {
		cfg.Log = slog.New(slog.DiscardHandler)
	}
	if len(cfg.Devices) == 0 {
		cfg.Devices = DefaultDevices()
	}
	descriptor := cfg.SUT.Descriptor
	if descriptor == nil {
		descriptor = sut.Default()
	}
	return &Rig{cfg: cfg, descriptor: descriptor, binary: cfg.SUT.Binary, used: map[string]int{}}, nil
}

// Profile returns the limits and loads of the rig.
func (r *Rig) Profile() *profile.Profile { return r.cfg.Profile }

// ProfileArgument returns how the profile is named on a command line.
func (r *Rig) ProfileArgument() string {
	if r.cfg.ProfilePath != "" {
		return r.cfg.ProfilePath
	}
	return r.cfg.Profile.Name
}

// Seed returns the seed of the run.
func (r *Rig) Seed() uint64 { return r.cfg.Seed }

// Dir returns the run directory, "" for a rig that only lists.
func (r *Rig) Dir() string { return r.cfg.Dir }

// Devices returns the declared sources of the real-input scenario.
func (r *Rig) Devices() []DeviceSpec { return r.cfg.Devices }

// Filters returns what a viewer subscribes to in order to see every declared
// source: what the harness publishes, and the topics of sensors that publish
// by themselves.
func (r *Rig) Filters() []string {
	filters := []string{AllTopics}
	for _, d := range r.cfg.Devices {
		filters = append(filters, d.ownTopics()...)
	}
	return filters
}

// Where the load comes from, as Rig.Generator and Evidence tell it.
const (
	OwnProcess    = "own process"
	WithinHarness = "within the harness"
)

// Generator says where the load comes from: OwnProcess or WithinHarness.
func (r *Rig) Generator() string {
	if len(r.cfg.Generator) > 0 {
		return OwnProcess
	}
	return WithinHarness
}

// perGenerator is how many devices one process of the generator takes where nothing is said:
// of 20,000 descriptors, beside those that publish by hand.
const perGenerator = 15_000

// generators is how many processes share the fleet of a plan.
func (r *Rig) generators(plan *Plan) int {
	n := max(plan.Load.Devices, 1)
	if len(r.cfg.Generator) == 0 || len(plan.Sources) > 0 {
		return 1
	}
	return min(n, cmp.Or(r.cfg.Generators, (n+perGenerator-1)/perGenerator))
}

// Capabilities returns what the system under test claims and what follows from
// its descriptor.
func (r *Rig) Capabilities() []string { return r.descriptor.All() }

// Has reports whether the system under test has the capability, claimed or derived.
func (r *Rig) Has(capability string) bool { return r.descriptor.Has(capability) }

// Bundled reports whether the system under test is the bridge of this repository as a
// process of its own, which takes the configuration of a Plan.
func (r *Rig) Bundled() bool { return r.descriptor.Bridged() }

// ViewerProtocol returns what viewers of the system under test speak.
func (r *Rig) ViewerProtocol() string { return r.descriptor.Viewer.Protocol }

// UseBinary names the executable of the default system under test, for callers
// that build it after the rig was declared.
func (r *Rig) UseBinary(path string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.binary = path
}

// SUTInfo describes the system under test as it is declared; what a started
// one says about itself is better.
func (r *Rig) SUTInfo() reports.SUT {
	return reports.SUT{
		Name: r.descriptor.Name, Version: r.descriptor.Version, Description: r.descriptor.Description,
		Artifacts: []reports.Evidence{}, Capabilities: r.descriptor.All(),
	}
}

// brokerInside reports whether the broker is part of the system under test, so
// that what the witness missed is no excuse.
func (r *Rig) brokerInside() bool {
	return len(r.descriptor.Start) == 1 || r.descriptor.BrokerAtNodes()
}

// Noise floor: how many messages, and how fast.
const (
	floorMessages = 2000
	floorRate     = 1000
)

// noiseFloor measures, once a run, what the rig itself adds to a latency: the
// same generator and receiver over TLS with nothing between them. A scenario that
// is tried again gets a fresh one: the old one may be what voided the attempt.
func (r *Rig) noiseFloor(ctx context.Context, scenario string) (load.Floor, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.floor != nil && r.used[scenario] < 2 {
		return *r.floor, nil
	}
	floor, err := load.MeasureFloor(ctx, load.FloorConfig{Rate: floorRate, Messages: floorMessages, TLS: true})
	if err == nil {
		r.floor = &floor
	}
	return floor, err
}

// folder returns where one more bench of the scenario keeps its records and
// where the system under test keeps its logs.
func (r *Rig) folder(scenario string) (records, logs string, err error) {
	if r.cfg.Dir == "" {
		return "", "", errors.New("harness: a rig without a run directory cannot be opened")
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	r.used[scenario]++
	name := scenario
	if n := r.used[scenario]; n > 1 {
		name = fmt.Sprintf("%s-%d", scenario, n)
	}
	return filepath.Join(r.cfg.Dir, RecordsFolder, name), filepath.Join(r.cfg.Dir, LogsFolder, name), nil
}
