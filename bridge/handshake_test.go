package bridge

import (
	"crypto/tls"
	"fmt"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"

	"plumbline/bridge/internal/eventually"
	"plumbline/bridge/wire"
)

// upgrade returns the headers of a good handshake.
func upgrade() http.Header {
	return http.Header{
		"Connection": {"Upgrade"}, "Upgrade": {"websocket"}, "Sec-Websocket-Version": {"13"},
		"Sec-Websocket-Key": {"dGhlIHNhbXBsZSBub25jZQ=="}, "Sec-Websocket-Protocol": {wire.Subprotocol},
	}
}

// handshakes are requests with the headers of an upgrade, one thing changed.
func handshakes() []handshake {
	with := func(key string, values ...string) http.Header {
		h := upgrade()
		if values == nil {
			h.Del(key)
		} else {
			h[key] = values
		}
		return h
	}
	long := strings.Repeat("x", 70_000)
	many := upgrade()
	for i := range 1000 {
		many[fmt.Sprintf("X-%d", i)] = []string{"1"}
	}
	return []handshake{
		{"good", upgrade(), "", 101},
		{"good with Origin", with("Origin", "https://good.example"), "", 101},
		{"good, several subprotocols", with("Sec-Websocket-Protocol", "x, "+wire.Subprotocol), "", 101},
		{"N02 other origin", with("Origin", "https://evil.example"), "", 403},
		{"N03 null", with("Origin", "null"), "", 403},
		{"N04 suffix", with("Origin", "https://good.example.evil.com"), "", 403},
		{"N04 prefix", with("Origin", "https://evilgood.example"), "", 403},
		{"N04 sub-domain", with("Origin", "https://a.good.example"), "", 403},
		{"N04 other port", with("Origin", "https://good.example:8443"), "", 403},
		{"N04 default port spelled out", with("Origin", "https://good.example:443"), "", 403},
		{"N04 scheme", with("Origin", "http://good.example"), "", 403},
		{"N04 trailing dot", with("Origin", "https://good.example."), "", 403},
		{"N04 upper case", with("Origin", "https://GOOD.example"), "", 403},
		{"N04 punycode", with("Origin", "https://xn--god-2na.example"), "", 403},
		{"N04 path", with("Origin", "https://good.example/"), "", 403},
		{"N04 empty", with("Origin", ""), "", 403},
		{"N05 good then bad", with("Origin", "https://good.example", "https://evil.example"), "", 403},
		{"N05 bad then good", with("Origin", "https://evil.example", "https://good.example"), "", 403},
		{"N05 good twice", with("Origin", "https://good.example", "https://good.example"), "", 403},
		{"N05 joined", with("Origin", "https://good.example, https://evil.example"), "", 403},
		{"N09 version 8", with("Sec-Websocket-Version", "8"), "", 426},
		{"N09 no version", with("Sec-Websocket-Version"), "", 426},
		{"N09 two versions", with("Sec-Websocket-Version", "13", "8"), "", 426},
		{"N10 no key", with("Sec-Websocket-Key"), "", 400},
		{"N10 short key", with("Sec-Websocket-Key", "AAAA"), "", 400},
		{"N10 long key", with("Sec-Websocket-Key", "dGhlIHNhbXBsZSBub25jZXh4eA=="), "", 400},
		{"N10 key twice", with("Sec-Websocket-Key", "dGhlIHNhbXBsZSBub25jZQ==", "dGhlIHNhbXBsZSBub25jZQ=="), "", 400},
		{"N11 no Upgrade", with("Upgrade"), "", 426},
		{"N11 other Upgrade", with("Upgrade", "h2c"), "", 426},
		{"N11 no Connection: upgrade", with("Connection", "keep-alive"), "", 426},
		{"N12 unknown subprotocol", with("Sec-Websocket-Protocol", "plumbline.v2.json"), "", 400},
		{"N12 no subprotocol", with("Sec-Websocket-Protocol"), "", 400},
		{"N12 case", with("Sec-Websocket-Protocol", "PLUMBLINE.V1.JSON"), "", 400},
		{"N34 token as subprotocol", with("Sec-Websocket-Protocol", "bearer, eyJh.eyJh.c2ln"), "", 400},
		{"N13 64 KiB header", with("X-Long", long), "", 431},
		{"N13 1,000 headers", many, "", 431},
		{"two Authorization headers", with("Authorization", "Bearer a", "Bearer b"), "", 400},
		{"N33 token in URL", upgrade(), "?token=abc", 400},
		{"N33 access_token in URL", upgrade(), "?x=1&Access_Token=abc", 400},
		{"N33 something like a JWT", upgrade(), "?x=eyJhbGciOiJI.eyJzdWIi.c2ln", 400},
		{"N33 hidden by a semicolon", upgrade(), "?x=1;token=abc", 400},
		{"harmless query", upgrade(), "?room=7", 101},
	}
}

