package bridge

import (
	"crypto/tls"
	"fmt"
	"net"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/gorilla/websocket"

	"plumbline/bridge/config"
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

// TestHandshakeRefusals holds N02 to N13 and N33, N34.
func TestHandshakeRefusals(t *testing.T) {
	r := run(t, nil)
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
	for _, tc := range []struct {
		name   string
		header http.Header
		query  string
		status int
	}{
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
		{"empty origin", with("Origin", ""), "", 403},
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
	} {
		t.Run(tc.name, func(t *testing.T) {
			r := &running{t: t, b: r.b, cfg: r.cfg}
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
		})
	}
}

// TestOddRequests holds the rest of N07, N11, N13, N65.
func TestOddRequests(t *testing.T) {
	r := run(t, nil)
	host := r.b.Addresses().Viewers
	good := "Host: " + host + "\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Protocol: " + wire.Subprotocol + "\r\n"
	for _, tc := range []struct{ name, request, want string }{
		{"POST", "POST /ws HTTP/1.1\r\n" + good + "Content-Length: 0\r\n\r\n", " 405 "},
		{"body", "GET /ws HTTP/1.1\r\n" + good + "Content-Length: 5\r\n\r\nhello", " 400 "},
		{"HTTP/1.0", "GET /ws HTTP/1.0\r\n" + good + "\r\n", " 400 "},
		{"chunked body", "GET /ws HTTP/1.1\r\n" + good + "Transfer-Encoding: chunked\r\n\r\n0\r\n\r\n", " 400 "},
		{"length and chunked", "GET /ws HTTP/1.1\r\n" + good + "Content-Length: 4\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", " 400 "},
		{"folded header", "GET /ws HTTP/1.1\r\n" + good + "X: a\r\n b\r\n\r\n", " 101 |400"}, // folding is undone by Go or refused, never a second header
		{"two hosts", "GET /ws HTTP/1.1\r\nHost: evil\r\n" + good + "\r\n", " 400 "},
		{"N07 host of the foreign origin", "GET /ws HTTP/1.1\r\n" + strings.Replace(good, host, "evil.example", 1) + "Origin: https://evil.example\r\n\r\n", " 403 "},
		{"other path", "GET /ws/x HTTP/1.1\r\n" + good + "\r\n", " 404 "},
		{"deflate offered", "GET /ws HTTP/1.1\r\n" + good + "Sec-WebSocket-Extensions: permessage-deflate; server_max_window_bits=10\r\n\r\n", " 101 "},
		{"data before the answer", "GET /ws HTTP/1.1\r\n" + good + "\r\n\x81\x80\x00\x00\x00\x00", ""},
	} {
		t.Run(tc.name, func(t *testing.T) {
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
		})
	}
	plain, err := net.Dial("tcp", host) // N01
	if err != nil {
		t.Fatal(err)
	}
	req := &http.Request{Method: "GET", URL: &url.URL{Scheme: "http", Host: host, Path: "/ws"}, Host: host, Header: upgrade(), ProtoMajor: 1, ProtoMinor: 1}
	if resp := roundTrip(t, plain, req); resp.StatusCode != 400 {
		t.Errorf("plaintext on the TLS port: %d", resp.StatusCode)
	}
	for _, version := range []uint16{tls.VersionTLS10, tls.VersionTLS11} { // N84
		conf := r.tls()
		conf.MinVersion, conf.MaxVersion = version, version
		if c, err := tls.Dial("tcp", host, conf); err == nil {
			_ = c.Close()
			t.Errorf("TLS version %x was accepted", version)
		}
	}
}

// TestAuthTable holds N15, N16, N21, N24, N25 on the wire; package auth holds all token vectors.
func TestAuthTable(t *testing.T) {
	r := run(t, func(c *Config) { c.Viewers.AuthTimeout = config.Duration(400 * time.Millisecond) })
	hello := func(change map[string]any) string {
		return fmt.Sprintf(`{"type":"hello","token":%q}`, r.token(change))
	}
	for _, tc := range []struct {
		name   string
		send   []string
		code   int
		reason string
	}{
		{"N15 silence", nil, 4001, "in time"},
		{"N16 sub first", []string{`{"type":"sub","id":1,"filter":"#"}`}, 4001, "hello first"},
		{"N16 ping first", []string{`{"type":"ping","id":"x"}`}, 4001, "hello first"},
		{"unknown type first", []string{`{"type":"x"}`}, 4001, "hello first"},
		{"no token", []string{`{"type":"hello"}`}, 4002, "token"},
		{"garbage", []string{`{"type":"hello","token":"a.b.c"}`}, 4002, "token"},
		{"N21 expired", []string{hello(map[string]any{"exp": time.Now().Add(-time.Minute).Unix()})}, 4002, "expired"},
		{"N24 issuer", []string{hello(map[string]any{"iss": "x"})}, 4002, "issuer"},
		{"N25 audience", []string{hello(map[string]any{"aud": "x"})}, 4002, "audience"},
		{"malformed JSON", []string{`{"type":`}, 4005, "JSON"},
		{"not an object", []string{`[1]`}, 4005, ""},
		{"token a number", []string{`{"type":"hello","token":7}`}, 4005, "type"},
		{"duplicate member", []string{`{"type":"hello","type":"sub"}`}, 4005, "JSON"},
		{"N67 deep", []string{strings.Repeat("[", 15_000)}, 4005, "JSON"},
		{"hello twice", []string{hello(nil), hello(nil)}, 4005, "twice"},
		{"unknown type", []string{hello(nil), `{"type":"publish","topic":"a"}`}, 4005, "unknown type"},
		{"no type", []string{hello(nil), `{}`}, 4005, "unknown type"},
		{"sub id a string", []string{hello(nil), `{"type":"sub","id":"1","filter":"#"}`}, 4005, "id"},
		{"sub id negative", []string{hello(nil), `{"type":"sub","id":-1,"filter":"#"}`}, 4005, "id"},
		{"sub id missing", []string{hello(nil), `{"type":"sub","filter":"#"}`}, 4005, "id"},
		{"sub id in use", []string{hello(nil), `{"type":"sub","id":1,"filter":"#"}`, `{"type":"sub","id":1,"filter":"a"}`}, 4005, "in use"},
		{"ping id a number", []string{hello(nil), `{"type":"ping","id":1}`}, 4005, "ping"},
		{"refresh with garbage", []string{hello(nil), `{"type":"auth","token":"x"}`}, 4002, "token"},
		{"N36 refresh with another subject", []string{hello(nil), fmt.Sprintf(`{"type":"auth","token":%q}`, r.token(map[string]any{"sub": "ben"}))}, 4003, "subject"},
		{"N36 refresh with an expired token", []string{hello(nil), fmt.Sprintf(`{"type":"auth","token":%q}`, r.token(map[string]any{"exp": 1}))}, 4200, "expired"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			v := (&running{t: t, b: r.b, cfg: r.cfg}).dial()
			for _, s := range tc.send {
				v.sendText(s)
			}
			v.wantClose(tc.code, tc.reason)
		})
	}
	t.Run("token in the header", func(t *testing.T) {
		d := websocket.Dialer{TLSClientConfig: r.tls(), Subprotocols: []string{wire.Subprotocol}}
		ws, _, err := d.Dial(r.url(), http.Header{"Authorization": {"Bearer " + r.token(nil)}})
		if err != nil {
			t.Fatal(err)
		}
		defer func() { _ = ws.Close() }()
		v := &viewer{t, ws}
		v.send(map[string]any{"type": "hello", "role": "admin", "grants": []string{"#"}}) // N54: ignored
		v.want("welcome")
	})
}

