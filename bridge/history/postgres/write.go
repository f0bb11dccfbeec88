package postgres

import (
	"context"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
	"strings"

	"github.com/jackc/pgx/v5"

	"plumbline/bridge/history"
	"plumbline/bridge/history/internal/tables"
)

// Write implements history.Store.
func (s *Store) Write(ctx context.Context, b *history.Batch) (w history.Written, err error) {
	s.write.Lock()
	defer s.write.Unlock()
	for _, sift := range []bool{false, true} {
		u := update{s: s, b: b, sift: sift}
		if w, err = u.store(ctx); err == nil {
			return w, nil
		}
		// Nothing is known by heart any more: numbers that the transaction gave are free again, and perhaps another server answers
		// next, whose last transactions are missing.
		s.names.Forget()
		if !errors.Is(err, errDouble) {
			break
		}
	}
	return history.Written{}, fmt.Errorf("history: postgres: write: %w", err)
}

// errDouble says that points are there already which this batch brings.
var errDouble = errors.New("some of the points are there already")

// update is one batch on its way into the database.
type update struct {
	s     *Store
	tx    pgx.Tx
	b     *history.Batch
	sift  bool // points that are there already are left out, else they are errDouble
	epoch int64
	w     history.Written
}

func (u *update) store(ctx context.Context) (history.Written, error) {
	var err error
	if u.tx, err = u.s.writer.Begin(ctx); err != nil {
		return u.w, err
	}
	defer func() { _ = u.tx.Rollback(context.WithoutCancel(ctx)) }() // after a commit it does nothing
	at, err := readCursor(ctx, u.tx, " FOR UPDATE")
	if err != nil {
		return u.w, err
	}
	if at != u.b.From {
		return u.w, fmt.Errorf("%w: it begins at %s:%d, the store is at %s:%d", history.ErrConflict, u.b.From.Epoch, u.b.From.Offset, at.Epoch, at.Offset)
	}
	for _, step := range []func(context.Context) error{u.load, u.beginEpoch, u.beginSeries, u.points, u.events, u.gaps} {
		if err := step(ctx); err != nil {
			return u.w, err
		}
	}
	if _, err := u.tx.Exec(ctx, `UPDATE state SET epoch = $1, "offset" = $2`, u.b.To.Epoch, int64(u.b.To.Offset)); err != nil {
		return u.w, err
	}
	return u.w, u.tx.Commit(ctx)
}

// load fills what the store knows by heart.
func (u *update) load(ctx context.Context) error {
	names := &u.s.names
	if names.Known() {
		return nil
	}
	names.Begin(u.s.opts.MaxSeries)
	rows, _ := u.tx.Query(ctx, "SELECT id, topic, field, unit, kind FROM series") // ForEachRow returns its error
	if err := u.learn(rows); err != nil {
		return err
	}
	rows, _ = u.tx.Query(ctx, epochsQuery) // likewise
	return readEpochs(rows, func(id int64, name string) { names.Epochs[name] = id })
}

// learn adds series with their numbers to what the store knows.
func (u *update) learn(rows pgx.Rows) error {
	var id int64
	var l history.Listed
	_, err := pgx.ForEachRow(rows, []any{&id, &l.Topic, &l.Field, &l.Unit, &l.Kind}, func() error {
		u.s.names.Add(l, id)
		return nil
	})
	return err
}

func (u *update) beginEpoch(ctx context.Context) error {
	name := u.b.To.Epoch
	if id, ok := u.s.names.Epochs[name]; ok {
		u.epoch = id
		return nil
	}
	err := u.tx.QueryRow(ctx, "INSERT INTO epochs SELECT coalesce(max(id), 0) + 1, $1 FROM epochs RETURNING id", name).Scan(&u.epoch)
	if err == nil {
		u.s.names.Epochs[name] = u.epoch
	}
	return err
}

func number(p *history.Point) history.Listed {
	return history.Listed{Series: p.Series, Kind: history.KindNumber}
}

func occasion(e *history.Event) history.Listed {
	return history.Listed{Series: history.Series{Topic: e.Topic, Field: e.Field}, Kind: history.KindEvent}
}

