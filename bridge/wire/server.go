// Package wire speaks the viewer protocol of bridge/PROTOCOL.md over WebSocket (RFC 6455): handshake, sessions, the one writer
// of each connection, close codes. It takes readings from package hub and asks package auth who may see them.
package wire

import (
	"context"
	"errors"
	"log/slog"
	"math/rand/v2"
	"net"
	"net/http"
	"strconv"
	"sync"
	"time"

	"github.com/gorilla/websocket"

	"plumbline/bridge/audit"
	"plumbline/bridge/auth"
	upstream "plumbline/bridge/command"
	"plumbline/bridge/gate"
	"plumbline/bridge/hub"
	"plumbline/bridge/internal/peer"
	"plumbline/bridge/internal/upgrade"
	"plumbline/bridge/journal"
	"plumbline/bridge/metrics"
)

// Defaults for Options.
const (
	DefaultHeartbeat        = 25 * time.Second
	DefaultAuthTimeout      = 5 * time.Second
	DefaultWriteTimeout     = 5 * time.Second
	DefaultMaxConnections   = 10_000
	DefaultMaxFrameBytes    = 64 << 10
	DefaultMaxSubscriptions = 100
)

// Options configures a Server. Hub, Journal, Commands, Gate, Verifier, Revocations, Metrics and Log are required.
type Options struct {
	Hub         *hub.Hub
	Journal     *journal.Journal
	Commands    *upstream.Desk // takes what viewers send to devices
	Gate        *gate.Gate     // says who comes
	Verifier    *auth.Verifier // the clock by which tokens end
	Revocations *auth.Revocations
	Node        string
	Now         func() time.Time // the clock of readings; nil = time.Now

	Heartbeat        time.Duration // 0 = DefaultHeartbeat; a viewer silent for 1.5 of them is cut
	AuthTimeout      time.Duration // 0 = DefaultAuthTimeout, from the handshake to hello
	WriteTimeout     time.Duration // 0 = DefaultWriteTimeout, for 128 KiB; four of it for one write in all
	MaxConnections   int           // 0 = DefaultMaxConnections
	MaxPerAddress    int           // 0 = no limit
	MaxPerSubject    int           // 0 = no limit, of sessions
	HandshakeRate    int           // 0 = no limit, of new connections a second
	Packer           *hub.Packer   // nil = permessage-deflate is declined
	MaxFrameBytes    int64         // 0 = DefaultMaxFrameBytes, of a message from a viewer
	MaxSubscriptions int           // 0 = DefaultMaxSubscriptions, of one session

	Metrics *metrics.Set
	Log     *slog.Logger
}

func (o *Options) fill() {
	set := func(d *time.Duration, to time.Duration) {
		if *d <= 0 {
			*d = to
		}
	}
	set(&o.Heartbeat, DefaultHeartbeat)
	set(&o.AuthTimeout, DefaultAuthTimeout)
	set(&o.WriteTimeout, DefaultWriteTimeout)
	if o.Now == nil {
		o.Now = time.Now
	}
	if o.MaxConnections <= 0 {
		o.MaxConnections = DefaultMaxConnections
	}
	if o.MaxFrameBytes <= 0 {
		o.MaxFrameBytes = DefaultMaxFrameBytes
	}
	if o.MaxSubscriptions <= 0 {
		o.MaxSubscriptions = DefaultMaxSubscriptions
	}
}

// Server is the http.Handler of the viewers' endpoint. It keeps its sessions after their handlers returned; Drain or Close
// ends them.
type Server struct {
	opts      Options
	log       *slog.Logger
	m         *metrics.Set
	upgrader  websocket.Upgrader
	deflater  websocket.Upgrader // with permessage-deflate
	packer    *hub.Packer
	unwatch   func()
	clock     *clock
	turnstile *turnstile
	faults    faults

	writers   *writers
	ended     sync.Once     // of the writers
	snapshots chan struct{} // a token for each snapshot under way

	mu       sync.Mutex
	draining bool
	spread   time.Duration  // over which those who are drained come back
	places   int            // connections admitted, in handshake or later
	perAddr  map[string]int // of these, by peer.Key
	perSub   map[string]int // sessions whose hello was accepted, by subject
	sessions map[*session]struct{}
	wg       sync.WaitGroup
}

