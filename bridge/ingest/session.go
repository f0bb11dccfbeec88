package ingest

import (
	"sync"
	"time"

	mqtt "github.com/mochi-mqtt/server/v2"

	"plumbline/bridge/journal"
	"plumbline/bridge/topic"
)

// session is one client's: its subscriptions, what waits for it and what is under way in both directions. It is a reader of the
// journal. While it keeps up, the dispatcher puts entries into queue; else it is behind and its pump reads the journal itself.
type session struct {
	ss   *sessions
	id   string
	user string // changes in attach only, with both locks held

	// Owned by the dispatcher, under sessions.mu.
	hitAt uint64
	hits  []*subscription

	answering  sync.Mutex // around a subscription with its SUBACK, and around what the pump sends; before all others
	saving     sync.Mutex // around a save, so that a newer state is never replaced by an older; before mu
	appendable bool       // the file is there and ends with a line; guarded by saving

	mu      sync.Mutex
	client  *mqtt.Client // nil while away
	conn    *conn        // of client
	up      bool         // client has its CONNACK, and packets may follow
	expiry  uint32       // seconds that the session outlives its connection
	keep    bool         // counted in sessions.kept
	claimed uint64       // the number of its last connection, see conn
	claims  bool         // its connection has none yet
	wish    *keptWill    // the will of that, for the other bridges
	left    time.Time    // when the last connection ended
	ended   bool
	will    *keptWill // that waits for its delay, nil for none
	dirty   bool      // differs from what is saved, in what may be saved later
	subs    map[string]*subscription
	filters int                 // bytes of them
	quota   int                 // messages that may be under way to the client
	lastID  uint16              // packet identifier given last
	flights []*flight           // under way to the client, in the order of sending
	taken   map[uint16]struct{} // QoS 2 messages from the client, stored and not released yet

	seen     uint64        // every entry up to it is in queue or flights, done, or not for this session
	behind   bool          // entries after seen are read by the pump, not offered; always while away
	awayTo   uint64        // QoS 0 is not kept for a client that is away: entries up to here with it are passed over
	loading  *subscription // whose retained messages are in retained
	retained []item
	queue    []item
	queued   int // bytes

	pumping, again bool
}

// item is a message on its way to the client.
type item struct {
	journal.Entry
	qos    byte // as granted
	retain bool // the flag to send
	stored bool // a retained message, for a new subscription
	ids    []int
}

// flight is a QoS 1 or 2 message under way to the client.
type flight struct {
	item
	id       uint16
	released bool   // PUBREC came, PUBREL is due or sent
	sent     bool   // on this connection
	dup      bool   // sent on an earlier one
	wanted   string // topic of a retained message that has to be read again
}

func newSession(ss *sessions, id, user string) *session {
	return &session{ss: ss, id: id, user: user, subs: map[string]*subscription{}, taken: map[uint16]struct{}{}, seen: ss.log.Head().Offset, behind: true}
}

// abandoned reports whether nobody is the session's user any more.
func (s *session) abandoned() bool {
	u := s.ss.b.opts.Users
	return u != nil && !u.has(s.user)
}

// attach gives the session a connection. Called with sessions.mu held.
func (s *session) attach(cl *mqtt.Client, c *conn, expiry uint32, head uint64) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.rewind()
	s.claims = s.ss.b.opts.Cluster != nil
	s.client, s.conn, s.user, s.expiry, s.keep = cl, c, string(cl.Properties.Username), expiry, expiry > 0
	s.awayTo = head
	s.quota = maxWindow
	if cl.Properties.ProtocolVersion == 5 && cl.Properties.Props.ReceiveMaximum > 0 {
		s.quota = min(s.quota, int(cl.Properties.Props.ReceiveMaximum))
	}
	for _, f := range s.flights { // sent again with their identifiers, in their order [MQTT-4.4.0-1] [MQTT-4.6.0-1]
		f.dup, f.sent = f.dup || f.sent, false
	}
	s.dirty = true
	if c.session = s; c.client == nil { // others may look at the connection by now, when its session begins anew
		c.client = cl
	}
}

// rewind forgets what waits in memory, which the journal still has. Called with mu held.
func (s *session) rewind() {
	s.seen = s.cursor()
	s.behind = true
	if len(s.retained) > 0 {
		s.loading.retainedFrom = s.retained[0].Offset - 1
	}
	s.queue, s.queued, s.retained = nil, 0, nil
}

