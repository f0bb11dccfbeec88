// Package viewer is a recording client of the viewer protocol
// plumbline.v1.json, written from its description and sharing no code with
// the bridge: what it says about a bridge is a second opinion.
//
// It stamps each frame directly after it was read, checks the chain of journal
// intervals itself and keeps what it saw as records. It does not judge.
package viewer

import (
	"context"
	"crypto/tls"
	"errors"
	"log/slog"
	"net"
	"time"

	"plumbline/harness/record"
)

// Recorder is where a viewer writes what it saw; *record.Recorder is one.
type Recorder interface {
	Node(n record.Node) uint16
	Epoch(id string) uint32
	Add(r record.Record)
	Event(e record.Event)
}

// Clock gives nanoseconds since the run epoch; *record.Clock is one.
type Clock interface{ Now() int64 }

// Config configures a Viewer. Name, URL, Recorder and Clock are required.
type Config struct {
	Name      string
	URL       string                                    // ws:// or wss://
	Origin    string                                    // "" sends none
	TLS       *tls.Config                               // for wss://; cloned
	Token     func(ctx context.Context) (string, error) // nil sends none
	NoRefresh bool                                      // do not answer auth-expiring: the session runs into its expiry
	Filters   []string                                  // at least one; one subscription each
	Snapshot  bool                                      // ask for the last values with the first subscription
	Recorder  Recorder
	Clock     Clock
	// Resolve names the stream and sequence of a payload. It is called on the
	// reading goroutine and must neither block nor keep payload. nil leaves
	// every reading foreign (record.NoStream).
	Resolve   func(topic string, payload []byte) (stream uint32, seq uint64, flags uint8)
	Reconnect Backoff
	Silence   time.Duration // no data for so long: cut and reconnect; 0 means twice the heartbeat that the server announces
	Dial      func(ctx context.Context, network, addr string) (net.Conn, error)
	Log       *slog.Logger // nil discards
}

// Backoff says how a viewer reconnects. The zero value waits 100 ms, doubling
// to 5 s, each wait drawn from [½, 1] of its value.
type Backoff struct {
	Initial time.Duration
	Max     time.Duration
	Seed    uint64 // of the jitter
	Off     bool   // never reconnect: the first disconnection ends the viewer
}

// ErrClosed is returned by waits on a viewer that was closed.
var ErrClosed = errors.New("viewer: closed")

// Cursor is a position in the journal of the system under test.
type Cursor struct {
	Epoch  string
	Offset uint64
}

// Counters are totals since Open.
type Counters struct {
	Received    uint64 // live readings
	Restored    uint64 // snapshot readings
	Batches     uint64
	Heartbeats  uint64
	Gaps        uint64 // gaps declared by the server
	Missed      uint64 // readings that those gaps declared missing
	Broken      uint64 // breaks of the chain that nobody declared
	Malformed   uint64 // frames that could not be decoded
	Bytes       uint64 // payload bytes of frames
	Connects    uint64 // sessions welcomed
	Disconnects uint64
	LastClose   int // close code of the last disconnection, 0 when there was none
}

// Viewer is one recording client. Its methods may be called by any goroutine.
type Viewer struct{}

// Open connects, authenticates, subscribes to every filter and returns when
// all are confirmed. It tries again until ctx ends when the server cannot be
// reached, and returns a *RefusedError at once when it is refused. The viewer
// then reconnects and resumes until Close, whatever becomes of ctx.
func Open(ctx context.Context, cfg Config) (*Viewer, error) { return nil, ErrClosed }

// Cursor returns how far the subscription has got, the zero Cursor for a
// filter that was not asked for.
func (v *Viewer) Cursor(filter string) Cursor { return Cursor{} }

// Counters returns the totals so far.
func (v *Viewer) Counters() Counters { return Counters{} }

// Done is closed when the viewer has ended: by Close, or because the server
// refused it for good (Err says why).
func (v *Viewer) Done() <-chan struct{} { return nil }

// Err says why the viewer ended; nil while it works and after Close.
func (v *Viewer) Err() error { return nil }

// Connected reports whether all filters are subscribed at this moment.
func (v *Viewer) Connected() bool { return false }

// WaitOffset waits until every subscription has got to offset.
func (v *Viewer) WaitOffset(ctx context.Context, offset uint64) error { return nil }

// WaitReceived waits until n live readings were received in total.
func (v *Viewer) WaitReceived(ctx context.Context, n uint64) error { return nil }

// WaitIdle waits until no reading came for the time quiet.
func (v *Viewer) WaitIdle(ctx context.Context, quiet time.Duration) error { return nil }

// WaitConnected waits until all filters are subscribed in session n or a later one, counted from 1.
func (v *Viewer) WaitConnected(ctx context.Context, n uint64) error { return nil }

// Reauthorise sends a token over the live session.
func (v *Viewer) Reauthorise(token string) error { return nil }

// Cut drops the connection without a close frame, as a lost network does.
func (v *Viewer) Cut() {}

// Close ends the viewer with close code 1000 and waits for its goroutines. It is idempotent.
func (v *Viewer) Close() error { return nil }

// RefusedError tells of a server that answered and said no.
type RefusedError struct {
	Status int    // HTTP status of the handshake, 0 when it went well
	Code   int    // WebSocket close code, 0 when there was none
	Reason string // as the server put it
	Filter string // of the subscription that was refused, else ""
}

// Error implements error.
func (e *RefusedError) Error() string { return "viewer: refused" }