type handshake struct {
	name   string
	header http.Header
	query  string
	status int
}

// requests are written byte by byte. want is in the first line of the answer, or one of several.
func requests(host string) []request {
	good := "Host: " + host + "\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Protocol: " + wire.Subprotocol + "\r\n"
	return []request{
		{"N11 POST", "POST /ws HTTP/1.1\r\n" + good + "Content-Length: 0\r\n\r\n", " 405 "},
		{"N13 body", "GET /ws HTTP/1.1\r\n" + good + "Content-Length: 5\r\n\r\nhello", " 400 "},
		{"N11 HTTP/1.0", "GET /ws HTTP/1.0\r\n" + good + "\r\n", " 400 "},
		{"N13 chunked body", "GET /ws HTTP/1.1\r\n" + good + "Transfer-Encoding: chunked\r\n\r\n0\r\n\r\n", " 400 "},
		{"N13 length and chunked", "GET /ws HTTP/1.1\r\n" + good + "Content-Length: 4\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", " 400 "},
		{"N13 folded header", "GET /ws HTTP/1.1\r\n" + good + "X: a\r\n b\r\n\r\n", " 101 |400"}, // folding is undone by Go or refused, never a second header
		{"N13 two hosts", "GET /ws HTTP/1.1\r\nHost: evil\r\n" + good + "\r\n", " 400 "},
		{"N07 host of the foreign origin", "GET /ws HTTP/1.1\r\n" + strings.Replace(good, host, "evil.example", 1) + "Origin: https://evil.example\r\n\r\n", " 403 "},
		{"other path", "GET /ws/x HTTP/1.1\r\n" + good + "\r\n", " 404 "},
		{"deflate offered", "GET /ws HTTP/1.1\r\n" + good + "Sec-WebSocket-Extensions: permessage-deflate; server_max_window_bits=10\r\n\r\n", " 101 "},
		{"data before the answer", "GET /ws HTTP/1.1\r\n" + good + "\r\n\x81\x80\x00\x00\x00\x00", ""},
	}
}

type request struct{ name, request, want string }

// refuse runs the handshakes of one number, "" for those without.
func refuse(t *testing.T, number string) {
	t.Helper()
	r := run(t, nil)
	host := r.b.Addresses().Viewers
	chosen := func(name string) bool {
		return number != "" && strings.HasPrefix(name, number+" ") || number == "" && !strings.HasPrefix(name, "N")
	}
	ran := 0
	for _, tc := range handshakes() {
		if chosen(tc.name) {
			ran++
			t.Run(tc.name, func(t *testing.T) { (&running{t: t, b: r.b, cfg: r.cfg}).try(tc) })
		}
	}
	for _, tc := range requests(host) {
		if chosen(tc.name) {
			ran++
			t.Run(tc.name, func(t *testing.T) { (&running{t: t, b: r.b, cfg: r.cfg}).write(tc) })
		}
	}
	if ran == 0 {
		t.Fatalf("no case of %q", number)
	}
	r.open(nil) // others are unharmed
}

