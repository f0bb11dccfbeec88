package mqtt

import (
	"net/http"
	"slices"
	"time"

	"plumbline/harness/conform"
	"plumbline/harness/conform/ws"
)

// door opens the listener for WebSocket with these fields.
func (s *suite) door(t *conform.Trial, fields http.Header) (c *conform.Conn, status int, protocol string) {
	if s.webURL == nil {
		t.Skipf("no listener for MQTT over WebSocket was named")
		return nil, 0, ""
	}
	c = t.DialTo(s.web)
	status, protocol = ws.Upgrade(c, s.webURL, time.Now().Add(t.Patience()), fields)
	return c, status, protocol
}

// inside is door for the case that begins with a session.
func (s *suite) inside(t *conform.Trial) *conform.Conn {
	c, status, _ := s.door(t, http.Header{"Sec-Websocket-Protocol": {"mqtt"}})
	if status != http.StatusSwitchingProtocols {
		t.Unsuref("a correct handshake that offers mqtt was answered with status %d", status)
	}
	return c
}

// sendWeb sends frames of which one holds CONNECT. In their masks a password
// could not be found and concealed.
func (s *suite) sendWeb(c *conform.Conn, frames ...[]byte) {
	if s.target.Password != "" {
		c.SendSecret(frames...)
		return
	}
	c.Send(frames...)
}

// webPacket reads frames until their bytes are packets of these types, which
// may share a frame or be spread over several.
func (s *suite) webPacket(t *conform.Trial, c *conform.Conn, kinds ...byte) bool {
	deadline := time.Now().Add(t.Patience())
	var stream []byte
	for len(kinds) > 0 && !t.Decided() {
		p, n, err := parse(v311, stream)
		switch {
		case err != nil, n > 0 && p.kind != kinds[0]:
			return false
		case n > 0:
			kinds, stream = kinds[1:], stream[n:]
			continue
		}
		f, ok := ws.Next(c, deadline)
		if !ok || f.Op == ws.OpClose {
			return false
		}
		if f.Op == ws.OpBinary || f.Op == ws.OpContinuation {
			stream = append(stream, f.Payload...)
		}
	}
	return len(kinds) == 0
}

func (s *suite) webChecks() []conform.Check {
	hello := func() []byte { return s.hello(v311, s.unique("web")).bytes() }
	return []conform.Check{
		s.check(v311, "6.0.0-4", "", must, "A server shall select the subprotocol mqtt.", func(t *conform.Trial) {
			if _, status, protocol := s.door(t, http.Header{"Sec-Websocket-Protocol": {"mqtt"}}); !t.Decided() && (status != 101 || protocol != "mqtt") {
				t.Failf("status %d, subprotocol %q", status, protocol)
			}
		}, nil),
		s.check(v311, "6.0.0-1", "", must, "Data that is not binary shall end the connection.", func(t *conform.Trial) {
			c := s.inside(t)
			if t.Decided() {
				return
			}
			s.sendWeb(c, ws.Text(hello()).Bytes())
			deadline := time.Now().Add(t.Patience())
			for {
				f, ok := ws.Next(c, deadline)
				if !ok {
					break
				}
				if f.Op == ws.OpClose {
					return
				}
			}
			if !c.Ended() {
				t.Failf("CONNECT in a text frame did not end the connection within %s", t.Patience())
			}
		}, nil),
		s.check(v311, "6.0.0-2", "a", must, "A packet shall be understood that is spread over frames.", func(t *conform.Trial) {
			c := s.inside(t)
			if t.Decided() {
				return
			}
			raw := hello()
			s.sendWeb(c, ws.Binary(raw[:3]).Bytes(), ws.Binary(raw[3:]).Bytes())
			if !s.webPacket(t, c, pktConnack) {
				t.Failf("no CONNACK")
			}
		}, nil),
		s.check(v311, "6.0.0-2", "b", must, "Packets shall be understood that share a frame.", func(t *conform.Trial) {
			c := s.inside(t)
			if t.Decided() {
				return
			}
			s.sendWeb(c, ws.Binary(slices.Concat(hello(), subscribe(v311, 1, nil, filter{s.topic(), 0}))).Bytes())
			if !s.webPacket(t, c, pktConnack, pktSuback) {
				t.Failf("no CONNACK or no SUBACK")
			}
		}, nil),
		s.check(v311, "6.0.0-3", "", should, "A client that does not offer the subprotocol mqtt shall not be served.", func(t *conform.Trial) {
			s.notServed(t, nil)
		}, nil),
		s.check(v311, "6", "o", should, "A page of a foreign origin shall not be served (RFC 6455 section 10.2).", func(t *conform.Trial) {
			s.notServed(t, http.Header{"Sec-Websocket-Protocol": {"mqtt"}, "Origin": {"https://stranger.invalid"}})
		}, nil),
	}
}

// notServed demands that such a handshake leads to no CONNACK.
func (s *suite) notServed(t *conform.Trial, fields http.Header) {
	c, status, _ := s.door(t, fields)
	if t.Decided() || status != http.StatusSwitchingProtocols {
		t.Sayf("refused with status %d", status)
		return
	}
	s.sendWeb(c, ws.Binary(s.hello(v311, s.unique("web")).bytes()).Bytes())
	if s.webPacket(t, c, pktConnack) {
		t.Failf("status 101 and CONNACK")
	}
}
