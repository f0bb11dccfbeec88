package client

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"runtime/pprof"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/gorilla/websocket"

	"plumbline/bridge/internal/eventually"
)

const testBeat = 10 * time.Second

// TestSilence: what counts is what is heard. A connection on which bytes come lives; one that is silent is cut at 1.5 to 2
// heartbeats, by the client's clock.
func TestSilence(t *testing.T) {
	clock := newManualClock()
	var l eventLog
	rounds := make(chan struct{})
	url := scripted(t, func(p *peer) {
		pongs := make(chan struct{}, 1)
		p.ws.SetPongHandler(func(string) error { pongs <- struct{}{}; return nil })
		p.greet(testBeat)
		go func() {
			for range rounds {
				_ = p.ws.WriteControl(websocket.PingMessage, nil, time.Now().Add(time.Second))
				<-pongs
				rounds <- struct{}{}
			}
		}()
		p.drain()
	})
	o := l.options(url)
	o.Clock = clock
	dial(t, o)
	for range 20 { // five times as long as silence may last, with a ping now and then
		rounds <- struct{}{}
		<-rounds
		clock.step(t)
	}
	if e := l.of(EventDisconnected); len(e) != 0 {
		t.Fatalf("cut while bytes came: %+v", e)
	}
	rounds <- struct{}{}
	<-rounds
	close(rounds)
	var silent time.Duration
	for len(l.of(EventDisconnected)) == 0 {
		if silent > 2*testBeat {
			t.Fatalf("not cut after %s of silence", silent)
		}
		silent += clock.step(t)
		eventually.Must(t, "the check to be over", func() bool { return clock.someoneWaits() })
	}
	if silent < testBeat*3/2 {
		t.Errorf("cut after %s of silence, a heartbeat is %s", silent, testBeat)
	}
	if e := l.of(EventDisconnected)[0]; !errors.Is(e.Err, errSilent) {
		t.Errorf("disconnected for %v", e.Err)
	}
}

// TestNoWelcome: a bridge that opens the socket and says nothing is given up after Timeout.
func TestNoWelcome(t *testing.T) {
	clock := newManualClock()
	var l eventLog
	url := scripted(t, func(p *peer) { p.drain() })
	o := l.options(url)
	o.Clock = clock
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() {
		_, err := Dial(ctx, o)
		ended <- err
	}()
	if waited := clock.step(t); waited != o.Timeout {
		t.Errorf("waited %s for the welcome, Timeout is %s", waited, o.Timeout)
	}
	eventually.Must(t, "the end of the attempt", func() bool { return len(l.of(EventDisconnected)) == 1 })
	cancel()
	if err := <-ended; !errors.Is(err, errLate) || !errors.Is(err, context.Canceled) {
		t.Errorf("Dial: %v", err)
	}
}

// TestBackPressure: a consumer that does not call Next stops the reading, so that memory is bounded, and is not taken for a
// dead bridge; the bridge hears that the client lives. Nothing is lost by it.
func TestBackPressure(t *testing.T) {
	clock := newManualClock()
	var l eventLog
	var pongs atomic.Int32
	const batches, payload = 200, 100_000 // 20 MB: more than the system's buffers hold
	var sent atomic.Int32
	url := scripted(t, func(p *peer) {
		p.ws.SetPongHandler(func(string) error { pongs.Add(1); return nil })
		p.greet(testBeat)
		p.hear()
		go func() {
			p.say(fresh)
			for i := range batches {
				p.say(fmt.Sprintf(`{"type":"batch","id":1,"epoch":"E","from":%d,"to":%d,"readings":[{"o":%d,"t":1,"topic":"a","qos":0,"payload":"%s"}]}`,
					9+i, 10+i, 10+i, strings.Repeat("x", payload)))
				sent.Add(1)
			}
		}()
		p.drain()
	})
	o := l.options(url)
	o.Clock = clock
	c := dial(t, o)
	s, err := c.Subscribe("#", SubscribeOptions{})
	if err != nil {
		t.Fatal(err)
	}
	eventually.Must(t, "a reader that waits for its consumer", func() bool {
		c.mu.Lock()
		defer c.mu.Unlock()
		return c.session != nil && c.session.blocked.Load()
	})
	for range 20 { // many heartbeats
		clock.step(t)
	}
	eventually.Must(t, "signs of life", func() bool { return pongs.Load() >= 2 })
	if e := l.of(EventDisconnected); len(e) != 0 {
		t.Errorf("cut for its own slowness: %+v", e)
	}
	if n := sent.Load(); n == batches || len(s.queue) > queueLen {
		t.Errorf("the peer could write %d of %d, %d are read ahead: nothing held it back", n, batches, len(s.queue))
	}
	for n := 0; n < batches; {
		n += len(next(t, s).Readings)
	}
	if got := s.Stats(); got != (Stats{Delivered: batches}) {
		t.Errorf("stats %+v", got)
	}
}

