package viewer

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/gorilla/websocket"

	"plumbline/harness/record"
)

func TestRecordsWhatItReceives(t *testing.T) {
	s, r := newServer(t), newRecording(t)
	s.publish(entry{"a/old", "last", true}, entry{"b/old", "elsewhere", false})
	cfg := s.config(r)
	cfg.Snapshot = true
	cfg.Resolve = func(topic string, payload []byte) (uint32, uint64, uint8) {
		if topic != "a/temp" {
			return record.NoStream, 0, record.FlagForeign
		}
		return 7, uint64(len(payload)), 0
	}
	v := open(t, cfg)
	s.publish(entry{"a/temp", `{"v":1}`, false}, entry{"b/temp", "not for us", false}, entry{"a/temp", `quote " and ü`, true})
	must(t, v.WaitOffset(limit(t), 5))
	must(t, v.WaitIdle(limit(t), 20*time.Millisecond))
	if c := v.Counters(); c.Received != 2 || c.Restored != 1 || c.Broken != 0 || c.Malformed != 0 || c.Connects != 1 {
		t.Fatalf("counters are %+v", c)
	}
	if got := v.Cursor("a/#"); got != (Cursor{"e1", 5}) {
		t.Fatalf("cursor is %+v", got)
	}
	must(t, v.Close())
	log := r.log()
	if got := offsets(log, record.Received); !slices.Equal(got, []uint64{3, 5}) {
		t.Fatalf("received %v", got)
	}
	for _, rec := range log.Records {
		if rec.Kind == record.Restored {
			if rec.Offset != 1 || rec.Flags&record.FlagRetained == 0 || rec.Flags&record.FlagForeign == 0 {
				t.Errorf("restored %+v", rec)
			}
			continue
		}
		if rec.At <= 0 || rec.Stream != 7 || log.Index.Epochs[rec.Aux] != "e1" {
			t.Errorf("record is %+v", rec)
		}
		if rec.Offset == 5 && (rec.Digest != record.Digest([]byte(`quote " and ü`)) || rec.Seq != 14 || rec.Flags != record.FlagRetained) {
			t.Errorf("record is %+v", rec)
		}
	}
	if log.Index.Nodes[0].Role != "viewer" || len(events(log, record.Connected)) != 1 || len(events(log, record.Subscribed)) != 1 {
		t.Errorf("index %+v, events %+v", log.Index, log.Events)
	}
}

func TestResumesAfterEveryKindOfLoss(t *testing.T) {
	for name, lose := range map[string]func(*server, *Viewer){
		"server drops":  func(s *server, _ *Viewer) { s.dropAll() },
		"viewer cuts":   func(_ *server, v *Viewer) { v.Cut() },
		"server closes": func(s *server, _ *Viewer) { hangUp(s.conns[0], 1012, `{"reason":"drain","retry_ms":1}`) },
	} {
		t.Run(name, func(t *testing.T) {
			s, r := newServer(t), newRecording(t)
			v := open(t, s.config(r))
			s.publish(entry{"a/1", "x", false})
			must(t, v.WaitReceived(limit(t), 1))
			lose(s, v)
			until(t, "the loss to be noticed", func() bool { return v.Counters().Disconnects == 1 })
			s.publish(entry{"a/1", "y", false}, entry{"a/1", "z", false})
			must(t, v.WaitConnected(limit(t), 2))
			must(t, v.WaitReceived(limit(t), 3))
			if c := v.Counters(); c.Broken != 0 {
				t.Fatalf("counters are %+v", c)
			}
			must(t, v.Close())
			log := r.log()
			if got := offsets(log, record.Received); !slices.Equal(got, []uint64{1, 2, 3}) {
				t.Fatalf("received %v", got)
			}
			subscribed := events(log, record.Subscribed)
			if len(subscribed) != 2 || subscribed[1].Fields["recovered"] != "true" || subscribed[1].Fields["since_offset"] != "1" {
				t.Fatalf("subscribed events are %+v", subscribed)
			}
		})
	}
}

func TestCatchUpIsFlagged(t *testing.T) {
	s, r := newServer(t), newRecording(t)
	v := open(t, s.config(r))
	s.publish(entry{"a/1", "live", false})
	must(t, v.WaitReceived(limit(t), 1))
	gate := make(chan struct{})
	s.mu.Lock()
	s.script = func(*websocket.Conn, map[string]any) bool { <-gate; return false }
	s.mu.Unlock()
	v.Cut()
	s.publish(entry{"a/1", "missed", false})
	// The hello of the second session is answered from here on: head is 2.
	until(t, "the second hello", func() bool { return s.sessions() == 2 })
	close(gate)
	must(t, v.WaitReceived(limit(t), 2))
	s.publish(entry{"a/1", "live again", false})
	must(t, v.WaitReceived(limit(t), 3))
	must(t, v.Close())
	var flagged []uint64
	for _, rec := range r.log().Records {
		if rec.Flags&record.FlagCatchUp != 0 {
			flagged = append(flagged, rec.Offset)
		}
	}
	if len(flagged) > 1 || (len(flagged) == 1 && flagged[0] != 2) {
		t.Fatalf("catch-up readings are %v", flagged)
	}
}

