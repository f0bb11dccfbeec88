package bridge

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"plumbline/bridge/client"
	"plumbline/bridge/config"
	"plumbline/bridge/internal/eventually"
)

// watcher is the Go client under test, with its events and its sockets.
type watcher struct {
	*client.Client
	t testing.TB

	mu     sync.Mutex
	events []client.Event
	conns  []net.Conn
}

// watch connects the Go client to the bridge.
func (r *running) watch(change func(*client.Options)) *watcher {
	r.t.Helper()
	w := &watcher{t: r.t}
	o := client.Options{
		URL: r.url(), TLS: r.tls(), Name: "test", MinBackoff: time.Millisecond, MaxBackoff: 50 * time.Millisecond,
		Token: func(context.Context) (string, error) { return r.token(nil), nil },
		OnEvent: func(e client.Event) {
			w.mu.Lock()
			defer w.mu.Unlock()
			w.events = append(w.events, e)
		},
		NetDial: func(ctx context.Context, network, addr string) (net.Conn, error) {
			c, err := (&net.Dialer{}).DialContext(ctx, network, addr)
			w.mu.Lock()
			defer w.mu.Unlock()
			if err == nil {
				w.conns = append(w.conns, c)
			}
			return c, err
		},
	}
	if change != nil {
		change(&o)
	}
	ctx, cancel := context.WithTimeout(r.t.Context(), patience)
	defer cancel()
	c, err := client.Dial(ctx, o)
	if err != nil {
		r.t.Fatal(err)
	}
	r.t.Cleanup(func() { _ = c.Close() })
	w.Client = c
	return w
}

func (w *watcher) of(kind client.EventKind) (out []client.Event) {
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, e := range w.events {
		if e.Kind == kind {
			out = append(out, e)
		}
	}
	return out
}

// cut ends the present connection without a word.
func (w *watcher) cut() {
	w.mu.Lock()
	defer w.mu.Unlock()
	_ = w.conns[len(w.conns)-1].Close()
}

func (w *watcher) sub(filter string, o client.SubscribeOptions) *client.Subscription {
	w.t.Helper()
	s, err := w.Subscribe(filter, o)
	if err != nil {
		w.t.Fatal(err)
	}
	return s
}

// step returns the next update.
func step(tb testing.TB, s *client.Subscription) client.Update {
	tb.Helper()
	ctx, cancel := context.WithTimeout(tb.Context(), patience)
	defer cancel()
	u, err := s.Next(ctx)
	if err != nil {
		tb.Fatalf("Next: %v", err)
	}
	return u
}

// readings takes updates until n readings came, and returns them and the last cursor. Gaps fail the test.
func readings(tb testing.TB, s *client.Subscription, n int) (out []client.Reading, at client.Cursor) {
	tb.Helper()
	for len(out) < n {
		u := step(tb, s)
		if u.Kind == client.KindGap {
			tb.Fatalf("after %d readings: gap %+v", len(out), u.Gap)
		}
		if u.Kind == client.KindData {
			out, at = append(out, u.Readings...), u.Cursor
		}
	}
	return out, at
}

