package main

import (
	"bufio"
	"bytes"
	"crypto/tls"
	"encoding/json"
	"io"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"
)

func TestFramesComeOutAsTheyWentIn(t *testing.T) {
	for _, size := range []int{0, 1, 125, 126, 65535, 65536} {
		for _, masked := range []bool{false, true} {
			in := frame{first: 0x82, payload: bytes.Repeat([]byte{0x5a, 0x01}, size)[:size]}
			data := appendFrame(nil, in, masked)
			out, had, err := readFrame(bufio.NewReader(bytes.NewReader(data)))
			if err != nil || had != masked || out.first != in.first || !bytes.Equal(out.payload, in.payload) {
				t.Errorf("%d bytes, masked %v: %v", size, masked, err)
			}
		}
	}
	if _, _, err := readFrame(bufio.NewReader(bytes.NewReader([]byte{0x82, 127, 1, 0, 0, 0, 0, 0, 0, 0}))); err == nil {
		t.Error("a frame beyond every bound was read")
	}
}

func TestPacketsComeOutAsTheyWentIn(t *testing.T) {
	for _, size := range []int{0, 127, 128, 16384, 2097152} {
		in := packet{first: 0x32, body: bytes.Repeat([]byte{7}, size)}
		out, err := readPacket(bufio.NewReader(bytes.NewReader(in.append(nil))))
		if err != nil || out.first != in.first || !bytes.Equal(out.body, in.body) {
			t.Errorf("%d bytes: %v", size, err)
		}
	}
	if _, err := readPacket(bufio.NewReader(bytes.NewReader([]byte{0x32, 0x80, 0x80, 0x80, 0x80, 0x01}))); err == nil {
		t.Error("a length of five bytes was read")
	}
	q := packet{first: 0x32, body: []byte("\x00\x03a/b\x12\x34rest")}
	if topic, id := q.publish(); topic != "a/b" || id != 0x1234 {
		t.Errorf("topic %q, id %x", topic, id)
	}
}

// bench is a front with a flaw and one session whose viewer is the test.
func bench(t *testing.T, defect, text string) (*session, *bufio.Reader) {
	t.Helper()
	count, err := openCounter(filepath.Join(t.TempDir(), "fired"))
	if err != nil {
		t.Fatal(err)
	}
	f := &front{opts: &options{defect: defect}, count: count}
	if f.flaw, err = flawOf(defect, text, f); err != nil {
		t.Fatal(err)
	}
	client, viewer := net.Pipe()
	t.Cleanup(func() { _, _, _ = client.Close(), viewer.Close(), count.close() })
	s := &session{f: f, client: client, streams: map[uint64]*stream{}, subs: map[uint64]*subscribe{}, random: f.random(), done: make(chan struct{})}
	return s, bufio.NewReader(viewer)
}

// give lets a session handle a message of the bridge.
func give(t *testing.T, s *session, text string) {
	t.Helper()
	if err := s.told(textFrame([]byte(text))); err != nil {
		t.Error(err)
	}
}

// read returns the next message of that type.
func read(t *testing.T, in *bufio.Reader, kind string, into any) {
	t.Helper()
	f, _, err := readFrame(in)
	if err != nil {
		t.Fatal(err)
	}
	if typeOf(f.payload) != kind || json.Unmarshal(f.payload, into) != nil {
		t.Fatalf("%s in place of a %s", f.payload, kind)
	}
}

const confirmed = `{"type":"subok","id":1,"filter":"#","epoch":"e","offset":10,"recovered":true,"reason":""}`

func message(o uint64, topic, payload string) string {
	return string(encode(reading{O: o, T: int64(o), Topic: topic, QoS: 1, Payload: &payload}))
}

// Whatever the order in which readings leave, the viewer sees a chain without a
// break, and books that agree with what came.
func TestDelayedReadingsKeepTheChain(t *testing.T) {
	s, in := bench(t, "none", "")
	slow := map[string]time.Duration{"a": 24 * time.Hour}
	s.f.flaw.arrive = func(_ *session, _ *stream, rs []reading) []reading {
		for i := range rs {
			rs[i].due = time.Now().Add(slow[rs[i].Topic])
			if slow[rs[i].Topic] == 0 {
				rs[i].due = time.Time{}
			}
		}
		return rs
	}
	go func() {
		give(t, s, confirmed)
		give(t, s, `{"type":"batch","id":1,"epoch":"e","from":10,"to":14,"readings":[`+
			strings.Join([]string{message(11, "a", "1"), message(12, "b", "2"), message(14, "b", "3")}, ",")+`]}`)
		give(t, s, `{"type":"heartbeat","epoch":"e","head":14,"cursors":{"1":14},"delivered":{"1":3},"gaps":{"1":0}}`)
		if err := s.flush(); err != nil {
			t.Error(err)
		}
	}()
	var ok subok
	var first, last batch
	var beat struct{ Cursors, Delivered map[string]uint64 }
	read(t, in, "subok", &ok)
	read(t, in, "batch", &first)
	read(t, in, "heartbeat", &beat)
	read(t, in, "batch", &last)
	offsets := []uint64{first.From, first.Readings[0].O, first.Readings[1].O, first.To, last.From, last.Readings[0].O, last.To}
	if !slices.Equal(offsets, []uint64{10, 11, 12, 12, 12, 14, 14}) || last.Readings[0].text() != "1" {
		t.Errorf("intervals and offsets %v, the last is %q", offsets, last.Readings[0].text())
	}
	if beat.Cursors["1"] != 12 || beat.Delivered["1"] != 2 {
		t.Errorf("the heartbeat tells %v", beat)
	}
}

