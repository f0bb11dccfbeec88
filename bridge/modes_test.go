package bridge

import (
	"bytes"
	"compress/flate"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"io"
	"strings"
	"testing"
	"time"

	"github.com/fxamacker/cbor/v2"
	"github.com/gorilla/websocket"

	"plumbline/bridge/wire"
)

// tongue is one way to speak the protocol: a subprotocol, compact readings or not, compression or not.
type tongue struct {
	name     string
	cbor     bool
	compact  bool
	compress bool
}

var tongues = []tongue{ //nolint:gochecknoglobals // a table
	{name: "json"},
	{name: "json compact", compact: true},
	{name: "cbor", cbor: true},
	{name: "json deflate", compress: true},
	{name: "json compact deflate", compact: true, compress: true},
	{name: "cbor deflate", cbor: true, compress: true},
}

// speaker is a client written from PROTOCOL.md that understands every tongue.
type speaker struct {
	t      testing.TB
	ws     *websocket.Conn
	as     tongue
	topics map[uint64]string
}

// told is any message of the server, with its readings as objects whatever the tongue.
type told struct {
	Type      string            `json:"type"`
	ID        json.RawMessage   `json:"id"`
	Epoch     string            `json:"epoch"`
	Offset    uint64            `json:"offset"`
	From      uint64            `json:"from"`
	To        uint64            `json:"to"`
	T         int64             `json:"t"`
	Conflated *uint64           `json:"conflated"`
	Open      bool              `json:"open"`
	Recovered bool              `json:"recovered"`
	Reason    string            `json:"reason"`
	Mode      string            `json:"mode"`
	TickMS    int64             `json:"tick_ms"`
	EveryMS   int64             `json:"every_ms"`
	Compact   bool              `json:"compact"`
	Part      int               `json:"part"`
	Parts     int               `json:"parts"`
	Topics    []json.RawMessage `json:"topics"`
	Raw       []json.RawMessage `json:"readings"`
	Delivered map[string]uint64 `json:"delivered"`
	Counts    map[string]uint64 `json:"conflations"`
	Readings  []reading         `json:"-"`
}

func (r *running) speak(as tongue) *speaker {
	r.t.Helper()
	protocol := wire.Subprotocol
	if as.cbor {
		protocol = wire.SubprotocolCBOR
	}
	d := websocket.Dialer{TLSClientConfig: r.tls(), Subprotocols: []string{"unknown", protocol}, HandshakeTimeout: patience, EnableCompression: as.compress}
	ws, resp, err := d.Dial(r.url(), nil)
	if err != nil {
		r.t.Fatalf("dial: %v (%v)", err, resp)
	}
	if got := resp.Header.Get("Sec-WebSocket-Protocol"); got != protocol {
		r.t.Errorf("subprotocol %q", got)
	}
	if got := resp.Header.Get("Sec-WebSocket-Extensions") != ""; got != as.compress {
		r.t.Errorf("extensions %q", resp.Header.Get("Sec-WebSocket-Extensions"))
	}
	r.t.Cleanup(func() { _ = ws.Close() })
	_ = ws.SetReadDeadline(time.Now().Add(patience))
	s := &speaker{r.t, ws, as, map[uint64]string{}}
	hello := map[string]any{"type": "hello", "token": r.token(nil)}
	if as.compact {
		hello["compact"] = true
	}
	s.send(hello)
	if m := s.want("welcome"); m.Compact != as.compact {
		r.t.Errorf("compact %v", m.Compact)
	}
	return s
}

func (s *speaker) send(msg map[string]any) {
	s.t.Helper()
	kind, encode := websocket.TextMessage, json.Marshal
	if s.as.cbor {
		kind, encode = websocket.BinaryMessage, cbor.Marshal
	}
	raw, err := encode(msg)
	if err == nil {
		err = s.ws.WriteMessage(kind, raw)
	}
	if err != nil {
		s.t.Fatal(err)
	}
}

// next reads one message.
func (s *speaker) next() (m told, err error) {
	kind, raw, err := s.ws.ReadMessage()
	if err != nil {
		return m, err
	}
	if (kind == websocket.BinaryMessage) != s.as.cbor {
		s.t.Errorf("message of kind %d", kind)
	}
	if s.as.cbor {
		raw = asJSON(s.t, raw)
	}
	if err := json.Unmarshal(raw, &m); err != nil {
		s.t.Fatalf("%s: %v", raw, err)
	}
	for _, pair := range m.Topics {
		var id uint64
		var name string
		if err := json.Unmarshal(pair, &[]any{&id, &name}); err != nil || name == "" {
			s.t.Errorf("topic %s: %v", pair, err)
		}
		if before, ok := s.topics[id]; ok {
			s.t.Errorf("%d was announced as %s and is now as %s", id, before, name)
		}
		s.topics[id] = name
	}
	s.read(&m)
	return m, nil
}