// TestCloseEndsEverything: in every state, at once or twice, and no goroutine is left.
func TestCloseEndsEverything(t *testing.T) {
	states := map[string]func(p *peer){
		"idle":         func(p *peer) { p.greet(time.Minute); p.drain() },
		"flooded":      func(p *peer) { p.greet(time.Minute); p.hear(); go p.drain(); p.say(fresh); flood(p) },
		"refreshing":   func(p *peer) { p.greet(time.Minute); p.say(`{"type":"auth-expiring","expires":"x"}`); p.drain() },
		"peer is gone": func(p *peer) { p.greet(time.Minute) },
		"peer is deaf": func(p *peer) { p.greet(time.Minute); p.hear(); <-p.t.Context().Done() },
	}
	for name, script := range states {
		t.Run(name, func(t *testing.T) {
			var l eventLog
			n := 0
			o := l.options(scripted(t, script))
			o.Token = func(ctx context.Context) (string, error) {
				if n++; n > 1 && name == "refreshing" {
					<-ctx.Done()
					return "", ctx.Err()
				}
				return "t", nil
			}
			c := dial(t, o)
			s, err := c.Subscribe("#", SubscribeOptions{})
			if err != nil {
				t.Fatal(err)
			}
			closed := make(chan error, 2)
			for range 2 {
				go func() { closed <- c.Close() }()
			}
			for range 2 {
				if err := <-closed; err != nil {
					t.Errorf("Close: %v", err)
				}
			}
			for _, err = range s.All(t.Context()) {
			}
			if !errors.Is(err, ErrClosed) || !errors.Is(c.Err(), ErrClosed) || s.Close() != nil {
				t.Errorf("after Close: Next %v, Err %v", err, c.Err())
			}
			if _, err := c.Subscribe("#", SubscribeOptions{}); !errors.Is(err, ErrClosed) {
				t.Errorf("Subscribe after Close: %v", err)
			}
			eventually.Must(t, "the end of all goroutines", func() bool { // the last one is on its way out when Close returns
				var stacks bytes.Buffer
				_ = pprof.Lookup("goroutine").WriteTo(&stacks, 2)
				return !strings.Contains(stacks.String(), "client.(*session)") && !strings.Contains(stacks.String(), "client.(*Client).run")
			})
		})
	}
}

func flood(p *peer) {
	for i := 9; ; i++ {
		if p.ws.WriteMessage(websocket.TextMessage, []byte(batch(i, i+1, i+1))) != nil {
			return
		}
	}
}

// TestUnsubscribe: what still comes for an ended subscription is nobody's, and the account of the others holds.
func TestUnsubscribe(t *testing.T) {
	var l eventLog
	url := scripted(t, func(p *peer) {
		p.greet(time.Minute)
		p.hear()
		p.say(fresh)
		if cmd := p.hear(); cmd != `{"type":"unsub","id":1}`+"\n" {
			t.Errorf("command %q, want unsub", cmd)
		}
		p.say(batch(9, 10, 10), batch(11, 12), `{"type":"heartbeat","cursors":{"1":12},"delivered":{"1":9},"gaps":{"1":0}}`,
			`{"type":"unsubok","id":1}`, `{"type":"of a later version"}`)
		p.hear()
		p.say(strings.Replace(fresh, `"id":1`, `"id":2`, 1))
		p.drain()
	})
	c := dial(t, l.options(url))
	s, err := c.Subscribe("#", SubscribeOptions{})
	if err != nil {
		t.Fatal(err)
	}
	next(t, s)
	_ = s.Close()
	if _, err := s.Next(t.Context()); !errors.Is(err, ErrClosed) {
		t.Errorf("Next: %v", err)
	}
	two, err := c.Subscribe("#", SubscribeOptions{})
	if err != nil {
		t.Fatal(err)
	}
	next(t, two)
	if e := append(l.of(EventBroken), l.of(EventDisconnected)...); len(e) != 0 {
		t.Errorf("events %+v", e)
	}
}

// TestLateForTheUnsubscribed: what arrives between Close of a subscription and the command is not held against the bridge.
func TestLateForTheUnsubscribed(t *testing.T) {
	o, err := (&eventLog{}).options("ws://localhost/ws").filled()
	if err != nil {
		t.Fatal(err)
	}
	c := &Client{o: o, done: make(chan struct{}), welcomed: make(chan struct{}), subs: map[int64]*Subscription{}}
	c.ctx, c.cancel = context.WithCancel(t.Context())
	s, err := c.Subscribe("#", SubscribeOptions{})
	if err != nil {
		t.Fatal(err)
	}
	ses := newSession(c)
	ses.welcome, ses.feeds[s.id] = true, &feed{sub: s}
	_ = s.Close()
	for _, text := range []string{fresh, batch(9, 10, 10), batch(11, 12), `{"type":"heartbeat","cursors":{"1":99},"delivered":{"1":9},"gaps":{"1":0}}`} {
		if err := ses.handle([]byte(text)); err != nil {
			t.Errorf("%s: %v", text, err)
		}
	}
}

// TestRefresh: a new token goes out when the bridge asks; the one in use is not sent again, which would only make it ask again.
func TestRefresh(t *testing.T) {
	var l eventLog
	var asked atomic.Int32
	heard := make(chan string, 1)
	url := scripted(t, func(p *peer) {
		p.greet(time.Minute)
		p.say(`{"type":"auth-expiring","expires":"x"}`, `{"type":"auth-expiring","expires":"x"}`)
		heard <- p.hear()
		p.say(`{"type":"authok","expires":"y"}`)
		p.drain()
	})
	o := l.options(url)
	o.Token = func(context.Context) (string, error) {
		switch asked.Add(1) {
		case 1, 2:
			return "old", nil
		case 3:
			return "", errors.New("no answer")
		default:
			return "new", nil
		}
	}
	dial(t, o)
	if cmd := <-heard; cmd != `{"type":"auth","token":"new"}`+"\n" {
		t.Errorf("command %q", cmd)
	}
	eventually.Must(t, "the event", func() bool { return len(l.of(EventRefreshed)) == 1 })
	if e := l.of(EventRefreshFailed); len(e) != 1 || asked.Load() != 4 {
		t.Errorf("asked %d times, failures %+v", asked.Load(), e)
	}
}
