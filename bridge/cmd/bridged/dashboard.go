package main

import (
	"context"
	"crypto/x509"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"path/filepath"
	"strings"
	"time"

	"plumbline/bridge"
	"plumbline/bridge/config"
	"plumbline/bridge/devca"
)

// dashboard has the running bridge make a sign-in code of a new token, and prints it with the link that holds it. The code stands
// behind # in the link, where no server and no log sees it, and works once, so that what a browser's history keeps is worth nothing.
// The token itself is not printed.
func dashboard(c call) int {
	f := newFlags(c, "dashboard")
	var w wanted
	w.flags(f)
	public := f.String("url", "", "`URL` under which the browser reaches the bridge, when that is not the address it listens on, as behind a proxy")
	if code, ok := f.parse(c.args, 0); !ok {
		return code
	}
	cfg, err := f.load()
	if err != nil {
		return fail(c.stderr, err)
	}
	if !cfg.Viewers.Dashboard {
		return fail(c.stderr, fmt.Errorf("%w: viewers.dashboard is false: this bridge serves no page", bridge.ErrConfig))
	}
	verifier, err := bridge.NewVerifier(cfg)
	if err != nil {
		return fail(c.stderr, err)
	}
	token, code := w.good(f, cfg, verifier)
	if token == "" {
		return code
	}
	d, err := findDoor(cfg)
	if err != nil {
		return fail(c.stderr, err)
	}
	if *public != "" {
		u, err := url.Parse(*public)
		if err != nil || u.Scheme != "https" && u.Scheme != "http" || u.Host == "" || strings.Trim(u.Path, "/") != "" || u.RawQuery != "" || u.Fragment != "" {
			return f.bad("--url %q: want scheme and host, such as https://bridge.example", *public)
		}
		d.page = u.Scheme + "://" + u.Host + "/"
	}
	text, life, err := d.code(token)
	if err != nil {
		return fail(c.stderr, err)
	}
	_, _ = fmt.Fprintf(c.stdout, "Open this link within %s. It works once, and signs in as %s for %s:\n\n  %s#code=%s\n\nOr open %s and type the code %s.\n", life, w.subject, w.ttl, d.page, text, d.page, text)
	if d.development {
		_, _ = fmt.Fprintf(c.stdout, "The browser does not know the development certificate: have it believe %s, or let it pass once.\n", filepath.Join(cfg.Data, "tls", devca.CAFile))
	}
	return exitOK
}

// door is the viewers' listener of the running bridge, as this machine reaches it.
type door struct {
	base        string // URL to ask, without a slash at the end
	page        string // URL for a browser
	client      *http.Client
	development bool // it shows the development certificate
}

// findDoor looks up where the running bridge listens and which certificate it shows.
func findDoor(cfg config.Config) (*door, error) {
	a, err := addresses(cfg)
	if err != nil {
		return nil, fmt.Errorf("%w: %w: start it first; bridged token prints a token without it", bridge.ErrUnavailable, err)
	}
	host, port, err := net.SplitHostPort(a.Viewers)
	if err != nil {
		return nil, fmt.Errorf("%w: %s: %w", bridge.ErrUnavailable, bridge.AddressFile, err)
	}
	if ip := net.ParseIP(host); ip != nil && ip.IsUnspecified() {
		host = "localhost"
	}
	d := &door{client: &http.Client{Timeout: 10 * time.Second, Transport: &http.Transport{}}} // no proxy
	if cfg.Viewers.Plaintext {
		d.base = "http://" + net.JoinHostPort(host, port)
		d.page = d.base + "/"
		return d, nil
	}
	key, file := "viewers.tls.cert", cfg.Viewers.TLS.Cert
	if d.development = file == ""; d.development {
		key, file = "the development certificate", filepath.Join(cfg.Data, "tls", devca.ServerFile)
	}
	conf, der, err := pinned(key, file)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", bridge.ErrConfig, err)
	}
	cert, err := x509.ParseCertificate(der)
	if err != nil {
		return nil, fmt.Errorf("%w: %s: %w", bridge.ErrConfig, key, err)
	}
	d.client.Transport = &http.Transport{TLSClientConfig: conf}
	d.base = "https://" + net.JoinHostPort(host, port)
	d.page = "https://" + net.JoinHostPort(nameFor(cert, host), port) + "/"
	if port == "443" {
		d.page = "https://" + nameFor(cert, host) + "/"
	}
	return d, nil
}

// nameFor returns the host to put into a link: the one that is listened on, if the certificate is for it, else the first name of the
// certificate.
func nameFor(cert *x509.Certificate, host string) string {
	if cert.VerifyHostname(host) == nil {
		return host
	}
	for _, name := range cert.DNSNames {
		if !strings.Contains(name, "*") {
			return name
		}
	}
	return host
}

// code has the bridge make a code for the token.
func (d *door) code(token string) (text string, life time.Duration, err error) {
	ctx, cancel := context.WithTimeout(context.Background(), d.client.Timeout)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, d.base+"/session/code", nil)
	if err != nil {
		return "", 0, err
	}
	req.Header.Set("Authorization", "Bearer "+token)
	resp, err := d.client.Do(req)
	if err != nil {
		return "", 0, fmt.Errorf("%w: the bridge does not answer: %w", bridge.ErrUnavailable, err)
	}
	defer func() { _ = resp.Body.Close() }()
	var got struct {
		Code    string `json:"code"`
		Expires int    `json:"expires_in"`
		Error   string `json:"error"`
	}
	if err := json.NewDecoder(io.LimitReader(resp.Body, 64<<10)).Decode(&got); err != nil {
		return "", 0, fmt.Errorf("%w: %s answers, but not as a bridge of this version", bridge.ErrUnavailable, d.base)
	}
	if resp.StatusCode != http.StatusCreated || got.Code == "" {
		return "", 0, errors.Join(bridge.ErrUnavailable, fmt.Errorf("the bridge makes no code: %s (%d)", got.Error, resp.StatusCode))
	}
	return got.Code, time.Duration(got.Expires) * time.Second, nil
}
