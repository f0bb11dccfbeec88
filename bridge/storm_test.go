package bridge

import (
	"crypto/tls"
	"fmt"
	"net"
	"net/http"
	"runtime"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/gorilla/websocket"

	"plumbline/bridge/config"
	"plumbline/bridge/internal/eventually"
)

// TestN71SubjectLimit: one more session of a subject is closed with 1013, other subjects come in, and a place that becomes free
// is given again.
func TestN71SubjectLimit(t *testing.T) {
	r := run(t, func(c *Config) { c.Viewers.MaxPerSubject = 2 })
	first, second := r.open(nil), r.open(nil)
	third := r.dial()
	third.send(map[string]any{"type": "hello", "token": r.token(nil)})
	third.wantClose(1013, "retry_ms")
	r.open(map[string]any{"sub": "ben"})
	second.sub(1, "a", nil)
	_ = first.ws.Close()
	eventually.Must(t, "the place of the closed session", func() bool {
		v := r.dial()
		v.send(map[string]any{"type": "hello", "token": r.token(nil)})
		m, err := v.next()
		return err == nil && m.Type == "welcome"
	})
}

// TestN71HandshakeRate: handshakes beyond the rate are refused with a wait that spreads the return, and those that are there
// are unharmed.
func TestN71HandshakeRate(t *testing.T) {
	r := run(t, func(c *Config) { c.Viewers.HandshakeRate = 1 })
	good := r.open(nil) // one of the burst of two
	waits := map[int]bool{}
	refused := 0
	for range 40 {
		resp := r.handshake("https://"+r.b.Addresses().Viewers+"/ws", upgrade())
		if resp.StatusCode == http.StatusSwitchingProtocols {
			continue
		}
		refused++
		wait, err := strconv.Atoi(resp.Header.Get("Retry-After"))
		if resp.StatusCode != 503 || err != nil || wait < 1 || wait > 42 {
			t.Fatalf("%d, Retry-After %q", resp.StatusCode, resp.Header.Get("Retry-After"))
		}
		waits[wait] = true
	}
	if refused < 10 || len(waits) < 3 {
		t.Errorf("%d refused, told to wait %v", refused, waits)
	}
	good.sub(1, "a", nil)
}

// TestN72Silence: connections that say nothing, before TLS, after it, and after the handshake, are all ended.
func TestN72Silence(t *testing.T) {
	r := run(t, func(c *Config) {
		c.Viewers.AuthTimeout = config.Duration(3 * time.Second) // the good one must make it
		c.Viewers.Heartbeat = config.Duration(time.Minute)       // the good one does not read meanwhile
	})
	host := r.b.Addresses().Viewers
	good := r.open(nil)
	const each = 100
	before := runtime.NumGoroutine()
	var conns []net.Conn
	for range each {
		tcp, err := net.Dial("tcp", host)
		if err != nil {
			t.Fatal(err)
		}
		shaken, err := tls.Dial("tcp", host, r.tls())
		if err != nil {
			t.Fatal(err)
		}
		conns = append(conns, tcp, shaken)
		r.dial()
	}
	eventually.Must(t, "the sessions without hello to end", func() bool { return r.b.wire.Sessions() == 1 })
	for _, c := range conns { // the limit of the handshake is 5 s
		_ = c.SetReadDeadline(time.Now().Add(patience))
		if _, err := c.Read(make([]byte, 1)); err == nil || strings.Contains(err.Error(), "timeout") {
			t.Fatalf("a silent connection is still open: %v", err)
		}
		_ = c.Close()
	}
	eventually.Must(t, "their goroutines to end", func() bool { return runtime.NumGoroutine() <= before+10 })
	good.sub(1, "a", nil)
}

// TestN75ManyStalledReaders: what stalled viewers cost is bounded by bytes, not by their number times what they miss.
func TestN75ManyStalledReaders(t *testing.T) {
	r := run(t, func(c *Config) {
		c.Viewers.WriteTimeout = config.Duration(20 * time.Second) // they stay for the whole of the test
		c.Viewers.Heartbeat = config.Duration(time.Minute)
		c.Journal.TailBytes = 1 << 20
	})
	const stalled, messages, size = 150, 150, 50_000
	hello := frame(0x81, `{"type":"hello","token":"`+r.token(nil)+`"}`)
	for i := range stalled {
		mode := []string{"all", "latest"}[i%2]
		v := r.raw(t)
		if _, err := v.conn.Write(append(hello, frame(0x81, `{"type":"sub","id":1,"filter":"#","mode":"`+mode+`"}`)...)); err != nil {
			t.Fatal(err)
		}
	}
	eventually.Must(t, "all subscriptions", func() bool { return r.b.hub.Stats().Subscriptions == stalled })
	var before, after runtime.MemStats
	runtime.GC()
	runtime.ReadMemStats(&before)
	p := r.publisher("dev")
	payload := strings.Repeat("x", size)
	for i := range messages {
		r.publish(p, fmt.Sprintf("big/%d", i%4), payload)
	}
	runtime.GC()
	runtime.ReadMemStats(&after)
	// One write of some 64 KiB or one reading each, and TLS's record; the rest is shared.
	if grown, most := int64(after.HeapInuse)-int64(before.HeapInuse), int64(stalled*(256<<10)+32<<20); grown > most {
		t.Errorf("the heap grew by %d MiB, more than %d", grown>>20, most>>20)
	}
	good := r.open(nil)
	ok := good.sub(1, "live", nil)
	r.publish(p, "live", "x")
	good.collect(1, ok.Offset)
}

// patient gives viewers on a busy machine the time they need.
func patient(c *Config) {
	c.Viewers.WriteTimeout, c.Viewers.Heartbeat, c.Viewers.AuthTimeout = config.Duration(time.Minute), config.Duration(time.Minute), config.Duration(time.Minute)
}

