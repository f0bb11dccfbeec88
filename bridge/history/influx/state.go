package influx

import (
	"cmp"
	"context"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"time"

	"plumbline/bridge/history"
	"plumbline/bridge/history/internal/tables"
	"plumbline/bridge/journal"
)

// The state database holds one point each of cursor and intent, at time 0, and one of each epoch and gap.
//
//	cursor  epoch, offset           up to where the journal is stored
//	intent  seq, lo, hi             the end of batches that were begun, and the microseconds they touch
//	epochs  name                    its time is the number of the epoch
//	gaps    epoch, lo, hi, n, …     its time is the place of hi among the entries
const (
	cursorQuery = `SELECT "epoch", "offset" FROM "cursor" WHERE time >= 0 AND time <= 1`
	intentQuery = `SELECT "seq", "lo", "hi" FROM "intent" WHERE time >= 0 AND time <= 1`
	epochsQuery = `SELECT "name" FROM "epochs" WHERE time >= 0 AND time <= 1000000`
)

// maxMicro is the last microsecond that InfluxDB can count, in the year 2262.
const maxMicro = 9_223_372_036_854_774

// first returns the first row of an answer; nil when there is none.
func first(list []series) []any {
	for _, s := range list {
		if len(s.Values) > 0 {
			return s.Values[0]
		}
	}
	return nil
}

func cursorOf(row []any) (c journal.Cursor) {
	if len(row) > 2 {
		c.Epoch, c.Offset = text(row[1]), uint64(integer(row[2]))
	}
	return c
}

func (s *Store) readCursor(ctx context.Context) (journal.Cursor, error) {
	got, err := s.c.query(ctx, s.opts.State, cursorQuery)
	if err != nil {
		return journal.Cursor{}, err
	}
	return cursorOf(first(got[0])), nil
}

// load learns what the database has. The caller holds s.write, or nobody else knows s yet.
func (s *Store) load(ctx context.Context) error {
	s.fresh = false
	state, err := s.c.query(ctx, s.opts.State, cursorQuery, intentQuery, epochsQuery)
	if err != nil {
		return err
	}
	k := known{cursor: cursorOf(first(state[0])), epochs: map[string]int64{}, series: map[history.Listed]newest{}, room: tables.Room{Most: s.opts.MaxSeries}}
	for _, part := range state[2] {
		for _, row := range part.Values {
			k.epochs[text(row[1])] = integer(row[0])
		}
	}
	if row := first(state[1]); len(row) > 3 {
		k.dirty = dirt{span{integer(row[2]), integer(row[3])}, integer(row[1])}.after(k)
	}
	bound := fmt.Sprintf(" WHERE time >= 0 AND time <= %d ", int64(maxMicro)*1000)
	there, err := s.c.query(ctx, s.opts.Database,
		`SELECT last("seq") FROM "points"`+bound+`GROUP BY "field", "topic", "unit"`, `SELECT last("seq") FROM "events"`+bound+`GROUP BY "field", "topic"`)
	if err != nil {
		return err
	}
	for i, kind := range []history.Kind{history.KindNumber, history.KindEvent} {
		for _, part := range there[i] {
			l := history.Listed{Series: history.Series{Topic: decode(part.Tags["topic"]), Field: decode(part.Tags["field"])}, Kind: kind}
			if kind == history.KindNumber {
				l.Unit = decode(part.Tags["unit"])
			}
			if _, ok := k.series[l]; !ok {
				k.room.Take(l)
			}
			for _, row := range part.Values {
				k.series[l] = newest{floorDiv(integer(row[0]), 1000), -1}
			}
		}
	}
	k.names = sorted(k.series)
	s.counts = map[instant]int64{}
	s.learn(func(now *known) {
		k.writes = now.writes + 1
		*now = k
	})
	s.fresh = true
	return nil
}

// after returns what is dirty when the cursor is that of k.
func (d dirt) after(k known) dirt {
	if at, err := k.seq(k.cursor); err == nil && d.end <= at {
		return dirt{}
	}
	return d
}

