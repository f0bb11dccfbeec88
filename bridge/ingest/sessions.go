package ingest

import (
	"context"
	"errors"
	"sync"
	"sync/atomic"
	"time"

	mqtt "github.com/mochi-mqtt/server/v2"
	"github.com/mochi-mqtt/server/v2/packets"

	"plumbline/bridge/journal"
	"plumbline/bridge/topic"
)

// Bounds of one session.
const (
	maxFilters     = 1000 // subscriptions
	maxFilterBytes = 256 << 10
	maxLevels      = 128     // of a filter: each costs a node of the tree
	maxReceive     = 1024    // QoS 2 messages that a client may have under way, its Receive Maximum (MQTT 5 section 3.2.2.3.3)
	maxWindow      = 1024    // messages under way to a client that does not say how many it takes
	maxWindowBytes = 4 << 20 // of them
	maxQueue       = 256     // entries that wait in memory; what does not fit waits in the journal
	maxQueueBytes  = 1 << 20 // of them
	roundEntries   = 1024    // read from the journal in one go
	roundBytes     = 1 << 20 // of the same
	upkeepEvery    = time.Second
)

// sessions holds the MQTT sessions and gives them what the journal has for them. A session is a reader of the journal: it has a
// cursor, the messages under way, and while it keeps up a short queue. What waits for a client that is slow or away waits in
// the journal, as safely as every message, and costs nothing.
//
// The broker library has sessions of its own, which lose the order, the window and the packet identifiers of what waits (M1,
// M2, M3, M7, D1, D4, D5). It never sees a packet that concerns them.
type sessions struct {
	b     *Broker
	log   Journal
	store *store // nil: sessions end with the process

	position atomic.Uint64 // every entry up to it was offered; written with mu held

	mu      sync.Mutex // before session.mu
	byID    map[string]*session
	kept    int                       // sessions that outlive their connection
	tree    topic.Tree[*subscription] // of connected sessions
	entries []journal.Entry           // scratch of the dispatcher, as are the next two
	hits    []*subscription
	touched []*session

	wake  chan struct{}
	pumps sync.WaitGroup
}

// subscription is one filter of one session. Its options change with both locks held and are read with either.
type subscription struct {
	s      *session
	filter string
	subOptions
	since uint64 // messages up to this offset are not for it

	// Retained messages that a new subscription gets: those with offsets in (retainedFrom, retainedTo]. Guarded by session.mu.
	retainedFrom, retainedTo uint64
}

// subOptions are the options of MQTT 5 section 3.8.3.1, and the identifier.
type subOptions struct {
	QoS               byte `json:"qos,omitempty"`
	NoLocal           bool `json:"noLocal,omitempty"`
	RetainAsPublished bool `json:"retainAsPublished,omitempty"`
	Identifier        int  `json:"identifier,omitempty"`
}

func newSessions(b *Broker, log Journal, st *store) (*sessions, error) {
	ss := &sessions{b: b, log: log, store: st, byID: map[string]*session{}, wake: make(chan struct{}, 1)}
	head := log.Head()
	ss.position.Store(head.Offset)
	if st == nil {
		return ss, nil
	}
	kept, err := st.load(b.log)
	if err != nil {
		return nil, err
	}
	for i := range kept {
		s := restore(ss, &kept[i], head)
		ss.byID[s.id] = s
		ss.kept++
	}
	b.m.MQTTSessions.Set(float64(ss.kept))
	return ss, nil
}

// run offers what comes into the journal to the sessions until ctx ends.
func (ss *sessions) run(ctx context.Context) {
	cancel := ss.log.Watch(ss.look)
	defer cancel()
	for {
		for ss.round() {
			if ctx.Err() != nil {
				return
			}
		}
		select {
		case <-ss.wake:
		case <-ctx.Done():
			return
		}
	}
}

// keep does the upkeep until ctx ends, apart from run: saving takes the disk's time.
func (ss *sessions) keep(ctx context.Context) {
	tick := time.NewTicker(upkeepEvery)
	defer tick.Stop()
	for {
		select {
		case <-tick.C:
			ss.upkeep(time.Now())
		case <-ctx.Done():
			return
		}
	}
}

// poke makes run look at the journal. It never blocks.
func (ss *sessions) poke() {
	select {
	case ss.wake <- struct{}{}:
	default:
	}
}

// round offers the next entries and reports whether there may be more.
func (ss *sessions) round() bool {
	ss.mu.Lock()
	defer ss.mu.Unlock()
	more := ss.offerNext(allSessions)
	for _, s := range ss.touched {
		s.kick()
	}
	ss.forgetTouched()
	return more
}

func (ss *sessions) forgetTouched() {
	clear(ss.touched)
	ss.touched = ss.touched[:0]
}

// offerNext offers the next entries and reports whether there may be more. It stops before one with which more than most sessions
// would have been offered something; those are in touched then. Called with mu held.
func (ss *sessions) offerNext(most int) (more bool) {
	at := ss.position.Load()
	if ss.tree.Empty() {
		ss.position.Store(ss.log.Head().Offset) // nobody listens
		return false
	}
	entries, err := ss.log.ReadInto(ss.entries[:0], at, roundEntries, roundBytes)
	ss.entries = entries
	var gone journal.ErrEvicted
	switch {
	case errors.As(err, &gone) && most < allSessions:
		return true
	case errors.As(err, &gone): // the sessions find out by themselves
		ss.position.Store(gone.First - 1)
		for _, s := range ss.byID {
			s.fallBehind()
		}
		return true
	case err != nil:
		ss.b.log.Error("mqtt subscribers: journal not read", "error", err)
		return false
	case len(entries) == 0:
		return false
	}
	for i := range entries {
		if !ss.offer(&entries[i], most) {
			break
		}
		ss.position.Store(entries[i].Offset)
	}
	clear(entries)
	return true
}

