// Package witness is an MQTT 5 subscriber beside the bridge: it records what
// the broker had already accepted, so that a message lost before the broker is
// told from one lost behind it.
package witness

import (
	"context"
	"crypto/tls"
	"log/slog"
	"net"
	"net/url"
	"time"

	"plumbline/harness/record"
)

// Recorder is where a witness writes what it saw; *record.Recorder is one.
type Recorder interface {
	Node(n record.Node) uint16
	Add(r record.Record)
	Event(e record.Event)
}

// Clock gives nanoseconds since the run epoch; *record.Clock is one.
type Clock interface{ Now() int64 }

// Config configures a Witness. Broker, Recorder and Clock are required.
type Config struct {
	Name     string   // "" means "witness"
	Broker   *url.URL // mqtt:// or mqtts://
	TLS      *tls.Config
	Username string
	Password string
	Filters  []string // none means "#"
	QoS      byte     // of the subscription, 0 or 1
	Recorder Recorder
	Clock    Clock
	// Resolve names the stream and sequence of a payload, as for viewers.
	Resolve   func(topic string, payload []byte) (stream uint32, seq uint64, flags uint8)
	KeepAlive time.Duration // 0 means 30 s
	Backoff   time.Duration // first wait before a reconnection; 0 means 100 ms, doubling to 2 s
	Dial      func(ctx context.Context, network, addr string) (net.Conn, error)
	Log       *slog.Logger
}

// Counters are totals since Open.
type Counters struct {
	Witnessed   uint64
	Connects    uint64
	Disconnects uint64
}

// Witness is one recording subscriber. Its methods may be called by any goroutine.
type Witness struct{}

// Open connects and subscribes, and returns when the broker has confirmed. The
// witness then reconnects until Close, whatever becomes of ctx.
func Open(ctx context.Context, cfg Config) (*Witness, error) { return nil, nil }

// Counters returns the totals so far.
func (w *Witness) Counters() Counters { return Counters{} }

// WaitCount waits until n messages were witnessed in total.
func (w *Witness) WaitCount(ctx context.Context, n uint64) error { return nil }

// WaitConnected waits until session n or a later one is subscribed, counted from 1.
func (w *Witness) WaitConnected(ctx context.Context, n uint64) error { return nil }

// Close disconnects and waits for the goroutines. It is idempotent.
func (w *Witness) Close() error { return nil }
