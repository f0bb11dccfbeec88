package bridge

import (
	"bufio"
	"bytes"
	"crypto/tls"
	"encoding/binary"
	"io"
	"net"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"

	"plumbline/bridge/config"
	"plumbline/bridge/internal/eventually"
)

// rawViewer writes frames byte by byte.
type rawViewer struct {
	t    *testing.T
	conn net.Conn
	r    *bufio.Reader
}

func (r *running) raw(t *testing.T) *rawViewer {
	t.Helper()
	conn, err := net.Dial("tcp", r.b.Addresses().Viewers)
	if err == nil && !r.cfg.Viewers.Plaintext {
		conn = tls.Client(conn, r.tls())
	}
	if err != nil {
		t.Fatal(err)
	}
	return shake(t, conn, upgrade())
}

// shake makes the handshake on a connection.
func shake(t *testing.T, conn net.Conn, h http.Header) *rawViewer {
	t.Helper()
	t.Cleanup(func() { _ = conn.Close() })
	_ = conn.SetDeadline(time.Now().Add(patience))
	host := conn.RemoteAddr().String()
	req := &http.Request{Method: "GET", URL: &url.URL{Scheme: "https", Host: host, Path: "/ws"}, Host: host, Header: h, ProtoMajor: 1, ProtoMinor: 1}
	if err := req.Write(conn); err != nil {
		t.Fatal(err)
	}
	br := bufio.NewReader(conn)
	resp, err := http.ReadResponse(br, req)
	if err != nil || resp.StatusCode != 101 {
		t.Fatalf("handshake: %v %v", resp, err)
	}
	return &rawViewer{t, conn, br}
}

// frame is a client frame masked with a zero key.
func frame(first byte, payload string) []byte {
	n := len(payload)
	var h []byte
	switch {
	case n <= 125:
		h = []byte{first, 0x80 | byte(n)}
	case n <= 0xFFFF:
		h = binary.BigEndian.AppendUint16([]byte{first, 0xFE}, uint16(n))
	default:
		h = binary.BigEndian.AppendUint64([]byte{first, 0xFF}, uint64(n))
	}
	return append(append(h, 0, 0, 0, 0), payload...)
}

// read returns the next server frame; it fails the test on one that RFC 6455 forbids.
func (v *rawViewer) read() (first byte, payload []byte, err error) {
	var head [2]byte
	if _, err := io.ReadFull(v.r, head[:]); err != nil {
		return 0, nil, err
	}
	if head[1]&0x80 != 0 || head[0]&0x70 != 0 {
		v.t.Fatalf("a masked frame or one with RSV bits: %x", head)
	}
	n := uint64(head[1])
	switch n {
	case 126:
		var b [2]byte
		_, err = io.ReadFull(v.r, b[:])
		n = uint64(binary.BigEndian.Uint16(b[:]))
	case 127:
		var b [8]byte
		_, err = io.ReadFull(v.r, b[:])
		n = binary.BigEndian.Uint64(b[:])
	}
	if err != nil {
		return 0, nil, err
	}
	payload = make([]byte, n)
	_, err = io.ReadFull(v.r, payload)
	return head[0], payload, err
}

// wantClose reads until the close frame, checks it, and then wants the end of the stream.
func (v *rawViewer) wantClose(code uint16) {
	v.t.Helper()
	for {
		first, payload, err := v.read()
		if err != nil {
			v.t.Fatalf("the stream ended with %v before a close frame with %d", err, code)
		}
		if first != 0x88 {
			continue
		}
		got := uint16(0)
		if len(payload) >= 2 {
			got = binary.BigEndian.Uint16(payload)
		}
		if got != code || len(payload) > 125 {
			v.t.Errorf("close %d %q, want %d", got, payload, code)
		}
		break
	}
	if first, p, err := v.read(); err == nil {
		v.t.Errorf("frame %x %q after the close frame", first, p)
	}
}

