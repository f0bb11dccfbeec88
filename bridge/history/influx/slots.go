package influx

import (
	"cmp"
	"context"
	"fmt"
	"slices"

	"plumbline/bridge/history"
	"plumbline/bridge/history/internal/tables"
)

// InfluxDB knows a point by its series and nanosecond; another of the same replaces it. Our times are microseconds, so the things
// of a series at one instant are told apart by the three digits below: slot n is written n nanoseconds later, and every thousand
// slots the tag x counts on. The slot is the number of earlier entries at that instant, which depends on nothing but the
// journal: an entry that is written again, after a crash, gets the slot it had.
const slotsOfInstant = 1000

// thing is a point or an event on its way.
type thing struct {
	series history.Listed
	us     int64
	seq    int64
	slot   int64
	index  int // into the batch's list of its kind
}

// place sorts things and gives each its slot.
func (s *Store) place(ctx context.Context, k known, things []thing) error {
	slices.SortFunc(things, func(a, b thing) int {
		return cmp.Or(cmp.Compare(a.series.Kind, b.series.Kind), compareListed(a.series, b.series), cmp.Compare(a.us, b.us), cmp.Compare(a.seq, b.seq))
	})
	if len(s.counts) > maxCounts {
		s.counts = map[instant]int64{}
	}
	if err := s.lookUp(ctx, k, unknownInstants(s.counts, k, things)); err != nil {
		return err
	}
	for i := range things {
		t := &things[i]
		if i > 0 && things[i-1].series == t.series && things[i-1].us == t.us {
			t.slot = things[i-1].slot + 1
			continue
		}
		switch n, ok := k.series[t.series]; {
		case !ok || t.us > n.us:
		case t.us == n.us && n.count >= 0:
			t.slot = n.count
		default:
			t.slot = s.counts[instant{t.series, t.us}]
		}
	}
	return nil
}

// unknownInstants returns the instants that may hold something, nobody knows what: those not after the last of their series.
func unknownInstants(counts map[instant]int64, k known, things []thing) (out []instant) {
	for i := range things {
		t := &things[i]
		at := instant{t.series, t.us}
		if i > 0 && things[i-1].series == t.series && things[i-1].us == t.us {
			continue
		}
		n, ok := k.series[t.series]
		if !ok || t.us > n.us || t.us == n.us && n.count >= 0 {
			continue
		}
		if _, ok := counts[at]; !ok {
			out = append(out, at)
		}
	}
	return out
}

const (
	runGap     = 1_000_000 // microseconds between two instants that are looked up together
	statements = 100       // of one query
	maxCounts  = 20_000
)

// lookUp counts what is stored, up to the cursor, at these instants, which are sorted.
func (s *Store) lookUp(ctx context.Context, k known, at []instant) error {
	if len(at) == 0 {
		return nil
	}
	upTo, err := k.seq(k.cursor)
	if err != nil {
		upTo = -1 // nothing is committed
	}
	for len(at) > 0 {
		var queries []string
		var names []history.Listed
		for len(at) > 0 && len(queries) < statements {
			n := 1
			for n < len(at) && at[n].series == at[0].series && at[n].us-at[n-1].us <= runGap {
				n++
			}
			for _, i := range at[:n] {
				s.counts[i] = 0
			}
			l := at[0].series
			queries = append(queries, fmt.Sprintf(`SELECT "seq" FROM %s WHERE %s AND time >= %d AND time < %d AND "seq" <= %d`,
				measurement(l.Kind), is(l), at[0].us*1000, (at[n-1].us+1)*1000, upTo))
			names = append(names, l)
			at = at[n:]
		}
		got, err := s.c.query(ctx, s.opts.Database, queries...)
		if err != nil {
			return err
		}
		for q, parts := range got {
			for _, part := range parts {
				for _, row := range part.Values {
					i := instant{names[q], floorDiv(integer(row[0]), 1000)}
					if n, wanted := s.counts[i]; wanted {
						s.counts[i] = n + 1
					}
				}
			}
		}
	}
	return nil
}

// remember keeps what the placed things of a committed batch say about the instants.
func (s *Store) remember(things []thing) {
	k := s.view()
	added, room := false, k.room
	for i := range things {
		t := &things[i]
		if i+1 < len(things) && things[i+1].series == t.series && things[i+1].us == t.us {
			continue // not the last of its instant
		}
		n, ok := k.series[t.series]
		if !ok {
			added = true
			room.Take(t.series)
		}
		if !ok || t.us >= n.us {
			k.series[t.series] = newest{t.us, t.slot + 1}
		}
		if ok && t.us < n.us {
			s.counts[instant{t.series, t.us}] = t.slot + 1
		}
	}
	if added {
		names := sorted(k.series)
		s.learn(func(now *known) { now.names, now.room = names, room })
	}
}

// things lists what a batch holds that has room.
func (s *Store) things(b *history.Batch, epoch int64, w *history.Written) ([]thing, error) {
	k := s.view()
	fresh, room := map[history.Listed]bool{}, k.room
	out := make([]thing, 0, len(b.Points)+len(b.Events))
	var key []byte
	add := func(l history.Listed, us int64, offset uint64, index int) error {
		seq, err := tables.Seq(epoch, offset)
		if err != nil {
			return err
		}
		if _, ok := k.series[l]; !ok && !fresh[l] {
			if key = appendKey(key[:0], l); !room.For(l) || len(key) > maxKey {
				w.Refused++
				return nil
			}
			fresh[l] = true
			room.Take(l)
		}
		if us < 0 || us > maxMicro {
			w.Refused++
			return nil
		}
		out = append(out, thing{series: l, us: us, seq: seq, index: index})
		return nil
	}
	for i := range b.Points {
		p := &b.Points[i]
		if err := add(history.Listed{Series: p.Series, Kind: history.KindNumber}, p.Time.UnixMicro(), p.Offset, i); err != nil {
			return nil, err
		}
	}
	for i := range b.Events {
		e := &b.Events[i]
		if err := add(history.Listed{Series: history.Series{Topic: e.Topic, Field: e.Field}, Kind: history.KindEvent}, e.Time.UnixMicro(), e.Offset, i); err != nil {
			return nil, err
		}
	}
	return out, nil
}

// touched returns the time that the things span.
func touched(things []thing) span {
	if len(things) == 0 {
		return span{}
	}
	t := span{things[0].us, things[0].us + 1}
	for i := range things {
		t.from, t.to = min(t.from, things[i].us), max(t.to, things[i].us+1)
	}
	return t
}
