package fault

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"sync"
)

// Termination makes a proxy end TLS on both sides, so that it can look at what
// goes through. Client certificates do not reach the target.
type Termination struct {
	Certificate tls.Certificate // shown to clients; required
	Upstream    *tls.Config     // for the target; nil: the target speaks no TLS
}

func (t *Termination) check() error {
	if t != nil && len(t.Certificate.Certificate) == 0 {
		return errors.New("a proxy that ends TLS needs a certificate to show; set Termination.Certificate")
	}
	return nil
}

// impostor shows a certificate in place of the right one.
type impostor struct {
	cert    tls.Certificate
	tally   *tally
	shaking sync.WaitGroup // handshakes; added to under the proxy's mu
}

// show lets the impostor take part in one more handshake, which ends with
// shaking.Done; nil for none.
func (p *Proxy) show() *impostor {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.impostor != nil {
		p.impostor.shaking.Add(1)
	}
	return p.impostor
}

// CertificateFault shows cert, named what, in place of the right certificate to
// every connection that comes while it is injected, whether the proxy ends TLS
// or not; open connections keep what they have (see Proxy.Cut). It fires for
// each client, and the recording says what the client did: "refused", with the
// alert that it sent, or "accepted", and then it is relayed to the target as if
// nothing were wrong. Reverting waits for handshakes that have begun, at most
// 10 s each.
func (p *Proxy) CertificateFault(what string, cert tls.Certificate) Counted {
	return newActing("TLS certificate: "+what, p.rec, func(t *tally) (inject, revert func() error) {
		set := func(i *impostor) {
			p.mu.Lock()
			before := p.impostor
			p.impostor = i
			p.mu.Unlock()
			if before != nil {
				before.shaking.Wait()
			}
		}
		inject = func() error {
			if len(cert.Certificate) == 0 {
				return errors.New("there is no certificate to show; make one with Certify")
			}
			set(&impostor{cert: cert, tally: t})
			return nil
		}
		revert = func() error { set(nil); return nil }
		return inject, revert
	})
}

// shake ends TLS with the client where the proxy does so. It returns how to
// speak to the target, nil for without TLS.
func (p *Proxy) shake(ctx context.Context, l *link, shown *impostor) (client net.Conn, up *tls.Config, err error) {
	client = l.client // nobody else changes it before secure
	if p.tls == nil && shown == nil {
		return client, nil, nil
	}
	config := &tls.Config{MinVersion: tls.VersionTLS12}
	switch {
	case shown != nil:
		config.Certificates = []tls.Certificate{shown.cert}
	default:
		config.Certificates = []tls.Certificate{p.tls.Certificate}
	}
	asked := ""
	var offered []string
	config.GetConfigForClient = func(hello *tls.ClientHelloInfo) (*tls.Config, error) {
		asked, offered = hello.ServerName, hello.SupportedProtos
		chosen := config.Clone()
		chosen.GetConfigForClient = nil
		chosen.NextProtos = agree(offered)
		return chosen, nil
	}
	secured := tls.Server(client, config)
	err = secured.HandshakeContext(ctx)
	if shown != nil {
		(&scribe{tally: shown.tally, link: l.number}).act(1, reaction(err))
		shown.shaking.Done()
	}
	if err != nil {
		return nil, nil, err
	}
	l.secure(secured)
	return secured, p.upstream(asked, secured.ConnectionState().NegotiatedProtocol), nil
}

// agree picks the application protocol to take: HTTP/1.1 where it is offered, as
// HTTP/2 has no frames that the proxy could look at and not every target has it.
func agree(offered []string) []string {
	for _, o := range offered {
		if o != "h2" {
			return []string{o}
		}
	}
	return nil
}

// upstream returns how to speak to the target for a client that asked for that
// name and agreed on that protocol.
func (p *Proxy) upstream(name, protocol string) *tls.Config {
	var config *tls.Config
	switch {
	case p.tls == nil:
		// The impostor stands before a target that speaks TLS itself. Whether
		// that target is the right one is not what is being tested.
		config = &tls.Config{InsecureSkipVerify: true, ServerName: name} //nolint:gosec // see above
	case p.tls.Upstream == nil:
		return nil
	default:
		config = p.tls.Upstream.Clone()
		if config.ServerName == "" && name != "" {
			config.ServerName = name
		}
	}
	if config.ServerName == "" {
		host, _, _ := net.SplitHostPort(p.target)
		config.ServerName = host
	}
	config.NextProtos = nil
	if protocol != "" {
		config.NextProtos = []string{protocol}
	}
	return config
}

// reaction says what a client made of a certificate. It names no address: equal
// runs say equal things.
func reaction(err error) string {
	var alert tls.AlertError
	var op *net.OpError
	var header tls.RecordHeaderError
	switch {
	case err == nil:
		return "accepted"
	case errors.As(err, &alert):
		return "refused: " + alert.Error()
	case errors.As(err, &op) && op.Op == "remote error" && op.Err != nil:
		return fmt.Sprintf("refused: %v", op.Err)
	case errors.As(err, &header):
		return "refused: what came was no TLS"
	case errors.Is(err, context.DeadlineExceeded):
		return "refused: silence"
	case errors.Is(err, io.EOF):
		return "refused: closed"
	default:
		return "refused: connection broke"
	}
}
