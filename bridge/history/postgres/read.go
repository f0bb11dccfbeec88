package postgres

import (
	"context"
	"errors"
	"fmt"
	"math"
	"time"

	"github.com/jackc/pgx/v5"

	"plumbline/bridge/history"
	"plumbline/bridge/history/internal/tables"
	"plumbline/bridge/journal"
)

// chunk is how many rows one query reads when some of them may not be wanted.
const chunk = 1000

// The times that a question may mean: beyond them the database would refuse to count, and there is nothing.
var (
	beginning = time.Date(1, 1, 1, 0, 0, 0, 0, time.UTC)
	end       = time.Date(9999, 1, 1, 0, 0, 0, 0, time.UTC)
)

func clamp(t time.Time) time.Time {
	switch {
	case t.Before(beginning):
		return beginning
	case t.After(end):
		return end
	}
	return t
}

// later returns the later of two times.
func later(a, b time.Time) time.Time {
	if a.Before(b) {
		return b
	}
	return a
}

// view is one consistent state of the database.
type view struct {
	pgx.Tx
	cursor journal.Cursor
	epochs tables.Epochs
	floors map[string]time.Time // by table: what is before has expired
}

// look calls read with a view, which ends with it.
func (s *Store) look(ctx context.Context, what string, read func(v *view) error) error {
	err := pgx.BeginTxFunc(ctx, s.reader, pgx.TxOptions{IsoLevel: pgx.RepeatableRead, AccessMode: pgx.ReadOnly}, func(tx pgx.Tx) error {
		v := &view{Tx: tx, epochs: tables.Epochs{}, floors: map[string]time.Time{}}
		if err := v.begin(ctx); err != nil {
			return err
		}
		return read(v)
	})
	if err != nil {
		return fmt.Errorf("history: postgres: %s: %w", what, err)
	}
	return nil
}

// begin reads what every answer needs.
func (v *view) begin(ctx context.Context) error {
	var all pgx.Batch
	all.Queue(cursorQuery).QueryRow(func(row pgx.Row) error {
		var offset int64
		err := row.Scan(&v.cursor.Epoch, &offset)
		v.cursor.Offset = uint64(offset)
		return err
	})
	all.Queue(epochsQuery).Query(func(rows pgx.Rows) error {
		return readEpochs(rows, func(id int64, name string) { v.epochs[id] = name })
	})
	all.Queue("SELECT name, at FROM floors").Query(func(rows pgx.Rows) error {
		var name string
		var at time.Time
		_, err := pgx.ForEachRow(rows, []any{&name, &at}, func() error {
			v.floors[name] = at.UTC()
			return nil
		})
		return err
	})
	return v.SendBatch(ctx, &all).Close()
}

// series finds the number of a series of numbers; 0 when there is none.
func (v *view) series(ctx context.Context, s history.Series) (id int64, err error) {
	err = v.QueryRow(ctx, "SELECT id FROM series WHERE digest = $1", digest(history.Listed{Series: s, Kind: history.KindNumber})).Scan(&id)
	if errors.Is(err, pgx.ErrNoRows) {
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
	var match tables.Matcher
	for {
		lo = max(lo, after.Topic)
		rows, _ := v.Query(ctx, `SELECT id, topic, field, unit, kind FROM series
			WHERE head >= $1 AND head <= $2 AND topic >= $3 AND topic < $4 AND (topic, field, unit, kind) > ($5, $6, $7, $8) AND ($9 = '' OR kind = $9)
			ORDER BY head, topic, field, unit, kind LIMIT $10`,
			head(lo), head(hi), lo, hi, after.Topic, after.Field, after.Unit, string(after.Kind), string(kind), chunk) // ForEachRow returns its error
		n := 0
		var l listed
		_, err := pgx.ForEachRow(rows, []any{&l.id, &l.Topic, &l.Field, &l.Unit, &l.Kind}, func() error {
			n++
			after = l.Listed
			switch {
			case !match.OK(q.Filter, q.Allow, l.Topic):
			case len(found) == q.Limit:
				more = true
			default:
				found = append(found, l)
			}
			return nil
		})
		if err != nil || n < chunk || more {
			return found, more, err
		}
	}
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

// latestQuery finds the youngest point of each series, or, where the points have expired, what the coarsest rollup knows of it.
const latestQuery = `SELECT s.n, p.time, p.seq, p.value FROM unnest($1::bigint[]) WITH ORDINALITY s(id, n) CROSS JOIN LATERAL (
	SELECT * FROM (SELECT time, seq, value FROM points WHERE series = s.id ORDER BY time DESC, seq DESC LIMIT 1) young
	UNION ALL
	SELECT * FROM (SELECT last_at, last_seq, last FROM rollup_1h WHERE series = s.id ORDER BY start DESC LIMIT 1) old
	LIMIT 1) p ORDER BY s.n`

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
		ids := make([]int64, len(found))
		for i, l := range found {
			ids[i] = l.id
		}
		rows, _ := v.Query(ctx, latestQuery, ids) // ForEachRow returns its error
		var n, seq int64
		var p history.Point
		_, err = pgx.ForEachRow(rows, []any{&n, &p.Time, &seq, &p.Value}, func() error {
			p.Series = found[n-1].Series
			page.Points = append(page.Points, v.place(p, seq))
			return nil
		})
		return err
	})
	return page, err
}