// badFrames are what a viewer sends after a good hello, and the code of the one close frame that answers.
func badFrames() []badFrame {
	long := func(n uint64) []byte { return append(binary.BigEndian.AppendUint64([]byte{0x81, 0xFF}, n), 0, 0, 0, 0) }
	unmasked := []byte{0x81, 2, '{', '}'}
	return []badFrame{
		{"N55 unmasked", unmasked, 1002},
		{"N56 RSV1", frame(0xC1, "{}"), 1002},
		{"N56 RSV2", frame(0xA1, "{}"), 1002},
		{"N56 RSV3", frame(0x91, "{}"), 1002},
		{"N56 opcode 3", frame(0x83, ""), 1002},
		{"N56 opcode 11", frame(0x8B, ""), 1002},
		{"N57 fragmented ping", frame(0x09, ""), 1002},
		{"N57 long ping", frame(0x89, strings.Repeat("x", 126)), 1002},
		{"N58 continuation first", frame(0x80, "x"), 1002},
		{"N58 text inside a message", append(frame(0x01, "{"), frame(0x81, "}")...), 1002},
		{"N59 invalid UTF-8", frame(0x81, "\xff"), 1007},
		{"N59 split over frames", append(frame(0x01, "\xe2\x82"), frame(0x80, "\x28")...), 1007},
		{"N59 cut at the end", frame(0x81, "\xe2\x82"), 1007},
		{"N59 fails before the message ends", frame(0x01, "\xff"), 1007},
		{"N59 in a close reason", frame(0x88, "\x03\xe8\xff"), 1002},
		{"N60 close 0", frame(0x88, "\x00\x00"), 1002},
		{"N60 close 999", frame(0x88, "\x03\xe7"), 1002},
		{"N60 close 1004", frame(0x88, "\x03\xec"), 1002},
		{"N60 close 1005", frame(0x88, "\x03\xed"), 1002},
		{"N60 close 1006", frame(0x88, "\x03\xee"), 1002},
		{"N60 close 1015", frame(0x88, "\x03\xf7"), 1002},
		{"N60 close 5000", frame(0x88, "\x13\x88"), 1002},
		{"N60 one byte", frame(0x88, "\x03"), 1002},
		{"N61 2^63", long(1 << 63), 1002},
		{"N61 2^62", long(1 << 62), 1009},
		{"N61 not minimal, 16 bit", []byte{0x81, 0xFE, 0, 2, 0, 0, 0, 0, '{', '}'}, 1002},
		{"N61 not minimal, 64 bit", append(long(2), '{', '}'), 1002},
		{"N62 empty text", frame(0x81, ""), 4005},
		{"N62 flood of empty fragments", append(frame(0x01, ""), bytes.Repeat(frame(0x00, ""), 3000)...), 4101},
		{"N63 too long", frame(0x81, strings.Repeat(" ", 65537)), 1009},
		{"N63 too long in fragments", append(frame(0x01, strings.Repeat(" ", 40_000)), frame(0x80, strings.Repeat(" ", 40_000))...), 1009},
		{"N68 ping flood", bytes.Repeat(frame(0x89, "x"), 3000), 4101},
		{"N68 pong flood", bytes.Repeat(frame(0x8A, "x"), 3000), 4101},
		{"N60 good code answered", frame(0x88, "\x03\xe8bye"), 1000},
		{"N60 private code answered", frame(0x88, "\x0f\xa1"), 4001},
		{"N69 data after close", append(frame(0x88, "\x03\xe8"), frame(0x81, `{"type":"ping","id":"x"}`)...), 1000},
		{"N60 no body", frame(0x88, ""), 0},
	}
}

type badFrame struct {
	name string
	in   []byte
	code uint16
}