func TestLostEpochIsToldAsNotRecovered(t *testing.T) {
	s, r := newServer(t), newRecording(t)
	v := open(t, s.config(r))
	s.publish(entry{"a/1", "x", false}, entry{"a/1", "y", false})
	must(t, v.WaitReceived(limit(t), 2))
	s.mu.Lock()
	s.epoch, s.entries = "e2", nil
	s.mu.Unlock()
	s.dropAll()
	must(t, v.WaitConnected(limit(t), 2))
	s.publish(entry{"a/1", "z", false})
	must(t, v.WaitReceived(limit(t), 3))
	if c := v.Counters(); c.Broken != 0 {
		t.Fatalf("a declared loss counts as a break: %+v", c)
	}
	must(t, v.Close())
	last := events(r.log(), record.Subscribed)[1].Fields
	if last["recovered"] != "false" || last["reason"] != "epoch" || last["since_epoch"] != "e1" || last["epoch"] != "e2" {
		t.Fatalf("subscribed with %v", last)
	}
}

func TestSilenceIsALoss(t *testing.T) {
	s, r := newServer(t), newRecording(t)
	s.silent = true
	cfg := s.config(r)
	cfg.Silence = 50 * time.Millisecond
	v := open(t, cfg)
	must(t, v.WaitConnected(limit(t), 2))
	must(t, v.Close())
	if got := events(r.log(), record.Disconnected)[0].Fields; got["error"] != "silence" {
		t.Fatalf("disconnected with %v", got)
	}
}

func TestTokensAreAskedForAndRefreshed(t *testing.T) {
	s, r := newServer(t), newRecording(t)
	var minted atomic.Int64
	cfg := s.config(r)
	cfg.Token = func(context.Context) (string, error) { return fmt.Sprintf("token-%d", minted.Add(1)), nil }
	v := open(t, cfg)
	if s.hellos[0]["token"] != "token-1" || s.hellos[0]["client"] != "viewer-1" {
		t.Fatalf("hello is %v", s.hellos[0])
	}
	must(t, v.Reauthorise("by-hand"))
	until(t, "the token given by hand", func() bool { s.mu.Lock(); defer s.mu.Unlock(); return len(s.auths) == 1 })
	s.push(`{"type":"auth-expiring","expires":"soon"}`)
	until(t, "the refresh", func() bool { s.mu.Lock(); defer s.mu.Unlock(); return len(s.auths) == 2 })
	if !slices.Equal(s.auths, []string{"by-hand", "token-2"}) {
		t.Fatalf("auth messages carried %v", s.auths)
	}
	must(t, v.Close())
	for _, e := range r.log().Events {
		if strings.Contains(fmt.Sprint(e), "token-") {
			t.Fatalf("a token got into the recording: %+v", e)
		}
	}
}

func TestEchoedTokenStaysOutOfArtifacts(t *testing.T) {
	const token = "eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiJ2In0.c2lnbmF0dXJl"
	s, r := newServer(t), newRecording(t)
	cfg := s.config(r)
	cfg.Token = func(context.Context) (string, error) { return token, nil }
	v := open(t, cfg)
	s.push(`{"type":"news","about":"` + strings.Repeat("x", 100) + token + `"}`)
	s.push(`{"type":"suberr","id":1,"reason":"forbidden","detail":"` + token + `"}`)
	until(t, "the refusal", func() bool { return !v.Connected() })
	s.mu.Lock()
	hangUp(s.conns[0], 4002, `{"reason":"bad `+token+`"}`)
	s.mu.Unlock()
	<-v.Done()
	if err := v.Err(); err == nil || strings.Contains(err.Error(), token) {
		t.Fatalf("error is %v", err)
	}
	must(t, v.Close())
	log := r.log()
	if len(events(log, record.Refused)) != 1 || len(events(log, record.Disconnected)) != 1 || len(events(log, record.Note)) != 1 {
		t.Fatalf("events are %+v", log.Events)
	}
	for _, e := range log.Events {
		if strings.Contains(fmt.Sprint(e), "eyJ") {
			t.Errorf("a token that the server sent back got into the recording: %+v", e)
		}
	}
}

