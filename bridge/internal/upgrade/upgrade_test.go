package upgrade

import (
	"net/http"
	"net/http/httptest"
	"strconv"
	"strings"
	"testing"
)

func TestRefuse(t *testing.T) {
	speaks := func(name string) bool { return name == "mqtt" }
	for _, tc := range []struct {
		name   string
		change func(*http.Request)
		status int
		reason string
	}{
		{"good", func(*http.Request) {}, 0, ""},
		{"among others", func(r *http.Request) { r.Header.Set("Sec-Websocket-Protocol", "x, mqtt") }, 0, ""},
		{"in a line of its own", func(r *http.Request) {
			r.Header["Sec-Websocket-Protocol"] = []string{"x", "mqtt"}
		}, 0, ""},
		{"POST", func(r *http.Request) { r.Method = http.MethodPost }, 405, "method"},
		{"HTTP/1.0", func(r *http.Request) { r.ProtoMinor = 0 }, 400, "http-version"},
		{"HTTP/2", func(r *http.Request) { r.ProtoMajor, r.ProtoMinor = 2, 0 }, 400, "http-version"},
		{"many headers", func(r *http.Request) {
			for n := range maxHeaders {
				r.Header.Add("X", strconv.Itoa(n))
			}
		}, 431, "headers"},
		{"a body", func(r *http.Request) { r.ContentLength = 1 }, 400, "body"},
		{"a body in chunks", func(r *http.Request) { r.TransferEncoding = []string{"chunked"} }, 400, "body"},
		{"no upgrade", func(r *http.Request) { r.Header.Del("Upgrade") }, 426, "upgrade"},
		{"version 8", func(r *http.Request) { r.Header.Set("Sec-Websocket-Version", "8") }, 426, "version"},
		{"two versions", func(r *http.Request) { r.Header.Add("Sec-Websocket-Version", "13") }, 426, "version"},
		{"a short key", func(r *http.Request) { r.Header.Set("Sec-Websocket-Key", "AAAA") }, 400, "key"},
		{"a key that is no base64", func(r *http.Request) { r.Header.Set("Sec-Websocket-Key", "AAAAAAAAAAAAAAAAAAAAAB==") }, 400, "key"},
		{"two keys", func(r *http.Request) { r.Header.Add("Sec-Websocket-Key", "AAAAAAAAAAAAAAAAAAAAAA==") }, 400, "key"},
		{"another subprotocol", func(r *http.Request) { r.Header.Set("Sec-Websocket-Protocol", "MQTT") }, 400, "subprotocol"},
		{"no subprotocol", func(r *http.Request) { r.Header.Del("Sec-Websocket-Protocol") }, 400, "subprotocol"},
	} {
		r := httptest.NewRequest(http.MethodGet, "/", nil)
		for name, value := range map[string]string{
			"Connection": "keep-alive, Upgrade", "Upgrade": "websocket", "Sec-Websocket-Version": "13", "Sec-Websocket-Key": "AAAAAAAAAAAAAAAAAAAAAA==", "Sec-Websocket-Protocol": "mqtt",
		} {
			r.Header.Set(name, value)
		}
		tc.change(r)
		status, reason := Refuse(r, speaks)
		if status != tc.status || reason != tc.reason {
			t.Errorf("%s: %d %q, want %d %q", tc.name, status, reason, tc.status, tc.reason)
		}
	}
}

func TestAnswer(t *testing.T) {
	for status, header := range map[int]string{405: "Allow: GET", 426: "Sec-Websocket-Version: 13", 400: "Connection: close"} {
		w := httptest.NewRecorder()
		Answer(w, status, "why")
		var head strings.Builder
		if err := w.Result().Header.Write(&head); err != nil {
			t.Fatal(err)
		}
		if w.Code != status || !strings.Contains(head.String(), header) || !strings.Contains(head.String(), "Connection: close") || !strings.Contains(w.Body.String(), "why") {
			t.Errorf("%d: %d %q %q, want %s", status, w.Code, head.String(), w.Body, header)
		}
	}
}
