// Package viewer is a recording client of what dashboards connect to, one
// dialect for each protocol: a Viewer reconnects, counts, waits and records, a
// dialect reads the frames of one protocol. All are written from the protocols'
// descriptions and share no code with the bridge: what they say about a bridge
// is a second opinion.
//
// It stamps each frame directly after it was read and keeps what it saw as
// records; where a server numbers what it sends, it checks the chain of journal
// intervals itself. It does not judge. Whatever a server sends, memory is
// bounded by a frame of 16 MiB, three of them where it may compress, and as much
// of topic names, and a recording by what can have been published.
package viewer

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"net"
	"net/http"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"plumbline/harness/mqttwire"
	"plumbline/harness/record"
)

// The protocols of Config.Protocol.
const (
	Plumbline = "plumbline" // plumbline.v1.json over WebSocket
	MQTT      = "mqtt"      // MQTT 3.1.1 or 5 over WebSocket
	JSON      = "json"      // JSON over WebSocket, as the descriptor describes it
	SSE       = "sse"       // server-sent events
	Poll      = "poll"      // HTTP requests, one after the other
)

// Config configures a Viewer. Name, URL, Filters and Recorder are required.
type Config struct {
	Name      string
	Protocol  string                                    // one of the constants above; "" means Plumbline
	URL       string                                    // ws:// or wss://; http:// or https:// for SSE and Poll
	Origin    string                                    // "" sends none
	TLS       *tls.Config                               // for wss://; cloned
	Token     func(ctx context.Context) (string, error) // asked before every connection and refresh; nil sends none
	Place     TokenPlace                                // where the token goes
	NoRefresh bool                                      // do not answer auth-expiring: the session runs into its expiry
	Filters   []string                                  // one subscription each
	Snapshot  bool                                      // ask for the last value of every topic
	Resume    bool                                      // ask for what was missed; Plumbline does so always

	QoS         byte              // asked for in subscriptions (MQTT): 0 or 1
	MQTTVersion string            // 5 or 3.1.1; "" means 5
	KeepAlive   time.Duration     // of CONNECT (MQTT), whole seconds up to 18 h; 0 means DefaultKeepAlive
	Subprotocol string            // WebSocket subprotocol; "" means that of the protocol
	Compress    bool              // offer permessage-deflate (protocols over WebSocket)
	Encoding    string            // of messages (Plumbline): EncodingCBOR, or "" for JSON
	Tick        time.Duration     // ask for the newest of each topic at most so often (Plumbline), whole milliseconds; 0 asks for all
	HTTP2       bool              // speak HTTP/2 and nothing else (SSE, Poll)
	Header      http.Header       // fields of every HTTP request beside those that belong there, the handshake of a WebSocket among them
	Hello       []string          // frames sent after the handshake (JSON); {{filter}} and {{token}} are filled in
	Reply       map[string]string // what is sent for a frame that says exactly this, for pings that are messages (JSON)
	Again       []string          // sent in place of Hello where Resume is set and there is one filter, once all of their {{/pointer}} have found something in a frame (JSON)
	Message     Pointers          // into each frame (JSON, SSE, Poll)
	Interval    time.Duration     // between two requests (Poll); 0 means DefaultInterval

	Recorder *record.Recorder
	Clock    *record.Clock // nil means the clock of Recorder
	// Resolve names the stream and sequence of a payload. It is called on the
	// reading goroutine: it must not block, keep payload or call the viewer.
	// nil leaves every reading foreign (record.NoStream).
	Resolve func(topic string, payload []byte) (stream uint32, seq uint64, flags uint8)
	// Said is told what a message says about itself (MQTT 5) as Resolve is, for
	// the same messages and under the same rules; nil asks for nothing.
	Said func(topic string, payload []byte, said mqttwire.Properties)
	// Plausible returns the most readings that can have come by now; it is asked
	// every now and then under the viewer's lock and must not block. A server that
	// sends more ends the viewer with ErrFlood, before its recording fills disk
	// and memory. nil bounds nothing.
	Plausible func() uint64
	Reconnect Backoff
	Silence   time.Duration // no data for so long: cut and reconnect; 0 means twice the heartbeat that the server announces
	Dial      func(ctx context.Context, network, addr string) (net.Conn, error)
	Turn      Turn         // shared by viewers of which so many connect at a time; nil for all at once
	Local     string       // IP address that it connects from, "" leaves it to the system; nothing beside Dial
	Log       *slog.Logger // nil discards

	connectLimit time.Duration // for tests; 0 means the constant of that name
	eventLimit   int64         // for tests; 0 means eventFloor
}