// read turns the readings into objects.
func (s *speaker) read(m *told) {
	s.t.Helper()
	offset, at := m.From, m.T
	for _, raw := range m.Raw {
		var r reading
		if !s.as.compact && !s.as.cbor {
			if err := json.Unmarshal(raw, &r); err != nil {
				s.t.Fatal(err)
			}
			m.Readings = append(m.Readings, r)
			continue
		}
		var do, flags uint64
		var dt int64
		var id any
		if err := json.Unmarshal(raw, &[]any{&do, &dt, &id, &flags, &r.Payload}); err != nil {
			s.t.Fatalf("reading %s: %v", raw, err)
		}
		offset, at = offset+do, at+dt
		r.O, r.T, r.QoS, r.Retain = offset, at, int(flags&3), flags&4 != 0
		switch {
		case s.as.cbor: // asJSON has made it base64
			bytes, err := base64.StdEncoding.DecodeString(r.Payload)
			if err != nil {
				s.t.Fatal(err)
			}
			r.Payload = string(bytes)
		case flags&8 != 0:
			r.Payload, r.Base64 = "", r.Payload
		}
		if n, ok := id.(float64); ok {
			if r.Topic, ok = s.topics[uint64(n)]; !ok {
				s.t.Fatalf("reading %s: its topic was not announced", raw)
			}
		} else {
			r.Topic = fmt.Sprint(id)
		}
		m.Readings = append(m.Readings, r)
	}
}

// asJSON decodes CBOR with a library that is not ours; bytes become base64.
func asJSON(tb testing.TB, raw []byte) []byte {
	tb.Helper()
	var v map[string]any
	mode, err := cbor.DecOptions{IndefLength: cbor.IndefLengthForbidden, DupMapKey: cbor.DupMapKeyEnforcedAPF}.DecMode()
	if err == nil {
		err = mode.Unmarshal(raw, &v)
	}
	if err != nil {
		tb.Fatalf("%x: %v", raw, err)
	}
	for key, value := range v {
		v[key] = textKeys(value)
	}
	out, err := json.Marshal(v)
	if err != nil {
		tb.Fatal(err)
	}
	return out
}

func textKeys(v any) any {
	if m, ok := v.(map[any]any); ok {
		out := map[string]any{}
		for key, value := range m {
			out[fmt.Sprint(key)] = textKeys(value)
		}
		return out
	}
	return v
}

func (s *speaker) want(kind string) told {
	s.t.Helper()
	for {
		m, err := s.next()
		if err != nil {
			s.t.Fatalf("waiting for %s: %v", kind, err)
		}
		if m.Type == kind {
			return m
		}
		if m.Type == "suberr" || m.Type == "gap" {
			s.t.Fatalf("waiting for %s: %s %s", kind, m.Type, m.Reason)
		}
	}
}

// TestEveryTongueSaysTheSame: live, snapshot and backlog give the same readings however they are written.
func TestEveryTongueSaysTheSame(t *testing.T) {
	r := run(t, func(c *Config) { c.Viewers.Compression = "on" })
	p := r.publisher("dev")
	payloads := []string{"21.5", `{"a":"\u20ac"}`, "", "\xff\x00\x80", strings.Repeat("long and dull ", 100)}
	for i, payload := range payloads {
		r.publish(p, fmt.Sprintf("plant/%d", i), payload)
	}
	for _, as := range tongues {
		t.Run(as.name, func(t *testing.T) {
			s := (&running{t: t, b: r.b, cfg: r.cfg}).speak(as)
			s.send(map[string]any{"type": "sub", "id": 1, "filter": "plant/#", "snapshot": true})
			ok := s.want("subok")
			var got []reading
			for part, parts := 0, 1; part < parts; {
				m := s.want("snapshot")
				part, parts = m.Part, m.Parts
				got = append(got, m.Readings...)
			}
			s.check(got, payloads)
			s.send(map[string]any{"type": "sub", "id": 2, "filter": "plant/#", "since": map[string]any{"epoch": ok.Epoch, "offset": 0}})
			if back := s.want("subok"); !back.Recovered {
				t.Fatalf("%+v", back)
			}
			got = nil
			for cursor := uint64(0); len(got) < len(payloads); {
				m := s.want("batch")
				if m.From != cursor || m.Conflated != nil || m.Open {
					t.Fatalf("%+v after %d", m, cursor)
				}
				cursor = m.To
				got = append(got, m.Readings...)
			}
			s.check(got, payloads)
			s.send(map[string]any{"type": "ping", "id": "x"})
			s.want("pong")
			s.send(map[string]any{"type": "unsub", "id": 2})
			s.want("unsubok")
		})
	}
}

