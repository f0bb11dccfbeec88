package scenarios

import (
	"bufio"
	"context"
	"net"
	"net/http"
	"testing"
	"time"

	"plumbline/harness/viewer"
)

// listening starts a server that gives each connection to serve, one after the other.
func listening(t *testing.T, serve func(net.Conn)) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	over := make(chan struct{})
	go func() {
		defer close(over)
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			serve(conn)
		}
	}()
	t.Cleanup(func() { _ = l.Close(); <-over })
	return l.Addr().String()
}

// A close between two bytes of a slow handshake is noticed then, not when the
// second byte after it cannot be written: a system is not measured by our wait.
func TestASlowHandshakeNoticesItsEndAtOnce(t *testing.T) {
	const between = 20 * time.Second
	address := listening(t, func(conn net.Conn) {
		_, _ = bufio.NewReader(conn).ReadByte()
		_ = conn.Close()
	})
	r := viewer.Probe(t.Context(), viewer.ProbeSpec{URL: "ws://" + address, Wait: 4 * between, Dial: dribble(between)})
	if !ended(r) || outlasted(r) || r.Elapsed >= between {
		t.Errorf("noticed after %s: %+v", r.Elapsed, r)
	}
}

// A server that says something and stays has not ended the connection, and what
// it said is there when the handshake is over.
func TestASlowHandshakeKeepsWhatCameMeanwhile(t *testing.T) {
	address := listening(t, func(conn net.Conn) {
		defer func() { _ = conn.Close() }()
		in := bufio.NewReader(conn)
		if _, err := in.ReadByte(); err != nil {
			return
		}
		_, _ = conn.Write([]byte("HTTP/1.1 403 Forbidden\r\nContent-Length: 0\r\n\r\n"))
		_ = in.UnreadByte()
		_, _ = http.ReadRequest(in)
	})
	r := viewer.Probe(t.Context(), viewer.ProbeSpec{URL: "ws://" + address, Wait: time.Minute, Dial: dribble(time.Millisecond)})
	if r.HTTPStatus != http.StatusForbidden {
		t.Errorf("%+v", r)
	}
}

// A server that lets a handshake of TLS hang has closed nothing.
func TestAHandshakeThatOnlyWeGaveUpIsStillOpen(t *testing.T) {
	address := listening(t, func(conn net.Conn) {
		defer func() { _ = conn.Close() }()
		_, _ = bufio.NewReader(conn).ReadBytes(0) // until we give up
		for {
			if _, err := conn.Read(make([]byte, 4096)); err != nil {
				return
			}
		}
	})
	ctx, cancel := context.WithTimeout(t.Context(), 2*time.Second)
	defer cancel()
	if r := viewer.Probe(ctx, viewer.ProbeSpec{URL: "wss://" + address, Wait: time.Minute}); !outlasted(r) {
		t.Errorf("a handshake without an answer: %+v", r)
	}
	closed := listening(t, func(conn net.Conn) { _ = conn.Close() })
	if r := viewer.Probe(t.Context(), viewer.ProbeSpec{URL: "wss://" + closed, Wait: time.Minute}); outlasted(r) || !ended(r) {
		t.Errorf("a handshake that the server ended: %+v", r)
	}
}

// However short the limit: a handshake byte by byte must not come to its end, or a
// system that asks for no token has served a viewer. A probe lasts 10 s at least.
func TestASlowHandshakeIsNeverDone(t *testing.T) {
	const shortest = 130 // bytes of a handshake, at least
	for _, limit := range []time.Duration{0, 100 * time.Millisecond, time.Second, 10 * time.Second, time.Hour} {
		watch := limit + siegeMargin
		if sent := max(watch, 10*time.Second) / dribblePause(watch); sent >= shortest {
			t.Errorf("with a limit of %s %d bytes are sent", limit, sent)
		}
	}
}
