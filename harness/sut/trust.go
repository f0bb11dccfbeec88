package sut

import (
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"os"
	"strings"
)

// trust is what clients need to know to reach the system; it is read after the
// processes are ready, because bridged makes its authority at its first start.
type trust struct {
	viewer   *tls.Config // nil for ws:// and http://
	page     *tls.Config // nil where neither viewers nor the page have TLS
	broker   *tls.Config // nil for mqtt://
	brokerCA []byte      // its authorities as PEM, nil for those of the system
	password string
}

// loadTrust reads the authorities and the password that the descriptor names.
func loadTrust(d *Descriptor) (t trust, err error) {
	secure := func(address string) bool { s := scheme(address); return s == "wss" || s == "https" }
	if secure(d.Viewer.URL) || secure(d.Viewer.Page.URL) || secure(d.Viewer.Page.SignIn.Post) {
		if t.page, err = clientTLS("viewer.ca", d.Viewer.CA); err != nil {
			return trust{}, err
		}
	}
	if secure(d.Viewer.URL) {
		t.viewer = t.page
	}
	if scheme(d.Broker.URL) == "mqtts" {
		if t.broker, err = clientTLS("broker.ca", d.Broker.CA); err != nil {
			return trust{}, err
		}
		if d.Broker.CA != "" {
			if t.brokerCA, err = os.ReadFile(d.Broker.CA); err != nil {
				return trust{}, fmt.Errorf("sut: broker.ca: %w: %w", ErrUsage, err)
			}
		}
	}
	if d.Broker.PasswordFile != "" {
		data, err := os.ReadFile(d.Broker.PasswordFile)
		if err != nil {
			return trust{}, fmt.Errorf("sut: broker.passwordFile: %w: %w", ErrUsage, err)
		}
		t.password = strings.TrimSpace(string(data))
	}
	return t, nil
}

// clientTLS trusts the authorities in a PEM file, or those of the system when
// no file is named. There is no way to switch verification off.
func clientTLS(key, path string) (*tls.Config, error) {
	config := &tls.Config{MinVersion: tls.VersionTLS12}
	if path == "" {
		return config, nil
	}
	data, err := os.ReadFile(path)
	if err != nil {
		return nil, fmt.Errorf("sut: %s: %w: %w", key, ErrUsage, err)
	}
	config.RootCAs = x509.NewCertPool()
	if !config.RootCAs.AppendCertsFromPEM(data) {
		return nil, fmt.Errorf("sut: %s: %w: %q holds no PEM certificate", key, ErrUsage, path)
	}
	return config, nil
}
