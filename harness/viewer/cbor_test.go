package viewer

import (
	"bytes"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"

	"github.com/fxamacker/cbor/v2"
	"github.com/gorilla/websocket"

	"plumbline/harness/record"
)

// cborServer is a small real server of plumbline.v1.cbor over TLS: it lets a viewer in,
// confirms its subscription and sends the frames that follow.
type cborServer struct {
	*httptest.Server
	asked  chan map[string]any // the subscription
	frames chan []byte
}

func newCBORServer(t *testing.T) *cborServer {
	t.Helper()
	s := &cborServer{asked: make(chan map[string]any, 1), frames: make(chan []byte, 100)}
	upgrader := websocket.Upgrader{Subprotocols: []string{SubprotocolCBOR}}
	s.Server = httptest.NewTLSServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		c, err := upgrader.Upgrade(w, r, nil)
		if err != nil {
			return
		}
		defer func() { _ = c.Close() }()
		for _, answer := range []map[string]any{
			{"type": "welcome", "session": "s", "protocol": 1, "node": "n", "epoch": "e1", "head": 100, "heartbeat_ms": 60_000},
			{"type": "subok", "id": 1, "filter": "a/#", "epoch": "e1", "offset": 100, "recovered": false, "reason": "no-cursor"},
		} {
			opcode, data, err := c.ReadMessage()
			var said map[string]any
			if err != nil || opcode != websocket.BinaryMessage || cbor.Unmarshal(data, &said) != nil {
				return
			}
			if said["type"] == "sub" {
				s.asked <- said
			}
			if c.WriteMessage(websocket.BinaryMessage, encoded(t, answer)) != nil {
				return
			}
		}
		for frame := range s.frames {
			if c.WriteMessage(websocket.BinaryMessage, frame) != nil {
				return
			}
		}
		_, _, _ = c.ReadMessage() // until the viewer leaves
	}))
	t.Cleanup(s.Close)
	return s
}

func encoded(t *testing.T, message any) []byte {
	t.Helper()
	data, err := cbor.Marshal(message)
	if err != nil {
		t.Fatal(err)
	}
	return data
}

func (s *cborServer) config(r *recording) Config {
	cfg := (&server{Server: s.Server}).config(r)
	cfg.URL, cfg.Encoding = "wss"+strings.TrimPrefix(s.URL, "https"), EncodingCBOR
	cfg.Reconnect.Off = true
	return cfg
}

// batchOf is a batch of compact readings.
func batchOf(from, to uint64, readings ...[]any) map[string]any {
	if readings == nil {
		readings = [][]any{}
	}
	return map[string]any{"type": "batch", "id": 1, "from": from, "to": to, "t": 1_767_323_045_123_456, "readings": readings}
}

func TestCBORIsRead(t *testing.T) {
	s, r := newCBORServer(t), newRecording(t)
	v := open(t, s.config(r))
	if asked := <-s.asked; asked["filter"] != "a/#" || asked["mode"] != "all" {
		t.Errorf("the viewer asked for %v", asked)
	}
	s.frames <- encoded(t, map[string]any{"type": "topics", "topics": []any{[]any{17, "a/1"}, []any{300, "a/2"}}})
	s.frames <- encoded(t, batchOf(100, 110, []any{3, 0, 17, 1, []byte("21.5")}, []any{7, -5, "a/3", 4, []byte{0, 0xff}}))
	last := batchOf(110, 120, []any{1, 0, 300, 1, []byte("x")})
	last["conflated"], last["unknown"] = 4, []any{map[string]any{"deep": true}}
	s.frames <- encoded(t, last)
	s.frames <- encoded(t, map[string]any{"type": "heartbeat", "epoch": "e1", "head": 120, "cursors": map[string]any{"1": 120}, "delivered": map[string]any{"1": 3}})
	must(t, v.WaitOffset(limit(t), 120))
	until(t, "the heartbeat", func() bool { return v.Counters().Heartbeats == 1 })
	c := v.Counters()
	if c.Received != 3 || c.Batches != 2 || c.Conflated != 4 || c.Broken != 0 || c.Malformed != 0 || c.Messages != 6 || c.Sent != 2 || c.Requests != 1 {
		t.Errorf("counters are %+v", c)
	}
	close(s.frames)
	must(t, v.Close())
	log := r.log()
	if got := offsets(log, record.Received); !slices.Equal(got, []uint64{103, 110, 111}) {
		t.Errorf("received %v", got)
	}
	for _, rec := range log.Records {
		if retained := rec.Flags&record.FlagRetained != 0; rec.Kind == record.Received && retained != (rec.Offset == 110) {
			t.Errorf("record %+v: retained is %v", rec, retained)
		}
	}
}

