package ingest

import (
	"bufio"
	"bytes"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/gorilla/websocket"

	"plumbline/bridge/internal/eventually"
)

const goodOrigin = "https://dash.example"

// startWS runs a broker with a WebSocket listener.
func startWS(t *testing.T, change func(*Options)) *Broker {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	b, _ := start(t, func(o *Options) {
		o.Listeners = append(o.Listeners, Listener{Name: "ws", Socket: l, WebSocket: &WebSocket{Path: "/mqtt", Origins: []string{goodOrigin}}})
		if change != nil {
			change(o)
		}
	})
	return b
}

func wsURL(b *Broker) string { return "ws://" + b.Addr("ws").String() + "/mqtt" }

// open dials a WebSocket as MQTT clients do.
func open(t *testing.T, b *Broker, header http.Header) (*websocket.Conn, *http.Response, error) {
	t.Helper()
	d := websocket.Dialer{Subprotocols: []string{"mqtt"}, HandshakeTimeout: wait}
	ws, resp, err := d.Dial(wsURL(b), header)
	if err == nil {
		t.Cleanup(func() { _ = ws.Close() })
	}
	return ws, resp, err
}

// dialWS is dial over WebSocket.
func dialWS(t *testing.T, b *Broker, version byte) *client {
	t.Helper()
	ws, _, err := open(t, b, nil)
	if err != nil {
		t.Fatal(err)
	}
	s := &socket{ws: ws}
	if err := s.SetDeadline(time.Now().Add(wait)); err != nil {
		t.Fatal(err)
	}
	return &client{t: t, Conn: s, r: bufio.NewReader(s), v: version}
}

// forbidden fails the test unless a handshake with the header is answered with 403.
func forbidden(t *testing.T, b *Broker, header http.Header) {
	t.Helper()
	_, resp, err := open(t, b, header)
	if err == nil || resp == nil || resp.StatusCode != http.StatusForbidden {
		t.Errorf("header %q: %v %v, want 403", header, resp, err)
	}
}

// TestN02ForeignOriginMQTT, with M22 and D16: exact origins, or none.
func TestN02ForeignOriginMQTT(t *testing.T) {
	b := startWS(t, nil)
	forbidden(t, b, http.Header{"Origin": {"https://evil.example"}})
	forbidden(t, b, http.Header{"Origin": {""}})
	if _, _, err := open(t, b, http.Header{"Origin": {goodOrigin}}); err != nil {
		t.Errorf("origin on the list: %v", err)
	}
}

func TestN03NullOriginMQTT(t *testing.T) {
	forbidden(t, startWS(t, nil), http.Header{"Origin": {"null"}})
}

func TestN04LookAlikeOriginsMQTT(t *testing.T) {
	b := startWS(t, nil)
	for _, o := range []string{
		goodOrigin + ".evil.example", "https://dash.example.evil", "https://xdash.example", "https://sub.dash.example", goodOrigin + ":8443", goodOrigin + ":443",
		"http://dash.example", goodOrigin + ".", "HTTPS://DASH.EXAMPLE", "https://xn--dsh-qla.example", goodOrigin + "/", "https://user@dash.example",
	} {
		forbidden(t, b, http.Header{"Origin": {o}})
	}
}

func TestN05TwoOriginsMQTT(t *testing.T) {
	b := startWS(t, nil)
	for _, o := range [][]string{{goodOrigin, "https://evil.example"}, {"https://evil.example", goodOrigin}, {goodOrigin, goodOrigin}} {
		forbidden(t, b, http.Header{"Origin": o})
	}
}

// TestN06AbsentOriginMQTT: no cookie is a credential here, so a client without the header is let in, to give its password.
func TestN06AbsentOriginMQTT(t *testing.T) {
	b := startWS(t, func(o *Options) { o.Users = users(t) })
	if _, _, err := open(t, b, http.Header{"Cookie": {"session=x"}}); err != nil {
		t.Errorf("no origin: %v", err)
	}
	if body := dialWS(t, b, 5).connect(login{id: "x"}); body[1] != 0x86 {
		t.Errorf("without a password: %#x, want 0x86", body[1])
	}
	dialWS(t, b, 5).ok(login{id: "x", user: "all", password: "pw", clean: true})
}

func TestN07SpoofedHostMQTT(t *testing.T) {
	forbidden(t, startWS(t, nil), http.Header{"Origin": {"https://evil.example"}, "Host": {"evil.example"}})
}

// TestN08CrossSitePageMQTT: what a foreign page may open brings it nothing, for the browser has no credential to lend it.
func TestN08CrossSitePageMQTT(t *testing.T) {
	b := startWS(t, func(o *Options) { o.Users = users(t) })
	if _, resp, err := open(t, b, http.Header{"Origin": {"https://evil.example"}, "Cookie": {"session=victim"}}); err == nil || resp.StatusCode != http.StatusForbidden {
		t.Errorf("foreign page: %v", err)
	}
	c := dialWS(t, b, 5)
	if body := c.connect(login{id: "x"}); body[1] != 0x86 {
		t.Errorf("without a password: %#x", body[1])
	}
}