// misframe sends the frames of one number: the first fault closes with its code, in one close frame, and nothing follows.
func misframe(t *testing.T, number string) {
	t.Helper()
	r := run(t, nil)
	hello := `{"type":"hello","token":"` + r.token(nil) + `"}`
	ran := 0
	for _, tc := range badFrames() {
		if !strings.HasPrefix(tc.name, number+" ") {
			continue
		}
		ran++
		t.Run(tc.name, func(t *testing.T) {
			v := r.raw(t)
			if _, err := v.conn.Write(append(frame(0x81, hello), tc.in...)); err != nil {
				t.Fatal(err)
			}
			v.wantClose(tc.code)
		})
	}
	if ran == 0 {
		t.Fatalf("no case of %q", number)
	}
}

func TestN55Unmasked(t *testing.T)       { misframe(t, "N55") }
func TestN56Reserved(t *testing.T)       { misframe(t, "N56") }
func TestN57ControlFrames(t *testing.T)  { misframe(t, "N57") }
func TestN58Continuation(t *testing.T)   { misframe(t, "N58") }
func TestN59InvalidUTF8(t *testing.T)    { misframe(t, "N59") }
func TestN60CloseCodes(t *testing.T)     { misframe(t, "N60") }
func TestN61Lengths(t *testing.T)        { misframe(t, "N61") }
func TestN62EmptyFrames(t *testing.T)    { misframe(t, "N62") }
func TestN63OverTheLimit(t *testing.T)   { misframe(t, "N63") }
func TestN68ControlFlood(t *testing.T)   { misframe(t, "N68") }
func TestN69DataAfterClose(t *testing.T) { misframe(t, "N69") }

func TestPingsInsideAFragmentedHello(t *testing.T) {
	r := run(t, nil)
	hello := `{"type":"hello","token":"` + r.token(nil) + `"}`
	v := r.raw(t)
	in := append(frame(0x01, hello[:10]), frame(0x89, "between")...)
	in = append(in, frame(0x80, hello[10:])...)
	if _, err := v.conn.Write(in); err != nil {
		t.Fatal(err)
	}
	if first, p, err := v.read(); err != nil || first != 0x8A || string(p) != "between" {
		t.Errorf("%x %q %v, want the pong", first, p, err)
	}
	if _, p, err := v.read(); err != nil || !bytes.Contains(p, []byte(`"welcome"`)) {
		t.Errorf("%q %v, want welcome", p, err)
	}
}

func TestN70PeerThatDoesNotClose(t *testing.T) {
	t.Parallel()
	r := run(t, nil)
	v := r.raw(t)
	if _, err := v.conn.Write(frame(0x81, `{"type":"x"}`)); err != nil {
		t.Fatal(err)
	}
	begin := time.Now()
	eventually.Must(t, "the session to end", func() bool { return r.b.wire.Sessions() == 0 })
	if took := time.Since(begin); took > time.Minute {
		t.Errorf("closing took %s", took)
	}
}

// TestN73SilentViewerIsCut: no byte for one and a half heartbeats.
func TestN73SilentViewerIsCut(t *testing.T) {
	t.Parallel()
	r := run(t, func(c *Config) { c.Viewers.Heartbeat = config.Duration(2 * time.Second) }) // of which a busy machine may miss half
	v := r.raw(t)
	begin, pings, beats := time.Now(), 0, 0
	if _, err := v.conn.Write(frame(0x81, `{"type":"hello","token":"`+r.token(nil)+`"}`)); err != nil {
		t.Fatal(err)
	}
	for {
		first, p, err := v.read() // pings are read and never answered
		if err != nil {
			break
		}
		if first == 0x89 {
			pings++
		}
		if bytes.Contains(p, []byte(`"heartbeat"`)) {
			beats++
		}
	}
	if took := time.Since(begin); took < 2800*time.Millisecond || took > patience || pings == 0 || beats == 0 {
		t.Errorf("cut after %s with %d pings and %d heartbeats", took, pings, beats)
	}
	good := r.open(nil) // one that answers pings lives
	for range 3 {
		good.want("heartbeat")
	}
}
