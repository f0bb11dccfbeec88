package harness

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"net/url"

	"plumbline/harness/fault"
)

// startProxies puts the proxies of the plan before the broker and the viewers'
// address.
func (b *Bench) startProxies(context.Context) error {
	var err error
	if b.plan.BrokerFault || b.plan.Packets {
		look := fault.Bytes
		if b.plan.Packets {
			look = fault.MQTT
		}
		if b.BrokerProxy, err = b.proxyTo(b.SUT.Broker(), b.SUT.BrokerTLS(), look); err != nil {
			return err
		}
	}
	if b.plan.ViewerFault || b.plan.Frames {
		target, err := url.Parse(b.SUT.ViewerURL())
		if err != nil {
			return fmt.Errorf("viewer address: %w", err)
		}
		look := fault.Bytes
		if b.plan.Frames {
			look = fault.WebSocket
		}
		if b.ViewerProxy, err = b.proxyTo(target, b.SUT.TLS(), look); err != nil {
			return err
		}
	}
	return nil
}

// startPageProxies puts a proxy before each address of the system under test that its page
// reaches, and returns them by that address. They look at nothing: TLS goes through, and
// nobody but the browser knows that they are there.
func (b *Bench) startPageProxies() (via map[string]string, err error) {
	if !b.plan.PageFault {
		return nil, nil
	}
	via = map[string]string{}
	for _, address := range []string{b.SUT.ViewerURL(), b.SUT.Viewer().Page.URL} {
		target, err := url.Parse(address)
		if err != nil {
			return nil, fmt.Errorf("address of the page: %w", err)
		}
		host, err := hostOf(target)
		if address == "" || via[host] != "" {
			continue // a page of the harness's own is nobody's network
		}
		if err != nil {
			return nil, err
		}
		p, err := b.proxyTo(target, nil, fault.Bytes)
		if err != nil {
			return nil, err
		}
		b.PageProxies = append(b.PageProxies, p)
		via[host] = p.Addr()
	}
	return via, nil
}

// DuringPageFaults calls action while every proxy between the browser and the system has the
// faults that of makes for it; see fault.During. Nothing of it is recorded: the caller's
// windows and events say when it was. Without Plan.PageFault, or before a page is
// opened, there is none, which is an error.
func (b *Bench) DuringPageFaults(ctx context.Context, of func(*fault.Proxy) []fault.Fault, action func(context.Context) error) error {
	if len(b.PageProxies) == 0 {
		return errors.New("harness: no proxy is between the browser and the system: open a page in a bench whose plan has PageFault")
	}
	for _, p := range b.PageProxies {
		for _, f := range of(p) {
			inner := action
			action = func(ctx context.Context) error { return fault.During(ctx, nil, f, inner) }
		}
	}
	return action(ctx)
}

// proxyTo makes a proxy before target. One that looks at something ends TLS, and
// checks the target as a client would that has the settings trust.
func (b *Bench) proxyTo(target *url.URL, trust *tls.Config, look fault.Protocol) (*fault.Proxy, error) {
	host, err := hostOf(target)
	if err != nil {
		return nil, err
	}
	opts := fault.ProxyOptions{Log: b.log, Recorder: b.Recorder, Protocol: look}
	switch {
	case look == fault.Bytes:
	case target.Scheme == "wss" || target.Scheme == "https" || target.Scheme == "mqtts":
		if opts.TLS, err = b.termination(target, trust); err != nil {
			return nil, err
		}
	case look == fault.MQTT && target.Scheme != "mqtt":
		return nil, fmt.Errorf("packets of %q cannot be looked at; the broker needs mqtt:// or mqtts://", target.Redacted())
	}
	return fault.NewProxy(host, opts)
}

// termination shows a certificate of the bench's own authority.
func (b *Bench) termination(target *url.URL, trust *tls.Config) (*fault.Termination, error) {
	if trust == nil {
		trust = &tls.Config{MinVersion: tls.VersionTLS12}
	}
	if len(trust.Certificates) > 0 {
		return nil, errors.New("the system wants client certificates, which do not get through a proxy that looks at frames or packets")
	}
	if b.proxyCA == nil {
		made, err := fault.NewAuthority()
		if err != nil {
			return nil, err
		}
		b.proxyCA = made
	}
	name := target.Hostname()
	if trust.ServerName != "" {
		name = trust.ServerName
	}
	shown, err := b.proxyCA.Certify(name, fault.Flawless)
	if err != nil {
		return nil, err
	}
	return &fault.Termination{Certificate: shown, Upstream: trust}, nil
}

// throughProxy returns the settings for a client whose proxy ends TLS when it
// looks at something: it trusts the bench's own authority.
func (b *Bench) throughProxy(trust *tls.Config, looks bool) *tls.Config {
	if !looks || b.proxyCA == nil {
		return trust
	}
	if trust == nil {
		trust = &tls.Config{MinVersion: tls.VersionTLS12}
	}
	trust.RootCAs = b.proxyCA.Pool()
	return trust
}

// dialTo returns a dialler that goes to addr whatever is asked for: TLS names
// and Host headers stay those of the real system.
func dialTo(addr string) func(context.Context, string, string) (net.Conn, error) {
	return func(ctx context.Context, network, _ string) (net.Conn, error) {
		var d net.Dialer
		return d.DialContext(ctx, network, addr)
	}
}
