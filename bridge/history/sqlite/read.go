package sqlite

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"math"
	"strings"
	"time"

	"plumbline/bridge/history"
	"plumbline/bridge/history/internal/tables"
	"plumbline/bridge/journal"
	"plumbline/bridge/topic"
)

// view is one consistent state of the file.
type view struct {
	tx     *sql.Tx
	cursor journal.Cursor
	epochs tables.Epochs
}

// look calls read with a view, which ends with it.
func (s *Store) look(ctx context.Context, what string, read func(v *view) error) error {
	tx, err := s.reader.BeginTx(ctx, nil)
	if err != nil {
		return fmt.Errorf("history: sqlite: %s: %w", what, err)
	}
	defer func() { _ = tx.Rollback() }() // nothing was written
	v := &view{tx: tx}
	if v.cursor, err = readCursor(ctx, tx); err == nil {
		if v.epochs, err = epochNames(ctx, tx); err == nil {
			err = read(v)
		}
	}
	if err != nil {
		return fmt.Errorf("history: sqlite: %s: %w", what, err)
	}
	return nil
}

// floor returns the time before which a table has expired, as a time and in microseconds.
func (v *view) floor(ctx context.Context, table string) (time.Time, int64, error) {
	us, err := metaInt(ctx, v.tx, floorKey(table))
	if err != nil || us == 0 {
		return time.Time{}, math.MinInt64, err
	}
	return tables.FromMicro(us), us, nil
}

// series finds the number of a series; 0 when there is none.
func (v *view) series(ctx context.Context, l history.Listed) (id int64, err error) {
	err = v.tx.QueryRowContext(ctx, "SELECT id FROM series WHERE topic = ? AND field = ? AND unit = ? AND kind = ?", l.Topic, l.Field, l.Unit, l.Kind).Scan(&id)
	if errors.Is(err, sql.ErrNoRows) {
		err = nil
	}
	return id, err
}

// listed is a line of a listing with its number.
type listed struct {
	history.Listed
	id int64
}

// list returns the series of the query, of one kind unless kind is "".
func (v *view) list(ctx context.Context, q history.ListQuery, kind history.Kind) (found []listed, more bool, err error) {
	lo, hi, after := tables.Listing(q)
	rows, err := v.tx.QueryContext(ctx, `SELECT id, topic, field, unit, kind FROM series
		WHERE topic >= ? AND topic < ? AND (topic, field, unit, kind) > (?, ?, ?, ?) ORDER BY topic, field, unit, kind`,
		lo, hi, after.Topic, after.Field, after.Unit, after.Kind)
	if err != nil {
		return nil, false, err
	}
	defer func() { _ = rows.Close() }()
	var match tables.Matcher
	for rows.Next() {
		var l listed
		if err := rows.Scan(&l.id, &l.Topic, &l.Field, &l.Unit, &l.Kind); err != nil {
			return nil, false, err
		}
		if kind != "" && l.Kind != kind || !match.OK(q.Filter, q.Allow, l.Topic) {
			continue
		}
		if len(found) == q.Limit {
			return found, true, rows.Close()
		}
		found = append(found, l)
	}
	return found, false, rows.Err()
}

// List implements history.Store.
func (s *Store) List(ctx context.Context, q history.ListQuery) (page history.ListPage, err error) {
	err = s.look(ctx, "list", func(v *view) error {
		found, more, err := v.list(ctx, q, "")
		page.More, page.Cursor = more, v.cursor
		for _, l := range found {
			page.Series = append(page.Series, l.Listed)
		}
		return err
	})
	return page, err
}

