package sqlite

import (
	"context"
	"database/sql"
	"fmt"
	"time"

	"plumbline/bridge/history/internal/tables"
)

// expireRows is how many rows one Expire removes at most, so that the writer is not away for long.
const expireRows = 5000

// floorKey is the meta key under which the time stands before which a table has expired.
func floorKey(table string) string { return "floor_" + table }

// expiry is how far the present round of Expire is.
type expiry struct {
	table  int   // index into the list of rounds
	series int64 // rows of series up to it are gone
}

// round is one table with its retention.
type round struct {
	table, time string
	keep        time.Duration
}

func (s *Store) rounds() []round {
	keep := tables.Keeps(s.opts.Retain)
	var out []round
	for i, l := range tables.Levels {
		out = append(out, round{l.Table, l.Time, keep[i]})
	}
	return append(out, round{"events", "time", s.opts.Retain.Events})
}

// Expire implements history.Store. Readers stop at the floor, which moves first, so they never see a series half gone.
func (s *Store) Expire(ctx context.Context, now time.Time) (more bool, err error) {
	s.write.Lock()
	defer s.write.Unlock()
	rounds := s.rounds()
	budget := int64(expireRows)
	for budget > 0 {
		if s.expire.table == len(rounds) {
			s.expire = expiry{}
			if err = s.dropSeries(ctx); err != nil {
				return false, fmt.Errorf("history: sqlite: expire: %w", err)
			}
			return false, nil
		}
		r := rounds[s.expire.table]
		n, done, err := s.expireSome(ctx, r, now, budget)
		if err != nil {
			return false, fmt.Errorf("history: sqlite: expire %s: %w", r.table, err)
		}
		if budget -= n; done {
			s.expire = expiry{table: s.expire.table + 1}
		}
	}
	return true, nil
}

// expireSome removes at most limit rows of one table and reports whether that was all.
func (s *Store) expireSome(ctx context.Context, r round, now time.Time, limit int64) (n int64, done bool, err error) {
	tx, err := s.writer.BeginTx(ctx, nil)
	if err != nil {
		return 0, false, err
	}
	defer func() { _ = tx.Rollback() }() // after a commit it does nothing
	floor, err := s.raiseFloor(ctx, tx, r, now)
	if err != nil || floor == 0 {
		return 0, true, err
	}
	if r.table == "events" {
		n, err = deleted(tx.ExecContext(ctx, "DELETE FROM events WHERE (time, seq, series) IN (SELECT time, seq, series FROM events WHERE time < ? ORDER BY time LIMIT ?)", floor, limit))
		done = n < limit
	} else {
		n, done, err = s.expireSeries(ctx, tx, r, floor, limit)
	}
	if err != nil {
		return 0, false, err
	}
	return n, done, tx.Commit()
}

// expireSeries goes on from series to series until limit rows are gone.
func (s *Store) expireSeries(ctx context.Context, tx *sql.Tx, r round, floor, limit int64) (n int64, done bool, err error) {
	rest := map[string]string{"points": "series, time, seq"}[r.table]
	if rest == "" {
		rest = "series, start"
	}
	text := fmt.Sprintf("DELETE FROM %[1]s WHERE (%[2]s) IN (SELECT %[2]s FROM %[1]s WHERE series = ? AND %[3]s < ? ORDER BY %[3]s LIMIT ?)", r.table, rest, r.time)
	ids, err := s.seriesAfter(ctx, tx, s.expire.series)
	if err != nil {
		return 0, false, err
	}
	for _, id := range ids {
		some, err := deleted(tx.ExecContext(ctx, text, id, floor, limit-n))
		if err != nil {
			return 0, false, err
		}
		if n += some; n >= limit {
			return n, false, nil // this series may have more
		}
		s.expire.series = id
	}
	return n, len(ids) < expireSeriesAtOnce, nil
}

// expireSeriesAtOnce bounds the time of one transaction when there are many series with nothing to remove.
const expireSeriesAtOnce = 2000

