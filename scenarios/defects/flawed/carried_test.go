package main

import (
	"bufio"
	"bytes"
	"compress/flate"
	"crypto/sha1"
	"encoding/base64"
	"fmt"
	"io"
	"net"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// published is a PUBLISH of MQTT 5 with QoS 1 and these properties.
func published(first byte, payload string, said ...string) packet {
	properties := strings.Join(said, "")
	body := "\x00\x03a/b\x00\x07" + string(rune(len(properties))) + properties + payload
	return packet{first: first, body: []byte(body)}
}

// user is a user property of short texts.
func user(name, value string) string {
	return fmt.Sprintf("\x26\x00%c%s\x00%c%s", rune(len(name)), name, rune(len(value)), value)
}

// devices is a front with a flaw, a link of it, and what came to each end.
func linked(t *testing.T, defect string) (l *link, broker, device func() []packet) {
	t.Helper()
	count, err := openCounter(filepath.Join(t.TempDir(), "fired"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = count.close() })
	f := &front{opts: &options{defect: defect}, count: count}
	if f.flaw, err = flawOf(defect, "", f); err != nil {
		t.Fatal(err)
	}
	toBroker, toDevice := &memory{}, &memory{}
	l = &link{f: f, broker: toBroker, device: toDevice, acked: map[uint16]bool{}}
	return l, toBroker.packets, toDevice.packets
}

// memory is a connection that keeps what is written.
type memory struct {
	net.Conn
	bytes.Buffer
}

func (m *memory) Read(b []byte) (int, error)  { return m.Buffer.Read(b) }
func (m *memory) Write(b []byte) (int, error) { return m.Buffer.Write(b) }

// packets takes out what was written.
func (m *memory) packets() (all []packet) {
	in := bufio.NewReader(&m.Buffer)
	for {
		p, err := readPacket(in)
		if err != nil {
			return all
		}
		all = append(all, p)
	}
}

func TestPropertiesAreTakenOutAndPutBack(t *testing.T) {
	whole := published(0x32, "p", "\x01\x01", "\x02\x00\x00\x00\x09", "\x03\x00\x01c", "\x08\x00\x01r", "\x09\x00\x02\x00\xff", "\x0b\x81\x01", "\x23\x00\x01", user("k", "v"), user("", ""))
	before, all, after, ok := whole.properties()
	if !ok || len(all) != 9 || string(after) != "p" || all[7].name() != "k" || all[8].name() != "" {
		t.Fatalf("%d properties before %q, %v", len(all), after, ok)
	}
	if again := whole.withProperties(before, all, after); !bytes.Equal(again.body, whole.body) {
		t.Errorf("put back as %q", again.body)
	}
	for n := range len(whole.body) - len("p") {
		if _, _, _, ok := (packet{first: 0x32, body: whole.body[:n]}).properties(); ok {
			t.Errorf("the first %d bytes of a packet have whole properties", n)
		}
	}
	for _, bad := range []string{"\x7f", "\x03\x00\x09c", "\x26\x00\x01k"} {
		if _, _, _, ok := published(0x32, "", bad).properties(); ok {
			t.Errorf("%q was taken for a property", bad)
		}
	}
	if _, _, _, ok := (packet{first: mqttPuback, body: []byte{0, 7}}).properties(); ok {
		t.Error("PUBACK has properties of PUBLISH")
	}
}

func TestPropertiesAreLostAndSorted(t *testing.T) {
	for defect, want := range map[string]packet{
		"F37":  published(0x32, "p", "\x01\x01"),
		"F37m": published(0x32, "p", "\x01\x01", "\x03\x00\x01c", user("a", "3"), user("b", "2")),
	} {
		l, _, viewer := linked(t, defect)
		sent := published(0x32, "p", "\x01\x01", user("b", "1"), "\x03\x00\x01c", user("b", "2"), user("a", "3"))
		if l.f.flaw.toMQTT(l, sent) || l.f.count.fired != 1 {
			t.Errorf("%s let it pass, fired %d times", defect, l.f.count.fired)
		}
		if got := viewer(); len(got) != 1 || !bytes.Equal(got[0].body, want.body) {
			t.Errorf("%s made it %q", defect, got)
		}
		for _, plain := range []packet{published(0x32, "p", "\x01\x01"), {first: mqttPuback, body: []byte{0, 7}}} {
			if !l.f.flaw.toMQTT(l, plain) || l.f.count.fired != 1 {
				t.Errorf("%s changed %q, in which there is nothing to change", defect, plain.body)
			}
		}
	}
}

// Of a message whose connection ended within it F72 passes on what came, if
// that is any of the payload.
func TestPartOfAMessageIsTakenForAllOfIt(t *testing.T) {
	l, broker, _ := linked(t, "F72")
	whole := published(0x32, "payload", user("k", "v")).append(nil)
	for cut, passed := range map[int]bool{len(whole) - 3: true, len(whole) - len("payload"): false, 4: false, 1: false} {
		part := l.carry(bufio.NewReader(bytes.NewReader(whole[:cut])), nil, l.send)
		if len(part.body) > 0 {
			l.f.flaw.cutOff(l, part)
		}
		if got := broker(); passed != (len(got) == 1) || (passed && !bytes.HasSuffix(got[0].body, []byte("payl"))) {
			t.Errorf("of %d bytes of %d came %q", cut, len(whole), got)
		}
	}
	if l.f.count.fired != 1 {
		t.Errorf("fired %d times", l.f.count.fired)
	}
}

func TestMessagesThatAreSentAgain(t *testing.T) {
	known, fresh := published(0x32, "1", user("plumbline-seq", "1"), user("k", "v")), published(0x3a, "2", user("plumbline-seq", "2"))
	again := packet{first: known.first | flagDup, body: known.body}

	l, _, device := linked(t, "F73")
	if pass := l.f.flaw.fromDevice; !pass(l, known) || pass(l, again) || pass(l, fresh) || l.f.count.fired != 1 {
		t.Errorf("F73 fired %d times", l.f.count.fired)
	}
	if acks := device(); len(acks) != 2 || acks[0].kind() != mqttPuback {
		t.Errorf("F73 answered %q", acks)
	}
	l, broker, _ := linked(t, "F74")
	if pass := l.f.flaw.fromDevice; !pass(l, known) || !pass(l, fresh) || pass(l, again) || l.f.count.fired != 1 {
		t.Errorf("F74 fired %d times", l.f.count.fired)
	}
	if got := broker(); len(got) != 1 || got[0].first != known.first || !bytes.Equal(got[0].body, published(0x32, "1", user("k", "v")).body) {
		t.Errorf("F74 passed on %q", got)
	}
}

// A viewer of MQTT is answered as RFC 6455 wants it, and its packets may be split
// over frames.
func TestMQTTIsTakenOutOfItsFrames(t *testing.T) {
	frames := slices.Concat(
		appendFrame(nil, frame{first: opBinary, payload: []byte{0xc0}}, true), appendFrame(nil, frame{first: 0x80 | opPing, payload: []byte("?")}, true),
		appendFrame(nil, frame{first: 0x80, payload: []byte{0x00, 0x40, 0x02}}, true), appendFrame(nil, frame{first: 0x80 | opBinary, payload: []byte{0, 7}}, true),
		appendFrame(nil, frame{first: 0x80 | opClose, payload: []byte{0x03, 0xe8}}, true))
	out := &memory{}
	w := &webConn{Conn: out, in: bufio.NewReader(bytes.NewReader(frames))}
	in := bufio.NewReader(w)
	for _, want := range []packet{{first: 0xc0, body: []byte{}}, puback(7)} {
		if got, err := readPacket(in); err != nil || got.first != want.first || !bytes.Equal(got.body, want.body) {
			t.Errorf("%+v, %v; want %+v", got, err, want)
		}
	}
	if _, err := readPacket(in); err == nil {
		t.Error("after the close frame came a packet")
	}
	if n, err := w.Write([]byte("pub")); n != 3 || err != nil {
		t.Errorf("wrote %d bytes, %v", n, err)
	}
	want := slices.Concat(appendFrame(nil, frame{first: 0x80 | opPong, payload: []byte("?")}, false),
		appendFrame(nil, frame{first: 0x80 | opClose, payload: []byte{0x03, 0xe8}}, false), appendFrame(nil, frame{first: 0x80 | opBinary, payload: []byte("pub")}, false))
	if !bytes.Equal(out.Bytes(), want) {
		t.Errorf("wrote %q", out.Bytes())
	}
}

func TestAViewerOfMQTTIsLetIn(t *testing.T) {
	broker, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = broker.Close() }()
	f := &front{opts: &options{brokerTo: broker.Addr().String()}, flaw: &flaw{}, conns: map[net.Conn]struct{}{}}
	for request, want := range map[string]string{
		"GET /ws HTTP/1.1\r\nUpgrade: websocket\r\nSec-WebSocket-Key:  dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n": "HTTP/1.1 101 ",
		"GET /ws HTTP/1.1\r\nUpgrade: websocket\r\n\r\n":                                                 "HTTP/1.1 426 ",
	} {
		viewer, client := net.Pipe()
		ended := make(chan struct{})
		go func() { defer close(ended); f.serveMQTT(client); _ = client.Close() }()
		if _, err := viewer.Write([]byte(request)); err != nil {
			t.Fatal(err)
		}
		head, _ := readHead(bufio.NewReader(viewer))
		if !strings.HasPrefix(string(head), want) {
			t.Errorf("%q", head)
		}
		sum := sha1.Sum([]byte("dGhlIHNhbXBsZSBub25jZQ==258EAFA5-E914-47DA-95CA-C5AB0DC85B11"))
		if strings.Contains(want, "101") && !strings.Contains(string(head), base64.StdEncoding.EncodeToString(sum[:])) {
			t.Errorf("another key was accepted: %q", head)
		}
		_ = viewer.Close()
		<-ended
	}
}

