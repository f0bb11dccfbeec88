package load

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"math"
	"math/rand/v2"
	"net"
	"net/url"
	"sync"
	"time"

	"plumbline/harness/mqttwire"
	"plumbline/harness/record"
)

// Defaults of PublisherConfig.
const (
	DefaultInFlight  = 1024
	DefaultReconnect = 100 * time.Millisecond
	// maxReconnect bounds the growing pause between attempts to connect.
	maxReconnect = time.Second
	// maxPending bounds what waits for a connection that takes no more bytes.
	maxPending = 1 << 20
	// dialTimeout bounds one attempt to connect.
	dialTimeout = 10 * time.Second
)

// PublisherConfig describes a Publisher. Name, Broker and Recorder are needed.
type PublisherConfig struct {
	Name      string   // of the node in records and events
	ClientID  string   // "" means Name
	Broker    *url.URL // mqtt://host:port or mqtts://host:port
	Version   string   // of MQTT: 5 or 3.1.1; "" means 5
	TLS       *tls.Config
	Username  string
	Password  string
	Recorder  Recorder
	InFlight  int           // QoS 1 window, at most 65,535; 0 means DefaultInFlight. The broker's own limit holds too
	NoResend  bool          // forget unacknowledged messages when the connection is lost
	Tries     int           // a message over which alone so many connections ended is refused, as one with an error in PUBACK; 0 means never
	Sequence  bool          // add the plumbline-seq user property, which MQTT 3.1.1 cannot carry
	Reconnect time.Duration // first pause before connecting again; 0 means DefaultReconnect, below 0 never
	Will      *Will         // nil for none
	Dial      Dial
	Log       *slog.Logger
}

// Message is one message to publish.
type Message struct {
	Stream  uint32
	Seq     uint64
	Due     int64 // intended instant on the run clock
	Topic   string
	Payload []byte // MUST NOT change until it is acknowledged
	QoS     byte   // 0 or 1
	Retain  bool
	Foreign bool   // the payload is not ours: it is followed by its digest
	Digest  uint64 // of the payload; 0 means compute it

	Properties *mqttwire.Properties // nil for none; MQTT 3.1.1 cannot carry them
}

// Counts are totals of a publisher or of all publishers of a generator.
type Counts struct {
	Offered    int64 // messages that came due
	Sent       int64 // of those: written
	Blocked    int64 // of those: not written, window full or connection lost
	Acked      int64
	Refused    int64 // PUBACK with an error, or given up after PublisherConfig.Tries
	Resent     int64
	Reconnects int64
	InFlight   int64 // now
}

// Add adds the totals of another publisher.
func (c *Counts) Add(o Counts) {
	c.Offered += o.Offered
	c.Sent += o.Sent
	c.Blocked += o.Blocked
	c.Acked += o.Acked
	c.Refused += o.Refused
	c.Resent += o.Resent
	c.Reconnects += o.Reconnects
	c.InFlight += o.InFlight
}

// Publisher is one MQTT connection that stamps what it writes. Send never
// waits; everything else happens in its own goroutines. It is safe for
// concurrent use.
type Publisher struct {
	cfg     PublisherConfig
	version byte
	node    uint16
	rec     Recorder

	// ctx ends the goroutines; done closes when the last of them has ended.
	ctx    context.Context
	cancel context.CancelFunc
	done   chan struct{}
	wake   chan struct{} // queue is not empty

	mu      sync.Mutex
	started bool
	leaving bool     // Close was called
	conn    net.Conn // nil while there is none
	window  int
	// maxPacket is the broker's Maximum Packet Size, 0 for none.
	maxPacket int64
	inflight  map[uint16]*pending
	order     []*pending // unacknowledged, in the order they were first written
	held      []*pending // to be sent after those on their way
	single    bool       // messages go one at a time, for the one that ends connections to stand out
	loose     bool       // QoS 0 went out since the last acknowledgement
	present   bool       // the broker knew the session of this connection
	lastID    uint16
	lastSeq   uint64
	queue     []*pending // waits for the writer goroutine, the first may be half written
	queued    int        // bytes in queue
	draining  bool       // the writer goroutine is at work on queue
	counts    Counts
	waiters   []chan struct{}
}

// pending is a message on its way.
type pending struct {
	Message
	id      uint16
	seq     uint64 // plumbline-seq
	attempt uint32
	frame   []byte // what is left to write
	at      int64  // stamp before the first byte, 0 before
	dup     bool
	acked   bool
	written bool // wholly, at least once: there is a record of it
	ended   int  // connections that ended while nothing else was on its way
}

// NewPublisher returns a publisher that is not connected yet.
func NewPublisher(cfg PublisherConfig) (*Publisher, error) {
	if cfg.Broker == nil || cfg.Recorder == nil || cfg.Name == "" {
		return nil, errors.New("load: a publisher needs a name, a broker and a recorder")
	}
	if _, _, err := brokerAddress(cfg.Broker); err != nil {
		return nil, err
	}
	version, err := mqttwire.Version(cfg.Version)
	switch {
	case err != nil:
		return nil, fmt.Errorf("load: publisher %q: %w", cfg.Name, err)
	case cfg.Sequence && version != mqttwire.V5:
		return nil, fmt.Errorf("load: publisher %q: MQTT %s cannot carry the user property %s", cfg.Name, cfg.Version, SeqProperty)
	}
	if cfg.ClientID == "" {
		cfg.ClientID = cfg.Name
	}
	if cfg.InFlight <= 0 {
		cfg.InFlight = DefaultInFlight
	}
	cfg.InFlight = min(cfg.InFlight, math.MaxUint16) // there are no more packet identifiers [MQTT-2.2.1-3]
	if cfg.Reconnect == 0 {
		cfg.Reconnect = DefaultReconnect
	}
	if cfg.Log == nil {
		cfg.Log = slog.New(slog.DiscardHandler)
	}
	p := &Publisher{
		cfg: cfg, version: version, rec: cfg.Recorder,
		node: cfg.Recorder.Node(record.Node{Name: cfg.Name, Role: "publisher"}),
		done: make(chan struct{}), wake: make(chan struct{}, 1),
		inflight: map[uint16]*pending{},
	}
	p.ctx, p.cancel = context.WithCancel(context.Background())
	return p, nil
}

