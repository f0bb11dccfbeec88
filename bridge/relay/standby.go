package relay

import (
	"bytes"
	"context"
	"fmt"
	"hash/maphash"
	"sync"
	"sync/atomic"
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

	// vouched are the messages that were acknowledged while late, without having been seen to be stored, the last at vouchedAt.
	vouched   map[uint64]int
	vouchedAt time.Time
	// late says that something that another node stored was forgotten before our own sessions brought it: they are far behind.
	late atomic.Bool
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

	vouchedFor = 2 * time.Second // after that, what was acknowledged too early has come
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
		if entries[i].QoS == 0 { // nobody waits for it
			continue
		}
		key := s.key(&entries[i].Message)
		if all := s.open[key]; len(all) > 0 {
			all[0].offset = entries[i].Offset
			s.pop(key)
			continue
		}
		if now.Sub(s.vouchedAt) < vouchedFor && s.vouched[key] > 0 { // so it was too early, not too late
			s.vouched[key]--
			s.late.Store(false)
			s.vouchedAt = time.Time{} // it has told what it can: what comes next may be another like it
			continue
		}
		s.next++
		s.seen[key] = append(s.seen[key], sighting{s.next, entries[i].Offset})
		s.order = append(s.order, place{key, s.next, now})
	}
	for len(s.order) > 0 && (len(s.seen) > seenMost || len(s.order) > 2*seenMost || now.Sub(s.order[0].at) > seenFor) {
		if all := s.seen[s.order[0].key]; len(all) > 0 && all[0].id == s.order[0].id {
			s.forget(s.order[0].key)
			s.late.Store(true)
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
		all[i] = w
		if ms[i].QoS == 0 {
			continue
		}
		if seen := s.seen[w.key]; len(seen) > 0 {
			w.offset = seen[0].offset
			s.forget(w.key)
		} else {
			s.open[w.key] = append(s.open[w.key], w)
		}
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

// lateWait is how long one waits for the leader to store something while what the own sessions bring is old anyway.
const lateWait = 100 * time.Millisecond

// knownEvery bounds how often the journal is searched for what waits.
const knownEvery = 50 * time.Millisecond

// ingest stores what a source brought when this node has the lease, or waits until whoever has it has stored it.
func (r *Relay) ingest(ctx context.Context, ms []journal.Message) ([]journal.Result, error) {
	if !r.opts.Ingests {
		return r.store(ctx, ms, "")
	}
	began := time.Now()
	all := r.standby.bring(ms)
	defer r.standby.leave(all)
	results := make([]journal.Result, len(ms))
	wait := 3 * r.opts.Lease
	if r.standby.late.Load() {
		wait = lateWait
	}
	patience := time.NewTimer(wait)
	defer patience.Stop()
	for looked := (time.Time{}); ; {
		moved := r.changed.wait()
		token := r.leads() // before it is looked at what is left: what another node stores later, Redis refuses under this lease
		if token == "" && time.Since(looked) > knownEvery {
			r.known(ms, all, began)
			looked = time.Now()
		}
		left := r.standby.left(all)
		if len(left) > 0 && token != "" {
			done, err := r.store(ctx, pick(ms, left), token)
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
			if token == "" && r.standby.level() {
				r.log.Info("relay: what external brokers send is compared with the log again")
			}
			return r.fill(results, all), nil
		}
		select {
		case <-moved:
		case <-ctx.Done():
			return nil, fmt.Errorf("relay: append: %w", context.Cause(ctx))
		case <-patience.C:
			if r.vouched(began, pickWaiting(all, left)) {
				for _, i := range left {
					results[i] = journal.Result{Offset: r.journal.Head().Offset}
				}
				return r.fill(results, all), nil
			}
			patience.Reset(r.opts.Lease)
		}
	}
}

func pickWaiting(all []*waiting, indexes []int) (some []*waiting) {
	for _, i := range indexes {
		some = append(some, all[i])
	}
	return some
}

func pick(ms []journal.Message, indexes []int) (some []journal.Message) {
	for _, i := range indexes {
		some = append(some, ms[i])
	}
	return some
}

// vouched reports whether messages that came at began, and were not seen to be stored since, are in the log all the same.
func (r *Relay) vouched(began time.Time, left []*waiting) bool {
	// Who leads has had its sessions all the while, so it got them as we did: they were stored before we could see it.
	if !r.others.led(r.opts.Node, began) {
		r.trouble.set("standby", "messages of external brokers wait here and nobody who leads is known to have them: look at the brokers' connections", 2*r.opts.Lease)
		return false
	}
	r.stats.unmatched.Add(uint64(len(left)))
	if r.standby.late.Load() {
		r.standby.vouch(left)
		r.trouble.set("late", "what external brokers send comes here too late to be told from what the leading node has stored: should this node lead now, it may store some of it twice", 2*r.opts.Lease)
	}
	return true
}

// level notes that all that was brought has been seen to be stored, and reports whether that is news.
func (s *standby) level() bool {
	if !s.late.Swap(false) {
		return false
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.vouchedAt = time.Time{}
	return true
}

// vouch remembers what is acknowledged without having been seen.
func (s *standby) vouch(left []*waiting) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(s.vouched) > seenMost/8 || s.vouched == nil || s.vouchedAt.IsZero() { // those before are of no use any more
		s.vouched = map[uint64]int{}
	}
	for _, w := range left {
		s.vouched[w.key]++
	}
	s.vouchedAt = time.Now()
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

// known finds what need not be waited for: what the journal has by its producer's number; a retained message that it has as such, for
// a broker gives them anew to each session that begins; and what comes with QoS 0 while another node leads, which may get lost.
//
// A retained message that is published just now is no other than one that is given anew. So it counts as known only when who leads
// would have stored it by now, and when nothing of its topic that came before waits still: that may be another value.
func (r *Relay) known(ms []journal.Message, all []*waiting, began time.Time) {
	led := r.others.leader(r.opts.Node)
	r.applying.Lock() // else what is found here may be seen once more, and be taken for another like it
	defer r.applying.Unlock()
	had := r.others.had(r.opts.Node, began, r.journal.Head().Offset)
	waits := map[string]bool{}
	for _, i := range r.standby.left(all) {
		offset := uint64(0)
		if m := &ms[i]; m.Producer != "" && m.ProducerSeq != 0 {
			if last, at, _ := r.journal.Producer(m.Producer); m.ProducerSeq <= last {
				offset = at
			}
		}
		if m := &ms[i]; m.Retain && had && !waits[m.Topic] {
			if _, e := r.journal.RetainedOf(m.Topic); e != nil && bytes.Equal(e.Payload, m.Payload) {
				offset = max(offset, e.Offset)
			}
		}
		if offset == 0 && ms[i].QoS == 0 && led {
			r.stats.skipped.Add(1)
			offset = max(1, r.journal.Head().Offset)
		}
		waits[ms[i].Topic] = waits[ms[i].Topic] || offset == 0
		if offset != 0 {
			r.standby.leave(all[i : i+1])
			r.standby.mu.Lock()
			all[i].offset = max(all[i].offset, offset)
			r.standby.mu.Unlock()
		}
	}
}
