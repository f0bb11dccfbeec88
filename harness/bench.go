package harness

import (
	"cmp"
	"context"
	"encoding/hex"
	"errors"
	"fmt"
	"log/slog"
	"math"
	"net/http"
	"path/filepath"
	"sync"
	"time"

	"plumbline/devices"
	"plumbline/harness/agent"
	"plumbline/harness/browser"
	"plumbline/harness/fault"
	"plumbline/harness/generator"
	"plumbline/harness/load"
	"plumbline/harness/oracle"
	"plumbline/harness/profile"
	"plumbline/harness/record"
	"plumbline/harness/sut"
	"plumbline/harness/viewer"
	"plumbline/harness/witness"
	"plumbline/reports"
)

// Topics of everything the harness publishes and watches.
const (
	TopicRoot = "bench"
	AllTopics = TopicRoot + "/#"
)

// Plan says what one scenario needs.
type Plan struct {
	Name        string             // of the scenario: its folder
	Load        profile.Load       // Devices and Rate make the fleet, Viewers are opened
	Config      map[string]any     // settings of the default system under test, by dotted key
	Floor       bool               // measure the noise floor of the rig first: latency will be judged
	Apart       Apart              // where the viewers may be, unless there is a proxy between them and the system; the engine sets it
	Idle        int                // viewers beside those of the load that watch what is never published; the rig has processes then
	ViewerFault bool               // put a proxy between viewers and system
	PageFault   bool               // put a proxy between the browser's pages and system
	BrokerFault bool               // put a proxy between devices and broker
	Frames      bool               // the viewers' proxy looks at WebSocket frames; there is one then
	Packets     bool               // the devices' proxy looks at MQTT packets; there is one then
	Sources     []DeviceSpec       // opened in place of the fleet
	Adapters    map[string]Adapter // by device: of node twins among Sources that stand behind USB adapters, where Port is a selector that chooses them
	Filters     []string           // what viewers and witness subscribe to; empty means AllTopics
	Retain      bool               // the fleet publishes messages to be retained
	QoS0        bool               // the fleet publishes with QoS 0, so that no Receive Maximum holds back what is due
	Payload     int                // bytes by which the payloads of the fleet are longer than its devices make them
	KeepAlive   time.Duration      // that viewers of MQTT tell the system; 0 means viewer.DefaultKeepAlive
	Silence     time.Duration      // a viewer without any data for so long reconnects; 0 means twice the heartbeat
	Uptime      time.Duration      // of the machine as the system sees it at its start; 0 is the true one. See sut.CanSetUptime
	Sensors     []DeviceSpec       // that publish by themselves beside the fleet: what they say of being there is followed, see Bench.Changes
	Passed      *Screen            // is shown what the witness sees the broker pass on; nil for nobody
	Sample      time.Duration      // between two looks at what the system uses of the machine; 0 means a second
}

// Bench is one scenario's system under test with everything around it.
type Bench struct {
	SUT         *sut.SUT
	Clock       *record.Clock
	Recorder    *record.Recorder
	Generator   *generator.Team
	Witness     *witness.Witness
	Viewers     []Viewer
	ViewerProxy *fault.Proxy               // nil without Plan.ViewerFault and Plan.Frames
	PageProxies []*fault.Proxy             // one for each address of the system that a page reaches; none without Plan.PageFault and a page
	BrokerProxy *fault.Proxy               // nil without Plan.BrokerFault and Plan.Packets
	Serial      map[string]SerialLine      // by device: the serial twins and nodes among Plan.Sources
	Fixtures    map[string]devices.Fixture // by device: the nodes of the virtual bench among Plan.Sources

	rig      *Rig
	plan     Plan
	dir      string
	run      string // run id in payloads
	resolver *record.Resolver
	proxyCA  *fault.Authority // of proxies that end TLS; nil without
	hiccup   *load.Hiccup
	gc       func() load.GCReport
	sources  *sources
	presence *presence        // of the plan's sensors; set by startWitness
	hosts    []*agent.Host    // processes of this host that were started for the viewers
	sessions []*agent.Session // one for each agent of the rig or process, when the viewers are there
	idle     []string         // names of viewers that only wait
	agents   []string         // their folders, below dir
	browser  *browser.Browser // nil until a page is opened
	foreign  *foreignSite     // beside the browser: somebody else's
	cookies  []*http.Cookie   // by which the browser is known to its last page
	ours     *ownPage         // a page of the harness, where the system has none and asks for it
	token    string           // with which it was signed in
	until    int64            // when that expires, by the run clock
	pages    []string         // their folders, below dir
	log      *slog.Logger
	before   []accepted // per viewer: what the broker had when it was opened

	closing   sync.Once
	closed    error
	finishing sync.Once
	finished  error
	info      reports.SUT       // of the system as it was started
	health    reports.RigHealth // what the rig's own instruments said
	gaps      []oracle.Gap
	gapsFrom  time.Duration // gaps holds all that are longer
	processes []Process
}

