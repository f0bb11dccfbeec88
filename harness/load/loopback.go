package load

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"math/big"
	"net"
	"time"
)

// loopback returns both ends of a new TCP connection on the loopback
// interface, under TLS when server is not nil.
func loopback(ctx context.Context, server *tls.Config) (client, accepted net.Conn, err error) {
	var listen net.ListenConfig
	listener, err := listen.Listen(ctx, "tcp", "127.0.0.1:0")
	if err != nil {
		return nil, nil, fmt.Errorf("load: listen on the loopback interface: %w", err)
	}
	defer func() { err = errors.Join(err, listener.Close()) }()
	var dialer net.Dialer
	if client, err = dialer.DialContext(ctx, "tcp", listener.Addr().String()); err != nil {
		return nil, nil, fmt.Errorf("load: connect on the loopback interface: %w", err)
	}
	if accepted, err = listener.Accept(); err != nil {
		return nil, nil, errors.Join(fmt.Errorf("load: accept on the loopback interface: %w", err), client.Close())
	}
	if server == nil {
		return client, accepted, nil
	}
	return secureBoth(ctx, client, accepted, server)
}

// secureBoth runs the TLS handshake between both ends of one connection.
func secureBoth(ctx context.Context, client, accepted net.Conn, server *tls.Config) (net.Conn, net.Conn, error) {
	roots := x509.NewCertPool()
	roots.AddCert(server.Certificates[0].Leaf)
	outer := tls.Client(client, &tls.Config{RootCAs: roots, ServerName: loopbackName, MinVersion: tls.VersionTLS13})
	inner := tls.Server(accepted, server)
	errs := make(chan error, 1)
	go func() { errs <- inner.HandshakeContext(ctx) }()
	err := outer.HandshakeContext(ctx)
	if err != nil {
		err = errors.Join(err, client.Close()) // ends the other side too
	}
	if err = errors.Join(err, <-errs); err != nil {
		return nil, nil, errors.Join(fmt.Errorf("load: TLS on the loopback interface: %w", err), client.Close(), accepted.Close())
	}
	return outer, inner, nil
}

const loopbackName = "localhost"

// selfSigned returns a server configuration with a certificate that lives in
// memory for an hour.
func selfSigned() (*tls.Config, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, fmt.Errorf("load: make a key: %w", err)
	}
	now := time.Now()
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), DNSNames: []string{loopbackName},
		NotBefore: now.Add(-time.Minute), NotAfter: now.Add(time.Hour),
		IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageDigitalSignature | x509.KeyUsageCertSign,
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth},
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key)
	if err != nil {
		return nil, fmt.Errorf("load: make a certificate: %w", err)
	}
	leaf, err := x509.ParseCertificate(der)
	if err != nil {
		return nil, fmt.Errorf("load: read the certificate: %w", err)
	}
	return &tls.Config{
		Certificates: []tls.Certificate{{Certificate: [][]byte{der}, PrivateKey: key, Leaf: leaf}},
		MinVersion:   tls.VersionTLS13,
	}, nil
}
