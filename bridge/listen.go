package bridge

import (
	"context"
	"crypto/tls"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"time"

	"plumbline/bridge/audit"
	"plumbline/bridge/internal/peer"
	"plumbline/bridge/internal/rates"
	"plumbline/bridge/wire"
	"plumbline/bridge/wire/httpwire"
)

// AddressFile is where a running bridge writes its Addresses, in the data folder.
const AddressFile = "addresses.json"

// Limits of the HTTP listeners.
const (
	headerTimeout = 5 * time.Second // request line and headers, and before it the TLS handshake
	headerBytes   = 16 << 10
	idleTimeout   = 30 * time.Second
)

func (b *Bridge) file(name string) string { return filepath.Join(b.cfg.Data, name) }

// listen binds a TCP address, or says which setting names it and what to do.
func listen(key, addr string) (net.Listener, error) {
	l, err := (&net.ListenConfig{}).Listen(context.Background(), "tcp", addr)
	switch {
	case err == nil:
		return l, nil
	case inUse(err):
		return nil, fmt.Errorf("%w: %s: %s is in use: stop the program that holds it, or choose another port (--set %s=127.0.0.1:0 takes a free one)", ErrUnavailable, key, addr, key)
	case errors.Is(err, os.ErrPermission):
		return nil, fmt.Errorf("%w: %s: no permission to listen on %s: choose a port above 1023", ErrUnavailable, key, addr)
	}
	return nil, fmt.Errorf("%w: %s: %w", ErrUnavailable, key, err)
}

// bindHTTP binds the viewers' and the operators' listeners.
func (b *Bridge) bindHTTP(viewerTLS, opsTLS *tls.Config) error {
	l, err := listen("viewers.listen", b.cfg.Viewers.Listen)
	if err != nil {
		return err
	}
	b.addrs.Viewers = l.Addr().String()
	l = b.introduced(l)
	if viewerTLS != nil {
		l = tls.NewListener(wire.Corked(l), viewerTLS)
	}
	b.viewLis = l
	b.viewers = b.httpServer(b.viewerRoutes())
	if b.cfg.Viewers.HTTP2 {
		b.speakHTTP2(b.viewers)
	}
	b.viewers.ConnState, b.viewers.ConnContext = b.admit, httpwire.WithConn
	if b.cfg.Ops.Listen == "" {
		return nil
	}
	if b.opsLis, err = listen("ops.listen", b.cfg.Ops.Listen); err != nil {
		return err
	}
	b.addrs.Ops = b.opsLis.Addr().String()
	if opsTLS != nil {
		b.opsLis = tls.NewListener(b.opsLis, opsTLS)
	}
	b.ops = b.httpServer(b.opsHandler())
	return nil
}

// introduced makes the connections of listed proxies say for whom they are, where the configuration wants it. What waits for that is
// not counted among the viewers' connections yet: so it is bounded here.
func (b *Bridge) introduced(l net.Listener) net.Listener {
	if b.proxyHeader() != peer.ProxyProtocol {
		return l
	}
	said := rates.New(1, 20) // lines of one proxy: its crowd must not become one of lines
	return b.proxies.Listen(l, peer.ListenOptions{
		Timeout: headerTimeout, Most: b.ration.headers,
		Refused: func(proxy string, err error) {
			b.m.Handshakes.WithLabelValues("proxy-header").Inc()
			if said.Take(peer.Key(proxy), time.Now()) {
				audit.Refused(b.log, audit.Event{Action: "connection", Reason: "proxy-header", Remote: proxy, Detail: err.Error()})
			}
		},
	})
}

func (b *Bridge) proxyHeader() peer.Header { return peer.Header(b.cfg.Viewers.ProxyHeader) }

func (b *Bridge) httpServer(h http.Handler) *http.Server {
	return &http.Server{
		Handler: h, ReadHeaderTimeout: headerTimeout, ReadTimeout: 2 * headerTimeout, WriteTimeout: 2 * headerTimeout, IdleTimeout: idleTimeout,
		MaxHeaderBytes: headerBytes,
		TLSNextProto:   map[string]func(*http.Server, *tls.Conn, http.Handler){}, // HTTP/1.1 only
		ErrorLog:       slog.NewLogLogger(b.log.Handler(), slog.LevelDebug),
	}
}

// Limits of a connection of HTTP/2. http2Streams is how many requests may be under way over it: more than a browser needs, and few enough
// that the connections which the listener allows bound all of them. Events, polls and history have places and rates beside that; the page,
// sign-in and layouts have none for a request that is under way. http2Frame and http2Unread are what a connection is kept in memory for
// before anybody has looked at it, signed in or not: the longest frame, where net/http would take a megabyte, and what comes of bodies
// that no handler reads, likewise. Neither may be less (RFC 9113 sections 4.2 and 6.9.2).
const (
	http2Streams = 32
	http2Frame   = 16 << 10  // bytes
	http2Unread  = 1<<16 - 1 // bytes
)

// speakHTTP2 lets clients that choose it by ALPN (RFC 9113 section 3.2) put many requests, streams of events above all, over one
// connection: a browser opens no more than six of HTTP/1.1 to one host. The limits of the listener hold for connections, those of
// httpwire for requests.
func (b *Bridge) speakHTTP2(s *http.Server) {
	s.TLSNextProto = nil // net/http fills it in
	s.Protocols = &http.Protocols{}
	s.Protocols.SetHTTP1(true)
	s.Protocols.SetHTTP2(true)
	s.HTTP2 = &http.HTTP2Config{
		MaxConcurrentStreams: http2Streams, MaxReadFrameSize: http2Frame, MaxReceiveBufferPerConnection: http2Unread, MaxReceiveBufferPerStream: http2Unread,
		WriteByteTimeout: b.cfg.Viewers.WriteTimeout.D(),                                            // one that reads nothing at all
		SendPingTimeout:  b.cfg.Viewers.Heartbeat.D(), PingTimeout: b.cfg.Viewers.Heartbeat.D() / 2, // and one that is gone
	}
}

// writeAddresses replaces the address file in one step.
func (b *Bridge) writeAddresses() error {
	raw, err := json.Marshal(b.addrs)
	if err != nil {
		return fmt.Errorf("bridge: addresses: %w", err)
	}
	tmp := b.file(AddressFile + ".new")
	err = os.WriteFile(tmp, append(raw, '\n'), 0o600)
	if err == nil {
		err = os.Rename(tmp, b.file(AddressFile))
	}
	if err != nil {
		_ = os.Remove(tmp) // it may be half a file
		return fmt.Errorf("bridge: addresses: %w", err)
	}
	return nil
}
