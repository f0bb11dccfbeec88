// Package httpwire serves viewers that speak plain HTTP (bridge/PROTOCOL.md section 6): server-sent events, and polling that
// answers at once or waits for readings. Both read the same journal through the same hub as the WebSocket sessions of package
// wire, with the same cursors, so what proves completeness there proves it here.
package httpwire

import (
	"context"
	"crypto/tls"
	"errors"
	"log/slog"
	"math/rand/v2"
	"net"
	"net/http"
	"sync"
	"time"

	"plumbline/bridge/auth"
	"plumbline/bridge/command"
	"plumbline/bridge/hub"
	"plumbline/bridge/internal/rates"
	"plumbline/bridge/journal"
	"plumbline/bridge/metrics"
)

// Defaults for Options.
const (
	DefaultHeartbeat    = 25 * time.Second
	DefaultWriteTimeout = 5 * time.Second
	DefaultMaxStreams   = 1000
	DefaultMaxBodyBytes = 64 << 10
)

// Door finds out who sends a request.
type Door interface {
	// FromRequest says who sends r. A ticket is used up by it.
	FromRequest(r *http.Request) (auth.Identity, error)
	// Refuse answers r, which FromRequest refused with err, and records it.
	Refuse(w http.ResponseWriter, r *http.Request, id auth.Identity, err error)
	// Bind returns a context that ends with ctx, when the token expires and when it is revoked. The caller must call cancel.
	Bind(ctx context.Context, id auth.Identity) (bound context.Context, cancel context.CancelFunc)
	// CORS adds the headers that let the pages of the listed origins read the answers of next.
	CORS(next http.Handler) http.Handler
}

// Options configures a Server. Hub, Journal, Commands, Door, Metrics and Log are required.
type Options struct {
	Hub      *hub.Hub
	Journal  *journal.Journal
	Commands *command.Desk
	Door     Door

	// Heartbeat is how often a stream that has nothing to say says so. A viewer that acknowledges nothing for one and a half of it,
	// and for WriteTimeout, is cut where the system can do that (Linux). 0 = DefaultHeartbeat.
	Heartbeat     time.Duration
	WriteTimeout  time.Duration // 0 = DefaultWriteTimeout, for one write of some 64 KiB
	MaxStreams    int           // requests under way; 0 = DefaultMaxStreams
	MaxPerAddress int           // of these, of one address; 0 = no limit
	MaxPerSubject int           // of these, of one token subject; 0 = no limit
	RequestRate   int           // requests for events and polls a second of one subject, bursts of twice as many; 0 = no limit
	MaxBodyBytes  int64         // of a command; 0 = DefaultMaxBodyBytes

	Metrics *metrics.Set
	Log     *slog.Logger
}

// maxSnapshots is how many snapshots may be under way at once: each holds a record per topic.
const maxSnapshots = 4

// Server serves the endpoints. Drain or Close ends what is under way.
type Server struct {
	opts      Options
	log       *slog.Logger
	m         *metrics.Set
	places    places
	rates     *rates.Rates  // of events and polls, by subject
	snapshots chan struct{} // a token for each under way
	draining  chan struct{} // closed when Drain begins, after spread was set
	spread    time.Duration
	once      sync.Once // of draining

	mu      sync.Mutex
	closed  bool
	clients map[*client]struct{}
}

// New returns a Server that is ready to serve.
func New(o Options) *Server {
	if o.Heartbeat <= 0 {
		o.Heartbeat = DefaultHeartbeat
	}
	if o.WriteTimeout <= 0 {
		o.WriteTimeout = DefaultWriteTimeout
	}
	if o.MaxStreams <= 0 {
		o.MaxStreams = DefaultMaxStreams
	}
	if o.MaxBodyBytes <= 0 {
		o.MaxBodyBytes = DefaultMaxBodyBytes
	}
	return &Server{
		opts: o, log: o.Log, m: o.Metrics, snapshots: make(chan struct{}, maxSnapshots), draining: make(chan struct{}),
		places: places{most: o.MaxStreams, perAddress: o.MaxPerAddress, perSubject: o.MaxPerSubject, taken: map[string]int{}}, clients: map[*client]struct{}{},
		rates: rates.New(o.RequestRate, 2*o.RequestRate),
	}
}

