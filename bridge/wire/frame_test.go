package wire

import (
	"bytes"
	"encoding/binary"
	"encoding/json"
	"errors"
	"io"
	"strings"
	"testing"
	"testing/iotest"
	"time"
	"unicode/utf8"

	"github.com/gorilla/websocket"
)

func TestAppendFrame(t *testing.T) {
	for _, tc := range []struct {
		n    int
		want []byte
	}{
		{0, []byte{0x81, 0}},
		{125, []byte{0x81, 125}},
		{126, []byte{0x81, 126, 0, 126}},
		{65535, []byte{0x81, 126, 0xFF, 0xFF}},
		{65536, []byte{0x81, 127, 0, 0, 0, 0, 0, 1, 0, 0}},
	} {
		payload := bytes.Repeat([]byte("x"), tc.n)
		got := appendFrame([]byte("before"), frameText, payload[:tc.n/2], payload[tc.n/2:])
		if !bytes.Equal(got, append(append([]byte("before"), tc.want...), payload...)) {
			t.Errorf("%d bytes: header %x, want %x", tc.n, got[6:min(16, len(got))], tc.want)
		}
	}
}

func TestCloseBody(t *testing.T) {
	if got := string(closeBody(CloseDrain, "draining", 840)); got != "\x03\xf4"+`{"reason":"draining","retry_ms":840}` {
		t.Errorf("close body %q", got)
	}
	if closeBody(noCloseCode, "x", 0) != nil {
		t.Error("a body for no code")
	}
	for _, reason := range []string{strings.Repeat("x", 500), strings.Repeat("\"", 200), strings.Repeat("é", 200), strings.Repeat("<", 90), strings.Repeat("\U0001F600", 60)} {
		body := closeBody(CloseMisuse, reason, 99_999)
		var m struct {
			Reason  string
			RetryMS int64 `json:"retry_ms"`
		}
		if len(body) > 125 || !utf8.Valid(body[2:]) || json.Unmarshal(body[2:], &m) != nil || m.RetryMS != 99_999 || !strings.HasPrefix(reason, m.Reason) {
			t.Errorf("reason of %d bytes: body %q", len(reason), body)
		}
	}
}

// clientFrame is a masked frame as a client sends it, with a zero key.
func clientFrame(first byte, payload []byte) []byte {
	n := len(payload)
	var h []byte
	switch {
	case n <= 125:
		h = []byte{first, 0x80 | byte(n)}
	case n <= 0xFFFF:
		h = binary.BigEndian.AppendUint16([]byte{first, 0x80 | 126}, uint16(n))
	default:
		h = binary.BigEndian.AppendUint64([]byte{first, 0x80 | 127}, uint64(n))
	}
	return append(append(h, 0, 0, 0, 0), payload...)
}

func TestGuard(t *testing.T) {
	text := func(n int) []byte { return clientFrame(0x81, make([]byte, n)) }
	good := bytes.Join([][]byte{text(0), text(125), text(126), text(70_000), clientFrame(0x89, nil), clientFrame(0x88, []byte{3, 232})}, nil)
	long := func(n uint64) []byte { return append(binary.BigEndian.AppendUint64([]byte{0x81, 0xFF}, n), 0, 0, 0, 0) }
	for _, tc := range []struct {
		name string
		in   []byte
		good int
		err  error
	}{
		{"good frames", good, len(good), nil},
		{"16 bit for 125", append(good[:len(good):len(good)], 0x81, 0x80|126, 0, 125, 0, 0, 0, 0), len(good), errLength},
		{"64 bit for 65535", append(text(3), long(65535)...), len(text(3)), errLength},
		{"2^63", long(1 << 63), 0, errLength},
		{"2^63-1", long(1<<63 - 1), 14, nil}, // gorilla's limit answers this one
		{"close with one byte", append(text(1), clientFrame(0x88, []byte{3})...), len(text(1)), errCloseLen},
	} {
		for _, chunk := range []int{1, 2, 7, 1 << 20} {
			g := newGuard(time.Now, false)
			total := 0
			var err error
			for at := 0; at < len(tc.in) && err == nil; at += chunk {
				var n int
				n, err = g.feed(tc.in[at:min(at+chunk, len(tc.in))])
				total += n
			}
			if !errors.Is(err, tc.err) || err == nil && total != len(tc.in) || err != nil && chunk > 1000 && total != tc.good {
				t.Errorf("%s in pieces of %d: %d good bytes, %v; want %d, %v", tc.name, chunk, total, err, tc.good, tc.err)
			}
		}
	}
}