// offer gives one entry to every session that subscribed to its topic, once to each, unless too many would be in touched then. Called
// with mu held.
func (ss *sessions) offer(e *journal.Entry, most int) bool {
	ss.hits = ss.tree.Match(ss.hits[:0], e.Topic)
	defer clear(ss.hits)
	first := len(ss.touched)
	if len(ss.hits) > most-first {
		return false
	}
	for _, sub := range ss.hits {
		s := sub.s
		if s.hitAt != e.Offset {
			s.hitAt, s.hits = e.Offset, s.hits[:0]
			ss.touched = append(ss.touched, s)
		}
		s.hits = append(s.hits, sub)
	}
	for _, s := range ss.touched[first:] {
		s.offer(e, s.hits)
	}
	return true
}

// attach gives the session of the client's id to its new connection, or makes one. A connection that has the session is ended
// and waited for first. It returns whether the session was there before, or why the client may not have it.
func (ss *sessions) attach(cl *mqtt.Client, c *conn, clean bool) (present bool, refusal packets.Code, reason string) {
	ss.mu.Lock()
	defer ss.mu.Unlock()
	s := ss.byID[cl.ID]
	for ; ; s = ss.byID[cl.ID] {
		switch {
		case s != nil && s.user != string(cl.Properties.Username) && !s.abandoned(): // neither its subscriptions nor what waits for it
			return false, packets.ErrClientIdentifierNotValid, "session"
		case (s == nil || !s.keep) && ss.expiryOf(cl) > 0 && ss.kept >= ss.b.opts.MaxSessions:
			return false, packets.ErrQuotaExceeded, "sessions"
		}
		former := s.connection()
		if former == nil {
			break
		}
		ss.mu.Unlock()
		former.takeOver()
		ss.mu.Lock()
	}
	if s != nil && clean {
		ss.end(s)
		s = nil
	}
	present = s != nil
	if s == nil {
		s = newSession(ss, cl.ID, string(cl.Properties.Username))
		ss.byID[cl.ID] = s
	}
	wasKept := s.keep
	s.attach(cl, c, ss.expiryOf(cl), ss.log.Head().Offset)
	if s.keep != wasKept {
		ss.count(s.keep)
	}
	for _, sub := range s.subs {
		ss.tree.Add(sub.filter, sub)
	}
	return present, packets.CodeSuccess, ""
}

// count follows how many sessions outlive their connections. Called with mu held.
func (ss *sessions) count(more bool) {
	if more {
		ss.kept++
	} else {
		ss.kept--
	}
	ss.b.m.MQTTSessions.Set(float64(ss.kept))
}

// expiryOf returns how many seconds the client's session lives on without it.
func (ss *sessions) expiryOf(cl *mqtt.Client) uint32 {
	most := uint32(ss.b.opts.SessionExpiry / time.Second)
	if cl.Properties.ProtocolVersion == 5 {
		return min(cl.Properties.Props.SessionExpiryInterval, most)
	}
	if cl.Properties.Clean {
		return 0
	}
	return most
}

// detach takes the session from a connection that has ended; it lives on for its expiry interval.
func (ss *sessions) detach(c *conn) {
	s := c.session
	if s == nil {
		return
	}
	ss.mu.Lock()
	s.detach(ss.expiryOf(c.client), time.Now())
	for _, sub := range s.subs {
		ss.tree.Remove(sub.filter, sub)
	}
	if s.expiry == 0 { // changed with sessions.mu held only
		ss.end(s)
	}
	ss.mu.Unlock()
	s.saveOr("disconnect")
	if !ss.b.draining.Load() || c.farewell {
		if !ss.b.wills.waits(s.id, c.number) {
			ss.settle(s.id, c.number)
		}
	}
}

// end forgets a session and everything that waits for it. Called with mu held.
func (ss *sessions) end(s *session) {
	for _, sub := range s.subs {
		ss.tree.Remove(sub.filter, sub)
	}
	if ss.byID[s.id] == s {
		delete(ss.byID, s.id)
	}
	if s.finish() {
		ss.count(false)
	}
}

// upkeep ends the sessions that were left alone for too long, writes down what clients acknowledged, and sets those going again
// that could not read the journal.
func (ss *sessions) upkeep(now time.Time) {
	ss.mu.Lock()
	var dirty, ended []*session
	for _, s := range ss.byID {
		switch over, changed := s.due(now); {
		case over:
			ss.end(s)
			ended = append(ended, s)
		case changed:
			dirty = append(dirty, s)
		}
		if s.lags() {
			s.kick()
		}
	}
	ss.mu.Unlock()
	ss.poke()
	for _, s := range ended {
		ss.settle(s.id, s.claimed)
	}
	for _, s := range dirty {
		s.saveOr("upkeep")
	}
}

// connected returns the connections that have a session now.
func (ss *sessions) connected() (out []*conn) {
	ss.mu.Lock()
	defer ss.mu.Unlock()
	for _, s := range ss.byID {
		if c := s.connection(); c != nil {
			out = append(out, c)
		}
	}
	return out
}
