package load

import (
	"cmp"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/url"
	"sync"
	"time"

	"plumbline/devices"
	"plumbline/harness/record"
)

// Source is one device that the metronome drives.
type Source struct {
	Device  devices.Scheduled
	Topic   string
	QoS     byte
	Retain  bool
	Burst   int           // messages per instant, at most 0.1 ms apart; 0 means 1
	Spacing time.Duration // between the messages of a burst; 0 means 50 µs
}

// DefaultClientID is what client identifiers of MQTT begin with where nothing else is said.
const DefaultClientID = "plumbline"

// Config describes a Generator. Recorder, Broker and Run are needed, and
// Sources unless it only forwards.
type Config struct {
	Recorder  Recorder
	Resolver  *record.Resolver // optional: streams are added to it
	Broker    *url.URL         // mqtt:// or mqtts://
	Version   string           // of MQTT, see PublisherConfig
	TLS       *tls.Config
	Username  string
	Password  string
	ClientID  string // prefix; "" means DefaultClientID
	Run       string // run id, eight hexadecimal digits
	Sources   []Source
	Rate      float64                  // messages per second of all sources together; 0 keeps each device's own period
	InFlight  int                      // QoS 1 window per connection; 0 means DefaultInFlight
	Seed      uint64                   // of phases and dither
	NoResend  bool                     // forget unacknowledged messages when a connection is lost
	Sequence  bool                     // add the plumbline-seq user property
	Reconnect time.Duration            // see PublisherConfig
	Dial      func(device string) Dial // how a device reaches the broker; nil means by its address
	Log       *slog.Logger
}

// Dial opens a connection, as net.Dialer.DialContext does.
type Dial func(ctx context.Context, network, address string) (net.Conn, error)

// Generator drives its sources from one metronome, each over a connection of
// its own, as the devices would. The schedule is open: nothing that happens to
// a message moves the next one.
type Generator struct {
	cfg        Config
	sources    []*source
	publishers []*Publisher // of sources, in their order

	mu        sync.Mutex
	forwards  []*Publisher // of what forwards and of hands
	asides    []*Publisher // of hands that stand aside
	routes    map[string]*route
	runs      uint64
	running   bool
	closed    bool
	slipMax   time.Duration
	slipAbove int64 // messages handed over more than a millisecond late
}

// source is a Source with its stream and its place in it.
type source struct {
	Source
	stream uint32
	seq    uint64 // of the last message
	period time.Duration
	dither time.Duration
	spread bool // the phase is drawn, not the device's own
}

// Health is what a generator knows about itself. The slip of every message is
// in the records.
type Health struct {
	Counts
	SlipMax time.Duration // largest of those latenesses, 0 when there were none
	Late    int64         // instants that the metronome met more than 1 ms late
}

// ditherShare is the part of its period by which a source's instants move when
// the generator sets the rate: enough not to lock to a flush timer.
const ditherShare = 10

// NewGenerator registers streams and publishers with the recorder. Nothing is
// connected yet.
func NewGenerator(cfg Config) (*Generator, error) {
	if cfg.Recorder == nil || cfg.Broker == nil || len(cfg.Run) != record.RunIDLen {
		return nil, fmt.Errorf("load: a generator needs a recorder, a broker and a run id of %d characters", record.RunIDLen)
	}
	if cfg.Log == nil {
		cfg.Log = slog.New(slog.DiscardHandler)
	}
	g := &Generator{cfg: cfg}
	for _, s := range cfg.Sources {
		if err := g.add(s); err != nil {
			return nil, err
		}
	}
	return g, nil
}

// add registers one source and makes its publisher.
func (g *Generator) add(s Source) error {
	info := s.Device.Info()
	schedule := s.Device.Schedule()
	src := &source{Source: s, period: schedule.Period, dither: schedule.Dither}
	if g.cfg.Rate > 0 {
		perInstant := float64(len(g.cfg.Sources) * max(s.Burst, 1))
		src.period = time.Duration(perInstant / g.cfg.Rate * float64(time.Second))
		src.dither = src.period / ditherShare
		src.spread = true
	}
	if err := src.schedule(0, 0).Check(); err != nil {
		return fmt.Errorf("load: device %q: %w", info.ID, err)
	}
	src.stream = g.register(record.Stream{
		Device: info.ID, Topic: s.Topic, Mode: string(info.Mode), QoS: s.QoS, Period: src.period,
	})
	p, err := NewPublisher(g.cfg.Publisher(info.ID))
	if err != nil {
		return err
	}
	g.sources, g.publishers = append(g.sources, src), append(g.publishers, p)
	return nil
}

