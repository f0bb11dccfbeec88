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
	"github.com/mochi-mqtt/server/v2/packets"
)

// FuzzFrames: however MQTT is cut into WebSocket frames, what is read is what was written, and anything else ends in an error.
func FuzzFrames(f *testing.F) {
	frame := func(first byte, payload []byte) []byte {
		out := []byte{first, 0x80 | byte(len(payload)), 1, 2, 3, 4}
		for i, b := range payload {
			out = append(out, b^byte(i%4+1))
		}
		return out
	}
	f.Add(frame(0x82, []byte{0xC0, 0}), true)
	f.Add(cat(frame(0x02, []byte{0x10}), frame(0x89, nil), frame(0x00, nil), frame(0x80, []byte{0})), true)
	f.Add(cat(frame(0x82, nil), frame(0x82, nil), frame(0x82, []byte("x")), frame(0x88, []byte{3, 232})), false)
	f.Add(frame(0x81, []byte("text")), false)
	f.Fuzz(func(t *testing.T, data []byte, split bool) {
		if split { // data are packets: cut them by their own bytes
			var wire []byte
			for rest := data; len(rest) > 0; {
				n := min(int(rest[0])%7, len(rest))
				wire = append(wire, frame(0x82, rest[:n])...)
				rest = rest[max(n, 1):]
				if n == 0 {
					wire = append(wire, frame(0x82, []byte{data[len(data)-len(rest)-1]})...)
				}
			}
			got, _ := io.ReadAll(&untilError{r: serverSocket(t, wire)})
			if !bytes.Equal(got, data) {
				t.Fatalf("read %x, want %x", got, data)
			}
			return
		}
		got, _ := io.ReadAll(&untilError{r: serverSocket(t, data)})
		if len(got) > len(data) {
			t.Fatalf("%d bytes from %d", len(got), len(data))
		}
	})
}

// untilError ends a stream quietly at the first error.
type untilError struct{ r io.Reader }

func (u *untilError) Read(p []byte) (int, error) {
	n, err := u.r.Read(p)
	if err != nil {
		err = io.EOF
	}
	return n, err
}

// serverSocket is the server's side of a WebSocket whose peer sends data and is gone.
func serverSocket(t *testing.T, data []byte) *socket {
	t.Helper()
	nc := &scripted{Reader: bytes.NewReader(data)}
	w := &hijacked{conn: nc, header: http.Header{}}
	r, err := http.ReadRequest(bufio.NewReader(strings.NewReader("GET / HTTP/1.1\r\nHost: x\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\nSec-WebSocket-Protocol: mqtt\r\n\r\n")))
	if err != nil {
		t.Fatal(err)
	}
	ws, err := (&websocket.Upgrader{Subprotocols: []string{"mqtt"}, ReadBufferSize: 512}).Upgrade(w, r, nil)
	if err != nil {
		t.Fatal(err)
	}
	ws.SetReadLimit(1 << 20)
	return &socket{ws: ws}
}

type scripted struct{ *bytes.Reader }

func (s *scripted) Write(p []byte) (int, error)      { return len(p), nil }
func (s *scripted) Close() error                     { return nil }
func (s *scripted) LocalAddr() net.Addr              { return &net.TCPAddr{} }
func (s *scripted) RemoteAddr() net.Addr             { return &net.TCPAddr{} }
func (s *scripted) SetDeadline(time.Time) error      { return nil }
func (s *scripted) SetReadDeadline(time.Time) error  { return nil }
func (s *scripted) SetWriteDeadline(time.Time) error { return nil }

type hijacked struct {
	conn   net.Conn
	header http.Header
}

func (h *hijacked) Header() http.Header         { return h.header }
func (h *hijacked) Write(p []byte) (int, error) { return len(p), nil }
func (h *hijacked) WriteHeader(int)             {}

func (h *hijacked) Hijack() (net.Conn, *bufio.ReadWriter, error) {
	return h.conn, bufio.NewReadWriter(bufio.NewReaderSize(h.conn, 16), bufio.NewWriter(h.conn)), nil
}

// FuzzMeta: what is kept beside a message comes back, and any other bytes are an error or harmless.
func FuzzMeta(f *testing.F) {
	f.Add(appendMeta("client", packets.Properties{ContentType: "text/plain", User: []packets.UserProperty{{Key: "k", Val: "v"}}}))
	f.Add(appendMeta("", packets.Properties{CorrelationData: []byte{1}, ResponseTopic: "r", MessageExpiryInterval: 7, PayloadFormatFlag: true}))
	f.Add([]byte{0, 1})
	f.Fuzz(func(t *testing.T, data []byte) {
		origin, props, err := parseMeta(data)
		if err != nil || len(origin) > 65535 {
			return
		}
		again := appendMeta(origin, props)
		origin2, props2, err := parseMeta(again)
		if err != nil || origin2 != origin || !bytes.Equal(appendMeta(origin2, props2), again) {
			t.Fatalf("%x: %v", again, err)
		}
	})
}

// FuzzSessionFile: any bytes are a session or an error, and what was saved counts although the save after it was cut short.
func FuzzSessionFile(f *testing.F) {
	const good = "bb0f706b {\"id\":\"x\",\"expiry\":1,\"epoch\":\"e\",\"cursor\":2}\n"
	f.Add([]byte(good))
	f.Add([]byte("00000000 {}"))
	f.Fuzz(func(t *testing.T, data []byte) {
		_, _ = parseKept(data)
		torn := bytes.ReplaceAll(data, []byte(" "), nil) // no line of it is whole
		if k, err := parseKept(append([]byte(good), torn...)); err != nil || k.ID != "x" || k.Cursor != 2 {
			t.Fatalf("%v, %v", k, err)
		}
	})
}
