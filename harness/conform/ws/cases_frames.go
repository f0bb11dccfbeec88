package ws

import (
	"bytes"
	"fmt"
	"slices"
	"strings"

	"plumbline/harness/conform"
)

// ends sends what no server may accept and demands that the connection fails
// (section 7.1.7): with a close frame or without.
func (se *session) ends(what string, raw ...[]byte) {
	if se.t.Decided() {
		return
	}
	se.c.Send(raw...)
	switch o := se.verge(); o.ending {
	case closeFrame, gone:
		se.t.Sayf("%s: %s", what, o)
	default:
		se.t.Failf("%s: %s", what, o)
	}
}

// verge is probe for a session that should end. A server may answer control
// frames ahead of what its application has yet to look at: after a pong it is
// given once more the time of an answer.
func (se *session) verge() outcome {
	o := se.probe()
	if o.ending == pong {
		if later := se.settle(nil); later.ending != silence {
			return later
		}
	}
	return o
}

// goesOn sends what a server must take. The application behind it may still
// end the session, with any code but those of the protocol, and with allowed ones.
func (se *session) goesOn(what string, raw []byte, allowed ...int) outcome {
	if se.t.Decided() {
		return outcome{}
	}
	se.c.Send(raw)
	o := se.probe()
	switch {
	case o.ending == pong:
	case o.ending == closeFrame && (slices.Contains(allowed, o.code) || o.code != 1002 && o.code != 1007 && o.code != 1009):
		se.t.Sayf("%s: the application ended the session: %s", what, o)
	case o.ending == gone:
		se.t.Unsuref("%s: %s", what, o)
	default:
		se.t.Failf("%s: %s", what, o)
	}
	return o
}

// data returns a message that the application takes, as one frame.
func (s *suite) data(text []byte) Frame {
	if s.o.Binary {
		return Binary(s.o.Message(text))
	}
	return Text(s.o.Message(text))
}

// sized returns a message of exactly that many bytes, if the application's
// messages can have that length.
func (s *suite) sized(size int) (Frame, bool) {
	over := len(s.o.Message(nil))
	for n := size - over; n >= 0 && n > size-over-16; n-- {
		if f := s.data(bytes.Repeat([]byte{'a'}, n)); len(f.Payload) == size {
			return f, true
		}
	}
	return Frame{}, false
}

// each runs a case once with a connection of its own per value.
func each[T any](s *suite, values []T, run func(*session, T)) func(*conform.Trial) {
	return func(t *conform.Trial) {
		for _, v := range values {
			if t.Decided() {
				return
			}
			se := s.open(t)
			run(se, v)
			se.c.Close()
		}
	}
}

// once runs a case on one session.
func (s *suite) once(run func(*session)) func(*conform.Trial) {
	return each(s, []int{0}, func(se *session, _ int) { run(se) })
}

func (s *suite) frameChecks() []conform.Check {
	rsv := func(bit byte) func(*conform.Trial) {
		return s.once(func(se *session) {
			f := s.data([]byte("reserved bit"))
			f.RSV = bit
			se.ends(fmt.Sprintf("a frame with RSV bits %03b and no extension", bit), f.Bytes())
		})
	}
	reserved := func(ops ...byte) func(*conform.Trial) {
		return each(s, ops, func(se *session, op byte) {
			se.ends(fmt.Sprintf("opcode %#x", op), Frame{Fin: true, Op: op}.Bytes())
		})
	}
	return []conform.Check{
		must("5.1-1", "5.1", "A server shall close the connection on a frame that is not masked.", s.once(func(se *session) {
			f := s.data([]byte("not masked"))
			se.ends("an unmasked frame", f.encode(0, uint64(len(f.Payload)), false))
		})),
		should("5.1-3", "5.1, 7.4.1", "A server shall close with code 1002 on a frame that is not masked.", s.once(func(se *session) {
			f := s.data([]byte("not masked"))
			se.c.Send(f.encode(0, uint64(len(f.Payload)), false))
			if o := se.verge(); o.ending != closeFrame || o.code != 1002 {
				se.t.Failf("%s", o)
			}
		})),
		must("5.2-1", "5.2", "A frame with RSV1 and no negotiated extension shall fail the connection.", rsv(4)),
		must("5.2-2", "5.2", "A frame with RSV2 and no negotiated extension shall fail the connection.", rsv(2)),
		must("5.2-3", "5.2", "A frame with RSV3 and no negotiated extension shall fail the connection.", rsv(1)),
		must("5.2-4", "5.2", "A reserved opcode of data shall fail the connection.", reserved(3, 4, 5, 6, 7)),
		must("5.2-5", "5.2", "A reserved opcode of control shall fail the connection.", reserved(0xb, 0xc, 0xd, 0xe, 0xf)),
		must("5.2-6", "5.2", "A frame shall be understood however its bytes are cut into segments.", s.once(func(se *session) {
			raw := s.data([]byte("segments")).Bytes()
			for _, b := range raw[:len(raw)-1] {
				se.c.Send([]byte{b})
			}
			se.goesOn("a frame in segments of one byte", raw[len(raw)-1:])
		})),
		must("5.2-7", "5.2", "Frames that come in one segment shall all be understood.", s.once(func(se *session) {
			one := s.data([]byte("one of three")).Bytes()
			se.goesOn("three frames in one segment", slices.Concat(one, one, one))
		})),
		must("5.2-8", "5.2, 10.3", "A server shall unmask with whatever key a frame has.", s.once(func(se *session) {
			f := s.data([]byte("key of zeros"))
			raw := f.encode(0, uint64(len(f.Payload)), false)
			head := len(raw) - len(f.Payload)
			raw[1] |= 0x80
			se.goesOn("a frame with a masking key of zeros", slices.Concat(raw[:head], make([]byte, 4), raw[head:]))
		})),
	}
}