// Latest implements history.Store.
func (s *Store) Latest(ctx context.Context, q history.ListQuery) (page history.PointPage, err error) {
	err = s.look(ctx, "latest", func(v *view) error {
		found, more, err := v.list(ctx, q, history.KindNumber)
		if err != nil {
			return err
		}
		page.More, page.Cursor = more, v.cursor
		if n := len(found); n > 0 {
			page.Last = &found[n-1].Listed
		}
		last, err := v.tx.PrepareContext(ctx, `SELECT time, seq, value FROM points WHERE series = ? ORDER BY time DESC, seq DESC LIMIT 1`)
		if err != nil {
			return err
		}
		defer func() { _ = last.Close() }()
		coarse, err := v.tx.PrepareContext(ctx, `SELECT last_at, last_seq, last FROM rollup_1h WHERE series = ? ORDER BY start DESC LIMIT 1`)
		if err != nil {
			return err
		}
		defer func() { _ = coarse.Close() }()
		for _, l := range found {
			p := history.Point{Series: l.Series}
			err := v.scanPoint(last.QueryRowContext(ctx, l.id), &p)
			if errors.Is(err, sql.ErrNoRows) { // the points have expired, the rollups not
				err = v.scanPoint(coarse.QueryRowContext(ctx, l.id), &p)
			}
			if errors.Is(err, sql.ErrNoRows) {
				continue
			}
			if err != nil {
				return err
			}
			page.Points = append(page.Points, p)
		}
		return nil
	})
	return page, err
}

// scanPoint reads time, seq and value.
func (v *view) scanPoint(row interface{ Scan(dest ...any) error }, p *history.Point) error {
	var at, seq int64
	if err := row.Scan(&at, &seq, &p.Value); err != nil {
		return err
	}
	p.Time = tables.FromMicro(at)
	p.Epoch, p.Offset = v.epochs.Split(seq)
	return nil
}

// span is the bounds of a query in microseconds and seqs.
type span struct {
	from, to, until   int64
	afterAt, afterSeq int64 // exclusive, in the asked direction
}

// span finds the bounds of a query, clipped to what has not expired.
func (v *view) span(floor int64, from, to time.Time, after *history.Position, until journal.Cursor, descending bool) (b span, err error) {
	b = span{from: max(from.UnixMicro(), floor), to: to.UnixMicro()}
	if b.until, err = v.epochs.Until(until); err != nil {
		return b, err
	}
	switch {
	case after != nil: // SQLite takes its bounds of an index from from and to
		b.afterAt = after.Time.UnixMicro()
		if descending {
			b.to = min(b.to, b.afterAt+1)
		} else {
			b.from = max(b.from, b.afterAt)
		}
		b.afterSeq, err = v.epochs.Seq(journal.Cursor{Epoch: after.Epoch, Offset: after.Offset})
	case descending:
		b.afterAt, b.afterSeq = math.MaxInt64, math.MaxInt64
	default:
		b.afterAt, b.afterSeq = math.MinInt64, math.MinInt64
	}
	return b, err
}

// Range implements history.Store.
func (s *Store) Range(ctx context.Context, q history.RangeQuery) (page history.PointPage, err error) {
	err = s.look(ctx, "range", func(v *view) (err error) {
		page.Cursor = v.cursor
		id, err := v.series(ctx, history.Listed{Series: q.Series, Kind: history.KindNumber})
		if err != nil {
			return err
		}
		var floor int64
		if page.KeptFrom, floor, err = v.floor(ctx, "points"); err != nil {
			return err
		}
		b, err := v.span(floor, q.From, q.To, q.After, q.Until, q.Descending)
		if err != nil || id == 0 {
			return err
		}
		beyond, order := tables.Direction(q.Descending)
		text := strings.NewReplacer("BEYOND", beyond, "DOWN", order).Replace(`SELECT time, seq, value FROM points
			WHERE series = ? AND time >= ? AND time < ? AND (time, seq) BEYOND (?, ?) AND seq <= ? ORDER BY timeDOWN, seqDOWN LIMIT ?`)
		rows, err := v.tx.QueryContext(ctx, text, id, b.from, b.to, b.afterAt, b.afterSeq, b.until, q.Limit+1)
		if err != nil {
			return err
		}
		defer func() { _ = rows.Close() }()
		for rows.Next() {
			if len(page.Points) == q.Limit {
				page.More = true
				return rows.Close()
			}
			p := history.Point{Series: q.Series}
			if err := v.scanPoint(rows, &p); err != nil {
				return err
			}
			page.Points = append(page.Points, p)
		}
		return rows.Err()
	})
	return page, err
}