// try makes one handshake.
func (r *running) try(tc handshake) {
	t := r.t
	t.Helper()
	resp := r.handshake("https://"+r.b.Addresses().Viewers+"/ws"+tc.query, tc.header)
	if resp.StatusCode != tc.status {
		t.Fatalf("status %d, want %d", resp.StatusCode, tc.status)
	}
	proto, accept := resp.Header.Get("Sec-Websocket-Protocol"), resp.Header.Get("Sec-Websocket-Accept")
	if good := tc.status == 101; good != (proto == wire.Subprotocol) || good != (accept != "") {
		t.Errorf("protocol %q, accept %q with status %d", proto, accept, tc.status)
	}
	if resp.StatusCode == 426 && resp.Header.Get("Sec-Websocket-Version") != "13" {
		t.Error("426 does not say version 13")
	}
	if ext := resp.Header.Get("Sec-Websocket-Extensions"); ext != "" {
		t.Errorf("extension %q", ext)
	}
}

// write writes one request and looks at the first line of the answer.
func (r *running) write(tc request) {
	t, host := r.t, r.b.Addresses().Viewers
	t.Helper()
	conn, err := tls.Dial("tcp", host, r.tls())
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = conn.Close() }()
	_ = conn.SetDeadline(time.Now().Add(patience))
	if _, err := conn.Write([]byte(tc.request)); err != nil {
		t.Fatal(err)
	}
	buf := make([]byte, 2048)
	n, _ := conn.Read(buf)
	line, _, _ := strings.Cut(string(buf[:n]), "\r\n")
	ok := false
	for _, w := range strings.Split(tc.want, "|") {
		ok = ok || strings.Contains(line, w)
	}
	if !ok {
		t.Errorf("answer %q, want %s", line, tc.want)
	}
	if strings.Contains(strings.ToLower(string(buf[:n])), "sec-websocket-extensions") {
		t.Errorf("an extension was accepted: %q", buf[:n])
	}
}

func TestHandshakes(t *testing.T) { refuse(t, "") }

// TestClientsFirstSubprotocol: of those that the bridge speaks the one that the client names first is taken, wherever it stands.
func TestClientsFirstSubprotocol(t *testing.T) {
	r := run(t, withSessions)
	for _, tc := range []struct {
		offer []string
		want  string
	}{
		{[]string{"plumbline.v1.cbor, plumbline.v1.json"}, wire.SubprotocolCBOR},
		{[]string{"plumbline.v1.json, plumbline.v1.cbor"}, wire.Subprotocol},
		{[]string{"other", "plumbline.v1.cbor", "plumbline.v1.json"}, wire.SubprotocolCBOR},
		{[]string{"other, plumbline.v1.json", "plumbline.bearer.abc"}, wire.Subprotocol},
	} {
		h := upgrade()
		h["Sec-Websocket-Protocol"] = tc.offer
		resp := r.handshake("https://"+r.b.Addresses().Viewers+"/ws", h)
		if got := resp.Header["Sec-Websocket-Protocol"]; resp.StatusCode != 101 || len(got) != 1 || got[0] != tc.want {
			t.Errorf("%q: %d %q, want %s", tc.offer, resp.StatusCode, got, tc.want)
		}
	}
	h := upgrade()
	h["Sec-Websocket-Protocol"] = []string{wire.Subprotocol, "plumbline.bearer.abc", "plumbline.bearer.def"}
	if resp := r.handshake("https://"+r.b.Addresses().Viewers+"/ws", h); resp.StatusCode != 400 {
		t.Errorf("two tokens in two lines: %d", resp.StatusCode)
	}
}

// TestWrongMethodNamesTheRightOne as RFC 9110 section 15.5.6 has it.
func TestWrongMethodNamesTheRightOne(t *testing.T) {
	r := run(t, nil)
	if resp := r.ask(http.MethodPost, "/ws", ""); resp.StatusCode != 405 || resp.Header.Get("Allow") != "GET" {
		t.Errorf("%d, Allow %q", resp.StatusCode, resp.Header.Get("Allow"))
	}
}