func (s *Store) seriesAfter(ctx context.Context, tx *sql.Tx, after int64) (ids []int64, err error) {
	rows, err := tx.QueryContext(ctx, "SELECT id FROM series WHERE id > ? AND kind = 'number' ORDER BY id LIMIT ?", after, expireSeriesAtOnce)
	if err != nil {
		return nil, err
	}
	defer func() { _ = rows.Close() }()
	for rows.Next() {
		var id int64
		if err := rows.Scan(&id); err != nil {
			return nil, err
		}
		ids = append(ids, id)
	}
	return ids, rows.Err()
}

func deleted(r sql.Result, err error) (int64, error) {
	if err != nil {
		return 0, err
	}
	return r.RowsAffected()
}

// raiseFloor moves the floor of a table to where retention wants it and returns it; 0 when nothing expires.
func (s *Store) raiseFloor(ctx context.Context, tx *sql.Tx, r round, now time.Time) (int64, error) {
	floor, err := metaInt(ctx, tx, floorKey(r.table))
	if err != nil {
		return 0, err
	}
	if r.keep > 0 {
		floor = max(floor, now.Add(-r.keep).UnixMicro())
	}
	if r.table == "points" {
		if floor, err = s.squeeze(ctx, tx, floor, now); err != nil {
			return 0, err
		}
	}
	if floor == 0 {
		return 0, nil
	}
	_, err = tx.ExecContext(ctx, "INSERT INTO meta VALUES (?, ?) ON CONFLICT (key) DO UPDATE SET value = excluded.value", floorKey(r.table), floor)
	return floor, err
}

// squeeze raises the floor of the points by a fiftieth of what they span while the file is larger than it may be.
func (s *Store) squeeze(ctx context.Context, tx *sql.Tx, floor int64, now time.Time) (int64, error) {
	if s.opts.MaxBytes < 0 || s.expire.series > 0 {
		return floor, nil
	}
	var pages, free, size int64
	for pragma, to := range map[string]*int64{"page_count": &pages, "freelist_count": &free, "page_size": &size} {
		if err := tx.QueryRowContext(ctx, "PRAGMA "+pragma).Scan(to); err != nil {
			return 0, err
		}
	}
	if (pages-free)*size <= s.opts.MaxBytes {
		return floor, nil
	}
	var oldest sql.NullInt64
	if err := tx.QueryRowContext(ctx, "SELECT min((SELECT time FROM points WHERE series = s.id AND time >= ? ORDER BY time LIMIT 1)) FROM series s", floor).Scan(&oldest); err != nil {
		return 0, err
	}
	if !oldest.Valid {
		return floor, nil
	}
	return max(floor, oldest.Int64+max((now.UnixMicro()-oldest.Int64)/50, 1)), nil
}

// dropSeries forgets series of which nothing is left. It is the end of a round.
func (s *Store) dropSeries(ctx context.Context) error {
	r := s.opts.Retain
	if r.Rollup1h <= 0 && r.Events <= 0 {
		return nil
	}
	const gone = `DELETE FROM series WHERE
		NOT EXISTS (SELECT 1 FROM rollup_1h WHERE series = id) AND NOT EXISTS (SELECT 1 FROM rollup_1m WHERE series = id) AND
		NOT EXISTS (SELECT 1 FROM rollup_1s WHERE series = id) AND NOT EXISTS (SELECT 1 FROM points WHERE series = id) AND
		NOT EXISTS (SELECT 1 FROM events WHERE series = id) RETURNING id`
	rows, err := s.writer.QueryContext(ctx, gone)
	if err != nil {
		return err
	}
	defer func() { _ = rows.Close() }()
	dead := map[int64]bool{}
	for rows.Next() {
		var id int64
		if err := rows.Scan(&id); err != nil {
			return err
		}
		dead[id] = true
	}
	for l, id := range s.ids {
		if dead[id] {
			delete(s.ids, l)
		}
	}
	return rows.Err()
}
