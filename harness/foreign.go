package harness

import (
	"context"
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"encoding/base64"
	"fmt"
	"net"
	"net/http"
	"time"

	"plumbline/harness/fault"
)

// foreignSite is a site of somebody else on the host of the system under test: another
// port is another origin, and yet the same site, so that a browser hands over every
// cookie, SameSite=Strict ones too. It serves an empty page over TLS.
type foreignSite struct {
	server *http.Server
	served chan struct{}
	origin string
	pin    string // of its certificate's key
}

// openForeign serves a foreign site on that host.
func openForeign(host string) (*foreignSite, error) {
	authority, err := fault.NewAuthority()
	if err != nil {
		return nil, err
	}
	pair, err := authority.Certify(host, fault.Flawless)
	if err != nil {
		return nil, err
	}
	certificate, err := x509.ParseCertificate(pair.Certificate[0])
	if err != nil {
		return nil, err
	}
	listener, err := (&net.ListenConfig{}).Listen(context.Background(), "tcp", "127.0.0.1:0")
	if err != nil {
		return nil, err
	}
	_, port, err := net.SplitHostPort(listener.Addr().String())
	if err != nil {
		return nil, err
	}
	sum := sha256.Sum256(certificate.RawSubjectPublicKeyInfo)
	f := &foreignSite{served: make(chan struct{}), origin: "https://" + net.JoinHostPort(host, port), pin: base64.StdEncoding.EncodeToString(sum[:])}
	f.server = &http.Server{
		Handler: http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Type", "text/html; charset=utf-8")
			_, _ = fmt.Fprint(w, `<!doctype html><html lang="en"><title>Somebody else's page</title><p>Free kittens.</p></html>`)
		}),
		ReadHeaderTimeout: 10 * time.Second,
		TLSConfig:         &tls.Config{Certificates: []tls.Certificate{pair}, MinVersion: tls.VersionTLS12},
	}
	go func() { defer close(f.served); _ = f.server.ServeTLS(listener, "", "") }() // it ends with close
	return f, nil
}

func (f *foreignSite) close() error {
	if f == nil {
		return nil
	}
	err := f.server.Close()
	<-f.served
	return err
}

// Elsewhere evaluates an expression in a page of another origin on the host of the
// system under test, in the browser in which its own page is open and signed in.
func (b *Bench) Elsewhere(ctx context.Context, expression string) (string, error) {
	if b.browser == nil || b.foreign == nil {
		return "", fmt.Errorf("harness: no page of the system under test is open")
	}
	return b.browser.Evaluate(ctx, b.foreign.origin+"/", expression)
}
