package bridge

import (
	"bytes"
	"compress/flate"
	"io"
	"strings"
	"testing"

	"github.com/gorilla/websocket"
)

// TestN64DecompressionBomb: what a viewer sends is bounded as it is after decompression.
func TestN64DecompressionBomb(t *testing.T) {
	bomb := deflated(t, bytes.Repeat([]byte(" "), 50<<20)) // first: with the race detector it takes longer than a viewer may be silent
	if len(bomb) > 64<<10 {
		t.Fatalf("the bomb has %d bytes, more than a frame may", len(bomb))
	}
	r := run(t, func(c *Config) { c.Viewers.Compression = "on" })
	s := r.speak(tongue{compress: true})
	if _, err := s.ws.NetConn().Write(frame(0xC1, string(bomb))); err != nil {
		t.Fatal(err)
	}
	(&viewer{t: t, ws: s.ws}).wantClose(1009, "too big")
}

// deflated returns a message as RFC 7692 section 7.2.1 has it.
func deflated(t *testing.T, message []byte) []byte {
	t.Helper()
	var out bytes.Buffer
	w, err := flate.NewWriter(&out, flate.BestCompression)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := w.Write(message); err != nil {
		t.Fatal(err)
	}
	if err := w.Flush(); err != nil {
		t.Fatal(err)
	}
	return bytes.TrimSuffix(out.Bytes(), []byte{0, 0, 0xFF, 0xFF})
}

// TestN65Deflate: offers that cannot be honoured are declined, and a stream that is none ends the session.
func TestN65Deflate(t *testing.T) {
	r := run(t, func(c *Config) { c.Viewers.Compression = "on" })
	for offer, want := range map[string]bool{
		"permessage-deflate":                         true,
		"permessage-deflate; client_max_window_bits": true,
		"permessage-deflate; client_max_window_bits=10; server_no_context_takeover": true,
		"x-other; a=1, permessage-deflate":                                          true,
		"permessage-deflate; server_max_window_bits=10, permessage-deflate":         true,
		"permessage-deflate; server_max_window_bits=8":                              false,
		"permessage-deflate; server_max_window_bits=14":                             false,
		"permessage-deflate; server_max_window_bits=15":                             false,
		"permessage-deflate; unknown":                                               false,
		"permessage-deflate;":                                                       false,
		"permessage-deflate; client_max_window_bits=7":                              false,
		"permessage-deflate; client_max_window_bits=09":                             false,
		"permessage-deflate; client_max_window_bits; client_max_window_bits":        false,
		"permessage-deflate; server_no_context_takeover=1":                          false,
		`permessage-deflate; client_max_window_bits="10"`:                           false,
		"x-webkit-deflate-frame":                                                    false,
	} {
		h := upgrade()
		h.Set("Sec-Websocket-Extensions", offer)
		resp := r.handshake("https://"+r.b.Addresses().Viewers+"/ws", h)
		got := resp.Header.Get("Sec-Websocket-Extensions")
		if resp.StatusCode != 101 || (got != "") != want || want && got != "permessage-deflate; server_no_context_takeover; client_no_context_takeover" {
			t.Errorf("%s: %d %q", offer, resp.StatusCode, got)
		}
	}
	for name, tc := range map[string]struct {
		frame []byte
		code  int
	}{
		"compressed ping":          {frame(0xC9, ""), 1002},
		"RSV1 in a continuation":   {append(frame(0x41, ""), frame(0xC0, "")...), 1002},
		"truncated":                {frame(0xC1, string(deflated(t, []byte(`{"type":"ping","id":"some text that is long enough"}`))[:10])), 1007},
		"no stream":                {frame(0xC1, "\xff\xff\xff\xff"), 1007},
		"compressed and not UTF-8": {frame(0xC1, string(deflated(t, []byte("\xff\xfe")))), 1007},
	} {
		t.Run(name, func(t *testing.T) {
			s := (&running{t: t, b: r.b, cfg: r.cfg}).speak(tongue{compress: true})
			if _, err := s.ws.NetConn().Write(tc.frame); err != nil {
				t.Fatal(err)
			}
			(&viewer{t: t, ws: s.ws}).wantClose(tc.code, "")
		})
	}
	s := r.speak(tongue{compress: true})
	if _, err := s.ws.NetConn().Write(frame(0xC1, string(deflated(t, []byte(`{"type":"ping","id":"x"}`))))); err != nil {
		t.Fatal(err)
	}
	s.want("pong")
}

