package bridge

import (
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/gorilla/websocket"

	"plumbline/bridge/internal/eventually"
	"plumbline/bridge/wire"
)

// TestN117ForwardedHeaders: limits and records go by whom a listed proxy names in the header that is configured; nobody else's word
// counts for anything, nor does another header, which the proxy would let through, nor what stood there before.
func TestN117ForwardedHeaders(t *testing.T) {
	const viewer = "192.0.2.1"
	for _, tc := range []struct {
		name, listed, by, header, value string
		want                            string // on record; "" = the proxy
	}{
		{"listed", "127.0.0.0/8", "x-forwarded-for", "X-Forwarded-For", "203.0.113.1, " + viewer, viewer},
		{"not listed", "192.0.2.9", "x-forwarded-for", "X-Forwarded-For", "203.0.113.1, " + viewer, ""},
		{"Forwarded", "127.0.0.0/8", "forwarded", "Forwarded", `for=203.0.113.1, for="192.0.2.1:4711";proto=https`, viewer},
		{"Forwarded, not listed", "192.0.2.9", "forwarded", "Forwarded", `for=192.0.2.1`, ""},
		{"not the header that is asked", "127.0.0.0/8", "forwarded", "X-Forwarded-For", viewer, ""},
		{"nor the other way round", "127.0.0.0/8", "x-forwarded-for", "Forwarded", "for=" + viewer, ""},
		{"nor others that are about", "127.0.0.0/8", "x-forwarded-for", "X-Real-IP", viewer, ""},
	} {
		t.Run(tc.name, func(t *testing.T) {
			c := testConfig(t.TempDir())
			c.Auth.FreeFailures = 1
			c.Viewers.TrustedProxies, c.Viewers.ProxyHeader = []string{tc.listed}, tc.by
			log := &journaled{}
			r := runLogged(t, c, log.logger())
			ask := func(token, value string) int {
				return r.ask("GET", "/poll?filter=a", "", "Authorization", "Bearer "+token, tc.header, value).StatusCode
			}
			for range 2 {
				ask("a.b.c", tc.value)
			}
			tok := r.token(nil)
			bad, good := ask(tok, tc.value), ask(tok, strings.ReplaceAll(tc.value, viewer, "198.51.100.1"))
			if want := map[bool]int{true: 200, false: 429}[tc.want != ""]; bad != 429 || good != want {
				t.Errorf("%d to who guessed, want 429, and %d to another, want %d", bad, good, want)
			}
			remote, _ := log.events(t)[0]["remote"].(string)
			if host, _, err := net.SplitHostPort(remote); err == nil && tc.want == "" {
				remote = host
			}
			if want := map[bool]string{true: tc.want, false: "127.0.0.1"}[tc.want != ""]; remote != want {
				t.Errorf("on record is %s, want %s", remote, want)
			}
		})
	}
}

// TestN117WithoutTLS: whom a listed proxy took without TLS is refused before anything of the request is read; the same word of
// anybody else is no more than theirs.
func TestN117WithoutTLS(t *testing.T) {
	log := &journaled{}
	c := testConfig(t.TempDir())
	c.Viewers.TrustedProxies = []string{"127.0.0.1"}
	r := runLogged(t, c, log.logger())
	tok := r.token(nil)
	ask := func(r *running, token, proto string) int {
		return r.ask("GET", "/poll?filter=a", "", "Authorization", "Bearer "+token, "X-Forwarded-For", "192.0.2.1", "X-Forwarded-Proto", proto).StatusCode
	}
	if plain, secure := ask(r, tok, "http"), ask(r, tok, "https"); plain != http.StatusForbidden || secure != http.StatusOK {
		t.Errorf("%d without TLS, %d with it", plain, secure)
	}
	if all := log.events(t); len(all) != 1 || all[0]["reason"] != "insecure" || all[0]["remote"] != "192.0.2.1" {
		t.Errorf("on record: %v", all)
	}
	other := run(t, nil)
	if code := ask(other, other.token(nil), "http"); code != http.StatusOK {
		t.Errorf("%d to who says it of itself", code)
	}
}

// said is a dialer of one that begins with some bytes, and goes on with TLS.
func (r *running) said(text string) *websocket.Dialer {
	return &websocket.Dialer{Subprotocols: []string{wire.Subprotocol}, HandshakeTimeout: patience, TLSClientConfig: r.tls(),
		NetDialContext: func(ctx context.Context, network, addr string) (net.Conn, error) {
			c, err := (&net.Dialer{}).DialContext(ctx, network, addr)
			if err == nil {
				_, err = io.WriteString(c, text)
			}
			return c, err
		}}
}