// TestWebSocketHandshake holds the other refusals: each with its status, and nothing of MQTT.
func TestWebSocketHandshake(t *testing.T) {
	b := startWS(t, nil)
	good := "GET /mqtt HTTP/1.1\r\nHost: x\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\nSec-WebSocket-Protocol: mqtt\r\n\r\n"
	for _, tc := range []struct {
		name, from, to string
		status         int
	}{
		{"as it should be", "", "", 101},
		{"no subprotocol", "Sec-WebSocket-Protocol: mqtt\r\n", "", 400},
		{"another subprotocol", ": mqtt\r\n", ": mqttv3.1\r\n", 400},
		{"path", "/mqtt", "/other", 404},
		{"query", "/mqtt", "/mqtt?token=x", 400},
		{"version", "Version: 13", "Version: 8", 426},
		{"no version", "Sec-WebSocket-Version: 13\r\n", "", 426},
		{"key", "AAAAAAAAAAAAAAAAAAAAAA==", "AAAA", 400},
		{"method", "GET", "POST", 405},
		{"no upgrade", "Upgrade: websocket\r\n", "", 426},
		{"body", "Host: x\r\n", "Host: x\r\nContent-Length: 5\r\n", 400},
		{"many headers", "Host: x\r\n", "Host: x\r\n" + strings.Repeat("X-A: b\r\n", 80), 431},
		{"huge headers", "Host: x\r\n", "Host: x\r\nX-A: " + strings.Repeat("b", 64<<10) + "\r\n", 431},
	} {
		t.Run(tc.name, func(t *testing.T) {
			c, err := net.Dial("tcp", b.Addr("ws").String())
			if err != nil {
				t.Fatal(err)
			}
			defer func() { _ = c.Close() }()
			_ = c.SetDeadline(time.Now().Add(wait))
			_, _ = io.WriteString(c, strings.Replace(good, tc.from, tc.to, 1))
			resp, err := http.ReadResponse(bufio.NewReader(c), nil)
			if err != nil || resp.StatusCode != tc.status {
				t.Fatalf("%v %v, want %d", resp, err, tc.status)
			}
			if got := resp.Header.Get("Sec-WebSocket-Protocol"); (got == "mqtt") != (tc.status == 101) {
				t.Errorf("subprotocol %q", got)
			}
		})
	}
}

// TestPacketsOverFrames: MQTT packets know nothing of WebSocket messages [MQTT-6.0.0-2].
func TestPacketsOverFrames(t *testing.T) {
	b := startWS(t, nil)
	s := dialWS(t, b, 5).ok(login{id: "s", clean: true})
	s.subscribe("f")
	c := dialWS(t, b, 4)
	one := cat(c.connectPacket(login{id: "c", clean: true}), c.publishPacket("f", "many in one", 1, 1, 0, nil))
	c.send(one)
	c.want(2)
	c.want(4)
	for _, octet := range c.publishPacket("f", "one in many", 1, 2, 0, nil) {
		c.send([]byte{octet})
	}
	c.want(4)
	ws := c.Conn.(*socket).ws
	w, err := ws.NextWriter(websocket.BinaryMessage) // a fragmented message, with a ping between its frames
	if err != nil {
		t.Fatal(err)
	}
	whole := c.publishPacket("f", strings.Repeat("x", 9000), 1, 3, 0, nil)
	_, _ = w.Write(whole[:5000])
	_ = ws.WriteControl(websocket.PingMessage, []byte("hi"), time.Now().Add(wait))
	_, _ = w.Write(whole[5000:])
	_ = w.Close()
	c.want(4)
	for _, want := range []string{"many in one", "one in many"} {
		if g := s.next(); g.payload != want {
			t.Errorf("%q, want %q", g.payload, want)
		}
	}
	if g := s.next(); len(g.payload) != 9000 {
		t.Errorf("%d bytes", len(g.payload))
	}
}

// TestN62EmptyFrames: 10⁶ of them harm nothing, and a packet may have them inside.
func TestN62EmptyFrames(t *testing.T) {
	b := startWS(t, nil)
	c := dialWS(t, b, 5).ok(login{id: "c", clean: true})
	raw := c.Conn.(*socket).ws.NetConn()
	empty := bytes.Repeat([]byte{0x82, 0x80, 0, 0, 0, 0}, 10_000)
	ping := []byte{0x82, 0x82, 0, 0, 0, 0, 0xC0, 0}
	_ = raw.SetDeadline(time.Now().Add(3 * wait))
	for range 100 {
		if _, err := raw.Write(empty); err != nil {
			t.Fatalf("cut: %v", err)
		}
	}
	if _, err := raw.Write(cat([]byte{0x82, 0x81, 0, 0, 0, 0, 0xC0}, empty[:6], []byte{0x82, 0x81, 0, 0, 0, 0, 0}, ping)); err != nil {
		t.Fatal(err)
	}
	c.want(13)
	c.want(13)
}