// register makes a stream known to the recording and to those who resolve.
func (g *Generator) register(s record.Stream) uint32 {
	id := g.cfg.Recorder.Stream(s)
	if g.cfg.Resolver != nil {
		g.cfg.Resolver.Add(id, s)
	}
	return id
}

// Publisher returns how a device of that name connects, the generator's own and any other.
func (c *Config) Publisher(device string) PublisherConfig {
	var dial Dial
	if c.Dial != nil {
		dial = c.Dial(device)
	}
	return PublisherConfig{
		Name: "publisher " + device, ClientID: cmp.Or(c.ClientID, DefaultClientID) + "-" + c.Run + "-" + device,
		Broker: c.Broker, Version: c.Version, TLS: c.TLS, Username: c.Username, Password: c.Password,
		Recorder: c.Recorder, InFlight: c.InFlight, NoResend: c.NoResend, Sequence: c.Sequence,
		Reconnect: c.Reconnect, Dial: dial, Log: c.Log,
	}
}

// schedule returns the plan of one run: phases are spread anew over the period
// for every run, from the seed, when the generator sets the rate; else the
// device's own phase holds.
func (s *source) schedule(seed, run uint64) Schedule {
	phase := s.Device.Schedule().Phase
	if s.spread && s.period > 0 {
		phase = time.Duration(mix(seed^mix(uint64(s.stream)+run<<32)) % uint64(s.period))
	}
	return Schedule{
		Period: s.period, Phase: phase, Dither: s.dither, Burst: s.Burst, Spacing: s.Spacing,
		Seed: mix(seed ^ uint64(s.stream)<<32 ^ run),
	}
}

// Streams returns the stream numbers of the sources, in their order.
func (g *Generator) Streams() []uint32 {
	ids := make([]uint32, len(g.sources))
	for i, s := range g.sources {
		ids[i] = s.stream
	}
	return ids
}

// connectAtOnce bounds how many connections are opened side by side.
const connectAtOnce = 16

// Connect opens all connections and returns when the broker has accepted them,
// or with the first error.
func (g *Generator) Connect(ctx context.Context) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	slots := make(chan struct{}, connectAtOnce)
	errs := make([]error, len(g.publishers))
	var group sync.WaitGroup
	for i, p := range g.publishers {
		slots <- struct{}{}
		group.Go(func() {
			defer func() { <-slots }()
			if errs[i] = p.Connect(ctx); errs[i] != nil {
				cancel()
			}
		})
	}
	group.Wait()
	return firstCause(errs)
}

// firstCause prefers the error that made the others be cancelled.
func firstCause(errs []error) error {
	var cancelled error
	for _, err := range errs {
		switch {
		case err == nil:
		case errors.Is(err, context.Canceled):
			cancelled = err
		default:
			return err
		}
	}
	return cancelled
}

// WaitAcked returns when every QoS 1 message is acknowledged, or with the
// error of ctx, which names a publisher that still waits.
func (g *Generator) WaitAcked(ctx context.Context) error {
	for _, p := range g.all() {
		if err := p.WaitAcked(ctx); err != nil {
			return err
		}
	}
	return nil
}

// all returns every publisher that does not stand aside.
func (g *Generator) all() []*Publisher {
	g.mu.Lock()
	defer g.mu.Unlock()
	return append(append([]*Publisher(nil), g.publishers...), g.forwards...)
}

// Close ends all connections and returns when every goroutine has ended. It is
// idempotent. Run and Forward are ended by their own contexts.
func (g *Generator) Close() error {
	g.mu.Lock()
	g.closed = true
	asides := g.asides
	g.mu.Unlock()
	var group sync.WaitGroup
	publishers := append(g.all(), asides...)
	errs := make([]error, len(publishers))
	for i, p := range publishers {
		group.Go(func() { errs[i] = p.Close() })
	}
	group.Wait()
	return errors.Join(errs...)
}

// Add adds the totals of another generator; the largest lateness is that of both.
func (h *Health) Add(o Health) {
	h.Counts.Add(o.Counts)
	h.SlipMax, h.Late = max(h.SlipMax, o.SlipMax), h.Late+o.Late
}

// Health returns the totals so far.
func (g *Generator) Health() Health {
	var h Health
	for _, p := range g.all() {
		h.Counts.Add(p.Counts())
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	h.SlipMax, h.Late = g.slipMax, g.slipAbove
	return h
}