// TestClientAndRawProtocolAgree: the Go client and frames read one by one tell the same of the same stream: snapshot, readings,
// cursors and counts.
func TestClientAndRawProtocolAgree(t *testing.T) {
	r := run(t, func(c *Config) { c.Viewers.Heartbeat = config.Duration(2 * time.Second) })
	p := r.publisher("dev")
	for i := range 5 {
		r.publish(p, fmt.Sprintf("plant/%d/temp", i), fmt.Sprintf("old %d", i))
	}
	v := r.open(nil)
	ok := v.sub(1, "plant/+/temp", map[string]any{"snapshot": true})
	s := r.watch(nil).sub("plant/+/temp", client.SubscribeOptions{Snapshot: true})
	convert := func(in []reading) (out []client.Reading) {
		for _, x := range in {
			payload := []byte(x.Payload)
			if x.Base64 != "" {
				payload = decode64(t, x.Base64)
			}
			out = append(out, client.Reading{Offset: x.O, Time: time.UnixMicro(x.T), Topic: x.Topic, QoS: x.QoS, Retain: x.Retain, Payload: payload})
		}
		return out
	}
	if u := step(t, s); u.Kind != client.KindStart || u.Recovered {
		t.Fatalf("first update %+v", u)
	}
	u := step(t, s)
	if want := convert(v.want("snapshot").Readings); !u.Last || !reflect.DeepEqual(u.Readings, want) || u.Cursor != (client.Cursor{Epoch: ok.Epoch, Offset: ok.Offset}) {
		t.Errorf("snapshot %+v\nwant %+v at %d", u, want, ok.Offset)
	}
	wire := make(chan message, 4096) // read all the while: the bridge cuts who is silent
	go func() {
		defer close(wire)
		for m, err := v.next(); err == nil; m, err = v.next() {
			wire <- m
		}
	}()
	const n = 400
	for i := range n {
		payload := fmt.Sprintf("%d", i)
		if i%7 == 0 {
			payload = "\xff\xfe" + payload
		}
		r.publish(p, fmt.Sprintf("plant/%d/temp", i%5), payload)
		r.publish(p, "elsewhere", "x")
	}
	got, at := readings(t, s, n)
	var raw []reading
	var hb message
	cursor := ok.Offset
	for m := range wire {
		switch m.Type {
		case "batch":
			if m.From != cursor {
				t.Fatalf("batch (%d,%d] after cursor %d", m.From, m.To, cursor)
			}
			cursor, raw = m.To, append(raw, m.Readings...)
		case "heartbeat":
			hb = m
		}
		if hb.Delivered["1"] == n {
			break
		}
	}
	if want := convert(raw); !reflect.DeepEqual(got, want) {
		t.Error("the client's readings are not those of the wire")
	}
	if stats := s.Stats(); stats.Delivered != hb.Delivered["1"] || stats != (client.Stats{Delivered: n}) || at.Epoch != hb.Epoch || at.Offset > hb.Head {
		t.Errorf("client %+v at %s, wire: %d delivered, head %d", stats, at, hb.Delivered["1"], hb.Head)
	}
}

// TestClientConflates: with the modes that leave messages out, what came and what the bridge says it left out are all that was
// published, and the heartbeats agree.
func TestClientConflates(t *testing.T) {
	r := run(t, func(c *Config) { c.Viewers.Heartbeat = config.Duration(2 * time.Second) })
	p := r.publisher("dev")
	w := r.watch(nil)
	for _, o := range []client.SubscribeOptions{{Mode: client.ModeLatest, Every: 30 * time.Millisecond}, {Mode: client.ModeSample, Every: 40 * time.Millisecond}} {
		s := w.sub("plant/#", o)
		step(t, s)
		const n = 500
		var publishing sync.WaitGroup
		publishing.Go(func() {
			for i := range n {
				if err := send(p, fmt.Sprintf("plant/%d", i%3), fmt.Sprint(i)); err != nil {
					t.Error(err)
				}
			}
		})
		last := map[string]string{}
		for stats := s.Stats(); stats.Delivered+stats.Conflated < n; stats = s.Stats() {
			for _, x := range step(t, s).Readings {
				last[x.Topic] = string(x.Payload)
			}
		}
		publishing.Wait()
		if stats := s.Stats(); stats.Delivered+stats.Conflated != n || stats.Conflated == 0 || last["plant/1"] != fmt.Sprint(n-1) {
			t.Errorf("%s: %+v of %d, last %v", o.Mode, stats, n, last)
		}
		for range 2 { // nothing else goes out now
			sent := r.metric("bridge_ws_bytes_total")
			eventually.Must(t, "a heartbeat", func() bool { return r.metric("bridge_ws_bytes_total") > sent })
		}
		_ = s.Close()
	}
	if e := append(w.of(client.EventBroken), w.of(client.EventDisconnected)...); len(e) != 0 {
		t.Errorf("events %+v", e)
	}
}

