// Package bridge carries sensor readings from MQTT to browsers: an embedded broker, a journal on disk, and a WebSocket protocol
// by which a viewer can prove that it lost nothing. New prepares a Bridge, Run serves until its context ends and then drains.
//
// The package must not know the test harness. PROTOCOL.md describes the wire, README.md the operation and its limits.
package bridge

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"os"
	"sync"
	"sync/atomic"
	"time"

	"plumbline/bridge/auth"
	"plumbline/bridge/certificate"
	"plumbline/bridge/command"
	"plumbline/bridge/config"
	"plumbline/bridge/gate"
	"plumbline/bridge/history"
	"plumbline/bridge/hub"
	"plumbline/bridge/ingest"
	"plumbline/bridge/ingest/external"
	"plumbline/bridge/internal/peer"
	"plumbline/bridge/journal"
	"plumbline/bridge/metrics"
	"plumbline/bridge/relay"
	"plumbline/bridge/wire"
	"plumbline/bridge/wire/httpwire"
)

// Config is the bridge's configuration; see package config for its file form.
type Config = config.Config

// ErrConfig is wrapped by errors that are mended in the configuration or the files it names.
var ErrConfig = config.ErrConfig

// ErrUnavailable is wrapped by errors of the surroundings: a port in use, a data folder held by another bridge.
var ErrUnavailable = errors.New("unavailable")

// Options configures a Bridge.
type Options struct {
	Config Config       // as config.Load or config.Default gives it; New validates it
	Log    *slog.Logger // nil discards

	Version string // of the program, for those who are signed in

	// Now is the wall clock of ingest times, retention and tokens; nil = time.Now. Time spans are measured by the system.
	Now func() time.Time

	// SettleWait is how long the bridges of a cluster wait for each other when Redis is another; 0 = what package relay has.
	SettleWait time.Duration
}

// Addresses tells where a running bridge listens. The same is in <data>/addresses.json.
type Addresses struct {
	MQTT    string `json:"mqtt"`            // "" without embedded broker, or when it does not listen there, as of the next three
	MQTTS   string `json:"mqtts,omitempty"` // MQTT over TLS beside it
	MQTTWS  string `json:"mqtt_ws,omitempty"`
	MQTTWSS string `json:"mqtt_wss,omitempty"`
	Viewers string `json:"viewers"`
	Ops     string `json:"ops"` // "" when there is none
	PID     int    `json:"pid"`
}

// Bridge is one bridge with its listeners bound. Run it once, or Close it.
type Bridge struct {
	cfg        Config
	log        *slog.Logger
	now        func() time.Time
	version    string
	settleWait time.Duration // see Options
	m          *metrics.Set
	addrs      Addresses

	journal  *journal.Journal
	hub      *hub.Hub
	sink     *history.Sink // nil without history
	asked    http.Handler  // the history API, nil without history
	packer   *hub.Packer   // nil without compression
	revoked  *auth.Revocations
	broker   *ingest.Broker // nil without any listener of mqtt
	relay    *relay.Relay   // nil when this bridge is alone
	external external.Sources
	wire     *wire.Server
	httpwire *httpwire.Server
	commands *command.Desk
	viewers  *http.Server
	ops      *http.Server // nil without listener
	viewLis  net.Listener
	opsLis   net.Listener

	keys       *auth.Keys // nil when there is one key only
	gate       *gate.Gate
	certs      []*certificate.Source
	viewerCert *certificate.Source // one of certs; nil without TLS

	ration  ration // of files
	crowd   *crowd
	proxies peer.Proxies

	ready     atomic.Bool
	draining  atomic.Bool
	readyCh   chan struct{}
	started   atomic.Bool
	closeOnce sync.Once
	closeErr  error
}

// New validates the configuration, opens the journal, reads keys and certificates and binds the listeners, in this order: a
// folder that another bridge holds is left alone, and nobody can connect before the journal is open. Errors wrap ErrConfig or ErrUnavailable when the user can mend them.
func New(o Options) (*Bridge, error) {
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	if err := o.Config.Validate(); err != nil {
		return nil, err
	}
	if o.Now == nil {
		o.Now = time.Now
	}
	b := &Bridge{cfg: o.Config, log: o.Log, now: o.Now, version: o.Version, settleWait: o.SettleWait, m: metrics.New(), readyCh: make(chan struct{}), ration: thisHost().ration(o.Config)}
	b.cfg.Viewers.MaxConnections, b.cfg.Viewers.MaxStreams, b.cfg.MQTT.MaxClients = b.ration.viewers, b.ration.streams, b.ration.clients
	b.proxies, _ = peer.ParseProxies(b.cfg.Viewers.TrustedProxies) // Validate has read them
	b.crowd = newCrowd(b.cfg, b.ration, b.proxies)
	if b.cfg.Node == "" {
		name, err := os.Hostname()
		if err != nil {
			return nil, fmt.Errorf("%w: node is empty and the host has no name: %w", ErrConfig, err)
		}
		b.cfg.Node = name
	}
	if err := b.build(); err != nil {
		return nil, errors.Join(err, b.release())
	}
	return b, nil
}

