//go:build unix

package sut

import (
	"crypto/tls"
	"errors"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// certified is the cluster of clusterDescriptor, whose first process starts only when its certificate is there.
var certified = strings.NewReplacer(
	"mkdir -p '{{dir}}/joint'", "test -s '{{dir}}/tls/server-key.pem' && mkdir -p '{{dir}}/joint'",
	`url: "ws://127.0.0.1:{{port:front}}/"`, `url: "wss://127.0.0.1:{{port:front}}/", ca: "{{dir}}/tls/ca.pem"`,
	`{process: right,`, `{process: right, viewers: "127.0.0.1:{{port:right}}",`,
	"  lease: 2s", "  tls: \"{{dir}}/tls\"\n  lease: 2s",
).Replace(clusterDescriptor)

// TestCertificateOfAClusterIsRenewed: who connects is shown the new certificate, of the same authority, and the balancer is told.
func TestCertificateOfAClusterIsRenewed(t *testing.T) {
	s := cluster(t, certified)
	at := s.TLSAddresses()
	if len(at) != 2 || at[1] != s.Cluster().Nodes[1].Viewers {
		t.Fatalf("viewers are served over TLS at %v", at)
	}
	folder := s.Cluster().TLS
	server, err := tls.Listen("tcp", at[0], &tls.Config{MinVersion: tls.VersionTLS12, GetCertificate: func(*tls.ClientHelloInfo) (*tls.Certificate, error) {
		pair, err := tls.LoadX509KeyPair(filepath.Join(folder, serverFile), filepath.Join(folder, serverKeyFile))
		return &pair, err
	}})
	if err != nil {
		t.Fatal(err)
	}
	defer server.Close()
	go func() {
		for {
			conn, err := server.Accept()
			if err != nil {
				return
			}
			go func() { _, _ = conn.Read(make([]byte, 1)); _ = conn.Close() }() // it ends with the one that looks
		}
	}()
	before, err := s.Shown(t.Context(), at[0])
	if err != nil {
		t.Fatal(err)
	}
	renewed, err := s.RenewCertificate(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	after, err := s.Shown(t.Context(), at[0])
	if err != nil || after != renewed || after == before {
		t.Errorf("%q was shown, then %q was made and %q shown, %v", before, renewed, after, err)
	}
	if text, err := os.ReadFile(filepath.Join(s.private, "reloaded")); err != nil || string(text) != "again\n" {
		t.Errorf("the balancer was told: %q, %v", text, err)
	}
	if _, err := s.Shown(t.Context(), at[1]); err == nil { // nobody listens there
		t.Error("an address where nobody listens shows a certificate")
	}
}

func TestCertificateOfSomebodyElse(t *testing.T) {
	s := cluster(t, clusterDescriptor)
	if s.Has(CapRenewal) || len(s.TLSAddresses()) > 0 {
		t.Errorf("it has %q: %v; addresses are %v", CapRenewal, s.Has(CapRenewal), s.TLSAddresses())
	}
	if _, err := s.RenewCertificate(t.Context()); !errors.Is(err, ErrNoControl) {
		t.Errorf("a certificate that is not the harness's: %v", err)
	}
	if _, err := s.Shown(t.Context(), net.JoinHostPort("127.0.0.1", "1")); !errors.Is(err, ErrNoControl) {
		t.Errorf("viewers without TLS: %v", err)
	}
}
