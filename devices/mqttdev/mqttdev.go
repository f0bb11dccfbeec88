// Package mqttdev reads sensors that publish to an MQTT broker by themselves,
// and plays one: Twin is a sensor program of the Tasmota kind.
//
// Both use MQTT 5 through eclipse/paho.golang and its reconnecting autopaho.
// Handlers of that library run on its reading goroutine, where a slow one stalls
// the keep-alive; so the handler here only queues. Handlers added later are lost
// at a reconnect; so it is registered in the configuration. Subscriptions are
// renewed when the broker says that it has no session of ours.
package mqttdev

import (
	"bytes"
	"context"
	"crypto/rand"
	"crypto/tls"
	"encoding/hex"
	"errors"
	"fmt"
	"log/slog"
	"net/url"
	"sync"
	"time"

	"github.com/eclipse/paho.golang/autopaho"
	"github.com/eclipse/paho.golang/paho"

	"plumbline/devices"
	"plumbline/devices/codec"
	"plumbline/devices/internal/intake"
)

// Config describes the sensor and its broker. Broker and Filter are required.
type Config struct {
	ID     string // unique in a rig; "" = the filter
	Broker *url.URL
	TLS    *tls.Config
	// Username and Password for the broker; empty = those of the URL, if any.
	Username string
	Password []byte
	// ClientID makes the session durable: QoS 1 messages that come while the
	// link is down are delivered after it. "" = a random one, no session kept.
	ClientID string
	Filter   string // MQTT topic filter of the sensor's messages
	QoS      byte   // 0 or 1; what the subscription asks for

	Codec codec.Codec   // nil = codec.Payload{}
	Clock devices.Clock // nil = counts from Open
	Mode  devices.Mode  // "" = Real; a Twin's messages are Sim
	Model string
	Note  string
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
	Retained uint64 // retained messages left out
	Failures uint64 // attempts to connect or subscribe that failed
}

// message is what the handler queues.
type message struct {
	at      time.Duration
	topic   string
	payload []byte
}

// Device is a sensor read through its broker.
type Device struct {
	cfg    Config
	in     *intake.Intake
	inbox  chan message
	cancel context.CancelFunc
	manage *autopaho.ConnectionManager
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
	d := &Device{cfg: cfg, inbox: make(chan message, 1024), cancel: cancel, run: run,
		subscribed: make(chan struct{}),
		in:         intake.New(cfg.Codec, intake.Options{Queue: cfg.Queue, Damages: cfg.Damages})}
	d.manage, err = autopaho.NewConnection(run, d.clientConfig())
	if err != nil {
		cancel()
		return nil, fmt.Errorf("mqttdev: open %q: %w", cfg.Filter, err)
	}
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
	case c.QoS > 1:
		return c, fmt.Errorf("mqttdev: QoS %d of %q: must be 0 or 1", c.QoS, c.Filter)
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
	if c.Log == nil {
		c.Log = slog.New(slog.DiscardHandler)
	}
	return c, nil
}

// clientConfig builds the configuration of the library.
func (d *Device) clientConfig() autopaho.ClientConfig {
	c := connection(d.cfg.Broker, d.cfg.TLS, d.cfg.Username, d.cfg.Password, d.cfg.Retry)
	c.ClientID = d.cfg.ClientID
	c.SessionExpiryInterval = 3600
	if c.ClientID == "" {
		c.ClientID = "plumbline-" + randomID()
		c.CleanStartOnInitialConnection = true
		c.SessionExpiryInterval = 0
	}
	c.OnConnectionUp = func(m *autopaho.ConnectionManager, ack *paho.Connack) {
		d.count(func(s *Stats) { s.Connects++ })
		if ack.SessionPresent && d.isSubscribed() {
			return // the broker kept what this device subscribed
		}
		d.work.Go(func() { d.subscribe(m) }) // must not block here
	}
	c.OnConnectError = func(err error) { d.failed("connect", err) }
	c.OnPublishReceived = []func(paho.PublishReceived) (bool, error){func(p paho.PublishReceived) (bool, error) {
		d.receive(p.Packet)
		return true, nil
	}}
	return c
}

// connection holds what Device and Twin have in common.
func connection(broker *url.URL, tlsConfig *tls.Config, username string, password []byte, retry time.Duration) autopaho.ClientConfig {
	if username == "" && broker.User != nil {
		username = broker.User.Username()
		p, _ := broker.User.Password()
		password = []byte(p)
	}
	bare := *broker // the library prints the URL in its errors
	bare.User, bare.RawQuery = nil, ""
	return autopaho.ClientConfig{
		ServerUrls: []*url.URL{&bare}, TlsCfg: tlsConfig, KeepAlive: 20,
		ConnectUsername: username, ConnectPassword: password, ConnectTimeout: 5 * time.Second,
		ReconnectBackoff: func(attempt int) time.Duration {
			if attempt == 0 {
				return 0
			}
			return retry
		},
	}
}

// address is how reports, errors and logs name the broker: the user name is left
// out with the password, because some brokers take a token there.
func address(broker *url.URL) string { return broker.Scheme + "://" + broker.Host }

func randomID() string {
	var b [8]byte
	_, _ = rand.Read(b[:]) // never fails: crypto/rand ends the program instead
	return hex.EncodeToString(b[:])
}

// subscribe asks for the filter until the broker grants it, the link breaks (a
// new one subscribes by itself) or the device is closed.
func (d *Device) subscribe(m *autopaho.ConnectionManager) {
	for d.run.Err() == nil {
		ctx, cancel := context.WithTimeout(d.run, 5*time.Second)
		_, err := m.Subscribe(ctx, &paho.Subscribe{Subscriptions: []paho.SubscribeOptions{{
			Topic: d.cfg.Filter, QoS: d.cfg.QoS, RetainHandling: 1, // retained ones for a new subscription only
		}}})
		cancel()
		if err == nil {
			d.markSubscribed()
			return
		}
		d.failed("subscribe", err)
		if errors.Is(err, autopaho.ConnectionDownError) {
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

// receive runs on the library's reading goroutine: stamp, copy, queue.
func (d *Device) receive(p *paho.Publish) {
	if p.Retain && !d.cfg.KeepRetained {
		d.count(func(s *Stats) { s.Retained++ })
		return
	}
	select {
	case d.inbox <- message{at: d.cfg.Clock(), topic: p.Topic, payload: bytes.Clone(p.Payload)}:
	default:
		d.in.Drop()
	}
}

// decode checks what was queued, away from the library's goroutine.
func (d *Device) decode() {
	for {
		select {
		case <-d.run.Done():
			return
		case m := <-d.inbox:
			d.in.Accept(codec.Frame{Raw: m.payload, First: m.at, Last: m.at, Bytes: len(m.payload)}, m.topic)
		}
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
	<-d.manage.Done()
	d.work.Wait()
	return nil
}