// TestClientOutlivesCuts: cut again and again under load, at any moment; nothing is lost, nothing comes twice, in order.
func TestClientOutlivesCuts(t *testing.T) {
	r := run(t, nil)
	p := r.publisher("dev")
	w := r.watch(nil)
	s := w.sub("#", client.SubscribeOptions{Snapshot: true})
	for !step(t, s).Last { // the stream stands when the snapshot is complete
	}
	const n, cuts = 3000, 25
	go func() {
		for i := range n {
			if send(p, "a", fmt.Sprint(i)) != nil {
				return
			}
		}
	}()
	seen, missing, sessions := 0, 0, 0
	for seen < n {
		u := step(t, s)
		if u.Kind == client.KindGap {
			missing++
		}
		for _, x := range u.Readings {
			if string(x.Payload) != fmt.Sprint(seen) {
				t.Fatalf("reading %d is %q", seen, x.Payload)
			}
			seen++
		}
		if sessions < cuts && seen > sessions*n/cuts && len(w.of(client.EventConnected)) > sessions {
			sessions++
			w.cut()
		}
	}
	if st := s.Stats(); missing > 0 || st.Gaps > 0 || st.Broken > 0 || st.Resumes == 0 {
		t.Errorf("%d gaps, stats %+v", missing, st)
	}
	if sessions < cuts/2 {
		t.Errorf("only %d cuts happened", sessions)
	}
}

// TestClientAndBadCursors is N92 for the client: never other data, the loss is declared.
func TestClientAndBadCursors(t *testing.T) {
	r := run(t, nil)
	p := r.publisher("dev")
	for i := range 5 {
		r.publish(p, "a", fmt.Sprint(i))
	}
	w := r.watch(nil)
	epoch := r.b.journal.Epoch()
	for _, tc := range []struct {
		since  client.Cursor
		reason string
	}{
		{client.Cursor{Epoch: "of another journal", Offset: 1}, "epoch"},
		{client.Cursor{Epoch: epoch, Offset: 6}, "ahead"},
	} {
		s := w.sub("a", client.SubscribeOptions{Since: tc.since})
		gap := step(t, s)
		start := step(t, s)
		if gap.Kind != client.KindGap || gap.Gap.Reason != tc.reason || gap.Gap.From != tc.since || start.Kind != client.KindStart || start.Recovered || start.Cursor.Epoch != epoch {
			t.Errorf("since %s: %+v, then %+v", tc.since, gap, start)
		}
	}
	for _, since := range []client.Cursor{{Offset: 1}, {Epoch: epoch, Offset: 1<<53 + 1}} {
		if _, err := w.Subscribe("a", client.SubscribeOptions{Since: since}); !errors.Is(err, client.ErrCursor) {
			t.Errorf("since %+v: %v", since, err)
		}
	}
	got, _ := readings(t, w.sub("a", client.SubscribeOptions{Since: client.Cursor{Epoch: epoch}}), 5) // the very beginning is a place
	if string(got[0].Payload) != "0" {
		t.Errorf("from the beginning: %+v", got)
	}
}

// TestClientRefreshesInPlace: before its token ends it brings a new one, and the session goes on.
func TestClientRefreshesInPlace(t *testing.T) {
	t.Parallel()
	r := run(t, func(c *Config) { c.Auth.JWT.Leeway = 0 })
	w := r.watch(func(o *client.Options) {
		o.Token = func(context.Context) (string, error) {
			return r.token(map[string]any{"exp": time.Now().Add(short).Unix(), "jti": fmt.Sprint(time.Now().UnixNano())}), nil
		}
	})
	s := w.sub("#", client.SubscribeOptions{})
	eventually.Must(t, "two new tokens", func() bool { return len(w.of(client.EventRefreshed)) >= 2 })
	p := r.publisher("dev")
	r.publish(p, "a", "still here")
	readings(t, s, 1)
	if e := w.of(client.EventDisconnected); len(e) != 0 {
		t.Errorf("disconnected: %+v", e)
	}
}

