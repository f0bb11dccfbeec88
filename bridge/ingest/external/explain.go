package external

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"net"
)

// failure is why there is no connection, with the word that metrics use.
type failure struct {
	label string
	err   error
}

// Error implements error.
func (f failure) Error() string { return f.err.Error() }

// Unwrap gives the cause.
func (f failure) Unwrap() error { return f.err }

// explain adds to err how to mend it, and the word that metrics use for it: label, unless the cause has a better one.
func (s *Source) explain(label string, err error) error {
	better, mend := s.explainTLS(err)
	var (
		no  refusal
		dns *net.DNSError
	)
	switch {
	case better != "":
		label = better
	case errors.As(err, &no):
		label = "refused"
	case errors.As(err, &dns):
		mend = fmt.Sprintf("check the host in %s.url", s.key())
	case connRefused(err):
		mend = fmt.Sprintf("nobody listens there: start the broker, or check %s.url", s.key())
	case label == "connect" && cut(err) && s.opts.TLS: // an alert may be lost behind the reset
		mend = fmt.Sprintf("the broker ended TLS, or the connection, before CONNACK: see its log; if it asks for a client certificate, set %s.tls.cert and .key", s.key())
	case label == "connect" && cut(err):
		mend = "the broker closed the connection before CONNACK: if this is its TLS port, use mqtts://"
	case cut(err):
		mend = fmt.Sprintf("the broker closed the connection without a word; when that goes on, see its log, and whether another client has the client id %q", s.opts.ClientID)
	}
	err = fmt.Errorf("external: %s at %s: %w", s.opts.Name, s.opts.Address, err)
	if mend != "" {
		err = fmt.Errorf("%w: %s", err, mend)
	}
	return failure{label, err}
}

// cut reports whether the other side ended the connection.
func cut(err error) bool {
	var op *net.OpError
	return errors.Is(err, io.EOF) || errors.As(err, &op) && (op.Op == "read" || op.Op == "write") && !op.Timeout()
}

// explainTLS returns the label "tls" and the mend when err is about certificates or TLS, else nothing.
func (s *Source) explainTLS(err error) (label, mend string) {
	var (
		host      x509.HostnameError
		unknown   x509.UnknownAuthorityError
		invalid   x509.CertificateInvalidError
		record    tls.RecordHeaderError
		remote    *net.OpError
		handshake tlsError
	)
	switch {
	case errors.As(err, &host):
		return "tls", fmt.Sprintf("the certificate is for %q, not for %s: set %s.tls.serverName to a name that it has, or give the broker a certificate for this one",
			names(host.Certificate), host.Host, s.key())
	case errors.As(err, &unknown):
		return "tls", fmt.Sprintf("set %s.tls.ca to the PEM file of the authority that signed the broker's certificate", s.key())
	case errors.As(err, &invalid):
		return "tls", "renew the broker's certificate, or mend this machine's clock"
	case errors.As(err, &record):
		return "tls", "this port does not speak TLS: name the broker's TLS port; the bridge never falls back to plaintext"
	case errors.As(err, &remote) && remote.Op == "remote error": // how crypto/tls gives an alert; under TLS 1.3 it comes after the handshake
		return "tls", fmt.Sprintf("the broker ended TLS: set %s.tls.cert and .key to a certificate that it accepts", s.key())
	case errors.As(err, &handshake):
		return "tls", "the broker broke off the TLS handshake: check that this is its TLS port; the bridge never falls back to plaintext"
	}
	return "", ""
}

// names lists what a certificate is for, the first few of it.
func names(c *x509.Certificate) []string {
	list := append([]string(nil), c.DNSNames...)
	for _, ip := range c.IPAddresses {
		list = append(list, ip.String())
	}
	const most = 5
	return list[:min(len(list), most)]
}
