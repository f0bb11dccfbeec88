package ws

import (
	"fmt"
	"net/http"
	"slices"
	"strings"
	"time"

	"plumbline/harness/conform"
)

// accepted runs a case on the answer to a correct handshake, spoiled by nothing.
func (s *suite) accepted(judge func(*conform.Trial, answer, *conform.Conn)) func(*conform.Trial) {
	return func(t *conform.Trial) {
		c, a := s.ask(t, s.request())
		if a.status != http.StatusSwitchingProtocols {
			t.Unsuref("a correct opening handshake was answered with %s", describe(a))
			return
		}
		judge(t, a, c)
	}
}

func (s *suite) answerChecks() []conform.Check {
	return []conform.Check{
		must("4.2.2-1", "4.2.2 5.1", "A server shall answer a correct opening handshake with status 101.", func(t *conform.Trial) {
			if _, a := s.ask(t, s.request()); a.status != http.StatusSwitchingProtocols {
				t.Failf("answered with %s", describe(a))
			}
		}),
		must("4.2.2-2", "4.2.2 5.2", "The answer shall have the field Upgrade with the value websocket.",
			s.accepted(func(t *conform.Trial, a answer, _ *conform.Conn) {
				if v := a.header.Values("Upgrade"); len(v) != 1 || !strings.EqualFold(v[0], "websocket") {
					t.Failf("Upgrade: %q", v)
				}
			})),
		must("4.2.2-3", "4.2.2 5.3", "The answer shall have the field Connection with the token Upgrade.",
			s.accepted(func(t *conform.Trial, a answer, _ *conform.Conn) {
				if !a.has("Connection", "Upgrade") {
					t.Failf("Connection: %q", a.header.Values("Connection"))
				}
			})),
		must("4.2.2-4", "4.2.2 5.4", "Sec-WebSocket-Accept shall be the digest of the client's key.",
			s.accepted(func(t *conform.Trial, a answer, _ *conform.Conn) {
				if v := a.header.Values("Sec-WebSocket-Accept"); len(v) != 1 || v[0] != accept(key) {
					t.Failf("Sec-WebSocket-Accept: %q, the digest of %q is %q", v, key, accept(key))
				}
			})),
		must("4.2.2-5", "4.2.2 5.6, 9.1", "A server shall name no extension that the client did not offer.",
			s.accepted(func(t *conform.Trial, a answer, _ *conform.Conn) {
				if v := a.tokens("Sec-WebSocket-Extensions"); len(v) > 0 {
					t.Failf("nothing was offered, the server chose %q", v)
				}
			})),
		must("4.2.2-6", "4.2.2 5.5", "A server shall choose one subprotocol at most, of those that the client offered.",
			s.accepted(func(t *conform.Trial, a answer, _ *conform.Conn) {
				v := a.header.Values("Sec-WebSocket-Protocol")
				if len(v) > 1 || len(v) == 1 && !slices.Contains(strings.Split(strings.ReplaceAll(s.o.Subprotocol, " ", ""), ","), v[0]) {
					t.Failf("the server chose %q, which was not offered", v)
				}
			})),
		must("4.2.2-7", "4.2.2, 5.2", "Nothing but frames shall follow the head of the answer.",
			s.accepted(func(t *conform.Trial, _ answer, c *conform.Conn) {
				se := &session{s: s, t: t, c: c, takeover: true}
				if o := se.probe(); o.ending == broken {
					t.Failf("%s", o)
				}
			})),
		must("4.2.2-8", "4.2.2 5.5", "A server shall not choose a subprotocol that was not offered.", s.foreignProtocol),
		must("9.1-1", "9.1", "A server shall decline an extension that it does not know.", func(t *conform.Trial) {
			r := s.request()
			r.set("Sec-WebSocket-Extensions", "x-plumbline; level=1, bbf-usp-protocol")
			switch _, a := s.ask(t, r); {
			case a.status != http.StatusSwitchingProtocols:
				t.Failf("an unknown extension kept the server from answering 101: %s", describe(a))
			case len(a.tokens("Sec-WebSocket-Extensions")) > 0:
				t.Failf("the server chose %q", a.header.Values("Sec-WebSocket-Extensions"))
			}
		}),
	}
}

func (s *suite) foreignProtocol(t *conform.Trial) {
	r := s.request()
	r.set("Sec-WebSocket-Protocol", "x-plumbline-unknown.v0")
	_, a := s.ask(t, r)
	t.Sayf("answered with %s", describe(a))
	if v := a.header.Values("Sec-WebSocket-Protocol"); a.status == http.StatusSwitchingProtocols && len(v) > 0 && v[0] != "x-plumbline-unknown.v0" {
		t.Failf("the server chose %q", v)
	}
}