// New returns a Server that is ready to serve.
func New(o Options) *Server {
	o.fill()
	s := &Server{opts: o, log: o.Log, m: o.Metrics, packer: o.Packer, clock: newClock(), turnstile: newTurnstile(o.HandshakeRate, time.Now()),
		perAddr: map[string]int{}, perSub: map[string]int{}, sessions: map[*session]struct{}{}, snapshots: make(chan struct{}, maxSnapshots),
		writers: newWriters(o.MaxConnections)}
	s.upgrader = websocket.Upgrader{
		HandshakeTimeout: o.WriteTimeout,
		ReadBufferSize:   256, // larger messages are read past it; a control frame has to fit
		WriteBufferPool:  &sync.Pool{},
		WriteBufferSize:  512,
		Subprotocols:     []string{Subprotocol, SubprotocolCBOR},
		CheckOrigin:      func(*http.Request) bool { return true }, // the gate has done it, on scheme, host and port
		// EnableCompression stays off: an offer of permessage-deflate is declined (RFC 7692 section 5).
	}
	s.deflater = s.upgrader
	s.deflater.EnableCompression = true // without context takeover, the only way it knows
	s.unwatch = o.Revocations.Watch(s.revoke)
	return s
}

const protocolHeader = "Sec-Websocket-Protocol"

// ServeHTTP implements http.Handler. It returns right after the upgrade, so that the HTTP server's buffers are freed.
func (s *Server) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if status, reason := upgrade.Refuse(r, spoken); status != 0 {
		s.refuse(w, r, &refusal{status, reason})
		return
	}
	addr := peer.Host(r.RemoteAddr)
	if wait := s.opts.Gate.Wait(addr); wait > 0 {
		w.Header().Set("Retry-After", gate.RetryAfter(wait))
		s.refuse(w, r, &refusal{http.StatusTooManyRequests, gate.ReasonThrottled})
		return
	}
	if spread, ok := s.turnstile.pass(time.Now()); !ok {
		s.refuseForNow(w, r, "rate", spread)
		return
	}
	if reason := s.admit(addr); reason != "" {
		s.refuseForNow(w, r, reason, 4*time.Second)
		return
	}
	credential, err := s.opts.Gate.Read(r) // after admit: it uses a ticket up
	if err != nil {
		s.release(addr)
		s.refuse(w, r, &refusal{gate.Status(err), gate.Reason(err)})
		return
	}
	r.Header[protocolHeader] = []string{chosen(r)} // gorilla would go by the order of its own list
	up := &s.upgrader
	if s.packer != nil && deflateOffered(r.Header["Sec-Websocket-Extensions"]) {
		up = &s.deflater
		r.Header["Sec-Websocket-Extensions"] = []string{"permessage-deflate"} // of all offers, the one that is honoured
	}
	vc := &viewerConn{clock: s.clock, writeTimeout: s.opts.WriteTimeout, deflate: up == &s.deflater}
	ws, err := up.Upgrade(hijack{w, func(c net.Conn) net.Conn { vc.take(c); return vc }}, r, w.Header())
	if err != nil {
		s.release(addr)
		s.m.Handshakes.WithLabelValues("upgrade").Inc()
		s.log.Info("handshake failed", "remote", addr, "error", err)
		return
	}
	s.begin(newSession(s, ws, vc, addr, credential))
}

// refuse answers a handshake with an HTTP error. The URL's query is never logged.
func (s *Server) refuse(w http.ResponseWriter, r *http.Request, no *refusal) {
	s.m.Handshakes.WithLabelValues(no.reason).Inc()
	audit.Refused(s.log, audit.Event{Action: "handshake", Reason: no.reason, Remote: r.RemoteAddr})
	upgrade.Answer(w, no.status, "plumbline: handshake refused: "+no.reason)
}

// refuseForNow turns away who may come back, at a random moment within spread.
func (s *Server) refuseForNow(w http.ResponseWriter, r *http.Request, reason string, spread time.Duration) {
	w.Header().Set("Retry-After", strconv.Itoa(1+int(randomUpTo(spread)/time.Second)))
	s.refuse(w, r, &refusal{http.StatusServiceUnavailable, reason})
}

// admitSubject takes a place for a session of the subject, if there is one.
func (s *Server) admitSubject(subject string) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.opts.MaxPerSubject > 0 && s.perSub[subject] >= s.opts.MaxPerSubject {
		return false
	}
	s.perSub[subject]++
	return true
}

