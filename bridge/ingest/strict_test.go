package ingest

import (
	"bytes"
	"testing"
)

// connectWith is a CONNECT of MQTT 5 with these bytes for its properties.
func connectWith(props ...byte) []byte {
	return packet(0x10, str("MQTT"), []byte{5, 2, 0, 60, byte(len(props))}, props, str("c"))
}

// malformed packets that the library's reader takes, by what is wrong.
var malformed = map[string][]byte{
	"property twice":               connectWith(0x11, 0, 0, 0, 1, 0x11, 0, 0, 0, 1),
	"Receive Maximum 0":            connectWith(0x21, 0, 0),
	"Maximum Packet Size 0":        connectWith(0x27, 0, 0, 0, 0),
	"Request Problem Info 2":       connectWith(0x17, 2),
	"Request Response Info 2":      connectWith(0x19, 2),
	"authentication data alone":    connectWith(0x16, 0, 1, 'x'),
	"property ends too early":      connectWith(0x11, 0, 0),
	"property of another packet":   connectWith(0x23, 0, 1),
	"bytes behind the payload":     packet(0x10, str("MQTT"), []byte{5, 2, 0, 60, 0}, str("c"), []byte("more")),
	"will property of no will":     packet(0x10, str("MQTT"), []byte{5, 6, 0, 60, 0}, str("c"), []byte{5, 0x11, 0, 0, 0, 1}, str("w"), str("gone")),
	"bytes behind one of 3.1.1":    packet(0x10, str("MQTT"), []byte{4, 2, 0, 60}, str("c"), []byte("more")),
	"password without a user name": packet(0x10, str("MQTT"), []byte{4, 0x42, 0, 60}, str("c"), str("")),
}

// TestStrictConnect: none of these is let in, in one segment or byte by byte, and what they are a breach of is let in when it is not.
func TestStrictConnect(t *testing.T) {
	b, _ := start(t, nil)
	for name, raw := range malformed {
		c := dial(t, b, 5)
		c.send(raw)
		first, _, err := c.read()
		for err == nil && first != 0x20 {
			first, _, err = c.read()
		}
		if err == nil && bytes.HasPrefix(raw[4:], []byte("MQTT\x05")) {
			t.Errorf("%s: answered", name)
		}
		c.wantClosed()
	}
	for name, raw := range map[string][]byte{
		"all properties": connectWith(0x11, 0, 0, 0, 1, 0x21, 0, 9, 0x27, 0, 1, 0, 0, 0x22, 0, 0, 0x19, 0, 0x17, 1,
			0x26, 0, 1, 'a', 0, 1, 'b', 0x26, 0, 1, 'a', 0, 1, 'b'),
		"none":           connectWith(),
		"empty password": packet(0x10, str("MQTT"), []byte{5, 0x42, 0, 60, 0}, str("c"), str("")),
	} {
		c := dial(t, b, 5)
		c.send(raw)
		if first, body, err := c.read(); err != nil || first != 0x20 || body[1] != 0 {
			t.Errorf("%s: %x %x %v", name, first, body, err)
		}
	}
}

// TestStrictSubscribe is [MQTT-3.8.3-5].
func TestStrictSubscribe(t *testing.T) {
	b, _ := start(t, nil)
	for _, options := range []byte{0x40, 0x80, 0xc1} {
		c := dial(t, b, 5).ok(login{id: "c", clean: true})
		c.send(packet(0x82, []byte{0, 1, 0}, str("x"), []byte{0}, str("y"), []byte{options}))
		c.wantClosed()
	}
	c := dial(t, b, 5).ok(login{id: "c", clean: true})
	c.sub("x", 0x2d, nil)
}

// TestResponseTopicWithoutWildcards is [MQTT-3.3.2-14].
func TestResponseTopicWithoutWildcards(t *testing.T) {
	b, _ := start(t, nil)
	c := dial(t, b, 5).ok(login{id: "c", clean: true})
	c.send(packet(0x32, str("t"), []byte{0, 1, 6, 0x08}, str("a/#"), []byte("x")))
	c.wantClosed()
}

// FuzzStrict: however a stream is cut, the same of it is let through; nothing panics, and of a good stream all of it.
func FuzzStrict(f *testing.F) {
	for _, raw := range malformed {
		f.Add(raw, 3)
	}
	f.Add(connectWith(), 1)
	f.Add(cat(connectWith(), packet(0x82, []byte{0, 1, 0}, str("x"), []byte{0xc0})), 5)
	f.Fuzz(func(t *testing.T, data []byte, cut int) {
		whole := strict{most: 1 << 10}
		want, wantErr := whole.scan(data)
		pieces := strict{most: 1 << 10}
		size := max(1, cut%16)
		got := 0
		for rest := data; len(rest) > 0; {
			n := min(size, len(rest))
			good, err := pieces.scan(rest[:n])
			if got += good; err != nil {
				if wantErr == nil || got != want {
					t.Fatalf("in pieces of %d: %d passed and %v; at once %d and %v", size, got, err, want, wantErr)
				}
				return
			}
			if good != n {
				t.Fatalf("%d of %d passed without an error", good, n)
			}
			rest = rest[n:]
		}
		if wantErr != nil || got != want {
			t.Fatalf("in pieces of %d: %d passed; at once %d and %v", size, got, want, wantErr)
		}
	})
}
