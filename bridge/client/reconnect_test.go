package client

import (
	"context"
	"errors"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/gorilla/websocket"

	"plumbline/bridge/internal/eventually"
)

// waits returns the waits that the first n disconnections announced.
func waits(t *testing.T, l *eventLog, n int) []time.Duration {
	t.Helper()
	eventually.Must(t, "the disconnections", func() bool { return len(l.of(EventDisconnected)) >= n })
	var out []time.Duration
	for _, e := range l.of(EventDisconnected)[:n] {
		out = append(out, e.Wait)
	}
	return out
}

func millis(ms ...int) []time.Duration {
	var out []time.Duration
	for _, m := range ms {
		out = append(out, time.Duration(m)*time.Millisecond)
	}
	return out
}

func equalWaits(t *testing.T, got, want []time.Duration) {
	t.Helper()
	for i := range want {
		if got[i] != want[i] {
			t.Fatalf("waits %v, want %v", got, want)
		}
	}
}

// TestWaitsGrowUntilWelcome: a handshake, or a socket that opens, heals nothing; only welcome does. (ThingsBoard came back
// hundreds of times because its client began anew at each open socket.)
func TestWaitsGrowUntilWelcome(t *testing.T) {
	var l eventLog
	url := scripted(t, func(p *peer) {
		switch p.n {
		case 0, 6: // welcome, then lost
			p.greet(time.Minute)
		default: // lost before the welcome
			p.hear()
		}
	})
	dial(t, l.options(url))
	equalWaits(t, waits(t, &l, 8), millis(1, 2, 4, 8, 16, 32, 1, 2))
}

// TestFullJitter: the wait is a random part of a ceiling that doubles up to MaxBackoff.
func TestFullJitter(t *testing.T) {
	for _, tc := range []struct {
		rand float64
		n    int
		want time.Duration
	}{
		{0, 5, 0}, {0.25, 1, 25 * time.Millisecond}, {0.5, 2, 100 * time.Millisecond}, {0.5, 4, 400 * time.Millisecond},
		{0.5, 5, 500 * time.Millisecond}, {0.5, 63, 500 * time.Millisecond}, {0.5, 1000, 500 * time.Millisecond},
	} {
		c := &Client{o: Options{MinBackoff: 100 * time.Millisecond, MaxBackoff: time.Second, Rand: func() float64 { return tc.rand }}}
		if got := c.backoff(tc.n); got != tc.want {
			t.Errorf("attempt %d, random %v: %s, want %s", tc.n, tc.rand, got, tc.want)
		}
	}
}

// TestCloseCodes: what the bridge says decides how the client comes back (PROTOCOL.md section 4).
func TestCloseCodes(t *testing.T) {
	for _, tc := range []struct {
		code   int
		reason string
		waits  []time.Duration // nil: the client ends
	}{
		{1000, `{"reason":"bye"}`, millis(1, 1, 1)},
		{1001, `{"reason":"shutdown"}`, millis(1, 1, 1)},
		{1012, `{"reason":"draining","retry_ms":7}`, millis(7, 7, 7)},
		{1012, `not JSON`, millis(1, 1, 1)},
		{1012, `{"reason":"draining","retry_ms":-7}`, millis(1, 1, 1)},
		{1013, `{"reason":"overload"}`, millis(1, 2, 4)},
		{1011, `{"reason":"hub","retry_ms":3}`, millis(3, 5, 7)},
		{4100, `{"reason":"slow"}`, millis(1, 2, 4)},
		{4101, `{"reason":"rate","retry_ms":5}`, millis(5, 7, 9)},
		{4103, `{"reason":"no hello in time"}`, millis(1, 2, 4)},
		{4200, `{"reason":"token expired"}`, millis(0, 0, 0)},
		{3999, `{"reason":"?"}`, millis(1, 1, 1)},
		{4300, `{"reason":"?"}`, millis(1, 1, 1)},
		{1002, `{"reason":"protocol"}`, nil},
		{1003, `{"reason":"text only"}`, nil},
		{1007, `{"reason":"not UTF-8"}`, nil},
		{1009, `{"reason":"message too big"}`, nil},
		{4001, `{"reason":"hello first"}`, nil},
		{4003, `{"reason":"another subject"}`, nil},
		{4005, `{"reason":"malformed JSON"}`, nil},
		{4006, `{"reason":"too many answers unread"}`, nil},
		{4007, `{"reason":"revoked"}`, nil},
		{4099, `{"reason":"of a later version"}`, nil},
	} {
		var l eventLog
		url := scripted(t, func(p *peer) {
			p.greet(time.Minute)
			p.bye(tc.code, tc.reason)
		})
		c := dial(t, l.options(url))
		if tc.waits != nil {
			equalWaits(t, waits(t, &l, len(tc.waits)), tc.waits)
			_ = c.Close()
			continue
		}
		<-c.Done()
		var closed *CloseError
		if err := c.Err(); !errors.As(err, &closed) || closed.Code != tc.code || !strings.Contains(tc.reason, closed.Reason) {
			t.Errorf("%d: ended with %v", tc.code, err)
		}
		if n := len(l.of(EventDisconnected)); n != 0 || len(l.of(EventEnded)) != 1 {
			t.Errorf("%d: %d disconnections and %d ends, want one end", tc.code, n, len(l.of(EventEnded)))
		}
		if _, err := c.Subscribe("a", SubscribeOptions{}); !errors.Is(err, c.Err()) {
			t.Errorf("%d: Subscribe afterwards: %v", tc.code, err)
		}
	}
}

