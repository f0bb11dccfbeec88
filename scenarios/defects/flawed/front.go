package main

import (
	"bufio"
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"hash/fnv"
	"io"
	"math/rand/v2"
	"net"
	"os"
	"path/filepath"
	"sync"
	"time"
)

// front is what devices and viewers reach in place of the bridge.
type front struct {
	opts  *options
	count *counter
	keys  keys
	flaw  *flaw
	wall  wall

	restarted bool // this is not its first start

	served, asked *tls.Config // towards viewers and towards the bridge
	viewers       net.Listener
	broker        net.Listener
	tasks         sync.WaitGroup

	mu     sync.Mutex
	conns  map[net.Conn]struct{}
	drawn  uint64 // generators handed out
	closed bool
}

// handshakeLimit bounds a TLS handshake and a dial: well below what SEC-11 allows
// a connection that says nothing.
const handshakeLimit = 5 * time.Second

// open begins to serve with the certificate of the bridge.
func (f *front) open() error {
	pair, err := tls.LoadX509KeyPair(filepath.Join(f.opts.tls, "server.pem"), filepath.Join(f.opts.tls, "server-key.pem"))
	if err != nil {
		return fmt.Errorf("certificate of the bridge: %w", err)
	}
	authority, err := os.ReadFile(filepath.Join(f.opts.tls, "ca.pem"))
	if err != nil {
		return fmt.Errorf("authority of the bridge: %w", err)
	}
	pool := x509.NewCertPool()
	pool.AppendCertsFromPEM(authority)
	f.served = &tls.Config{Certificates: []tls.Certificate{pair}, MinVersion: tls.VersionTLS12, NextProtos: []string{"http/1.1"}}
	f.asked = &tls.Config{RootCAs: pool, MinVersion: tls.VersionTLS12, ServerName: "127.0.0.1", NextProtos: []string{"http/1.1"}}
	if f.flaw.tls != nil {
		f.flaw.tls(f.served)
	}
	f.conns = map[net.Conn]struct{}{}
	var listen net.ListenConfig
	if f.broker, err = listen.Listen(context.Background(), "tcp", f.opts.broker); err != nil {
		return err
	}
	if f.viewers, err = listen.Listen(context.Background(), "tcp", f.opts.viewers); err != nil {
		return err
	}
	f.tasks.Go(func() { f.accept(f.broker, f.serveDevice) })
	f.tasks.Go(func() { f.accept(f.viewers, f.serveViewer) })
	return nil
}

// close ends everything; what the bridge has sent is passed on first, for a
// second at most.
func (f *front) close() {
	_, _ = f.viewers.Close(), f.broker.Close()
	idle := make(chan struct{})
	go func() { f.tasks.Wait(); close(idle) }()
	select {
	case <-idle:
		return
	case <-time.After(time.Second):
	}
	f.mu.Lock()
	f.closed = true
	for c := range f.conns {
		_ = c.Close()
	}
	f.mu.Unlock()
	<-idle
}

func (f *front) accept(l net.Listener, serve func(net.Conn)) {
	for {
		c, err := l.Accept()
		if err != nil {
			return
		}
		f.tasks.Go(func() {
			defer f.forget(c)
			if f.hold(c) {
				serve(c)
			}
		})
	}
}

// hold keeps a connection so that close reaches it.
func (f *front) hold(c net.Conn) bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	if !f.closed {
		f.conns[c] = struct{}{}
	}
	return !f.closed
}

func (f *front) forget(c net.Conn) {
	_ = c.Close()
	f.mu.Lock()
	defer f.mu.Unlock()
	delete(f.conns, c)
}

// random returns a generator of its own for each caller, drawn from the seed.
func (f *front) random() *rand.Rand {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.drawn++
	h := fnv.New64a()
	_, _ = h.Write([]byte(f.opts.defect))
	return rand.New(rand.NewPCG(f.opts.seed^h.Sum64(), f.drawn)) //nolint:gosec // reproducible faults, not secrets
}

// serveViewer relays one connection of a viewer.
func (f *front) serveViewer(raw net.Conn) {
	if f.flaw.accept != nil {
		f.flaw.accept(raw)
	}
	client, ok := f.secure(raw)
	if !ok {
		return
	}
	if f.opts.mqtt {
		f.serveMQTT(client)
		return
	}
	dialer := tls.Dialer{NetDialer: &net.Dialer{Timeout: handshakeLimit}, Config: f.asked}
	bridge, err := dialer.DialContext(context.Background(), "tcp", f.opts.viewersTo)
	if err != nil || !f.hold(bridge) {
		return
	}
	defer f.forget(bridge)
	s := &session{
		f: f, client: client, bridge: bridge, clientIn: bufio.NewReader(client), bridgeIn: bufio.NewReader(bridge),
		streams: map[uint64]*stream{}, random: f.random(), done: make(chan struct{}),
	}
	s.relay()
}

// secure makes the handshake with a viewer. What is not TLS is served in the
// clear only where that is the defect.
func (f *front) secure(raw net.Conn) (net.Conn, bool) {
	if f.flaw.plaintext {
		peeked := &peekConn{Conn: raw, in: bufio.NewReader(raw)}
		if first, err := peeked.in.Peek(1); err != nil || first[0] != 0x16 { // RFC 8446 section 5.1: handshake
			if err == nil {
				f.count.fire()
			}
			return peeked, err == nil
		}
		raw = peeked
	}
	secure := tls.Server(raw, f.served)
	patience := handshakeLimit
	if f.flaw.patience > 0 {
		patience = f.flaw.patience
		defer time.AfterFunc(handshakeLimit, f.count.fire).Stop()
	}
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	if secure.HandshakeContext(ctx) != nil {
		return nil, false
	}
	if secure.ConnectionState().Version < tls.VersionTLS12 {
		f.count.fire()
	}
	return secure, true
}

// peekConn reads through a buffer that has been looked into.
type peekConn struct {
	net.Conn
	in *bufio.Reader
}

// Read implements net.Conn.
func (p *peekConn) Read(b []byte) (int, error) { return p.in.Read(b) }

// headMost bounds an HTTP head; the bridge refuses far smaller ones.
const headMost = 1 << 20

// readHead reads up to and with the empty line that ends an HTTP head. whole is
// false when it never came: then the bytes are what there was.
func readHead(in *bufio.Reader) (head []byte, whole bool) {
	for len(head) < headMost {
		line, err := in.ReadSlice('\n')
		head = append(head, line...)
		if err == bufio.ErrBufferFull { //nolint:errorlint // ReadSlice returns the very value
			continue
		}
		if err != nil {
			return head, false
		}
		if bytes.HasSuffix(head, []byte("\r\n\r\n")) {
			return head, true
		}
	}
	return head, false
}

// splice copies both ways until both have ended. What comes before goes to a
// first; it may take its time.
func splice(a net.Conn, fromA io.Reader, b net.Conn, fromB io.Reader, before <-chan []byte) {
	var ways sync.WaitGroup
	carry := func(to net.Conn, from io.Reader) {
		_, _ = io.Copy(to, from)
		if half, ok := to.(interface{ CloseWrite() error }); ok {
			_ = half.CloseWrite()
		}
	}
	ways.Go(func() { carry(b, fromA); _ = b.SetReadDeadline(time.Now().Add(time.Second)) })
	ways.Go(func() { _, _ = a.Write(<-before); carry(a, fromB); _ = a.SetReadDeadline(time.Now().Add(time.Second)) })
	ways.Wait()
}