// place completes a point that was read.
func (v *view) place(p history.Point, seq int64) history.Point {
	p.Time = p.Time.UTC()
	p.Epoch, p.Offset = v.epochs.Split(seq)
	return p
}

// span is the bounds of a query. Of after, time and seq are exclusive, in the asked direction.
type span struct {
	from, to, afterAt time.Time
	until, afterSeq   int64
}

// span finds the bounds of a query, clipped to what has not expired.
func (v *view) span(table string, from, to time.Time, after *history.Position, until journal.Cursor, descending bool) (b span, err error) {
	b = span{from: later(clamp(from), v.floors[table]), to: clamp(to)}
	if b.until, err = v.epochs.Until(until); err != nil {
		return b, err
	}
	switch {
	case after != nil:
		b.afterAt = clamp(after.Time)
		b.afterSeq, err = v.epochs.Seq(journal.Cursor{Epoch: after.Epoch, Offset: after.Offset})
	case descending:
		b.afterAt, b.afterSeq = end, math.MaxInt64
	default:
		b.afterAt, b.afterSeq = beginning, math.MinInt64
	}
	return b, err
}

// Range implements history.Store.
func (s *Store) Range(ctx context.Context, q history.RangeQuery) (page history.PointPage, err error) {
	err = s.look(ctx, "range", func(v *view) (err error) {
		page.Cursor, page.KeptFrom = v.cursor, v.floors["points"]
		b, err := v.span("points", q.From, q.To, q.After, q.Until, q.Descending)
		if err != nil {
			return err
		}
		id, err := v.series(ctx, q.Series)
		if err != nil || id == 0 {
			return err
		}
		beyond, order := tables.Direction(q.Descending)
		rows, _ := v.Query(ctx, `SELECT time, seq, value FROM points WHERE series = $1 AND time >= $2 AND time < $3 AND (time, seq) `+beyond+` ($4, $5) AND seq <= $6
			ORDER BY time`+order+`, seq`+order+` LIMIT $7`, id, b.from, b.to, b.afterAt, b.afterSeq, b.until, q.Limit+1) // ForEachRow returns its error
		p, seq := history.Point{Series: q.Series}, int64(0)
		_, err = pgx.ForEachRow(rows, []any{&p.Time, &seq, &p.Value}, func() error {
			if page.More = len(page.Points) == q.Limit; !page.More {
				page.Points = append(page.Points, v.place(p, seq))
			}
			return nil
		})
		return err
	})
	return page, err
}

// Aggregate implements history.Store. It reads the coarsest rollup whose step divides the query's.
func (s *Store) Aggregate(ctx context.Context, q history.AggregateQuery) (a history.Aggregates, err error) {
	l, step, err := tables.LevelFor(q)
	if err != nil {
		return a, fmt.Errorf("history: postgres: aggregate: %w", err)
	}
	err = s.look(ctx, "aggregate", func(v *view) (err error) {
		a.Cursor, a.Resolution, a.KeptFrom = v.cursor, time.Duration(l.Step)*time.Microsecond, v.floors[l.Table]
		id, err := v.series(ctx, q.Series)
		if err != nil || id == 0 {
			return err
		}
		text := "SELECT start, n, sum, lo, lo_at, hi, hi_at, last, last_at, last_seq FROM " + l.Table + " WHERE series = $1 AND start >= $2 AND start < $3 ORDER BY start"
		if l.Step == 0 {
			text = "SELECT time, 1::bigint, value, value, time, value, time, value, time, seq FROM points WHERE series = $1 AND time >= $2 AND time < $3 ORDER BY time, seq"
		}
		rows, err := v.Query(ctx, text, id, later(clamp(q.From), v.floors[l.Table]), clamp(q.To))
		if err != nil {
			return err
		}
		defer rows.Close()
		a.Buckets, err = fold(rows, step)
		return err
	})
	return a, err
}

// fold merges rows, which come by start, to buckets of step.
func fold(rows pgx.Rows, step int64) ([]history.Bucket, error) {
	return tables.Fold(step, func() (b tables.Bucket, ok bool, err error) {
		if !rows.Next() {
			return b, false, rows.Err()
		}
		var start, loAt, hiAt, lastAt time.Time
		err = rows.Scan(&start, &b.N, &b.Sum, &b.Lo, &loAt, &b.Hi, &hiAt, &b.Last, &lastAt, &b.LastSeq)
		b.Start, b.LoAt, b.HiAt, b.LastAt = start.UnixMicro(), loAt.UnixMicro(), hiAt.UnixMicro(), lastAt.UnixMicro()
		return b, true, err
	})
}
