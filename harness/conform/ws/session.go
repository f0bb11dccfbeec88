package ws

import (
	"bytes"
	"compress/flate"
	"errors"
	"fmt"
	"io"
	"net/http"
	"slices"
	"time"
	"unicode/utf8"

	"plumbline/harness/conform"
)

// session is a connection after its handshake.
type session struct {
	s *suite
	t *conform.Trial
	c *conform.Conn

	deflate  bool   // permessage-deflate was negotiated
	takeover bool   // the server may refer to its earlier messages
	window   []byte // what it may refer to
	blind    bool   // not all of that is known

	message  []byte // of a message whose fragments are coming
	opened   bool
	text     bool
	squeezed bool
	closed   bool // the server's close frame was seen
}

// ending says how a connection went on after what a case did.
type ending int

const (
	silence ending = iota // nothing decisive within the patience
	pong                  // the probe was answered: the session goes on
	closeFrame
	gone   // it ended without a close frame
	broken // the server's bytes are no frames
)

// outcome is what settle saw.
type outcome struct {
	ending   ending
	code     int // of the close frame
	reason   []byte
	messages [][]byte // whole messages, inflated
	pongs    [][]byte
	problem  string
}

// String says it in words for a detail.
func (o outcome) String() string {
	switch o.ending {
	case pong:
		return "the session went on and a ping was answered"
	case closeFrame:
		if o.code == 1005 {
			return "a close frame without a code"
		}
		return fmt.Sprintf("close code %d %q", o.code, o.reason)
	case gone:
		return "the end of the connection without a close frame"
	case broken:
		return "bytes that are no frames: " + o.problem
	default:
		return "neither an answer nor the end of the connection"
	}
}

// open makes a session that the application has taken, and proves by a ping
// that it is alive, so that what follows is the case's own doing.
func (s *suite) open(t *conform.Trial) *session { return s.openWith(t, "") }

// openWith offers extensions too; what came of the offer is in the session.
func (s *suite) openWith(t *conform.Trial, extensions string) *session {
	se := s.greet(t, extensions)
	if t.Decided() {
		return se
	}
	if o := se.probe(); o.ending != pong {
		t.Unsuref("before the case began the server did not answer a ping: %s", o)
	}
	return se
}

// greet is openWith without the proof.
func (s *suite) greet(t *conform.Trial, extensions string) *session {
	r := s.request()
	if extensions != "" {
		r.set("Sec-WebSocket-Extensions", extensions)
	}
	c, a := s.ask(t, r)
	se := &session{s: s, t: t, c: c, takeover: true}
	if a.status != http.StatusSwitchingProtocols {
		t.Unsuref("a correct opening handshake was answered with %s", describe(a))
		return se
	}
	for _, e := range a.tokens("Sec-WebSocket-Extensions") {
		if p, err := parseExtension(e); err == nil && p.name == "permessage-deflate" {
			se.deflate, se.takeover = true, !p.has("server_no_context_takeover")
		}
	}
	if s.o.Hello == nil {
		return se
	}
	frames, err := s.o.Hello()
	if err != nil {
		t.Unsuref("no hello for the application: %v", err)
		return se
	}
	for _, f := range frames {
		c.SendSecret(f.Bytes())
	}
	if s.o.Ready == nil {
		return se
	}
	o := se.until(nil, s.o.Ready, 2*s.patience)
	if !slices.ContainsFunc(o.messages, s.o.Ready) {
		t.Unsuref("the application did not take the hello: %s", o)
	}
	return se
}

func describe(a answer) string {
	if a.status != 0 {
		return fmt.Sprintf("status %d", a.status)
	}
	return a.String()
}

// probe sends a ping with a payload of its own and waits for its pong.
func (se *session) probe() outcome {
	se.s.mu.Lock()
	se.s.turns++
	payload := fmt.Appendf(nil, "probe %d", se.s.turns)
	se.s.mu.Unlock()
	se.c.Send(Frame{Fin: true, Op: OpPing, Payload: payload}.Bytes())
	return se.settle(payload)
}

// settle reads until the probe is answered, the connection ends or the
// patience does.
func (se *session) settle(probe []byte) outcome { return se.until(probe, nil, se.s.patience) }

