package agent

import (
	"cmp"
	"context"
	"crypto/rand"
	"crypto/tls"
	"encoding/binary"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"runtime"
	"sync"
	"sync/atomic"
	"time"

	"plumbline/harness/load"
	"plumbline/harness/record"
	"plumbline/harness/remote"
	"plumbline/harness/viewer"
)

// Config configures an agent. Secret and Certificate are required.
type Config struct {
	Secret      []byte
	Certificate tls.Certificate
	Dir         string        // where recordings are kept until they are fetched; "" means that of the system for temporary files
	MaxBytes    int64         // of one recording; 0 means DefaultMaxBytes
	Clock       *record.Clock // nil means a new one
	Version     string        // of plumbline, for the report
	Log         *slog.Logger  // nil discards
	Once        bool          // end when the last harness has been gone for a quarter of an hour

	idle time.Duration // for tests; 0 means the constant of that name
}

// DefaultMaxBytes bounds a recording: 60 million readings.
const DefaultMaxBytes = 4 << 30

const (
	// idle is how long a session lives that nobody asks for anything.
	idle = time.Minute
	// maxSessions and maxConnections bound what harnesses can have at once.
	maxSessions    = 8
	maxConnections = 64
)

// connecting is how many viewers of an agent connect at a time: with their handshakes alone a
// processor has some tenths of a second to do, and no server waits for less.
const connecting = 128

// server is an agent at work.
type server struct {
	cfg   Config
	clock *record.Clock
	log   *slog.Logger
	about About
	ctx   context.Context // ends with the agent
	here  bool            // for one harness, of this host: see ServeHere

	mu       sync.Mutex
	links    int       // harnesses that are connected
	left     time.Time // when the last one hung up; zero before any did
	sessions map[string]*session
	loud     func() load.GCReport // lets the garbage collector work again; nil while no session is at work

	turn   viewer.Turn  // of the viewers of all sessions
	viewed atomic.Int64 // viewers of all sessions since loud was set
}

// gcLimit is the memory up to which the collector stays out of the way while
// there are sessions.
const gcLimit = 1 << 30

// Serve is an agent: it lets in harnesses that come to the listener and runs the
// viewers that they ask for. It blocks until ctx ends, or cfg.Once is fulfilled, and
// returns nil then when everything has ended; the listener belongs to it.
func Serve(ctx context.Context, listener net.Listener, cfg Config) error {
	if len(cfg.Secret) < leastSecret || len(cfg.Certificate.Certificate) == 0 {
		return errors.Join(errors.New("agent: secret and certificate are required"), listener.Close())
	}
	ctx, cancel := context.WithCancel(ctx)
	a := newServer(ctx, cfg)
	var group sync.WaitGroup
	group.Go(func() {
		a.expire(ctx)
		cancel() // of Once
	})
	stop := context.AfterFunc(ctx, func() { _ = listener.Close() }) // accepting ends then
	err := a.accept(ctx, listener, &group)
	cancel()
	stop()
	group.Wait()
	a.endAll()
	return err
}

// newServer makes an agent that serves nobody yet; ctx ends with it.
func newServer(ctx context.Context, cfg Config) *server {
	a := &server{cfg: cfg, clock: cfg.Clock, log: cfg.Log, ctx: ctx, turn: viewer.NewTurn(connecting), sessions: map[string]*session{}}
	if a.clock == nil {
		a.clock = record.NewClock()
	}
	if a.log == nil {
		a.log = slog.New(slog.DiscardHandler)
	}
	a.cfg.MaxBytes, a.cfg.idle = cmp.Or(cfg.MaxBytes, DefaultMaxBytes), cmp.Or(cfg.idle, idle)
	a.about = About{
		Version: cfg.Version, OS: runtime.GOOS, Arch: runtime.GOARCH, Cores: runtime.NumCPU(),
		ClockSource: record.ClockSource(), ClockRead: a.clock.ReadCost().Nanoseconds(),
	}
	return a
}

