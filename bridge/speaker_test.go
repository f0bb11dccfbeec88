package bridge

import (
	"encoding/base64"
	"encoding/json"
	"fmt"
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
	TimeUS    int64             `json:"time_us"`
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