// until reads until the probe is answered, a message is one that done wants,
// or the session is over.
func (se *session) until(probe []byte, done func([]byte) bool, patience time.Duration) (o outcome) {
	deadline := time.Now().Add(patience)
	for {
		f, n, err := parse(se.c.Buffered())
		if err != nil {
			o.ending, o.problem = broken, err.Error()
			return o
		}
		if n == 0 {
			if err := se.c.More(deadline); err != nil {
				return se.over(o, err)
			}
			continue
		}
		se.c.Discard(n)
		message, whole := se.take(f)
		switch {
		case whole:
			o.messages = append(o.messages, message)
			if done != nil && done(message) {
				return o
			}
		case f.Op == OpPong:
			o.pongs = append(o.pongs, f.Payload)
			if probe != nil && bytes.Equal(f.Payload, probe) {
				o.ending = pong
				return o
			}
		case f.Op == OpClose:
			o.ending = closeFrame
			o.code, o.reason, o.problem = closeCode(f.Payload)
			return o
		case f.Op == OpPing:
			se.c.Send(Frame{Fin: true, Op: OpPong, Payload: f.Payload}.Bytes())
		}
	}
}

// over ends an outcome by what the connection said.
func (se *session) over(o outcome, err error) outcome {
	if errors.Is(err, io.EOF) {
		o.ending = gone
	} else if errors.Is(err, conform.ErrFlood) {
		o.ending, o.problem = broken, err.Error()
	}
	return o
}

// take checks a frame of the server and puts messages together.
func (se *session) take(f received) (message []byte, whole bool) {
	se.inspect(f)
	switch f.Op {
	case OpText, OpBinary:
		se.message, se.opened, se.text, se.squeezed = nil, true, f.Op == OpText, f.RSV&4 != 0
	case OpContinuation:
	default:
		return nil, false
	}
	se.message = append(se.message, f.Payload...)
	if !f.Fin || !se.opened {
		return nil, false
	}
	se.opened = false
	message = se.message
	sound := true
	if se.squeezed && se.deflate {
		plain, err := se.inflate(message)
		if !se.blind {
			se.s.seen.Judge(se.t, "WS-7692-6.1-2", err == nil, "the server sent a compressed message that does not inflate: %v", err)
		}
		// One that inflates to more than is taken is cut, maybe inside a character.
		sound = err == nil && len(plain) < maxFrame && !se.blind
		se.blind = se.blind || se.takeover && len(plain) >= maxFrame
		message = plain
	}
	if se.text && sound {
		se.s.seen.Judge(se.t, "WS-5.6-1", utf8.Valid(message), "the server sent a text message of %d bytes that is not UTF-8", len(message))
	}
	return message, true
}

// inflate expands a message of the server, with the window of the ones before.
func (se *session) inflate(b []byte) ([]byte, error) {
	tail := []byte{0x00, 0x00, 0xff, 0xff, 0x01, 0x00, 0x00, 0xff, 0xff}
	r := flate.NewReaderDict(io.MultiReader(bytes.NewReader(b), bytes.NewReader(tail)), se.window)
	out, err := io.ReadAll(io.LimitReader(r, maxFrame))
	if se.takeover {
		se.window = append(se.window, out...)
		se.window = se.window[max(0, len(se.window)-32<<10):]
	}
	return out, err
}

// inspect judges what holds for every frame of a server.
func (se *session) inspect(f received) {
	seen, t := &se.s.seen, se.t
	control := f.Op >= OpClose
	seen.Judge(t, "WS-5.1-2", !f.masked, "the server sent a masked frame with opcode %#x", f.Op)
	seen.Judge(t, "WS-5.2-9", f.Op <= OpBinary || f.Op >= OpClose && f.Op <= OpPong, "the server sent a frame with the reserved opcode %#x", f.Op)
	rsv := byte(0)
	if se.deflate && (f.Op == OpText || f.Op == OpBinary) {
		rsv = 4
	}
	seen.Judge(t, "WS-5.2-10", f.RSV&^rsv == 0, "the server sent a frame with opcode %#x and RSV bits %03b", f.Op, f.RSV)
	seen.Judge(t, "WS-5.2-11", !f.longForm, "the server sent a length of %d bytes in more than its shortest form", len(f.Payload))
	if control {
		seen.Judge(t, "WS-5.5-3", f.Fin && len(f.Payload) <= 125, "the server sent a control frame with FIN %v and %d bytes", f.Fin, len(f.Payload))
	} else {
		seen.Judge(t, "WS-5.4-9", (f.Op == OpContinuation) == se.opened, "the server sent opcode %#x while a fragmented message was open: %v", f.Op, se.opened)
	}
	seen.Judge(t, "WS-5.5.1-7", !se.closed, "the server sent a frame with opcode %#x after its close frame", f.Op)
	if f.Op == OpClose {
		se.closed = true
		_, _, problem := closeCode(f.Payload)
		seen.Judge(t, "WS-7.4-1", problem == "", "the server sent %s", problem)
	}
}
