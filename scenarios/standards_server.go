package scenarios

import (
	"cmp"
	"fmt"
	"strings"
	"sync/atomic"

	"plumbline/harness"
	"plumbline/harness/conform/mqtt"
	"plumbline/harness/conform/ws"
	"plumbline/harness/sut"
	"plumbline/harness/viewer"
)

// webServer says how the descriptor's viewers come in; absent is not "" when
// they do not use WebSocket.
func webServer(b *harness.Bench) (target ws.Target, o ws.Options, absent string, err error) {
	v := b.SUT.Viewer()
	cfg := viewer.Config{
		Protocol: v.Protocol, URL: v.URL, Origin: v.Origin, Subprotocol: v.Subprotocol, Place: viewer.TokenPlace(v.Token),
	}
	var serial atomic.Int64
	// A subject of its own for each session: sins of one are not held against others.
	token := func() (string, error) {
		if !b.SUT.Mints() {
			return "", nil
		}
		return b.SUT.Token(sut.TokenSpec{Subject: fmt.Sprintf("conform-%d", serial.Add(1)), Grants: []string{harness.AllTopics}})
	}
	secret, err := token()
	if err != nil {
		return target, o, "", fmt.Errorf("no token for the viewers of the suite: %w", err)
	}
	switch v.Protocol {
	case viewer.Plumbline:
		o = ws.Plumbline(token)
		cfg.Subprotocol = o.Subprotocol
	case viewer.MQTT:
		if o = ws.MQTT("", ""); secret != "" && (v.Token.In == "" || v.Token.In == viewer.InMQTTPassword) {
			o = ws.MQTT(cmp.Or(v.Token.Name, "conform"), secret)
		}
		cfg.Subprotocol = cmp.Or(v.Subprotocol, o.Subprotocol)
	case viewer.JSON:
		o = ws.Options{Hello: func() (frames []ws.Frame, _ error) {
			for _, text := range viewer.Hellos(v.Hello, []string{harness.AllTopics}, secret) {
				frames = append(frames, ws.Text([]byte(text)))
			}
			return frames, nil
		}}
	default:
		return target, o, fmt.Sprintf("viewers of the protocol %s do not use WebSocket", v.Protocol), nil
	}
	address, header, offers, err := viewer.Opening(cfg, secret)
	o.Header, o.Subprotocol = header, strings.Join(offers, ", ")
	return ws.Target{URL: address, TLS: b.SUT.TLS()}, o, "", err
}

// brokerServer says how to reach the broker. Viewers of MQTT that anybody may be
// come in by its listener for WebSocket, which section 6 of 3.1.1 is about.
func brokerServer(b *harness.Bench) mqtt.Target {
	target := mqtt.Target{URL: b.SUT.Broker().String(), TLS: b.SUT.BrokerTLS()}
	target.Username, target.Password = b.SUT.BrokerAuth()
	if v := b.SUT.Viewer(); v.Protocol == viewer.MQTT && !b.SUT.Mints() && v.Origin == "" && strings.HasPrefix(v.URL, "ws:") {
		target.WebSocket = v.URL
	}
	return target
}