func (s *Server) releaseSubject(subject string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.perSub[subject]--; s.perSub[subject] <= 0 {
		delete(s.perSub, subject)
	}
}

// admit takes a place for a connection, or says why there is none.
func (s *Server) admit(addr string) string {
	addr = peer.Key(addr)
	s.mu.Lock()
	defer s.mu.Unlock()
	switch {
	case s.draining:
		return "draining"
	case s.places >= s.opts.MaxConnections:
		return "limit"
	case s.opts.MaxPerAddress > 0 && s.perAddr[addr] >= s.opts.MaxPerAddress:
		return "address-limit"
	}
	s.places++
	s.perAddr[addr]++
	s.wg.Add(1)
	return ""
}

func (s *Server) release(addr string) {
	addr = peer.Key(addr)
	s.mu.Lock()
	s.places--
	if s.perAddr[addr]--; s.perAddr[addr] <= 0 {
		delete(s.perAddr, addr)
	}
	s.mu.Unlock()
	s.wg.Done()
}

// begin registers a session and starts its reader, which ends it.
func (s *Server) begin(ses *session) {
	s.mu.Lock()
	s.sessions[ses] = struct{}{}
	late, spread := s.draining, s.spread
	s.mu.Unlock()
	s.m.Connections.WithLabelValues("handshake").Inc()
	if late { // it came in while Drain made its list
		ses.shut(CloseDrain, "draining", randomUpTo(spread).Milliseconds())
	}
	ses.start()
	go ses.reader()()
}

// forget ends what begin began.
func (s *Server) forget(ses *session) {
	s.mu.Lock()
	delete(s.sessions, ses)
	s.mu.Unlock()
	s.release(ses.remote)
}

func (s *Server) list() []*session {
	s.mu.Lock()
	defer s.mu.Unlock()
	out := make([]*session, 0, len(s.sessions))
	for ses := range s.sessions {
		out = append(out, ses)
	}
	return out
}

// revoke cuts the sessions whose subject or token is on the list now.
func (s *Server) revoke() {
	for _, ses := range s.list() {
		if id, live := ses.identity(); live && s.opts.Revocations.Revoked(id) {
			ses.shut(CloseRevoked, "revoked", 0)
		}
	}
}

// Renew closes every session with 1012, because the journal does not go on as its viewers know it: they come back at random moments
// within spread and learn it from the answer to their cursors. It does not wait for them.
func (s *Server) Renew(spread time.Duration) {
	for _, ses := range s.list() {
		ses.shut(CloseDrain, "another journal", randomUpTo(spread).Milliseconds())
	}
}

// Sessions returns how many connections are open.
func (s *Server) Sessions() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return len(s.sessions)
}

// Drain refuses new handshakes, tells every viewer, closes each with 1012 at a random moment within spread, and returns when
// all are gone or ctx ends; then what is left is cut. Each viewer is told a random wait before it comes back, within spread
// too, so that their return does not come at once.
func (s *Server) Drain(ctx context.Context, spread time.Duration) error {
	s.mu.Lock()
	s.draining, s.spread = true, spread
	s.mu.Unlock()
	s.m.Drain.Set(1)
	for _, ses := range s.list() {
		ses.drain(randomUpTo(spread).Milliseconds(), randomUpTo(spread))
	}
	gone := make(chan struct{})
	go func() { s.wg.Wait(); close(gone) }()
	select {
	case <-gone:
		return s.Close()
	case <-ctx.Done():
	}
	err := s.Close()
	<-gone
	return errors.Join(ctx.Err(), err)
}

// randomUpTo returns a random time span from 0 to limit, to spread what would come at once.
func randomUpTo(limit time.Duration) time.Duration {
	return time.Duration(rand.Int64N(int64(limit) + 1)) //nolint:gosec // it spreads load, it guards nothing
}

// Close refuses new handshakes and ends every session with 1001; it returns when all their goroutines have, within about two
// seconds. It is idempotent.
func (s *Server) Close() error {
	s.mu.Lock()
	s.draining = true
	s.mu.Unlock()
	for _, ses := range s.list() {
		ses.shut(CloseGoingAway, "shutdown", 0)
	}
	s.wg.Wait()
	s.ended.Do(s.writers.close)
	s.unwatch()
	return nil
}
