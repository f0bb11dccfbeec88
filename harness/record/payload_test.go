package record

import (
	"bytes"
	"encoding/json"
	"errors"
	"math"
	"testing"

	"plumbline/devices"
)

var sample = []devices.Value{
	{Name: "temp", Number: 21.5, Unit: "Cel"}, {Name: "state", Text: "open \"wide\"\n", IsText: true}, {Name: "bad", Number: math.NaN()},
}

func TestPayloadText(t *testing.T) {
	got := string(Encode("0a1b2c3d", "press-7", 12, sample))
	const want = `{"run":"0a1b2c3d","dev":"press-7","seq":12,"v":{"bad":null,"state":"open \"wide\"\u000a","temp":21.5},"crc":"`
	if len(got) != len(want)+10 || got[:len(want)] != want {
		t.Errorf("payload\n%s\nwant\n%s", got, want)
	}
	if !json.Valid([]byte(got)) {
		t.Errorf("not JSON: %s", got)
	}
}

func TestPayloadRoundTrip(t *testing.T) {
	for _, dev := range []string{"press-7", "", `q"\uote`, "ünï/çode", "ctl\x01", "tab\t"} {
		payload := Encode("0a1b2c3d", dev, 7, sample)
		p, err := Parse(payload)
		if err != nil || p != (Payload{Run: "0a1b2c3d", Dev: dev, Seq: 7}) {
			t.Errorf("%q: %+v, %v from %s", dev, p, err, payload)
		}
	}
}

// TestPayloadEveryFlip: no single changed, missing or added byte goes unseen.
func TestPayloadEveryFlip(t *testing.T) {
	payload := Encode("0a1b2c3d", "press-7", 12, sample)
	for i := range payload {
		for _, bit := range []byte{1, 0x20, 0x80} {
			damaged := bytes.Clone(payload)
			damaged[i] ^= bit
			p, err := Parse(damaged)
			// A hexadecimal digit of the checksum may change its case.
			if err == nil && p != (Payload{Run: "0a1b2c3d", Dev: "press-7", Seq: 12}) {
				t.Fatalf("byte %d flipped by %#x: read as %+v", i, bit, p)
			}
			if err != nil && !errors.Is(err, ErrDamaged) {
				t.Fatalf("byte %d flipped by %#x: %v, want ErrDamaged", i, bit, err)
			}
		}
	}
	for cut := 1; cut < len(payload)-len(payloadHead); cut++ {
		if _, err := Parse(payload[:len(payload)-cut]); !errors.Is(err, ErrDamaged) {
			t.Fatalf("%d bytes short: %v", cut, err)
		}
		if _, err := Parse(payload[cut:]); cut <= len(payload)-payloadTail && !errors.Is(err, ErrDamaged) {
			t.Fatalf("%d bytes short in front: %v", cut, err)
		}
	}
	if _, err := Parse(append(bytes.Clone(payload), ' ')); !errors.Is(err, ErrDamaged) {
		t.Errorf("one byte more: %v", err)
	}
}

func TestPayloadForeign(t *testing.T) {
	for _, text := range []string{"", "{}", "21.5", `{"temp":21.5}`, "$GPGGA,1*2A", "\x00\xff", `{"dev":"x","seq":1}`} {
		if _, err := Parse([]byte(text)); !errors.Is(err, ErrForeign) {
			t.Errorf("%q: %v, want ErrForeign", text, err)
		}
	}
}

func TestPayloadAllocations(t *testing.T) {
	dst := make([]byte, 0, 512)
	if n := testing.AllocsPerRun(100, func() { dst = AppendPayload(dst[:0], "0a1b2c3d", "press-7", 12, sample) }); n > 0 {
		t.Errorf("AppendPayload allocates %v times into a buffer with room", n)
	}
	payload := Encode("0a1b2c3d", "press-7", 12, sample)
	if n := testing.AllocsPerRun(100, func() { _, _ = Parse(payload) }); n > 4 {
		t.Errorf("Parse allocates %v times", n)
	}
}

func FuzzParse(f *testing.F) {
	f.Add(Encode("0a1b2c3d", "press-7", 12, sample))
	f.Add([]byte(`{"run":"","dev":"","seq":1,"v":{},"crc":"00000000"}`))
	f.Fuzz(func(t *testing.T, data []byte) {
		p, err := Parse(data)
		if err == nil && p.Seq == 0 {
			t.Errorf("position 0 read from %q", data)
		}
	})
}

func TestResolver(t *testing.T) {
	v := NewResolver("0a1b2c3d")
	v.Add(0, Stream{Device: "a", Topic: "t/a"})
	v.Add(1, Stream{Device: "b", Topic: "t/b"})
	v.Add(2, Stream{Device: "tasmota", Topic: "tele/x", Foreign: true})
	own := Encode("0a1b2c3d", "a", 5, nil)
	v.AddPayload(2, []byte(`{"x": 1.0}`))
	for _, c := range []struct {
		name, topic string
		payload     []byte
		stream      uint32
		seq         uint64
		flags       uint8
	}{
		{"own", "t/a", own, 0, 5, 0},
		{"own under another's topic", "t/b", own, 0, 5, FlagMisrouted},
		{"own under an unknown topic", "t/zzz", own, 0, 5, FlagMisrouted},
		{"another run", "t/a", Encode("ffffffff", "a", 5, nil), NoStream, 5, 0},
		{"unknown device", "t/a", Encode("0a1b2c3d", "z", 5, nil), NoStream, 5, 0},
		{"damaged", "t/a", append(bytes.Clone(own), 'x'), 0, 0, FlagCorrupt},
		{"something else on an own topic", "t/b", []byte("hello"), 1, 0, FlagCorrupt},
		{"foreign", "tele/x", []byte("hello"), 2, 0, FlagForeign},
		{"own payload on a foreign topic", "tele/x", own, 2, 0, FlagForeign},
		{"own without its topic", "", own, 0, 5, 0},
		{"foreign without its topic, written anew", "", []byte(`{"x":1}`), 2, 0, FlagForeign},
		{"unknown without a topic", "", []byte(`{"x":2}`), NoStream, 0, FlagForeign},
		{"nobody", "t/zzz", []byte("hello"), NoStream, 0, FlagForeign},
	} {
		stream, seq, flags := v.Resolve(c.topic, c.payload)
		if stream != c.stream || seq != c.seq || flags != c.flags {
			t.Errorf("%s: stream %d, position %d, flags %b; want %d, %d, %b", c.name, stream, seq, flags, c.stream, c.seq, c.flags)
		}
	}
}

func TestDigest(t *testing.T) {
	// SHA-256 of nothing begins e3b0c44298fc1c14.
	if got := Digest(nil); got != 0xe3b0c44298fc1c14 {
		t.Errorf("Digest(nil) = %x", got)
	}
}

func BenchmarkEncode(b *testing.B) {
	dst := make([]byte, 0, 512)
	for b.Loop() {
		dst = AppendPayload(dst[:0], "0a1b2c3d", "press-7", 12, sample)
	}
}
