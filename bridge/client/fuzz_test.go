package client

import (
	"context"
	"testing"
)

// FuzzServerMessages: whatever the bridge says, the client neither fails nor hands out what does not follow: the cursor of a
// subscription goes forward only, each reading lies behind the one before, and the account is that of the updates.
func FuzzServerMessages(f *testing.F) {
	for _, seed := range [][3]string{
		{fresh, batch(9, 12, 10, 12), batch(12, 12)},
		{fresh, `{"type":"gap","id":1,"from":9,"to":20,"count":11,"reason":"evicted"}`, batch(20, 21, 21)},
		{`{"type":"subok","id":1,"epoch":"E","offset":5,"recovered":true}`, batch(5, 6, 6), `{"type":"heartbeat","cursors":{"1":6},"delivered":{"1":1},"gaps":{}}`},
		{fresh, `{"type":"snapshot","id":1,"part":1,"parts":1,"readings":[{"o":3,"t":1,"topic":"a","qos":0,"base64":"AA=="}]}`, batch(9, 10)},
		{`{"type":"suberr","id":1,"reason":"forbidden","detail":""}`, `{"type":"draining","retry_ms":1}`, `{"type":"auth-expiring"}`},
		{`{"type":"authok"}`, `{"id":1e999}`, `[[[]]]`},
	} {
		f.Add(seed[0], seed[1], seed[2], true)
		f.Add(seed[0], seed[1], seed[2], false)
	}
	f.Fuzz(func(t *testing.T, one, two, three string, snapshot bool) {
		o, err := Options{URL: "ws://localhost/ws", Token: func(context.Context) (string, error) { return "t", nil }}.filled()
		if err != nil {
			t.Fatal(err)
		}
		c := &Client{o: o, done: make(chan struct{}), welcomed: make(chan struct{}), subs: map[int64]*Subscription{}}
		c.ctx, c.cancel = context.WithCancel(t.Context())
		s, err := c.Subscribe("#", SubscribeOptions{Since: Cursor{"E", 5}, Snapshot: snapshot})
		if err != nil {
			t.Fatal(err)
		}
		ses := newSession(c)
		ses.welcome = true
		ses.feeds[s.id] = &feed{sub: s, asked: s.since()}
		at, last, delivered := s.at, uint64(0), uint64(0)
		for _, text := range []string{one, two, three} {
			err := ses.handle([]byte(text))
			for len(s.queue) > 0 {
				u, err := s.Next(t.Context())
				if err != nil {
					t.Fatal(err)
				}
				delivered += check(t, u, &at, &last)
			}
			if err != nil {
				break
			}
		}
		c.cancel()
		ses.wg.Wait()
		if got := s.Stats().Delivered; got != delivered {
			t.Errorf("%d counted as delivered, %d handed out", got, delivered)
		}
	})
}

// check holds one update to what came before and returns its readings.
func check(t *testing.T, u Update, at *Cursor, last *uint64) uint64 {
	t.Helper()
	if !u.Cursor.IsZero() {
		if err := u.Cursor.Valid(); err != nil {
			t.Errorf("cursor %+v: %v", u.Cursor, err)
		}
		if u.Kind == KindData && (u.Cursor.Epoch != at.Epoch || u.Cursor.Offset < at.Offset) {
			t.Errorf("the cursor went from %s to %s", at, u.Cursor)
		}
		*at = u.Cursor
	} else if u.Kind == KindGap {
		*at = u.Gap.To
	}
	if u.Kind != KindData {
		*last = 0
		return 0
	}
	for _, r := range u.Readings {
		if r.Offset <= *last || r.Offset > u.Cursor.Offset {
			t.Errorf("reading %d behind %d, cursor %s", r.Offset, *last, u.Cursor)
		}
		*last = r.Offset
	}
	return uint64(len(u.Readings))
}

func FuzzCursor(f *testing.F) {
	for _, seed := range []string{"", "E:5", ":5", "E:", "a:b:7", "E:18446744073709551616"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, text string) {
		c, err := ParseCursor(text)
		if err != nil {
			return
		}
		if back, err := ParseCursor(c.String()); err != nil || back != c || c.String() != text {
			t.Errorf("%q: %+v, then %+v, %v", text, c, back, err)
		}
		if !c.IsZero() && c.Valid() != nil {
			t.Errorf("%q gives %+v, which is no place", text, c)
		}
	})
}