// build makes the parts. What it made before an error is released by the caller.
func (b *Bridge) build() error {
	if err := os.MkdirAll(b.cfg.Data, 0o700); err != nil {
		return fmt.Errorf("%w: data: %w", ErrConfig, err)
	}
	if err := b.openJournal(); err != nil { // before anything else: its lock holds the folder
		return err
	}
	verifier, err := b.verifier()
	if err != nil {
		return err
	}
	if err := b.buildGate(verifier); err != nil {
		return err
	}
	var users *ingest.Users
	if b.cfg.MQTT.Embedded() && b.cfg.MQTT.UsersFile != "" {
		if users, err = ingest.LoadUsers(b.cfg.MQTT.UsersFile); err != nil {
			return fmt.Errorf("%w: %w", ErrConfig, err)
		}
	}
	tlsOf, err := b.certificates()
	if err != nil {
		return err
	}
	if err := b.openExternal(); err != nil {
		return err
	}
	if b.cfg.Viewers.Compression == "on" {
		b.packer = hub.NewPacker()
	}
	o := hub.Options{Packer: b.packer, Log: b.log, Fanout: func(took time.Duration) { b.m.Fanout.Observe(took.Seconds()) }}
	o.Tell = func(all func()) { b.wire.Together(all) }
	if b.relay != nil {
		o.Await = b.relay.Await
	}
	b.hub = hub.New(b.journal, o)
	if err := b.buildHistory(); err != nil {
		return err
	}
	b.commands = b.newCommands()
	b.wire = wire.New(b.wireOptions(verifier))
	b.httpwire = httpwire.New(b.httpwireOptions())
	if err := b.bindHTTP(tlsOf.viewers, tlsOf.ops); err != nil {
		return err
	}
	return b.bindMQTT(users, tlsOf.mqtt)
}

func (b *Bridge) openJournal() error {
	c := b.cfg.Journal
	o := journal.Options{
		Dir: b.file("journal"), Sync: journal.SyncPolicy(c.Sync), SegmentBytes: int64(c.SegmentBytes), RetainBytes: int64(c.RetainBytes),
		RetainAge: c.RetainAge.D(), TailBytes: int64(c.TailBytes), Now: b.now, Log: b.log,
	}
	if b.cfg.Relay.On() {
		if err := b.joinCluster(o); err != nil {
			return err
		}
	} else if err := b.openAlone(o); err != nil {
		return err
	}
	if err := os.Remove(b.file(AddressFile)); err != nil && !errors.Is(err, os.ErrNotExist) { // of a bridge that was killed
		return fmt.Errorf("%w: %w", ErrUnavailable, err)
	}
	return nil
}

func (b *Bridge) wireOptions(v *auth.Verifier) wire.Options {
	c := b.cfg.Viewers
	return wire.Options{
		Hub: b.hub, Journal: b.journal, Commands: b.commands, Gate: b.gate, Verifier: v, Revocations: b.revoked, Node: b.cfg.Node, Now: b.now,
		Heartbeat: c.Heartbeat.D(), AuthTimeout: c.AuthTimeout.D(), WriteTimeout: c.WriteTimeout.D(), MaxConnections: c.MaxConnections,
		MaxPerAddress: c.MaxPerAddress, MaxPerSubject: c.MaxPerSubject, HandshakeRate: c.HandshakeRate, Packer: b.packer, MaxFrameBytes: int64(c.MaxFrameBytes), MaxSubscriptions: c.MaxSubscriptions, Metrics: b.m, Log: b.log,
	}
}

// Addresses returns where the bridge listens.
func (b *Bridge) Addresses() Addresses { return b.addrs }

// Ready is closed when Run has everything serving.
func (b *Bridge) Ready() <-chan struct{} { return b.readyCh }

// maxParts is how many parts Run may start.
const maxParts = 16