// closeCode reads to the end and returns how the bridge closed, 0 when without a word.
func closeCode(ws *websocket.Conn) int {
	_ = ws.SetReadDeadline(time.Now().Add(wait))
	for {
		if _, _, err := ws.ReadMessage(); err != nil {
			if e := (*websocket.CloseError)(nil); asClose(err, &e) {
				return e.Code
			}
			return 0
		}
	}
}

// nobody waits until no connection counts any more.
func (b *Broker) nobody(t *testing.T) {
	t.Helper()
	eventually.Must(t, "no connection", func() bool {
		b.gate.mu.Lock()
		defer b.gate.mu.Unlock()
		return len(b.gate.conns) == 0 && len(b.gate.perAddr) == 0
	})
}

// TestWebSocketLimits: text, messages over the limit, too many from one address.
func TestWebSocketLimits(t *testing.T) {
	b := startWS(t, func(o *Options) { o.MaxPacketBytes, o.ConnectTimeout, o.MaxPerAddress = 64<<10, wait, 2 })
	ws, _, err := open(t, b, nil)
	if err != nil {
		t.Fatal(err)
	}
	_ = ws.WriteMessage(websocket.TextMessage, (&client{v: 4}).connectPacket(login{id: "text", clean: true}))
	if code := closeCode(ws); code != websocket.CloseUnsupportedData {
		t.Errorf("text: %d, want 1003", code)
	}
	again := func() *websocket.Conn { // the place of a closed connection is free again
		var ws *websocket.Conn
		eventually.Must(t, "a place", func() bool {
			var err error
			ws, _, err = open(t, b, nil)
			return err == nil
		})
		return ws
	}
	big := again()
	_ = big.WriteMessage(websocket.BinaryMessage, (&client{v: 4}).connectPacket(login{id: "big", clean: true}))
	_ = big.WriteMessage(websocket.BinaryMessage, bytes.Repeat([]byte{0xC0, 0}, 70<<10)) // packets within the limit, a message beyond it
	if code := closeCode(big); code != websocket.CloseMessageTooBig {
		t.Errorf("too big: %d, want 1009", code)
	}
	one, two := again(), again()
	if _, _, err := open(t, b, nil); err == nil {
		t.Error("a third connection from one address")
	}
	_, _ = one.Close(), two.Close()
	b.nobody(t)
}

// TestWebSocketSilence: who says nothing before CONNECT, or half of it, or half of the handshake, is cut.
func TestWebSocketSilence(t *testing.T) {
	b := startWS(t, func(o *Options) { o.ConnectTimeout = 500 * time.Millisecond })
	again := func() *websocket.Conn {
		var ws *websocket.Conn
		eventually.Must(t, "a connection", func() bool { // the time is for the handshake too
			var err error
			ws, _, err = open(t, b, nil)
			return err == nil
		})
		return ws
	}
	silent, half := again(), again()
	_ = half.WriteMessage(websocket.BinaryMessage, []byte{0x10})
	closeCode(silent)
	closeCode(half)
	tcp, err := net.Dial("tcp", b.Addr("ws").String())
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = tcp.Close() }()
	_ = tcp.SetDeadline(time.Now().Add(wait))
	if _, err := io.WriteString(tcp, "GET /mqtt HT"); err != nil {
		t.Fatal(err)
	}
	if _, err := io.ReadAll(tcp); err != nil && strings.Contains(err.Error(), "timeout") {
		t.Error("half a handshake is still open")
	}
	b.nobody(t)
}

func asClose(err error, e **websocket.CloseError) bool {
	c, ok := err.(*websocket.CloseError) //nolint:errorlint // gorilla returns it bare
	*e = c
	return ok
}

// TestWebSocketCloseAndWill: a closing handshake without DISCONNECT is a lost connection; a DISCONNECT is answered by it.
func TestWebSocketCloseAndWill(t *testing.T) {
	b := startWS(t, nil)
	s := dial(t, b, 5).ok(login{id: "s", clean: true})
	s.subscribe("w/#")
	c := dialWS(t, b, 5).ok(login{id: "c", clean: true, will: &willSpec{topic: "w/lost", payload: "gone"}})
	ws := c.Conn.(*socket).ws
	_ = ws.WriteControl(websocket.CloseMessage, websocket.FormatCloseMessage(1001, ""), time.Now().Add(wait))
	if g := s.next(); g.topic != "w/lost" {
		t.Errorf("%+v", g)
	}
	d := dialWS(t, b, 5).ok(login{id: "d", clean: true, will: &willSpec{topic: "w/never", payload: "gone"}})
	d.send([]byte{0xE0, 0})
	if _, _, err := d.Conn.(*socket).ws.ReadMessage(); !websocket.IsCloseError(err, websocket.CloseNormalClosure) {
		t.Errorf("after DISCONNECT: %v, want a normal closure", err)
	}
	s.quiet()
	if err := b.Close(); err != nil {
		t.Error(err)
	}
}
