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
	if viewerTLS != nil {
		l = tls.NewListener(l, viewerTLS)
	}
	b.viewLis = l
	b.viewers = b.httpServer(b.viewerRoutes())
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

func (b *Bridge) httpServer(h http.Handler) *http.Server {
	return &http.Server{
		Handler: h, ReadHeaderTimeout: headerTimeout, ReadTimeout: 2 * headerTimeout, WriteTimeout: 2 * headerTimeout, IdleTimeout: idleTimeout,
		MaxHeaderBytes: headerBytes,
		TLSNextProto:   map[string]func(*http.Server, *tls.Conn, http.Handler){}, // HTTP/1.1 only
		ErrorLog:       slog.NewLogLogger(b.log.Handler(), slog.LevelDebug),
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