// gcLimit is the memory up to which the collector stays out of the way.
const gcLimit = 1 << 30

// Open starts a fresh system under test and everything the plan asks for, in
// order: system, recorder, proxies, witness, viewers, devices. On an error
// everything that had started is ended again. Errors of a system that does not
// start wrap sut.ErrUnavailable.
func (r *Rig) Open(ctx context.Context, plan Plan) (*Bench, error) {
	records, logs, err := r.folder(plan.Name)
	if err != nil {
		return nil, err
	}
	if len(plan.Filters) == 0 {
		plan.Filters = []string{AllTopics}
	}
	b := &Bench{rig: r, plan: plan, health: unknownHealth(), gaps: []oracle.Gap{}, dir: records, log: r.cfg.Log.With("scenario", plan.Name), Clock: record.NewClock()}
	b.run = hex.EncodeToString(be32(devices.Mix(r.cfg.Seed, record.Digest([]byte(records)))))
	b.resolver = record.NewResolver(b.run)
	for _, start := range []func(context.Context) error{
		b.measureFloor, b.launchGenerator, func(ctx context.Context) error { return b.startSUT(ctx, logs) },
		b.startRecorder, b.startProxies, b.startWitness, b.startViewers, b.startDevices,
	} {
		if err := start(ctx); err != nil {
			return nil, errors.Join(b.blame(fmt.Errorf("harness: scenario %q: %w", plan.Name, err)), b.Close())
		}
	}
	b.presence.begin()
	return b, nil
}

func be32(v uint64) []byte { return []byte{byte(v >> 56), byte(v >> 48), byte(v >> 40), byte(v >> 32)} }

func (b *Bench) measureFloor(ctx context.Context) error {
	if !b.plan.Floor {
		return nil
	}
	floor, err := b.rig.noiseFloor(ctx, b.plan.Name)
	floor.Into(&b.health)
	return err
}

// launchGenerator lets the processes of the generator come up while the system does.
func (b *Bench) launchGenerator(context.Context) error {
	g, err := generator.StartTeam(generator.Options{Command: b.rig.cfg.Generator, Open: openOrder, Log: b.log}, b.rig.generators(&b.plan))
	b.Generator = g
	return err
}

func (b *Bench) startSUT(ctx context.Context, logs string) error {
	opts := b.rig.cfg.SUT
	b.rig.mu.Lock()
	opts.Binary = b.rig.binary
	b.rig.mu.Unlock()
	opts.Dir, opts.SampleEvery, opts.Uptime, opts.Log = logs, cmp.Or(b.plan.Sample, time.Second), b.plan.Uptime, b.log
	if opts.Descriptor == nil || opts.Descriptor.Bridged() { // the configuration of any other system is its own affair
		opts.Config = b.plan.Config
	}
	system, err := sut.New(opts)
	if err != nil {
		return err
	}
	b.SUT = system
	if err := system.Start(ctx); err != nil {
		return err
	}
	b.info = system.Info()
	return nil
}

func (b *Bench) startRecorder(context.Context) error {
	rec, err := record.NewRecorder(b.dir, b.Clock)
	if err != nil {
		return err
	}
	b.Recorder = rec
	if rewrites(b.SUT.Viewer().Protocol) {
		rec.CompareByMeaning()
	}
	if b.rig.cfg.Recording != nil {
		b.rig.cfg.Recording(b.plan.Name, rec)
	}
	b.hiccup = load.StartHiccup(b.Clock, time.Millisecond)
	b.gc = load.Quiet(gcLimit)
	return nil
}

// rewrites reports whether a system that speaks the protocol may pass a payload
// on as JSON of its own writing.
func rewrites(protocol string) bool {
	return protocol == viewer.JSON || protocol == viewer.SSE || protocol == viewer.Poll
}