// Connect opens the connection and returns when the broker has accepted it. It
// makes one attempt; once connected, the publisher keeps itself so until Close.
func (p *Publisher) Connect(ctx context.Context) error {
	p.mu.Lock()
	again := p.started
	p.started = true
	p.mu.Unlock()
	if again {
		return fmt.Errorf("load: publisher %q is connected already", p.cfg.Name)
	}
	conn, window, _, err := p.open(ctx, true)
	if err != nil {
		p.cancel()
		close(p.done)
		return err
	}
	p.attach(conn, window, true)
	go p.keep(conn)
	return nil
}

// open dials and greets once. It returns the in-flight window the broker
// allows and whether it still knows the session.
func (p *Publisher) open(ctx context.Context, cleanStart bool) (net.Conn, int, bool, error) {
	ctx, cancel := context.WithTimeout(ctx, dialTimeout)
	defer cancel()
	conn, err := dialBroker(ctx, &p.cfg)
	if err != nil {
		return nil, 0, false, err
	}
	// A broker that accepts and then says nothing must not hold us up.
	stop := context.AfterFunc(ctx, func() { _ = conn.SetDeadline(time.Unix(1, 0)) })
	answer, err := p.greet(conn, cleanStart)
	if !stop() { // whatever else went wrong is a consequence
		err = fmt.Errorf("load: connect %q: %w", p.cfg.ClientID, ctx.Err())
	}
	if err != nil {
		return nil, 0, false, errors.Join(err, conn.Close())
	}
	window := p.cfg.InFlight
	if answer.ReceiveMaximum > 0 { // [MQTT-3.3.4-7]
		window = min(window, int(answer.ReceiveMaximum))
	}
	if answer.MaxPacket > 0 {
		p.mu.Lock()
		p.maxPacket = int64(answer.MaxPacket)
		p.mu.Unlock()
	}
	return conn, window, answer.Present, nil
}

// keep serves one connection after another until Close.
func (p *Publisher) keep(conn net.Conn) {
	defer close(p.done)
	defer p.abandon()
	for {
		err := p.serve(conn)
		p.detach(err)
		if p.ctx.Err() != nil || p.cfg.Reconnect < 0 {
			return
		}
		var window int
		var present bool
		conn, window, present = p.reopen()
		if conn == nil {
			return
		}
		p.attach(conn, window, present)
	}
}

// reopen connects again, with pauses that grow and vary; nil after Close.
func (p *Publisher) reopen() (net.Conn, int, bool) {
	pause := p.cfg.Reconnect
	for {
		timer := time.NewTimer(pause/2 + rand.N(pause/2+1)) //nolint:gosec // G404: jitter against storms, no secret
		select {
		case <-p.ctx.Done():
			timer.Stop()
			return nil, 0, false
		case <-timer.C:
		}
		conn, window, present, err := p.open(p.ctx, false)
		if err == nil {
			return conn, window, present
		}
		p.cfg.Log.Debug("connect again", "publisher", p.cfg.Name, "error", err)
		pause = min(2*pause, maxReconnect)
	}
}

// Counts returns the totals so far.
func (p *Publisher) Counts() Counts {
	p.mu.Lock()
	defer p.mu.Unlock()
	c := p.counts
	c.InFlight = int64(len(p.order))
	return c
}

// WaitAcked returns when nothing is unacknowledged and nothing waits to be
// written, or with the error of ctx, which says how many are open.
func (p *Publisher) WaitAcked(ctx context.Context) error {
	for {
		p.mu.Lock()
		open := len(p.order) + len(p.queue)
		if open == 0 {
			p.mu.Unlock()
			return nil
		}
		settled := make(chan struct{})
		p.waiters = append(p.waiters, settled)
		p.mu.Unlock()
		select {
		case <-settled:
		case <-ctx.Done():
			return fmt.Errorf("load: publisher %q waits for %d acknowledgements: %w", p.cfg.Name, open, ctx.Err())
		}
	}
}

// settle wakes those who wait for everything to be acknowledged; the caller
// holds mu.
func (p *Publisher) settle() {
	if len(p.order)+len(p.queue)+len(p.held) > 0 {
		return
	}
	for _, w := range p.waiters {
		close(w)
	}
	p.waiters = nil
}

// Close ends the connection with DISCONNECT and returns when all goroutines
// have ended. It is idempotent. What is unacknowledged stays so; what was never
// written is recorded as blocked.
func (p *Publisher) Close() error {
	p.mu.Lock()
	started := p.started
	p.started, p.leaving = true, true
	conn := p.conn
	p.mu.Unlock()
	if !started {
		close(p.done)
	}
	if conn != nil {
		p.goodbye(conn)
	}
	p.cancel()
	<-p.done
	return nil
}
