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

	"plumbline/bridge/config"
	"plumbline/bridge/devca"
	"plumbline/bridge/history/api"
)

// addressFile is where a running bridge writes its Addresses.
const addressFile = "addresses.json"

// Limits of the HTTP listeners.
const (
	headerTimeout = 5 * time.Second // request line and headers, and before it the TLS handshake
	headerBytes   = 16 << 10
	idleTimeout   = 30 * time.Second
)

func (b *Bridge) file(name string) string { return filepath.Join(b.cfg.Data, name) }

// certificates returns the TLS settings of the viewers (nil with plaintext) and of MQTT (nil without certificate).
func (b *Bridge) certificates(now time.Time) (viewers, mqtt *tls.Config, err error) {
	if !b.cfg.Viewers.Plaintext {
		var cert tls.Certificate
		if t := b.cfg.Viewers.TLS; t.Cert != "" {
			cert, err = loadPair("viewers.tls", t, now)
		} else if cert, err = devca.Ensure(b.file("tls"), now); err != nil {
			err = fmt.Errorf("%w: %w", ErrUnavailable, err)
		}
		if err != nil {
			return nil, nil, err
		}
		b.m.CertNotAfter.Set(float64(cert.Leaf.NotAfter.Unix()))
		viewers = serverTLS(cert)
		viewers.NextProtos = []string{"http/1.1"} // WebSocket over HTTP/2 (RFC 8441) is not spoken here
	}
	if t := b.cfg.MQTT.TLS.Pair(); t.Cert != "" && b.cfg.MQTT.Embedded() {
		cert, err := loadPair("mqtt.tls", t, now)
		if err != nil {
			return nil, nil, err
		}
		mqtt = serverTLS(cert)
	}
	return viewers, mqtt, nil
}

// serverTLS allows TLS 1.2 and 1.3 with Go's own choice of suites (RFC 9325).
func serverTLS(cert tls.Certificate) *tls.Config {
	return &tls.Config{MinVersion: tls.VersionTLS12, Certificates: []tls.Certificate{cert}}
}

func loadPair(key string, t config.TLS, now time.Time) (tls.Certificate, error) {
	cert, err := tls.LoadX509KeyPair(t.Cert, t.Key)
	if err != nil {
		return cert, fmt.Errorf("%w: %s: %w", ErrConfig, key, err)
	}
	if now.Before(cert.Leaf.NotBefore) || now.After(cert.Leaf.NotAfter) {
		return cert, fmt.Errorf("%w: %s: the certificate %q is valid from %s to %s only: renew it", ErrConfig, key, t.Cert,
			cert.Leaf.NotBefore.Format(time.RFC3339), cert.Leaf.NotAfter.Format(time.RFC3339))
	}
	return cert, nil
}

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
func (b *Bridge) bindHTTP(viewerTLS *tls.Config) error {
	l, err := listen("viewers.listen", b.cfg.Viewers.Listen)
	if err != nil {
		return err
	}
	b.addrs.Viewers = l.Addr().String()
	if viewerTLS != nil {
		l = tls.NewListener(l, viewerTLS)
	}
	b.viewLis = l
	mux := http.NewServeMux()
	mux.Handle(b.cfg.Viewers.Path, b.wire)
	b.routeHTTP(mux)
	if b.asked != nil {
		mux.Handle(api.Root, b.asked)
	}
	b.viewers = b.httpServer(mux)
	if b.cfg.Ops.Listen == "" {
		return nil
	}
	if b.opsLis, err = listen("ops.listen", b.cfg.Ops.Listen); err != nil {
		return err
	}
	b.addrs.Ops = b.opsLis.Addr().String()
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
	tmp := b.file(addressFile + ".new")
	if err := os.WriteFile(tmp, append(raw, '\n'), 0o600); err != nil {
		return fmt.Errorf("bridge: addresses: %w", err)
	}
	if err := os.Rename(tmp, b.file(addressFile)); err != nil {
		return fmt.Errorf("bridge: addresses: %w", err)
	}
	return nil
}