func (b *Bench) startWitness(ctx context.Context) error {
	username, password := b.SUT.BrokerAuth()
	b.follow()
	resolve := b.presence.over(b, b.resolver.Resolve)
	if b.plan.Passed != nil {
		resolve = b.plan.Passed.over(resolve)
	}
	w, err := witness.Open(ctx, witness.Config{
		Broker: b.SUT.Broker(), Version: b.SUT.BrokerVersion(), TLS: b.SUT.BrokerTLS(), Username: username, Password: password,
		Filters: b.plan.Filters, QoS: 1, Recorder: b.Recorder, Clock: b.Clock, Resolve: resolve, Log: b.log,
		Plausible: b.witnessable,
	})
	b.Witness = w
	return b.unreachable(ctx, err)
}

// Run returns the run id that own payloads of this bench carry.
func (b *Bench) Run() string { return b.run }

// Folder returns the name of the folder below the records of the run that
// holds what this bench leaves.
func (b *Bench) Folder() string { return filepath.Base(b.dir) }

// Recorded returns the bench as its files hold it. Call it after Close or
// Finish.
func (b *Bench) Recorded() (*Recorded, error) { return OpenRecorded(b.rig.Dir(), b.Folder()) }

// blame names the system under test when it is gone without being asked to:
// whatever else went wrong is a consequence of that, but for the death of the
// generator, which is the harness's own.
func (b *Bench) blame(err error) error {
	if err == nil || b.SUT == nil || errors.Is(err, sut.ErrUnavailable) || errors.Is(err, generator.ErrDied) {
		return err
	}
	if gone := b.SUT.Err(); gone != nil {
		return fmt.Errorf("%w (seen as: %w)", gone, err)
	}
	return err
}

// unreachable is blame for a system under test that does not let the harness
// in: also when it runs that is no fault of the harness, unless ctx has ended.
func (b *Bench) unreachable(ctx context.Context, err error) error {
	err = b.blame(err)
	if err == nil || ctx.Err() != nil || errors.Is(err, sut.ErrUnavailable) || errors.Is(err, generator.ErrDied) {
		return err
	}
	return fmt.Errorf("%w: %w", sut.ErrUnavailable, err)
}

// Close ends everything in reverse order: devices, viewers, witness, proxies,
// the system under test, the recording; then it writes what a judgement needs
// beside that. It is idempotent and may be called at any time; what was recorded
// stays.
func (b *Bench) Close() error {
	b.closing.Do(func() {
		errs := []error{b.stopLoad(), b.stopObservers()}
		if b.SUT != nil {
			errs = append(errs, b.SUT.Close())
		}
		if b.Recorder != nil {
			errs = append(errs, b.Recorder.Close(), fault.WriteLog(b.dir), b.keepEvidence())
		}
		b.closed = errors.Join(errs...)
	})
	return b.closed
}

// stopLoad ends the devices and their connections. It may be called twice.
func (b *Bench) stopLoad() error {
	var errs []error
	if b.Generator != nil { // with the drivers of the lines that sources closes
		errs = append(errs, b.Generator.Close())
	}
	if b.sources != nil {
		errs = append(errs, b.sources.close())
	}
	return errors.Join(errs...)
}

// stopObservers ends viewers, witness, proxies and the rig's own instruments.
func (b *Bench) stopObservers() error {
	var errs []error
	for _, v := range b.Viewers {
		errs = append(errs, v.Close())
	}
	errs = append(errs, b.stopAgents(), b.closeBrowser())
	if b.Witness != nil {
		errs = append(errs, b.Witness.Close())
	}
	for _, p := range append(b.PageProxies, b.ViewerProxy, b.BrokerProxy) {
		if p != nil {
			errs = append(errs, p.Close())
		}
	}
	b.readInstruments()
	return errors.Join(errs...)
}

// unknownHealth is a rig of which nothing has been measured.
func unknownHealth() reports.RigHealth {
	nan := reports.Float(math.NaN())
	return reports.RigHealth{
		SlipP50: nan, SlipP99: nan, SlipMax: nan, HiccupP99: nan, HiccupMax: nan,
		FloorP50: nan, FloorP99: nan, FloorP999: nan, ClockRead: nan, GCPauseMax: nan, Uncertainty: nan,
	}
}
