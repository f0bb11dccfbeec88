package postgres

import (
	"context"
	"fmt"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"

	"plumbline/bridge/history/internal/tables"
)

// The times of a schema with TimescaleDB.
const (
	chunkDays    = 1                  // of one chunk of points or events
	compressDays = 2                  // older chunks are compressed
	refreshEvery = time.Minute        // of the continuous aggregates
	refreshReach = 2 * 24 * time.Hour // how late a point may be to be seen by the regular refresh
)

// call returns a call of one of the extension's functions.
func (e extension) call(text string) string {
	return "SELECT " + pgx.Identifier{e.schema}.Sanitize() + "." + text
}

// statements make hypertables of the tables, and the rollups as continuous aggregates with the columns that the plain tables have.
// Until a bucket is refreshed it is computed from the points when it is asked for.
func (e extension) statements() (out []string) {
	for table, order := range map[string]string{"points": "time, seq", "events": "time, seq"} {
		out = append(out,
			e.call(fmt.Sprintf("create_hypertable('%s', 'time', chunk_time_interval => INTERVAL '%d days')", table, chunkDays)),
			fmt.Sprintf("ALTER TABLE %s SET (timescaledb.compress, timescaledb.compress_segmentby = 'series', timescaledb.compress_orderby = '%s')", table, order),
			e.call(fmt.Sprintf("add_compression_policy('%s', INTERVAL '%d days')", table, compressDays)))
	}
	// one number that orders points of a bucket by time and then seq
	const byTime = "extract(epoch FROM time - TIMESTAMPTZ '1970-01-01 00:00:00Z') * 1000000 * 9223372036854775808 + seq"
	replacer := strings.NewReplacer("TS", pgx.Identifier{e.schema}.Sanitize(), "BY)", byTime+")")
	for _, l := range tables.Levels[1:] {
		step := time.Duration(l.Step) * time.Microsecond
		view := replacer.Replace(`CREATE MATERIALIZED VIEW %s WITH (timescaledb.continuous, timescaledb.materialized_only = false) AS
			SELECT series, TS.time_bucket(INTERVAL '%d seconds', time) AS start, count(*) AS n, sum(value) AS sum,
				min(value) AS lo, TS.first(time, value) AS lo_at, max(value) AS hi, TS.last(time, value) AS hi_at,
				TS.last(value, BY) AS last, max(time) AS last_at, TS.last(seq, BY) AS last_seq
			FROM points GROUP BY 1, 2 WITH NO DATA`)
		out = append(out, fmt.Sprintf(view, l.Table, int64(step/time.Second)),
			e.call(fmt.Sprintf("add_continuous_aggregate_policy('%s', start_offset => INTERVAL '%d seconds', end_offset => INTERVAL '%d seconds', schedule_interval => INTERVAL '%d seconds')",
				l.Table, int64((refreshReach+step)/time.Second), int64((step+refreshEvery)/time.Second), int64(refreshEvery/time.Second))))
	}
	return out
}

// dropChunks removes the chunks of a table that are wholly before floor. What of the points was not aggregated yet is
// first: [before, floor) is what has newly expired; what comes later for older times never reaches the aggregates, or it would
// replace what they hold.
func (s *Store) dropChunks(ctx context.Context, table string, before, floor time.Time) error {
	var schema string
	if err := s.writer.QueryRow(ctx, "SELECT n.nspname FROM pg_extension e JOIN pg_namespace n ON n.oid = e.extnamespace WHERE e.extname = 'timescaledb'").Scan(&schema); err != nil {
		return err
	}
	e := extension{schema}
	if table == tables.Levels[0].Table && before.Before(floor) {
		for _, l := range tables.Levels[1:] {
			step := time.Duration(l.Step) * time.Microsecond
			from := before.Truncate(step)
			if _, err := s.writer.Exec(ctx, "CALL "+pgx.Identifier{e.schema}.Sanitize()+".refresh_continuous_aggregate('"+l.Table+"', $1::timestamptz, $2::timestamptz)", from, floor.Truncate(step).Add(step)); err != nil {
				return err
			}
		}
	}
	_, err := s.writer.Exec(ctx, e.call("drop_chunks('"+table+"', older_than => $1::timestamptz)"), floor)
	return err
}
