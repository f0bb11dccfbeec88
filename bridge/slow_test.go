package bridge

import (
	"testing"
	"time"

	"plumbline/bridge/config"
	"plumbline/bridge/internal/eventually"
)

// TestSlowViewerIsNotSilent: one that reads slowly and answers each ping when it gets to it is alive, however much stands
// before the ping; it gets everything, and is not cut for silence.
func TestSlowViewerIsNotSilent(t *testing.T) {
	r := run(t, func(c *Config) {
		c.Viewers.Heartbeat = config.Duration(time.Second)
		c.Viewers.WriteTimeout = config.Duration(10 * time.Second)
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
	pace := time.NewTicker(100 * time.Millisecond) // the stimulus is a slow reader: some 6 MB a second of zeros as JSON
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