// TestMessageTooLarge ends the client: the same message would come again.
func TestMessageTooLarge(t *testing.T) {
	var l eventLog
	url := scripted(t, func(p *peer) {
		p.greet(time.Minute)
		p.say(strings.Repeat(" ", 2000))
		p.drain()
	})
	o := l.options(url)
	o.MaxMessageBytes = 1000
	c := dial(t, o)
	select {
	case <-c.Done():
	case <-time.After(eventually.Patience):
		t.Fatalf("it goes on: %+v", l.of(EventDisconnected))
	}
	if err := c.Err(); err == nil || !strings.Contains(err.Error(), "MaxMessageBytes") {
		t.Errorf("ended with %v", err)
	}
}

// TestExpiredAgainAndAgain: 4200 before any welcome is tried at once only the first time.
func TestExpiredAgainAndAgain(t *testing.T) {
	var l eventLog
	url := scripted(t, func(p *peer) {
		if p.n == 0 {
			p.greet(time.Minute)
		}
		p.bye(4200, `{"reason":"token expired"}`)
	})
	dial(t, l.options(url))
	equalWaits(t, waits(t, &l, 4), millis(0, 2, 4, 8))
}

// TestDrainingWithoutClose: the hint counts also when the connection is lost before the close frame.
func TestDrainingWithoutClose(t *testing.T) {
	var l eventLog
	url := scripted(t, func(p *peer) {
		p.greet(time.Minute)
		p.say(`{"type":"draining","retry_ms":9}`)
	})
	dial(t, l.options(url))
	equalWaits(t, waits(t, &l, 2), millis(9, 9))
	if d := l.of(EventDraining); len(d) == 0 || d[0].Wait != 9*time.Millisecond {
		t.Errorf("draining events %+v", d)
	}
}

// TestBadToken: one other token is tried, the same one is not.
func TestBadToken(t *testing.T) {
	for _, tc := range []struct {
		name   string
		tokens []string
		good   string
		tried  int32
	}{
		{"the same again", []string{"bad", "bad"}, "good", 1},
		{"another one, good", []string{"bad", "good"}, "good", 2},
		{"another one, bad", []string{"bad", "worse", "good"}, "good", 2},
	} {
		t.Run(tc.name, func(t *testing.T) {
			var tried, asked atomic.Int32
			url := scripted(t, func(p *peer) {
				tried.Add(1)
				if !strings.Contains(p.hear(), `"`+tc.good+`"`) {
					p.bye(4002, `{"reason":"token: signature"}`)
					return
				}
				p.say(`{"type":"welcome","heartbeat_ms":60000}`)
				p.drain()
			})
			var l eventLog
			o := l.options(url)
			o.Token = func(context.Context) (string, error) {
				return tc.tokens[min(int(asked.Add(1)), len(tc.tokens))-1], nil
			}
			ctx, cancel := context.WithTimeout(t.Context(), eventually.Patience)
			defer cancel()
			c, err := Dial(ctx, o)
			var closed *CloseError
			if good := tc.tokens[tc.tried-1] == tc.good || tc.tokens[1] == tc.good; good != (err == nil) || err != nil && (!errors.As(err, &closed) || closed.Code != 4002) {
				t.Errorf("Dial: %v", err)
			}
			if c != nil {
				_ = c.Close()
			}
			if n := tried.Load(); n != tc.tried {
				t.Errorf("%d connections, want %d", n, tc.tried)
			}
		})
	}
}

