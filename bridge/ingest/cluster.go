package ingest

import (
	"context"
	"encoding/json"
	"errors"
	"sync"
	"time"

	mqtt "github.com/mochi-mqtt/server/v2"
	"github.com/mochi-mqtt/server/v2/packets"

	"plumbline/bridge/internal/presence"
)

// A client id has one connection in the whole cluster, as MQTT has it for one server [MQTT-3.1.4-3]. Who connects takes the id over, and
// stores the will of the connection that it had at another bridge before it gets its CONNACK. The other bridge learns of it a moment
// later, or much later: what it sends by then is known by the number of the connection, which the log has.

// tasks are goroutines that Close waits for.
type tasks struct {
	mu     sync.Mutex
	closed bool
	wg     sync.WaitGroup
}

// run runs f on a goroutine of its own, unless the broker is closed.
func (t *tasks) run(f func()) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if !t.closed {
		t.wg.Go(f)
	}
}

func (t *tasks) close() {
	t.mu.Lock()
	t.closed = true
	t.mu.Unlock()
	t.wg.Wait()
}

// claim makes a client that has got its session known to the other bridges, and takes it over from the one that it was at. It reports
// whether the client may have that id.
func (h *hook) claim(cl *mqtt.Client, c *conn, connect packets.ConnectParams) bool {
	b := h.b
	if b.opts.Cluster == nil {
		return true
	}
	d := presence.Device{ID: cl.ID, User: string(cl.Properties.Username), Expiry: b.sessions.expiryOf(cl)}
	var will *keptWill
	if connect.WillFlag {
		will = willOf(cl, connect)
		d.Will, d.Delay = encodeWill(will), will.Delay
	}
	got, err := b.opts.Cluster.Claim(b.ctx, d, func(former presence.Device) bool {
		return former.User == d.User || b.opts.Users != nil && !b.opts.Users.has(former.User)
	})
	if errors.Is(err, presence.ErrRefused) {
		b.sessions.mu.Lock()
		b.sessions.end(c.session) // else it would keep out the client whose id it is
		b.sessions.mu.Unlock()
		return false
	}
	if err != nil {
		defer b.opts.Cluster.Again()
		b.log.Debug("mqtt client is not known to the other bridges yet", "client", cl.ID, "error", err)
	}
	c.number = got.Number
	if b.sessions.number(c, got, will) {
		c.present = false
	}
	if got.Moved {
		b.wills.former(c.ctx, got.Former, connect.Clean)
	}
	return true
}

// number notes the number of a session's connection. A session that the client has had at another bridge since begins anew: what it
// was told there is not known here. It reports that.
func (ss *sessions) number(c *conn, got presence.Claim, will *keptWill) (anew bool) {
	ss.mu.Lock()
	defer ss.mu.Unlock()
	s := c.session
	s.mu.Lock()
	anew = got.Moved && c.present && s.claimed < got.Former.Number
	expiry := s.expiry
	if !anew {
		s.claimed, s.wish, s.claims, s.dirty = got.Number, will, false, true
	}
	s.mu.Unlock()
	if !anew {
		return false
	}
	client := c.client
	ss.end(s)
	fresh := newSession(ss, s.id, s.user)
	ss.byID[s.id] = fresh
	fresh.attach(client, c, expiry, ss.log.Head().Offset)
	fresh.mu.Lock()
	fresh.claimed, fresh.wish, fresh.claims = got.Number, will, false
	fresh.mu.Unlock()
	if fresh.keep {
		ss.count(true)
	}
	ss.b.log.Info("mqtt session begins anew: its client was at another bridge since", "client", s.id)
	return true
}

func encodeWill(w *keptWill) []byte {
	raw, _ := json.Marshal(w) // texts, bytes and numbers: it does not fail
	return raw
}

