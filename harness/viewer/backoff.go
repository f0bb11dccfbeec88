package viewer

import (
	"crypto/tls"
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"net/http"
	"time"

	"github.com/gorilla/websocket"

	"plumbline/harness/mqttwire"
)

// Backoff says how a viewer reconnects. The zero value waits 100 ms, doubling
// to 5 s, each wait drawn from [½, 1] of its value. It starts anew only after
// the server has said welcome, not when it merely accepted a connection.
type Backoff struct {
	Initial time.Duration
	Max     time.Duration
	Seed    uint64 // of the jitter
	Off     bool   // never reconnect: the first disconnection ends the viewer
}

// wait returns the time before attempt n, counted from 0.
func (b Backoff) wait(n int, rnd *rand.Rand) time.Duration {
	initial, most := b.Initial, b.Max
	if initial <= 0 {
		initial = 100 * time.Millisecond
	}
	if most <= 0 {
		most = 5 * time.Second
	}
	d := initial
	for range min(n, 32) {
		if d *= 2; d >= most {
			break
		}
	}
	d = min(d, most)
	return d/2 + time.Duration(rnd.Int64N(int64(d/2)+1))
}

// RefusedError tells of a server that answered and said no.
type RefusedError struct {
	Status int           // HTTP status of the handshake, 0 when it went well
	Code   int           // WebSocket close code, 0 when there was none
	Packet string        // MQTT packet whose reason code Code is then, for example CONNACK; "" for a close code
	Reason string        // as the server put it
	Filter string        // of the subscription that was refused, else ""
	Retry  time.Duration // how long the server asked to wait
}

// Error implements error.
func (e *RefusedError) Error() string {
	switch {
	case e.Filter != "":
		return fmt.Sprintf("subscription to %q refused: %s", e.Filter, e.Reason)
	case e.Status != 0:
		return fmt.Sprintf("refused with HTTP status %d: %s", e.Status, e.Reason)
	case e.Packet != "":
		return fmt.Sprintf("refused by %s with reason code 0x%02X: %s", e.Packet, e.Code, e.Reason)
	default:
		return fmt.Sprintf("refused with close code %d: %s", e.Code, e.Reason)
	}
}

// final reports whether trying again unchanged is pointless: an HTTP status
// 4xx other than 408 and 429, a close code 40xx, a refused subscription, or a flood.
func final(err error) bool {
	if errors.Is(err, ErrFlood) {
		return true
	}
	var refused *RefusedError
	if !errors.As(err, &refused) {
		return false
	}
	if refused.Filter != "" {
		return true
	}
	if refused.Packet != "" {
		return finalReason(refused.Code)
	}
	if finalCode(refused.Code) {
		return true
	}
	return refused.Status/100 == 4 && refused.Status != 408 && refused.Status != 429
}

// unusable is a server that answers, but not what the protocol needs.
type unusable struct{ text string }

func (u *unusable) Error() string { return u.text }

// hopeless reports whether a server that has never let a viewer in will not do
// so later either: it redirects, closes as the client was at fault, speaks
// something else or shows a certificate that is not to be trusted. The same from
// a server that had let the viewer in may pass.
func hopeless(err error) bool {
	var refused *RefusedError
	if errors.As(err, &refused) && refused.Packet == "" {
		switch refused.Code {
		case 1002, 1003, 1007, 1008, 1010: // RFC 6455 section 7.4.1
			return true
		}
		return refused.Status/100 == 3
	}
	var other *unusable
	var untrusted *tls.CertificateVerificationError
	var plain tls.RecordHeaderError
	return errors.As(err, &other) || errors.As(err, &untrusted) || errors.As(err, &plain) || errors.Is(err, http.ErrSchemeMismatch)
}

// GaveUp reports whether an error of Viewer.Err says that the viewer ended the
// session: the server said nothing for too long, or too much, or what its protocol
// does not know. It is false when the server ended it, and for nil.
func GaveUp(err error) bool {
	var other *unusable
	var late net.Error
	for _, own := range []error{ErrFlood, mqttwire.ErrMalformed, errStream, websocket.ErrReadLimit} {
		if errors.Is(err, own) {
			return true
		}
	}
	return errors.As(err, &other) || errors.As(err, &late) && late.Timeout()
}

// finalCode reports whether a close code says "do not retry unchanged".
func finalCode(code int) bool { return code/100 == 40 }

// finalReason reports whether an MQTT reason code says "do not retry unchanged":
// those of MQTT 5 section 2.4 about the client, and of MQTT 3.1.1 section 3.2.2.3
// all but "server unavailable".
func finalReason(code int) bool {
	switch code {
	case 0x01, 0x02, 0x04, 0x05, 0x81, 0x82, 0x84, 0x85, 0x86, 0x87, 0x8A, 0x8C, 0x95, 0x9C, 0x9D:
		return true
	}
	return false
}

func retryAfter(err error) time.Duration {
	var refused *RefusedError
	if errors.As(err, &refused) {
		return min(refused.Retry, time.Minute)
	}
	return 0
}
