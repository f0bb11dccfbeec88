package fault

import (
	"bytes"
	"encoding/binary"
	"math/rand/v2"
	"slices"
	"testing"
)

// pieces feeds data cut at seeded places and returns the units and what is left.
// It fails when a splitter keeps more than it may.
func pieces(t *testing.T, s splitter, data []byte, seed uint64) (units []unit, err error) {
	t.Helper()
	rnd := rand.New(rand.NewPCG(seed, 1))
	for rest := data; len(rest) > 0; {
		n := min(len(rest), 1+rnd.IntN(40))
		if units, err = s.feed(units, bytes.Clone(rest[:n])); err != nil {
			units = append(units, unit{kind: opaque, data: rest[n:]})
			break
		}
		rest = rest[n:]
	}
	if kept := s.rest(); len(kept) > 0 {
		if len(kept) > 2*unitLimit+chunkBytes {
			t.Fatalf("%d bytes are kept", len(kept))
		}
		units = append(units, unit{kind: opaque, data: kept})
	}
	return units, err
}

func joined(units []unit) []byte {
	var out []byte
	for _, u := range units {
		out = append(out, u.data...)
	}
	return out
}

func kinds(units []unit) (out []byte) {
	for _, u := range units {
		if u.kind != opaque {
			out = append(out, u.kind)
		}
	}
	return out
}

// publish makes a PUBLISH of QoS 0 with a body of that size.
func publish(size int) []byte {
	return append(binary.AppendUvarint([]byte{0x30}, uint64(size)), bytes.Repeat([]byte{7}, size)...)
}

func TestPacketsAreCutWhereverTheyAreTorn(t *testing.T) {
	stream := slices.Concat(
		[]byte("\x10\x0c\x00\x04MQTT\x04\x02\x00\x3c\x00\x00"), // CONNECT of 3.1.1
		publish(0), publish(127), publish(128), publish(16_383), publish(16_384), []byte{0xc0, 0}, []byte{0xe0, 0},
	)
	want := []byte{1, 3, 3, 3, 3, 3, 12, 14}
	for seed := range uint64(50) {
		units, err := pieces(t, &packets{first: Connect}, stream, seed)
		if err != nil || !bytes.Equal(kinds(units), want) || !bytes.Equal(joined(units), stream) {
			t.Fatalf("seed %d: kinds %v, error %v", seed, kinds(units), err)
		}
	}
}

func TestPacketsThatAreTooLargePassUnseen(t *testing.T) {
	s := &packets{}
	stream := slices.Concat(publish(unitLimit), []byte{0xc0, 0})
	var units []unit
	for part := range slices.Chunk(stream, chunkBytes) {
		var err error
		if units, err = s.feed(units, bytes.Clone(part)); err != nil {
			t.Fatal(err)
		}
		if len(s.kept) > 8 {
			t.Fatalf("%d bytes of a large packet are kept", len(s.kept))
		}
	}
	if !bytes.Equal(kinds(units), []byte{12}) || !bytes.Equal(joined(units), stream) {
		t.Fatalf("kinds are %v", kinds(units))
	}
}

func TestWhatIsNoMQTTPassesUnseen(t *testing.T) {
	for name, c := range map[string]struct {
		first  PacketType
		stream string
		want   error
	}{
		"HTTP":            {Connect, "GET / HTTP/1.1\r\n\r\n", errNoMQTT},
		"type 0":          {AnyPacket, "\x00\x00", errPacketType},
		"length":          {AnyPacket, "\x30\xff\xff\xff\xff\x01", errLength},
		"server's answer": {Connack, "\x30\x00", errNoMQTT},
	} {
		units, err := pieces(t, &packets{first: c.first}, []byte(c.stream), 3)
		if err != c.want || len(kinds(units)) != 0 || string(joined(units)) != c.stream { //nolint:errorlint // the very value
			t.Errorf("%s: %v, kinds %v, %q", name, err, kinds(units), joined(units))
		}
	}
}

