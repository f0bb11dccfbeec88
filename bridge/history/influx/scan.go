package influx

import (
	"cmp"
	"context"
	"encoding/base64"
	"fmt"
	"slices"
	"time"

	"plumbline/bridge/history"
	"plumbline/bridge/history/internal/tables"
	"plumbline/bridge/journal"
)

// seq finds the place of a cursor among the entries.
func (k known) seq(c journal.Cursor) (int64, error) {
	id, ok := k.epochs[c.Epoch]
	if !ok {
		return 0, history.ErrCursor
	}
	return tables.Seq(id, c.Offset)
}

// epochNames returns the names of the epochs by number.
func (k known) epochNames() map[int64]string {
	out := make(map[int64]string, len(k.epochs))
	for name, id := range k.epochs {
		out[id] = name
	}
	return out
}

// row is a point or an event that was read.
type row struct {
	us, seq int64
	topic   string
	field   string
	value   float64
	size    int
	payload []byte
}

// compareRows orders by time, entry, field, topic.
func compareRows(a, b row) int {
	return cmp.Or(cmp.Compare(a.us, b.us), cmp.Compare(a.seq, b.seq), cmp.Compare(a.field, b.field), cmp.Compare(a.topic, b.topic))
}

// scan is a walk over rows in their order.
type scan struct {
	kind       history.Kind
	where      string // condition, "" for none
	span              // in microseconds
	until      int64  // the greatest seq
	after      *row   // exclusive, in the direction
	descending bool
	chunk      int // rows of one query
}

// newScan finds the bounds of a question. Nothing is asked for when ok is false.
func (k known) newScan(from, to time.Time, after *history.Position, until journal.Cursor, descending bool) (sc scan, ok bool, err error) {
	sc = scan{span: span{clampMicro(from), clampMicro(to)}, descending: descending}
	upTo, empty := k.seq(k.cursor)
	if empty != nil {
		if upTo = -1; until != (journal.Cursor{}) || after != nil {
			return sc, false, history.ErrCursor
		}
	}
	if sc.until = upTo; until != (journal.Cursor{}) {
		bound, err := k.seq(until)
		if err != nil {
			return sc, false, err
		}
		sc.until = min(upTo, bound)
	}
	if after != nil {
		seq, err := k.seq(journal.Cursor{Epoch: after.Epoch, Offset: after.Offset})
		if err != nil {
			return sc, false, err
		}
		us := clampMicro(after.Time)
		sc.after = &row{us: us, seq: seq, field: after.Field, topic: "\U0010FFFF"}
		if descending {
			sc.after.topic = ""
			sc.to = min(sc.to, us+1)
		} else {
			sc.from = max(sc.from, us)
		}
	}
	return sc, sc.from < sc.to && sc.until >= 0, nil
}

// clampMicro returns the microseconds of a time, or the nearest that the database can count.
func clampMicro(t time.Time) int64 {
	us := t.UnixMicro()
	switch {
	case t.Year() < 1970:
		return 0
	case t.Year() > 2261:
		return maxMicro
	}
	return us
}

// walk calls each with the rows in their order until it returns false.
func (s *Store) walk(ctx context.Context, sc scan, each func(r *row) bool) error {
	for sc.from < sc.to {
		rows, err := s.rows(ctx, sc, sc.span, sc.chunk)
		if err != nil {
			return err
		}
		whole := len(rows) < sc.chunk
		if !whole { // the last instant may be cut anywhere: the database orders by nanosecond and not by entry
			last := rows[len(rows)-1].us
			rows = slices.DeleteFunc(rows, func(r row) bool { return r.us == last })
			rest, err := s.rows(ctx, sc, span{last, last + 1}, 0)
			if err != nil {
				return err
			}
			rows = append(rows, rest...)
			if sc.descending {
				sc.to = last
			} else {
				sc.from = last + 1
			}
		}
		slices.SortFunc(rows, func(a, b row) int { return sc.direction() * compareRows(a, b) })
		for i := range rows {
			if sc.after != nil && sc.direction()*compareRows(rows[i], *sc.after) <= 0 {
				continue
			}
			if !each(&rows[i]) {
				return nil
			}
		}
		if whole {
			return nil
		}
	}
	return nil
}

func (sc scan) direction() int {
	if sc.descending {
		return -1
	}
	return 1
}

// rows reads the rows of a span, at most limit of them unless it is 0.
func (s *Store) rows(ctx context.Context, sc scan, t span, limit int) ([]row, error) {
	columns := `"seq", "value"`
	if sc.kind == history.KindEvent {
		columns = `"seq", "size", "payload", "base64", "topic", "field"`
	}
	q := fmt.Sprintf(`SELECT %s FROM %s WHERE time >= %d AND time < %d AND "seq" <= %d`, columns, measurement(sc.kind), t.from*1000, t.to*1000, sc.until)
	if sc.where != "" {
		q += " AND " + sc.where
	}
	if q += " ORDER BY time"; sc.descending {
		q += " DESC"
	}
	if limit > 0 {
		q += fmt.Sprintf(" LIMIT %d", limit)
	}
	got, err := s.c.query(ctx, s.opts.Database, q)
	if err != nil {
		return nil, err
	}
	var rows []row
	for _, part := range got[0] {
		for _, v := range part.Values {
			r := row{us: floorDiv(integer(v[0]), 1000), seq: integer(v[1])}
			if sc.kind == history.KindNumber {
				r.value = float(v[2])
			} else if err := r.event(v); err != nil {
				return nil, err
			}
			rows = append(rows, r)
		}
	}
	return rows, nil
}

func (r *row) event(v []any) (err error) {
	r.size, r.payload, r.topic, r.field = int(integer(v[2])), []byte(text(v[3])), decode(text(v[5])), decode(text(v[6]))
	if encoded := text(v[4]); encoded != "" {
		if r.payload, err = base64.StdEncoding.DecodeString(encoded); err != nil {
			return fmt.Errorf("a stored payload is damaged: %w", err)
		}
	}
	return nil
}