// lengths are where the form of a length changes.
var lengths = []int{125, 126, 127, 128, 65535, 65536}

func (s *suite) lengthChecks() []conform.Check {
	var out []conform.Check
	for i, n := range lengths {
		out = append(out, must(fmt.Sprintf("5.2-%d", 20+i), "5.2", fmt.Sprintf("A message of %d bytes shall be understood.", n),
			s.once(func(se *session) {
				f, ok := s.sized(n)
				if !ok || s.o.MaxMessage > 0 && n > s.o.MaxMessage {
					se.t.Skipf("the application takes no message of %d bytes", n)
					return
				}
				o := se.goesOn(fmt.Sprintf("%d bytes", n), f.Bytes(), 1009)
				s.echoed(se.t, o, f.Payload)
			})))
	}
	long := func(form, declared int) func(*conform.Trial) {
		return s.once(func(se *session) {
			f := Frame{Fin: true, Op: OpPing, Payload: bytes.Repeat([]byte{'p'}, declared)}
			se.ends(fmt.Sprintf("%d bytes with a length of %d bits", declared, form), f.encode(form, uint64(declared), true))
		})
	}
	return append(out,
		should("5.2-30", "5.2 (the sender's MUST; its breach is ours to judge)", "A length of 5 in 16 bits shall not be accepted.", long(16, 5)),
		should("5.2-31", "5.2 (the sender's MUST; its breach is ours to judge)", "A length of 5 in 64 bits shall not be accepted.", long(64, 5)),
		should("5.2-32", "5.2 (the sender's MUST; its breach is ours to judge)", "A 64-bit length with its highest bit set shall not be accepted.",
			s.once(func(se *session) { se.huge(1 << 63) })),
		should("10.4-1", "10.4", "A frame that declares 2^62 bytes shall not make the server wait for them.",
			s.once(func(se *session) { se.huge(1 << 62) })),
	)
}

// huge declares a length that nobody can hold and sends a little of it.
func (se *session) huge(declared uint64) {
	se.ends(fmt.Sprintf("a declared length of %#x", declared),
		Frame{Fin: true, Op: OpBinary, Payload: []byte(strings.Repeat("a", 64))}.encode(64, declared, true))
}

// echoed checks what an application that sends messages back sent back.
func (s *suite) echoed(t *conform.Trial, o outcome, want []byte) {
	if s.o.Echo && o.ending == pong && !slices.ContainsFunc(o.messages, func(m []byte) bool { return bytes.Equal(m, want) }) {
		t.Failf("a message of %d bytes did not come back as it was", len(want))
	}
}

// pieces cuts a message into frames of at most size bytes.
func pieces(whole Frame, size int) []Frame {
	var out []Frame
	for rest := whole.Payload; len(rest) > 0 || len(out) == 0; {
		n := min(size, len(rest))
		out = append(out, Frame{Op: OpContinuation, Payload: rest[:n]})
		rest = rest[n:]
	}
	out[0].Op, out[0].RSV = whole.Op, whole.RSV
	out[len(out)-1].Fin = true
	return out
}

func encodeAll(frames []Frame) (raw []byte) {
	for _, f := range frames {
		raw = append(raw, f.Bytes()...)
	}
	return raw
}

func (s *suite) fragmentChecks() []conform.Check {
	halves := func(text string) []Frame {
		f := s.data([]byte(text))
		return pieces(f, (len(f.Payload)+1)/2)
	}
	last := Frame{Fin: true, Op: OpContinuation, Payload: []byte("end")}
	return []conform.Check{
		must("5.4-1", "5.4", "A message in two fragments shall be understood.", s.once(func(se *session) {
			o := se.goesOn("two fragments", encodeAll(halves("in two fragments")))
			s.echoed(se.t, o, s.data([]byte("in two fragments")).Payload)
		})),
		must("5.4-2", "5.4", "A message in fragments of one byte shall be understood.", s.once(func(se *session) {
			f := s.data([]byte("every byte a frame"))
			s.echoed(se.t, se.goesOn("fragments of one byte", encodeAll(pieces(f, 1))), f.Payload)
		})),
		must("5.4-3", "5.4", "Fragments without payload shall be understood.", s.once(func(se *session) {
			h := halves("with empty fragments")
			empty := Frame{Op: OpContinuation}
			se.goesOn("empty fragments", encodeAll([]Frame{h[0], empty, empty, h[1]}))
		})),
		must("5.4-4", "5.4, 5.5", "A ping between two fragments shall be answered before the message is complete.", s.once(func(se *session) {
			h := halves("ping in between")
			se.c.Send(h[0].Bytes())
			if o := se.probe(); o.ending != pong {
				se.t.Failf("the ping between the fragments: %s", o)
			}
			se.goesOn("the rest of the message", h[1].Bytes())
		})),
		must("5.4-5", "5.4", "A continuation without a beginning shall fail the connection.", s.once(func(se *session) {
			se.ends("a continuation frame first", last.Bytes())
		})),
		must("5.4-6", "5.4", "A continuation after a whole message shall fail the connection.", s.once(func(se *session) {
			se.ends("a continuation behind a whole message", s.data([]byte("whole")).Bytes(), last.Bytes())
		})),
		must("5.4-7", "5.4", "A new message inside a fragmented one shall fail the connection.", s.once(func(se *session) {
			se.ends("a message inside a message", halves("never completed")[0].Bytes(), s.data([]byte("intruder")).Bytes())
		})),
		must("5.4-8", "5.4", "A continuation without FIN and without a beginning shall fail the connection.", s.once(func(se *session) {
			se.ends("a continuation frame first", Frame{Op: OpContinuation, Payload: []byte("x")}.Bytes())
		})),
	}
}