func TestN02ForeignOrigin(t *testing.T)      { refuse(t, "N02") }
func TestN03NullOrigin(t *testing.T)         { refuse(t, "N03") }
func TestN04LookAlikeOrigins(t *testing.T)   { refuse(t, "N04") }
func TestN05TwoOrigins(t *testing.T)         { refuse(t, "N05") }
func TestN07SpoofedHost(t *testing.T)        { refuse(t, "N07") }
func TestN09Version(t *testing.T)            { refuse(t, "N09") }
func TestN10Key(t *testing.T)                { refuse(t, "N10") }
func TestN11NoUpgrade(t *testing.T)          { refuse(t, "N11") }
func TestN12Subprotocol(t *testing.T)        { refuse(t, "N12") }
func TestN13Smuggling(t *testing.T)          { refuse(t, "N13") }
func TestN33TokenInURL(t *testing.T)         { refuse(t, "N33") }
func TestN34TokenAsSubprotocol(t *testing.T) { refuse(t, "N34") }

// TestN06NoOriginWithCookie: a cookie alone is no credential; without Origin a client must bring a token.
func TestN06NoOriginWithCookie(t *testing.T) {
	r := run(t, nil)
	h := upgrade()
	h.Set("Cookie", "token="+r.token(nil))
	conn, err := tls.Dial("tcp", r.b.Addresses().Viewers, r.tls())
	if err != nil {
		t.Fatal(err)
	}
	v := shake(t, conn, h)
	if _, err := conn.Write(frame(0x81, `{"type":"hello"}`)); err != nil {
		t.Fatal(err)
	}
	v.wantClose(4002)
}

// TestN14HeaderDribble: a handshake that comes byte by byte ends at the limit, however lively it is.
func TestN14HeaderDribble(t *testing.T) {
	t.Parallel()
	r := run(t, nil)
	conn, err := tls.Dial("tcp", r.b.Addresses().Viewers, r.tls())
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = conn.Close() }()
	begin := time.Now()
	if _, err := conn.Write([]byte("GET /ws HTTP/1.1\r\nX-Slow: ")); err != nil {
		t.Fatal(err)
	}
	eventually.Must(t, "the connection to be closed", func() bool {
		_ = conn.SetReadDeadline(time.Now().Add(time.Millisecond))
		_, werr := conn.Write([]byte("x"))
		_, rerr := conn.Read(make([]byte, 1))
		ne, ok := rerr.(net.Error) //nolint:errorlint // the connection returns it bare
		return werr != nil || rerr != nil && (!ok || !ne.Timeout())
	})
	if took := time.Since(begin); took < headerTimeout-time.Second {
		t.Errorf("closed after %s, before the limit", took)
	}
}

// TestN81Sizes: what exceeds a limit by one is refused, what is at the limit is not.
func TestN81Sizes(t *testing.T) {
	r := run(t, nil)
	status := func(query string, h http.Header) int {
		return r.handshake("https://"+r.b.Addresses().Viewers+"/ws"+query, h).StatusCode
	}
	headers := func(n int) http.Header {
		h := upgrade()
		for i := range n - len(h) - 1 { // the client adds User-Agent; Host is not among the fields
			h[fmt.Sprintf("X-%d", i)] = []string{"1"}
		}
		return h
	}
	if got := status("", headers(64)); got != 101 {
		t.Errorf("64 fields: %d", got)
	}
	if got := status("", headers(65)); got != 431 {
		t.Errorf("65 fields: %d", got)
	}
	cookie := upgrade()
	cookie.Set("Cookie", "a="+strings.Repeat("x", headerBytes+8192)) // net/http allows 4 KiB on top
	if got := status("", cookie); got != 431 {
		t.Errorf("large cookie: %d", got)
	}
	if got := status("?q="+strings.Repeat("x", headerBytes+8192), upgrade()); got != 431 {
		t.Errorf("long query: %d", got)
	}
	v := r.open(nil)
	v.sendText(`{"type":"ping","id":"` + strings.Repeat("x", 128) + `"}`)
	v.want("pong")
	v.sub(1, strings.Repeat("t", 60_000), nil)
	full := `{"type":"ping","id":"x","pad":""}`
	pad := strings.Repeat("x", 65536-len(full))
	v.sendText(strings.Replace(full, `""`, `"`+pad+`"`, 1))
	v.want("pong")
	v.sendText(strings.Replace(full, `""`, `"`+pad+`x"`, 1))
	v.wantClose(1009, "too big")
	v = r.open(nil)
	v.sendText(`{"type":"ping","id":"` + strings.Repeat("x", 129) + `"}`)
	v.wantClose(4005, "128")
}