// TestN66WrongType: text on CBOR and binary on JSON.
func TestN66WrongType(t *testing.T) {
	r := run(t, nil)
	for _, as := range tongues[:3] {
		s := r.speak(as)
		kind := websocket.BinaryMessage
		if as.cbor {
			kind = websocket.TextMessage
		}
		if err := s.ws.WriteMessage(kind, []byte(`{"type":"ping","id":"x"}`)); err != nil {
			t.Fatal(err)
		}
		(&viewer{t: t, ws: s.ws}).wantClose(1003, "")
	}
}

// TestN67MalformedCBOR: CBOR that is malformed, nested deep, of indefinite length, tagged or with a key twice ends the session.
func TestN67MalformedCBOR(t *testing.T) {
	r := run(t, nil)
	ping := "\xa2\x64type\x64ping\x62id\x61x"
	for name, raw := range map[string]string{
		"empty":              "",
		"cut":                ping[:8],
		"two items":          ping + ping,
		"deep":               "\xa1\x61x" + strings.Repeat("\x81", 10_000) + "\x00",
		"indefinite map":     "\xbf\x64type\x64ping\x62id\x61x\xff",
		"indefinite text":    "\xa2\x64type\x7f\x64ping\xff\x62id\x61x",
		"indefinite inside":  "\xa3\x64type\x64ping\x62id\x61x\x61y\x9f\xff",
		"key twice":          "\xa3\x64type\x64ping\x62id\x61x\x62id\x61x",
		"key twice inside":   "\xa3\x64type\x64ping\x62id\x61x\x61y\xa2\x61a\x00\x61a\x00",
		"tag":                "\xa2\x64type\xc1\x00\x62id\x61x",
		"huge array":         "\x9b\xff\xff\xff\xff\xff\xff\xff\xff",
		"huge text":          "\x7b\x7f\xff\xff\xff\xff\xff\xff\xff",
		"invalid UTF-8":      "\xa2\x64type\x64p\xffng\x62id\x61x",
		"array":              "\x81\x00",
		"number as key":      "\xa1\x01\x02",
		"bytes for text":     "\xa2\x64type\x44ping\x62id\x61x",
		"id a float":         "\xa3\x64type\x63sub\x62id\xfb\x7f\xf8\x00\x00\x00\x00\x00\x00\x66filter\x61a",
		"id beyond integers": "\xa3\x64type\x63sub\x62id\x1b\xff\xff\xff\xff\xff\xff\xff\xff\x66filter\x61a",
	} {
		t.Run(name, func(t *testing.T) {
			s := (&running{t: t, b: r.b, cfg: r.cfg}).speak(tongues[2])
			if err := s.ws.WriteMessage(websocket.BinaryMessage, []byte(raw)); err != nil {
				t.Fatal(err)
			}
			(&viewer{t: t, ws: s.ws}).wantClose(4005, "")
		})
	}
	s := r.speak(tongues[2])
	if err := s.ws.WriteMessage(websocket.BinaryMessage, []byte(ping)); err != nil {
		t.Fatal(err)
	}
	s.want("pong")
}

// TestCompressedFramesAreShared: with many viewers, a batch is compressed where it pays, and what is small or says who may do
// what is not.
func TestCompressedFramesAreShared(t *testing.T) {
	r := run(t, func(c *Config) { c.Viewers.Compression = "on" })
	p := r.publisher("dev")
	s := r.speak(tongue{compress: true})
	s.send(map[string]any{"type": "sub", "id": 123456, "filter": "#"})
	s.want("subok")
	raw := &frameLog{Reader: s.ws.NetConn()}
	r.publish(p, "a", "small")
	r.publish(p, "a", strings.Repeat("large ", 1000))
	for len(raw.sizes) < 2 {
		raw.next(t)
	}
	if raw.compressed[0] || !raw.compressed[1] || raw.sizes[1] > 600 {
		t.Errorf("compressed %v, sizes %v", raw.compressed, raw.sizes)
	}
}

// frameLog reads the frames of batches.
type frameLog struct {
	io.Reader
	sizes      []int
	compressed []bool
}

func (f *frameLog) next(t *testing.T) {
	t.Helper()
	head := make([]byte, 2)
	if _, err := io.ReadFull(f, head); err != nil {
		t.Fatal(err)
	}
	n := int(head[1])
	if n == 126 {
		ext := make([]byte, 2)
		if _, err := io.ReadFull(f, ext); err != nil {
			t.Fatal(err)
		}
		n = int(ext[0])<<8 | int(ext[1])
	}
	body := make([]byte, n)
	if _, err := io.ReadFull(f, body); err != nil {
		t.Fatal(err)
	}
	if head[0]&0x40 != 0 || bytes.Contains(body, []byte(`"batch"`)) {
		f.sizes, f.compressed = append(f.sizes, n), append(f.compressed, head[0]&0x40 != 0)
	}
}