// TestN77SnapshotStorm: many viewers that ask for all of many topics get them in parts, and live delivery goes on.
func TestN77SnapshotStorm(t *testing.T) {
	r := run(t, patient)
	p := r.publisher("dev")
	const topics, viewers = 2000, 30
	for i := range topics {
		r.publish(p, fmt.Sprintf("s/%d", i), "some value that fills the parts a little")
	}
	live := r.open(nil)
	_ = live.ws.SetReadDeadline(time.Now().Add(4 * patience))
	ok := live.sub(1, "live", nil)
	var wg sync.WaitGroup
	for range viewers {
		v := r.open(nil)
		_ = v.ws.SetReadDeadline(time.Now().Add(4 * patience))
		wg.Go(func() {
			v.send(map[string]any{"type": "sub", "id": 1, "filter": "s/#", "snapshot": true})
			got, parts := 0, 0
			for got < topics {
				m, err := v.next()
				if err != nil {
					t.Errorf("after %d topics: %v", got, err)
					return
				}
				if m.Type == "snapshot" {
					got += len(m.Readings)
					parts++
				}
			}
			if parts < 5 {
				t.Errorf("%d topics in %d parts", got, parts)
			}
		})
	}
	for i := range 20 {
		r.publish(p, "live", fmt.Sprint(i))
	}
	live.collect(20, ok.Offset)
	wg.Wait()
}

// TestN78ResumeStorm: all come back at once with the oldest cursor; each gets everything, once, and live delivery goes on.
func TestN78ResumeStorm(t *testing.T) {
	r := run(t, patient)
	p := r.publisher("dev")
	const entries, viewers = 1500, 30
	for i := range entries {
		r.publish(p, fmt.Sprintf("s/%d", i%10), fmt.Sprint(i))
	}
	live := r.open(nil)
	_ = live.ws.SetReadDeadline(time.Now().Add(4 * patience))
	ok := live.sub(1, "live", nil)
	var wg sync.WaitGroup
	for i := range viewers {
		v := r.open(nil)
		_ = v.ws.SetReadDeadline(time.Now().Add(4 * patience))
		wg.Go(func() {
			mode := []string{"all", "latest"}[i%2]
			v.send(map[string]any{"type": "sub", "id": 1, "filter": "s/#", "mode": mode, "since": map[string]any{"epoch": ok.Epoch, "offset": 0}})
			got, cursor := 0, uint64(0)
			for cursor < entries {
				m, err := v.next()
				if err != nil {
					t.Errorf("at %d: %v", cursor, err)
					return
				}
				if m.Type != "batch" {
					continue
				}
				if m.From != cursor {
					t.Errorf("batch from %d at %d", m.From, cursor)
				}
				cursor = m.To
				got += len(m.Readings)
			}
			if mode == "all" && got != entries || mode == "latest" && got < 10 {
				t.Errorf("%s: %d readings", mode, got)
			}
		})
	}
	for i := range 20 {
		r.publish(p, "live", fmt.Sprint(i))
	}
	live.collect(20, ok.Offset)
	wg.Wait()
}

// TestN79ReconnectLoop: a client that comes back at once after each close for its own fault is turned away at last, and told
// how long; others of another name are not.
func TestN79ReconnectLoop(t *testing.T) {
	r := run(t, nil)
	begin := time.Now()
	for i := 0; ; i++ {
		v := r.dial()
		v.send(map[string]any{"type": "hello", "token": r.token(nil)})
		v.sendText(`{"type":"nonsense"}`)
		var err error
		for err == nil {
			_, err = v.next()
		}
		_ = v.ws.Close()
		if websocket.IsCloseError(err, 4102) && strings.Contains(err.Error(), "retry_ms") {
			if i < 90 {
				t.Errorf("turned away after %d faults", i)
			}
			break
		}
		if !websocket.IsCloseError(err, 4005) {
			t.Fatal(err)
		}
		if limit := 120 + int(2*time.Since(begin).Seconds()); i > limit {
			t.Fatalf("still let in after %d faults", i)
		}
	}
	r.open(map[string]any{"sub": "ben"})
}

// TestN80MessageFlood: a viewer that sends more than the rate is closed with 4101.
func TestN80MessageFlood(t *testing.T) {
	r := run(t, nil)
	v := r.raw(t)
	ping := frame(0x81, `{"type":"ping","id":"x"}`)
	flood := append(frame(0x81, `{"type":"hello","token":"`+r.token(nil)+`"}`), []byte(strings.Repeat(string(ping), 3000))...)
	go func() { _, _ = v.conn.Write(flood) }() // it ends with the connection
	v.wantClose(4101)
}

// TestUnreadAnswersAreLimited: a viewer that asks and asks and reads no answer is closed before the answers fill the memory.
func TestUnreadAnswersAreLimited(t *testing.T) {
	for name, plain := range map[string]bool{"tls": false, "plain": true} {
		t.Run(name, func(t *testing.T) {
			r := run(t, func(c *Config) { patient(c); c.Viewers.Plaintext = plain })
			v := r.raw(t)
			if _, err := v.conn.Write(frame(0x81, `{"type":"hello","token":"`+r.token(nil)+`"}`)); err != nil {
				t.Fatal(err)
			}
			for id := range 100 { // each answer repeats its filter: 6 MB in all
				if _, err := v.conn.Write(frame(0x81, fmt.Sprintf(`{"type":"sub","id":%d,"filter":"%s"}`, id, strings.Repeat("t", 60_000)))); err != nil {
					break // closed already
				}
			}
			eventually.Must(t, "the viewer to be closed for its answers", func() bool { return r.closedCount("4006") == 1 })
		})
	}
}
