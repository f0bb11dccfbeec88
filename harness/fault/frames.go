package fault

import (
	"bytes"
	"errors"
	"strings"
	"sync/atomic"
)

// headLimit bounds the HTTP head of an upgrade.
const headLimit = 64 << 10

// fragment is the kind of a piece that belongs to a message in the making.
const (
	opContinue = 0x0
	opControl  = 0x8 // this and above are control frames
)

// upgrade is what both ways of one connection know of its handshake.
type upgrade struct {
	asked  atomic.Bool // the client asked for WebSocket
	denied atomic.Bool // the server did not agree: this is plain HTTP
}

// frames splits one way of a connection that becomes WebSocket. A connection
// that stays HTTP passes unseen from the first head on.
type frames struct {
	holder
	upgrade *upgrade
	asks    bool // this is the way of the client

	open    bool   // the handshake is over: frames follow
	plain   bool   // this is HTTP to the end
	message []byte // fragments of a message whose end has not come
	kind    byte   // of that message
	within  bool   // a message is in the making
	wide    bool   // it has become too large: its pieces pass as they come
	skip    int    // bytes of a frame above the limit that are still to come
}

var _ splitter = (*frames)(nil)

var (
	errHead      = errors.New("an HTTP head of more than 64 KiB")
	errExtension = errors.New("the server chose an extension that it was not offered (RFC 6455 section 9.1)")
)

// feed implements splitter.
func (s *frames) feed(out []unit, p []byte) ([]unit, error) {
	p = s.join(p)
	for len(p) > 0 {
		if s.plain || s.upgrade.denied.Load() || !s.open && !s.asks && !s.upgrade.asked.Load() {
			s.plain = true
			return append(out, unit{kind: opaque, data: p}), nil
		}
		if !s.open {
			head, rest, err := s.head(p)
			switch {
			case err != nil:
				return append(out, unit{kind: opaque, data: p}), err
			case head == nil:
				s.keep(p)
				return out, nil
			}
			out, p = append(out, unit{kind: opaque, data: head}), rest
			continue
		}
		if s.skip > 0 {
			n := min(s.skip, len(p))
			out = append(out, unit{kind: opaque, data: p[:n:n]})
			s.skip -= n
			p = p[n:]
			continue
		}
		f, whole, err := parseFrame(p)
		if err != nil {
			return append(s.give(out), unit{kind: opaque, data: p}), err
		}
		switch {
		case !whole || f.size <= unitLimit && f.size > len(p):
			s.keep(p)
			return out, nil
		case f.size > unitLimit:
			out = s.give(out)
			s.skip = f.size
			s.track(f)
		default:
			out = s.frame(out, f, p[:f.size:f.size])
			p = p[f.size:]
		}
	}
	return out, nil
}

// track follows a data frame that passes as it comes.
func (s *frames) track(f frame) {
	if f.opcode < opControl {
		s.within, s.wide = !f.fin, !f.fin
	}
}

// frame takes a whole frame.
func (s *frames) frame(out []unit, f frame, data []byte) []unit {
	switch {
	case f.opcode >= opControl:
		if f.opcode == byte(CloseFrame) {
			out = s.give(out) // nothing is to follow it
		}
		return append(out, unit{kind: f.opcode, data: data})
	case f.opcode == opContinue && !s.within: // against the rules; for the peer to judge
		return append(out, unit{kind: opaque, data: data})
	case f.opcode == opContinue && s.wide:
		s.track(f)
		return append(out, unit{kind: opaque, data: data})
	case f.opcode != opContinue:
		out = s.give(out) // a message that was never ended
		if f.fin {
			s.within = false
			return append(out, unit{kind: f.opcode, data: data})
		}
		s.kind, s.within, s.wide = f.opcode, true, false
	}
	s.message = append(s.message, data...)
	switch {
	case f.fin:
		message := s.message
		s.message, s.within = nil, false
		return append(out, unit{kind: s.kind, data: message})
	case len(s.message) > unitLimit:
		s.wide = true
		return s.give(out)
	}
	return out
}

// give passes the fragments on that are there.
func (s *frames) give(out []unit) []unit {
	if len(s.message) == 0 {
		return out
	}
	message := s.message
	s.message, s.wide = nil, true
	return append(out, unit{kind: opaque, data: message})
}

// rest implements splitter.
func (s *frames) rest() []byte {
	message := s.message
	s.message = nil
	return append(message, s.holder.rest()...)
}

// head takes the HTTP head that p begins with and returns it as it is to go on;
// nil when it has not come whole.
func (s *frames) head(p []byte) (head, rest []byte, err error) {
	end := bytes.Index(p[:min(len(p), headLimit)], []byte("\r\n\r\n"))
	if end < 0 {
		if len(p) >= headLimit {
			return nil, nil, errHead
		}
		return nil, nil, nil
	}
	head, rest = p[:end+4:end+4], p[end+4:]
	if s.asks {
		s.open = hasToken(head, "upgrade", "websocket")
		s.plain = !s.open
		s.upgrade.asked.Store(s.open)
		if s.open {
			head = withoutExtensions(head)
		}
		return head, rest, nil
	}
	status := string(head[:min(len(head), len("HTTP/1.1 101"))])
	switch {
	case status == "HTTP/1.1 101":
		s.open = true
		if len(valuesOf(head, "sec-websocket-extensions")) > 0 {
			return nil, nil, errExtension
		}
	case strings.HasPrefix(status, "HTTP/1.1 1"): // an interim answer, RFC 9110 section 15.2
	default:
		s.plain = true
		s.upgrade.denied.Store(true)
	}
	return head, rest, nil
}

// valuesOf returns the values of a header field.
func valuesOf(head []byte, name string) []string {
	var out []string
	for line := range bytes.SplitSeq(head, []byte("\r\n")) {
		key, value, found := bytes.Cut(line, []byte(":"))
		if found && strings.EqualFold(string(key), name) {
			out = append(out, strings.TrimSpace(string(value)))
		}
	}
	return out
}

func hasToken(head []byte, name, token string) bool {
	for _, value := range valuesOf(head, name) {
		for part := range strings.SplitSeq(value, ",") {
			if strings.EqualFold(strings.TrimSpace(part), token) {
				return true
			}
		}
	}
	return false
}

// withoutExtensions takes the offer of extensions out of a request: what is
// compressed cannot be cut or changed by frames (RFC 7692).
func withoutExtensions(head []byte) []byte {
	out := make([]byte, 0, len(head))
	for line := range bytes.SplitAfterSeq(head, []byte("\r\n")) {
		key, _, found := bytes.Cut(line, []byte(":"))
		if !found || !strings.EqualFold(string(key), "sec-websocket-extensions") {
			out = append(out, line...)
		}
	}
	return out
}
