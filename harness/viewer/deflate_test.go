package viewer

import (
	"bufio"
	"bytes"
	"compress/flate"
	"fmt"
	"net"
	"slices"
	"strings"
	"testing"

	"plumbline/harness/record"
)

const deflateAgreed = "Sec-WebSocket-Extensions: permessage-deflate; client_no_context_takeover\r\n"

// deflater compresses messages as a server does that refers to earlier ones.
type deflater struct {
	w   *flate.Writer
	out bytes.Buffer
}

func newDeflater(t *testing.T) *deflater {
	t.Helper()
	d := &deflater{}
	var err error
	d.w, err = flate.NewWriter(&d.out, flate.BestCompression)
	must(t, err)
	return d
}

func (d *deflater) squeeze(text string) []byte {
	d.out.Reset()
	_, _ = d.w.Write([]byte(text)) // into memory
	_ = d.w.Flush()
	return bytes.Clone(bytes.TrimSuffix(d.out.Bytes(), []byte("\x00\x00\xff\xff")))
}

// first frames a payload with that first byte.
func first(b byte, payload []byte) []byte {
	frame := UnmaskedFrame(OpText, payload)
	frame[0] = b
	return frame
}

const (
	welcomed1  = `{"type":"welcome","session":"s","protocol":1,"epoch":"e1","heartbeat_ms":1000}`
	confirmed1 = `{"type":"subok","id":1,"filter":"a/#","epoch":"e1","offset":0,"recovered":false,"reason":"no-cursor"}`
)

func squeezedConfig(r *recording, url string) Config {
	return Config{Name: "v", URL: url, Filters: []string{"a/#"}, Recorder: r.Recorder, Reconnect: Backoff{Off: true}, Compress: true}
}

// Messages refer to earlier ones, beyond the first window; some come in pieces
// with a ping in between, some uncompressed.
func TestCompressedMessagesAreReadAsTheyWereSent(t *testing.T) {
	const n = 100
	payload := func(i int) string {
		return fmt.Sprintf("%04d %s", i, strings.Repeat(fmt.Sprintf("value %d;", i%7), 90))
	}
	pongs := make(chan byte, n)
	r := newRecording(t)
	url := bareServer(t, deflateAgreed, func(conn net.Conn, in *bufio.Reader) {
		d := newDeflater(t)
		_, _ = conn.Write(serverFrame(welcomed1))
		_, _ = conn.Write(first(0xc1, d.squeeze(confirmed1)))
		for i := range n {
			message := fmt.Sprintf(`{"type":"batch","id":1,"epoch":"e1","from":%d,"to":%d,"readings":[{"o":%d,"t":1,"topic":"a/x","qos":1,"payload":%q}]}`, i, i+1, i+1, payload(i))
			small := d.squeeze(message)
			switch i % 3 {
			case 0:
				_, _ = conn.Write(first(0xc1, small))
			case 1:
				half := len(small) / 2
				_, _ = conn.Write(slices.Concat(first(0x41, small[:half]), first(0x89, []byte("?")), first(0x80, small[half:])))
			default: // not compressed: no part of what later ones refer to
				_, _ = conn.Write(serverFrame(strings.ReplaceAll(message, "value", "plain")))
				d = newDeflater(t) // a server may begin anew
			}
		}
		for {
			b, err := in.ReadByte()
			if err != nil {
				return
			}
			if b == 0x8a {
				pongs <- b
			}
		}
	})
	v := open(t, squeezedConfig(r, url))
	must(t, v.WaitReceived(limit(t), n))
	for range n / 3 {
		select {
		case <-pongs:
		case <-limit(t).Done():
			t.Fatal("waited for the answer to a ping between two pieces")
		}
	}
	must(t, v.Close())
	if c := v.Counters(); c.Malformed != 0 || c.Broken != 0 || c.Squeezed != 1+67 {
		t.Errorf("counters are %+v", c)
	}
	for i, rec := range r.log().Records {
		want := payload(i)
		if i%3 == 2 {
			want = strings.ReplaceAll(want, "value", "plain")
		}
		if rec.Digest != record.Digest([]byte(want)) {
			t.Errorf("message %d is not what was sent", i)
		}
	}
}

// What does not inflate, or inflates without end, is told and ends the session;
// memory stays bounded.
func TestCompressedMessagesThatAreNone(t *testing.T) {
	bomb := newDeflater(t).squeeze(strings.Repeat("0", frameLimit+1))
	for name, message := range map[string][]byte{
		"noise": first(0xc1, []byte{0xff, 0xfe, 0xfd}), "bomb": first(0xc1, bomb), "nothing": first(0xc1, nil),
	} {
		t.Run(name, func(t *testing.T) {
			r := newRecording(t)
			v := open(t, squeezedConfig(r, bareServer(t, deflateAgreed, func(conn net.Conn, _ *bufio.Reader) {
				_, _ = conn.Write(slices.Concat(serverFrame(welcomed1), serverFrame(confirmed1), message))
				_, _ = conn.Read(make([]byte, 1<<10))
				_, _ = conn.Read(make([]byte, 1<<10))
				_, _ = conn.Read(make([]byte, 1<<10))
			})))
			until(t, "the end of the session", func() bool { return v.Counters().Disconnects == 1 })
			must(t, v.Close())
			if c := v.Counters(); c.Malformed != 1 || c.Squeezed != 1 {
				t.Errorf("counters are %+v", c)
			}
		})
	}
}

func TestOnlyTheCompressionThatWasOfferedIsTaken(t *testing.T) {
	for extension, taken := range map[string]bool{
		"permessage-deflate": true, "permessage-deflate; server_max_window_bits=10; server_no_context_takeover": true, "": true,
		"permessage-deflate; client_max_window_bits=10": false, "permessage-deflate; server_max_window_bits=7": false,
		"permessage-deflate; server_no_context_takeover; server_no_context_takeover": false, "x-other": false, "permessage-deflate, x-other": false,
	} {
		header := ""
		if extension != "" {
			header = "Sec-WebSocket-Extensions: " + extension + "\r\n"
		}
		r := newRecording(t)
		v, err := Open(limit(t), squeezedConfig(r, bareServer(t, header, func(conn net.Conn, _ *bufio.Reader) {
			_, _ = conn.Write(slices.Concat(serverFrame(welcomed1), serverFrame(confirmed1)))
			_, _ = conn.Read(make([]byte, 1<<10))
			_, _ = conn.Read(make([]byte, 1<<10))
			_, _ = conn.Read(make([]byte, 1<<10))
		})))
		if taken != (err == nil) || (err != nil && !strings.Contains(err.Error(), "extension")) {
			t.Errorf("%q: %v", extension, err)
		}
		if err == nil {
			must(t, v.Close())
		}
	}
}