// refused runs a case that spoils the request so that it must not be accepted.
func (s *suite) refused(spoil func(*request)) func(*conform.Trial) {
	return func(t *conform.Trial) {
		r := s.request()
		spoil(r)
		_, a := s.ask(t, r)
		notAccepted(t, a)
	}
}

// notAccepted judges the answer to a bad request. Only status 101 accepts it: what
// is no handshake a server may take for a request of HTTP and answer with its
// page (RFC 9110 section 7.8). A server may also end the connection, as one behind
// a proxy or under load has to.
func notAccepted(t *conform.Trial, a answer) {
	switch {
	case a.broken != nil:
		t.Sayf("answered with what is no HTTP response to a client of WebSocket: %v", a.broken)
	case a.status == http.StatusSwitchingProtocols:
		t.Failf("answered with status %d", a.status)
	case a.status != 0:
		t.Sayf("not accepted, status %d", a.status)
	case a.ended:
		t.Sayf("the connection was ended without an answer")
	default:
		t.Failf("neither an answer nor the end of the connection within %s", t.Patience())
	}
}

// noHandshake is refused for what is a request of HTTP like any other, which a
// server may take as long as it likes to answer.
func (s *suite) noHandshake(spoil func(*request)) func(*conform.Trial) {
	return func(t *conform.Trial) {
		r := s.request()
		spoil(r)
		_, a := s.ask(t, r)
		if a.status == http.StatusSwitchingProtocols {
			t.Failf("answered with status %d", a.status)
		}
		t.Sayf("answered with %s", describe(a))
	}
}

// strangers are requests that have nothing to do with WebSocket.
var strangers = []refusal{
	{"4.2.1-4", "4.2.1 3", "A handshake without Upgrade", func(r *request) { r.set("Upgrade") }},
	{"4.2.1-5", "4.2.1 3", "A handshake that upgrades to something else", func(r *request) { r.set("Upgrade", "h2c") }},
	{"4.2.1-6", "4.2.1 4", "A handshake whose Connection field has no token Upgrade", func(r *request) { r.set("Connection", "keep-alive") }},
}

type refusal struct {
	id, section, text string
	spoil             func(*request)
}

// refusals are the ways in which a handshake is wrong (section 4.2.1).
var refusals = []refusal{
	{"4.2.1-1", "4.2.1 1", "A handshake whose method is not GET", func(r *request) { r.method = "POST"; r.add("Content-Length", "0") }},
	{"4.2.1-2", "4.2.1 1", "A handshake in HTTP/1.0", func(r *request) { r.proto = "HTTP/1.0" }},
	{"4.2.1-3", "4.2.1 2", "A handshake without Host", func(r *request) { r.set("Host") }},
	{"4.2.1-7", "4.2.1 5", "A handshake without Sec-WebSocket-Key", func(r *request) { r.set("Sec-WebSocket-Key") }},
	{"4.2.1-8", "4.2.1 5", "A handshake whose key is not 16 bytes long", func(r *request) { r.set("Sec-WebSocket-Key", "cGx1bWJsaW5lIDE1IQ==") }},
	{"4.2.1-9", "4.2.1 5", "A handshake whose key is no base64", func(r *request) { r.set("Sec-WebSocket-Key", "not base64 at all !!") }},
	{"4.2.1-11", "4.2.1 6", "A handshake without Sec-WebSocket-Version", func(r *request) { r.set("Sec-WebSocket-Version") }},
}

func (s *suite) requestChecks() []conform.Check {
	var out []conform.Check
	for _, r := range refusals {
		out = append(out, must(r.id, r.section, r.text+" shall not be accepted.", s.refused(r.spoil)))
	}
	for _, r := range strangers {
		out = append(out, must(r.id, r.section, r.text+" shall not be accepted.", s.noHandshake(r.spoil)))
	}
	out = append(out, should("4.2.1-10", "11.3.1 (the client's MUST; its breach is ours to judge)", "A handshake with two keys shall not be accepted.",
		s.refused(func(r *request) { r.set("Sec-WebSocket-Key", key, "cGx1bWJsaW5lIGtleSE5Mg==") })))
	same := func(id, section, text string, change func(*request)) {
		out = append(out, must(id, section, text, func(t *conform.Trial) {
			r := s.request()
			change(r)
			if _, a := s.ask(t, r); a.status != http.StatusSwitchingProtocols {
				t.Failf("answered with %s", describe(a))
			}
		}))
	}
	same("4.2.1-12", "4.2.1 3-4", "The tokens of Upgrade and Connection shall be read without regard to case.", func(r *request) {
		r.set("Upgrade", "WebSocket")
		r.set("Connection", "upGRADE")
	})
	same("4.2.1-13", "4.2.1 4", "Connection shall be read as a list of tokens.", func(r *request) { r.set("Connection", "keep-alive, Upgrade") })
	same("4.2.1-14", "4.2.1, RFC 9110 5.1", "Names of fields shall be read without regard to case.", func(r *request) {
		for i, f := range r.fields {
			r.fields[i].name = strings.ToLower(f.name)
		}
	})
	same("4.2.1-15", "4.2.1", "Fields that a server does not know shall be ignored.", func(r *request) { r.add("X-Plumbline", "1") })
	same("4.2.1-16", "11.3.2", "Extensions may stand in several fields; a server shall read them as one list.", func(r *request) {
		r.set("Sec-WebSocket-Extensions", "x-plumbline-a", "x-plumbline-b; p=1")
	})
	return out
}

