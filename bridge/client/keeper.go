package client

import (
	"slices"
	"time"

	"github.com/gorilla/websocket"
)

// keep sends commands, watches that the bridge is heard, and says goodbye.
func (s *session) keep() {
	clock := s.c.o.Clock
	for {
		fired, stop := clock.After(s.look())
		var err error
		select {
		case <-s.ctx.Done():
			stop()
			s.goodbye()
			return
		case <-s.poke:
			err = s.align()
		case token := <-s.tokens:
			s.mu.Lock()
			s.token = token
			s.mu.Unlock()
			err = s.send(authCmd{"auth", token})
		case <-fired:
			err = s.check()
		}
		stop()
		if err != nil {
			s.fail(err)
			return
		}
	}
}

// look returns the time until the next check.
func (s *session) look() time.Duration {
	if limit := time.Duration(s.limit.Load()); limit > 0 {
		return limit / 4
	}
	return s.c.o.Timeout
}

// check fails when the bridge is not heard any more: at 1.5 to 1.9 heartbeats. While a consumer keeps the reader from listening
// nothing can be heard, and the bridge's pings stay unanswered; an unasked pong (RFC 6455 section 5.5.3) tells it that we live.
func (s *session) check() error {
	limit := time.Duration(s.limit.Load())
	switch silent := s.c.o.Clock.Now().Sub(s.began) - time.Duration(s.heard.Load()); {
	case limit == 0:
		return errLate
	case s.blocked.Load():
		_ = s.ws.WriteControl(websocket.PongMessage, nil, time.Now().Add(s.c.o.Timeout)) // a dead connection shows when we read again
	case s.reading.Load() && silent >= limit:
		return errSilent
	}
	return nil
}

// align brings what the bridge knows of subscriptions to what the client has.
func (s *session) align() error {
	s.c.mu.Lock()
	want := make([]*Subscription, 0, len(s.c.subs))
	have := make(map[int64]bool, len(s.c.subs))
	for id, sub := range s.c.subs {
		want = append(want, sub)
		have[id] = true
	}
	s.c.mu.Unlock()
	slices.SortFunc(want, func(a, b *Subscription) int { return int(a.id - b.id) })
	var gone []int64
	s.mu.Lock()
	for id := range s.feeds {
		if !have[id] {
			gone = append(gone, id)
			delete(s.feeds, id)
		}
	}
	s.mu.Unlock()
	for _, id := range gone {
		if err := s.send(unsubCmd{"unsub", id}); err != nil {
			return err
		}
	}
	for _, sub := range want {
		if err := s.subscribe(sub); err != nil {
			return err
		}
	}
	return nil
}

func (s *session) subscribe(sub *Subscription) error {
	s.mu.Lock()
	_, known := s.feeds[sub.id]
	f := &feed{sub: sub}
	if !known {
		f.asked = sub.since()
		s.feeds[sub.id] = f
	}
	s.mu.Unlock()
	if known {
		return nil
	}
	cmd := subCmd{Type: "sub", ID: sub.id, Filter: sub.filter, Mode: sub.opts.Mode, Snapshot: sub.opts.Snapshot}
	if sub.opts.Mode == ModeSample {
		cmd.EveryMS = sub.opts.Every.Milliseconds()
	} else {
		cmd.TickMS = sub.opts.Every.Milliseconds()
	}
	if f.asked != nil {
		cmd.Since = &sinceCmd{f.asked.Epoch, f.asked.Offset}
	}
	return s.send(cmd)
}

// refresh fetches a new token, again and again until there is one that differs from the one in use: sending that once more would
// make the bridge ask once more.
func (s *session) refresh() {
	defer s.refreshing.Store(false)
	for n := 1; ; n++ {
		token, err := s.c.o.Token(s.ctx)
		if err == nil && token == "" {
			err = errNoToken
		}
		if err == nil && token != s.currentToken() {
			select {
			case s.tokens <- token:
			case <-s.ctx.Done():
			}
			return
		}
		if s.ctx.Err() != nil {
			return
		}
		wait := s.c.backoff(n)
		if err != nil {
			s.c.event(Event{Kind: EventRefreshFailed, Err: err, Wait: wait})
		}
		if !s.c.rest(s.ctx, wait) {
			return
		}
	}
}

// goodbyeWait is how long the bridge may take for its half of the closing handshake.
const goodbyeWait = time.Second

// goodbye ends the connection from this side, unless it has ended.
func (s *session) goodbye() {
	select {
	case <-s.over:
		return
	default:
	}
	end := time.Now().Add(goodbyeWait)
	if s.ws.WriteControl(websocket.CloseMessage, websocket.FormatCloseMessage(websocket.CloseNormalClosure, ""), end) == nil {
		fired, stop := s.c.o.Clock.After(goodbyeWait)
		defer stop()
		select {
		case <-s.over:
		case <-fired:
		}
	}
	_ = s.raw.Close()
}