// connKey is where a request's connection stands in its context.
type connKey struct{}

// WithConn is for http.Server.ConnContext: streams then find their connection, and those whose viewer is out of reach end (see
// Options.Heartbeat).
func WithConn(ctx context.Context, conn net.Conn) context.Context {
	if t, ok := conn.(*tls.Conn); ok {
		conn = t.NetConn()
	}
	return context.WithValue(ctx, connKey{}, conn)
}

// Events serves GET /sse: server-sent events as the HTML standard's EventSource reads them, until the viewer leaves.
func (s *Server) Events() http.Handler { return s.endpoint("sse", http.MethodGet, s.events) }

// Poll serves GET /poll: one answer with what follows a cursor, at once or as soon as there is something.
func (s *Server) Poll() http.Handler { return s.endpoint("poll", http.MethodGet, s.poll) }

// endpoint does what comes before each answer: form, place, identity, deadlines.
func (s *Server) endpoint(kind, method string, serve func(*client)) http.Handler {
	return s.opts.Door.CORS(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Method != method {
			w.Header().Set("Allow", method)
			s.refuse(w, r, auth.Identity{}, problem{http.StatusMethodNotAllowed, "method", "only " + method + " is served here"})
			return
		}
		if no := s.places.take(r.RemoteAddr); no != nil {
			w.Header().Set("Retry-After", retryAfter())
			s.refuse(w, r, auth.Identity{}, *no)
			return
		}
		defer s.places.give(r.RemoteAddr)
		id, err := s.opts.Door.FromRequest(r)
		if err != nil {
			s.opts.Door.Refuse(w, r, id, err)
			return
		}
		if no := s.places.takeSubject(id); no != nil {
			w.Header().Set("Retry-After", retryAfter())
			s.refuse(w, r, id, *no)
			return
		}
		defer s.places.giveSubject(id)
		c, end := s.client(w, r, id)
		if c == nil {
			s.refuse(w, r, id, problem{http.StatusServiceUnavailable, "draining", "the bridge is about to restart: come back later"})
			return
		}
		defer end()
		open := s.m.HTTPStreams.WithLabelValues(kind)
		open.Inc()
		defer open.Dec()
		serve(c)
	}))
}

// Drain refuses new requests, answers the polls that wait, and ends each stream at a random moment within spread, after it was
// told when to come back. It returns when all are gone or ctx ends; then what is left is cut.
func (s *Server) Drain(ctx context.Context, spread time.Duration) error {
	s.once.Do(func() {
		s.places.shut()
		s.spread = spread
		close(s.draining)
	})
	select {
	case <-s.places.empty():
		return s.Close()
	case <-ctx.Done():
	}
	return errors.Join(ctx.Err(), s.Close())
}

// Close refuses new requests and ends those under way; it returns when their handlers have, within about a second. It is
// idempotent.
func (s *Server) Close() error {
	s.places.shut()
	s.mu.Lock()
	s.closed = true
	for c := range s.clients {
		c.cut(errClosing)
	}
	s.mu.Unlock()
	<-s.places.empty()
	return nil
}

// Renew ends the streams and polls under way, because the journal does not go on as their viewers know it. It does not wait for
// them.
func (s *Server) Renew() {
	s.mu.Lock()
	defer s.mu.Unlock()
	for c := range s.clients {
		c.cut(errRenewed)
	}
}

// errRenewed is why streams end with Renew.
var errRenewed = errors.New("another journal")

// errClosing is why streams end with Close.
var errClosing = errors.New("shutdown")

// randomUpTo returns a random time span from 0 to limit, to spread what would come at once.
func randomUpTo(limit time.Duration) time.Duration {
	return time.Duration(rand.Int64N(int64(limit) + 1)) //nolint:gosec // it spreads load, it guards nothing
}
