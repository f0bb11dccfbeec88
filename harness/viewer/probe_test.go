package viewer

import (
	"crypto/tls"
	"errors"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/gorilla/websocket"
)

func TestProbeTellsWhatCameBack(t *testing.T) {
	s := newServer(t)
	r := Probe(limit(t), ProbeSpec{
		URL: s.url(), TLS: s.tls(), Wait: patience,
		Steps: []Step{
			{Text: []byte(`{"type":"hello","client":"probe"}`)},
			{Expect: `"welcome"`, Text: []byte(`{"type":"sub","id":1,"filter":"a/#","mode":"all"}`)},
		},
		Until: func(frame []byte) bool { return strings.Contains(string(frame), "subok") },
	})
	if r.Err != nil || r.HTTPStatus != 101 || r.Subprotocol != Subprotocol || r.TLSVersion != tls.VersionTLS13 || len(r.Frames) < 2 {
		t.Fatalf("result is %+v", r)
	}
}

func TestProbeSeesRefusalsOfTheHandshake(t *testing.T) {
	var seen http.Header
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		seen = r.Header
		seen.Set("Query", r.URL.RawQuery)
		http.Error(w, "not you", http.StatusForbidden)
	}))
	defer server.Close()
	r := Probe(limit(t), ProbeSpec{
		URL: "ws" + strings.TrimPrefix(server.URL, "http"), Origins: []string{"https://a.test", "https://b.test"}, Query: "token=x",
		Subprotocols: []string{}, Header: http.Header{"Cookie": {"session=1"}, "Sec-Websocket-Version": {}},
	})
	if r.Err != nil || r.HTTPStatus != 403 || !strings.Contains(r.Body, "not you") {
		t.Fatalf("result is %+v", r)
	}
	if len(seen["Origin"]) != 2 || seen.Get("Cookie") != "session=1" || seen.Get("Query") != "token=x" || seen["Sec-Websocket-Version"] != nil || seen["Sec-Websocket-Protocol"] != nil {
		t.Fatalf("server saw %v", seen)
	}
}

func TestProbeSeesCloseCodes(t *testing.T) {
	s := newServer(t)
	s.script = func(c *websocket.Conn, _ map[string]any) bool { hangUp(c, 4002, `{"reason":"token"}`); return true }
	r := Probe(limit(t), ProbeSpec{URL: s.url(), TLS: s.tls(), Wait: patience, Steps: []Step{{Text: []byte(`{}`)}}})
	if r.CloseCode != 4002 || r.CloseReason != `{"reason":"token"}` || r.Err != nil {
		t.Fatalf("result is %+v", r)
	}
}

func TestProbeSendsUnsoundFrames(t *testing.T) {
	s := newServer(t)
	for name, frame := range map[string][]byte{
		"unmasked":        UnmaskedFrame(OpText, []byte(`{}`)),
		"reserved opcode": Frame(0x3, nil),
		"reserved bit":    append([]byte{0xC1}, Frame(OpText, []byte("x"))[1:]...),
		"long ping":       Frame(OpPing, make([]byte, 126)),
	} {
		r := Probe(limit(t), ProbeSpec{URL: s.url(), TLS: s.tls(), Wait: patience, Steps: []Step{{Frame: frame}}})
		if r.CloseCode != 1002 {
			t.Errorf("%s: result is %+v", name, r)
		}
	}
}

func TestProbeFrameSizes(t *testing.T) {
	for _, n := range []int{0, 125, 126, 65535, 65536} {
		frame := Frame(OpText, make([]byte, n))
		header := map[bool]int{true: 2, false: 4}[n < 126]
		if n > 65535 {
			header = 10
		}
		if len(frame) != header+4+n || frame[1]&0x80 == 0 {
			t.Errorf("%d bytes became %d", n, len(frame))
		}
		if plain := UnmaskedFrame(OpText, make([]byte, n)); len(plain) != header+n || plain[1]&0x80 != 0 {
			t.Errorf("%d bytes became %d unmasked", n, len(plain))
		}
	}
}

func TestProbeIsBounded(t *testing.T) {
	s := newServer(t)
	s.script = func(c *websocket.Conn, _ map[string]any) bool {
		for {
			if c.WriteMessage(websocket.TextMessage, make([]byte, 1000)) != nil {
				return true
			}
		}
	}
	hello := []Step{{Text: []byte(`{}`)}}
	r := Probe(limit(t), ProbeSpec{URL: s.url(), TLS: s.tls(), Wait: patience, MaxBytes: 10_000, Steps: hello})
	if r.Err == nil || !strings.Contains(r.Err.Error(), "more than 10000 bytes") || len(r.Frames) != 10 {
		t.Fatalf("a flood gave %d frames and %v", len(r.Frames), r.Err)
	}
	s.script = func(c *websocket.Conn, _ map[string]any) bool { _, _ = read(c); return true }
	r = Probe(limit(t), ProbeSpec{URL: s.url(), TLS: s.tls(), Wait: 50 * time.Millisecond, Steps: hello})
	if r.Err != nil || r.EOF || r.Elapsed > patience {
		t.Fatalf("silence gave %+v", r)
	}
}

func TestProbeTLS(t *testing.T) {
	s := newServer(t)
	r := Probe(limit(t), ProbeSpec{URL: s.url(), Wait: patience})
	var unknown *tls.CertificateVerificationError
	if !errors.As(r.Err, &unknown) {
		t.Errorf("an unknown authority gave %v", r.Err)
	}
	old := s.tls()
	old.MinVersion, old.MaxVersion = tls.VersionTLS10, tls.VersionTLS11
	if r := Probe(limit(t), ProbeSpec{URL: s.url(), TLS: old, Wait: patience}); r.Err == nil {
		t.Errorf("TLS 1.1 gave %+v", r)
	}
	if r := Probe(limit(t), ProbeSpec{URL: "ws" + strings.TrimPrefix(s.url(), "wss"), Wait: patience}); r.HTTPStatus == 101 {
		t.Errorf("plain text to a TLS port gave %+v", r)
	}
	if r := Probe(limit(t), ProbeSpec{URL: "ws" + strings.TrimPrefix(s.url(), "wss"), Wait: patience, Raw: []byte("GET / HTTP/1.0\r\n\r\n")}); r.HTTPStatus != 400 || !r.EOF || len(r.Answer) == 0 {
		t.Errorf("a raw request gave %+v", r)
	}
}

func TestProbeOfNothing(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	must(t, err)
	address := l.Addr().String()
	must(t, l.Close())
	for _, url := range []string{"ws://" + address, "://", "ws://127.0.0.1:0"} {
		if r := Probe(limit(t), ProbeSpec{URL: url}); r.Err == nil {
			t.Errorf("%s gave %+v", url, r)
		}
	}
}
