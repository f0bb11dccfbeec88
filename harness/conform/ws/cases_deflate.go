package ws

import (
	"bytes"
	"compress/flate"
	"errors"
	"fmt"
	"net/http"
	"strconv"
	"strings"

	"plumbline/harness/conform"
)

// extension is one element of Sec-WebSocket-Extensions (section 9.1).
type extension struct {
	name   string
	params []param
}

type param struct {
	name, value string
	valued      bool
}

func (e extension) has(name string) bool {
	_, found := e.get(name)
	return found
}

func (e extension) get(name string) (param, bool) {
	for _, p := range e.params {
		if p.name == name {
			return p, true
		}
	}
	return param{}, false
}

func parseExtension(s string) (extension, error) {
	parts := strings.Split(s, ";")
	e := extension{name: strings.TrimSpace(parts[0])}
	if e.name == "" {
		return e, errors.New("an extension without a name")
	}
	for _, part := range parts[1:] {
		name, value, valued := strings.Cut(part, "=")
		p := param{name: strings.TrimSpace(name), value: strings.Trim(strings.TrimSpace(value), `"`), valued: valued}
		if p.name == "" {
			return e, fmt.Errorf("a parameter without a name in %q", s)
		}
		e.params = append(e.params, p)
	}
	return e, nil
}

const pmd = "permessage-deflate"

// negotiate offers and hands the server's answer to judge; nil stands for
// declined. The answer must be one that the protocol allows (RFC 7692 section 7.1).
func (s *suite) negotiate(offer string, judge func(*conform.Trial, *extension)) func(*conform.Trial) {
	return s.offered(offer, judge, func(t *conform.Trial, a answer) {
		t.Failf("the offer %q was answered with %s; what a server cannot do it declines", offer, describe(a))
	})
}

// offered is negotiate that hands an answer other than 101 to refused.
func (s *suite) offered(offer string, judge func(*conform.Trial, *extension), refused func(*conform.Trial, answer)) func(*conform.Trial) {
	return func(t *conform.Trial) {
		r := s.request()
		r.set("Sec-WebSocket-Extensions", offer)
		_, a := s.ask(t, r)
		if a.status != http.StatusSwitchingProtocols {
			refused(t, a)
			return
		}
		chosen := a.tokens("Sec-WebSocket-Extensions")
		if len(chosen) == 0 {
			t.Sayf("the server declined")
			judge(t, nil)
			return
		}
		e, err := parseExtension(chosen[0])
		if err != nil || len(chosen) > 1 || e.name != pmd {
			t.Failf("the offer %q was answered with %q", offer, chosen)
			return
		}
		t.Sayf("the server chose %q", chosen[0])
		judge(t, &e)
	}
}

func (s *suite) offerChecks() []conform.Check {
	declined := func(t *conform.Trial, e *extension) {
		if e != nil {
			t.Failf("the offer was accepted")
		}
	}
	bad := []struct{ id, params, what string }{
		{"7692-7.1-1", "; level=9", "with an unknown parameter"},
		{"7692-7.1-2", "; server_no_context_takeover; server_no_context_takeover", "with a parameter twice"},
		{"7692-7.1-3", "; server_no_context_takeover=1", "with a value where there is none"},
		{"7692-7.1-4", "; client_no_context_takeover=1", "with a value for client_no_context_takeover"},
		{"7692-7.1-5", "; server_max_window_bits=7", "of 7 window bits"},
		{"7692-7.1-6", "; server_max_window_bits=16", "of 16 window bits"},
		{"7692-7.1-7", "; server_max_window_bits", "of server_max_window_bits without a value"},
		{"7692-7.1-8", "; client_max_window_bits=99", "of 99 window bits of the client"},
		{"7692-7.1-9", "; server_max_window_bits=010", "of window bits with a leading zero"},
	}
	var out []conform.Check
	for _, b := range bad {
		// Who refuses the whole handshake, as for a malformed field, has not accepted the offer either.
		out = append(out, must(b.id, "RFC 7692 7.1", "An offer of compression "+b.what+" shall be declined.", s.offered(pmd+b.params, declined, notAccepted)))
	}
	return append(out,
		must("7692-7.1-10", "RFC 7692 7.1", "The answer to an offer shall hold defined parameters with valid values, each once.", s.negotiate(pmd, sound)),
		must("7692-7.1.2.2-1", "RFC 7692 7.1.2.2", "The answer shall not limit the client's window when the client did not offer that.",
			s.negotiate(pmd, func(t *conform.Trial, e *extension) {
				if e != nil && e.has("client_max_window_bits") {
					t.Failf("client_max_window_bits was not offered")
				}
			})),
		must("7692-7.1.2.1-1", "RFC 7692 7.1.2.1", "A server shall confirm a limit of its window or decline.",
			s.negotiate(pmd+"; server_max_window_bits=9", func(t *conform.Trial, e *extension) {
				if e == nil {
					return
				}
				p, _ := e.get("server_max_window_bits")
				if n, err := strconv.Atoi(p.value); err != nil || n < 8 || n > 9 {
					t.Failf("a window of 9 bits was asked for, the answer says %q", p.value)
				}
			})),
		must("7692-7.1.1.1-1", "RFC 7692 7.1.1.1", "A server shall confirm server_no_context_takeover or decline.",
			s.negotiate(pmd+"; server_no_context_takeover", func(t *conform.Trial, e *extension) {
				if e != nil && !e.has("server_no_context_takeover") {
					t.Failf("the answer does not confirm it")
				}
			})),
		should("7692-7.1-11", "RFC 7692 5, 7.1", "Of several offers a server that compresses shall take one that is valid.",
			s.negotiate(pmd+"; level=9, "+pmd, sound)),
	)
}

