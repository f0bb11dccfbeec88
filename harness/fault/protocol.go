package fault

import "fmt"

// Protocol is what a Proxy looks at.
type Protocol uint8

// The protocols.
const (
	Bytes     Protocol = iota // nothing: bytes go through unseen
	MQTT                      // MQTT 3.1.1 and 5 on a stream
	WebSocket                 // RFC 6455 after an HTTP/1.1 upgrade; compression is taken out of the offer
)

// String implements fmt.Stringer.
func (p Protocol) String() string {
	if names := [...]string{"bytes", "MQTT", "WebSocket"}; int(p) < len(names) {
		return names[p]
	}
	return fmt.Sprintf("protocol %d", uint8(p))
}

func (p Protocol) check() error {
	if p > WebSocket {
		return fmt.Errorf("%v is none that a proxy can look at", p)
	}
	return nil
}

// splitters returns those of both ways of a connection.
func (p Protocol) splitters() [2]splitter {
	switch p {
	case MQTT:
		return [2]splitter{&packets{first: Connect}, &packets{first: Connack}}
	case WebSocket:
		shared := &upgrade{}
		return [2]splitter{&frames{upgrade: shared, asks: true}, &frames{upgrade: shared}}
	default:
		return [2]splitter{}
	}
}

// holder keeps the beginning of a unit until its end has come.
type holder struct{ kept []byte }

// join returns what is kept followed by p; the caller owns the result.
func (h *holder) join(p []byte) []byte {
	if len(h.kept) == 0 {
		return p
	}
	h.kept = append(h.kept, p...)
	joined := h.kept
	h.kept = nil
	return joined
}

// keep holds on to p, which the holder then owns.
func (h *holder) keep(p []byte) { h.kept = p }

// rest gives out what is kept.
func (h *holder) rest() []byte { return h.join(nil) }
