package sqlite

import (
	"context"
	"database/sql"
	"fmt"
	"strings"
	"time"

	"plumbline/bridge/history"
	"plumbline/bridge/history/internal/tables"
)

// Aggregate implements history.Store. It reads the coarsest rollup whose step divides the query's.
func (s *Store) Aggregate(ctx context.Context, q history.AggregateQuery) (a history.Aggregates, err error) {
	l, step, err := tables.LevelFor(q)
	if err != nil {
		return a, fmt.Errorf("history: sqlite: aggregate: %w", err)
	}
	err = s.look(ctx, "aggregate", func(v *view) (err error) {
		a.Cursor, a.Resolution = v.cursor, time.Duration(l.Step)*time.Microsecond
		var floor int64
		if a.KeptFrom, floor, err = v.floor(ctx, l.Table); err != nil {
			return err
		}
		id, err := v.series(ctx, history.Listed{Series: q.Series, Kind: history.KindNumber})
		if err != nil || id == 0 {
			return err
		}
		from, to := max(q.From.UnixMicro(), floor), q.To.UnixMicro()
		text := strings.Replace("SELECT start, n, sum, lo, lo_at, hi, hi_at, last, last_at, last_seq FROM ROLLUP WHERE series = ? AND start >= ? AND start < ? ORDER BY start", "ROLLUP", l.Table, 1)
		if l.Step == 0 {
			text = "SELECT time, 1, value, value, time, value, time, value, time, seq FROM points WHERE series = ? AND time >= ? AND time < ? ORDER BY time, seq"
		}
		rows, err := v.tx.QueryContext(ctx, text, id, from, to)
		if err != nil {
			return err
		}
		defer func() { _ = rows.Close() }()
		a.Buckets, err = fold(rows, step)
		return err
	})
	return a, err
}

// fold merges rows, which come by start, to buckets of step.
func fold(rows *sql.Rows, step int64) ([]history.Bucket, error) {
	return tables.Fold(step, func() (b tables.Bucket, ok bool, err error) {
		if !rows.Next() {
			return b, false, rows.Err()
		}
		return b, true, rows.Scan(&b.Start, &b.N, &b.Sum, &b.Lo, &b.LoAt, &b.Hi, &b.HiAt, &b.Last, &b.LastAt, &b.LastSeq)
	})
}
