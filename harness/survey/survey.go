package survey

import (
	"context"
	"crypto/rand"
	"crypto/x509"
	"fmt"
	"net/url"
	"strings"
	"time"
)

// Options say what to look at. The zero value looks at nothing.
type Options struct {
	Broker      string         // mqtt:// or mqtts://; "" leaves it out
	Viewer      string         // ws://, wss://, http:// or https://; "" leaves it out
	Topic       string         // on which a message is published to see what becomes of it; "" means DefaultTopic
	Origin      string         // of an allowed page; "" sends none
	Hello       []string       // frames that a viewer sends after the handshake
	Authorities *x509.CertPool // nil means those of this machine
	Wait        time.Duration  // for the message; 0 means DefaultWait
}

// Defaults of Options.
const (
	DefaultTopic = "bench/init"
	DefaultWait  = 3 * time.Second
)

// Findings are what was found out.
type Findings struct {
	Options Options
	Broker  Broker
	Viewer  Viewers
}

// Check finds addresses that cannot be looked at.
func (o Options) Check() error {
	for _, a := range []struct {
		name, text string
		schemes    []string
	}{
		{"broker", o.Broker, []string{"mqtt", "mqtts"}}, {"viewer", o.Viewer, []string{"ws", "wss", "http", "https"}},
	} {
		if a.text == "" {
			continue
		}
		u, err := url.Parse(a.text)
		switch {
		case err != nil:
			return fmt.Errorf("survey: address of the %s: %w", a.name, err)
		case u.User != nil:
			return fmt.Errorf("survey: address of the %s holds a user name; it would stand in the descriptor", a.name)
		case u.Hostname() == "" || !strings.Contains(" "+strings.Join(a.schemes, " ")+" ", " "+u.Scheme+" "):
			return fmt.Errorf("survey: address of the %s is %q; it begins with %s:// and a host", a.name, u.Redacted(), strings.Join(a.schemes, "://, "))
		}
	}
	if strings.ContainsAny(o.Topic, "+#\x00") {
		return fmt.Errorf("survey: %q is no topic that can be published to", o.Topic)
	}
	return nil
}

// Look asks broker and viewers' address what it can, without any credential. It
// publishes messages on one topic when there are both. It blocks for some seconds
// at most; what could not be found out says why in the findings.
func Look(ctx context.Context, o Options) Findings {
	if o.Topic == "" {
		o.Topic = DefaultTopic
	}
	if o.Wait <= 0 {
		o.Wait = DefaultWait
	}
	f := Findings{Options: o}
	m := newMarker(o.Topic)
	if o.Broker != "" {
		f.Broker = surveyBroker(ctx, o)
	}
	if o.Viewer == "" {
		return f
	}
	var publish func() error
	if o.Broker != "" && f.Broker.Err == nil {
		publish = func() error { return publishOnce(ctx, o, f.Broker.MQTT, m) }
	}
	f.Viewer = surveyViewers(ctx, o, m, publish)
	return f
}

// newMarker makes a message that nobody has sent before.
func newMarker(topic string) marker {
	nonce := strings.ToLower(rand.Text()[:16])
	return marker{topic: topic, nonce: nonce, payload: []byte(`{"plumbline":"init","nonce":"` + nonce + `"}`)}
}

// publishOnce sends the message over a connection of its own.
func publishOnce(ctx context.Context, o Options, version byte, m marker) error {
	address, err := url.Parse(o.Broker)
	if err != nil {
		return err
	}
	c, err := connect(ctx, address, o, version, &Broker{})
	if err != nil {
		return err
	}
	defer c.close()
	return c.publish(m.topic, m.payload)
}