// TestTokenSourceFails: no connection without a token, and no end either.
func TestTokenSourceFails(t *testing.T) {
	var l eventLog
	url := scripted(t, func(p *peer) { p.greet(time.Minute); p.drain() })
	o := l.options(url)
	n := 0
	o.Token = func(context.Context) (string, error) {
		if n++; n < 4 {
			return "", errors.New("the identity service is down")
		}
		return "t", nil
	}
	dial(t, o)
	equalWaits(t, waits(t, &l, 3), millis(1, 2, 4))
	if e := l.of(EventDisconnected)[0].Err; !strings.Contains(e.Error(), "identity service") {
		t.Errorf("reported %v", e)
	}
}

// TestHandshakeRefusals follows PROTOCOL.md section 1.
func TestHandshakeRefusals(t *testing.T) {
	for _, tc := range []struct {
		status int
		retry  string
		waits  []time.Duration
	}{
		{503, "", millis(1, 2)}, {503, "1", millis(1000)}, {503, "99999999999", millis(1)}, {429, "", millis(1, 2)}, {502, "soon", millis(1, 2)},
		{400, "", nil}, {401, "", nil}, {403, "", nil}, {404, "", nil}, {405, "", nil}, {426, "", nil}, {431, "", nil},
	} {
		srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
			if tc.retry != "" {
				w.Header().Set("Retry-After", tc.retry)
			}
			http.Error(w, "plumbline: handshake refused: why", tc.status)
		}))
		var l eventLog
		ctx, cancel := context.WithTimeout(t.Context(), eventually.Patience)
		ended := make(chan error, 1)
		go func() {
			_, err := Dial(ctx, l.options("ws"+strings.TrimPrefix(srv.URL, "http")))
			ended <- err
		}()
		if tc.waits != nil {
			equalWaits(t, waits(t, &l, len(tc.waits)), tc.waits)
			cancel()
		}
		err := <-ended
		cancel()
		srv.Close()
		var refused *HandshakeError
		if !errors.As(err, &refused) || refused.Status != tc.status || !strings.Contains(refused.Reason, "why") {
			t.Errorf("%d: %v", tc.status, err)
		}
	}
}

// TestOtherProtocol: who answers the handshake without our subprotocol is not the bridge.
func TestOtherProtocol(t *testing.T) {
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if ws, err := (&websocket.Upgrader{}).Upgrade(w, r, nil); err == nil {
			_ = ws.Close()
		}
	}))
	defer srv.Close()
	var l eventLog
	_, err := Dial(t.Context(), l.options("ws"+strings.TrimPrefix(srv.URL, "http")))
	if err == nil || !strings.Contains(err.Error(), subprotocol) {
		t.Errorf("Dial: %v", err)
	}
}

func TestOptionsRefused(t *testing.T) {
	token := func(context.Context) (string, error) { return "", nil }
	for _, o := range []Options{
		{}, {URL: "wss://h/ws"}, {URL: "https://h/ws", Token: token}, {URL: "wss:///ws", Token: token}, {URL: "wss://u:p@h/ws", Token: token},
		{URL: "wss://h/ws#f", Token: token}, {URL: "wss://h/ws", Token: token, MinBackoff: time.Hour},
	} {
		if _, err := Dial(t.Context(), o); err == nil || !strings.Contains(err.Error(), "client: Options.") {
			t.Errorf("%+v: %v", o, err)
		}
	}
}
