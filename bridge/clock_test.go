package bridge

import (
	"fmt"
	"log/slog"
	"sync/atomic"
	"testing"
	"time"

	"github.com/gorilla/websocket"

	"plumbline/bridge/internal/eventually"
)

// TestN100ClockSteps: the wall clock jumps an hour forth and back. No session and no entry of the journal ends early, order is
// kept, no reading is stamped later than it is taken, and new tokens are judged by the clock as it then is.
func TestN100ClockSteps(t *testing.T) {
	var step atomic.Int64
	now := func() time.Time { return time.Now().Add(time.Duration(step.Load())) }
	c := testConfig(t.TempDir())
	b, err := New(Options{Config: c, Log: slog.New(slog.DiscardHandler), Now: now})
	if err != nil {
		t.Fatal(err)
	}
	r := start(t, b, c)
	p := r.publisher("dev")
	half := map[string]any{"exp": time.Now().Add(30 * time.Minute).Unix()}
	v := r.open(half)
	ok := v.sub(1, "#", nil)
	cursor, sent := ok.Offset, 0
	for _, to := range []time.Duration{time.Hour, -time.Hour, 0} {
		step.Store(int64(to))
		for range 20 {
			before := now()
			r.publish(p, "a", fmt.Sprint(sent))
			got, at := v.collect(1, cursor)
			if cursor = at; got[0].Payload != fmt.Sprint(sent) || len(got) != 1 {
				t.Fatalf("step %s: reading %+v, want %d", to, got, sent)
			}
			if taken := time.UnixMicro(got[0].T); taken.Before(before.Truncate(time.Microsecond)) || taken.After(now()) {
				t.Errorf("step %s: taken at %s, published at %s, here at %s", to, taken, before, now())
			}
			sent++
		}
		v.send(map[string]any{"type": "ping", "id": "alive"})
		v.want("pong") // a session outlives the step of the clock: its token's half hour is measured, not looked up
		back := r.open(map[string]any{"exp": time.Now().Add(3 * time.Hour).Unix(), "iat": time.Now().Add(-2 * time.Hour).Unix()})
		if again := back.sub(1, "#", map[string]any{"since": map[string]any{"epoch": ok.Epoch, "offset": ok.Offset}}); !again.Recovered {
			t.Errorf("step %s: not recovered: %s", to, again.Reason)
		}
		all, _ := back.collect(sent, ok.Offset)
		for i, x := range all {
			if x.Payload != fmt.Sprint(i) {
				t.Fatalf("step %s: reading %d is %q", to, i, x.Payload)
			}
		}
		_ = back.ws.Close()
	}
	step.Store(int64(time.Hour))
	late := r.dial()
	late.send(map[string]any{"type": "hello", "token": r.token(half)})
	late.wantClose(4002, "expired")
	step.Store(0)
	eventually.Must(t, "the session that is left alone", func() bool { return r.b.wire.Sessions() >= 1 })
	if err := v.ws.WriteControl(websocket.CloseMessage, websocket.FormatCloseMessage(1000, ""), time.Now().Add(patience)); err != nil {
		t.Fatal(err)
	}
	v.wantClose(1000, "")
}

// TestPongTellsTheTime: in every tongue it has the bridge's time of the answer, by the clock of the readings, so that a client can tell how
// far its own is off.
func TestPongTellsTheTime(t *testing.T) {
	var step atomic.Int64
	now := func() time.Time { return time.Now().Add(time.Duration(step.Load())) }
	c := testConfig(t.TempDir())
	c.Viewers.Compression = "on"
	b, err := New(Options{Config: c, Now: now})
	if err != nil {
		t.Fatal(err)
	}
	r := start(t, b, c)
	for _, as := range tongues {
		step.Store(0)
		s := r.speak(as)
		for _, off := range []time.Duration{0, 30 * time.Minute, -30 * time.Minute} {
			step.Store(int64(off))
			before := now()
			s.send(map[string]any{"type": "ping", "id": "x"})
			m := s.want("pong")
			if at := time.UnixMicro(m.TimeUS); string(m.ID) != `"x"` || at.Before(before.Truncate(time.Microsecond)) || at.After(now()) {
				t.Errorf("%s: pong %s says %s, asked at %s, here at %s", as.name, m.ID, at, before, now())
			}
		}
	}
}
