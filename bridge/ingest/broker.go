// Package ingest is the MQTT side: an embedded mochi broker behind a hardened listener. Every publish that is allowed goes
// into the journal before it is acknowledged; what the journal refuses is refused to the publisher. The package must not know
// viewers. bridge/README.md lists the broker's defects, how each is cured here and which remain.
package ingest

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"sync"
	"sync/atomic"
	"time"

	mqtt "github.com/mochi-mqtt/server/v2"

	"plumbline/bridge/journal"
	"plumbline/bridge/metrics"
)

// Defaults for Options.
const (
	DefaultMaxPacketBytes = 256 << 10
	DefaultMaxClients     = 10_000
	DefaultConnectTimeout = 5 * time.Second
	DefaultWriteTimeout   = 10 * time.Second
)

// maxPending bounds the packets queued for one MQTT subscriber (M8): with maxPacketBytes it bounds the memory of one that
// does not read until the write timeout cuts it.
const maxPending = 128

// Appender is the journal as seen from here. Append returns only when the message is as safe as the policy says.
type Appender interface {
	Append(ctx context.Context, m journal.Message) (offset uint64, duplicate bool, err error)
}

// Options configures a Broker. Journal, Listener, Metrics and Log are required.
type Options struct {
	Journal        Appender
	Listener       net.Listener // bound; the Broker closes it
	TLS            *tls.Config  // nil = plain TCP
	Users          *Users       // nil = anonymous: every client may publish and subscribe
	MaxPacketBytes int64        // 0 = DefaultMaxPacketBytes
	MaxClients     int          // 0 = DefaultMaxClients
	MaxPerAddress  int          // 0 = no limit
	ConnectTimeout time.Duration
	WriteTimeout   time.Duration
	Retained       []journal.Entry // retained messages to begin with
	Metrics        *metrics.Set
	Log            *slog.Logger
}

// Broker is the running MQTT side. Start it once; Close ends it.
type Broker struct {
	opts   Options
	log    *slog.Logger
	m      *metrics.Set
	server *mqtt.Server
	lis    *listener
	wills  *wills
	ctx    context.Context // ends with Close, so that no append outlives the broker
	cancel context.CancelFunc

	draining  atomic.Bool
	closeOnce sync.Once
	closeErr  error
}

// New prepares a Broker on the given listener. Nothing is accepted before Start.
func New(o Options) (*Broker, error) {
	if o.MaxPacketBytes <= 0 {
		o.MaxPacketBytes = DefaultMaxPacketBytes
	}
	if o.MaxClients <= 0 {
		o.MaxClients = DefaultMaxClients
	}
	if o.ConnectTimeout <= 0 {
		o.ConnectTimeout = DefaultConnectTimeout
	}
	if o.WriteTimeout <= 0 {
		o.WriteTimeout = DefaultWriteTimeout
	}
	b := &Broker{opts: o, log: o.Log, m: o.Metrics}
	b.ctx, b.cancel = context.WithCancel(context.Background())
	b.server = mqtt.New(&mqtt.Options{
		Capabilities:           capabilities(o),
		Logger:                 slog.New(discreet{o.Log.Handler()}),
		SysTopicResendInterval: 60, // M20: each tick stops the world for runtime.ReadMemStats
		InlineClient:           true,
	})
	b.wills = newWills(b)
	b.lis = newListener(b)
	if err := b.server.AddHook(&hook{b: b}, nil); err != nil {
		b.cancel()
		return nil, fmt.Errorf("ingest: add hook: %w", err)
	}
	if err := b.server.AddListener(b.lis); err != nil {
		b.cancel()
		return nil, fmt.Errorf("ingest: add listener: %w", err)
	}
	return b, nil
}

// capabilities returns the broker's limits with the cures of M8, M10, M12, M18, D2, D3, D6, D17, M23.
func capabilities(o Options) *mqtt.Capabilities {
	c := mqtt.NewDefaultServerCapabilities()
	c.MaximumClients = int64(o.MaxClients)
	c.MaximumPacketSize = uint32(o.MaxPacketBytes) // M10, D17: bounds what is reserved before authentication
	c.MaximumClientWritesPending = maxPending      // M8
	c.MaximumMessageExpiryInterval = 0             // M18, D2: no expiry of our own making
	c.MaximumSessionExpiryInterval = 24 * 3600
	c.TopicAliasMaximum = 0                             // M12, D6: an alias hides the topic from the access check
	c.SharedSubAvailable = 0                            // M23: shared groups park messages at absent members
	c.Compatibilities.NoInheritedPropertiesOnAck = true // D3
	return c
}

// Start begins to accept connections. It returns at once.
func (b *Broker) Start() error {
	if err := b.server.Serve(); err != nil {
		return fmt.Errorf("ingest: serve: %w", err)
	}
	return nil
}

// Addr returns the bound address.
func (b *Broker) Addr() net.Addr { return b.opts.Listener.Addr() }

// Drain stops accepting and suppresses all wills from now on (M25: a restart of the bridge is not the death of its devices).
// Connected clients go on. It returns at once; Close follows.
func (b *Broker) Drain() {
	b.draining.Store(true)
	b.wills.stop()
	b.lis.stopAccepting()
}

// Close drains, tells MQTT 5 clients that the server shuts down (0x8B), cuts all connections and waits for their goroutines.
// It is idempotent.
func (b *Broker) Close() error {
	b.closeOnce.Do(func() {
		b.Drain()
		b.lis.hurry.Store(true)
		giveUp := time.AfterFunc(time.Second, func() { // neither a disk that hangs nor clients that do not read may hold up the end
			b.cancel()
			b.lis.cut()
		})
		defer giveUp.Stop()
		if err := b.server.Close(); err != nil {
			b.closeErr = fmt.Errorf("ingest: close: %w", err)
		}
		b.cancel()
	})
	return b.closeErr
}

// Dropped returns how many messages MQTT subscribers (not viewers) lost to full queues, and to full in-flight windows (M7).
func (b *Broker) Dropped() (queue, inflight int64) {
	return atomic.LoadInt64(&b.server.Info.MessagesDropped), atomic.LoadInt64(&b.server.Info.InflightDropped)
}

// discreet passes the broker library's log on without what it must not hold: the library logs whole packets, with payloads,
// user names and passwords.
type discreet struct{ next slog.Handler }

// Enabled implements slog.Handler: the library's information is not ours.
func (d discreet) Enabled(ctx context.Context, l slog.Level) bool {
	return l >= slog.LevelWarn && d.next.Enabled(ctx, l)
}

// Handle implements slog.Handler.
func (d discreet) Handle(ctx context.Context, r slog.Record) error {
	out := slog.NewRecord(r.Time, r.Level, "mqtt: "+r.Message, r.PC)
	r.Attrs(func(a slog.Attr) bool {
		if safeAttr(a) {
			out.AddAttrs(a)
		}
		return true
	})
	return d.next.Handle(ctx, out)
}

// WithAttrs implements slog.Handler.
func (d discreet) WithAttrs(attrs []slog.Attr) slog.Handler {
	var keep []slog.Attr
	for _, a := range attrs {
		if safeAttr(a) {
			keep = append(keep, a)
		}
	}
	return discreet{d.next.WithAttrs(keep)}
}

// WithGroup implements slog.Handler.
func (d discreet) WithGroup(name string) slog.Handler { return discreet{d.next.WithGroup(name)} }

func safeAttr(a slog.Attr) bool {
	switch a.Key {
	case "error", "client", "listener", "keepalive", "hook":
		return true
	}
	return false
}

// errDraining ends a CONNECT that comes while the bridge goes down.
var errDraining = errors.New("ingest: draining")