// Pointers are JSON pointers (RFC 6901) that find a reading in a frame.
type Pointers struct {
	Topic    string // "" means that frames do not tell it
	Payload  string // to a string, whose text it is, or to any other value; "" means the whole message
	List     string // to an array of readings, within which the others count; "" means one reading a frame, or a frame that is an array
	Retained string // to true in a reading that was there before the viewer came; "" means that frames do not tell
	Missed   string // as List, for what a resumption brings: another place of the same frames; "" means there is none
	Lines    bool   // a frame holds one JSON text a line, and the pointers count within each
}

// DefaultInterval is how often a viewer asks where nothing else is said.
const DefaultInterval = time.Second

// DefaultKeepAlive is the keep alive of MQTT viewers where nothing else is said: a
// server ends the connection of a client that was silent for 1.5 times as long
// [MQTT-3.1.2-22]. Three PINGREQ fall into it, and the server may say nothing
// for twice as long.
const DefaultKeepAlive = 2 * time.Second

// Viewer is one recording client. Its methods may be called by any goroutine.
type Viewer struct {
	cfg   Config
	clock *record.Clock
	log   *slog.Logger
	node  uint16
	rnd   *rand.Rand // of the back-off; owned by the goroutine that connects

	ctx    context.Context // ends with Close
	cancel context.CancelFunc
	done   chan struct{}
	tasks  sync.WaitGroup // token refreshes on their way
	tokens secrets
	spent  atomic.Int64 // events less readings, see eventFloor
	said   said

	dialect dialect

	mu       sync.Mutex // guards what follows; frames are handled under it
	counters Counters
	came     record.Distinct
	session  session // nil while there is no connection that the server accepted
	closing  bool
	err      error         // why the viewer ended
	changed  chan struct{} // closed and renewed for those who wait
	waiting  bool          // somebody does
	last     time.Time     // arrival of the last live reading
	outside  int           // topics seen that no filter takes
	named    int           // of topicBytes that are taken
	asked    uint64        // readings that had come when Plausible was asked last
	flood    error         // wraps ErrFlood: nothing is recorded any more
}

// Open connects, authenticates, subscribes to every filter and returns when
// all are confirmed. It tries again until ctx ends when the server cannot be
// reached, and returns a *RefusedError at once when it is refused for good. The
// viewer then reconnects and resumes until Close, whatever becomes of ctx.
func Open(ctx context.Context, cfg Config) (*Viewer, error) {
	if err := cfg.check(); err != nil {
		return nil, err
	}
	v := &Viewer{
		cfg: cfg, clock: cfg.Clock, log: cfg.Log,
		node:    cfg.Recorder.Node(record.Node{Name: cfg.Name, Role: "viewer", Filters: slices.Clone(cfg.Filters)}),
		rnd:     rand.New(rand.NewPCG(cfg.Reconnect.Seed, 0x76696577)), //nolint:gosec // jitter must be repeatable, not secret
		done:    make(chan struct{}),
		changed: make(chan struct{}),
	}
	if v.clock == nil {
		v.clock = cfg.Recorder.Clock()
	}
	if v.log == nil {
		v.log = slog.New(slog.DiscardHandler)
	}
	var err error
	if v.dialect, err = newDialect(v); err != nil {
		return nil, fmt.Errorf("viewer: open %q: %w", cfg.Name, err)
	}
	if v.cfg.connectLimit == 0 {
		v.cfg.connectLimit = connectLimit
	}
	v.ctx, v.cancel = context.WithCancel(context.WithoutCancel(ctx))
	first, err := v.connectUntil(ctx)
	if err != nil {
		v.cancel()
		close(v.done)
		v.tasks.Wait()
		return nil, fmt.Errorf("viewer: open %q: %w", cfg.Name, err)
	}
	go v.run(first)
	return v, nil
}

// check fills in what the protocol fixes and finds what it cannot use.
func (cfg *Config) check() error {
	switch {
	case cfg.Name == "" || cfg.URL == "" || cfg.Recorder == nil:
		return errors.New("viewer: name, URL and recorder are required")
	case len(cfg.Filters) == 0:
		return fmt.Errorf("viewer: open %q: no filter to subscribe to", cfg.Name)
	}
	cfg.Protocol = or(cfg.Protocol, Plumbline)
	if err := cfg.fits(); err != nil {
		return fmt.Errorf("viewer: open %q: %w", cfg.Name, err)
	}
	if err := cfg.Place.check(cfg.Protocol); err != nil {
		return fmt.Errorf("viewer: open %q: %w", cfg.Name, err)
	}
	return nil
}

