package viewer

import (
	"context"
	"errors"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/gorilla/websocket"
)

// TestAWatcherCounts what it is shown, tells of the end of its session, and can be closed twice.
func TestAWatcherCounts(t *testing.T) {
	s, r := newServer(t), newRecording(t)
	s.interval = patience // no machine is so busy that it would pass for silent
	cfg := s.config(r)
	cfg.Token = func(context.Context) (string, error) { return "secret", nil }
	w, err := Watch(limit(t), cfg)
	must(t, err)
	if s.hellos[0]["token"] != "secret" || s.subs[0]["filter"] != "a/#" {
		t.Errorf("it said %v and %v", s.hellos, s.subs)
	}
	s.publish(entry{"a/1", `{"o":1}`, false}, entry{"a/2", "x", false}, entry{"b", "of another", false})
	until(t, "two readings", func() bool { return w.Readings() == 2 })
	if w.Err() != nil {
		t.Errorf("it ended: %v", w.Err())
	}
	hangUp(s.conns[0], 1012, "restart")
	until(t, "the end", func() bool { return w.Err() != nil })
	if !websocket.IsCloseError(w.Err(), 1012) {
		t.Errorf("it ended by %v", w.Err())
	}
	for range 2 {
		_ = w.Close()
	}
}

func TestAWatcherThatIsNotLetIn(t *testing.T) {
	s, r := newServer(t), newRecording(t)
	cfg := s.config(r)
	cfg.Origin = "https://evil.test"
	if _, err := Watch(limit(t), cfg); err == nil || !strings.Contains(err.Error(), "bad handshake") {
		t.Errorf("of a foreign origin: %v", err)
	}
	s.mu.Lock()
	s.script = func(c *websocket.Conn, _ map[string]any) bool { hangUp(c, 4002, "token"); return true }
	s.mu.Unlock()
	var closed *websocket.CloseError
	if _, err := Watch(limit(t), s.config(r)); !errors.As(err, &closed) || closed.Code != 4002 {
		t.Errorf("refused: %v", err)
	}
	if _, err := Watch(limit(t), Config{}); err == nil {
		t.Error("without an address")
	}
}

// TestAWatcherOfASilentServerEnds: sockets that are held open without a word are no sessions that live.
func TestAWatcherOfASilentServerEnds(t *testing.T) {
	s, r := newServer(t), newRecording(t)
	s.silent = true
	w, err := Watch(limit(t), s.config(r))
	must(t, err)
	until(t, "the end", func() bool { return w.Err() != nil })
	if !strings.Contains(w.Err().Error(), "two of its heartbeats") {
		t.Errorf("it ended by %v", w.Err())
	}
	_ = w.Close()
}

// TestAPingIsASignOfLife: it gives the server as long again as a frame does.
func TestAPingIsASignOfLife(t *testing.T) {
	s, r := newServer(t), newRecording(t)
	s.silent = true
	var mu sync.Mutex
	answered := map[string]bool{}
	s.script = func(c *websocket.Conn, _ map[string]any) bool {
		c.SetPongHandler(func(round string) error {
			mu.Lock()
			defer mu.Unlock()
			answered[round] = true
			return nil
		})
		return false
	}
	for n := range 20 { // until a machine that is not too busy had the ping answered before the session was over
		w, err := Watch(limit(t), s.config(r))
		must(t, err)
		<-time.After(w.silence / 2)
		s.mu.Lock()
		c := s.conns[len(s.conns)-1]
		s.mu.Unlock()
		pinged, round := time.Now(), strconv.Itoa(n)
		err = c.WriteControl(websocket.PingMessage, []byte(round), pinged.Add(patience))
		until(t, "the end", func() bool { return w.Err() != nil })
		lived := time.Since(pinged)
		_ = w.Close()
		mu.Lock()
		in := answered[round]
		mu.Unlock()
		if err != nil || !in {
			continue
		}
		if lived < w.silence {
			t.Errorf("it ended %v after a ping, not %v", lived, w.silence)
		}
		return
	}
	t.Fatal("no ping was answered before its session was over")
}
