package sqlite

import (
	"context"
	"database/sql"
	"fmt"
	"math"
	"strings"
	"time"

	"plumbline/bridge/history"
)

// Aggregate implements history.Store. It reads the coarsest rollup whose step divides the query's.
func (s *Store) Aggregate(ctx context.Context, q history.AggregateQuery) (a history.Aggregates, err error) {
	step := q.Step.Microseconds()
	if step <= 0 || floorMod(q.From.UnixMicro(), step) != 0 || floorMod(q.To.UnixMicro(), step) != 0 {
		return a, fmt.Errorf("history: sqlite: aggregate: from %d µs and to %d µs must be multiples of the step, %d µs, and that at least 1 µs", q.From.UnixMicro(), q.To.UnixMicro(), step)
	}
	l := levels[0]
	for _, coarser := range levels[1:] {
		if step%coarser.step == 0 {
			l = coarser
		}
	}
	err = s.look(ctx, "aggregate", func(v *view) (err error) {
		a.Cursor, a.Resolution = v.cursor, time.Duration(l.step)*time.Microsecond
		var floor int64
		if a.KeptFrom, floor, err = v.floor(ctx, l.table); err != nil {
			return err
		}
		id, err := v.series(ctx, history.Listed{Series: q.Series, Kind: history.KindNumber})
		if err != nil || id == 0 {
			return err
		}
		from, to := max(q.From.UnixMicro(), floor), q.To.UnixMicro()
		text := strings.Replace("SELECT start, n, sum, lo, lo_at, hi, hi_at, last, last_at, last_seq FROM ROLLUP WHERE series = ? AND start >= ? AND start < ? ORDER BY start", "ROLLUP", l.table, 1)
		if l.step == 0 {
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
func fold(rows *sql.Rows, step int64) (out []history.Bucket, err error) {
	now := bucket{start: math.MinInt64}
	for rows.Next() {
		var b bucket
		if err := rows.Scan(&b.start, &b.n, &b.sum, &b.lo, &b.loAt, &b.hi, &b.hiAt, &b.last, &b.lastAt, &b.lastSeq); err != nil {
			return nil, err
		}
		if start := b.start - floorMod(b.start, step); start != now.start {
			if now.n > 0 {
				out = append(out, now.public())
			}
			now = bucket{start: start}
		}
		now.add(b)
	}
	if now.n > 0 {
		out = append(out, now.public())
	}
	return out, rows.Err()
}
