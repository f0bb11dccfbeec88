package postgres

import (
	"context"
	"errors"
	"fmt"
	"hash/fnv"
	"strconv"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"plumbline/bridge/history/internal/tables"
)

// schemaVersion is raised when an older program could misread the tables.
const schemaVersion = 1

// The layouts. A schema keeps the one that it was made with.
const (
	layoutPlain     = "plain"
	layoutTimescale = "timescale"
)

// headRunes is how many characters of a topic are in an index: an entry of it holds 2,700 bytes at most.
const headRunes = 500

// tablesSQL makes the tables. A seq is the number of the epoch (in the order first seen) and the offset in it, see [tables.Seq].
// The key of a series is a digest, and head the beginning of its topic, since names may be longer than an index allows. Points
// and events name no series that is not there; a foreign key would cost a look-up for each, and only this program writes.
const tablesSQL = `
CREATE TABLE meta (key text PRIMARY KEY, value text NOT NULL);
CREATE TABLE state (one boolean PRIMARY KEY CHECK (one), epoch text NOT NULL, "offset" bigint NOT NULL);
INSERT INTO state VALUES (true, '', 0);
CREATE TABLE floors (name text PRIMARY KEY, at timestamptz NOT NULL);
CREATE TABLE epochs (id bigint PRIMARY KEY, name text NOT NULL UNIQUE);
CREATE TABLE series (id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY, digest bytea NOT NULL UNIQUE, head text COLLATE "C" NOT NULL,
	topic text COLLATE "C" NOT NULL, field text COLLATE "C" NOT NULL, unit text COLLATE "C" NOT NULL, kind text COLLATE "C" NOT NULL);
CREATE INDEX series_by_head ON series (head);
CREATE TABLE points (series bigint NOT NULL, time timestamptz NOT NULL, seq bigint NOT NULL, value double precision NOT NULL,
	PRIMARY KEY (series, time, seq));
CREATE TABLE events (series bigint NOT NULL, time timestamptz NOT NULL, seq bigint NOT NULL, size bigint NOT NULL, payload bytea NOT NULL,
	PRIMARY KEY (time, seq, series));
CREATE INDEX events_by_series ON events (series, time);
CREATE TABLE gaps (id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY, epoch text NOT NULL, lo bigint NOT NULL, hi bigint NOT NULL, n bigint NOT NULL,
	reason text NOT NULL, begin_at timestamptz, end_at timestamptz NOT NULL);
CREATE INDEX gaps_by_end ON gaps (end_at)`

const rollupColumns = "n bigint NOT NULL, sum double precision NOT NULL, lo double precision NOT NULL, lo_at timestamptz NOT NULL, hi double precision NOT NULL, hi_at timestamptz NOT NULL, last double precision NOT NULL, last_at timestamptz NOT NULL, last_seq bigint NOT NULL"

// rollupSQL makes one rollup table. The room left in each page lets a bucket that grows stay where it is.
const rollupSQL = "CREATE TABLE %s (series bigint NOT NULL, start timestamptz NOT NULL, " + rollupColumns + ", PRIMARY KEY (series, start)) WITH (fillfactor = 80)"

// stagingSQL makes what a batch is copied to. The tables are of one connection, so that no catalogue changes with each batch.
const stagingSQL = `
CREATE TEMPORARY TABLE new_points (series bigint, time timestamptz, seq bigint, value double precision) ON COMMIT DELETE ROWS;
CREATE TEMPORARY TABLE new_events (series bigint, time timestamptz, seq bigint, size bigint, payload bytea) ON COMMIT DELETE ROWS;
CREATE TEMPORARY TABLE new_rollups (step bigint, series bigint, start timestamptz, ` + rollupColumns + `) ON COMMIT DELETE ROWS`

func makeStaging(ctx context.Context, c *pgx.Conn) error {
	_, err := c.Exec(ctx, stagingSQL)
	return err
}

// lockKey is that of the advisory lock under which a schema is made: two bridges that start at once must not both make it.
func lockKey(schema string) int64 {
	h := fnv.New64a()
	_, _ = h.Write([]byte("plumbline history " + schema)) // it never fails
	return int64(h.Sum64())
}

