package viewer

import (
	"context"
	"crypto/tls"
	"net"
	"net/http"
	"time"
)

// ProbeSpec says what one connection attempt does. Only URL is required.
type ProbeSpec struct {
	URL          string // ws:// or wss://
	TLS          *tls.Config
	Method       string      // "" means GET
	Subprotocols []string    // nil offers plumbline.v1.json; empty, not nil, offers nothing
	Origins      []string    // one header line each
	Header       http.Header // set over the handshake headers; an empty list removes one
	Query        string      // raw query appended to the URL
	Raw          []byte      // sent instead of the handshake, as it stands
	Steps        []Step      // after the handshake
	Wait         time.Duration
	MaxBytes     int                     // answer bytes kept; 0 means 1 MiB
	Until        func(frame []byte) bool // ends the probe when it returns true
	Dial         func(ctx context.Context, network, addr string) (net.Conn, error)
}

// Step is one thing sent after the handshake.
type Step struct {
	Text   []byte        // as one masked text frame
	Binary []byte        // as one masked binary frame
	Frame  []byte        // raw bytes, masked or not, right or wrong
	Expect string        // wait until a frame holds this text before going on
	Pause  time.Duration // wait for so long before going on
}

// ProbeResult is what came back.
type ProbeResult struct {
	HTTPStatus  int // 0 when no HTTP answer came
	Header      http.Header
	Body        string // of an answer other than 101, bounded
	Subprotocol string
	TLSVersion  uint16
	CloseCode   int // 0 when no close frame came
	CloseReason string
	Frames      [][]byte // text and binary frames
	Answer      []byte   // what came back to Raw
	EOF         bool     // the peer closed the connection
	Err         error    // dial, TLS or protocol error; nil after a time limit
	Elapsed     time.Duration
}

// Probe makes one connection, does what spec says and returns what came back.
// It never blocks longer than spec.Wait (0 means 5 s) and ctx allow and keeps
// at most spec.MaxBytes.
func Probe(ctx context.Context, spec ProbeSpec) ProbeResult { return ProbeResult{} }