// Run serves until ctx ends, then drains: not ready, after the configured delay no new connections, MQTT clients told and closed, viewers told and closed
// over the configured spread, journal flushed. It returns nil after a drain, or the first part's failure.
func (b *Bridge) Run(ctx context.Context) error {
	if b.started.Swap(true) {
		return errors.New("bridge: Run a second time")
	}
	inner, stop := context.WithCancel(context.Background()) // what must go on while draining
	defer stop()
	failed := make(chan error, maxParts) // room for all: none waits to tell
	var readers, servers sync.WaitGroup  // the readers must end before the journal closes, the servers end by Close
	part := func(wg *sync.WaitGroup, name string, run func() error) {
		wg.Go(func() {
			if err := run(); err != nil {
				failed <- fmt.Errorf("bridge: %s: %w", name, err)
			}
		})
	}
	part(&readers, "hub", func() error { return b.hub.Run(inner) })
	if b.relay != nil {
		part(&readers, "relay", func() error { return b.relay.Run(inner) })
	}
	if b.keys != nil {
		part(&readers, "token keys", func() error { return b.keys.Run(inner) })
	}
	for _, s := range b.certs {
		part(&readers, "certificate", func() error { return s.Run(inner) })
	}
	part(&readers, "revocations", func() error { return b.revoked.Run(inner) })
	if b.sink != nil {
		part(&readers, "history", func() error { return b.sink.Run(inner) })
	}
	part(&servers, "viewers", func() error { return ignoreClosed(b.viewers.Serve(b.viewLis)) })
	if b.ops != nil {
		part(&servers, "ops", func() error { return ignoreClosed(b.ops.Serve(b.opsLis)) })
	}
	stopExternal := b.runExternal()
	var err error
	if b.broker != nil {
		if b.relay != nil { // who connects meanwhile waits in the sockets' queues
			b.relay.Introduced(ctx)
		}
		err = b.broker.Start()
	}
	if err == nil {
		b.announce()
		select {
		case <-ctx.Done():
			err = b.linger(failed)
			b.log.Info("draining", "spread", b.cfg.Drain.Spread.D().String())
		case err = <-failed:
		}
	}
	b.drain(stopExternal)
	stop()
	readers.Wait()
	err = errors.Join(err, b.Close())
	servers.Wait()
	close(failed)
	for late := range failed {
		err = errors.Join(err, late)
	}
	b.log.Info("stopped")
	return err
}

// announce tells the world that the bridge serves.
func (b *Bridge) announce() {
	if err := b.writeAddresses(); err != nil { // a full disk: what is there can be looked at all the same
		b.log.Error("address file not written", "error", err)
	}
	b.ready.Store(true)
	close(b.readyCh)
	head := b.journal.Head()
	b.log.Info("ready", "addresses", b.addrs, "node", b.cfg.Node, "epoch", head.Epoch, "head", head.Offset)
}

// linger goes on serving for drain.delay, not ready, so that balancers learn of the end before it begins.
func (b *Bridge) linger(failed <-chan error) error {
	delay := b.cfg.Drain.Delay.D()
	if delay == 0 {
		return nil
	}
	b.draining.Store(true)
	b.log.Info("not ready any more, the drain begins later", "delay", delay.String())
	over := time.NewTimer(delay)
	defer over.Stop()
	select {
	case <-over.C:
		return nil
	case err := <-failed:
		return err
	}
}

// drainRest is what draining may take beyond the spread.
const drainRest = 3 * time.Second

func (b *Bridge) drain(stopExternal func()) {
	b.ready.Store(false)
	b.draining.Store(true)
	b.commands.Close()
	stopExternal()
	if b.broker != nil {
		if err := b.broker.Close(); err != nil {
			b.log.Warn("mqtt broker did not end in order", "error", err)
		}
	}
	spread := b.cfg.Drain.Spread.D()
	whole, cancel := context.WithTimeout(context.Background(), spread+drainRest)
	defer cancel()
	defer b.drainHTTP(whole, spread)() // at the same time: the listener's shutdown waits for its requests
	short, cancel := context.WithTimeout(whole, time.Second)
	defer cancel()
	if err := b.viewers.Shutdown(short); err != nil { // viewers themselves are out of its hands
		b.log.Debug("viewers' listener did not end in time", "error", err)
	}
	if err := b.wire.Drain(whole, spread); err != nil {
		b.log.Warn("some viewers were cut while draining", "error", err)
	}
}

// Close releases everything at once; Run calls it after draining. It is idempotent and for a Bridge that was never run.
func (b *Bridge) Close() error {
	b.closeOnce.Do(func() { b.closeErr = b.release() })
	return b.closeErr
}

// release closes what build made, in the reverse order.
func (b *Bridge) release() error {
	var errs []error
	for _, s := range b.external {
		errs = append(errs, s.Close())
	}
	if b.broker != nil {
		errs = append(errs, b.broker.Close())
	}
	if b.wire != nil {
		errs = append(errs, b.wire.Close())
	}
	if b.httpwire != nil {
		errs = append(errs, b.httpwire.Close())
	}
	if b.viewers != nil {
		errs = append(errs, b.viewers.Close())
	}
	if b.ops != nil {
		errs = append(errs, b.ops.Close())
	}
	for _, l := range []net.Listener{b.viewLis, b.opsLis} {
		if l != nil {
			_ = l.Close() // closed already when it was served
		}
	}
	if b.relay != nil {
		errs = append(errs, b.relay.Close())
	}
	if b.journal != nil {
		if err := b.journal.Close(); err != nil {
			errs = append(errs, fmt.Errorf("%w: %w", ErrUnavailable, err)) // a disk that is full or broken
		}
		if err := os.Remove(b.file(AddressFile)); err != nil && !errors.Is(err, os.ErrNotExist) {
			errs = append(errs, err)
		}
	}
	return errors.Join(errs...)
}

func ignoreClosed(err error) error {
	if errors.Is(err, http.ErrServerClosed) || errors.Is(err, net.ErrClosed) {
		return nil
	}
	return err
}