// accept serves connections until the listener is closed.
func (a *server) accept(ctx context.Context, listener net.Listener, group *sync.WaitGroup) error {
	room := make(chan struct{}, maxConnections)
	for {
		conn, err := listener.Accept()
		switch {
		case ctx.Err() != nil:
			if err == nil {
				_ = conn.Close() // too late
			}
			return nil
		case errors.Is(err, net.ErrClosed):
			return fmt.Errorf("agent: %w", err)
		case err != nil:
			a.log.Warn("agent could not accept a connection", "error", err)
			if !pause(ctx, 100*time.Millisecond) {
				return nil
			}
			continue
		}
		select {
		case room <- struct{}{}:
			group.Go(func() {
				defer func() { <-room }()
				a.serve(ctx, conn)
			})
		default:
			a.log.Warn("agent has too many connections", "most", maxConnections, "from", conn.RemoteAddr())
			_ = conn.Close() // nothing was said
		}
	}
}

// serve serves one connection to its end.
func (a *server) serve(ctx context.Context, raw net.Conn) {
	conn := tls.Server(raw, &tls.Config{MinVersion: tls.VersionTLS13, Certificates: []tls.Certificate{a.cfg.Certificate}})
	defer func() { _ = raw.Close() }() // whatever is left of it
	stop := context.AfterFunc(ctx, func() { _ = raw.Close() })
	defer stop()
	purpose, err := accept(ctx, conn, a.cfg.Secret)
	if err != nil {
		a.log.Info("agent let nobody in", "from", raw.RemoteAddr(), "reason", err)
		return
	}
	if purpose == forTime {
		a.tell(conn)
		return
	}
	link, err := remote.Open(ctx, conn, conn, remote.Config{Handle: a.handle})
	if err != nil {
		a.log.Info("agent lost a harness", "from", raw.RemoteAddr(), "reason", err)
		return
	}
	a.count(1)
	defer a.count(-1)
	select {
	case <-link.Done():
	case <-ctx.Done():
	}
	_ = link.Close() // always nil
}

// count notes that a harness has come, or hung up.
func (a *server) count(more int) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.links += more; a.links == 0 {
		a.left = time.Now()
	}
}

// onceIdles is for how many idle times an agent that serves once waits for a harness that is gone. One that lost its
// connection comes back when it has something to ask, which may be minutes later.
const onceIdles = 15

// done reports whether an agent that serves once has done so.
func (a *server) done() bool {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.cfg.Once && a.links == 0 && len(a.sessions) == 0 && !a.left.IsZero() && time.Since(a.left) > onceIdles*a.cfg.idle
}

// tell answers probes until the connection ends.
func (a *server) tell(conn net.Conn) {
	var probe [8]byte
	var answer [16]byte
	for {
		if _, err := io.ReadFull(conn, probe[:]); err != nil {
			return
		}
		binary.BigEndian.PutUint64(answer[:], uint64(a.clock.Now()))
		binary.BigEndian.PutUint64(answer[8:], uint64(a.clock.Now()))
		if _, err := conn.Write(answer[:]); err != nil {
			return
		}
	}
}

// handle answers one call.
func (a *server) handle(ctx context.Context, verb string, argument []byte) (any, error) {
	switch verb {
	case callAbout:
		return a.about, nil
	case callOpen:
		return with(argument, a.open)
	case callView:
		return with(argument, func(in viewArgs) (any, error) {
			return on(a, in.Session, func(s *session) (any, error) { return s.view(ctx, in) })
		})
	case callStatus:
		return with(argument, func(in statusArgs) (any, error) {
			return on(a, in.Session, func(s *session) (any, error) { return s.status(in), nil })
		})
	case callWait:
		return with(argument, func(in waitArgs) (any, error) {
			return on(a, in.Session, func(s *session) (any, error) { return struct{}{}, s.wait(ctx, in) })
		})
	case callRead:
		return with(argument, func(in readArgs) (any, error) {
			return on(a, in.Session, func(s *session) (any, error) { return s.read(in) })
		})
	case callFinish:
		return with(argument, func(in sessionArgs) (any, error) {
			return on(a, in.Session, func(s *session) (any, error) { return s.finish(), nil })
		})
	case callDrop:
		return with(argument, func(in sessionArgs) (any, error) { return struct{}{}, a.drop(in.Session) })
	default:
		return nil, fmt.Errorf("agent: unknown call %q; run the same build of plumbline on both hosts", verb)
	}
}

