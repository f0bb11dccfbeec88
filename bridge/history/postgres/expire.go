package postgres

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"

	"plumbline/bridge/history/internal/tables"
)

// expireSeries is how many series one statement looks at.
const expireSeries = 2000

// Expire implements history.Store. Readers stop at the floor, which moves first, so they never see a series half gone.
func (s *Store) Expire(ctx context.Context, now time.Time) (more bool, err error) {
	s.write.Lock()
	defer s.write.Unlock()
	more, err = s.expire.Go(tables.Rounds(s.opts.Retain), now, tables.Steps{
		Some: func(r tables.Round, limit int64) (int64, bool, error) { return s.expireSome(ctx, r, now, limit) },
		Drop: func() error { return s.dropSeries(ctx) },
	})
	if err != nil {
		return false, fmt.Errorf("history: postgres: expire: %w", err)
	}
	return more, nil
}

// expireSome removes at most limit rows of one table and reports whether that was all.
func (s *Store) expireSome(ctx context.Context, r tables.Round, now time.Time, limit int64) (n int64, done bool, err error) {
	if r.Keep <= 0 {
		return 0, true, nil
	}
	before, floor, err := s.raiseFloor(ctx, r, now)
	if err != nil {
		return 0, false, err
	}
	if s.timescale {
		return 0, true, s.dropChunks(ctx, r.Table, before, floor)
	}
	if r.Table == tables.Events {
		tag, err := s.writer.Exec(ctx, "DELETE FROM events WHERE (time, seq, series) IN (SELECT time, seq, series FROM events WHERE time < $1 ORDER BY time LIMIT $2)", floor, limit)
		return tag.RowsAffected(), tag.RowsAffected() < limit, err
	}
	var last *int64
	var seen int64
	text := strings.NewReplacer("TABLE", r.Table, "TIME", r.Time).Replace(`WITH few AS (SELECT id FROM series WHERE id > $1 AND kind = 'number' ORDER BY id LIMIT $4),
		old AS (SELECT o.ctid FROM few CROSS JOIN LATERAL (SELECT ctid FROM TABLE WHERE series = few.id AND TIME < $2 ORDER BY TIME LIMIT $3) o LIMIT $3),
		gone AS (DELETE FROM TABLE WHERE ctid = ANY (ARRAY(SELECT ctid FROM old)) RETURNING 1)
		SELECT (SELECT max(id) FROM few), (SELECT count(*) FROM few), (SELECT count(*) FROM gone)`)
	if err := s.writer.QueryRow(ctx, text, s.expire.Series, floor, limit, expireSeries).Scan(&last, &seen, &n); err != nil {
		return 0, false, err
	}
	if n >= limit || last == nil { // these series may have more, or there are none
		return n, n < limit, nil
	}
	s.expire.Series = *last
	return n, seen < expireSeries, nil
}

// raiseFloor moves the floor of a table to where retention wants it, and returns it with the one before. Who asks sees it first.
func (s *Store) raiseFloor(ctx context.Context, r tables.Round, now time.Time) (before, floor time.Time, err error) {
	before = tables.FromMicro(0)
	if err := s.writer.QueryRow(ctx, "SELECT at FROM floors WHERE name = $1", r.Table).Scan(&before); err != nil && !errors.Is(err, pgx.ErrNoRows) {
		return before, before, err
	}
	floor = tables.FromMicro(r.Floor(before.UnixMicro(), now))
	_, err = s.writer.Exec(ctx, "INSERT INTO floors VALUES ($1, $2) ON CONFLICT (name) DO UPDATE SET at = excluded.at", r.Table, floor)
	return before, floor, err
}

// dropSeries forgets series of which nothing is left, of TimescaleDB nothing that is not below the floor: its chunks go later.
func (s *Store) dropSeries(ctx context.Context) error {
	if r := s.opts.Retain; r.Rollup1h <= 0 && r.Events <= 0 {
		return nil
	}
	above := ""
	if s.timescale {
		above = " AND TIME >= coalesce((SELECT at FROM floors WHERE name = 'TABLE'), '-infinity')"
	}
	var left []string
	for _, r := range tables.Rounds(s.opts.Retain) {
		left = append(left, strings.NewReplacer("TABLE", r.Table, "TIME", r.Time).Replace("NOT EXISTS (SELECT FROM TABLE WHERE series = id"+above+")"))
	}
	tag, err := s.writer.Exec(ctx, "DELETE FROM series WHERE "+strings.Join(left, " AND "))
	if err != nil || tag.RowsAffected() > 0 {
		s.names.Forget() // the next batch reads them again
	}
	return err
}