// beginSeries gives numbers to the series that are new, as long as there is room; the others are not in the map afterwards.
func (u *update) beginSeries(ctx context.Context) error {
	var added []history.Listed
	look := func(l history.Listed) {
		if _, ok := u.s.names.Series(l); !ok && u.s.names.Take(l) {
			added = append(added, l)
		}
	}
	for i := range u.b.Points {
		look(number(&u.b.Points[i]))
	}
	for i := range u.b.Events {
		look(occasion(&u.b.Events[i]))
	}
	if len(added) == 0 {
		return nil
	}
	var digests [][]byte
	columns := make([][]string, 5)
	for _, l := range added {
		digests = append(digests, digest(l))
		for i, text := range []string{head(l.Topic), l.Topic, l.Field, l.Unit, string(l.Kind)} {
			columns[i] = append(columns[i], text)
		}
	}
	// the number of a conflicting row is returned as well, since it is updated
	rows, _ := u.tx.Query(ctx, `INSERT INTO series (digest, head, topic, field, unit, kind)
		SELECT * FROM unnest($1::bytea[], $2::text[], $3::text[], $4::text[], $5::text[], $6::text[])
		ON CONFLICT (digest) DO UPDATE SET topic = excluded.topic RETURNING id, topic, field, unit, kind`,
		digests, columns[0], columns[1], columns[2], columns[3], columns[4]) // ForEachRow returns its error
	return u.learn(rows)
}

// digest is the key of a series: its names with their lengths, hashed.
func digest(l history.Listed) []byte {
	h := sha256.New()
	for _, text := range []string{l.Topic, l.Field, l.Unit, string(l.Kind)} {
		_, _ = h.Write(binary.BigEndian.AppendUint64(nil, uint64(len(text)))) // it never fails
		_, _ = h.Write([]byte(text))
	}
	return h.Sum(nil)
}

// head is the beginning of a topic that is in the index.
func head(topic string) string {
	n := 0
	for i := range topic {
		if n++; n > headRunes {
			return topic[:i]
		}
	}
	return topic
}

// points inserts the points in the order of their key, and what they add to the rollups.
func (u *update) points(ctx context.Context) error {
	list := make([]tables.Point, 0, len(u.b.Points))
	for i := range u.b.Points {
		p := &u.b.Points[i]
		id, ok := u.s.names.Series(number(p))
		if !ok {
			u.w.Refused++
			continue
		}
		seq, err := tables.Seq(u.epoch, p.Offset)
		if err != nil {
			return err
		}
		list = append(list, tables.Point{Series: id, Time: p.Time.UnixMicro(), Seq: seq, Value: p.Value})
	}
	if len(list) == 0 {
		return nil
	}
	tables.Sort(list)
	row := make([]any, 4)
	if err := u.copyIn(ctx, "new_points", []string{"series", "time", "seq", "value"}, len(list), func(i int) ([]any, error) {
		p := &list[i]
		row[0], row[1], row[2], row[3] = p.Series, tables.FromMicro(p.Time), p.Seq, p.Value
		return row, nil
	}); err != nil {
		return err
	}
	if u.sift {
		var err error
		if list, err = u.leaveOut(ctx, list); err != nil {
			return err
		}
	}
	tag, err := u.tx.Exec(ctx, "INSERT INTO points SELECT * FROM new_points ORDER BY series, time, seq ON CONFLICT DO NOTHING")
	switch {
	case err != nil:
		return err
	case tag.RowsAffected() != int64(len(list)):
		return errDouble
	}
	u.w.Points = len(list)
	if u.s.timescale {
		return nil // the database keeps its aggregates itself
	}
	return u.rollUp(ctx, list)
}

// leaveOut removes from list what the table of points has. The rollups must count each point once.
func (u *update) leaveOut(ctx context.Context, list []tables.Point) ([]tables.Point, error) {
	if _, err := u.tx.Exec(ctx, "DELETE FROM new_points n USING points p WHERE p.series = n.series AND p.time = n.time AND p.seq = n.seq"); err != nil {
		return nil, err
	}
	rows, _ := u.tx.Query(ctx, "SELECT series, (extract(epoch FROM time) * 1000000)::bigint, seq, value FROM new_points ORDER BY series, time, seq") // ForEachRow returns its error
	list = list[:0]
	var p tables.Point
	_, err := pgx.ForEachRow(rows, []any{&p.Series, &p.Time, &p.Seq, &p.Value}, func() error {
		list = append(list, p)
		return nil
	})
	return list, err
}

// copyIn copies n rows to a staging table. row may give the same slice each time.
func (u *update) copyIn(ctx context.Context, table string, columns []string, n int, row func(i int) ([]any, error)) error {
	_, err := u.tx.CopyFrom(ctx, pgx.Identifier{"pg_temp", table}, columns, pgx.CopyFromSlice(n, row))
	return err
}

