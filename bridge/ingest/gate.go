package ingest

import (
	"context"
	"net"
	"sync"
	"sync/atomic"
	"time"

	"plumbline/bridge/internal/attempt"
	"plumbline/bridge/internal/peer"
)

// gate counts the connections of all listeners and holds them to the limits: in all, per address, and until CONNECT (M9, D18).
type gate struct {
	b     *Broker
	hurry atomic.Bool // going down: writes get little time

	mu      sync.Mutex
	closed  bool
	conns   map[*conn]struct{}
	perAddr map[string]int // by peer.Key
}

func newGate(b *Broker) *gate {
	return &gate{b: b, conns: map[*conn]struct{}{}, perAddr: map[string]int{}}
}

// admit registers a connection that was accepted, or says why not. A registered one must be released.
func (g *gate) admit(raw net.Conn) (*conn, string) {
	addr := peer.Host(raw.RemoteAddr().String())
	key := peer.Key(addr)
	g.mu.Lock()
	defer g.mu.Unlock()
	switch limit := g.b.opts.MaxPerAddress; {
	case g.closed:
		return nil, "draining"
	case limit > 0 && g.perAddr[key] >= limit:
		return nil, "address-limit"
	case len(g.conns) >= g.b.opts.MaxClients:
		return nil, "limit"
	}
	c := &conn{Conn: raw, raw: raw, gate: g, addr: addr, quick: attempt.New(raw), gone: make(chan struct{}), connectBy: time.Now().Add(g.b.opts.ConnectTimeout),
		strict: strict{most: int(g.b.opts.MaxPacketBytes)}}
	c.ctx, c.cancel = context.WithCancel(g.b.ctx)
	c.keepalive.Store(waitingForConnect)
	_ = raw.SetReadDeadline(c.connectBy) // handshakes and CONNECT together
	if tcp, ok := raw.(*net.TCPConn); ok {
		_ = tcp.SetKeepAliveConfig(net.KeepAliveConfig{Enable: true, Idle: 30 * time.Second, Interval: 10 * time.Second, Count: 3})
	}
	g.conns[c] = struct{}{}
	g.perAddr[key]++
	g.b.m.MQTTClients.Inc()
	return c, ""
}

// release forgets a connection. Later calls do nothing.
func (g *gate) release(c *conn) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if _, there := g.conns[c]; !there {
		return
	}
	c.cancel()
	delete(g.conns, c)
	key := peer.Key(c.addr)
	if g.perAddr[key]--; g.perAddr[key] <= 0 {
		delete(g.perAddr, key)
	}
	g.b.m.MQTTClients.Dec()
}

// shut admits nobody from now on.
func (g *gate) shut() {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.closed = true
}

// cut closes the sockets of all connections, also under writes that wait.
func (g *gate) cut() {
	g.mu.Lock()
	defer g.mu.Unlock()
	for c := range g.conns {
		_ = c.raw.Close()
	}
}
