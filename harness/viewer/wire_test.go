package viewer

import (
	"bufio"
	"crypto/sha1"
	"encoding/base64"
	"fmt"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/gorilla/websocket"
)

// bareServer answers the handshake by hand with extra header lines and then
// leaves the connection to serve.
func bareServer(t *testing.T, extra string, serve func(net.Conn, *bufio.Reader)) string {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	must(t, err)
	t.Cleanup(func() { _ = listener.Close() })
	go func() {
		for {
			conn, err := listener.Accept()
			if err != nil {
				return
			}
			go func() {
				defer conn.Close()
				in := bufio.NewReader(conn)
				request, err := http.ReadRequest(in)
				if err != nil {
					return
				}
				sum := sha1.Sum([]byte(request.Header.Get("Sec-WebSocket-Key") + "258EAFA5-E914-47DA-95CA-C5AB0DC85B11"))
				fmt.Fprintf(conn, "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Accept: %s\r\nSec-WebSocket-Protocol: %s\r\n%s\r\n",
					base64.StdEncoding.EncodeToString(sum[:]), Subprotocol, extra)
				serve(conn, in)
			}()
		}
	}()
	return "ws://" + listener.Addr().String() + "/"
}

// serverFrame is a text frame as servers send it.
func serverFrame(text string) []byte { return UnmaskedFrame(OpText, []byte(text)) }

func TestExtensionThatWasNotOfferedIsRefused(t *testing.T) {
	r := newRecording(t)
	url := bareServer(t, "Sec-WebSocket-Extensions: permessage-deflate; server_no_context_takeover; client_no_context_takeover\r\n",
		func(conn net.Conn, _ *bufio.Reader) {
			_, _ = conn.Write(serverFrame(`{"type":"welcome","session":"s","protocol":1,"epoch":"e1","heartbeat_ms":1000}`))
			_, _ = conn.Write(serverFrame(`{"type":"subok","id":1,"filter":"a/#","epoch":"e1","offset":0,"recovered":false,"reason":"no-cursor"}`))
			_, _ = conn.Read(make([]byte, 1))
		})
	v, err := Open(limit(t), Config{Name: "v", URL: url, Filters: []string{"a/#"}, Recorder: r.Recorder, Reconnect: Backoff{Off: true}})
	if err == nil {
		_ = v.Close()
		t.Fatal("the viewer agreed to compression that it never offered (RFC 6455 section 4.1)")
	}
	if !strings.Contains(err.Error(), "permessage-deflate") {
		t.Fatalf("error is %v", err)
	}
}

func TestSlowFrameIsNotSilence(t *testing.T) {
	s, r := newServer(t), newRecording(t)
	s.silent = true
	cfg := s.config(r)
	cfg.URL = bareServer(t, "", func(conn net.Conn, _ *bufio.Reader) {
		_, _ = conn.Write(serverFrame(`{"type":"welcome","session":"s","protocol":1,"epoch":"e1","heartbeat_ms":1000}`))
		_, _ = conn.Write(serverFrame(`{"type":"subok","id":1,"filter":"a/#","epoch":"e1","offset":10,"recovered":false,"reason":"no-cursor"}`))
		// One frame in twenty pieces, each well within the silence that is
		// allowed, all together well beyond it.
		frame := serverFrame(batchJSON(1, "e1", 10, 12, one))
		tick := time.NewTicker(100 * time.Millisecond)
		defer tick.Stop()
		for len(frame) > 0 {
			<-tick.C
			n := min(len(frame), 6)
			if _, err := conn.Write(frame[:n]); err != nil {
				return
			}
			frame = frame[n:]
		}
		_, _ = conn.Read(make([]byte, 1<<10))
		_, _ = conn.Read(make([]byte, 1<<10))
	})
	cfg.TLS, cfg.Silence = nil, time.Second
	cfg.Reconnect.Off = true
	v := open(t, cfg)
	must(t, v.WaitReceived(limit(t), 1))
}

func TestPingAfterGoodbyeLeavesTheEndToTheServer(t *testing.T) {
	s, r := newServer(t), newRecording(t)
	s.script = func(c *websocket.Conn, _ map[string]any) bool {
		say(c, `{"type":"welcome","session":"s","protocol":1,"epoch":"e1","heartbeat_ms":1000}`)
		say(c, `{"type":"subok","id":1,"filter":"a/#","epoch":"e1","offset":10,"recovered":false,"reason":"no-cursor"}`)
		c.SetCloseHandler(func(int, string) error {
			_ = c.WriteControl(websocket.PingMessage, nil, time.Now().Add(time.Second))
			say(c, "%s", batchJSON(1, "e1", 10, 12, one))
			hangUp(c, 1000, "")
			return nil
		})
		for {
			if _, err := read(c); err != nil {
				return true
			}
		}
	}
	v := open(t, s.config(r))
	must(t, v.Close())
	if c := v.Counters(); c.Received != 1 || c.LastClose != 1000 {
		t.Fatalf("what was under way was dropped: counters are %+v", c)
	}
}

func TestBase64WithEscapedSlash(t *testing.T) {
	r := newRecording(t)
	v, s := offline(r)
	v.handle(s, 2, websocket.TextMessage, []byte(batchJSON(1, "e1", 10, 12, `{"o":11,"topic":"a","base64":"\/\/8="}`)))
	if c := v.Counters(); c.Received != 1 || c.Malformed != 0 {
		t.Fatalf("counters are %+v", c)
	}
}

func TestServerThatNeverAnswersIsLeft(t *testing.T) {
	s, r := newServer(t), newRecording(t)
	s.script = func(c *websocket.Conn, _ map[string]any) bool {
		say(c, `{"type":"welcome","session":"s","protocol":1,"epoch":"e1","heartbeat_ms":1000}`)
		tick := time.NewTicker(20 * time.Millisecond)
		defer tick.Stop()
		for range tick.C { // signs of life, and never a subok
			if c.WriteMessage(websocket.TextMessage, []byte(heartbeatJSON(0, 0, 0))) != nil {
				return true
			}
		}
		return true
	}
	cfg := s.config(r)
	cfg.Reconnect.Off = true
	cfg.connectLimit = 200 * time.Millisecond
	if _, err := Open(limit(t), cfg); err == nil || !strings.Contains(err.Error(), "200ms") {
		t.Fatalf("Open gave %v", err)
	}
}
