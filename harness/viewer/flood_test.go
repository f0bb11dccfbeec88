package viewer

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/gorilla/websocket"

	"plumbline/harness/record"
)

// TestNamesOfTopicsAreBounded: a server may make up as many topics as it likes
// and of any length; what a viewer keeps of them is bounded, and what it writes
// down of each. Every reading is recorded.
func TestNamesOfTopicsAreBounded(t *testing.T) {
	r := newRecording(t)
	v, s := offline(r)
	long := strings.Repeat("x", 1<<20)
	for i := range 40 {
		reading := fmt.Sprintf(`{"o":%d,"topic":"b/%d/%s","payload":"p"}`, 11+i, i, long)
		must(t, v.handle(s, 1, websocket.TextMessage, []byte(batchJSON(1, "e1", 10+i, 11+i, reading))))
	}
	kept := 0
	for name := range v.subs[0].topics {
		kept += len(name) + topicCost
	}
	if kept > topicBytes || kept < topicBytes/2 {
		t.Errorf("names of %d bytes are kept", kept)
	}
	log := r.log()
	if len(log.Records) != 40 {
		t.Errorf("%d readings were recorded", len(log.Records))
	}
	for _, e := range events(log, record.Note) {
		if n := len(fmt.Sprint(e)); n > 4*textLimit {
			t.Fatalf("an event has %d bytes", n)
		}
	}
}

// TestFloodsOfEvents: what a server says beside readings is bounded too.
func TestFloodsOfEvents(t *testing.T) {
	const most = 1000
	for name, frame := range map[string]func(i int) string{
		"gaps":       func(int) string { return `{"type":"gap","id":1,"from":0,"to":15,"count":15,"reason":"evicted"}` },
		"heartbeats": func(i int) string { return heartbeatJSON(20+i, 3, 4) },
		"expiry":     func(int) string { return `{"type":"auth-expiring","expires":"now"}` },
		"epochs":     func(i int) string { return batchJSON(1, fmt.Sprint("e", i), 10, 12, "") },
	} {
		t.Run(name, func(t *testing.T) {
			r := newRecording(t)
			v, s := offline(r)
			v.cfg.eventLimit = most
			var err error
			for i := 0; i < 2*most && err == nil; i++ {
				err = v.handle(s, 1, websocket.TextMessage, []byte(frame(i)))
			}
			if !errors.Is(err, ErrFlood) {
				t.Errorf("it was all taken: %v, %+v", err, v.Counters())
			}
			if n := len(r.log().Events); n > most {
				t.Errorf("%d events were kept", n)
			}
		})
	}
}

// TestEpochsAreBounded: the recording keeps the name of each, and no more of
// them than a server can have.
func TestEpochsAreBounded(t *testing.T) {
	r := newRecording(t)
	v, _ := offline(r)
	for i := range 2 * epochLimit {
		if err := v.enterEpoch(fmt.Sprint("epoch ", i)); (err == nil) != (i+1 < epochLimit) || (err != nil && !errors.Is(v.flood, ErrFlood)) { // subok told the first
			t.Fatalf("epoch %d: %v", i, err)
		}
	}
	if v.enterEpoch("e1") != nil || v.enterEpoch(strings.Repeat("e", epochBytes+1)) == nil {
		t.Error("a known epoch was refused, or one with a name beyond measure taken")
	}
	if n := len(r.log().Index.Epochs); n != epochLimit {
		t.Errorf("%d epochs were kept", n)
	}
}

// TestReadingsMakeRoomForEvents: a server that sends readings may say as much
// about them.
func TestReadingsMakeRoomForEvents(t *testing.T) {
	v, s := offline(newRecording(t))
	v.cfg.eventLimit = 100
	for i := range 1000 {
		reading := fmt.Sprintf(`{"o":%d,"topic":"a/x","payload":"p"}`, 1001+2*i)
		must(t, v.handle(s, 1, websocket.TextMessage, []byte(batchJSON(1, "e1", 999+2*i, 1002+2*i, reading))))
	}
	if c := v.Counters(); c.Broken != 1000 || c.Received != 1000 {
		t.Errorf("counters %+v", c)
	}
}

// TestFloodBeforeTheSubscription: a server that never confirms and never stops
// is given up, and not tried again.
func TestFloodBeforeTheSubscription(t *testing.T) {
	var sessions atomic.Int64
	url := broker5(t, "mqtt", func(c *websocket.Conn) {
		sessions.Add(1)
		binaryFrames(c, connack5)
		_, _, _ = c.ReadMessage()
		many := bytes.Repeat(publish5(0, "a/x", 0, "p1"), 1000)
		for c.WriteMessage(websocket.BinaryMessage, many) == nil { // until the viewer is gone
		}
	})
	cfg := mqttConfig(newRecording(t), url, "5")
	cfg.Plausible = func() uint64 { return 15_000 }
	_, err := Open(limit(t), cfg)
	if !errors.Is(err, ErrFlood) || sessions.Load() != 1 {
		t.Errorf("%v after %d sessions", err, sessions.Load())
	}
}

// TestOneTokenAtATime: a server that asks again and again is given no more
// tokens than one after the other.
func TestOneTokenAtATime(t *testing.T) {
	s, r := newServer(t), newRecording(t)
	cfg := s.config(r)
	var asked, at, most atomic.Int64
	hold := make(chan struct{})
	cfg.Token = func(context.Context) (string, error) {
		if asked.Add(1) > 1 { // the first opens the connection
			most.Store(max(most.Load(), at.Add(1)))
			defer at.Add(-1)
			<-hold
		}
		return "t", nil
	}
	v := open(t, cfg)
	for range 100 {
		s.push(`{"type":"auth-expiring","expires":"now"}`)
	}
	s.publish(entry{"a/x", "behind", false})
	must(t, v.WaitReceived(limit(t), 1))
	until(t, "the token to be asked for", func() bool { return asked.Load() == 2 })
	close(hold)
	s.push(`{"type":"auth-expiring","expires":"now"}`)
	until(t, "a token to be asked for once more", func() bool {
		s.push(`{"type":"auth-expiring","expires":"now"}`)
		return asked.Load() > 2
	})
	must(t, v.Close())
	if most.Load() != 1 {
		t.Errorf("%d tokens were on their way at once", most.Load())
	}
}

// TestTimesOfServers: whatever number a server tells is a time.
func TestTimesOfServers(t *testing.T) {
	for n, want := range map[int64]time.Duration{-1: 0, 0: 0, 1500: 1500 * time.Millisecond, 1 << 62: maxRetrySeconds * time.Second} {
		if got := millis(n); got != want {
			t.Errorf("%d ms is %v, want %v", n, got, want)
		}
	}
}

// TestExcerptShowsNoPartOfAToken: also where a text is cut.
func TestExcerptShowsNoPartOfAToken(t *testing.T) {
	var s secrets
	token := s.add(strings.Repeat("s3cret", 200))
	for _, before := range []int{0, 10, 990, 999, 1000, excerptLimit - len(token) - 1, excerptLimit - 5, 2 * excerptLimit} {
		text := strings.Repeat(" ", before) + strings.Repeat(token, 100)
		got := s.excerpt(text, 1000)
		if strings.Contains(got, "s3c") || len(got) > 1000+len("…") {
			t.Errorf("token behind %d bytes: %q", before, got)
		}
	}
	if got := s.excerpt("short "+token, 1000); got != "short (token)" {
		t.Errorf("%q", got)
	}
}
