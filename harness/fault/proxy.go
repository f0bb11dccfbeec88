package fault

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"sync"
	"time"

	"plumbline/harness/record"
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
	Listen   string           // "" means 127.0.0.1:0
	Log      *slog.Logger     // nil discards
	Recorder *record.Recorder // gets each action of a fault; nil: they are counted only
	Protocol Protocol         // what the proxy looks at, for faults on packets or frames
	TLS      *Termination     // nil: TLS goes through unseen
}

// Proxy is a TCP relay that can cut, hold, delay and slow what goes through it.
// With the zero Protocol it looks at no byte, so TLS goes through as well.
// Faults act on every connection, those that come later included. Two faults of
// one kind in one direction do not add up: the later one counts, and reverting
// either ends it; only faults on packets and frames stand side by side.
type Proxy struct {
	listener net.Listener
	target   string
	log      *slog.Logger
	rec      *record.Recorder
	protocol Protocol
	tls      *Termination
	lanes    [2]*lane // upstream, downstream
	done     chan struct{}
	tasks    sync.WaitGroup

	mu       sync.Mutex // guards what follows
	links    map[*link]struct{}
	count    uint64 // of links since the start
	refuses  bool
	closed   bool
	impostor *impostor // shows another certificate to new connections; nil for none
}

// NewProxy listens and relays every connection to target (host:port).
func NewProxy(target string, opts ProxyOptions) (*Proxy, error) {
	if opts.Listen == "" {
		opts.Listen = "127.0.0.1:0"
	}
	if opts.Log == nil {
		opts.Log = slog.New(slog.DiscardHandler)
	}
	if err := errors.Join(opts.Protocol.check(), opts.TLS.check()); err != nil {
		return nil, fmt.Errorf("fault: proxy to %q: %w", target, err)
	}
	if _, _, err := net.SplitHostPort(target); err != nil {
		return nil, fmt.Errorf("fault: proxy to %q: %w; give host:port", target, err)
	}
	listener, err := (&net.ListenConfig{}).Listen(context.Background(), "tcp", opts.Listen)
	if err != nil {
		return nil, fmt.Errorf("fault: proxy to %q: %w", target, err)
	}
	p := &Proxy{
		listener: listener, target: target, log: opts.Log, rec: opts.Recorder, protocol: opts.Protocol, tls: opts.TLS, done: make(chan struct{}),
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
	client, server, err := p.legs(ctx, l)
	if err != nil {
		l.close(true) // as a refused connection looks to the client
		return
	}
	if !l.connect(server) {
		return
	}
	split := p.protocol.splitters()
	var ways sync.WaitGroup
	for way, leg := range [2]struct{ from, to net.Conn }{{client, server}, {server, client}} {
		s := &stage{lane: p.lanes[way], link: l.number, way: way, split: split[way], rec: p.rec}
		ways.Go(func() { p.lanes[way].carry(l, s, leg.from, leg.to) })
	}
	ways.Wait()
}

// legs dials the second leg, and shakes hands on both where the proxy ends TLS.
func (p *Proxy) legs(ctx context.Context, l *link) (client, server net.Conn, err error) {
	client, up, err := p.shake(ctx, l, p.show())
	if err != nil {
		return nil, nil, err
	}
	server, err = (&net.Dialer{}).DialContext(ctx, "tcp", p.target)
	if err != nil || up == nil {
		return client, server, err
	}
	secured := tls.Client(server, up)
	if err := secured.HandshakeContext(ctx); err != nil {
		return nil, nil, errors.Join(err, server.Close())
	}
	return client, secured, nil
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

// HalfOpenFault lets one end of every open connection vanish without a word to
// the other, as a crash or a router that forgot the connection does: gone is
// Upstream for the server, Downstream for the client. The vanished end's side is
// reset; the other side stays open, what it sends is swallowed, and it hears
// nothing until the fault is reverted: then it gets a reset. New connections
// are relayed. It fires once for each connection.
func (p *Proxy) HalfOpenFault(gone Direction) Counted {
	return newActing("TCP half-open, "+map[Direction]string{Upstream: "server", Downstream: "client"}[gone]+" gone", p.rec, func(t *tally) (inject, revert func() error) {
		var halved []*link
		revert = func() error {
			for _, l := range halved {
				l.close(true)
			}
			halved = nil
			return nil
		}
		inject = func() error {
			if gone != Upstream && gone != Downstream {
				return fmt.Errorf("one end vanishes; give Upstream for the server or Downstream for the client, not %s", gone)
			}
			p.mu.Lock()
			defer p.mu.Unlock()
			for l := range p.links {
				if l.halve(gone) {
					halved = append(halved, l)
					(&scribe{tally: t, link: l.number}).act(1, "half-open")
				}
			}
			return nil
		}
		return inject, revert
	})
}

// BlackHoleFault lets nothing through and closes nothing: the peers see
// silence, as behind a router that died. What is under way is kept and arrives
// when the fault is reverted, as TCP retransmits it. A new connection is
// accepted and hears nothing.
func (p *Proxy) BlackHoleFault(dir Direction) Fault {
	return p.shape("TCP black hole "+dir.String(), dir,
		func(l *lane) error { l.hold(true); return nil }, func(l *lane) { l.hold(false) })
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
	return plain(name,
		func() error { return p.each(dir, on) },
		func() error { return p.each(dir, func(l *lane) error { off(l); return nil }) })
}

// each changes the lanes of a direction.
func (p *Proxy) each(dir Direction, change func(*lane) error) error {
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