func TestCBORThatBreaksTheChainIsNoted(t *testing.T) {
	for name, frame := range map[string]map[string]any{
		"a hole":                    batchOf(101, 110),
		"a reading twice":           batchOf(100, 110, []any{3, 0, "a/1", 0, []byte("x")}, []any{0, 0, "a/1", 0, []byte("x")}),
		"a reading beyond its end":  batchOf(100, 110, []any{11, 0, "a/1", 0, []byte("x")}),
		"another's subscription id": {"type": "batch", "id": 7, "from": 100, "to": 110, "readings": []any{}},
	} {
		t.Run(name, func(t *testing.T) {
			s, r := newCBORServer(t), newRecording(t)
			v := open(t, s.config(r))
			s.frames <- encoded(t, frame)
			until(t, "the note", func() bool { c := v.Counters(); return c.Broken+c.Malformed == 1 })
			close(s.frames)
			must(t, v.Close())
		})
	}
}

// TestHostileCBOR: whatever a frame holds, it is read or noted, and costs no more than it has bytes.
func TestHostileCBOR(t *testing.T) {
	good := encoded(t, batchOf(100, 110, []any{3, 0, "a/1", 0, []byte("payload")}))
	bad := [][]byte{
		{}, {0xff}, {0xbf}, {0xa1}, {0xbb, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff}, {0x9b, 0x7f, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff},
		bytes.Repeat([]byte{0x81}, 100_000), append([]byte{0xa1, 0x61, 'x'}, bytes.Repeat([]byte{0x81}, 100_000)...),
		encoded(t, map[string]any{"type": "batch"}), encoded(t, map[string]any{"type": 1}), encoded(t, map[string]any{"type": "snapshot", "id": 1}),
		encoded(t, map[string]any{"type": "topics", "topics": []any{[]any{1}}}), encoded(t, map[string]any{"type": "no such"}),
		encoded(t, batchOf(100, 110, []any{3, 0, 99, 0, []byte("of a number that nobody announced")})),
		encoded(t, batchOf(100, 110, []any{3, 0, "a/1", 0, "text"})), encoded(t, batchOf(100, 110, []any{3, 0, "", 0, []byte("x")})),
		append(slices.Clone(good), 0), {0xc0, 0x60}, encoded(t, map[string]any{"type": "batch", "id": 1.5, "from": 1, "to": 2, "readings": []any{}}),
	}
	for n := range good {
		bad = append(bad, good[:n])
	}
	s, r := newCBORServer(t), newRecording(t)
	v := open(t, s.config(r))
	for i, frame := range bad {
		s.frames <- frame
		until(t, "the frame to be noted", func() bool { c := v.Counters(); return c.Malformed == uint64(i+1) })
	}
	close(s.frames)
	must(t, v.Close())
}

// TestCBORMapOfMorePairsThanBytes: twice 2^63 is no empty map.
func TestCBORMapOfMorePairsThanBytes(t *testing.T) {
	for name, frame := range map[string][]byte{
		"map": {0xbb, 0x80, 0, 0, 0, 0, 0, 0, 0, 0, 0}, "array": {0x9b, 0x80, 0, 0, 0, 0, 0, 0, 0, 0, 0}, "a map of three in two bytes": {0xa3, 0, 0},
	} {
		if s := (cborScanner{buf: frame}); func() bool { s.skip(0); return !s.bad }() {
			t.Errorf("%s was taken for one that is whole", name)
		}
	}
	if s := (cborScanner{buf: []byte{0xa2, 0, 0x80, 1, 0xa0}}); func() bool { s.skip(0); return s.bad || s.pos != len(s.buf) }() {
		t.Error("a good map was refused")
	}
}

func TestSettingsThatFitNoProtocol(t *testing.T) {
	for want, change := range map[string]func(*Config){
		"no WebSocket to compress": func(c *Config) { c.Protocol, c.Compress = Poll, true },
		"begin with HTTP/1.1":      func(c *Config) { c.HTTP2 = true },
		"choose neither":           func(c *Config) { c.Protocol, c.Tick = SSE, 1e9 },
		"is not spoken":            func(c *Config) { c.Encoding = "xml" },
		"whole milliseconds":       func(c *Config) { c.Tick = 1 },
		"JSON only":                func(c *Config) { c.Encoding, c.Snapshot = EncodingCBOR, true },
	} {
		cfg := Config{Name: "v", URL: "wss://127.0.0.1:1", Filters: []string{"#"}, Recorder: newRecording(t).Recorder}
		change(&cfg)
		if _, err := Open(t.Context(), cfg); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%v, want %q", err, want)
		}
	}
}
