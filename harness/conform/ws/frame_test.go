package ws

import (
	"bytes"
	"testing"
)

// FuzzParse: no bytes of a server make the parser panic, read beyond them or
// return without having moved.
func FuzzParse(f *testing.F) {
	f.Add([]byte{0x81, 5, 'h', 'e', 'l', 'l', 'o'})
	f.Add([]byte{0x82, 127, 0x80, 0, 0, 0, 0, 0, 0, 0})
	f.Add(Text([]byte("masked")).Bytes())
	f.Add(closing(1000, "bye"))
	f.Fuzz(func(t *testing.T, b []byte) {
		for rest := b; ; {
			frame, n, err := parse(rest)
			if err != nil || n == 0 {
				return
			}
			if n < 2 || n > len(rest) || len(frame.Payload) > n {
				t.Fatalf("took %d of %d bytes for a payload of %d", n, len(rest), len(frame.Payload))
			}
			_, _, _ = closeCode(frame.Payload)
			rest = rest[n:]
		}
	})
}

func FuzzExtension(f *testing.F) {
	f.Add("permessage-deflate; server_max_window_bits=15")
	f.Add(";=;")
	f.Fuzz(func(t *testing.T, s string) {
		if e, err := parseExtension(s); err == nil && e.name == "" {
			t.Errorf("%q: %+v", s, e)
		}
	})
}

func TestFrames(t *testing.T) {
	for _, n := range []int{0, 1, 125, 126, 65535, 65536} {
		payload := bytes.Repeat([]byte{'x'}, n)
		f, used, err := parse(Binary(payload).Bytes())
		if err != nil || !f.masked || f.longForm || !bytes.Equal(f.Payload, payload) || used < n {
			t.Errorf("%d bytes: %v, %d used, %v", n, f.masked, used, err)
		}
		long, _, _ := parse(Binary(payload).encode(64, uint64(n), false))
		if long.longForm != (n <= 65535) || long.masked {
			t.Errorf("%d bytes in 64 bits: long %v", n, long.longForm)
		}
	}
}

// TestInflate: the window of earlier messages is used only where it was agreed.
func TestInflate(t *testing.T) {
	se := &session{takeover: true}
	text := bytes.Repeat([]byte("a line of text. "), 100)
	for range 3 {
		if out, err := se.inflate(squeeze(text)); err != nil || !bytes.Equal(out, text) {
			t.Fatalf("%d bytes, %v", len(out), err)
		}
	}
	if len(se.window) != 3*len(text) {
		t.Errorf("a window of %d bytes", len(se.window))
	}
	if _, err := se.inflate([]byte{0xff, 0xff}); err == nil {
		t.Error("garbage inflates")
	}
}