// Devices implements presence.Broker.
func (b *Broker) Devices() (all []presence.Device) {
	known := map[string]bool{}
	b.sessions.mu.Lock()
	for _, s := range b.sessions.byID {
		s.mu.Lock()
		d, will := presence.Device{ID: s.id, User: s.user, Number: s.claimed, Expiry: s.expiry, State: presence.Away}, s.will
		if s.client != nil {
			d.State, will = presence.Here, s.wish
		}
		s.mu.Unlock()
		if will != nil {
			d.State, d.Will, d.Delay = presence.Here, encodeWill(will), will.Delay
		}
		if d.Number > 0 { // else it has not been in the cluster, or claims itself just now
			all = append(all, d)
			known[d.ID] = true
		}
	}
	b.sessions.mu.Unlock()
	for _, d := range b.wills.waiting() {
		if !known[d.ID] {
			all = append(all, d)
		}
	}
	return all
}

// Taken implements presence.Broker.
func (b *Broker) Taken(id string, number uint64) {
	b.tasks.run(func() {
		ss := b.sessions
		for {
			ss.mu.Lock()
			s := ss.byID[id]
			ss.mu.Unlock()
			former, claims, older := s.standing(number)
			switch {
			case claims: // it is not known yet which of the two is the newer
				select {
				case <-time.After(claimTime):
				case <-b.ctx.Done():
					return
				}
				continue
			case !older:
				return
			case former != nil:
				former.takeOver()
				continue
			}
			b.wills.cancel(id, number)
			ss.mu.Lock()
			if former, _, older := s.standing(number); ss.byID[id] == s && older && former == nil {
				ss.end(s)
			}
			ss.mu.Unlock()
			b.log.Info("mqtt client is at another bridge now", "client", id)
			return
		}
	})
}

// claimTime is after how long it is looked again whether a connection has its number.
const claimTime = 20 * time.Millisecond

// standing returns the session's connection, nil for none; whether that has no number yet; and whether the last number is below this one.
func (s *session) standing(number uint64) (c *conn, claims, older bool) {
	if s == nil {
		return nil, false, false
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.conn, s.conn != nil && s.claims, s.claimed < number
}

// Orphan implements presence.Broker.
func (b *Broker) Orphan(d presence.Device) error { return b.orphan(b.ctx, d) }

func (b *Broker) orphan(ctx context.Context, d presence.Device) error {
	var will keptWill
	if err := json.Unmarshal(d.Will, &will); err != nil {
		b.log.Error("will not sent", "client", d.ID, "error", err)
		return nil
	}
	if !b.wills.publish(ctx, d.ID, d.User, d.Number, &will) {
		return errAgain
	}
	return nil
}

var errAgain = errors.New("ingest: the will is not stored yet")

// CutMourned implements presence.Broker.
func (b *Broker) CutMourned() {
	b.tasks.run(func() {
		var mourned []*conn
		b.sessions.mu.Lock()
		for _, s := range b.sessions.byID {
			if c := s.wishing(); c != nil {
				mourned = append(mourned, c)
			}
		}
		b.sessions.mu.Unlock()
		endAll(mourned, packets.ErrServerBusy)
	})
}

// wishing returns the session's connection if that has a will, else nil.
func (s *session) wishing() *conn {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.wish == nil {
		return nil
	}
	return s.conn
}

// settle tells the cluster how it is with a session whose connection of that number has ended.
func (ss *sessions) settle(id string, number uint64) {
	if ss.b.opts.Cluster == nil || number == 0 {
		return
	}
	to := presence.Gone
	ss.mu.Lock()
	if s := ss.byID[id]; s != nil && s.keep {
		to = presence.Away
	}
	ss.mu.Unlock()
	ss.b.opts.Cluster.Settle(id, number, to)
}

// leave tells the cluster that this bridge ends in order, and its clients are sent elsewhere.
func (b *Broker) leave() {
	if b.opts.Cluster == nil {
		return
	}
	var here []presence.Device
	for _, d := range b.Devices() {
		if d.State == presence.Here && len(d.Will) > 0 {
			here = append(here, d)
		}
	}
	b.opts.Cluster.Leave(b.ctx, here)
}
