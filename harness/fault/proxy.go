package fault

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"sync"
	"time"
)

// Direction says which way data flows through a Proxy.
type Direction uint8

// The directions.
const (
	Both       Direction = iota
	Upstream             // from the client to the server
	Downstream           // from the server to the client
)

// String implements fmt.Stringer.
func (d Direction) String() string {
	switch d {
	case Both:
		return "both ways"
	case Upstream:
		return "upstream"
	case Downstream:
		return "downstream"
	default:
		return fmt.Sprintf("direction %d", uint8(d))
	}
}

// ProxyOptions configure a Proxy. The zero value is useful.
type ProxyOptions struct {
	Listen string       // "" means 127.0.0.1:0
	Log    *slog.Logger // nil discards
}

// Proxy is a TCP relay that can cut, hold, delay and slow what goes through it.
// It looks at no byte, so TLS goes through as well. Faults act on every
// connection, those that come later included. Two faults of one kind in one
// direction do not add up: the later one counts, and reverting either ends it.
type Proxy struct {
	listener net.Listener
	target   string
	log      *slog.Logger
	lanes    [2]*lane // upstream, downstream
	done     chan struct{}
	tasks    sync.WaitGroup

	mu      sync.Mutex // guards what follows
	links   map[*link]struct{}
	count   uint64 // of links since the start
	refuses bool
	closed  bool
}

// NewProxy listens and relays every connection to target (host:port).
func NewProxy(target string, opts ProxyOptions) (*Proxy, error) {
	if opts.Listen == "" {
		opts.Listen = "127.0.0.1:0"
	}
	if opts.Log == nil {
		opts.Log = slog.New(slog.DiscardHandler)
	}
	if _, _, err := net.SplitHostPort(target); err != nil {
		return nil, fmt.Errorf("fault: proxy to %q: %w; give host:port", target, err)
	}
	listener, err := (&net.ListenConfig{}).Listen(context.Background(), "tcp", opts.Listen)
	if err != nil {
		return nil, fmt.Errorf("fault: proxy to %q: %w", target, err)
	}
	p := &Proxy{
		listener: listener, target: target, log: opts.Log, done: make(chan struct{}),
		lanes: [2]*lane{newLane(), newLane()}, links: map[*link]struct{}{},
	}
	p.tasks.Go(p.accept)
	return p, nil
}

// Addr returns host:port to connect to in place of the target.
func (p *Proxy) Addr() string { return p.listener.Addr().String() }

// Connections returns how many connections are open.
func (p *Proxy) Connections() int {
	p.mu.Lock()
	defer p.mu.Unlock()
	return len(p.links)
}

func (p *Proxy) accept() {
	for {
		conn, err := p.listener.Accept()
		if errors.Is(err, net.ErrClosed) {
			return
		}
		if err != nil { // for example no more file descriptors
			p.log.Warn("proxy cannot accept", "error", err)
			select {
			case <-p.done:
				return
			case <-time.After(10 * time.Millisecond):
			}
			continue
		}
		p.mu.Lock()
		if p.refuses || p.closed {
			p.mu.Unlock()
			reset(conn)
			continue
		}
		p.count++
		l := &link{number: p.count, client: conn, done: make(chan struct{})}
		p.links[l] = struct{}{}
		p.tasks.Go(func() { p.relay(l) })
		p.mu.Unlock()
	}
}

// relay serves one connection until both ways have ended.
func (p *Proxy) relay(l *link) {
	defer func() {
		l.close(false)
		p.mu.Lock()
		delete(p.links, l)
		p.mu.Unlock()
	}()
	// In a black hole the SYN of the next leg would not get through either.
	if !p.lanes[0].pass(l.done) {
		return
	}
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	p.tasks.Go(func() { // ends with ctx, which ends with this function
		select {
		case <-l.done:
			cancel()
		case <-ctx.Done():
		}
	})
	server, err := (&net.Dialer{}).DialContext(ctx, "tcp", p.target)
	if err != nil {
		l.close(true) // as a refused connection looks to the client
		return
	}
	if !l.connect(server) {
		return
	}
	var ways sync.WaitGroup
	ways.Go(func() { p.lanes[0].carry(l, 0, l.client, server) })
	ways.Go(func() { p.lanes[1].carry(l, 1, server, l.client) })
	ways.Wait()
}

