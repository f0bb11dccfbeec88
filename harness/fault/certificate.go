package fault

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"errors"
	"fmt"
	"net"
	"time"
)

// Flaw is what is wrong with a certificate.
type Flaw uint8

// The flaws.
const (
	Flawless     Flaw = iota // as it should be
	Expired                  // its time ended an hour ago
	NotYetValid              // its time begins in an hour
	WrongHost                // it is for another host
	SelfSigned               // no authority signed it
	ForeignIssue             // an authority signed it that nobody trusts, of the same name as the right one
)

// String implements fmt.Stringer.
func (f Flaw) String() string {
	if names := [...]string{"flawless", "expired", "not yet valid", "for another host", "self-signed", "of a foreign authority"}; int(f) < len(names) {
		return names[f]
	}
	return fmt.Sprintf("flaw %d", uint8(f))
}

// Authority signs certificates for a test. Its key never leaves the process.
type Authority struct {
	cert *x509.Certificate
	key  *ecdsa.PrivateKey
}

// NewAuthority makes an authority that nobody trusts until they take its Pool.
// It is valid for a day.
func NewAuthority() (*Authority, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, fmt.Errorf("fault: key of an authority: %w", err)
	}
	now := time.Now()
	template := &x509.Certificate{
		Subject:   pkix.Name{CommonName: "Plumbline fault injection"},
		NotBefore: now.Add(-2 * time.Hour), NotAfter: now.Add(24 * time.Hour),
		IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign | x509.KeyUsageDigitalSignature,
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		return nil, fmt.Errorf("fault: authority: %w", err)
	}
	cert, err := x509.ParseCertificate(der)
	if err != nil {
		return nil, fmt.Errorf("fault: authority: %w", err)
	}
	return &Authority{cert: cert, key: key}, nil
}

// AuthorityOf takes a pair of certificate and ECDSA key, for a system under test
// that trusts an authority of its own.
func AuthorityOf(pair tls.Certificate) (*Authority, error) {
	key, ok := pair.PrivateKey.(*ecdsa.PrivateKey)
	if !ok || len(pair.Certificate) == 0 {
		return nil, errors.New("fault: an authority needs a certificate and its ECDSA key")
	}
	cert, err := x509.ParseCertificate(pair.Certificate[0])
	if err != nil {
		return nil, fmt.Errorf("fault: authority: %w", err)
	}
	return &Authority{cert: cert, key: key}, nil
}

// Pool trusts the authority and nobody else.
func (a *Authority) Pool() *x509.CertPool {
	pool := x509.NewCertPool()
	pool.AddCert(a.cert)
	return pool
}

// Certificate returns what clients are to trust, in DER.
func (a *Authority) Certificate() []byte { return a.cert.Raw }

// Certify makes a certificate of a server at host, a name or an IP address, and at
// others, with that flaw and no other: an expired one is signed by the authority, too.
func (a *Authority) Certify(host string, flaw Flaw, others ...string) (tls.Certificate, error) {
	if host == "" || flaw > ForeignIssue {
		return tls.Certificate{}, fmt.Errorf("fault: certificate for %q, %v: give a host and a flaw that there is", host, flaw)
	}
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return tls.Certificate{}, fmt.Errorf("fault: certificate for %q: %w", host, err)
	}
	now := time.Now()
	template := &x509.Certificate{
		Subject:   pkix.Name{CommonName: host},
		NotBefore: now.Add(-time.Hour), NotAfter: now.Add(23 * time.Hour),
		KeyUsage: x509.KeyUsageDigitalSignature, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth},
	}
	parent, signer := a.cert, a.key
	switch flaw {
	case Expired:
		template.NotBefore, template.NotAfter = now.Add(-2*time.Hour), now.Add(-time.Hour)
	case NotYetValid:
		template.NotBefore = now.Add(time.Hour)
	case WrongHost:
		host = "another-host.invalid" // RFC 2606 section 2: nobody has it
	case SelfSigned:
		parent, signer = template, key
	case ForeignIssue:
		foreign, err := NewAuthority()
		if err != nil {
			return tls.Certificate{}, err
		}
		parent, signer = foreign.cert, foreign.key
	case Flawless:
	}
	for _, host := range append([]string{host}, others...) {
		if ip := net.ParseIP(host); ip != nil {
			template.IPAddresses = append(template.IPAddresses, ip)
		} else {
			template.DNSNames = append(template.DNSNames, host)
		}
	}
	der, err := x509.CreateCertificate(rand.Reader, template, parent, key.Public(), signer)
	if err != nil {
		return tls.Certificate{}, fmt.Errorf("fault: certificate for %q: %w", host, err)
	}
	return tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key}, nil
}
