package peer

import (
	"bytes"
	"errors"
	"io"
	"net"
	"os"
	"strings"
	"testing"
	"time"

	"plumbline/bridge/internal/eventually"
)

// v2 is a header of version 2.
func v2(versionCommand, family byte, rest string) string {
	return v2Begins + string([]byte{versionCommand, family, byte(len(rest) >> 8), byte(len(rest))}) + rest
}

const (
	addresses4 = "\xc0\x00\x02\x01\x7f\x00\x00\x01\x12\x67\x01\xbb" // 192.0.2.1:4711 to 127.0.0.1:443
	addresses6 = "\x20\x01\x0d\xb8\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x01" + "\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x01" + "\x12\x67\x01\xbb"
)

func TestReadHeader(t *testing.T) {
	const viewer4, viewer6, itself = "192.0.2.1:4711", "[2001:db8::1]:4711", "invalid AddrPort"
	for _, tc := range []struct{ name, header, want, fault string }{
		{"1, IPv4", "PROXY TCP4 192.0.2.1 127.0.0.1 4711 443\r\n", viewer4, ""},
		{"1, IPv6", "PROXY TCP6 2001:db8::1 ::1 4711 443\r\n", viewer6, ""},
		{"1, IPv4 in IPv6", "PROXY TCP6 ::ffff:192.0.2.1 ::1 4711 443\r\n", viewer4, ""},
		{"1, the longest", "PROXY UNKNOWN " + strings.Repeat("f", 107-16) + "\r\n", itself, ""},
		{"1, itself", "PROXY UNKNOWN\r\n", itself, ""},
		{"2, IPv4", v2(0x21, 0x11, addresses4), viewer4, ""},
		{"2, IPv6", v2(0x21, 0x21, addresses6), viewer6, ""},
		{"2, with extensions", v2(0x21, 0x11, addresses4+"\x03\x00\x04\xa9\xb8\x7e\x8f"), viewer4, ""},
		{"2, itself", v2(0x20, 0x00, ""), itself, ""},
		{"2, itself, with addresses", v2(0x20, 0x11, addresses4), itself, ""},
		{"2, a local socket", v2(0x21, 0x31, strings.Repeat("\x00", 216)), itself, ""},
		{"2, not said", v2(0x21, 0x00, ""), itself, ""},

		{"TLS", "\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03\x00", "", "no PROXY protocol header"},
		{"HTTP", "GET / HTTP/1.1\r\n", "", "no PROXY protocol header"},
		{"cut off at once", "PROXY", "", "no PROXY protocol header"},
		{"1, in small letters", "proxy TCP4 192.0.2.1 127.0.0.1 4711 443\r\n", "", "no PROXY protocol header"},
		{"1, cut off", "PROXY TCP4 192.0.2.1", "", "cut off"},
		{"1, too long", "PROXY TCP4 " + strings.Repeat(" ", 200) + "\r\n", "", "longer than 107"},
		{"1, too long, itself", "PROXY UNKNOWN " + strings.Repeat("f", 107-15) + "\r\n", "", "longer than 107"},
		{"1, no carriage return", "PROXY TCP4 192.0.2.1 127.0.0.1 4711 443\n", "", "malformed"},
		{"1, an early line end", "PROXY \n TCP4 192.0.2.1 127.0.0.1 4711 443\r\n", "", "malformed"},
		{"1, two spaces", "PROXY TCP4  192.0.2.1 127.0.0.1 4711 443\r\n", "", "malformed"},
		{"1, of another family", "PROXY TCP6 192.0.2.1 127.0.0.1 4711 443\r\n", "", "bad address"},
		{"1, UDP", "PROXY UDP4 192.0.2.1 127.0.0.1 4711 443\r\n", "", "malformed"},
		{"1, a name", "PROXY TCP4 localhost 127.0.0.1 4711 443\r\n", "", "bad address"},
		{"1, a bad second address", "PROXY TCP4 192.0.2.1 127.0.0 4711 443\r\n", "", "bad address"},
		{"1, a zone", "PROXY TCP6 fe80::1%eth0 ::1 4711 443\r\n", "", "bad address"},
		{"1, a large port", "PROXY TCP4 192.0.2.1 127.0.0.1 65536 443\r\n", "", "bad address"},
		{"1, a port with zeros", "PROXY TCP4 192.0.2.1 127.0.0.1 04711 443\r\n", "", "bad address"},
		{"2, version 3", v2(0x31, 0x11, addresses4), "", "0x31"},
		{"2, command 2", v2(0x22, 0x11, addresses4), "", "0x22"},
		{"2, UDP", v2(0x21, 0x12, addresses4), "", "0x12"},
		{"2, short addresses", v2(0x21, 0x11, addresses4[:11]), "", "11 bytes of addresses"},
		{"2, IPv6 with IPv4's", v2(0x21, 0x21, addresses4), "", "12 bytes of addresses"},
		{"2, too long", v2(0x20, 0x00, strings.Repeat("x", 2049)), "", "2049 bytes more"},
		{"2, cut off in the addresses", v2(0x21, 0x11, addresses4)[:20], "", "cut off"},
		{"2, cut off in the size", v2(0x21, 0x11, addresses4)[:14], "", "cut off"},
	} {
		in := strings.NewReader(tc.header + "TLS")
		if strings.Contains(tc.name, "cut off") {
			in = strings.NewReader(tc.header)
		}
		from, err := readHeader(in)
		if (err != nil) != (tc.fault != "") || err != nil && !strings.Contains(err.Error(), tc.fault) {
			t.Errorf("%s: %v, want %q", tc.name, err, tc.fault)
			continue
		}
		if rest, _ := io.ReadAll(in); err == nil && (from.String() != tc.want || string(rest) != "TLS") {
			t.Errorf("%s: %s, then %q; want %s", tc.name, from, rest, tc.want)
		}
	}
	if _, err := readHeader(strings.NewReader("")); !errors.Is(err, io.EOF) {
		t.Errorf("nothing at all: %v", err)
	}
}