func TestRefusals(t *testing.T) {
	closeWith := func(code int) func(*websocket.Conn, map[string]any) bool {
		return func(c *websocket.Conn, _ map[string]any) bool {
			hangUp(c, code, `{"reason":"no"}`)
			return true
		}
	}
	for _, c := range []struct {
		name   string
		change func(*server, *Config)
		want   RefusedError
	}{
		{"origin", func(_ *server, cfg *Config) { cfg.Origin = "https://evil.test" }, RefusedError{Status: 403, Reason: "403 Forbidden"}},
		{"bad token", func(s *server, _ *Config) { s.script = closeWith(4002) }, RefusedError{Code: 4002, Reason: "no"}},
		{"filter", func(s *server, _ *Config) {
			s.script = func(c *websocket.Conn, _ map[string]any) bool {
				say(c, `{"type":"welcome","session":"s","protocol":1,"heartbeat_ms":1000}`)
				if m, err := read(c); err == nil {
					say(c, `{"type":"suberr","id":%v,"reason":"forbidden","detail":"d"}`, m["id"])
				}
				_, _ = read(c)
				return true
			}
		}, RefusedError{Filter: "a/#", Reason: "forbidden"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			s, r := newServer(t), newRecording(t)
			cfg := s.config(r)
			c.change(s, &cfg)
			_, err := Open(limit(t), cfg)
			var refused *RefusedError
			if !errors.As(err, &refused) || *refused != c.want {
				t.Fatalf("Open gave %v", err)
			}
			if len(events(r.log(), record.Refused)) != 1 {
				t.Error("the refusal was not recorded")
			}
		})
	}
}

func TestRefusalLaterEndsTheViewer(t *testing.T) {
	s, r := newServer(t), newRecording(t)
	v := open(t, s.config(r))
	hangUp(s.conns[0], 4007, `{"reason":"revoked"}`)
	select {
	case <-v.Done():
	case <-limit(t).Done():
		t.Fatal("waited for the viewer to end")
	}
	var refused *RefusedError
	if err := v.Err(); !errors.As(err, &refused) || refused.Code != 4007 || v.Counters().LastClose != 4007 {
		t.Fatalf("ended with %v", err)
	}
	if err := v.WaitReceived(limit(t), 1); !errors.As(err, &refused) {
		t.Fatalf("a wait on an ended viewer gave %v", err)
	}
	must(t, v.Close())
	if got := events(r.log(), record.Disconnected); len(got) != 1 || got[0].Fields["code"] != "4007" || got[0].Fields["reason"] != "revoked" {
		t.Fatalf("events are %+v", got)
	}
}

func TestOpenTriesAgainUntilItsContextEnds(t *testing.T) {
	s, r := newServer(t), newRecording(t)
	var tries atomic.Int64
	s.script = func(c *websocket.Conn, _ map[string]any) bool {
		if tries.Add(1) < 3 {
			hangUp(c, 1013, `{"reason":"overload","retry_ms":1}`)
			return true
		}
		return false
	}
	open(t, s.config(r))
	if tries.Load() != 3 {
		t.Fatalf("opened at attempt %d", tries.Load())
	}
	s.script = func(c *websocket.Conn, _ map[string]any) bool { hangUp(c, 1013, ""); return true }
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	if _, err := Open(ctx, s.config(r)); !errors.Is(err, context.DeadlineExceeded) {
		t.Fatalf("Open gave %v", err)
	}
}

func TestWaitsEndWithTheViewer(t *testing.T) {
	s, r := newServer(t), newRecording(t)
	v := open(t, s.config(r))
	result := make(chan error)
	go func() { result <- v.WaitReceived(limit(t), 1) }()
	must(t, v.Close())
	must(t, v.Close())
	if err := <-result; !errors.Is(err, ErrClosed) {
		t.Fatalf("wait gave %v", err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := v.WaitOffset(ctx, 1); err == nil {
		t.Fatal("a wait on a closed viewer succeeded")
	}
}

func TestConfigIsChecked(t *testing.T) {
	r := newRecording(t)
	for name, cfg := range map[string]Config{
		"nothing":   {},
		"no filter": {Name: "v", URL: "ws://127.0.0.1:1/", Recorder: r.Recorder},
	} {
		if _, err := Open(limit(t), cfg); err == nil {
			t.Errorf("%s was accepted", name)
		}
	}
}

func TestBackoffGrowsWithinItsBounds(t *testing.T) {
	b := Backoff{Initial: 10 * time.Millisecond, Max: time.Second}
	rnd := rand.New(rand.NewPCG(1, 2))
	for n, full := range map[int]time.Duration{0: 10 * time.Millisecond, 3: 80 * time.Millisecond, 7: time.Second, 1000: time.Second} {
		for range 100 {
			if d := b.wait(n, rnd); d < full/2 || d > full {
				t.Fatalf("attempt %d waits %v, want within [%v, %v]", n, d, full/2, full)
			}
		}
	}
	same := func() (out []time.Duration) {
		rnd := rand.New(rand.NewPCG(5, 6))
		for n := range 10 {
			out = append(out, b.wait(n, rnd))
		}
		return out
	}
	if !slices.Equal(same(), same()) {
		t.Fatal("the same seed gave different waits")
	}
}
