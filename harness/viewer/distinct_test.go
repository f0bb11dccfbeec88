package viewer

import (
	"errors"
	"fmt"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/gorilla/websocket"

	"plumbline/harness/mqttwire"
	"plumbline/harness/record"
)

// What comes again, and what belongs to no device of the recording, is received and
// counts for nobody who waits for different messages.
func TestWhatComesAgainIsNoOtherMessage(t *testing.T) {
	s, r := newServer(t), newRecording(t)
	cfg := s.config(r)
	cfg.Resolve = func(topic string, payload []byte) (uint32, uint64, uint8) {
		if topic == "a/stranger" {
			return record.NoStream, 0, 0
		}
		return 7, uint64(len(payload)), 0
	}
	v := open(t, cfg)
	s.publish(entry{"a/temp", "1", false}, entry{"a/temp", "1", false}, entry{"a/stranger", "1", false}, entry{"a/temp", "1", false})
	must(t, v.WaitReceived(limit(t), 4))
	if c := v.Counters(); c.Distinct() != 1 || c.Again != 3 {
		t.Errorf("counters are %+v", c)
	}
	s.publish(entry{"a/temp", "22", false})
	must(t, v.WaitDistinct(limit(t), 2))
	if c := v.Counters(); c.Received != 5 || c.Distinct() != 2 {
		t.Errorf("counters are %+v", c)
	}
	if c := (Counters{Received: 1, Again: 2}); c.Distinct() != 0 {
		t.Error("a batch that broke off counts for more than came")
	}
}

// A probe that keeps nothing takes as much as comes, each message within its bound.
func TestProbeForgets(t *testing.T) {
	s := newServer(t)
	said := 0
	s.script = func(c *websocket.Conn, _ map[string]any) bool {
		for range 100 {
			_ = c.WriteMessage(websocket.TextMessage, []byte(strings.Repeat("x", 1000)))
			_ = c.WriteControl(websocket.PingMessage, []byte("ping"), time.Now().Add(patience))
		}
		hangUp(c, 4002, "enough")
		for { // what is not read when a connection ends takes what was sent with it
			if _, _, err := c.ReadMessage(); err != nil {
				return true
			}
		}
	}
	spec := ProbeSpec{
		URL: s.url(), TLS: s.tls(), Wait: patience, MaxBytes: 1500, Forget: true, Steps: []Step{{Text: []byte(`{}`)}},
		Until: func([]byte) bool { said++; return false },
	}
	if r := Probe(limit(t), spec); r.CloseCode != 4002 || r.Err != nil || len(r.Frames) != 0 || said != 100 {
		t.Errorf("%d messages, result %+v", said, r)
	}
	spec.MaxBytes = 999
	if r := Probe(limit(t), spec); r.Err == nil || r.CloseCode != 0 {
		t.Errorf("a message beyond the bound: %+v", r)
	}
}

// Only what the server did ends a session by the server.
func TestGaveUp(t *testing.T) {
	for _, c := range []struct {
		err error
		own bool
	}{
		{nil, false}, {&RefusedError{Code: 4002}, false}, {errors.New("the server ended the event stream"), false},
		{fmt.Errorf("%w: 7 came", ErrFlood), true}, {mqttwire.Malformed("in a text frame"), true}, {&unusable{"no JSON"}, true},
		{fmt.Errorf("read: %w", os.ErrDeadlineExceeded), true}, {fmt.Errorf("%w: a line", errStream), true}, {websocket.ErrReadLimit, true},
	} {
		if got := GaveUp(c.err); got != c.own {
			t.Errorf("%v: %v", c.err, got)
		}
	}
}
