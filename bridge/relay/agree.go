package relay

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"time"

	"plumbline/bridge/journal"
)

// Journals that have been one log have the same last values wherever they stand at one place. After a new epoch they would not: what
// the one lacked when it began is in nobody's way to it any more. So each new epoch has a seed, and the others go on in it with the last
// values of the seed, or of one that has them already.

// seed names the run of the node whose last values are the log's in a new epoch: its process, and behind it its name. All others, whose
// own may be older, take them from it.
type seed string

// node is its name; "" when there is no seed.
func (s seed) node() string { return string(s[min(processBytes, len(s)):]) }

// seedOf chooses the seed: a node that was in the log, rather than one that has just been started, and the furthest of them.
func seedOf(all map[string]stand) seed {
	best, found := stand{}, seed("")
	for _, name := range slices.Sorted(maps.Keys(all)) {
		if s := all[name]; found == "" || s.Member && !best.Member || s.Member == best.Member && s.Pos > best.Pos {
			best, found = s, seed(s.Process+name)
		}
	}
	return found
}

// own is this node as a seed.
func (r *Relay) own() seed { return seed(r.process + r.opts.Node) }

// seeds chooses the seed where this node alone renews the epoch: one that is in the log, else itself.
func (r *Relay) seeds(now state) seed {
	for name, process := range r.others.in(now.epoch) {
		if name != r.opts.Node {
			return seed(process + name)
		}
	}
	return r.own()
}

// fits reports whether v are last values of the log as it is now, of a place that is beyond head.
func fits(v *journal.Values, now state, head journal.Cursor) bool {
	return v != nil && v.Cursor.Epoch == now.epoch && v.Cursor.Offset >= max(now.base, head.Offset+1)
}

// borrow gets the log's last values from a node that has them. Where none is to be found it gives the log a new epoch, of which this
// node is the seed, and returns nil, as it does when the log has changed meanwhile.
func (r *Relay) borrow(ctx context.Context, s *server, now state) (*journal.Values, error) {
	head := r.journal.Head()
	for began, said := time.Now(), false; ; {
		there := r.others.in(now.epoch)
		if node := now.seed.node(); node != "" {
			there[node] = ""
		}
		delete(there, r.opts.Node)
		for _, node := range slices.Sorted(maps.Keys(there)) {
			if v, err := r.valuesOf(ctx, node); err == nil && fits(&v, now, head) {
				return &v, nil
			}
		}
		latest, err := s.state(ctx, r.keys)
		if err != nil || latest.run != now.run || latest.epoch != now.epoch {
			return nil, err
		}
		switch long := time.Since(began) > r.opts.SeedWait; {
		case long && len(r.others.in(now.epoch)) == 0:
			r.log.Warn("relay: nobody is there who has the last values of the log: it gets another epoch, with those of this node", "epoch", now.epoch)
			return nil, r.pronounce(ctx, s, latest, verdict{pos: max(head.Offset, latest.pos) + 1, seed: r.own()})
		case long && !said:
			said = true
			r.log.Warn("relay: other nodes do not give the last values of the log, without which this one does not go on", "epoch", now.epoch, "nodes", slices.Sorted(maps.Keys(there)))
		}
		select {
		case <-ctx.Done():
			return nil, ctx.Err()
		case <-time.After(50 * time.Millisecond):
		}
	}
}

// collectMost bounds what is read from the stream at once for collect.
const collectMost = 1 << 16

// collect reads the entries of (after, to] of an epoch from the stream, within the time of a command. ok is false when it does not have all of them, or they are too
// many.
func (r *Relay) collect(ctx context.Context, epoch string, after, to uint64) (ms []journal.Message, ok bool) {
	if to-after > collectMost {
		return nil, false
	}
	ctx, cancel := context.WithTimeout(ctx, callTimeout)
	defer cancel()
	for after < to {
		all, err := r.client.XRangeN(ctx, r.keys.log(), fmt.Sprintf("%d-0", after+1), "+", healMost).Result()
		if err != nil || len(all) == 0 {
			return nil, false
		}
		for _, m := range all {
			text, _ := m.Values["b"].(string)
			b := r.parse([]byte(text))
			if b == nil || b.epoch != epoch || b.from > after || b.to <= after {
				return nil, false
			}
			for _, e := range b.entries[after-b.from:] {
				if after < to {
					ms, after = append(ms, e.Message), e.Offset
				}
			}
			if after == to {
				break
			}
		}
	}
	return ms, true
}

// renew makes the journal, which stands at head, go on in the new epoch of the log, with its own last values or with v. Called with
// applying held.
func (r *Relay) renew(ctx context.Context, now state, head journal.Cursor, v *journal.Values) error {
	after := max(now.base, head.Offset+1)
	if now.seed == r.own() {
		return r.journal.Continue(now.epoch, now.line.name(), after)
	}
	v.Mark = now.line.name()
	ms, ok := r.collect(ctx, now.epoch, after, v.Cursor.Offset)
	if !ok { // what lies between is missing here, as what lay before
		after = v.Cursor.Offset
	}
	r.log.Info("relay: the last values are those of another node", "at", v.Cursor.Offset, "values", len(v.Entries))
	return r.journal.ContinueAs(*v, after, ms)
}

// company waits until a node is heard of that is in the log as it is now, and reports whether one is. For a node that joins, which hears
// nobody but in this way.
func (r *Relay) company(ctx context.Context, s *server, now state) (bool, error) {
	wait := r.opts.SeedWait
	if now.seed.node() == r.opts.Node { // that was an earlier run
		wait = settleWait
	}
	for began := time.Now(); ; {
		if len(r.others.in(now.epoch)) > 0 {
			return true, nil
		}
		if there := r.others.fresh(""); len(there) == 0 && time.Since(began) > wait {
			return false, nil
		}
		select {
		case <-ctx.Done():
			return false, fmt.Errorf("nodes %q are there, and not yet in the log: %w", r.others.fresh(""), ctx.Err())
		case <-time.After(50 * time.Millisecond):
		}
		if err := r.lookAround(ctx, s); err != nil {
			return false, err
		}
	}
}
