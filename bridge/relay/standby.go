package relay

import (
	"bytes"
	"context"
	"fmt"
	"hash/maphash"
	"sync"
	"time"

	"plumbline/bridge/journal"
)

// standby matches what this node's own sessions bring with what the node that has the lease stores. Both get every message, in
// the same order for each topic, but none has a number of its own; so a message is known by topic, payload and retain flag, and of
// several alike each stands for one.
type standby struct {
	mu    sync.Mutex
	seed  maphash.Seed
	seen  map[uint64][]sighting // stored by another node and not brought by our own sessions yet; oldest first
	order []place               // the same by age
	next  uint64
	open  map[uint64][]*waiting // brought and not stored yet; oldest first
}

type sighting struct {
	id     uint64
	offset uint64
}

type place struct {
	key, id uint64
	at      time.Time
}

// waiting is one message of a source.
type waiting struct {
	key    uint64
	offset uint64 // once it is stored
}

// What is remembered of what was stored and not brought by our own sessions yet.
const (
	seenMost = 1 << 16
	seenFor  = time.Minute
)

func (s *standby) key(m *journal.Message) uint64 {
	var h maphash.Hash
	h.SetSeed(s.seed)
	_, _ = h.WriteString(m.Topic)
	retain := byte(0)
	if m.Retain {
		retain = 1
	}
	_, _ = h.Write([]byte{0, retain})
	_, _ = h.Write(m.Payload)
	return h.Sum64()
}

func (s *standby) init() {
	if s.open == nil {
		s.seed, s.seen, s.open = maphash.MakeSeed(), map[uint64][]sighting{}, map[uint64][]*waiting{}
	}
}

// see takes what another node has stored.
func (s *standby) see(entries []journal.Entry) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.init()
	now := time.Now()
	for i := range entries {
		key := s.key(&entries[i].Message)
		if all := s.open[key]; len(all) > 0 {
			all[0].offset = entries[i].Offset
			s.pop(key)
			continue
		}
		s.next++
		s.seen[key] = append(s.seen[key], sighting{s.next, entries[i].Offset})
		s.order = append(s.order, place{key, s.next, now})
	}
	for len(s.order) > 0 && (len(s.seen) > seenMost || len(s.order) > 2*seenMost || now.Sub(s.order[0].at) > seenFor) {
		if all := s.seen[s.order[0].key]; len(all) > 0 && all[0].id == s.order[0].id {
			s.forget(s.order[0].key)
		}
		s.order = s.order[1:]
	}
}

func (s *standby) pop(key uint64) {
	if s.open[key] = s.open[key][1:]; len(s.open[key]) == 0 {
		delete(s.open, key)
	}
}

func (s *standby) forget(key uint64) {
	if s.seen[key] = s.seen[key][1:]; len(s.seen[key]) == 0 {
		delete(s.seen, key)
	}
}

// bring takes what an own session has brought.
func (s *standby) bring(ms []journal.Message) []*waiting {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.init()
	all := make([]*waiting, len(ms))
	for i := range ms {
		w := &waiting{key: s.key(&ms[i])}
		if seen := s.seen[w.key]; len(seen) > 0 {
			w.offset = seen[0].offset
			s.forget(w.key)
		} else {
			s.open[w.key] = append(s.open[w.key], w)
		}
		all[i] = w
	}
	return all
}

// left returns which of all are not stored yet.
func (s *standby) left(all []*waiting) (indexes []int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for i, w := range all {
		if w.offset == 0 {
			indexes = append(indexes, i)
		}
	}
	return indexes
}

// leave forgets those that wait still.
func (s *standby) leave(all []*waiting) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, w := range all {
		for i, other := range s.open[w.key] {
			if other == w {
				s.open[w.key] = append(s.open[w.key][:i:i], s.open[w.key][i+1:]...)
				break
			}
		}
		if len(s.open[w.key]) == 0 {
			delete(s.open, w.key)
		}
	}
}

// ingest stores what a source brought when this node has the lease, or waits until whoever has it has stored it.
func (r *Relay) ingest(ctx context.Context, ms []journal.Message) ([]journal.Result, error) {
	if !r.opts.Ingests {
		return r.store(ctx, ms, false)
	}
	began := time.Now()
	all := r.standby.bring(ms)
	defer r.standby.leave(all)
	results := make([]journal.Result, len(ms))
	patience := time.NewTimer(3 * r.opts.Lease)
	defer patience.Stop()
	for {
		moved := r.changed.wait()
		var rest []journal.Message
		left := r.standby.left(all)
		for _, i := range left {
			rest = append(rest, ms[i])
		}
		if len(left) > 0 && r.leading() {
			done, err := r.store(ctx, rest, true)
			if err == nil {
				for k, i := range left {
					results[i] = done[k]
				}
				left = nil
			} else if !isFenced(err) {
				return nil, err
			}
		}
		if len(left) == 0 {
			return r.fill(results, all), nil
		}
		select {
		case <-moved:
		case <-ctx.Done():
			return nil, fmt.Errorf("relay: append: %w", context.Cause(ctx))
		case <-patience.C:
			// Who leads has had its sessions all the while, so it got them as we did: they were stored before we could see it.
			if r.others.led(r.opts.Node, began) {
				for _, i := range left {
					results[i] = journal.Result{Offset: r.journal.Head().Offset}
				}
				r.stats.unmatched.Add(uint64(len(left)))
				return r.fill(results, all), nil
			}
			r.trouble.set("standby", "messages of external brokers wait here and nobody who leads is known to have them: look at the brokers' connections", 2*r.opts.Lease)
			patience.Reset(r.opts.Lease)
		}
		r.known(ms, all, left)
	}
}

// fill puts in what others have stored.
func (r *Relay) fill(results []journal.Result, all []*waiting) []journal.Result {
	r.standby.mu.Lock()
	defer r.standby.mu.Unlock()
	for i, w := range all {
		if results[i].Offset == 0 {
			results[i].Offset = w.offset
		}
	}
	return results
}

// known finds retained messages that the journal has as such: a broker gives them anew to each session that begins.
func (r *Relay) known(ms []journal.Message, all []*waiting, left []int) {
	if r.leading() {
		return
	}
	for _, i := range left {
		if !ms[i].Retain {
			continue
		}
		if _, e := r.journal.RetainedOf(ms[i].Topic); e != nil && bytes.Equal(e.Payload, ms[i].Payload) {
			r.standby.leave(all[i : i+1])
			r.standby.mu.Lock()
			all[i].offset = max(all[i].offset, e.Offset)
			r.standby.mu.Unlock()
		}
	}
}