func TestDroppedReadingsLeaveNoTraceInTheBooks(t *testing.T) {
	s, in := bench(t, "F02", "2")
	go func() {
		give(t, s, confirmed)
		give(t, s, `{"type":"batch","id":1,"epoch":"e","from":10,"to":12,"readings":[`+message(11, "a", "1")+","+message(12, "a", "2")+`]}`)
		give(t, s, `{"type":"heartbeat","epoch":"e","head":12,"cursors":{"1":12},"delivered":{"1":2},"gaps":{"1":0}}`)
	}()
	var ok subok
	var b batch
	var beat struct{ Cursors, Delivered map[string]uint64 }
	read(t, in, "subok", &ok)
	read(t, in, "batch", &b)
	read(t, in, "heartbeat", &beat)
	if len(b.Readings) != 1 || b.To != 12 || beat.Delivered["1"] != 1 || beat.Cursors["1"] != 12 {
		t.Errorf("batch %+v, heartbeat %+v", b, beat)
	}
	data, err := os.ReadFile(s.f.count.file.Name())
	if err != nil || strings.TrimSpace(string(data)) != "00000000000000000001" {
		t.Errorf("counter %q, %v", data, err)
	}
}

// A cursor that the flaw moved is not shown to the viewer.
func TestAMovedCursorIsHidden(t *testing.T) {
	s, in := bench(t, "F08", "3")
	text := s.asked([]byte(`{"type":"sub","id":1,"filter":"#","since":{"epoch":"e","offset":10}}`))
	if !strings.Contains(string(text), `"offset":7`) {
		t.Fatalf("asked %s", text)
	}
	go give(t, s, strings.Replace(confirmed, `"offset":10`, `"offset":7`, 1))
	var ok subok
	read(t, in, "subok", &ok)
	if ok.Offset != 10 || s.streams[1].at != 10 {
		t.Errorf("the viewer is told %d, the chain begins at %d", ok.Offset, s.streams[1].at)
	}
}

func TestEveryFlawNeedsItsParam(t *testing.T) {
	for _, id := range known() {
		f := &front{opts: &options{}, count: &counter{}}
		if made, err := flawOf(id, "1ms/1ms", f); err != nil && made != nil {
			t.Errorf("%s: both a flaw and %v", id, err)
		}
	}
	if _, err := flawOf("F01", "often", &front{opts: &options{}}); err == nil {
		t.Error("F01 took a word for a number")
	}
	if _, err := flawOf("F999", "", &front{opts: &options{}}); err == nil {
		t.Error("an unknown defect was taken")
	}
}

func TestOldTLSOffersWhatOldClientsNeed(t *testing.T) {
	f := &front{opts: &options{}}
	made, err := flawOf("F52t", "", f)
	if err != nil {
		t.Fatal(err)
	}
	config := &tls.Config{MinVersion: tls.VersionTLS12}
	made.tls(config)
	if config.MinVersion != tls.VersionTLS10 || !slices.Contains(config.CipherSuites, tls.TLS_ECDHE_ECDSA_WITH_AES_128_CBC_SHA) {
		t.Errorf("%+v", config)
	}
}

// A server answers a request that has a body when it has the body.
func TestABodyDoesNotWaitForTheAnswer(t *testing.T) {
	s, _ := bench(t, "none", "")
	viewer, bridge := net.Pipe()
	inner, server := net.Pipe()
	s.client, s.clientIn, s.bridge, s.bridgeIn = bridge, bufio.NewReader(bridge), inner, bufio.NewReader(inner)
	answer := bufio.NewReader(viewer)
	for _, c := range []net.Conn{viewer, server} {
		if err := c.SetDeadline(time.Now().Add(10 * time.Second)); err != nil {
			t.Fatal(err)
		}
	}
	var all sync.WaitGroup
	all.Go(s.relay)
	all.Go(func() {
		in := bufio.NewReader(server)
		if _, whole := readHead(in); !whole {
			t.Error("the request did not come")
		}
		body := make([]byte, 4)
		if _, err := io.ReadFull(in, body); err != nil {
			t.Errorf("the body did not come: %v", err)
		}
		_, _ = server.Write([]byte("HTTP/1.1 403 Forbidden\r\nContent-Length: 0\r\n\r\n"))
		_ = server.Close()
	})
	if _, err := viewer.Write([]byte("POST /publish HTTP/1.1\r\nContent-Length: 4\r\n\r\nbody")); err != nil {
		t.Error(err)
	}
	if head, whole := readHead(answer); !whole || !bytes.HasPrefix(head, []byte("HTTP/1.1 403")) {
		t.Errorf("answer %q", head)
	}
	_ = viewer.Close()
	_, _ = bridge.Close(), inner.Close()
	all.Wait()
}