// FuzzReadHeader: whatever comes, no more than a header is read, and what is taken is taken again.
func FuzzReadHeader(f *testing.F) {
	f.Add([]byte("PROXY TCP4 192.0.2.1 127.0.0.1 4711 443\r\nGET / HTTP/1.1\r\n"))
	f.Add([]byte("PROXY UNKNOWN\r\n"))
	f.Add([]byte(v2(0x21, 0x11, addresses4) + "\x16\x03\x01"))
	f.Add([]byte(v2(0x21, 0x21, addresses6)))
	f.Add([]byte(v2(0x20, 0x00, "")))
	f.Fuzz(func(t *testing.T, raw []byte) {
		in := bytes.NewReader(raw)
		from, err := readHeader(in)
		used := len(raw) - in.Len()
		if used > len(v2Begins)+4+v2Most {
			t.Fatalf("%d bytes were read", used)
		}
		if err != nil {
			return
		}
		again := bytes.NewReader(raw[:used])
		if from2, err := readHeader(again); err != nil || from2 != from || again.Len() != 0 {
			t.Errorf("%q: %s, and then %s, %v", raw[:used], from, from2, err)
		}
	})
}

// entrance is a listener of a proxy's connections under test.
type entrance struct {
	net.Listener
	refused chan error
}

func newEntrance(t *testing.T, proxies string, timeout time.Duration, most int) *entrance {
	t.Helper()
	p, err := ParseProxies([]string{proxies})
	if err != nil {
		t.Fatal(err)
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	e := &entrance{refused: make(chan error, 16)}
	e.Listener = p.Listen(l, ListenOptions{Timeout: timeout, Most: most, Refused: func(_ string, err error) { e.refused <- err }})
	t.Cleanup(func() { _ = e.Close() })
	return e
}

// connect opens a connection and says something.
func (e *entrance) connect(t *testing.T, text string) net.Conn {
	t.Helper()
	c, err := net.Dial("tcp", e.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = c.Close() })
	if _, err := io.WriteString(c, text); err != nil {
		t.Fatal(err)
	}
	return c
}

