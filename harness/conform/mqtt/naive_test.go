package mqtt_test

import (
	"bufio"
	"encoding/binary"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/gorilla/websocket"

	"plumbline/harness/conform"
	"plumbline/harness/conform/mqtt"
)

// naive is a broker of MQTT 3.1.1 that hands every message on to everybody as it
// came, byte for byte, and answers SUBSCRIBE with what codes returns.
func naive(t *testing.T, codes func(filters int) []byte) mqtt.Target {
	t.Helper()
	var mu sync.Mutex
	var takers []net.Conn
	return hostile(t, func(c net.Conn) {
		in := bufio.NewReader(c)
		for {
			raw, body, err := packet(in)
			if err != nil {
				return
			}
			mu.Lock()
			switch raw[0] >> 4 {
			case 1:
				if body[6] != 4 {
					_, _ = c.Write([]byte{0x20, 2, 0, 1})
					mu.Unlock()
					return
				}
				_, _ = c.Write([]byte{0x20, 2, 0, 0})
			case 3:
				if raw[0]&6 != 0 {
					at := 2 + int(binary.BigEndian.Uint16(body))
					_, _ = c.Write([]byte{0x40, 2, body[at], body[at+1]})
				}
				for _, taker := range takers {
					_, _ = taker.Write(raw)
				}
			case 8:
				takers = append(takers, c)
				n := 0
				for rest := body[2:]; len(rest) > 2; n++ {
					rest = rest[2+int(binary.BigEndian.Uint16(rest))+1:]
				}
				granted := codes(n)
				_, _ = c.Write(append([]byte{0x90, byte(2 + len(granted)), body[0], body[1]}, granted...))
			case 12:
				_, _ = c.Write([]byte{0xd0, 0})
			case 14:
				mu.Unlock()
				return
			}
			mu.Unlock()
		}
	})
}

// packet reads one, whole and its body.
func packet(in *bufio.Reader) (raw, body []byte, err error) {
	first, err := in.ReadByte()
	if err != nil {
		return nil, nil, err
	}
	size, raw := 0, []byte{first}
	for shift := 0; ; shift += 7 {
		b, err := in.ReadByte()
		if err != nil || shift > 14 {
			return nil, nil, io.ErrUnexpectedEOF
		}
		raw, size = append(raw, b), size|int(b&0x7f)<<shift
		if b < 0x80 {
			break
		}
	}
	body = make([]byte, size)
	_, err = io.ReadFull(in, body)
	return append(raw, body...), body, err
}

func only(t *testing.T, target mqtt.Target, ids ...string) conform.Report {
	t.Helper()
	return run(t, target, mqtt.Options{Only: ids, Patience: 10 * time.Second})
}

// TestNaive: who hands on the flags of a publisher, or answers for fewer filters
// than were asked for, fails the case that is about that.
func TestNaive(t *testing.T) {
	t.Parallel()
	all := func(n int) []byte { return make([]byte, n) }
	r := only(t, naive(t, all), "MQTT311-3.3.1-2", "MQTT311-3.9.3-1")
	if c, _ := r.Case("MQTT311-3.3.1-2"); c.Verdict != conform.Fail || !strings.Contains(c.Detail, "DUP true") {
		t.Errorf("DUP handed on: %q %s", c.Verdict, c.Detail)
	}
	if c, _ := r.Case("MQTT311-2.0-1"); c.Verdict != conform.Fail {
		t.Errorf("a message of QoS 0 with DUP is well formed: %q %s", c.Verdict, c.Detail)
	}
	if c, _ := r.Case("MQTT311-3.9.3-1"); c.Verdict != conform.Pass {
		t.Errorf("less granted than asked for: %q %s", c.Verdict, c.Detail)
	}
	// It answers SUBSCRIBE with identifier 0 by a SUBACK with that, and speaks no MQTT 5.
	r = only(t, naive(t, all), "MQTT311-2.3.1-1b")
	if c, _ := r.Case("MQTT311-2.3.1-1b"); c.Verdict != conform.Fail {
		t.Errorf("identifier 0: %q %s", c.Verdict, c.Detail)
	}
	if c, _ := r.Case("MQTT5-2.0-1"); c.Verdict != conform.NotApplicable {
		t.Errorf("a version that is refused: %q %s", c.Verdict, c.Detail)
	}
	none := func(int) []byte { return nil }
	r = only(t, naive(t, none), "MQTT311-3.9.3-1", "MQTT311-4.7.2-1a", "MQTT311-2.3.1ids", "MQTT311-4.6.0-6a")
	for _, c := range r.Cases {
		if strings.Contains(c.Detail, "fault of the suite") {
			t.Errorf("%s: %s", c.ID, c.Detail)
		}
	}
	if c, _ := r.Case("MQTT311-3.9.3-1"); c.Verdict != conform.Fail {
		t.Errorf("a SUBACK without codes: %q %s", c.Verdict, c.Detail)
	}
	if c, _ := r.Case("MQTT311-4.6.0-6a"); c.Verdict != conform.Inconclusive {
		t.Errorf("nothing was granted: %q %s", c.Verdict, c.Detail)
	}
}

