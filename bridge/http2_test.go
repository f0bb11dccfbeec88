package bridge

import (
	"context"
	"crypto/tls"
	"encoding/binary"
	"io"
	"net/http"
	"slices"
	"testing"
	"time"

	"plumbline/bridge/config"
	"plumbline/bridge/internal/eventually"
)

// bothWays runs a test over HTTP/1.1 and over HTTP/2.
func bothWays(t *testing.T, test func(t *testing.T, way func(*Config))) {
	t.Helper()
	t.Run("HTTP/1.1", func(t *testing.T) { test(t, func(c *Config) { c.Viewers.HTTP2 = false }) })
	t.Run("HTTP/2", func(t *testing.T) { test(t, overHTTP2) })
}

func overHTTP2(c *Config) { c.Viewers.HTTP2 = true }

// negotiated says what a client gets that would take either.
func (r *running) negotiated() string {
	r.t.Helper()
	ctx, cancel := context.WithTimeout(r.t.Context(), patience)
	defer cancel()
	conf := r.tls()
	conf.NextProtos = []string{"h2", "http/1.1"}
	conn, err := (&tls.Dialer{Config: conf}).DialContext(ctx, "tcp", r.b.Addresses().Viewers)
	if err != nil {
		r.t.Fatal(err)
	}
	defer func() { _ = conn.Close() }()
	return conn.(*tls.Conn).ConnectionState().NegotiatedProtocol
}

// TestHTTP2IsForThoseWhoChooseIt: not unless it is set; and where it is, WebSockets go on as they were.
func TestHTTP2IsForThoseWhoChooseIt(t *testing.T) {
	if got := run(t, nil).negotiated(); got != "http/1.1" {
		t.Errorf("unasked the bridge chose %q", got)
	}
	r := run(t, overHTTP2)
	if got := r.negotiated(); got != "h2" {
		t.Fatalf("the bridge chose %q", got)
	}
	f := r.follower(nil)
	e := f.events(filter("#"))
	ok := e.want("subok")
	resp := f.get("/poll", filter("#"))
	_ = resp.Body.Close()
	if e.resp.ProtoMajor != 2 || resp.ProtoMajor != 2 {
		t.Errorf("events came over %s, the answer over %s", e.resp.Proto, resp.Proto)
	}
	eventually.Must(t, "one connection for both, and none for who only asked", func() bool { return r.connections() == 1 })
	v := r.open(nil)
	v.send(map[string]any{"type": "sub", "id": 1, "filter": "#"})
	v.want("subok")
	r.publish(r.publisher("dev"), "a", "1")
	if got, _ := e.collect(1, ok.Epoch, ok.Offset); got[0].Payload != "1" {
		t.Errorf("over HTTP/2 came %+v", got)
	}
	v.want("batch")
	resp = f.get(r.cfg.Viewers.Path, nil)
	if _ = resp.Body.Close(); resp.ProtoMajor != 2 || resp.StatusCode != http.StatusBadRequest {
		t.Errorf("a WebSocket over HTTP/2 is answered with %s over %s", resp.Status, resp.Proto)
	}
}

// connections is how many connections of viewers the listener serves over HTTP.
func (r *running) connections() int {
	r.b.crowd.mu.Lock()
	defer r.b.crowd.mu.Unlock()
	return r.b.crowd.all
}

// TestHTTP2BoundsStreams: the bridge's settings say how many requests may be under way over a connection (RFC 9113 sections 3.4 and 6.5).
func TestHTTP2BoundsStreams(t *testing.T) {
	t.Parallel()
	r := run(t, overHTTP2)
	ctx, cancel := context.WithTimeout(r.t.Context(), patience)
	defer cancel()
	conf := r.tls()
	conf.NextProtos = []string{"h2"}
	conn, err := (&tls.Dialer{Config: conf}).DialContext(ctx, "tcp", r.b.Addresses().Viewers)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = conn.Close() }()
	_ = conn.SetDeadline(time.Now().Add(patience))
	if _, err := io.WriteString(conn, "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\x00\x00\x00\x04\x00\x00\x00\x00\x00"); err != nil { // and empty settings
		t.Fatal(err)
	}
	head := make([]byte, 9) // of the first frame: length, type, flags, stream
	if _, err := io.ReadFull(conn, head); err != nil || head[3] != 4 {
		t.Fatalf("the first frame is %x (%v), not settings", head, err)
	}
	settings := make([]byte, int(head[0])<<16|int(head[1])<<8|int(head[2]))
	if _, err := io.ReadFull(conn, settings); err != nil {
		t.Fatal(err)
	}
	const maxConcurrentStreams = 3
	for one := range slices.Chunk(settings, 6) {
		if binary.BigEndian.Uint16(one) == maxConcurrentStreams {
			if n := binary.BigEndian.Uint32(one[2:]); n != http2Streams {
				t.Errorf("%d requests may be under way over one connection, not %d", n, http2Streams)
			}
			return
		}
	}
	t.Errorf("nothing bounds the requests of one connection: %x", settings)
}

// TestHTTP2LeavesQuietRequestsAlone: deadlines of HTTP/2 end a stream on which nothing is written, those of HTTP/1.1 only a write.
func TestHTTP2LeavesQuietRequestsAlone(t *testing.T) {
	t.Parallel()
	r := runShort(t, func(c *Config) {
		overHTTP2(c)
		c.Viewers.Heartbeat, c.Viewers.WriteTimeout = config.Duration(6*time.Second), config.Duration(3*time.Second)
	})
	f := r.follower(nil)
	e := f.events(filter("#"))
	ok := e.want("subok")
	answer := f.polling(filter("#", "since", at(ok.Epoch, ok.Offset), "wait", "5s"))
	for { // beyond the three seconds of a write and the four of the listener
		ev, more := e.next()
		if !more {
			t.Fatal("the quiet stream was ended")
		}
		if ev.comment == "heartbeat" {
			break
		}
	}
	if a := answer(); !a.Recovered || len(a.Readings) != 0 {
		t.Errorf("the poll that waited got %+v", a)
	}
}