// sound judges the parameters of an answer.
func sound(t *conform.Trial, e *extension) {
	if e == nil {
		return
	}
	seen := map[string]bool{}
	for _, p := range e.params {
		n, err := strconv.Atoi(p.value)
		bits := err == nil && n >= 8 && n <= 15 && p.value == strconv.Itoa(n)
		switch {
		case seen[p.name]:
			t.Failf("%s stands twice", p.name)
		case (p.name == "server_no_context_takeover" || p.name == "client_no_context_takeover") && !p.valued:
		case (p.name == "server_max_window_bits" || p.name == "client_max_window_bits") && bits:
		default:
			t.Failf("the parameter %s with value %q", p.name, p.value)
		}
		seen[p.name] = true
	}
}

// mostInflated bounds what a case makes a server inflate beyond its longest message.
const mostInflated = 64 << 20

// squeezed runs a case on a session that compresses.
func (s *suite) squeezed(run func(*session)) func(*conform.Trial) {
	return func(t *conform.Trial) {
		se := s.openWith(t, pmd+"; client_no_context_takeover")
		if t.Decided() {
			return
		}
		if !se.deflate {
			t.Skipf("the server declines compression")
			return
		}
		run(se)
	}
}

// squeeze compresses a message as RFC 7692 section 7.2.1 says.
func squeeze(plain []byte) []byte {
	var b bytes.Buffer
	w, err := flate.NewWriter(&b, flate.BestSpeed)
	if err != nil {
		return nil // the level is a valid one
	}
	_, _ = w.Write(plain)
	_ = w.Flush()
	return bytes.TrimSuffix(b.Bytes(), []byte{0x00, 0x00, 0xff, 0xff})
}

func (s *suite) compressedChecks() []conform.Check {
	compressed := func(text string) Frame {
		f := s.data([]byte(text))
		f.RSV, f.Payload = 4, squeeze(f.Payload)
		return f
	}
	return []conform.Check{
		must("7692-6.2-1", "RFC 7692 6.2", "A compressed message shall be understood.", s.squeezed(func(se *session) {
			s.echoed(se.t, se.goesOn("a compressed message", compressed("compressed").Bytes()), s.data([]byte("compressed")).Payload)
		})),
		must("7692-6.1-1", "RFC 7692 6.1", "A message that is not compressed shall be understood where compression was agreed.", s.squeezed(func(se *session) {
			se.goesOn("a message without RSV1", s.data([]byte("plain")).Bytes())
		})),
		must("7692-6.2-2", "RFC 7692 6.2", "A compressed message in fragments shall be understood.", s.squeezed(func(se *session) {
			se.goesOn("fragments of three bytes", encodeAll(pieces(compressed("compressed and cut into pieces"), 3)))
		})),
		must("7692-6.1-3", "RFC 7692 6", "A control frame with RSV1 shall fail the connection.", s.squeezed(func(se *session) {
			se.ends("a ping with RSV1", Frame{Fin: true, RSV: 4, Op: OpPing, Payload: []byte("x")}.Bytes())
		})),
		must("7692-6.1-4", "RFC 7692 6", "A continuation with RSV1 shall fail the connection.", s.squeezed(func(se *session) {
			f := pieces(compressed("compressed and cut into pieces"), 12)
			f[1].RSV = 4
			se.ends("RSV1 in the second fragment", encodeAll(f))
		})),
		must("7692-7.2.2-1", "RFC 7692 7.2.2", "A message that does not inflate shall fail the connection.", s.squeezed(func(se *session) {
			se.ends("bytes that are no DEFLATE", Frame{Fin: true, RSV: 4, Op: s.data(nil).Op, Payload: []byte("\xff\xff\xff\xff not deflate")}.Bytes())
		})),
		must("7692-8-1", "RFC 7692 8, RFC 6455 10.4", "A small message that inflates beyond the longest length shall be refused.", s.squeezed(func(se *session) {
			if s.o.MaxMessage <= 0 {
				se.t.Skipf("the longest message that the application takes is not known")
				return
			}
			f := compressed("")
			size := max(s.o.MaxMessage+1, min(50*s.o.MaxMessage, mostInflated))
			f.Payload = squeeze(bytes.Repeat([]byte{' '}, size))
			se.ends(fmt.Sprintf("%d bytes that inflate to %d", len(f.Payload), size), f.Bytes())
		})),
	}
}
