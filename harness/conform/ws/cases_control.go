package ws

import (
	"bytes"
	"fmt"
	"slices"
	"strings"
	"time"

	"plumbline/harness/conform"
)

func (s *suite) pingChecks() []conform.Check {
	ping := func(payload []byte) func(*conform.Trial) {
		return func(t *conform.Trial) {
			se := s.greet(t, "")
			if t.Decided() {
				return
			}
			se.c.Send(Frame{Fin: true, Op: OpPing, Payload: payload}.Bytes())
			if o := se.settle(payload); o.ending != pong {
				t.Failf("no pong with the %d bytes of the ping: %s", len(payload), o)
			}
		}
	}
	return []conform.Check{
		must("5.5.2-1", "5.5.2, 5.5.3", "A ping shall be answered by a pong with its payload.", ping([]byte("plumbline"))),
		must("5.5.2-2", "5.5.2, 5.5.3", "A ping of 125 bytes that are no text shall be answered by a pong with them.",
			ping(bytes.Repeat([]byte{0xfe, 0x00, 0xc0, 0x80, 0xff}, 25))),
		must("5.5.2-3", "5.5.2", "A ping without payload shall be answered by a pong without payload.", func(t *conform.Trial) {
			se := s.open(t)
			se.c.Send(Frame{Fin: true, Op: OpPing}.Bytes())
			o := se.probe()
			if !t.Decided() && !slices.ContainsFunc(o.pongs, func(p []byte) bool { return len(p) == 0 }) {
				// The server may answer the latest of several pings only.
				se.c.Send(Frame{Fin: true, Op: OpPing}.Bytes())
				if o = se.settle([]byte{}); o.ending != pong {
					t.Failf("no pong without payload: %s", o)
				}
			}
		}),
		must("5.5.2-4", "5.5.2, 5.5.3", "Of ten pings at least the last shall be answered.", s.once(func(se *session) {
			var raw []byte
			for i := range 9 {
				raw = append(raw, Frame{Fin: true, Op: OpPing, Payload: fmt.Appendf(nil, "ping %d", i)}.Bytes()...)
			}
			se.goesOn("nine pings before it", raw)
		})),
		must("5.5.3-1", "5.5.3", "A pong that nobody asked for shall not end the session.", s.once(func(se *session) {
			se.goesOn("a pong that nobody asked for", Frame{Fin: true, Op: OpPong, Payload: []byte("unasked")}.Bytes())
		})),
		must("5.5.3-2", "5.5.3", "A pong shall not be answered.", s.once(func(se *session) {
			se.c.Send(Frame{Fin: true, Op: OpPong, Payload: []byte("unasked")}.Bytes())
			o := se.probe()
			if slices.ContainsFunc(o.pongs, func(p []byte) bool { return string(p) == "unasked" }) {
				se.t.Failf("the pong was answered by a pong")
			}
		})),
	}
}

func (s *suite) controlChecks() []conform.Check {
	control := []byte{OpClose, OpPing, OpPong}
	body := func(op byte, n int) []byte {
		if op == OpClose {
			return closing(1000, strings.Repeat("r", n-2))
		}
		return bytes.Repeat([]byte{'c'}, n)
	}
	return []conform.Check{
		must("5.5-1", "5.5", "A control frame of more than 125 bytes shall not be accepted.", each(s, control, func(se *session, op byte) {
			se.notEchoed(fmt.Sprintf("126 bytes with opcode %#x", op), Frame{Fin: true, Op: op, Payload: body(op, 126)}.Bytes())
		})),
		must("5.5-2", "5.4, 5.5", "A fragmented control frame shall not be accepted.", each(s, control, func(se *session, op byte) {
			se.notEchoed(fmt.Sprintf("opcode %#x without FIN", op), Frame{Op: op, Payload: body(op, 8)}.Bytes(),
				Frame{Fin: true, Op: OpContinuation, Payload: []byte("rest")}.Bytes())
		})),
	}
}

// notEchoed is ends for what may be a close frame: to be taken for a sound one
// and answered with its own code is no failing of the connection.
func (se *session) notEchoed(what string, raw ...[]byte) {
	if se.t.Decided() {
		return
	}
	se.c.Send(raw...)
	o := se.verge()
	switch {
	case o.ending == closeFrame && (o.code == 1000 || o.code == 1005):
		se.t.Failf("%s was taken for sound: %s", what, o)
	case o.ending == closeFrame || o.ending == gone:
		se.t.Sayf("%s: %s", what, o)
	default:
		se.t.Failf("%s: %s", what, o)
	}
}

// part sends a close frame and reads until the end of the connection. It
// returns the server's close frame, if one came.
func (se *session) part(payload []byte) (outcome, bool) {
	if se.t.Decided() {
		return outcome{}, false
	}
	se.c.Send(Frame{Fin: true, Op: OpClose, Payload: payload}.Bytes())
	o := se.settle(nil)
	if o.ending != closeFrame {
		return o, se.c.Ended()
	}
	return o, se.settle(nil).ending == gone
}