// Cut closes every connection and returns how many. With rst both peers get a
// reset (RFC 9293 section 3.5.2), otherwise a FIN after what was under way.
func (p *Proxy) Cut(rst bool) int {
	p.mu.Lock()
	defer p.mu.Unlock()
	for l := range p.links {
		l.cut(rst)
	}
	return len(p.links)
}

// Close closes everything and waits for its goroutines. It is idempotent.
func (p *Proxy) Close() error {
	p.mu.Lock()
	if !p.closed {
		p.closed = true
		close(p.done)
	}
	err := p.listener.Close()
	for l := range p.links {
		l.close(true)
	}
	p.mu.Unlock()
	p.tasks.Wait()
	if errors.Is(err, net.ErrClosed) {
		return nil
	}
	return err
}

// CutFault cuts every connection and refuses new ones until it is reverted.
func (p *Proxy) CutFault(rst bool) Fault {
	name := map[bool]string{true: "TCP cut by RST", false: "TCP cut by FIN"}[rst]
	return &action{
		name:   name,
		inject: func(context.Context) error { p.refuse(true); p.Cut(rst); return nil },
		revert: func(context.Context) error { p.refuse(false); return nil },
	}
}

func (p *Proxy) refuse(on bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.refuses = on
}

// BlackHoleFault lets nothing through and closes nothing: the peers see
// silence, as behind a router that died. What is under way is kept and arrives
// when the fault is reverted, as TCP retransmits it. A new connection is
// accepted and hears nothing.
func (p *Proxy) BlackHoleFault(dir Direction) Fault {
	return p.shape("TCP black hole "+dir.String(), dir,
		func(l *lane) error { l.hold(true); return nil }, func(l *lane) { l.hold(false) })
}

// LatencyFault delays data by delay plus a draw from [0, jitter], keeping its
// order. Delays run side by side: they add to the latency and take nothing
// from the rate. Times that are negative or both 0 cannot be injected.
func (p *Proxy) LatencyFault(dir Direction, delay, jitter time.Duration, seed uint64) Fault {
	name := fmt.Sprintf("TCP latency %v + [0, %v] %s (seed %d)", delay, jitter, dir, seed)
	return p.shape(name, dir,
		func(l *lane) error {
			if delay < 0 || jitter < 0 || delay+jitter == 0 {
				return fmt.Errorf("a delay of %v and a jitter of %v delay nothing; give one of them, and neither negative", delay, jitter)
			}
			l.slow(delay, jitter, seed)
			return nil
		}, func(l *lane) { l.slow(0, 0, 0) })
}

// ThrottleFault limits each connection to bytes per second. A limit below 1
// cannot be injected; BlackHoleFault lets nothing through.
func (p *Proxy) ThrottleFault(dir Direction, bytesPerSecond int) Fault {
	return p.shape(fmt.Sprintf("TCP throttle %d B/s %s", bytesPerSecond, dir), dir,
		func(l *lane) error {
			if bytesPerSecond < 1 {
				return fmt.Errorf("%d bytes per second are no limit; give 1 or more", bytesPerSecond)
			}
			l.throttle(bytesPerSecond)
			return nil
		}, func(l *lane) { l.throttle(0) })
}

// shape makes a fault of a change to the lanes of a direction.
func (p *Proxy) shape(name string, dir Direction, on func(*lane) error, off func(*lane)) Fault {
	each := func(change func(*lane) error) func(context.Context) error {
		return func(context.Context) error {
			for way, skipped := range [2]Direction{Downstream, Upstream} {
				if dir == skipped {
					continue
				}
				if err := change(p.lanes[way]); err != nil {
					return err
				}
			}
			return nil
		}
	}
	return &action{name: name, inject: each(on), revert: each(func(l *lane) error { off(l); return nil })}
}