// merge adds the staged rows of one step to a rollup table. All right hand sides see the old row.
const merge = `INSERT INTO %[1]s AS r SELECT series, start, n, sum, lo, lo_at, hi, hi_at, last, last_at, last_seq FROM new_rollups WHERE step = $1 ORDER BY series, start
	ON CONFLICT (series, start) DO UPDATE SET n = r.n + excluded.n, sum = r.sum + excluded.sum,
	lo_at = CASE WHEN excluded.lo < r.lo OR excluded.lo = r.lo AND excluded.lo_at < r.lo_at THEN excluded.lo_at ELSE r.lo_at END, lo = least(r.lo, excluded.lo),
	hi_at = CASE WHEN excluded.hi > r.hi OR excluded.hi = r.hi AND excluded.hi_at < r.hi_at THEN excluded.hi_at ELSE r.hi_at END, hi = greatest(r.hi, excluded.hi),
	last = CASE WHEN (excluded.last_at, excluded.last_seq) > (r.last_at, r.last_seq) THEN excluded.last ELSE r.last END,
	last_seq = CASE WHEN (excluded.last_at, excluded.last_seq) > (r.last_at, r.last_seq) THEN excluded.last_seq ELSE r.last_seq END,
	last_at = greatest(r.last_at, excluded.last_at)`

// rollUp adds the sorted points to every level, each bucket with one row.
func (u *update) rollUp(ctx context.Context, list []tables.Point) error {
	type rollup struct {
		step, series int64
		tables.Bucket
	}
	var rows []rollup
	for _, l := range tables.Levels[1:] {
		if err := tables.RollUp(list, l.Step, func(series int64, b tables.Bucket) error {
			rows = append(rows, rollup{l.Step, series, b})
			return nil
		}); err != nil {
			return err
		}
	}
	columns := []string{"step", "series", "start", "n", "sum", "lo", "lo_at", "hi", "hi_at", "last", "last_at", "last_seq"}
	row := make([]any, 0, len(columns))
	if err := u.copyIn(ctx, "new_rollups", columns, len(rows), func(i int) ([]any, error) {
		r := &rows[i]
		row = append(row[:0], r.step, r.series, tables.FromMicro(r.Start), r.N, r.Sum, r.Lo, tables.FromMicro(r.LoAt), r.Hi, tables.FromMicro(r.HiAt), r.Last, tables.FromMicro(r.LastAt), r.LastSeq)
		return row, nil
	}); err != nil {
		return err
	}
	var all pgx.Batch
	for _, l := range tables.Levels[1:] {
		all.Queue(strings.ReplaceAll(merge, "%[1]s", l.Table), l.Step)
	}
	return u.tx.SendBatch(ctx, &all).Close()
}

func (u *update) events(ctx context.Context) error {
	var rows [][]any
	for i := range u.b.Events {
		e := &u.b.Events[i]
		id, ok := u.s.names.Series(occasion(e))
		if !ok {
			u.w.Refused++
			continue
		}
		seq, err := tables.Seq(u.epoch, e.Offset)
		if err != nil {
			return err
		}
		payload := e.Payload
		if payload == nil {
			payload = []byte{} // nil would be NULL
		}
		rows = append(rows, []any{id, e.Time, seq, int64(e.Size), payload})
	}
	if len(rows) == 0 {
		return nil
	}
	if err := u.copyIn(ctx, "new_events", []string{"series", "time", "seq", "size", "payload"}, len(rows), func(i int) ([]any, error) { return rows[i], nil }); err != nil {
		return err
	}
	tag, err := u.tx.Exec(ctx, "INSERT INTO events SELECT * FROM new_events ON CONFLICT DO NOTHING")
	u.w.Events = int(tag.RowsAffected())
	return err
}

func (u *update) gaps(ctx context.Context) error {
	for _, g := range u.b.Gaps {
		var begin any
		if !g.Begin.IsZero() {
			begin = g.Begin
		}
		if _, err := u.tx.Exec(ctx, "INSERT INTO gaps (epoch, lo, hi, n, reason, begin_at, end_at) VALUES ($1, $2, $3, $4, $5, $6, $7)",
			g.Epoch, int64(g.From), int64(g.To), int64(g.Count), g.Reason, begin, g.End); err != nil {
			return err
		}
	}
	return nil
}
