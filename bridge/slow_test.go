package bridge

import (
	"fmt"
	"net"
	"strings"
	"testing"
	"time"

	"plumbline/bridge/config"
	"plumbline/bridge/internal/eventually"
)

// TestSlowViewerIsNotSilent: one that reads slowly and answers each ping when it gets to it is alive, however much stands
// before the ping; it gets everything, and is not cut for silence.
func TestSlowViewerIsNotSilent(t *testing.T) {
	t.Parallel()
	for name, plain := range map[string]bool{"tls": false, "plain": true} { // they are written to in different ways
		t.Run(name, func(t *testing.T) { t.Parallel(); slowViewerIsNotSilent(t, plain) }) // they only wait
	}
}

func slowViewerIsNotSilent(t *testing.T, plain bool) {
	t.Helper()
	r := run(t, func(c *Config) {
		c.Viewers.Plaintext = plain
		c.Viewers.Heartbeat = config.Duration(4 * time.Second) // the stimulus takes four of them; half of one must hold what a busy machine takes away
		c.Viewers.WriteTimeout = config.Duration(20 * time.Second)
	})
	p := r.publisher("dev")
	payload := string(make([]byte, 100_000))
	const messages = 80
	for range messages {
		r.publish(p, "big", payload)
	}
	v := r.raw(t)
	_ = v.conn.SetDeadline(time.Now().Add(4 * patience))
	if _, err := v.conn.Write(append(frame(0x81, `{"type":"hello","token":"`+r.token(nil)+`"}`),
		frame(0x81, `{"type":"sub","id":1,"filter":"#","since":{"epoch":"`+r.b.journal.Epoch()+`","offset":0}}`)...)); err != nil {
		t.Fatal(err)
	}
	eventually.Must(t, "the subscription", func() bool { return r.b.hub.Stats().Subscriptions == 1 })
	pace := time.NewTicker(200 * time.Millisecond) // the stimulus is a slow reader: some 3 MB a second of zeros as JSON
	defer pace.Stop()
	got := 0
	for got < messages {
		first, body, err := v.read()
		if err != nil {
			t.Fatalf("the stream ended with %v after %d of %d readings", err, got, messages)
		}
		switch {
		case first == 0x89:
			if _, err := v.conn.Write(frame(0x8A, string(body))); err != nil {
				t.Fatal(err)
			}
		case len(body) > 100_000:
			got++
			<-pace.C
		}
	}
}

// TestPlainViewersShareWriters: viewers without TLS are written to by a few goroutines for all. One that leaves, one that is closed and
// one that reads nothing must not take the others' writer with them.
func TestPlainViewersShareWriters(t *testing.T) {
	r := run(t, func(c *Config) {
		c.Viewers.Plaintext = true
		c.Viewers.WriteTimeout = config.Duration(4 * time.Second) // those who read must make it on a busy machine
	})
	p := r.publisher("dev")
	const rounds = 8 // more of each than there are writers
	stay := r.open(nil)
	cursor := stay.sub(1, "#", nil).Offset
	payload := strings.Repeat("x", 120_000) // plain text: escaping takes the race detector seconds
	for n := range rounds {
		_ = stay.ws.SetReadDeadline(time.Now().Add(patience)) // for a round, however long they all take on a busy machine
		misuses, stalls := r.open(nil), r.raw(t)
		var leave [8]*viewer
		for i := range leave {
			leave[i] = r.open(nil)
			leave[i].sub(1, "#", nil)
		}
		misuses.sub(1, "#", nil)
		misuses.send(map[string]any{"type": "nonsense"})
		misuses.wantClose(4005, "unknown type")
		if _, err := stalls.conn.Write(append(frame(0x81, `{"type":"hello","token":"`+r.token(nil)+`"}`), frame(0x81, `{"type":"sub","id":1,"filter":"#"}`)...)); err != nil {
			t.Fatal(err)
		}
		for i := range 40 {
			r.publish(p, "big", payload)
			if i < len(leave) { // by a reset, which the write that is under way sees first, or the reader
				_ = leave[i].ws.NetConn().(*net.TCPConn).SetLinger(0)
				_ = leave[i].ws.Close()
			}
			_ = stay.ws.SetReadDeadline(time.Now().Add(patience))
			var got []reading // at once: on a busy machine who reads later counts as slow
			if got, cursor = stay.collect(1, cursor); len(got) != 1 {
				t.Fatalf("round %d: %d readings", n, len(got))
			}
		}
	}
	eventually.Must(t, fmt.Sprintf("%d stalled viewers to be closed as too slow", rounds), func() bool { return r.closedCount("4100") == rounds })
}

// TestPlainViewerOutlivesWriteTimeout: the time limit is for one write, not for the connection.
func TestPlainViewerOutlivesWriteTimeout(t *testing.T) {
	t.Parallel()
	const timeout = 2 * time.Second // for one write on a busy machine
	r := run(t, func(c *Config) {
		c.Viewers.Plaintext = true
		c.Viewers.WriteTimeout = config.Duration(timeout)
	})
	p := r.publisher("dev")
	v := r.open(nil)
	cursor := v.sub(1, "#", nil).Offset
	for range 2 {
		<-time.After(timeout + timeout/4) // the stimulus: no write for longer than one may take
		r.publish(p, "a", "x")
		_, cursor = v.collect(1, cursor)
	}
}
