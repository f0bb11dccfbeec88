// Package mqttdev reads sensors that publish to an MQTT broker by themselves,
// and plays one: Twin is a sensor program of the Tasmota kind.
//
// Both speak MQTT 5 or 3.1.1. What the broker sends is only queued where it is
// read, because a slow reader stalls the keep-alive. Subscriptions are renewed
// when the broker says that it has no session of ours.
package mqttdev

import (
	"bytes"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"net/url"
	"sync"
	"time"

	"plumbline/devices"
	"plumbline/devices/codec"
	"plumbline/devices/internal/intake"
	"plumbline/devices/mqttrule"
)

// Config describes the sensor and its broker. Broker and Filter are required.
type Config struct {
	ID     string // unique in a rig; "" = the filter
	Broker *url.URL
	TLS    *tls.Config
	// Version of MQTT: 5 or 3.1.1; "" = 5. MQTT 3.1.1 brings retained messages
	// again with every subscription.
	Version string
	// Username and Password for the broker; empty = those of the URL, if any.
	Username string
	Password []byte
	// ClientID makes the session durable: QoS 1 messages that come while the
	// link is down are delivered after it. "" = a random one, no session kept.
	ClientID string
	Filter   string // MQTT topic filter of the sensor's messages
	QoS      byte   // what the subscription asks for: 0, 1 or, with MQTT 5, 2

	Codec codec.Codec // nil = codec.Payload{}
	// Rule reads the messages in place of Codec; it belongs to the device from
	// Open on. It sees retained messages, too, to learn from them.
	Rule  mqttrule.Rule
	Clock devices.Clock // nil = counts from Open
	Mode  devices.Mode  // "" = Real; a Twin's messages are Sim
	Model string
	Note  string
	// Tap is given every message as it came, retained ones too, before anything
	// else is done with it; optional. It is called where the connection is read,
	// must not block and keeps nothing of the payload. With MQTT 5 messages then
	// carry the retained flag that their publisher gave them.
	Tap func(Message)
	// Linked is told that the connection was made (true) or lost (false), one after
	// another; optional. It must not block. Close is no loss.
	Linked func(up bool)
	// KeepRetained publishes retained messages too. They were sent before the
	// subscription, nobody knows when, so they are left out and counted.
	KeepRetained bool
	Queue        int           // samples kept for a late reader; 0 = 1024
	Damages      int           // rejected payloads kept as evidence; 0 = 64
	Retry        time.Duration // between attempts to connect; 0 = 500 ms
	Log          *slog.Logger  // nil = discard
}

// Stats are totals beside devices.Counters.
type Stats struct {
	Connects uint64 // connections made, the first included
	Lost     uint64 // of them those that were lost; what came meanwhile is missing without a durable session
	Retained uint64 // retained messages left out
	Online   uint64 // messages that said that a device is there
	Offline  uint64 // messages, last wills among them, that said that one is gone
	Failures uint64 // attempts to connect or subscribe that failed; with MQTT 3.1.1 lost connections too
}

// Message is one message of a broker.
type Message struct {
	At      time.Duration // on the device's Clock
	Topic   string
	Payload []byte
	QoS     byte
	Retain  bool
}

// arrival is what the handler queues.
type arrival struct {
	at      time.Duration
	topic   string
	payload []byte
	retain  bool
}

// Device is a sensor read through its broker.
type Device struct {
	cfg    Config
	in     *intake.Intake
	inbox  chan arrival
	cancel context.CancelFunc
	ready  chan struct{} // closed when broker is set
	broker link
	work   sync.WaitGroup // the decoding goroutine and pending subscriptions

	mu         sync.Mutex
	stats      Stats
	lastError  error
	subscribed chan struct{} // closed after the first subscription
	once       sync.Once
	run        context.Context
}

var _ devices.Device = (*Device)(nil)