// FuzzPackets holds the splitter to giving out what it got, the same packets
// wherever the stream was torn, and corruption to leaving the framing alone.
func FuzzPackets(f *testing.F) {
	f.Add(publish(5), uint64(1))
	f.Add(slices.Concat(publish(200), []byte{0xd0, 0, 0xf0, 0}), uint64(2))
	f.Add([]byte{0x30, 0xff, 0xff, 0xff, 0x7f, 1}, uint64(3))
	f.Add([]byte{0x30, 0x80, 0x00}, uint64(4))
	f.Fuzz(func(t *testing.T, data []byte, seed uint64) {
		whole, _ := (&packets{}).feed(nil, bytes.Clone(data))
		torn, err := pieces(t, &packets{}, data, seed)
		if !bytes.Equal(joined(torn), data) {
			t.Fatalf("%x came out as %x, %v", data, joined(torn), err)
		}
		if !bytes.Equal(kinds(whole), kinds(torn)) {
			t.Fatalf("kinds are %v at once and %v torn", kinds(whole), kinds(torn))
		}
		rnd := rand.New(rand.NewPCG(seed, 2))
		for _, u := range torn {
			if u.kind == opaque {
				continue
			}
			broken, changed := corruptPacket(u, rnd)
			size, err := packetSize(broken)
			if !changed || bytes.Equal(broken, u.data) || err != nil || size != len(u.data) {
				t.Fatalf("%x was corrupted to %x: size %d, %v", u.data, broken, size, err)
			}
		}
	})
}

const (
	request  = "GET /x HTTP/1.1\r\nHost: h\r\nConnection: Upgrade\r\nUpgrade: WebSocket\r\nSec-WebSocket-Extensions: permessage-deflate\r\nX: y\r\n\r\n"
	stripped = "GET /x HTTP/1.1\r\nHost: h\r\nConnection: Upgrade\r\nUpgrade: WebSocket\r\nX: y\r\n\r\n"
	agreed   = "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\n\r\n"
)

// client makes a masked frame.
func client(first byte, payload string) []byte {
	mask := []byte{1, 2, 3, 4}
	data := []byte(payload)
	for i := range data {
		data[i] ^= mask[i%4]
	}
	return appendFrame(nil, first, mask, data)
}

func server(first byte, payload string) []byte { return appendFrame(nil, first, nil, []byte(payload)) }

func TestFramesAreCutWhereverTheyAreTorn(t *testing.T) {
	long, longer := string(make([]byte, 126)), string(make([]byte, 1<<16))
	upstream := slices.Concat([]byte(request), client(0x81, "a"), client(0x82, long), client(0x89, ""), client(0x82, longer), client(0x88, "\x03\xe8"))
	// A ping in the middle of a message of three fragments.
	downstream := slices.Concat([]byte(agreed), server(0x01, "one"), server(0x89, "ping"), server(0x00, "two"), server(0x80, "three"), server(0x8a, ""))
	for seed := range uint64(50) {
		shared := &upgrade{}
		units, err := pieces(t, &frames{upgrade: shared, asks: true}, upstream, seed)
		if err != nil || !bytes.Equal(kinds(units), []byte{1, 2, 9, 2, 8}) || string(units[0].data) != stripped {
			t.Fatalf("seed %d: kinds %v, head %q, error %v", seed, kinds(units), units[0].data, err)
		}
		units, err = pieces(t, &frames{upgrade: shared}, downstream, seed)
		if err != nil || !bytes.Equal(kinds(units), []byte{9, 1, 10}) {
			t.Fatalf("seed %d: kinds %v, error %v", seed, kinds(units), err)
		}
		if message := units[2].data; !bytes.Equal(message, slices.Concat(server(0x01, "one"), server(0x00, "two"), server(0x80, "three"))) {
			t.Fatalf("the message is %x", message)
		}
	}
}