// migrate makes the schema, or checks an old one, and reports whether it is that of TimescaleDB.
func migrate(ctx context.Context, o Options) (timescale bool, err error) {
	db, err := dial(ctx, o, 1, nil)
	if err != nil {
		return false, err
	}
	defer db.Close()
	var encoding string
	if err := db.QueryRow(ctx, "SHOW server_encoding").Scan(&encoding); err != nil {
		return false, err
	}
	if encoding != "UTF8" {
		return false, fmt.Errorf("the database is encoded in %s, which cannot hold every topic: make one with ENCODING 'UTF8'", encoding)
	}
	extension := extension{}
	if !o.NoTimescale {
		if extension, err = findTimescale(ctx, db); err != nil {
			return false, err
		}
	}
	tx, err := db.Begin(ctx)
	if err != nil {
		return false, err
	}
	defer func() { _ = tx.Rollback(ctx) }() // after a commit it does nothing
	if _, err := tx.Exec(ctx, "SELECT pg_advisory_xact_lock($1)", lockKey(o.Schema)); err != nil {
		return false, err
	}
	layout, err := layoutOf(ctx, tx, o.Schema)
	if err == nil && layout == "" {
		layout, err = create(ctx, tx, o.Schema, extension)
	}
	if err != nil {
		return false, err
	}
	return layout == layoutTimescale, tx.Commit(ctx)
}

// layoutOf checks the version of a schema and returns its layout; "" when there is none.
func layoutOf(ctx context.Context, tx pgx.Tx, schema string) (layout string, err error) {
	var there bool
	if err := tx.QueryRow(ctx, "SELECT to_regclass('meta') IS NOT NULL").Scan(&there); err != nil || !there {
		return "", err
	}
	var version string
	err = tx.QueryRow(ctx, "SELECT (SELECT value FROM meta WHERE key = 'version'), (SELECT value FROM meta WHERE key = 'layout')").Scan(&version, &layout)
	if err != nil {
		return "", fmt.Errorf("schema %q holds tables of somebody else: choose another (%w)", schema, err)
	}
	if version != strconv.Itoa(schemaVersion) {
		return "", fmt.Errorf("schema %q is of version %s and this program reads %d: use the program that wrote it, or choose another schema and begin anew", schema, version, schemaVersion)
	}
	return layout, nil
}

func create(ctx context.Context, tx pgx.Tx, schema string, ext extension) (layout string, err error) {
	var there bool
	if err := tx.QueryRow(ctx, "SELECT EXISTS (SELECT FROM pg_namespace WHERE nspname = $1)", schema).Scan(&there); err != nil {
		return "", err
	}
	statements := []string{tablesSQL}
	if !there { // who may not make schemas can use one that was made for him
		statements = []string{"CREATE SCHEMA " + pgx.Identifier{schema}.Sanitize(), tablesSQL}
	}
	layout = layoutPlain
	if ext.schema != "" {
		layout = layoutTimescale
		statements = append(statements, ext.statements()...)
	} else {
		for _, l := range tables.Levels[1:] {
			statements = append(statements, fmt.Sprintf(rollupSQL, l.Table))
		}
	}
	for _, text := range statements {
		if _, err := tx.Exec(ctx, text); err != nil {
			return "", fmt.Errorf("make schema %q: %w", schema, err)
		}
	}
	_, err = tx.Exec(ctx, "INSERT INTO meta VALUES ('version', $1), ('layout', $2)", strconv.Itoa(schemaVersion), layout)
	return layout, err
}

// extension is where TimescaleDB's functions are; the zero value when it is not at hand.
type extension struct {
	schema string
}

// findTimescale looks for TimescaleDB, and installs it into the database when the server has it and lets us.
func findTimescale(ctx context.Context, db *pgxpool.Pool) (ext extension, err error) {
	var installed *string
	err = db.QueryRow(ctx, "SELECT installed_version FROM pg_available_extensions WHERE name = 'timescaledb'").Scan(&installed)
	if errors.Is(err, pgx.ErrNoRows) {
		return ext, nil
	}
	if err != nil {
		return ext, err
	}
	if installed == nil {
		if _, err := db.Exec(ctx, "CREATE EXTENSION IF NOT EXISTS timescaledb WITH SCHEMA public"); err != nil {
			return ext, ctx.Err() // it is not preloaded, or we may not: plain tables do
		}
		db.Reset() // its functions are complete in a new connection only
	}
	err = db.QueryRow(ctx, "SELECT n.nspname FROM pg_extension e JOIN pg_namespace n ON n.oid = e.extnamespace WHERE e.extname = 'timescaledb'").Scan(&ext.schema)
	return ext, err
}