// TestAccess holds N41 to N46 and N54 on the wire.
func TestAccess(t *testing.T) {
	r := run(t, nil)
	p := r.publisher("dev")
	r.publish(p, "a/secret/1", "hidden")
	r.publish(p, "a/1", "seen")
	r.publish(p, "b/1", "other tenant")
	v := r.open(map[string]any{"grants": []string{"a/#"}, "denies": []string{"a/secret/#"}})
	for id, filter := range []string{"#", "+/1", "b/1", "a/secret/#", "a/secret/1", "$SYS/#", "nothing/here"} {
		v.send(map[string]any{"type": "sub", "id": id, "filter": filter, "role": "admin"})
		if m, err := v.next(); err != nil || m.Type != "suberr" || m.Reason != "forbidden" {
			t.Errorf("%s: %+v %v, want suberr forbidden", filter, m, err)
		}
	}
	for id, filter := range []string{"", "a/#/b", "a/b+", "a/\x00", "a#", strings.Repeat("a/", 33_000)} {
		v.send(map[string]any{"type": "sub", "id": 100 + id, "filter": filter})
		m, err := v.next()
		if len(filter) > 60_000 {
			if err == nil && m.Type != "suberr" {
				t.Errorf("filter of 66,000 bytes: %+v", m)
			}
			break // above max_frame_bytes: 1009, checked elsewhere
		}
		if err != nil || m.Type != "suberr" || m.Reason != "filter" {
			t.Errorf("%.20q: %+v %v, want suberr filter", filter, m, err)
		}
	}
	v = r.open(map[string]any{"grants": []string{"a/#"}, "denies": []string{"a/secret/#"}})
	v.send(map[string]any{"type": "sub", "id": 1, "filter": "a/#", "mode": "newest"})
	if m, err := v.next(); err != nil || m.Reason != "mode" {
		t.Errorf("mode: %+v %v", m, err)
	}
	ok := v.sub(2, "a/#", map[string]any{"snapshot": true}) // N45
	if s := v.want("snapshot"); len(s.Readings) != 1 || s.Readings[0].Topic != "a/1" {
		t.Errorf("snapshot %+v", s.Readings)
	}
	v.sub(3, "a/#", map[string]any{"since": map[string]any{"epoch": ok.Epoch, "offset": 0}}) // N46
	if m := v.want("batch"); len(m.Readings) != 1 || m.Readings[0].Topic != "a/1" || m.To != 3 {
		t.Errorf("backlog %+v", m)
	}
	r.publish(p, "a/secret/2", "hidden")
	r.publish(p, "a/2", "seen")
	got := map[string]int{}
	for got["a/2"] < 2 {
		for _, one := range v.want("batch").Readings {
			got[one.Topic]++
		}
	}
	if len(got) != 1 {
		t.Errorf("delivered %v, want a/2 only", got)
	}
}