// TestClientAfterExpiry: 4200 brings it back at once with a new token, where it was.
func TestClientAfterExpiry(t *testing.T) {
	t.Parallel()
	r := run(t, func(c *Config) { c.Auth.JWT.Leeway = 0 })
	first := r.token(map[string]any{"exp": time.Now().Add(short).Unix()})
	var asked atomic.Int32
	w := r.watch(func(o *client.Options) {
		o.Token = func(ctx context.Context) (string, error) {
			switch asked.Add(1) {
			case 1:
				return first, nil
			case 2: // the refresh comes to nothing: the session must end
				<-ctx.Done()
				return "", ctx.Err()
			default:
				return r.token(nil), nil
			}
		}
	})
	s := w.sub("#", client.SubscribeOptions{})
	step(t, s)
	p := r.publisher("dev")
	r.publish(p, "a", "0")
	readings(t, s, 1)
	eventually.Must(t, "the end of the token", func() bool { return len(w.of(client.EventDisconnected)) == 1 })
	r.publish(p, "a", "1")
	readings(t, s, 1)
	e := w.of(client.EventDisconnected)[0]
	var closed *client.CloseError
	if !errors.As(e.Err, &closed) || closed.Code != 4200 || e.Wait != 0 {
		t.Errorf("disconnected %+v", e)
	}
	if st := s.Stats(); st != (client.Stats{Delivered: 2, Resumes: 1}) {
		t.Errorf("stats %+v", st)
	}
}

// TestClientRevoked: it does not come back.
func TestClientRevoked(t *testing.T) {
	list := filepath.Join(t.TempDir(), "revoked")
	if err := os.WriteFile(list, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	r := run(t, func(c *Config) { c.Auth.RevocationFile = list })
	w := r.watch(nil)
	if err := os.WriteFile(list, []byte("sub:anna\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	<-w.Done()
	var closed *client.CloseError
	if err := w.Err(); !errors.As(err, &closed) || closed.Code != 4007 {
		t.Errorf("ended with %v", err)
	}
}

// TestClientRefused: what the bridge refuses for good ends Dial at once, with the reason and without the token.
func TestClientRefused(t *testing.T) {
	r := run(t, nil)
	for _, tc := range []struct {
		name   string
		change func(*client.Options)
		want   string
		retry  bool
	}{
		{"token of somebody else", func(o *client.Options) {
			o.Token = func(context.Context) (string, error) { return r.token(map[string]any{"iss": "elsewhere"}), nil }
		}, "4002", false},
		{"no token", func(o *client.Options) { o.Token = func(context.Context) (string, error) { return "", nil } }, "empty token", true},
		{"wrong path", func(o *client.Options) { o.URL = strings.TrimSuffix(o.URL, "ws") + "elsewhere" }, "404", false},
		{"unknown authority", func(o *client.Options) {
			o.TLS = &tls.Config{RootCAs: x509.NewCertPool(), MinVersion: tls.VersionTLS12}
		}, "unknown authority", true},
		{"another name", func(o *client.Options) { o.TLS.ServerName = "elsewhere.example" }, "elsewhere.example", true},
		{"ws to wss", func(o *client.Options) { o.URL = strings.Replace(o.URL, "wss", "ws", 1) }, "400", false},
	} {
		t.Run(tc.name, func(t *testing.T) {
			o := client.Options{URL: r.url(), TLS: r.tls(), Token: func(context.Context) (string, error) { return r.token(nil), nil }}
			tc.change(&o)
			ctx, cancel := context.WithTimeout(t.Context(), patience)
			defer cancel()
			if tc.retry { // may be mended at the bridge: it is tried again until the caller has enough
				o.OnEvent = func(client.Event) { cancel() }
			}
			_, err := client.Dial(ctx, o)
			if err == nil || !strings.Contains(err.Error(), tc.want) || strings.Contains(err.Error(), "eyJ") {
				t.Errorf("Dial: %v, want %s", err, tc.want)
			}
			if errors.Is(err, context.Canceled) != tc.retry {
				t.Errorf("Dial: %v: tried again: %v", err, tc.retry)
			}
		})
	}
}
