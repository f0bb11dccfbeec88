package postgres

import (
	"context"
	"fmt"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"

	"plumbline/bridge/history"
	"plumbline/bridge/history/internal/tables"
)

const (
	expireRows   = 5000 // that one Expire removes at most, so that the writer is not away for long
	expireSeries = 2000 // looked at by one statement
	dropEvery    = time.Hour
)

// expiry is how far the present round of Expire is.
type expiry struct {
	table   int       // index into the list of rounds
	series  int64     // rows of series up to it are gone
	dropped time.Time // when series of which nothing is left were last looked for
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
	for budget := int64(expireRows); budget > 0; {
		if s.expire.table == len(rounds) {
			s.expire.table = 0
			if err = s.dropSeries(ctx, now); err != nil {
				return false, fmt.Errorf("history: postgres: expire: %w", err)
			}
			return false, nil
		}
		r := rounds[s.expire.table]
		n, done, err := s.expireSome(ctx, r, now, budget)
		if err != nil {
			return false, fmt.Errorf("history: postgres: expire %s: %w", r.table, err)
		}
		if budget -= n; done {
			s.expire.table++
			s.expire.series = 0
		}
	}
	return true, nil
}

// expireSome removes at most limit rows of one table and reports whether that was all.
func (s *Store) expireSome(ctx context.Context, r round, now time.Time, limit int64) (n int64, done bool, err error) {
	if r.keep <= 0 {
		return 0, true, nil
	}
	before, floor, err := s.raiseFloor(ctx, r.table, now.Add(-r.keep))
	if err != nil {
		return 0, false, err
	}
	if s.timescale {
		return 0, true, s.dropChunks(ctx, r.table, before, floor)
	}
	if r.table == "events" {
		tag, err := s.writer.Exec(ctx, "DELETE FROM events WHERE (time, seq, series) IN (SELECT time, seq, series FROM events WHERE time < $1 ORDER BY time LIMIT $2)", floor, limit)
		return tag.RowsAffected(), tag.RowsAffected() < limit, err
	}
	var last *int64
	var seen int64
	text := strings.NewReplacer("TABLE", r.table, "TIME", r.time).Replace(`WITH few AS (SELECT id FROM series WHERE id > $1 AND kind = 'number' ORDER BY id LIMIT $4),
		old AS (SELECT o.ctid FROM few CROSS JOIN LATERAL (SELECT ctid FROM TABLE WHERE series = few.id AND TIME < $2 ORDER BY TIME LIMIT $3) o LIMIT $3),
		gone AS (DELETE FROM TABLE WHERE ctid = ANY (ARRAY(SELECT ctid FROM old)) RETURNING 1)
		SELECT (SELECT max(id) FROM few), (SELECT count(*) FROM few), (SELECT count(*) FROM gone)`)
	if err := s.writer.QueryRow(ctx, text, s.expire.series, floor, limit, expireSeries).Scan(&last, &seen, &n); err != nil {
		return 0, false, err
	}
	if n >= limit || last == nil { // these series may have more, or there are none
		return n, n < limit, nil
	}
	s.expire.series = *last
	return n, seen < expireSeries, nil
}

// raiseFloor moves the floor of a table up to where retention wants it, and returns it with the one before.
func (s *Store) raiseFloor(ctx context.Context, table string, to time.Time) (before, floor time.Time, err error) {
	const raise = `WITH before AS (SELECT coalesce((SELECT at FROM floors WHERE name = $1), to_timestamp(0)) AS at)
		INSERT INTO floors SELECT $1, $2 ON CONFLICT (name) DO UPDATE SET at = greatest(floors.at, excluded.at) RETURNING (SELECT at FROM before), at`
	err = s.writer.QueryRow(ctx, raise, table, to).Scan(&before, &floor)
	return before, floor, err
}

// dropSeries forgets series of which nothing is left. It is the end of a round, and looks once an hour.
func (s *Store) dropSeries(ctx context.Context, now time.Time) error {
	r := s.opts.Retain
	if r.Rollup1h <= 0 && r.Events <= 0 || now.Sub(s.expire.dropped).Abs() < dropEvery {
		return nil
	}
	var left []string
	for _, r := range s.rounds() {
		left = append(left, strings.NewReplacer("TABLE", r.table, "TIME", r.time).Replace(
			"NOT EXISTS (SELECT FROM TABLE WHERE series = id AND TIME >= coalesce((SELECT at FROM floors WHERE name = 'TABLE'), '-infinity'))"))
	}
	rows, _ := s.writer.Query(ctx, "DELETE FROM series WHERE "+strings.Join(left, " AND ")+" RETURNING topic, field, unit, kind") // ForEachRow returns its error
	var l history.Listed
	_, err := pgx.ForEachRow(rows, []any{&l.Topic, &l.Field, &l.Unit, &l.Kind}, func() error {
		delete(s.ids, l)
		return nil
	})
	if err == nil {
		s.expire.dropped = now
	}
	return err
}