func sorted(m map[history.Listed]newest) []history.Listed {
	return slices.SortedFunc(maps.Keys(m), compareListed)
}

func compareListed(a, b history.Listed) int {
	return cmp.Or(cmp.Compare(a.Topic, b.Topic), cmp.Compare(a.Field, b.Field), cmp.Compare(a.Unit, b.Unit), cmp.Compare(a.Kind, b.Kind))
}

func floorDiv(a, b int64) int64 { return (a - tables.FloorMod(a, b)) / b }

// writeState stores one line of the state database.
func (s *Store) writeState(ctx context.Context, line []byte) error {
	return s.c.writeLines(ctx, s.opts.State, nano, line)
}

func appendCursor(b []byte, c journal.Cursor) []byte {
	b = appendText(append(b, "epoch="...), c.Epoch)
	b = append(b, ",offset="...)
	return append(strconv.AppendUint(b, c.Offset, 10), 'i')
}

// beginEpoch returns the number of an epoch, after storing it when it is new.
func (s *Store) beginEpoch(ctx context.Context, name string) (int64, error) {
	k := s.view()
	if id, ok := k.epochs[name]; ok {
		return id, nil
	}
	id := int64(1)
	for _, other := range k.epochs {
		id = max(id, other+1)
	}
	line := appendText([]byte("epochs name="), name)
	if err := s.writeState(ctx, fmt.Appendf(line, " %d\n", id)); err != nil {
		return 0, err
	}
	epochs := maps.Clone(k.epochs)
	epochs[name] = id
	s.learn(func(k *known) { k.epochs = epochs })
	return id, nil
}

// writeGaps stores the gaps of a batch. One that is stored again replaces itself.
func (s *Store) writeGaps(ctx context.Context, gaps []history.Gap) error {
	for _, g := range gaps {
		epoch, err := s.beginEpoch(ctx, g.Epoch)
		if err != nil {
			return err
		}
		at, err := tables.Seq(epoch, g.To)
		if err != nil {
			return err
		}
		begin := int64(0)
		if !g.Begin.IsZero() {
			begin = g.Begin.UnixMicro()
		}
		line := appendTag([]byte("gaps"), "reason", g.Reason)
		line = appendText(append(line, " epoch="...), g.Epoch)
		if err := s.writeState(ctx, fmt.Appendf(line, ",lo=%di,hi=%di,n=%di,begin=%di,end=%di %d\n", g.From, g.To, g.Count, begin, g.End.UnixMicro(), at)); err != nil {
			return err
		}
	}
	return nil
}

// Gaps implements history.Store.
func (s *Store) Gaps(ctx context.Context, from, to time.Time, limit int) (gaps []history.Gap, err error) {
	k := s.view()
	upTo, err := k.seq(k.cursor)
	if err != nil {
		return nil, nil //nolint:nilerr // nothing was stored yet
	}
	got, err := s.c.query(ctx, s.opts.State, fmt.Sprintf(`SELECT "epoch", "lo", "hi", "n", "begin", "end", "reason" FROM "gaps" WHERE time >= 0 AND time <= %d`, upTo))
	if err != nil {
		return nil, fmt.Errorf("history: influx: gaps: %w", err)
	}
	for _, part := range got[0] {
		for _, row := range part.Values {
			g := history.Gap{
				Epoch: text(row[1]), From: uint64(integer(row[2])), To: uint64(integer(row[3])), Count: uint64(integer(row[4])),
				End: tables.FromMicro(integer(row[6])), Reason: decode(text(row[7])),
			}
			if begin := integer(row[5]); begin != 0 {
				g.Begin = tables.FromMicro(begin)
			}
			if !g.End.Before(from) && g.Begin.Before(to) {
				gaps = append(gaps, g)
			}
		}
	}
	return gaps[max(0, len(gaps)-limit):], nil
}