// TestMute: who answers no PINGREQ and keeps the connection has cut nobody; that it
// does not answer is for the case that is about that.
func TestMute(t *testing.T) {
	t.Parallel()
	mute := hostile(t, func(c net.Conn) {
		in := bufio.NewReader(c)
		for {
			raw, body, err := packet(in)
			switch {
			case err != nil, raw[0]>>4 == 14:
				return
			case raw[0]>>4 != 1:
			case body[6] != 4:
				_, _ = c.Write([]byte{0x20, 2, 0, 1})
				return
			default:
				_, _ = c.Write([]byte{0x20, 2, 0, 0})
			}
		}
	})
	r := only(t, mute, "MQTT311-3.1.2-24b", "MQTT311-3.12.4-1")
	if c, _ := r.Case("MQTT311-3.1.2-24b"); c.Verdict != conform.Inconclusive || !strings.Contains(c.Detail, "the connection stands") {
		t.Errorf("a client that is heard: %q %s", c.Verdict, c.Detail)
	}
	if c, _ := r.Case("MQTT311-3.12.4-1"); c.Verdict != conform.Fail {
		t.Errorf("PINGREQ: %q %s", c.Verdict, c.Detail)
	}
}

// TestSharedFrame: a server may put its answers into one frame.
func TestSharedFrame(t *testing.T) {
	t.Parallel()
	upgrader := websocket.Upgrader{Subprotocols: []string{"mqtt"}}
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		c, err := upgrader.Upgrade(w, r, nil)
		if err != nil {
			return
		}
		defer c.Close()
		if _, _, err := c.ReadMessage(); err == nil {
			_ = c.WriteMessage(websocket.BinaryMessage, []byte{0x20, 2, 0, 0, 0x90, 3, 0, 1, 0})
		}
		_, _, _ = c.ReadMessage()
	}))
	t.Cleanup(server.Close)
	target := naive(t, func(n int) []byte { return make([]byte, n) })
	target.WebSocket = "ws" + strings.TrimPrefix(server.URL, "http")
	if c, _ := only(t, target, "MQTT311-6.0.0-2b").Case("MQTT311-6.0.0-2b"); c.Verdict != conform.Pass {
		t.Errorf("%q %s", c.Verdict, c.Detail)
	}
}

// TestLostMessages: messages of QoS 0 may be lost, but not change places.
func TestLostMessages(t *testing.T) {
	t.Parallel()
	for name, x := range map[string]struct {
		change func(n int, raw []byte) [][]byte // the n-th message to whom it goes
		want   conform.Verdict
	}{
		"every seventh is lost": {func(n int, raw []byte) [][]byte {
			if n%7 == 6 {
				return nil
			}
			return [][]byte{raw}
		}, conform.Pass},
		"neighbours change places": {swap(), conform.Fail},
	} {
		inner := naive(t, func(n int) []byte { return make([]byte, n) })
		address := strings.TrimPrefix(inner.URL, "mqtt://")
		target := hostile(t, func(c net.Conn) {
			up, err := net.Dial("tcp", address)
			if err != nil {
				return
			}
			defer up.Close()
			go func() { _, _ = io.Copy(up, c); _ = up.Close() }()
			in, n := bufio.NewReader(up), 0
			for {
				raw, _, err := packet(in)
				if err != nil {
					return
				}
				out := [][]byte{raw}
				if raw[0]>>4 == 3 {
					out = x.change(n, raw)
					n++
				}
				for _, p := range out {
					if _, err := c.Write(p); err != nil {
						return
					}
				}
			}
		})
		if c, _ := only(t, target, "MQTT311-4.6.0-6a").Case("MQTT311-4.6.0-6a"); c.Verdict != x.want {
			t.Errorf("%s: %q %s", name, c.Verdict, c.Detail)
		}
	}
}

// swap lets the tenth and the eleventh message change places.
func swap() func(int, []byte) [][]byte {
	var held []byte
	return func(n int, raw []byte) [][]byte {
		switch n {
		case 10:
			held = raw
			return nil
		case 11:
			return [][]byte{raw, held}
		}
		return [][]byte{raw}
	}
}