func (s *suite) closeChecks() []conform.Check {
	return []conform.Check{
		must("5.5.1-1", "5.5.1", "A close frame shall be answered by a close frame.", s.once(func(se *session) {
			if o, _ := se.part(closing(1000, "bye")); o.ending != closeFrame {
				se.t.Failf("%s", o)
			}
		})),
		must("5.5.1-2", "5.5.1", "A close frame without a body shall be answered by a close frame.", s.once(func(se *session) {
			o, _ := se.part(nil)
			if o.ending != closeFrame || o.code == 1002 {
				se.t.Failf("%s", o)
			}
		})),
		should("5.5.1-3", "5.5.1", "The answer shall echo the code of the client.", s.once(func(se *session) {
			if o, _ := se.part(closing(1000, "")); o.ending != closeFrame || o.code != 1000 {
				se.t.Failf("code 1000 was answered with %s", o)
			}
		})),
		must("7.1.1-1", "7.1.1", "A server shall close the TCP connection after the closing handshake.", s.once(func(se *session) {
			if o, over := se.part(closing(1000, "")); !over {
				se.t.Failf("after %s the connection was still open %s later", o, se.s.patience)
			}
		})),
		must("5.5.1-4", "5.5.1, 1.4", "A server shall do nothing with data that comes after the client's close frame.", s.once(func(se *session) {
			late := Frame{Fin: true, Op: OpPing, Payload: []byte("late")}.Bytes()
			se.c.Send(Frame{Fin: true, Op: OpClose, Payload: closing(1000, "")}.Bytes(), se.s.data([]byte("late")).Bytes(), late)
			deadline := time.Now().Add(se.s.patience)
			for time.Now().Before(deadline) && !se.t.Decided() {
				o := se.settle([]byte("late"))
				if o.ending == pong {
					se.t.Failf("a ping behind the close frame was answered")
				}
				if o.ending != closeFrame {
					return
				}
			}
		})),
		must("5.5.1-5", "5.5.1", "A close frame with a body of one byte shall not be accepted.", s.once(func(se *session) {
			se.notEchoed("a close frame of one byte", Frame{Fin: true, Op: OpClose, Payload: []byte{3}}.Bytes())
		})),
		should("5.5.1-6", "8.1 (5.5.1 leaves open who interprets a reason)", "A close frame whose reason is not UTF-8 shall fail the connection.", s.once(func(se *session) {
			se.notEchoed("a reason of bytes c0 80", Frame{Fin: true, Op: OpClose, Payload: closing(1000, "\xc0\x80")}.Bytes())
		})),
		must("5.5.1-8", "5.5.1", "A close frame with a reason of 123 bytes shall be accepted.", s.once(func(se *session) {
			if o, _ := se.part(closing(1000, strings.Repeat("r", 123))); o.ending != closeFrame || o.code == 1002 || o.code == 1007 {
				se.t.Failf("%s", o)
			}
		})),
		should("5.5.1-9", "5.5.1, 5.4", "A close frame between two fragments shall be answered by a close frame.", s.once(func(se *session) {
			f := se.s.data([]byte("never completed"))
			se.c.Send(pieces(f, (len(f.Payload)+1)/2)[0].Bytes())
			if o, _ := se.part(closing(1000, "")); o.ending != closeFrame || o.code == 1002 {
				se.t.Failf("%s", o)
			}
		})),
	}
}

// Close codes that may and that may not stand in a close frame (section 7.4).
var (
	forbiddenCodes = []int{1005, 1006, 1015}
	unusedCodes    = []int{0, 999, 1004, 1016, 1100, 2000, 2999, 5000, 65535}
	goodCodes      = []int{1000, 1001, 1002, 1003, 1007, 1008, 1009, 1010, 1011, 3000, 3999, 4000, 4999}
)

func (s *suite) closeCodeChecks() []conform.Check {
	bad := func(se *session, code int) {
		se.c.Send(Frame{Fin: true, Op: OpClose, Payload: closing(code, "")}.Bytes())
		o := se.verge()
		switch {
		case o.ending == closeFrame && o.code != 1000 && o.code != 1005 && o.problem == "", o.ending == gone:
			se.t.Sayf("code %d: %s", code, o)
		case o.ending == closeFrame:
			se.t.Failf("code %d was taken for sound: %s", code, o)
		default:
			se.t.Failf("code %d: %s", code, o)
		}
	}
	return []conform.Check{
		must("7.4.1-1", "7.4.1", "The codes 1005, 1006 and 1015 shall not be accepted in a close frame.", each(s, forbiddenCodes, bad)),
		should("7.4.2-1", "7.4.2 (what a receiver does is ours to judge)", "Codes that nobody may use yet shall not be accepted in a close frame.",
			each(s, unusedCodes, bad)),
		must("7.4.1-2", "7.4", "Every defined, registered or private code shall be accepted in a close frame.", each(s, goodCodes, func(se *session, code int) {
			o, _ := se.part(closing(code, ""))
			if o.ending != closeFrame || o.code == 1002 && code != 1002 || o.code == 1007 && code != 1007 {
				se.t.Failf("code %d: %s", code, o)
			}
		})),
	}
}