// Open connects and subscribes. It blocks until the broker has acknowledged the
// subscription or ctx ends; the error then says what failed last. Afterwards the
// device reconnects by itself until Close.
func Open(ctx context.Context, cfg Config) (*Device, error) {
	cfg, err := cfg.withDefaults()
	if err != nil {
		return nil, err
	}
	run, cancel := context.WithCancel(context.Background())
	d := &Device{cfg: cfg, inbox: make(chan arrival, 1024), cancel: cancel, run: run,
		ready: make(chan struct{}), subscribed: make(chan struct{}),
		in: intake.New(cfg.Codec, intake.Options{Queue: cfg.Queue, Damages: cfg.Damages})}
	d.broker, err = newLink(d.settings())
	if err != nil {
		cancel()
		return nil, fmt.Errorf("mqttdev: open %q: %w", cfg.Filter, err)
	}
	close(d.ready)
	d.work.Go(d.decode)
	select {
	case <-d.subscribed:
		return d, nil
	case <-ctx.Done():
		d.mu.Lock()
		last := d.lastError
		d.mu.Unlock()
		return nil, errors.Join(fmt.Errorf("mqttdev: subscribe %q at %s: %w; is the broker running and may this user subscribe?",
			cfg.Filter, address(cfg.Broker), errors.Join(ctx.Err(), last)), d.Close())
	}
}

func (c Config) withDefaults() (Config, error) {
	switch {
	case c.Broker == nil || c.Broker.Host == "":
		return c, errors.New(`mqttdev: no broker; set Config.Broker, for example mqtt://127.0.0.1:1883`)
	case c.Filter == "":
		return c, errors.New(`mqttdev: no topic filter; set Config.Filter, for example tele/+/SENSOR`)
	case c.QoS > 2 || c.QoS == 2 && c.Version == "3.1.1":
		return c, fmt.Errorf("mqttdev: QoS %d of %q: must be 0 or 1, or 2 with MQTT 5", c.QoS, c.Filter)
	}
	if err := errors.Join(checkVersion(c.Version), checkTexts(map[string]int{
		"filter": len(c.Filter), "user name": len(c.Username), "password": len(c.Password), "client id": len(c.ClientID),
	})); err != nil {
		return c, err
	}
	switch c.Broker.Scheme {
	case "mqtt", "tcp", "mqtts", "ssl", "tls":
	default:
		return c, fmt.Errorf("mqttdev: broker %q: scheme must be mqtt or mqtts", address(c.Broker))
	}
	if c.ID == "" {
		c.ID = c.Filter
	}
	if c.Codec == nil {
		c.Codec = codec.Payload{}
	}
	if c.Clock == nil {
		c.Clock = intake.Monotonic()
	}
	if c.Mode == "" {
		c.Mode = devices.Real
	}
	if c.Retry <= 0 {
		c.Retry = 500 * time.Millisecond
	}
	if c.Linked == nil {
		c.Linked = func(bool) {}
	}
	if c.Log == nil {
		c.Log = slog.New(slog.DiscardHandler)
	}
	return c, nil
}

// settings describes the connection.
func (d *Device) settings() linkConfig {
	c := linkConfig{
		broker: d.cfg.Broker, tls: d.cfg.TLS, version: d.cfg.Version, username: d.cfg.Username, password: d.cfg.Password,
		clientID: d.cfg.ClientID, keep: d.cfg.ClientID != "", retry: d.cfg.Retry,
		failed: func(err error) { d.failed("connect", err) }, receive: d.receive, asPublished: d.cfg.Tap != nil,
	}
	if !c.keep {
		c.clientID = "plumbline-" + randomID()
	}
	c.down = func() {
		d.count(func(s *Stats) { s.Lost++ })
		d.cfg.Linked(false)
	}
	c.up = func(present bool) {
		d.count(func(s *Stats) { s.Connects++ })
		d.cfg.Linked(true)
		if present && d.isSubscribed() {
			return // the broker kept what this device subscribed
		}
		d.work.Go(d.subscribe) // must not block here
	}
	return c
}

// subscribe asks for the filter until the broker grants it, the link breaks (a
// new one subscribes by itself) or the device is closed.
func (d *Device) subscribe() {
	<-d.ready
	for d.run.Err() == nil {
		ctx, cancel := context.WithTimeout(d.run, 5*time.Second)
		err := d.broker.subscribe(ctx, d.cfg.Filter, d.cfg.QoS)
		cancel()
		if err == nil {
			d.markSubscribed()
			return
		}
		d.failed("subscribe", err)
		if errors.Is(err, errDown) {
			return
		}
		select {
		case <-d.run.Done():
		case <-time.After(d.cfg.Retry):
		}
	}
}