func (e *entrance) wantRefused(t *testing.T, want error) {
	t.Helper()
	select {
	case err := <-e.refused:
		if !errors.Is(err, want) {
			t.Errorf("refused for %v, want %v", err, want)
		}
	case <-time.After(eventually.Patience):
		t.Fatalf("nothing was refused, want %v", want)
	}
}

// TestListenerNames: a connection has the name that its proxy gives it, its bytes begin behind the header, and it is still a TCP
// connection to who needs one. The proxy's own have its own.
func TestListenerNames(t *testing.T) {
	e := newEntrance(t, "127.0.0.1", eventually.Patience, 4)
	e.connect(t, "PRO") // waits, and holds up nobody
	for _, tc := range []struct{ header, want string }{
		{"PROXY TCP4 192.0.2.1 127.0.0.1 4711 443\r\n", "192.0.2.1:4711"}, {v2(0x21, 0x21, addresses6), "[2001:db8::1]:4711"}, {v2(0x20, 0, ""), ""},
	} {
		dialled := e.connect(t, tc.header+"x")
		c, err := e.Accept()
		if err != nil {
			t.Fatal(err)
		}
		if tc.want == "" {
			tc.want = dialled.LocalAddr().String()
		}
		got := make([]byte, 1)
		if _, err := io.ReadFull(c, got); err != nil || string(got) != "x" || c.RemoteAddr().String() != tc.want {
			t.Errorf("%s, then %q, %v; want %s", c.RemoteAddr(), got, err, tc.want)
		}
		if tcp, ok := TCP(c); !ok || tcp.RemoteAddr().String() != dialled.LocalAddr().String() {
			t.Errorf("%s: no TCP connection", c.RemoteAddr())
		}
		_ = c.Close()
	}
	if err := e.Close(); err != nil {
		t.Error(err)
	}
	if _, err := e.Accept(); !errors.Is(err, net.ErrClosed) {
		t.Errorf("after Close: %v", err)
	}
	select {
	case err := <-e.refused:
		t.Errorf("refused: %v", err)
	default:
	}
}

// TestListenerRefuses: a proxy without header, one that is too slow, and one too many are closed and said; one that only knocks is
// not worth a word.
func TestListenerRefuses(t *testing.T) {
	e := newEntrance(t, "127.0.0.1", eventually.Patience, 4)
	c := e.connect(t, "GET / HTTP/1.1\r\n\r\n")
	e.wantRefused(t, errNoHeader)
	if _, err := c.Read(make([]byte, 1)); err == nil || errors.Is(err, os.ErrDeadlineExceeded) {
		t.Errorf("it was not closed: %v", err)
	}

	short := newEntrance(t, "127.0.0.1", 50*time.Millisecond, 4)
	_ = short.connect(t, "").Close() // it only knocks
	short.connect(t, "PRO")
	short.wantRefused(t, os.ErrDeadlineExceeded)

	full := newEntrance(t, "127.0.0.1", eventually.Patience, 1)
	full.connect(t, "PRO")
	full.connect(t, "PRO")
	full.wantRefused(t, errCrowd)
}

// TestListenerOfOthers: who is no proxy is not asked, and a header of theirs is what they say first.
func TestListenerOfOthers(t *testing.T) {
	e := newEntrance(t, "192.0.2.9", eventually.Patience, 1)
	const header = "PROXY TCP4 192.0.2.1 127.0.0.1 4711 443\r\n"
	dialled := e.connect(t, header)
	c, err := e.Accept()
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = c.Close() }()
	got := make([]byte, len(header))
	if _, err := io.ReadFull(c, got); err != nil || string(got) != header || c.RemoteAddr().String() != dialled.LocalAddr().String() {
		t.Errorf("%s said %q, %v", c.RemoteAddr(), got, err)
	}
}
