// Package witness is an MQTT subscriber beside the bridge: it records what
// the broker had already accepted, so that a message lost before the broker is
// told from one lost behind it.
//
// Its own connection to the broker may be cut like any other; what it misses
// meanwhile it does not make up. A message that it did not see is therefore no
// proof of anything.
package witness

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"math"
	"net"
	"net/url"
	"slices"
	"sync"
	"time"

	"plumbline/harness/mqttwire"
	"plumbline/harness/record"
)

// Config configures a Witness. Broker and Recorder are required.
type Config struct {
	Name     string   // "" means "witness"; the MQTT client id begins with it
	Broker   *url.URL // mqtt:// or mqtts://
	Version  string   // of MQTT: 5 or 3.1.1; "" means 5
	TLS      *tls.Config
	Username string
	Password string
	Filters  []string // none means "#"
	QoS      byte     // of the subscription, 0 or 1
	Recorder *record.Recorder
	Clock    *record.Clock // nil means the clock of Recorder
	// Resolve names the stream and sequence of a payload. It is called on the
	// reading goroutine: it must not block, keep payload or call the witness.
	// nil leaves every message foreign (record.NoStream).
	Resolve func(topic string, payload []byte) (stream uint32, seq uint64, flags uint8)
	// Plausible returns the most messages that can have been published by now; it
	// is asked every now and then under a lock and must not block. A broker that
	// sends more ends the witness with ErrFlood, before its recording fills disk
	// and memory. nil bounds nothing.
	Plausible func() uint64
	KeepAlive time.Duration // whole seconds up to 18 h; 0 means 30 s. A broker that wants another one gets that
	Backoff   time.Duration // first wait before a reconnection; 0 means 100 ms. It doubles up to 2 s
	Dial      func(ctx context.Context, network, addr string) (net.Conn, error)
	Log       *slog.Logger // nil discards
}

// Counters are totals since Open.
type Counters struct {
	Witnessed   uint64
	Again       uint64 // of those: came before in this recording, or belong to none of its devices
	Connects    uint64 // sessions with all subscriptions confirmed
	Disconnects uint64
}

// Distinct is how many different messages of the recording were witnessed. What is
// known by its payload only cannot be told from another: each counts.
func (c Counters) Distinct() uint64 { return c.Witnessed - min(c.Again, c.Witnessed) }

// Errors that callers branch on.
var (
	// ErrClosed is returned by waits on a witness that was closed.
	ErrClosed = errors.New("witness: closed")
	// ErrFlood says that a broker sent more than can have been published.
	ErrFlood = errors.New("more came than can have been published")
)

// Witness is one recording subscriber. Its methods may be called by any goroutine.
type Witness struct {
	cfg    Config
	clock  *record.Clock
	log    *slog.Logger
	node   uint16
	id     string
	wanted mqttwire.Subscription
	ctx    context.Context // ends with Close
	cancel context.CancelFunc
	done   chan struct{}

	mu       sync.Mutex // guards what follows
	counters Counters
	came     record.Distinct
	session  *session // nil while there is none
	closing  bool
	err      error         // why it ended, nil while it works and after Close
	changed  chan struct{} // closed and renewed for those who wait
	waiting  bool
}

// Open connects and subscribes, and returns when the broker has confirmed. A
// broker that cannot be reached is tried again until ctx ends; one that
// refuses is an error at once. The witness then reconnects until Close,
// whatever becomes of ctx.
func Open(ctx context.Context, cfg Config) (*Witness, error) {
	if cfg.Broker == nil || cfg.Recorder == nil || cfg.QoS > 1 {
		return nil, errors.New("witness: broker and recorder are required, and a QoS of 0 or 1")
	}
	// Anything else would be taken for plain text, with the password in it.
	if cfg.Broker.Scheme != "mqtt" && cfg.Broker.Scheme != "mqtts" {
		return nil, fmt.Errorf("witness: open %q: scheme %q is not one of mqtt, mqtts", cfg.Broker.Host, cfg.Broker.Scheme)
	}
	version, err := mqttwire.Version(cfg.Version)
	if err != nil {
		return nil, fmt.Errorf("witness: open %q: %w", cfg.Broker.Host, err)
	}
	if cfg.Name == "" {
		cfg.Name = "witness"
	}
	if len(cfg.Filters) == 0 {
		cfg.Filters = []string{"#"}
	}
	switch {
	case cfg.KeepAlive == 0:
		cfg.KeepAlive = 30 * time.Second
	case cfg.KeepAlive < 0 || cfg.KeepAlive%time.Second != 0 || cfg.KeepAlive/time.Second > math.MaxUint16:
		return nil, fmt.Errorf("witness: open %q: keep alive of %v; MQTT can tell whole seconds, at most %d", cfg.Broker.Host, cfg.KeepAlive, math.MaxUint16)
	}
	if cfg.Backoff <= 0 {
		cfg.Backoff = 100 * time.Millisecond
	}
	w := &Witness{
		cfg: cfg, clock: cfg.Clock, log: cfg.Log, id: clientID(cfg.Name),
		node: cfg.Recorder.Node(record.Node{Name: cfg.Name, Role: "witness", Filters: slices.Clone(cfg.Filters)}),
		done: make(chan struct{}), changed: make(chan struct{}),
		// What is retained is left out: it was published before.
		wanted: mqttwire.Subscription{Version: version, ID: 1, Filters: cfg.Filters, QoS: cfg.QoS, Fresh: true},
	}
	if w.clock == nil {
		w.clock = cfg.Recorder.Clock()
	}
	if w.log == nil {
		w.log = slog.New(slog.DiscardHandler)
	}
	w.ctx, w.cancel = context.WithCancel(context.WithoutCancel(ctx))
	first, err := w.connectUntil(ctx)
	if err != nil {
		w.cancel()
		return nil, fmt.Errorf("witness: open %q at %s: %w", cfg.Name, cfg.Broker.Host, err)
	}
	go w.run(first)
	return w, nil
}

