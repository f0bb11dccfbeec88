// Package certificate keeps a TLS listener's certificate up to date while it serves: a new pair is looked over before it takes
// the old one's place, and what does not hold never does. Connections that are there stay as they are.
package certificate

import (
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"sync"
	"sync/atomic"
	"time"
)

// Interval is how often a Source looks at its files. It reads them whole, some kilobytes: neither a clock that jumps nor a tool
// that keeps the old time of a file hides a change.
const Interval = time.Second

// Options configures a Source. Key, Read and Log are required.
type Options struct {
	Key    string                                     // the setting, for messages: viewers.tls
	Read   func() (certPEM, keyPEM []byte, err error) // see Files
	Every  time.Duration                              // 0 = Interval
	Now    func() time.Time                           // nil = time.Now
	Taken  func(leaf *x509.Certificate)               // called for each pair that is taken, the first too; nil = none
	Failed func()                                     // called for each new pair that is not; nil = none
	Log    *slog.Logger
}

// Files reads a pair from two PEM files: the certificate with what it was signed by after it, and its key.
func Files(cert, key string) func() (certPEM, keyPEM []byte, err error) {
	return func() ([]byte, []byte, error) {
		c, err := os.ReadFile(cert)
		if err != nil {
			return nil, nil, err
		}
		k, err := os.ReadFile(key)
		return c, k, err
	}
}

// Source holds the certificate in force. Safe for concurrent use.
type Source struct {
	opts    Options
	current atomic.Pointer[tls.Certificate]

	mu       sync.Mutex
	last     [2][]byte // what was looked at last, good or bad
	problem  error     // why what was looked at last is not in force
	reported string
}

// New reads the pair, which must be good.
func New(o Options) (*Source, error) {
	if o.Every <= 0 {
		o.Every = Interval
	}
	if o.Now == nil {
		o.Now = time.Now
	}
	s := &Source{opts: o}
	if err := s.look(); err != nil {
		return nil, err
	}
	return s, nil
}

// Get is for tls.Config.GetCertificate. Every server name gets the same certificate: there is no other to mix it up with.
func (s *Source) Get(*tls.ClientHelloInfo) (*tls.Certificate, error) { return s.current.Load(), nil }

// Names reports whether the certificate in force is for a host: a name, or an address without brackets.
func (s *Source) Names(host string) bool {
	return host != "" && s.current.Load().Leaf.VerifyHostname(host) == nil
}

// Run looks for a new pair until ctx ends, and returns nil then.
func (s *Source) Run(ctx context.Context) error {
	tick := time.NewTicker(s.opts.Every)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
			s.Reload()
		}
	}
}

// Reload looks for a new pair now. A bad one is logged, counted and kept in Err once; the old one stays in force.
func (s *Source) Reload() {
	err := s.look()
	text := ""
	if err != nil {
		text = err.Error()
	}
	s.mu.Lock()
	fresh := text != s.reported
	s.reported = text
	s.mu.Unlock()
	if err == nil || !fresh {
		return
	}
	s.opts.Log.Error("new certificate not taken, the old one stays in force", "setting", s.opts.Key, "error", err)
	if s.opts.Failed != nil {
		s.opts.Failed()
	}
}

// Err says what an operator must mend: why the newest pair is not in force, or that the one in force has expired. Nil when all
// is well.
func (s *Source) Err() error {
	s.mu.Lock()
	problem := s.problem
	s.mu.Unlock()
	if problem != nil {
		return problem
	}
	if leaf := s.current.Load().Leaf; s.opts.Now().After(leaf.NotAfter) {
		return fmt.Errorf("%s: the certificate in force has expired on %s: renew it", s.opts.Key, leaf.NotAfter.Format(time.RFC3339))
	}
	return nil
}

// look reads the pair and takes it if it is new and good.
func (s *Source) look() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	certPEM, keyPEM, err := s.opts.Read()
	if err != nil {
		s.last, s.problem = [2][]byte{}, fmt.Errorf("%s: %w", s.opts.Key, err)
		return s.problem
	}
	if bytes.Equal(certPEM, s.last[0]) && bytes.Equal(keyPEM, s.last[1]) {
		return s.problem
	}
	s.last = [2][]byte{certPEM, keyPEM}
	pair, err := Check(certPEM, keyPEM, s.opts.Now())
	if err != nil {
		s.problem = fmt.Errorf("%s: %w", s.opts.Key, err)
		return s.problem
	}
	s.problem = nil
	old := s.current.Swap(&pair)
	if s.opts.Taken != nil {
		s.opts.Taken(pair.Leaf)
	}
	if old != nil && !old.Leaf.Equal(pair.Leaf) {
		s.opts.Log.Info("new certificate in force", "setting", s.opts.Key, "not_after", pair.Leaf.NotAfter.UTC().Format(time.RFC3339), "serial", pair.Leaf.SerialNumber.String())
	}
	return nil
}

// Check returns the pair if a server can show it: the key belongs to the certificate, each certificate after it signed the one
// before, none is expired or not valid yet, the first names somebody and is good for servers. The error never holds key material.
func Check(certPEM, keyPEM []byte, now time.Time) (tls.Certificate, error) {
	pair, err := tls.X509KeyPair(certPEM, keyPEM)
	if err != nil {
		return pair, err
	}
	chain := make([]*x509.Certificate, 0, len(pair.Certificate))
	for i, der := range pair.Certificate {
		c, err := x509.ParseCertificate(der)
		if err != nil {
			return pair, fmt.Errorf("certificate %d of the chain: %w", i+1, err)
		}
		if now.Before(c.NotBefore) || now.After(c.NotAfter) {
			return pair, fmt.Errorf("certificate %d of the chain (%s) is valid from %s to %s only: renew it", i+1, c.Subject.CommonName,
				c.NotBefore.Format(time.RFC3339), c.NotAfter.Format(time.RFC3339))
		}
		if i > 0 {
			if err := chain[i-1].CheckSignatureFrom(c); err != nil {
				return pair, fmt.Errorf("certificate %d of the chain (%s) did not sign the one before it: put the issuers in order: %w", i+1, c.Subject.CommonName, err)
			}
		}
		chain = append(chain, c)
	}
	leaf := chain[0]
	if len(leaf.DNSNames)+len(leaf.IPAddresses) == 0 {
		return pair, errors.New("the certificate names no host: clients look at its alternative names only (RFC 6125), so give it some")
	}
	if !forServers(leaf) {
		return pair, errors.New("the certificate is not for servers: its extended key usage lacks serverAuth")
	}
	pair.Leaf = leaf
	return pair, nil
}

// forServers reports whether the certificate may be shown by a TLS server (RFC 5280 section 4.2.1.12).
func forServers(c *x509.Certificate) bool {
	if len(c.ExtKeyUsage)+len(c.UnknownExtKeyUsage) == 0 {
		return true
	}
	for _, u := range c.ExtKeyUsage {
		if u == x509.ExtKeyUsageServerAuth || u == x509.ExtKeyUsageAny {
			return true
		}
	}
	return false
}

// Authorities reads the authorities to believe from a PEM file.
func Authorities(file string) (*x509.CertPool, error) {
	raw, err := os.ReadFile(file)
	if err != nil {
		return nil, err
	}
	pool := x509.NewCertPool()
	if !pool.AppendCertsFromPEM(raw) {
		return nil, fmt.Errorf("%q holds no certificate in PEM", file)
	}
	return pool, nil
}
