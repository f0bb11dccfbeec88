package ws

import (
	"bytes"
	"strconv"
	"time"

	"plumbline/harness/conform"
)

// goodTexts are UTF-8 that careless checks refuse.
var goodTexts = map[string]string{
	"8.1-1": "κόσμε", "8.1-2": "\U0001F527\U0010FFFF", "8.1-3": "\uFFFF\uFDD0 noncharacters", "8.1-4": "\uFEFFbyte order mark", "8.1-5": "\uD7FF\uE000 beside the surrogates",
}

// badTexts are not UTF-8 (RFC 3629).
var badTexts = map[string]string{
	"8.1-11": "overlong \xc0\xaf", "8.1-12": "surrogate \xed\xa0\x80", "8.1-13": "beyond \xf4\x90\x80\x80", "8.1-14": "lone \x80 continuation",
	"8.1-15": "cut short \xe2\x82", "8.1-16": "never used \xfe", "8.1-17": "overlong of four \xf0\x80\x80\xaf", "8.1-18": "five bytes \xf8\x88\x80\x80\x80",
}

// split is a message cut inside the code point that mark begins with.
func (s *suite) split(text, mark string) []Frame {
	f := s.data([]byte(text))
	at := bytes.Index(f.Payload, []byte(mark)) + 1
	return []Frame{{Op: f.Op, Payload: f.Payload[:at]}, {Fin: true, Op: OpContinuation, Payload: f.Payload[at:]}}
}

// texts runs a case where the application takes text.
func (s *suite) texts(run func(*session)) func(*conform.Trial) {
	return func(t *conform.Trial) {
		if s.o.Binary {
			t.Skipf("the application takes binary messages only")
			return
		}
		s.once(run)(t)
	}
}

// notText sends sound text first: an application that ends the session for
// that too shows nothing about UTF-8.
func (se *session) notText(what string, good []byte, bad ...[]byte) {
	if o := se.goesOn("sound text", good); o.ending != pong {
		se.t.Skipf("cannot be seen: the application ends the session for sound text too: %s", o)
	}
	se.ends(what, bad...)
}

func (s *suite) textChecks() []conform.Check {
	var out []conform.Check
	for _, id := range []string{"8.1-1", "8.1-2", "8.1-3", "8.1-4", "8.1-5"} {
		text := goodTexts[id]
		out = append(out, must(id, "5.6, 8.1", "The text "+quote(text)+" shall be accepted.", s.texts(func(se *session) {
			f := s.data([]byte(text))
			s.echoed(se.t, se.goesOn(quote(text), f.Bytes()), f.Payload)
		})))
	}
	out = append(out, must("8.1-6", "5.6", "A code point that is cut by a frame's end shall be accepted.", s.texts(func(se *session) {
		se.goesOn("κ in two frames", encodeAll(s.split("κόσμε", "κ")))
	})))
	good := func() []byte { return s.data([]byte("control")).Bytes() }
	for _, id := range []string{"8.1-11", "8.1-12", "8.1-13", "8.1-14", "8.1-15", "8.1-16", "8.1-17", "8.1-18"} {
		text := badTexts[id]
		out = append(out, must(id, "8.1", "The text "+quote(text)+" shall fail the connection.", s.texts(func(se *session) {
			se.notText(quote(text), good(), s.data([]byte(text)).Bytes())
		})))
	}
	return append(out,
		must("8.1-19", "8.1", "Text whose fragments are no UTF-8 together shall fail the connection.", s.texts(func(se *session) {
			se.notText("ce in one frame, 20 in the next", good(), encodeAll(s.split("\xce\x20", "\xce")))
		})),
		should("8.1-20", "8.1, 7.4.1", "A server shall close with code 1007 on text that is not UTF-8.", s.texts(func(se *session) {
			if o := se.goesOn("sound text", good()); o.ending != pong {
				se.t.Skipf("cannot be seen: the application ends the session for sound text too: %s", o)
			}
			se.c.Send(s.data([]byte("lone \x80")).Bytes())
			if o := se.verge(); o.ending != closeFrame || o.code != 1007 {
				se.t.Failf("%s", o)
			}
		})),
		must("5.6-2", "5.6", "Bytes that are no UTF-8 shall be accepted in a binary message.", s.once(func(se *session) {
			f := Binary([]byte("\xff\xfe\x80\x00"))
			if s.o.Binary {
				f = s.data([]byte("\xff\xfe\x80\x00"))
			}
			se.goesOn("bytes ff fe 80 00", f.Bytes())
		})),
	)
}

func quote(s string) string { return strconv.QuoteToASCII(s) }

func (s *suite) limitChecks() []conform.Check {
	limited := func(run func(*session, int)) func(*conform.Trial) {
		return func(t *conform.Trial) {
			if s.o.MaxMessage <= 0 {
				t.Skipf("the longest message that the application takes is not known")
				return
			}
			s.once(func(se *session) { run(se, s.o.MaxMessage) })(t)
		}
	}
	stall := should("10.4-5", "10.4 (judgement)", "A session whose frame stops half-way shall stay answerable or end, not hold others up.", func(t *conform.Trial) {
		se := s.open(t)
		f := s.data([]byte("half of this frame never comes")).Bytes()
		se.c.Send(f[:len(f)/2])
		other := s.open(t)
		if !t.Decided() {
			other.goesOn("a session beside it", s.data([]byte("beside")).Bytes())
		}
	})
	return []conform.Check{
		must("10.4-2", "10.4", "A message of the longest length shall be accepted.", limited(func(se *session, most int) {
			f, ok := s.sized(most)
			if !ok {
				se.t.Skipf("the application takes no message of exactly %d bytes", most)
				return
			}
			o := se.goesOn("the longest message", f.Bytes())
			s.echoed(se.t, o, f.Payload)
		})),
		must("10.4-3", "10.4", "A frame beyond the longest length shall be refused.", limited(func(se *session, most int) {
			f := s.data(nil)
			f.Payload = bytes.Repeat([]byte{'a'}, most+1)
			se.ends("one byte more", f.Bytes())
		})),
		must("10.4-4", "10.4", "A message whose fragments together are beyond the longest length shall be refused.", limited(func(se *session, most int) {
			f := s.data(nil)
			f.Payload = bytes.Repeat([]byte{'a'}, most+1)
			se.ends("one byte more, in fragments", encodeAll(pieces(f, 1+most/10)))
		})),
		stall,
		should("10.4-6", "7.1.1 (judgement)", "A client that does not answer the server's close frame shall not hold the connection.", s.once(func(se *session) {
			se.c.Send(Frame{Fin: true, Op: 3}.Bytes())
			if o := se.settle(nil); o.ending == closeFrame {
				deadline := time.Now().Add(s.o.Handshake)
				for !se.c.Ended() && time.Now().Before(deadline) && !se.t.Decided() {
					_ = se.c.More(deadline)
				}
				if !se.c.Ended() {
					se.t.Failf("the connection was still open %s after %s", s.o.Handshake, o)
				}
			}
		})),
	}
}