// connectUntil connects, and again after a wait. Its error is final.
func (w *Witness) connectUntil(ctx context.Context) (*session, error) {
	for wait := w.cfg.Backoff; ; wait = min(2*wait, 2*time.Second) {
		s, err := w.connect(ctx)
		var refused *RefusedError
		switch {
		case err == nil:
			return s, nil
		case errors.As(err, &refused) && !refused.passing():
			w.event(record.Refused, map[string]string{"code": fmt.Sprintf("0x%02X", refused.Code), "filter": refused.Filter})
			return nil, err
		}
		w.log.Debug("witness could not connect", "witness", w.cfg.Name, "error", err)
		timer := time.NewTimer(wait)
		select {
		case <-timer.C:
		case <-ctx.Done():
			timer.Stop()
			return nil, fmt.Errorf("%w; the last attempt: %w", context.Cause(ctx), err)
		}
	}
}

// run reads session after session until the witness is closed or refused.
func (w *Witness) run(s *session) {
	defer close(w.done)
	for {
		began := time.Now()
		err := w.serve(s)
		s.close()
		w.mu.Lock()
		w.session = nil
		w.counters.Disconnects++
		closing := w.closing
		w.wakeLocked()
		w.mu.Unlock()
		fields := map[string]string{"error": err.Error()}
		if closing {
			fields = map[string]string{"reason": "closed by the witness"}
		}
		w.event(record.Disconnected, fields)
		if closing {
			return
		}
		if !errors.Is(err, ErrFlood) {
			w.rest(w.cfg.Backoff - time.Since(began))
			s, err = w.connectUntil(w.ctx)
		}
		if err != nil {
			w.end(err)
			return
		}
	}
}

// rest waits, at most until Close: a broker that ends each session at once would
// have as many events written down as it likes.
func (w *Witness) rest(left time.Duration) {
	if left <= 0 {
		return
	}
	timer := time.NewTimer(left)
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-w.ctx.Done():
	}
}

// end keeps the reason why the witness is over.
func (w *Witness) end(err error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if !w.closing {
		w.err = fmt.Errorf("witness: %q has ended: %w", w.cfg.Name, err)
	}
}

// Err says why the witness ended: the broker refused it, or sent beyond all
// measure. It is nil while it works and after Close.
func (w *Witness) Err() error {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.err
}

// Counters returns the totals so far.
func (w *Witness) Counters() Counters {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.counters
}

// WaitCount waits until n messages were witnessed in total.
func (w *Witness) WaitCount(ctx context.Context, n uint64) error {
	return w.wait(ctx, fmt.Sprintf("%d messages", n), func() bool { return w.counters.Witnessed >= n })
}

// WaitConnected waits until session n or a later one is subscribed, counted from 1.
func (w *Witness) WaitConnected(ctx context.Context, n uint64) error {
	return w.wait(ctx, fmt.Sprintf("session %d", n), func() bool { return w.counters.Connects >= n && w.session != nil })
}

// wait blocks until condition, called under the lock, holds.
func (w *Witness) wait(ctx context.Context, what string, condition func() bool) error {
	for {
		w.mu.Lock()
		if condition() {
			w.mu.Unlock()
			return nil
		}
		closing, changed := w.closing, w.changed
		w.waiting = true
		w.mu.Unlock()
		if closing {
			return ErrClosed
		}
		select {
		case <-changed:
		case <-w.done:
			return errors.Join(fmt.Errorf("witness: %q waited for %s and has ended: %w", w.cfg.Name, what, ErrClosed), w.Err())
		case <-ctx.Done():
			return fmt.Errorf("witness: %q waited for %s: %w", w.cfg.Name, what, context.Cause(ctx))
		}
	}
}

// wakeLocked lets those who wait look again.
func (w *Witness) wakeLocked() {
	if w.waiting {
		close(w.changed)
		w.changed, w.waiting = make(chan struct{}), false
	}
}

// Close disconnects and waits for the goroutines. It is idempotent.
func (w *Witness) Close() error {
	w.mu.Lock()
	w.closing = true
	s := w.session
	w.wakeLocked()
	w.mu.Unlock()
	if s != nil {
		s.disconnect()
	}
	w.cancel()
	<-w.done
	return nil
}

func (w *Witness) event(kind record.EventKind, fields map[string]string) {
	w.cfg.Recorder.Event(record.Event{Kind: kind, Subject: w.cfg.Name, Fields: fields})
}