// TestGuardRate: empty fragments and pings count like messages (N62, N63, N68).
func TestGuardRate(t *testing.T) {
	clock := time.Unix(0, 0)
	g := newGuard(func() time.Time { return clock }, false)
	flood := bytes.Repeat(clientFrame(0x89, nil), frameBurst)
	if _, err := g.feed(flood); err != nil {
		t.Fatalf("the burst: %v", err)
	}
	if _, err := g.feed(clientFrame(0x00, nil)); !errors.Is(err, errRate) {
		t.Fatalf("one more: %v, want errRate", err)
	}
	g = newGuard(func() time.Time { return clock }, false)
	if _, err := g.feed(flood); err != nil {
		t.Fatal(err)
	}
	clock = clock.Add(time.Second)
	if n, err := g.feed(bytes.Repeat(clientFrame(0x89, nil), frameRate+1)); !errors.Is(err, errRate) || n != frameRate*6 {
		t.Errorf("after a second: %d bytes, %v; want %d frames", n, err, frameRate)
	}
}

func TestReadMessage(t *testing.T) {
	for _, tc := range []struct {
		in  string
		err error
	}{
		{"", nil}, {"abc", nil}, {"\u00e9\u20ac\U0001F600\uFFFD", nil}, {strings.Repeat("\u20ac", 1000), nil},
		{"\xff", errUTF8}, {"a\xc3", errUTF8}, {"\xc3\x28", errUTF8}, {"\xed\xa0\x80", errUTF8}, {"\xf4\x90\x80\x80", errUTF8}, {"\xc0\x80", errUTF8}, {"x\xe2\x82", errUTF8},
	} {
		for name, r := range map[string]io.Reader{"whole": strings.NewReader(tc.in), "bytes": iotest.OneByteReader(strings.NewReader(tc.in)), "with EOF": iotest.DataErrReader(strings.NewReader(tc.in))} {
			got, err := readMessage(r, 1<<20, true)
			if !errors.Is(err, tc.err) || err == nil && string(got) != tc.in {
				t.Errorf("readMessage(%q, %s) = %q, %v, want %v", tc.in, name, got, err, tc.err)
			}
		}
	}
	// Fail fast: the fault is told before the message has ended.
	r := io.MultiReader(strings.NewReader("ok\xff"), iotest.ErrReader(errors.New("read too far")))
	if _, err := readMessage(iotest.OneByteReader(r), 1<<20, true); !errors.Is(err, errUTF8) {
		t.Errorf("%v, want errUTF8 at the first bad byte", err)
	}
	if _, err := readMessage(strings.NewReader(strings.Repeat("x", 4096)), 100, true); !errors.Is(err, websocket.ErrReadLimit) {
		t.Errorf("over the limit: %v", err)
	}
}

func FuzzReadMessage(f *testing.F) {
	f.Add("a\u20ac\xff")
	f.Fuzz(func(t *testing.T, in string) {
		got, err := readMessage(iotest.OneByteReader(strings.NewReader(in)), 1<<20, true)
		if (err == nil) != utf8.ValidString(in) || err == nil && string(got) != in {
			t.Fatalf("readMessage(%q) = %q, %v", in, got, err)
		}
	})
}

func FuzzGuard(f *testing.F) {
	f.Add([]byte{0x81, 0x80, 0, 0, 0, 0}, 3)
	f.Fuzz(func(t *testing.T, in []byte, cut int) {
		whole := newGuard(time.Now, false)
		n1, err1 := whole.feed(in)
		cut = max(0, min(cut, len(in)))
		parts := newGuard(time.Now, false)
		_, err2 := parts.feed(in[:cut])
		if err2 == nil {
			_, err2 = parts.feed(in[cut:])
		}
		if n1 > len(in) || !errors.Is(err1, err2) || !errors.Is(err2, err1) {
			t.Fatalf("whole: %d, %v; in parts: %v", n1, err1, err2)
		}
	})
}