func (s *speaker) check(got []reading, payloads []string) {
	s.t.Helper()
	if len(got) != len(payloads) {
		s.t.Fatalf("%d readings, want %d", len(got), len(payloads))
	}
	for i, g := range got {
		payload := g.Payload
		if g.Base64 != "" {
			raw, err := base64.StdEncoding.DecodeString(g.Base64)
			if err != nil {
				s.t.Fatal(err)
			}
			payload = string(raw)
		}
		if payload != payloads[i] || g.Topic != fmt.Sprintf("plant/%d", i) || g.O != uint64(i+1) || g.QoS != 1 || time.Since(time.UnixMicro(g.T)).Abs() > time.Minute {
			s.t.Fatalf("reading %d: %+v, want %q", i, g, payloads[i])
		}
	}
}

// TestModesConserve: whatever the mode, the readings delivered and those said to be conflated are all that was published, in
// the batches and in the heartbeat.
func TestModesConserve(t *testing.T) {
	r := run(t, nil)
	p := r.publisher("dev")
	for _, as := range tongues[:3] {
		for mode, more := range map[string]map[string]any{
			"all": {}, "latest": {}, "latest 20": {"tick_ms": 20}, "sample": {"every_ms": 150},
		} {
			t.Run(as.name+" "+mode, func(t *testing.T) {
				r := &running{t: t, b: r.b, cfg: r.cfg}
				s := r.speak(as)
				msg := map[string]any{"type": "sub", "id": 3, "filter": "m/+", "mode": strings.Fields(mode)[0]}
				for k, v := range more {
					msg[k] = v
				}
				s.send(msg)
				ok := s.want("subok")
				if want := strings.Fields(mode)[0]; mode != "all" && ok.Mode != want || mode == "all" && ok.Mode != "" {
					t.Errorf("subok %+v", ok)
				}
				const messages = 300
				for i := range messages {
					r.publish(p, fmt.Sprintf("m/%d", i%3), fmt.Sprint(i))
				}
				last, delivered, conflated := map[string]string{}, uint64(0), uint64(0)
				for cursor := ok.Offset; delivered+conflated < messages; {
					m := s.want("batch")
					if m.From != cursor || (m.Conflated == nil) != (mode == "all" || m.Open) {
						t.Fatalf("%+v after %d", m, cursor)
					}
					if cursor = m.To; m.Conflated != nil {
						conflated += *m.Conflated
					}
					for _, one := range m.Readings {
						last[one.Topic] = one.Payload
						delivered++
					}
				}
				if delivered+conflated != messages || (conflated > 0) != (mode != "all") || last["m/0"] != "297" || last["m/1"] != "298" || last["m/2"] != "299" {
					t.Errorf("%d delivered, %d conflated, last %v", delivered, conflated, last)
				}
				h := s.want("heartbeat")
				if n, there := h.Counts["3"]; h.Delivered["3"] != delivered || n != conflated || there != (mode != "all") {
					t.Errorf("heartbeat %v %v, counted %d and %d", h.Delivered, h.Counts, delivered, conflated)
				}
			})
		}
	}
}

func TestModeBounds(t *testing.T) {
	r := run(t, nil)
	s := r.speak(tongues[0])
	for i, bad := range []map[string]any{
		{"mode": "newest"}, {"mode": "latest", "tick_ms": 9}, {"mode": "latest", "tick_ms": 60001}, {"mode": "latest", "tick_ms": "50"}, {"mode": "latest", "tick_ms": 50.5},
		{"mode": "sample"}, {"mode": "sample", "every_ms": 0}, {"mode": "sample", "every_ms": -1}, {"mode": "sample", "every_ms": 3600001},
	} {
		bad["type"], bad["id"], bad["filter"] = "sub", i, "a"
		s.send(bad)
		if m, err := s.next(); err != nil || m.Type != "suberr" || m.Reason != "mode" {
			t.Errorf("%v: %+v %v, want suberr mode", bad, m, err)
		}
	}
}

// TestN64DecompressionBomb: what a viewer sends is bounded as it is after decompression.
func TestN64DecompressionBomb(t *testing.T) {
	r := run(t, func(c *Config) { c.Viewers.Compression = "on" })
	s := r.speak(tongue{compress: true})
	bomb := deflated(t, bytes.Repeat([]byte(" "), 50<<20))
	if len(bomb) > 64<<10 {
		t.Fatalf("the bomb has %d bytes, more than a frame may", len(bomb))
	}
	if _, err := s.ws.NetConn().Write(frame(0xC1, string(bomb))); err != nil {
		t.Fatal(err)
	}
	(&viewer{t, s.ws}).wantClose(1009, "too big")
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
			(&viewer{t, s.ws}).wantClose(tc.code, "")
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
		(&viewer{t, s.ws}).wantClose(1003, "")
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
			(&viewer{t, s.ws}).wantClose(4005, "")
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