// Messages refer to earlier ones; with the flaw to what is not there.
func TestTheRelayCompresses(t *testing.T) {
	for defect, damaged := range map[string]bool{"none": false, "F66": true} {
		s, in := bench(t, defect, "1000")
		s.f.opts.compress = true
		request, c := s.f.negotiate([]byte("GET / HTTP/1.1\r\nSec-WebSocket-Extensions: permessage-deflate\r\nHost: a\r\n\r\n"))
		if string(request) != "GET / HTTP/1.1\r\nHost: a\r\n\r\n" || c == nil {
			t.Fatalf("the request became %q", request)
		}
		if answer := c.accept([]byte("HTTP/1.1 101 x\r\n\r\n")); string(answer) != "HTTP/1.1 101 x\r\nSec-WebSocket-Extensions: permessage-deflate; client_no_context_takeover\r\n\r\n" {
			t.Errorf("the answer became %q", answer)
		}
		s.compressor = c
		text := strings.Repeat(`{"alike":true}`, 60)
		go func() {
			for range 4 {
				if err := s.toViewer(textFrame([]byte(text))); err != nil {
					t.Error(err)
				}
			}
			if err := s.toViewer(textFrame([]byte("short"))); err != nil {
				t.Error(err)
			}
		}()
		var window, all []byte
		for range 4 {
			f, _, err := readFrame(in)
			if err != nil || f.first != 0xc1 {
				t.Fatalf("%x, %v", f.first, err)
			}
			plain, err := io.ReadAll(flate.NewReaderDict(io.MultiReader(bytes.NewReader(f.payload), strings.NewReader("\x00\x00\xff\xff\x01\x00\x00\xff\xff")), window))
			if err != nil {
				plain = []byte(err.Error())
			}
			window, all = append(window, plain...), append(all, plain...)
		}
		if f, _, err := readFrame(in); err != nil || f.first != 0x81 || string(f.payload) != "short" {
			t.Errorf("a short message came as %x %q, %v", f.first, f.payload, err)
		}
		if same := string(all) == strings.Repeat(text, 4); same == damaged || (s.f.count.fired > 0) != damaged {
			t.Errorf("%s: unchanged %v, fired %d times", defect, same, s.f.count.fired)
		}
	}
}