// cursor returns up to which offset everything is under way, done, or not for this session. Called with mu held.
func (s *session) cursor() uint64 {
	switch {
	case len(s.queue) > 0:
		return s.queue[0].Offset - 1
	case s.behind, s.client == nil: // what is dispatched meanwhile is not offered to it
		return s.seen
	}
	return max(s.seen, s.ss.position.Load())
}

// begin lets packets follow: the client has its CONNACK.
func (s *session) begin() {
	s.mu.Lock()
	s.up = true
	s.mu.Unlock()
	s.kick()
}

// detach takes the connection away. Called with sessions.mu held.
func (s *session) detach(expiry uint32, now time.Time) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.rewind()
	s.client, s.conn, s.up, s.left, s.expiry, s.dirty = nil, nil, false, now, expiry, true
}

// finish ends the session for good and reports whether it was one that outlives its connections.
func (s *session) finish() (kept bool) {
	s.saving.Lock() // no save may come after the removal
	defer s.saving.Unlock()
	s.mu.Lock()
	kept = s.keep && !s.ended
	s.ended, s.client, s.conn, s.up, s.keep = true, nil, nil, false, false
	s.mu.Unlock()
	if s.ss.store != nil && kept {
		s.ss.store.remove(s.id)
	}
	return kept
}

// due reports whether the session's time is over, and else whether it has something to save.
func (s *session) due(now time.Time) (over, changed bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.client == nil && now.Sub(s.left) > time.Duration(s.expiry)*time.Second {
		return true, false
	}
	return false, s.dirty && s.keep
}

// setWill notes the will that waits.
func (s *session) setWill(w *keptWill) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.will, s.dirty = w, true
}

// dropWill notes that the will waits no more. Another one, of a connection that came and went meanwhile, goes on waiting.
func (s *session) dropWill(w *keptWill) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.will == w {
		s.will, s.dirty = nil, true
	}
}

// connection returns the connection that the session has; nil is no session.
func (s *session) connection() *conn {
	if s == nil {
		return nil
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.conn
}

func (s *session) fallBehind() {
	s.mu.Lock()
	s.behind = true
	s.mu.Unlock()
	s.kick()
}

// offer takes an entry that some of the session's subscriptions match. Called by the dispatcher, with sessions.mu held.
func (s *session) offer(e *journal.Entry, hits []*subscription) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.client == nil || s.behind || e.Offset <= s.seen {
		return
	}
	if len(s.queue) >= maxQueue || s.queued > maxQueueBytes {
		s.behind = true // the pump will find it in the journal
		return
	}
	if it, ok := s.combine(e, hits); ok {
		s.push(it)
	}
	s.seen = e.Offset
}

func (s *session) push(it item) {
	s.queue = append(s.queue, it)
	s.queued += it.size()
}

// size is what a message holds of memory, about.
func (it *item) size() int { return len(it.Topic) + len(it.Payload) + len(it.Meta) }

// lags reports whether the client waits for what the journal has already.
func (s *session) lags() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.up && s.behind
}

// combine makes one message of an entry that several subscriptions may match: with the highest QoS, and all identifiers
// [MQTT-3.3.4-2..4].
func (s *session) combine(e *journal.Entry, hits []*subscription) (it item, ok bool) {
	for _, sub := range hits {
		if e.Offset <= sub.since {
			continue
		}
		if sub.NoLocal {
			if origin, _, err := parseMeta(e.Meta); err == nil && origin == s.id { // [MQTT-3.8.3-3]
				continue
			}
		}
		ok = true
		it.qos = max(it.qos, min(e.QoS, sub.QoS))
		it.retain = it.retain || e.Retain && sub.RetainAsPublished // [MQTT-3.3.1-12] [MQTT-3.3.1-13]
		if sub.Identifier > 0 {
			it.ids = append(it.ids, sub.Identifier)
		}
	}
	it.Entry = *e
	return it, ok
}

// takeIn puts those of the entries, which the pump has read, into the queue that are for the session. Called with mu held.
func (s *session) takeIn(entries []journal.Entry) {
	var tree topic.Tree[*subscription] // many filters cost one walk
	for _, sub := range s.subs {
		tree.Add(sub.filter, sub)
	}
	var hits []*subscription
	for i := range entries {
		e := &entries[i]
		hits = tree.Match(hits[:0], e.Topic)
		if it, ok := s.combine(e, hits); ok && (it.qos > 0 || e.Offset > s.awayTo) {
			s.push(it)
		}
		s.seen = e.Offset
	}
}

// hearsItself reports whether a subscription of the session wants to know who published.
func (s *session) hearsItself() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, sub := range s.subs {
		if sub.NoLocal {
			return true
		}
	}
	return false
}