// isSubscribed reports whether a subscription was granted since Open. A session
// that is older than that may be one with another filter.
func (d *Device) isSubscribed() bool {
	select {
	case <-d.subscribed:
		return true
	default:
		return false
	}
}

func (d *Device) markSubscribed() { d.once.Do(func() { close(d.subscribed) }) }

func (d *Device) failed(what string, err error) {
	d.mu.Lock()
	d.stats.Failures++
	d.lastError = err
	d.mu.Unlock()
	d.cfg.Log.Warn("sensor's broker", "what", what, "broker", address(d.cfg.Broker), "error", err)
}

func (d *Device) count(change func(*Stats)) {
	d.mu.Lock()
	defer d.mu.Unlock()
	change(&d.stats)
}

// receive runs where the connection is read: stamp, copy, queue.
func (d *Device) receive(m message) {
	if d.cfg.Tap != nil {
		d.cfg.Tap(Message{At: d.cfg.Clock(), Topic: m.topic, Payload: m.payload, QoS: m.qos, Retain: m.retain})
	}
	if m.retain && !d.cfg.KeepRetained && d.cfg.Rule == nil {
		d.count(func(s *Stats) { s.Retained++ })
		return
	}
	select {
	case d.inbox <- arrival{at: d.cfg.Clock(), topic: m.topic, payload: bytes.Clone(m.payload), retain: m.retain}:
	default:
		d.in.Drop()
	}
}

// decode checks what was queued, away from where the connection is read.
func (d *Device) decode() {
	for {
		select {
		case <-d.run.Done():
			return
		case m := <-d.inbox:
			f := codec.Frame{Raw: m.payload, First: m.at, Last: m.at, Bytes: len(m.payload)}
			if d.cfg.Rule == nil {
				d.in.Accept(f, m.topic)
				continue
			}
			d.byRule(f, m)
		}
	}
}

// byRule lets the rule read a message. What was retained teaches it and is no
// reading of now.
func (d *Device) byRule(f codec.Frame, m arrival) {
	r, err := d.cfg.Rule.Decode(m.topic, m.payload)
	var reject *codec.Reject
	switch {
	case errors.As(err, &reject) && reject.Class == codec.Control:
		d.in.Control(f)
		return
	case errors.As(err, &reject):
		d.in.Reject(f, reject.Class, m.topic+": "+reject.Reason)
		return
	}
	if r.Missing != "" {
		d.in.MissSome(r.Lost, codec.Frame{First: m.at, Last: m.at}, m.topic+": "+r.Missing)
	}
	d.count(func(s *Stats) {
		switch {
		case r.Online == nil:
		case *r.Online:
			s.Online++
		default:
			s.Offline++
		}
	})
	switch {
	case m.retain && !d.cfg.KeepRetained:
		d.count(func(s *Stats) { s.Retained++ })
	case len(r.Values) == 0:
		d.in.Control(f)
	default:
		d.in.Deliver(f, m.topic, r.Values)
	}
}

// Info implements devices.Device. Path is the broker, without user and password, and the filter.
func (d *Device) Info() devices.Info {
	return devices.Info{ID: d.cfg.ID, Kind: "mqtt", Mode: d.cfg.Mode, Model: d.cfg.Model,
		Path: address(d.cfg.Broker) + " " + d.cfg.Filter, Note: d.cfg.Note}
}

// Read implements devices.Device. It goes on blocking while the link is down.
func (d *Device) Read(ctx context.Context) (devices.Sample, error) { return d.in.Read(ctx) }

// Counters implements devices.Device.
func (d *Device) Counters() devices.Counters { return d.in.Counters() }

// Damages implements devices.Device.
func (d *Device) Damages() []devices.Damage { return d.in.Damages() }

// Stats returns the totals of the link.
func (d *Device) Stats() Stats {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.stats
}

// Close disconnects and waits for the device's goroutines.
func (d *Device) Close() error {
	d.in.Discard(devices.ErrClosed)
	d.cancel()
	d.broker.close()
	d.work.Wait()
	return nil
}