// badVersions are Sec-WebSocket-Version fields that no server of version 13 alone may accept.
var badVersions = map[string]string{"8": "4.4-1", "99": "4.4-2", "": "4.4-3", "+13": "4.4-4"}

func (s *suite) versionChecks() []conform.Check {
	var out []conform.Check
	for _, v := range []string{"8", "99", "", "+13"} {
		r := func(r *request) { r.set("Sec-WebSocket-Version", v) }
		c := must(badVersions[v], "4.2.2 4, 4.4", fmt.Sprintf("A handshake with version %q shall not be accepted.", v), s.refused(r))
		if v == "8" {
			c.Level, c.Section = conform.Should, "4.4 (judgement: a server may understand the drafts too)"
		}
		out = append(out, c)
	}
	return append(out,
		must("4.4-5", "4.2.2 4, 4.4", "A server shall name the versions that it can when it refuses one.", func(t *conform.Trial) {
			s.version(t, func(a answer) {
				if !a.has("Sec-WebSocket-Version", "13") {
					t.Failf("Sec-WebSocket-Version: %q", a.header.Values("Sec-WebSocket-Version"))
				}
			})
		}),
		should("4.4-6", "4.2.2 4", "A server shall refuse an unknown version with status 426.", func(t *conform.Trial) {
			s.version(t, func(a answer) {
				if a.status != http.StatusUpgradeRequired {
					t.Failf("refused with status %d", a.status)
				}
			})
		}),
	)
}

// version asks with version 99 and hands the refusal to judge.
func (s *suite) version(t *conform.Trial, judge func(answer)) {
	r := s.request()
	r.set("Sec-WebSocket-Version", "99")
	_, a := s.ask(t, r)
	switch a.status {
	case http.StatusSwitchingProtocols:
		t.Failf("accepted")
	case 0:
		t.Failf("no HTTP answer, but %s", a)
	default:
		judge(a)
	}
}

func (s *suite) slowChecks() []conform.Check {
	long := should("10-1", "10.4 (judgement)", "A handshake that stops half-way shall not hold the connection for ever.", func(t *conform.Trial) {
		whole := s.request().bytes()
		s.stalls(t, whole[:len(whole)/2], 0)
	})
	long.Long = true
	drip := should("10-2", "10.4 (judgement)", "A handshake that comes a byte at a time shall not hold the connection for ever.", func(t *conform.Trial) {
		s.stalls(t, s.request().bytes()[:1], 'x')
	})
	drip.Long = true
	return []conform.Check{
		long, drip,
		must("4.2.1-17", "4.2.1", "A handshake that comes in several segments shall be accepted.", func(t *conform.Trial) {
			c := t.Dial()
			c.SendPieces(s.request().bytes(), 20*time.Millisecond, 1, 21, 61)
			if a := read(c, time.Now().Add(s.patience)); a.status != http.StatusSwitchingProtocols {
				t.Failf("answered with %s", describe(a))
			}
		}),
		must("4.2.1-18", "4.2.1, RFC 9112 2.2", "What is no HTTP request shall not be accepted.", func(t *conform.Trial) {
			c := t.Dial()
			c.Send([]byte("\x00\xff\x13\x37 no request at all\r\n\r\n"))
			notAccepted(t, read(c, time.Now().Add(s.patience)))
		}),
		should("10-3", "10.4 (judgement)", "A head of 2 MiB shall be refused.", func(t *conform.Trial) {
			c := t.Dial()
			r := s.request()
			r.add("X-Padding", strings.Repeat("a", 2<<20))
			c.Send(r.bytes())
			notAccepted(t, read(c, time.Now().Add(s.patience)))
		}),
	}
}

// stalls sends the beginning of a request and then, once a second, one byte,
// or nothing. The server must end the connection within the limit.
func (s *suite) stalls(t *conform.Trial, begin []byte, drip byte) {
	c := t.Dial()
	c.Send(begin)
	began := time.Now()
	for time.Since(began) < s.o.Handshake {
		if a := read(c, time.Now().Add(time.Second)); a.ended || a.status != 0 || a.broken != nil {
			t.Sayf("ended after %.1f s", time.Since(began).Seconds())
			return
		}
		if t.Decided() {
			return
		}
		if drip != 0 {
			c.Send([]byte{drip})
		}
	}
	t.Failf("still open after %s", s.o.Handshake)
}