// fits finds what the protocol of the settings does not have.
func (cfg *Config) fits() error {
	web := cfg.Protocol == SSE || cfg.Protocol == Poll
	switch {
	case cfg.Compress && web:
		return fmt.Errorf("viewers of protocol %s have no WebSocket to compress", cfg.Protocol)
	case cfg.HTTP2 && !web:
		return fmt.Errorf("viewers of protocol %s begin with HTTP/1.1 (RFC 6455 section 4.1)", cfg.Protocol)
	case (cfg.Encoding != "" || cfg.Tick != 0) && cfg.Protocol != Plumbline:
		return fmt.Errorf("viewers of protocol %s choose neither an encoding nor a tick; those of %s do", cfg.Protocol, Plumbline)
	case cfg.Encoding != "" && cfg.Encoding != EncodingCBOR:
		return fmt.Errorf("encoding %q is not spoken; %q is, and \"\" means JSON", cfg.Encoding, EncodingCBOR)
	case cfg.Encoding != "" && cfg.Snapshot:
		return errors.New("snapshots are read in JSON only")
	case cfg.Tick < 0 || cfg.Tick%time.Millisecond != 0:
		return fmt.Errorf("a tick of %v; the protocol tells whole milliseconds", cfg.Tick)
	}
	return nil
}

// connectUntil connects, and again after a wait when that failed for a reason
// that may pass. Its error is final.
func (v *Viewer) connectUntil(ctx context.Context) (session, error) {
	var last error // of the attempts that ctx did not cut short
	for attempt := 0; ; attempt++ {
		s, err := v.connect(ctx)
		if err == nil {
			return s, nil
		}
		if v.ctx.Err() != nil {
			return nil, ErrClosed
		}
		if final(err) || v.cfg.Reconnect.Off || (v.strange() && hopeless(err)) {
			return nil, err
		}
		if ctx.Err() == nil || last == nil {
			last = err
		}
		v.log.Debug("viewer could not connect", "viewer", v.cfg.Name, "attempt", attempt+1, "error", err)
		wait := max(v.cfg.Reconnect.wait(attempt, v.rnd), retryAfter(err))
		if !pause(ctx, wait) {
			return nil, fmt.Errorf("%w; the last attempt: %w", context.Cause(ctx), last)
		}
	}
}

// strange reports whether the server has never let this viewer in.
func (v *Viewer) strange() bool { return v.Counters().Connects == 0 }

// run reads session after session until the viewer is closed or refused.
func (v *Viewer) run(s session) {
	defer close(v.done)
	for {
		err := v.serve(s)
		s.close()
		hint, ended := v.disconnected(s, err)
		if ended {
			return
		}
		if !pause(v.ctx, max(hint, v.cfg.Reconnect.wait(0, v.rnd))) {
			return
		}
		if s, err = v.connectUntil(v.ctx); err != nil {
			v.end(err)
			return
		}
	}
}

// end keeps the reason why the viewer is over and wakes those who wait.
func (v *Viewer) end(err error) {
	v.mu.Lock()
	defer v.mu.Unlock()
	if !v.closing && v.err == nil {
		v.err = err
	}
	v.wakeLocked()
}

// Close ends the viewer as its protocol does (with close code 1000), gives the server a second to
// answer and waits for its goroutines. It is idempotent.
func (v *Viewer) Close() error {
	v.mu.Lock()
	v.closing = true
	s := v.session
	v.wakeLocked()
	v.mu.Unlock()
	if s != nil && s.goodbye() == nil {
		timer := time.NewTimer(time.Second)
		select {
		case <-v.done:
		case <-timer.C:
		}
		timer.Stop()
	}
	v.cancel()
	<-v.done
	v.tasks.Wait()
	return nil
}

// Cut drops the connection without a close frame, as a lost network does. The
// viewer reconnects.
func (v *Viewer) Cut() {
	v.mu.Lock()
	s := v.session
	v.mu.Unlock()
	if s != nil {
		s.close()
	}
}

// Reauthorise sends a token over the live session. The error wraps
// ErrNoReauthorise when the protocol has no way to do so.
func (v *Viewer) Reauthorise(token string) error {
	v.mu.Lock()
	s := v.session
	v.mu.Unlock()
	if s == nil {
		return fmt.Errorf("viewer: reauthorise %q: there is no connection", v.cfg.Name)
	}
	live, ok := s.(interface{ reauthorise(token string) error })
	if !ok {
		return fmt.Errorf("viewer: reauthorise %q: %w", v.cfg.Name, ErrNoReauthorise)
	}
	if err := live.reauthorise(v.tokens.add(token)); err != nil {
		return fmt.Errorf("viewer: reauthorise %q: %w", v.cfg.Name, err)
	}
	return nil
}

// pause waits and reports whether the wait was not cut short.
func pause(ctx context.Context, d time.Duration) bool {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-ctx.Done():
		return false
	case <-timer.C:
		return true
	}
}
