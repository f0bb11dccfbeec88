package ingest

import (
	"bytes"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"log/slog"
	"math/big"
	"os"
	"strings"
	"sync/atomic"
)

// ErrRevoked means that a client's certificate is on the list of revoked ones.
var ErrRevoked = errors.New("ingest: the client certificate is revoked")

// CertificateOptions says what is asked of clients on TLS listeners.
type CertificateOptions struct {
	Require     bool   // else a client may come without
	CAFile      string // PEM, the authorities of good certificates
	User        string // "cn" or "san": the certificate names the user and no password is asked; "" = it does not
	RevokedFile string // serial numbers in hexadecimal, one a line, or CRLs in PEM; "" = none
}

// Certificates checks the certificates of MQTT clients. A nil one asks for none. It is safe for concurrent use.
type Certificates struct {
	opts    CertificateOptions
	pool    *x509.CertPool
	issuers []*x509.Certificate
	file    *followed
	revoked atomic.Pointer[revokedSet]
}

// revokedSet holds serial numbers: of any issuer, and by the issuer's raw name.
type revokedSet struct {
	any    map[string]bool
	issued map[string]bool
}

// NewCertificates reads the authorities and the list of revoked certificates.
func NewCertificates(o CertificateOptions) (*Certificates, error) {
	raw, err := os.ReadFile(o.CAFile)
	if err != nil {
		return nil, fmt.Errorf("ingest: mqtt.tls.clientCA: %w", err)
	}
	c := &Certificates{opts: o, pool: x509.NewCertPool()}
	for block, rest := pem.Decode(raw); block != nil; block, rest = pem.Decode(rest) {
		if block.Type != "CERTIFICATE" {
			continue
		}
		ca, err := x509.ParseCertificate(block.Bytes)
		if err != nil {
			return nil, fmt.Errorf("ingest: mqtt.tls.clientCA %q: %w", o.CAFile, err)
		}
		c.pool.AddCert(ca)
		c.issuers = append(c.issuers, ca)
	}
	if len(c.issuers) == 0 {
		return nil, fmt.Errorf("ingest: mqtt.tls.clientCA %q: no certificate in it: give the authority's, in PEM", o.CAFile)
	}
	c.revoked.Store(&revokedSet{})
	if o.RevokedFile != "" {
		c.file = &followed{path: o.RevokedFile, key: "mqtt.tls.revokedFile", parse: c.parse}
		if err := c.file.first(); err != nil {
			return nil, err
		}
	}
	return c, nil
}

// ask returns the server's TLS settings with what clients must show.
func (c *Certificates) ask(server *tls.Config) *tls.Config {
	if c == nil {
		return server
	}
	out := server.Clone()
	out.ClientCAs, out.ClientAuth = c.pool, tls.VerifyClientCertIfGiven
	if c.opts.Require {
		out.ClientAuth = tls.RequireAndVerifyClientCert
	}
	out.VerifyConnection = func(s tls.ConnectionState) error { // for resumed sessions too
		if len(s.PeerCertificates) == 0 {
			return nil
		}
		return c.check(s.PeerCertificates[0])
	}
	return out
}

// check returns ErrRevoked for a certificate on the list; one that is not there is fine.
func (c *Certificates) check(cert *x509.Certificate) error {
	if c == nil || cert == nil {
		return nil
	}
	serial := cert.SerialNumber.Text(16)
	if set := c.revoked.Load(); set.any[serial] || set.issued[string(cert.RawIssuer)+serial] {
		return ErrRevoked
	}
	return nil
}

// user returns the name in the certificate, and whether certificates name users at all.
func (c *Certificates) user(cert *x509.Certificate) (name string, named bool) {
	if c == nil || cert == nil || c.opts.User == "" {
		return "", false
	}
	switch {
	case c.opts.User == "cn":
		return cert.Subject.CommonName, true
	case len(cert.DNSNames) > 0:
		return cert.DNSNames[0], true
	case len(cert.URIs) > 0:
		return cert.URIs[0].String(), true
	}
	return "", true
}

// reload looks at the list of revoked certificates and reports whether a new one is in force.
func (c *Certificates) reload(log *slog.Logger) bool {
	return c != nil && c.file != nil && c.file.again(log)
}

func (c *Certificates) stale() float64 {
	if c == nil || c.file == nil {
		return 0
	}
	return c.file.stale()
}

func (c *Certificates) parse(raw []byte) error {
	set := &revokedSet{any: map[string]bool{}, issued: map[string]bool{}}
	if bytes.Contains(raw, []byte("-----BEGIN")) {
		if err := c.parseLists(raw, set); err != nil {
			return err
		}
	} else if err := parseSerials(raw, set); err != nil {
		return err
	}
	c.revoked.Store(set)
	return nil
}

// parseLists reads CRLs (RFC 5280 section 5), each signed by one of the authorities.
func (c *Certificates) parseLists(raw []byte, set *revokedSet) error {
	lists := 0
	for block, rest := pem.Decode(raw); block != nil; block, rest = pem.Decode(rest) {
		list, err := x509.ParseRevocationList(block.Bytes)
		if err != nil {
			return fmt.Errorf("revocation list %d: %w", lists+1, err)
		}
		signed := false
		for _, ca := range c.issuers {
			signed = signed || list.CheckSignatureFrom(ca) == nil
		}
		if !signed {
			return fmt.Errorf("revocation list %d is signed by none of the authorities in mqtt.tls.clientCA", lists+1)
		}
		for _, e := range list.RevokedCertificateEntries {
			set.issued[string(list.RawIssuer)+e.SerialNumber.Text(16)] = true
		}
		lists++
	}
	if lists == 0 {
		return errors.New("damaged PEM")
	}
	return nil
}

// parseSerials reads one serial number a line, as openssl x509 -serial shows it; colons, and lines that begin with #, count for
// nothing.
func parseSerials(raw []byte, set *revokedSet) error {
	n := 0
	for line := range strings.Lines(string(raw)) {
		n++
		text := strings.TrimPrefix(strings.ReplaceAll(strings.TrimSpace(line), ":", ""), "serial=")
		if text == "" || strings.HasPrefix(text, "#") {
			continue
		}
		serial, ok := new(big.Int).SetString(text, 16)
		if !ok {
			return fmt.Errorf("line %d: want a serial number in hexadecimal, as openssl x509 -noout -serial shows it", n)
		}
		set.any[serial.Text(16)] = true
	}
	return nil
}