// with decodes the argument of a call.
func with[T any](argument []byte, do func(T) (any, error)) (any, error) {
	var in T
	if err := json.Unmarshal(argument, &in); err != nil {
		return nil, fmt.Errorf("agent: argument of a call: %w", err)
	}
	return do(in)
}

// on does something on a session that is there.
func on(a *server, id string, do func(*session) (any, error)) (any, error) {
	a.mu.Lock()
	s := a.sessions[id]
	a.mu.Unlock()
	if s == nil {
		return nil, &remote.Error{Code: codeUnknown, Text: fmt.Sprintf("agent: there is no session %q; the agent was started anew, or nobody asked for it for %v", id, a.cfg.idle)}
	}
	s.touch()
	defer s.touch()
	return do(s)
}

// open begins a session.
func (a *server) open(in openArgs) (any, error) {
	var drawn [8]byte
	if _, err := rand.Read(drawn[:]); err != nil {
		return nil, err
	}
	id := hex.EncodeToString(drawn[:])
	a.mu.Lock()
	defer a.mu.Unlock()
	if len(a.sessions) >= maxSessions {
		return nil, fmt.Errorf("agent: %d sessions are at work already; wait for another harness to end, or start another agent", maxSessions)
	}
	if a.ctx.Err() != nil {
		return nil, errors.New("agent: it is ending")
	}
	s, err := newSession(a, in)
	if err != nil {
		return nil, err
	}
	a.sessions[id] = s
	if a.loud == nil {
		a.loud = load.Quiet(gcLimit)
		a.viewed.Store(0)
	}
	a.log.Info("agent began a session", "session", id)
	return openAnswer{Session: id}, nil
}

// drop ends a session; one that is gone already is no error.
func (a *server) drop(id string) error {
	a.mu.Lock()
	s := a.sessions[id]
	delete(a.sessions, id)
	a.mu.Unlock()
	if s == nil {
		return nil
	}
	a.log.Info("agent ended a session", "session", id)
	err := s.end()
	a.rest()
	return err
}

// rest lets the garbage collector work again when no session is at work.
func (a *server) rest() {
	a.mu.Lock()
	defer a.mu.Unlock()
	if len(a.sessions) == 0 && a.loud != nil {
		a.loud()
		a.loud = nil
	}
}

// expire ends sessions that nobody asks for anything, and recordings that have
// become too large, until ctx ends or the agent has done what it is there for.
func (a *server) expire(ctx context.Context) {
	for pause(ctx, min(a.cfg.idle/4, time.Second)) && !a.done() {
		a.mu.Lock()
		var old []string
		for id, s := range a.sessions {
			if s.idle() > a.cfg.idle {
				old = append(old, id)
			}
			s.bound(a.cfg.MaxBytes)
		}
		a.mu.Unlock()
		for _, id := range old {
			a.log.Warn("agent gives up a session that nobody asks for", "session", id, "after", a.cfg.idle)
			if err := a.drop(id); err != nil {
				a.log.Warn("agent could not end a session", "session", id, "error", err)
			}
		}
	}
}

// endAll ends every session.
func (a *server) endAll() {
	a.mu.Lock()
	sessions := a.sessions
	a.sessions = map[string]*session{}
	a.mu.Unlock()
	for id, s := range sessions {
		if err := s.end(); err != nil {
			a.log.Warn("agent could not end a session", "session", id, "error", err)
		}
	}
	a.rest()
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
