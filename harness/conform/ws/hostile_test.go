package ws_test

import (
	"bufio"
	"context"
	"errors"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/gorilla/websocket"

	"plumbline/harness/conform"
	"plumbline/harness/conform/targets"
	"plumbline/harness/conform/ws"
)

// hostile is a server that gives every connection to serve.
func hostile(t *testing.T, serve func(net.Conn)) ws.Target {
	t.Helper()
	return ws.Target{URL: "ws://" + targets.Listen(t, serve) + "/"}
}

// upgraded answers the handshake and goes on with serve.
func upgraded(serve func(net.Conn)) func(net.Conn) {
	return func(c net.Conn) {
		r, err := http.ReadRequest(bufio.NewReader(c))
		if err != nil {
			return
		}
		_, _ = c.Write([]byte("HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Accept: " +
			acceptOf(r) + "\r\n\r\n"))
		serve(c)
	}
}

func acceptOf(r *http.Request) string {
	return ws.Accept(r.Header.Get("Sec-WebSocket-Key"))
}

// TestHostile: whatever a server does, the suite ends soon, with an error that
// says what it was.
func TestHostile(t *testing.T) {
	o := ws.Options{Handshake: 300 * time.Millisecond} // for those that answer the patience is never over, however busy the machine
	servers := map[string]struct {
		serve func(net.Conn)
		says  string
	}{
		"closes at once": {func(net.Conn) {}, "the end of the connection"},
		"says nothing":   {targets.Drain, "nothing"},
		"speaks garbage": {func(c net.Conn) { targets.Flood(c, []byte("\x00\xffgarbage ")) }, "no HTTP"},
		"endless head":   {func(c net.Conn) { targets.Flood(c, []byte("HTTP/1.1 101 x\r\nA: b\r\nC: d\r\n")) }, "no HTTP"},
		"redirects": {func(c net.Conn) {
			_, _ = c.Write([]byte("HTTP/1.1 302 Found\r\nLocation: /x\r\n\r\n"))
			targets.Drain(c)
		}, "status 302"},
		"floods frames":     {upgraded(func(c net.Conn) { targets.Flood(c, append([]byte{0x82, 126, 0x40, 0}, make([]byte, 0x4000)...)) }), "before the case began"},
		"giant frame":       {upgraded(func(c net.Conn) { targets.Flood(c, []byte{0x82, 127, 0, 0, 0, 0, 0x06, 0, 0, 0}) }), "8388608 is the most"},
		"endless fragments": {upgraded(func(c net.Conn) { targets.Flood(c, []byte{0x00, 2, 'a', 'b'}) }), "before the case began"},
		"never answers":     {upgraded(targets.Drain), "did not answer a ping"},
		"closes sessions":   {upgraded(func(c net.Conn) { _, _ = c.Write([]byte{0x88, 2, 0x03, 0xe8}); targets.Drain(c) }), "close code 1000"},
	}
	for name, server := range servers {
		t.Run(name, func(t *testing.T) {
			o.Patience = time.Minute
			if name == "says nothing" || name == "never answers" || name == "endless fragments" { // it is waited for to its end
				o.Patience = 200 * time.Millisecond
			}
			_, err := ws.Run(t.Context(), hostile(t, server.serve), o)
			if !errors.Is(err, conform.ErrUnreachable) || !strings.Contains(err.Error(), server.says) {
				t.Errorf("%v; it should say %q", err, server.says)
			}
		})
	}
}

// TestTurnsHostile: a server that is sound at first and then floods.
func TestTurnsHostile(t *testing.T) {
	first := make(chan struct{}, 1)
	first <- struct{}{}
	target := hostile(t, upgraded(func(c net.Conn) {
		select {
		case <-first:
			frame := make([]byte, 256)
			for {
				n, err := c.Read(frame)
				if err != nil || n < 6 {
					return
				}
				payload := frame[6:n]
				for i := range payload {
					payload[i] ^= frame[2+i%4]
				}
				_, _ = c.Write(append([]byte{0x8a, byte(len(payload))}, payload...))
			}
		default:
			targets.Flood(c, []byte{0xff, 0x7f})
		}
	}))
	r, err := ws.Run(t.Context(), target, ws.Options{Patience: time.Minute, Handshake: 200 * time.Millisecond})
	if err != nil {
		t.Fatal(err)
	}
	if r.Verdict() == conform.Pass {
		t.Error("a server that floods passes")
	}
	if c, _ := r.Case("WS-5.5.2-1"); c.Verdict == conform.Pass {
		t.Errorf("%+v", c)
	}
}

// TestInterrupted: what was not run is not passed.
func TestInterrupted(t *testing.T) {
	url := echo(t, websocket.Upgrader{}, 1000)
	ctx, cancel := context.WithCancel(t.Context())
	o := ws.Options{Parallel: 1, Handshake: 300 * time.Millisecond, Progress: func(conform.Case) { cancel() }}
	r, err := ws.Run(ctx, ws.Target{URL: url}, o)
	if err != nil {
		t.Fatal(err)
	}
	if v := r.Verdict(); v != conform.Inconclusive {
		t.Errorf("an interrupted run is %q", v)
	}
	if n := r.Count(conform.Must, conform.NotRun); n < 50 {
		t.Errorf("%d cases were not run", n)
	}
}

func TestUsage(t *testing.T) {
	for _, target := range []ws.Target{{URL: "http://127.0.0.1/"}, {URL: "ws:///x"}, {URL: "::"}} {
		if _, err := ws.Run(t.Context(), target, ws.Options{}); !errors.Is(err, conform.ErrUsage) {
			t.Errorf("%s: %v", target.URL, err)
		}
	}
	if _, err := ws.Run(t.Context(), ws.Target{URL: "ws://127.0.0.1:1/"}, ws.Options{}); !errors.Is(err, conform.ErrUnreachable) {
		t.Error(err)
	}
	bad := ws.Options{Header: http.Header{"X": {"a\r\nb"}}}
	if _, err := ws.Run(t.Context(), ws.Target{URL: "ws://127.0.0.1:1/"}, bad); !errors.Is(err, conform.ErrUsage) {
		t.Error(err)
	}
}

// TestRules: every rule has an id of its own, a section and one "shall".
func TestRules(t *testing.T) {
	seen := map[string]bool{}
	for _, r := range ws.Rules() {
		if seen[r.ID] || r.Section == "" || strings.Count(r.Text, "shall") != 1 || !strings.HasSuffix(r.Text, ".") {
			t.Errorf("%+v", r)
		}
		seen[r.ID] = true
	}
}
