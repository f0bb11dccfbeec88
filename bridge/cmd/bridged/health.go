package main

import (
	"bytes"
	"context"
	"crypto/tls"
	"encoding/json"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"time"

	"plumbline/bridge"
	"plumbline/bridge/config"
)

// health asks /readyz: exit 0 when the bridge is ready, 1 when it answers that it is not, 4 when nobody answers.
func health(c call) int {
	f := newFlags(c, "health")
	limit := f.Duration("timeout", 3*time.Second, "how long to wait for the answer")
	if code, ok := f.parse(c.args, 0); !ok {
		return code
	}
	cfg, err := f.load()
	if err != nil {
		return fail(c.stderr, err)
	}
	if cfg.Ops.Listen == "" {
		return fail(c.stderr, fmt.Errorf("%w: ops.listen is empty: there is no listener to ask", bridge.ErrConfig))
	}
	addr, err := opsAddress(cfg)
	if err != nil {
		return fail(c.stderr, fmt.Errorf("%w: %w", bridge.ErrUnavailable, err))
	}
	ctx, cancel := context.WithTimeout(context.Background(), *limit)
	defer cancel()
	scheme, conf, err := opsTLS(cfg)
	if err != nil {
		return fail(c.stderr, fmt.Errorf("%w: %w", bridge.ErrConfig, err))
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, scheme+"://"+addr+"/readyz", nil)
	if err != nil {
		return fail(c.stderr, fmt.Errorf("%w: ops.listen: %w", bridge.ErrConfig, err))
	}
	resp, err := (&http.Client{Transport: &http.Transport{TLSClientConfig: conf}}).Do(req) // no proxy
	if err != nil {
		return fail(c.stderr, fmt.Errorf("%w: %w", bridge.ErrUnavailable, err))
	}
	defer func() { _ = resp.Body.Close() }()
	var answer struct{ Status, Reason string }
	if err := json.NewDecoder(io.LimitReader(resp.Body, 64<<10)).Decode(&answer); err != nil {
		return fail(c.stderr, fmt.Errorf("%w: %s answers, but not as a bridge", bridge.ErrUnavailable, addr))
	}
	if resp.StatusCode != http.StatusOK {
		_, _ = fmt.Fprintf(c.stdout, "%s: %s\n", answer.Status, answer.Reason)
		return exitRefused
	}
	_, _ = fmt.Fprintln(c.stdout, answer.Status)
	return exitOK
}

// opsAddress returns where to ask: the address in the configuration, or, when that leaves the port to the system, the one that
// the running bridge has written down.
func opsAddress(cfg config.Config) (string, error) {
	host, port, err := net.SplitHostPort(cfg.Ops.Listen)
	if err != nil {
		return "", fmt.Errorf("ops.listen: %w", err)
	}
	if port == "0" {
		a, err := addresses(cfg)
		return a.Ops, err
	}
	if ip := net.ParseIP(host); host == "" || ip != nil && ip.IsUnspecified() {
		host = "localhost"
	}
	return net.JoinHostPort(host, port), nil
}

// addresses returns what the running bridge has written down.
func addresses(cfg config.Config) (a bridge.Addresses, err error) {
	raw, err := os.ReadFile(filepath.Join(cfg.Data, bridge.AddressFile))
	if err != nil {
		return a, fmt.Errorf("no bridge runs on the data folder: %w", err)
	}
	if err := json.Unmarshal(raw, &a); err != nil {
		return a, fmt.Errorf("read %s: %w", bridge.AddressFile, err)
	}
	return a, nil
}

// opsTLS returns how the operators' listener is spoken to. The one certificate that is believed is the one that it is configured
// with: its name is seldom that of a loopback address.
func opsTLS(cfg config.Config) (scheme string, conf *tls.Config, err error) {
	t := cfg.Ops.TLS
	if t.Cert == "" {
		return "http", nil, nil
	}
	conf, _, err = pinned("ops.tls.cert", t.Cert)
	return "https", conf, err
}

// pinned returns how a listener is spoken to that shows the certificate in a file and no other, and that certificate as it is in there. key
// is the setting that names the file.
func pinned(key, file string) (conf *tls.Config, der []byte, err error) {
	raw, err := os.ReadFile(file)
	if err != nil {
		return nil, nil, fmt.Errorf("%s: %w", key, err)
	}
	block, _ := pem.Decode(raw)
	if block == nil {
		return nil, nil, fmt.Errorf("%s: %q holds no PEM certificate", key, file)
	}
	return &tls.Config{
		MinVersion:         tls.VersionTLS12,
		InsecureSkipVerify: true, //nolint:gosec // VerifyConnection is stricter: this very certificate, and the handshake proves its key
		VerifyConnection: func(s tls.ConnectionState) error {
			if len(s.PeerCertificates) == 0 || !bytes.Equal(s.PeerCertificates[0].Raw, block.Bytes) {
				return errors.New("the listener has another certificate than " + key)
			}
			return nil
		},
	}, block.Bytes, nil
}
