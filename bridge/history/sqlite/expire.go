package sqlite

import (
	"context"
	"database/sql"
	"fmt"
	"strings"
	"time"

	"plumbline/bridge/history/internal/tables"
)

// floorKey is the meta key under which the time stands before which a table has expired.
func floorKey(table string) string { return "floor_" + table }

// Expire implements history.Store. Readers stop at the floor, which moves first, so they never see a series half gone.
func (s *Store) Expire(ctx context.Context, now time.Time) (more bool, err error) {
	s.write.Lock()
	defer s.write.Unlock()
	more, err = s.expire.Go(tables.Rounds(s.opts.Retain), now, tables.Steps{
		Begin: func() error { return s.measure(ctx, now) },
		Some:  func(r tables.Round, limit int64) (int64, bool, error) { return s.expireSome(ctx, r, now, limit) },
		Drop:  func() error { return s.dropSeries(ctx) },
	})
	if err != nil {
		return false, fmt.Errorf("history: sqlite: expire: %w", err)
	}
	return more || len(s.squeeze) > 0, nil // while the file is too large, the next round follows at once
}

// expireSome removes at most limit rows of one table and reports whether that was all.
func (s *Store) expireSome(ctx context.Context, r tables.Round, now time.Time, limit int64) (n int64, done bool, err error) {
	tx, err := s.writer.BeginTx(ctx, nil)
	if err != nil {
		return 0, false, err
	}
	defer func() { _ = tx.Rollback() }() // after a commit it does nothing
	floor, err := s.raiseFloor(ctx, tx, r, now)
	if err != nil || floor == 0 {
		return 0, true, err
	}
	if r.Table == tables.Events {
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
func (s *Store) expireSeries(ctx context.Context, tx *sql.Tx, r tables.Round, floor, limit int64) (n int64, done bool, err error) {
	rest := map[string]string{"points": "series, time, seq"}[r.Table]
	if rest == "" {
		rest = "series, start"
	}
	text := fmt.Sprintf("DELETE FROM %[1]s WHERE (%[2]s) IN (SELECT %[2]s FROM %[1]s WHERE series = ? AND %[3]s < ? ORDER BY %[3]s LIMIT ?)", r.Table, rest, r.Time)
	ids, err := s.seriesAfter(ctx, tx, s.expire.Series)
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
		s.expire.Series = id
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

// raiseFloor moves the floor of a table to where retention, or the size of the file, wants it and returns it; 0 when nothing expires.
func (s *Store) raiseFloor(ctx context.Context, tx *sql.Tx, r tables.Round, now time.Time) (int64, error) {
	before, err := metaInt(ctx, tx, floorKey(r.Table))
	if err != nil {
		return 0, err
	}
	floor := r.Floor(max(before, s.squeeze[r.Table]), now)
	if floor != before {
		_, err = tx.ExecContext(ctx, "INSERT INTO meta VALUES (?, ?) ON CONFLICT (key) DO UPDATE SET value = excluded.value", floorKey(r.Table), floor)
	}
	return floor, err
}

// A file that is too large loses a part of the time that its oldest table covers, again and again, but leaves each the last hour.
const (
	squeezePart = 50
	squeezeRest = time.Hour
)

// measure finds what has to go while the file is larger than it may be: the oldest points, and when those of an hour are left, the
// oldest statistics and events, from the finest.
func (s *Store) measure(ctx context.Context, now time.Time) error {
	clear(s.squeeze)
	large, err := s.tooLarge(ctx)
	if err != nil || !large {
		return err
	}
	rounds := tables.Rounds(s.opts.Retain)
	for _, i := range []int{0, 1, 4, 2, 3} { // the events after the seconds
		r := rounds[i]
		oldest, err := s.oldest(ctx, r)
		if err != nil {
			return err
		}
		rest := now.UnixMicro() - squeezeRest.Microseconds()
		if oldest != 0 && oldest < rest-r.Step {
			s.squeeze = map[string]int64{r.Table: min(oldest+max((now.UnixMicro()-oldest)/s.part, r.Step), rest)}
			return nil
		}
	}
	return nil
}

// tooLarge reports whether more of the file is in use than may be.
func (s *Store) tooLarge(ctx context.Context) (bool, error) {
	if s.opts.MaxBytes < 0 {
		return false, nil
	}
	var pages, free, size int64
	for pragma, to := range map[string]*int64{"page_count": &pages, "freelist_count": &free, "page_size": &size} {
		if err := s.writer.QueryRowContext(ctx, "PRAGMA "+pragma).Scan(to); err != nil {
			return false, err
		}
	}
	return (pages-free)*size > s.opts.MaxBytes, nil
}

// oldest returns the time of the oldest row of a table that has not expired, in microseconds; 0 when there is none.
func (s *Store) oldest(ctx context.Context, r tables.Round) (us int64, err error) {
	floor, err := metaInt(ctx, s.writer, floorKey(r.Table))
	if err != nil {
		return 0, err
	}
	text := "SELECT min((SELECT TIME FROM TABLE WHERE series = s.id AND TIME >= ? ORDER BY TIME LIMIT 1)) FROM series s"
	if r.Table == tables.Events {
		text = "SELECT min(TIME) FROM TABLE WHERE TIME >= ?"
	}
	var found sql.NullInt64
	err = s.writer.QueryRowContext(ctx, strings.NewReplacer("TABLE", r.Table, "TIME", r.Time).Replace(text), floor).Scan(&found)
	return found.Int64, err
}

// dropSeries forgets series of which nothing is left.
func (s *Store) dropSeries(ctx context.Context) error {
	if r := s.opts.Retain; r.Rollup1h <= 0 && r.Events <= 0 && s.opts.MaxBytes < 0 {
		return nil
	}
	var left []string
	for _, r := range tables.Rounds(s.opts.Retain) {
		left = append(left, "NOT EXISTS (SELECT 1 FROM "+r.Table+" WHERE series = id)")
	}
	n, err := deleted(s.writer.ExecContext(ctx, "DELETE FROM series WHERE "+strings.Join(left, " AND ")))
	if err != nil || n > 0 {
		s.names.Forget() // the next batch reads them again
	}
	return err
}
