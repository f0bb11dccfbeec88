package sut

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"fmt"
	"net"
	"net/url"
	"os"
	"path/filepath"
	"time"

	"plumbline/harness/fault"
)

// Names of the files in the folder that a cluster has its certificate in.
const (
	caFile        = "ca.pem"
	serverFile    = "server.pem"
	serverKeyFile = "server-key.pem"
)

// certify writes the certificate that the nodes of a cluster share, and the authority that it is of, before anything is started.
func (s *SUT) certify() error {
	folder := s.Cluster().TLS
	if folder == "" {
		return nil
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.authority != nil {
		return nil
	}
	authority, err := fault.NewAuthority()
	if err != nil {
		return fmt.Errorf("sut: certificate of the cluster: %w", err)
	}
	if err := os.MkdirAll(folder, 0o700); err != nil {
		return fmt.Errorf("sut: certificate of the cluster: %w", err)
	}
	if err := replace(filepath.Join(folder, caFile), "CERTIFICATE", authority.Certificate()); err != nil {
		return err
	}
	if _, err := issue(authority, folder); err != nil {
		return err
	}
	s.authority = authority // all of it is there: another start begins anew otherwise
	return nil
}

// issue puts a new pair in place, the key first, and returns the serial number of the certificate.
func issue(authority *fault.Authority, folder string) (serial string, err error) {
	pair, err := authority.Certify("127.0.0.1", fault.Flawless, "localhost")
	if err != nil {
		return "", fmt.Errorf("sut: certificate of the cluster: %w", err)
	}
	key, err := x509.MarshalPKCS8PrivateKey(pair.PrivateKey)
	if err != nil {
		return "", fmt.Errorf("sut: key of the cluster: %w", err)
	}
	leaf, err := x509.ParseCertificate(pair.Certificate[0])
	if err != nil {
		return "", fmt.Errorf("sut: certificate of the cluster: %w", err)
	}
	if err := replace(filepath.Join(folder, serverKeyFile), "PRIVATE KEY", key); err != nil {
		return "", err
	}
	return leaf.SerialNumber.Text(16), replace(filepath.Join(folder, serverFile), "CERTIFICATE", leaf.Raw)
}

// replace writes a file of one PEM block, and puts it in the place of the one before at once.
func replace(path, kind string, der []byte) error {
	if err := os.WriteFile(path+".new", pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: der}), 0o600); err != nil {
		return fmt.Errorf("sut: certificate of the cluster: %w", err)
	}
	if err := os.Rename(path+".new", path); err != nil {
		return fmt.Errorf("sut: certificate of the cluster: %w", err)
	}
	return nil
}

// RenewCertificate puts a new certificate and its key in the place of those that the nodes of the cluster share, of the same
// authority, and tells the balancer, where the descriptor has a hook for that. It returns the serial number of the new one in
// hexadecimal digits. Where the descriptor names no folder for it the error wraps ErrNoControl.
func (s *SUT) RenewCertificate(ctx context.Context) (serial string, err error) {
	s.mu.Lock()
	authority := s.authority
	s.mu.Unlock()
	if authority == nil {
		return "", fmt.Errorf("sut: %q: %w: its descriptor names no folder for its certificate (cluster.tls)", s.source.Name, ErrNoControl)
	}
	if serial, err = issue(authority, s.Cluster().TLS); err == nil && s.Reloads() {
		err = s.ReloadBalancer(ctx)
	}
	return serial, err
}

// TLSAddresses returns where viewers are served over TLS, as host:port: first where they connect, then each node of a cluster whose own
// address is known. None where viewers have no TLS.
func (s *SUT) TLSAddresses() (all []string) {
	d := s.descriptor()
	if at, err := url.Parse(d.Viewer.URL); err == nil && at.Scheme == "wss" {
		all = append(all, at.Host)
		for _, n := range s.Cluster().Nodes {
			if n.Viewers != "" {
				all = append(all, n.Viewers)
			}
		}
	}
	return all
}

// shownLimit bounds a handshake that is made to see a certificate.
const shownLimit = 30 * time.Second

// Shown makes a TLS handshake as a viewer does and returns the serial number of the certificate that was shown, which must be good, in
// hexadecimal digits.
func (s *SUT) Shown(ctx context.Context, address string) (serial string, err error) {
	s.mu.Lock()
	config := s.trust.viewer
	s.mu.Unlock()
	if config == nil {
		return "", fmt.Errorf("sut: certificate at %s: %w: viewers have no TLS, or the system was not started", address, ErrNoControl)
	}
	ctx, cancel := context.WithTimeout(ctx, shownLimit)
	defer cancel()
	conn, err := (&tls.Dialer{NetDialer: &net.Dialer{}, Config: config}).DialContext(ctx, "tcp", address)
	if err != nil {
		return "", fmt.Errorf("sut: certificate at %s: %w", address, err)
	}
	defer func() { _ = conn.Close() }()
	secured, _ := conn.(*tls.Conn) // of a tls.Dialer
	return secured.ConnectionState().PeerCertificates[0].SerialNumber.Text(16), nil
}
