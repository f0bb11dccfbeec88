package bridge

import (
	"context"
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/eclipse/paho.golang/paho"
	"github.com/gorilla/websocket"
	dto "github.com/prometheus/client_model/go"

	"plumbline/bridge/config"
	"plumbline/bridge/internal/eventually"
	"plumbline/bridge/journal"
)

// TestEndWhileBusy: a hub that still fans out when the journal closes is no failure.
func TestEndWhileBusy(t *testing.T) {
	r := run(t, func(c *Config) { c.Journal.Sync, c.Drain.Spread = "memory", 0 })
	began, ended := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(ended)
		for i := 0; ; i++ {
			if _, _, err := r.b.journal.Append(context.Background(), journal.Message{Topic: "a", Payload: []byte("x")}); err != nil {
				return // the journal is closed
			}
			if i == 1000 {
				close(began)
			}
		}
	}()
	<-began
	r.drain()
	<-ended
}

// TestRetainedOutlivesLaterValues: what a subscriber gets at SUBSCRIBE is the retained message, also after a restart and when
// messages without the retain flag came after it.
func TestRetainedOutlivesLaterValues(t *testing.T) {
	dir := t.TempDir()
	r := runConfig(t, testConfig(dir))
	p := r.publisher("dev")
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	if _, err := p.Publish(ctx, &paho.Publish{Topic: "r", QoS: 1, Retain: true, Payload: []byte("kept")}); err != nil {
		t.Fatal(err)
	}
	r.publish(p, "r", "passing")
	r.drain()

	r = runConfig(t, testConfig(dir))
	got := make(chan string, 8)
	s := r.publisher("sub")
	s.AddOnPublishReceived(func(m paho.PublishReceived) (bool, error) { got <- string(m.Packet.Payload); return true, nil })
	if _, err := s.Subscribe(ctx, &paho.Subscribe{Subscriptions: []paho.SubscribeOptions{{Topic: "r"}}}); err != nil {
		t.Fatal(err)
	}
	select {
	case text := <-got:
		if text != "kept" {
			t.Errorf("retained %q, want kept", text)
		}
	case <-time.After(patience):
		t.Error("no retained message")
	}
}

// TestDrainEndsWithTheCloseFrame: a viewer with more to catch up than there is time for still learns why it is closed. Who does not
// get to the end of what is on its way within a second is cut without a word, so a drain in which a busy machine let the viewer read
// too slowly shows nothing.
func TestDrainEndsWithTheCloseFrame(t *testing.T) {
	for try := 1; ; try++ {
		slow, err := drainWhileBehind(t)
		if err == nil {
			return
		}
		if !slow || try == 20 {
			t.Fatalf("try %d: %v", try, err)
		}
	}
}

// drainWhileBehind drains a bridge while a viewer catches up, and tells whether that read more slowly than it was to.
func drainWhileBehind(t *testing.T) (slow bool, err error) {
	t.Helper()
	r := run(t, func(c *Config) { c.Drain.Spread = 0 })
	defer r.drain()
	p := r.publisher("dev")
	payload := make([]byte, 100_000)
	for range 400 {
		r.publish(p, "big", string(payload))
	}
	v := r.raw(t)
	if _, err := v.conn.Write(append(frame(0x81, `{"type":"hello","token":"`+r.token(nil)+`"}`),
		frame(0x81, `{"type":"sub","id":1,"filter":"#","since":{"epoch":"`+r.b.journal.Epoch()+`","offset":0}}`)...)); err != nil {
		t.Fatal(err)
	}
	eventually.Must(t, "the subscription", func() bool { return r.b.hub.Stats().Subscriptions == 1 })
	r.stop()
	const each = 5 * time.Millisecond // the stimulus is a slow reader: 20 MB a second at most, so that all takes 2 s
	pace := time.NewTicker(each)
	defer pace.Stop()
	for began, big := time.Now(), 0; ; {
		first, body, err := v.read()
		slow = time.Since(began) > 100*time.Millisecond+time.Duration(big)*each*3/2
		if err != nil {
			return slow, fmt.Errorf("the stream ended with %w before a close frame", err)
		}
		if first == 0x88 {
			if code := int(body[0])<<8 | int(body[1]); code != 1012 || big == 400 {
				return slow, fmt.Errorf("close %d after %d of 400 readings, want 1012 before the end", code, big)
			}
			return slow, nil
		}
		if len(body) > 10_000 {
			big++
			<-pace.C
		}
	}
}

// TestDrainBeforeHello: a session that opens while the bridge drains gets its welcome first, then the notice, then the close. The drain
// that the bridge is in lasts longer than any machine takes to say hello, and is hurried when all have been told of it.
func TestDrainBeforeHello(t *testing.T) {
	const spread = 10 * time.Minute
	r := run(t, func(c *Config) {
		c.Drain.Spread, c.Viewers.AuthTimeout = config.Duration(spread), config.Duration(patience)
	})
	var early []*viewer
	for range 5 {
		early = append(early, r.dial())
	}
	r.stop()
	eventually.Must(t, "the viewers to be drained", func() bool {
		var m dto.Metric
		return r.b.m.Drain.Write(&m) == nil && m.GetGauge().GetValue() == 1
	})
	// until reads what comes up to a kind of message, or to the end.
	until := func(v *viewer, kind string) (got []string, err error) {
		for {
			m, err := v.next()
			if err != nil {
				return got, err
			}
			if m.Type == "draining" && (m.RetryMS < 0 || m.RetryMS > spread.Milliseconds()) {
				t.Errorf("retry_ms %d", m.RetryMS)
			}
			if got = append(got, m.Type); m.Type == kind {
				return got, nil
			}
		}
	}
	var opened []*viewer
	for _, v := range early {
		v.send(map[string]any{"type": "hello", "token": r.token(nil), "compact": true})
		switch got, err := until(v, "draining"); {
		case websocket.IsCloseError(err, 1012) && len(got) == 0: // its moment was among the first: it was closed before its hello
		case err != nil || !slices.Equal(got, []string{"welcome", "draining"}):
			t.Errorf("%q came, and %v; want welcome and draining", got, err)
		default:
			opened = append(opened, v)
		}
	}
	if len(opened) == 0 {
		t.Error("none was opened while draining")
	}
	if err := r.b.wire.Drain(t.Context(), 0); err != nil {
		t.Errorf("the drain ended with %v", err)
	}
	for _, v := range opened {
		if got, err := until(v, ""); !websocket.IsCloseError(err, 1012) {
			t.Errorf("then %q came, and it ended with %v; want 1012", got, err)
		}
	}
}

// TestEndWithoutCloseFrame: a viewer that ends its stream without a close frame gets none with 1006, which may not stand in one
// (RFC 6455 section 7.4.1); its session counts as lost.
func TestEndWithoutCloseFrame(t *testing.T) {
	for name, plain := range map[string]bool{"tls": false, "plain": true} {
		t.Run(name, func(t *testing.T) {
			r := run(t, func(c *Config) { c.Viewers.Plaintext = plain })
			v := r.raw(t)
			if _, err := v.conn.Write(frame(0x81, `{"type":"hello","token":"`+r.token(nil)+`"}`)); err != nil {
				t.Fatal(err)
			}
			if err := v.conn.(interface{ CloseWrite() error }).CloseWrite(); err != nil {
				t.Fatal(err)
			}
			for {
				first, body, err := v.read()
				if err != nil {
					break
				}
				if first == 0x88 {
					t.Errorf("close frame %x", body)
				}
			}
			eventually.Must(t, "the session to be counted as lost", func() bool { return r.closedCount("0") == 1 })
		})
	}
}
