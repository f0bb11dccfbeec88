package ingest

import (
	"errors"
	"strings"

	"plumbline/bridge/journal"
	"plumbline/bridge/topic"
)

// retainedChunk is how many retained messages wait in memory for one new subscription.
const retainedChunk = 4096

// lack is what a session has to read before it can go on.
type lack struct {
	lost     []*flight     // known by their offset only, since a restart
	fresh    *subscription // whose retained messages from (from, to] are next
	from, to uint64
	behind   bool // entries after seen
	after    uint64
}

func (l lack) nothing() bool { return len(l.lost) == 0 && l.fresh == nil && !l.behind }

// lacks says what has to be read. Called with mu held.
func (s *session) lacks() lack {
	l := lack{behind: s.behind && len(s.queue) == 0, after: s.seen}
	for _, f := range s.flights {
		if f.Topic == "" {
			l.lost = append(l.lost, f)
		}
	}
	for _, sub := range s.subs {
		if len(s.retained) == 0 && sub.retainedFrom < sub.retainedTo {
			l.fresh, l.from, l.to = sub, sub.retainedFrom, sub.retainedTo
			break
		}
	}
	return l
}

// fill brings the next messages into memory when none is there, and reports whether it may bring more.
func (s *session) fill() bool {
	s.mu.Lock()
	if !s.up {
		s.mu.Unlock()
		return false
	}
	l := s.lacks()
	s.mu.Unlock()
	switch {
	case len(l.lost) > 0:
		return s.recover(l.lost)
	case l.fresh != nil:
		s.loadRetained(l.fresh, l.from, l.to)
		return true
	case l.behind:
		return s.catchUp(l.after)
	}
	return false
}

// loadRetained brings the next retained messages of a new subscription [MQTT-3.3.1-9].
func (s *session) loadRetained(sub *subscription, from, to uint64) {
	var found []journal.Entry
	if exact(sub.filter) {
		if _, e := s.ss.log.RetainedOf(sub.filter); e != nil {
			found = []journal.Entry{*e}
		}
	} else {
		_, found = s.ss.log.RetainedMatching(func(name string) bool { return topic.Match(sub.filter, name) }) // D11
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if !s.up || sub.retainedFrom != from || sub.retainedTo != to {
		return // away, or subscribed anew meanwhile
	}
	s.loading = sub
	var ids []int
	if sub.Identifier > 0 {
		ids = []int{sub.Identifier}
	}
	for i := range found {
		e := &found[i]
		if e.Offset <= from || e.Offset > to || len(e.Payload) == 0 {
			continue
		}
		if len(s.retained) == retainedChunk {
			sub.retainedFrom = s.retained[retainedChunk-1].Offset
			return
		}
		s.retained = append(s.retained, item{Entry: *e, qos: min(e.QoS, sub.QoS), retain: true, stored: true, ids: ids})
	}
	sub.retainedFrom = to
}

// exact reports whether a filter is the name of one topic.
func exact(filter string) bool { return !strings.ContainsAny(filter, "+#") }

// catchUp reads on in the journal, and returns to being offered what comes when it has reached the dispatcher.
func (s *session) catchUp(after uint64) bool {
	entries, err := s.ss.log.ReadInto(nil, after, maxQueue, maxQueueBytes)
	var gone journal.ErrEvicted
	switch {
	case errors.As(err, &gone):
		s.mu.Lock()
		s.seen = gone.First - 1
		s.dirty = true
		s.mu.Unlock()
		s.ss.b.m.MQTTLost.WithLabelValues("retention").Inc()
		s.ss.b.log.Warn("mqtt session: what waited is older than the journal keeps", "client", s.id, "from", after+1, "to", gone.First-1)
		return true
	case err != nil:
		s.ss.b.log.Error("mqtt session: journal not read", "client", s.id, "error", err)
		return false
	}
	s.ss.mu.Lock()
	defer s.ss.mu.Unlock()
	s.mu.Lock()
	defer s.mu.Unlock()
	if !s.up { // away meanwhile: its filters are out of the dispatcher's tree, so it stays behind
		return false
	}
	if s.seen != after || !s.behind || len(s.queue) > 0 {
		return true
	}
	s.takeIn(entries)
	if s.seen >= s.ss.position.Load() {
		s.behind = false // the dispatcher holds sessions.mu while it goes on, so nothing falls between
	}
	return len(entries) > 0
}

// recover reads the messages of flights from before a restart, and reports whether that could be done: else upkeep has it tried
// again.
func (s *session) recover(lost []*flight) bool {
	found := map[*flight]journal.Entry{}
	for _, f := range lost {
		var gone journal.ErrEvicted
		switch entries, err := s.ss.log.ReadInto(nil, f.Offset-1, 1, 1); {
		case err != nil && !errors.As(err, &gone):
			s.ss.b.log.Error("mqtt session: journal not read", "client", s.id, "error", err)
			return false
		case len(entries) == 1 && entries[0].Offset == f.Offset:
			found[f] = entries[0]
		default:
			if _, e := s.ss.log.RetainedOf(f.wanted); e != nil && e.Offset == f.Offset {
				found[f] = *e
			}
		}
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	kept := s.flights[:0]
	for _, f := range s.flights {
		if f.Topic == "" {
			e, ok := found[f]
			if !ok && !f.released {
				s.ss.b.m.MQTTLost.WithLabelValues("retention").Inc()
				s.dirty = true
				continue
			}
			if f.Entry = e; !ok {
				f.Topic = "-" // PUBREL needs no message
			}
		}
		kept = append(kept, f)
	}
	s.flights = kept
	return true
}