// guess tries a bad token over a connection that begins so, and returns the status, 0 when the connection was ended.
func (r *running) guess(text string) int {
	ws, resp, err := r.said(text).Dial(r.url(), http.Header{"Authorization": {"Bearer a.b.c"}, "X-Forwarded-For": {"203.0.113.1"}, "Forwarded": {"for=203.0.113.1"}})
	if err == nil {
		defer func() { _ = ws.Close() }()
		_ = ws.SetReadDeadline(time.Now().Add(patience))
		_ = ws.WriteJSON(map[string]string{"type": "hello"})
		_, _, _ = ws.ReadMessage()
		return http.StatusSwitchingProtocols
	}
	if resp != nil {
		return resp.StatusCode
	}
	return 0
}

func proxyLine(from string) string { return fmt.Sprintf("PROXY TCP4 %s 127.0.0.1 4711 443\r\n", from) }

// proxyV2 is the same, as version 2.
func proxyV2(from string) string {
	ip := net.ParseIP(from).To4()
	return "\r\n\r\n\x00\r\nQUIT\n\x21\x11\x00\x0c" + string(ip) + "\x7f\x00\x00\x01\x12\x67\x01\xbb"
}

// TestN118ProxyProtocol: a listed proxy's header names the viewer for limits and records, and no header of the request does; without
// a good one its connection is closed and recorded. One that says nothing holds up nobody.
func TestN118ProxyProtocol(t *testing.T) {
	log := &journaled{}
	c := testConfig(t.TempDir())
	c.Viewers.TrustedProxies, c.Viewers.ProxyHeader, c.Viewers.MaxPerAddress = []string{"127.0.0.1"}, "proxy-protocol", 1
	r := runLogged(t, c, log.logger())
	silent, err := net.Dial("tcp", r.b.Addresses().Viewers)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = silent.Close() }()
	for i, tc := range []struct{ header, remote string }{
		{proxyLine("192.0.2.1"), "192.0.2.1"}, {proxyV2("192.0.2.2"), "192.0.2.2"}, {"\r\n\r\n\x00\r\nQUIT\n\x20\x00\x00\x00", "127.0.0.1"},
		{"", "127.0.0.1"}, {"PROXY TCP4 192.0.2.1 127.0.0.1 4711\r\n", "127.0.0.1"},
	} {
		code := r.guess(tc.header)
		var all []map[string]any
		eventually.Must(t, fmt.Sprintf("the record of %q", tc.header), func() bool { all = log.events(t); return len(all) > i })
		remote, _ := all[i]["remote"].(string)
		if host, _, err := net.SplitHostPort(remote); err == nil {
			remote = host
		}
		if closed := all[i]["reason"] == "proxy-header"; remote != tc.remote || closed != (code == 0) || closed != (i >= 3) {
			t.Errorf("%q: answer %d, on record %v; want %s", tc.header, code, all[i], tc.remote)
		}
	}
	for _, tc := range []struct {
		from string
		code int
	}{{"198.51.100.1", http.StatusSwitchingProtocols}, {"198.51.100.1", http.StatusServiceUnavailable}, {"198.51.100.2", http.StatusSwitchingProtocols}} {
		ws, resp, err := r.said(proxyLine(tc.from)).Dial(r.url(), nil)
		if resp == nil || resp.StatusCode != tc.code {
			t.Errorf("%s: %v, want %d", tc.from, err, tc.code)
		}
		if err == nil {
			defer func() { _ = ws.Close() }()
		}
	}
	if text := log.String(); strings.Contains(text, "203.0.113.1") {
		t.Error("an address that a client named is on record")
	}
}

// TestN118HeaderOfAnybody: a PROXY header of who is no listed proxy is no TLS, and nothing else.
func TestN118HeaderOfAnybody(t *testing.T) {
	log := &journaled{}
	c := testConfig(t.TempDir())
	c.Viewers.TrustedProxies, c.Viewers.ProxyHeader = []string{"192.0.2.9"}, "proxy-protocol"
	r := runLogged(t, c, log.logger())
	for _, header := range []string{proxyLine("203.0.113.1"), proxyV2("203.0.113.1")} {
		if code := r.guess(header); code != 0 {
			t.Errorf("%q: answer %d", header, code)
		}
	}
	if code := r.guess(""); code == 0 {
		t.Error("the same without header gets no answer")
	}
	if text := log.String(); strings.Contains(text, "203.0.113.1") {
		t.Errorf("an address that a client named is on record:\n%s", text)
	}
}