func TestWhatIsNoWebSocketPassesUnseen(t *testing.T) {
	plain := "POST /login HTTP/1.1\r\nContent-Length: 2\r\n\r\n{}"
	for name, c := range map[string]struct {
		up, down string
		want     error // of the way down
	}{
		"plain HTTP":             {plain, "HTTP/1.1 200 OK\r\n\r\nhello", nil},
		"refused upgrade":        {stripped, "HTTP/1.1 401 Unauthorized\r\nContent-Length: 3\r\n\r\nno!", nil},
		"interim answer":         {stripped, "HTTP/1.1 103 Early Hints\r\n\r\nHTTP/1.1 404 Not Found\r\n\r\n\x81\x01a", nil},
		"extension not offered":  {stripped, "HTTP/1.1 101 Switching Protocols\r\nSec-WebSocket-Extensions: permessage-deflate\r\n\r\n\xc1\x01a", errExtension},
		"no head at all":         {stripped, "SSH-2.0-server\r\n", nil},
		"frame beyond all limit": {stripped, agreed + "\x82\x7f\xff\xff\xff\xff\xff\xff\xff\xff", errFrameLength},
	} {
		shared := &upgrade{}
		up, upErr := pieces(t, &frames{upgrade: shared, asks: true}, []byte(c.up), 5)
		down, err := pieces(t, &frames{upgrade: shared}, []byte(c.down), 6)
		if upErr != nil || err != c.want || string(joined(up)) != c.up || string(joined(down)) != c.down { //nolint:errorlint // the very value
			t.Errorf("%s: %v, %v, %q, %q", name, upErr, err, joined(up), joined(down))
		}
		if len(kinds(up))+len(kinds(down)) != 0 {
			t.Errorf("%s: kinds %v, %v", name, kinds(up), kinds(down))
		}
	}
	endless := bytes.Repeat([]byte("X-Long: long\r\n"), headLimit/14+1)
	if units, err := pieces(t, &frames{upgrade: &upgrade{}, asks: true}, endless, 7); err != errHead || !bytes.Equal(joined(units), endless) { //nolint:errorlint // the very value
		t.Errorf("an endless head gave %v", err)
	}
}

func TestLargeMessagesPassUnseen(t *testing.T) {
	for name, large := range map[string][]byte{
		"one frame": server(0x82, string(make([]byte, unitLimit))),
		"fragments": slices.Concat(server(0x02, string(make([]byte, unitLimit-20))), server(0x00, "more than fits in the limit"), server(0x80, "end")),
		"fragments after a large one": slices.Concat(
			server(0x02, string(make([]byte, unitLimit))), server(0x00, "more"), server(0x80, "end")),
	} {
		stream := slices.Concat(large, server(0x81, "next"))
		units, err := pieces(t, &frames{upgrade: &upgrade{}, open: true}, stream, 1)
		if err != nil || !bytes.Equal(kinds(units), []byte{1}) || !bytes.Equal(joined(units), stream) {
			t.Errorf("%s: kinds %v, error %v", name, kinds(units), err)
		}
	}
}

// FuzzFrames holds the splitter to giving out what it got, the same frames
// wherever the stream was torn, and changes to leaving frames behind.
func FuzzFrames(f *testing.F) {
	f.Add(server(0x81, "text"), uint64(1), true)
	f.Add(slices.Concat(client(0x01, "a"), client(0x89, "b"), client(0x80, "c")), uint64(2), true)
	f.Add(slices.Concat(client(0x01, "a"), client(0x88, "\x03\xe8"), client(0x80, "c")), uint64(2), true)
	f.Add([]byte("\x82\x7f\x00\x00\x00\x00\x00\x10\x00\x00"), uint64(3), true)
	f.Add([]byte(stripped+"\x81\x81abcdx"), uint64(4), false)
	f.Add([]byte("GET / HTTP/1.1\r\n\r\n"), uint64(5), false)
	f.Fuzz(func(t *testing.T, data []byte, seed uint64, open bool) {
		made := func() *frames { return &frames{upgrade: &upgrade{}, asks: true, open: open} }
		whole, _ := made().feed(nil, bytes.Clone(data))
		torn, err := pieces(t, made(), data, seed)
		if open && len(joined(torn)) != len(data) {
			t.Fatalf("%x came out as %x, %v", data, joined(torn), err)
		}
		if !bytes.Equal(kinds(whole), kinds(torn)) {
			t.Fatalf("kinds are %v at once and %v torn", kinds(whole), kinds(torn))
		}
		rnd := rand.New(rand.NewPCG(seed, 2))
		for _, u := range torn {
			if u.kind == opaque {
				continue
			}
			for name, change := range map[string]func(unit, *rand.Rand) ([]byte, bool){"corrupt": corruptFrame, "split": splitFrame} {
				if data, changed := change(u, rnd); changed {
					isFrames(t, name, data)
				}
			}
			isFrames(t, "code", recode(u.data, 1013))
		}
	})
}

func isFrames(t *testing.T, what string, data []byte) {
	t.Helper()
	for len(data) > 0 {
		f, whole, err := parseFrame(data)
		if err != nil || !whole || f.size > len(data) {
			t.Fatalf("%s: %x is no frame: %v", what, data, err)
		}
		data = data[f.size:]
	}
}