// Events implements history.Store.
func (s *Store) Events(ctx context.Context, q history.EventQuery) (page history.EventPage, err error) {
	err = s.look(ctx, "events", func(v *view) (err error) {
		page.Cursor = v.cursor
		var floor int64
		if page.KeptFrom, floor, err = v.floor(ctx, "events"); err != nil {
			return err
		}
		b, err := v.span(floor, q.From, q.To, q.After, q.Until, q.Descending)
		if err != nil {
			return err
		}
		beyond, order := tables.Direction(q.Descending)
		which, args := "", []any{b.from, b.to, b.afterAt, b.afterSeq, b.until}
		if !strings.ContainsAny(q.Filter, "+#") { // one topic: by the index of series, which may be far fewer rows
			which, args = " AND e.series IN (SELECT id FROM series WHERE topic = ? AND kind = 'event')", append(args, q.Filter)
		}
		text := strings.NewReplacer("BEYOND", beyond, "WHICH", which, "DOWN", order).Replace(`SELECT s.topic, s.field, e.time, e.seq, e.size, e.payload
			FROM events e JOIN series s ON s.id = e.series WHERE e.time >= ? AND e.time < ? AND (e.time, e.seq) BEYOND= (?, ?) AND e.seq <= ?WHICH
			ORDER BY e.timeDOWN, e.seqDOWN, s.fieldDOWN LIMIT ?`)
		rows, err := v.tx.QueryContext(ctx, text, append(args, scanLimit(q, which != ""))...)
		if err != nil {
			return err
		}
		defer func() { _ = rows.Close() }()
		return v.collectEvents(rows, q, b, &page)
	})
	return page, err
}

// scanLimit bounds the rows of a query for events. Of one topic every row is wanted, save those that stand before After at the
// same place; with a wildcard nobody knows how many do not match.
func scanLimit(q history.EventQuery, oneTopic bool) int {
	if oneTopic {
		return q.Limit + 1 + history.MaxFields
	}
	return -1
}

func (v *view) collectEvents(rows *sql.Rows, q history.EventQuery, b span, page *history.EventPage) error {
	for rows.Next() {
		var e history.Event
		var at, seq int64
		if err := rows.Scan(&e.Topic, &e.Field, &at, &seq, &e.Size, &e.Payload); err != nil {
			return err
		}
		if q.After != nil && at == b.afterAt && seq == b.afterSeq && (e.Field == q.After.Field || (e.Field < q.After.Field) != q.Descending) {
			continue
		}
		if !topic.Match(q.Filter, e.Topic) || q.Allow != nil && !q.Allow(e.Topic) {
			continue
		}
		e.Time = tables.FromMicro(at)
		e.Epoch, e.Offset = v.epochs.Split(seq)
		if !page.Add(&q, e) {
			return rows.Close()
		}
	}
	return rows.Err()
}

// Gaps implements history.Store.
func (s *Store) Gaps(ctx context.Context, from, to time.Time, limit int) (gaps []history.Gap, err error) {
	err = s.look(ctx, "gaps", func(v *view) error {
		rows, err := v.tx.QueryContext(ctx, `SELECT epoch, lo, hi, n, reason, begin_at, end_at FROM
			(SELECT * FROM gaps WHERE end_at >= ? AND begin_at < ? ORDER BY id DESC LIMIT ?) ORDER BY id`, from.UnixMicro(), to.UnixMicro(), limit)
		if err != nil {
			return err
		}
		defer func() { _ = rows.Close() }()
		for rows.Next() {
			var g history.Gap
			var begin, end int64
			if err := rows.Scan(&g.Epoch, &g.From, &g.To, &g.Count, &g.Reason, &begin, &end); err != nil {
				return err
			}
			if g.End = tables.FromMicro(end); begin != 0 {
				g.Begin = tables.FromMicro(begin)
			}
			gaps = append(gaps, g)
		}
		return rows.Err()
	})
	return gaps, err
}