func TestFilterDepthLimit(t *testing.T) { // N76
	r := run(t, nil)
	v := r.open(nil)
	v.sub(1, "a"+strings.Repeat("/+", 127), nil)
	v.send(map[string]any{"type": "sub", "id": 2, "filter": "a" + strings.Repeat("/", 20000)})
	if m, err := v.next(); err != nil || m.Type != "suberr" || m.Reason != "limit" {
		t.Errorf("%+v %v, want suberr limit", m, err)
	}
}

func TestSubscriptionLimit(t *testing.T) {
	r := run(t, func(c *Config) { c.Viewers.MaxSubscriptions = 3 })
	v := r.open(nil)
	for id := range 3 {
		v.sub(id, "a", nil)
	}
	v.send(map[string]any{"type": "sub", "id": 9, "filter": "a"})
	if m, err := v.next(); err != nil || m.Type != "suberr" || m.Reason != "limit" {
		t.Errorf("%+v %v, want suberr limit", m, err)
	}
}

func TestConnectionLimits(t *testing.T) { // N71
	for name, change := range map[string]func(*Config){
		"total":       func(c *Config) { c.Viewers.MaxConnections = 2 },
		"per address": func(c *Config) { c.Viewers.MaxPerAddress = 2 },
	} {
		t.Run(name, func(t *testing.T) {
			r := run(t, change)
			first, second := r.open(nil), r.open(nil)
			resp := r.handshake("https://"+r.b.Addresses().Viewers+"/ws", upgrade())
			if resp.StatusCode != 503 || resp.Header.Get("Retry-After") == "" {
				t.Errorf("third: %d, Retry-After %q", resp.StatusCode, resp.Header.Get("Retry-After"))
			}
			second.sub(1, "a", nil) // those that are there are unharmed
			_ = first.ws.Close()
			eventually.Must(t, "the closed session to leave", func() bool { return r.b.wire.Sessions() == 1 })
			eventually.Must(t, "the free place to be given", func() bool {
				return r.handshake("https://"+r.b.Addresses().Viewers+"/ws", upgrade()).StatusCode == 101
			})
		})
	}
}
