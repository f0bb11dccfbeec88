package load

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net/url"
	"strings"
	"testing"

	"plumbline/devices/devicetest"
	"plumbline/devices/simulated"
)

func TestPublisherTLS(t *testing.T) {
	server, err := selfSigned()
	if err != nil {
		t.Fatal(err)
	}
	rec := newRecorder(t)
	broker, tap := startBroker(t, server, "")
	roots := x509.NewCertPool()
	roots.AddCert(server.Certificates[0].Leaf)
	p := newPublisher(t, rec, broker, func(c *PublisherConfig) {
		c.TLS = &tls.Config{RootCAs: roots, ServerName: loopbackName, MinVersion: tls.VersionTLS12}
	})
	for seq := uint64(1); seq <= 20; seq++ {
		p.Send(message(rec, 0, seq, 1))
	}
	if err := p.WaitAcked(testContext(t)); err != nil {
		t.Fatal(err)
	}
	if got := len(tap.all()); got != 20 {
		t.Errorf("%d messages at the broker, want 20", got)
	}
	stranger, err := NewPublisher(PublisherConfig{
		Name: "stranger", Broker: broker, Recorder: rec,
		TLS: &tls.Config{ServerName: loopbackName, MinVersion: tls.VersionTLS12},
	})
	if err != nil {
		t.Fatal(err)
	}
	defer stranger.Close()
	var unknown x509.UnknownAuthorityError
	if err := stranger.Connect(testContext(t)); !errors.As(err, &unknown) {
		t.Errorf("a certificate of nobody known: %v, want x509.UnknownAuthorityError", err)
	}
}

func TestPublisherRefused(t *testing.T) {
	rec := newRecorder(t)
	broker, _ := startBroker(t, nil, "secret-p")
	newPublisher(t, rec, broker, func(c *PublisherConfig) { c.Username, c.Password = "u", "secret-p" })

	wrong, err := NewPublisher(PublisherConfig{Name: "wrong", Broker: broker, Recorder: rec, Username: "u", Password: "wrong-p"})
	if err != nil {
		t.Fatal(err)
	}
	defer wrong.Close()
	err = wrong.Connect(testContext(t))
	if err == nil || !strings.Contains(err.Error(), "refused") || strings.Contains(err.Error(), "wrong-p") {
		t.Errorf("wrong password: %v, want a refusal that does not name it", err)
	}

	nobody := &url.URL{Scheme: "mqtt", Host: fmt.Sprintf("127.0.0.1:%d", devicetest.FreePort(t))}
	lonely, err := NewPublisher(PublisherConfig{Name: "lonely", Broker: nobody, Recorder: rec})
	if err != nil {
		t.Fatal(err)
	}
	defer lonely.Close()
	if err := lonely.Connect(testContext(t)); err == nil || !strings.Contains(err.Error(), nobody.Host) {
		t.Errorf("nobody listens: %v, want an error that names %s", err, nobody.Host)
	}
}

func TestPublisherConfigErrors(t *testing.T) {
	rec := newRecorder(t)
	for _, c := range []struct {
		name, broker, want string
	}{
		{"scheme", "http://127.0.0.1:1", "scheme"},
		{"host", "mqtt://", "names no host"},
	} {
		u, err := url.Parse(c.broker)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := NewPublisher(PublisherConfig{Name: "x", Broker: u, Recorder: rec}); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: %v, want %q", c.name, err, c.want)
		}
	}
	if _, err := NewPublisher(PublisherConfig{}); err == nil {
		t.Error("a publisher without anything was made")
	}
	p, err := NewPublisher(PublisherConfig{Name: "x", Broker: &url.URL{Scheme: "mqtt", Host: "127.0.0.1:1"}, Recorder: rec})
	if err != nil {
		t.Fatal(err)
	}
	wide, err := NewPublisher(PublisherConfig{Name: "w", Broker: p.cfg.Broker, Recorder: rec, InFlight: 1 << 20})
	if err != nil || wide.cfg.InFlight != 65_535 {
		t.Errorf("a window of more messages than packet identifiers: %v", err)
	}
	for range 2 { // never connected, closed twice
		if err := p.Close(); err != nil {
			t.Error(err)
		}
	}
	if err := p.Connect(testContext(t)); err == nil {
		t.Error("a closed publisher connected")
	}
}

// What one publisher was told is the error of all, not what that cut short for
// the others.
func TestConnectTellsTheFirstCause(t *testing.T) {
	broker, _ := startBroker(t, nil, "secret")
	for range 20 {
		var sources []Source
		twins, err := simulated.Fleet(connectAtOnce, 1, simulated.FleetOptions{})
		if err != nil {
			t.Fatal(err)
		}
		for _, twin := range twins {
			sources = append(sources, Source{Device: twin, Topic: "t/" + twin.Info().ID, QoS: 1})
		}
		g, err := NewGenerator(Config{Recorder: newRecorder(t), Broker: broker, Run: "0123abcd", Password: "wrong", Sources: sources})
		if err != nil {
			t.Fatal(err)
		}
		if err := g.Connect(testContext(t)); err == nil || !strings.Contains(err.Error(), "check user name") {
			t.Fatalf("the error is %v", err)
		}
		if err := g.Close(); err != nil {
			t.Error(err)
		}
	}
}
