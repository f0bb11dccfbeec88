package sqlite

import (
	"context"
	"database/sql"
	"fmt"

	"plumbline/bridge/history/internal/tables"
)

// schemaVersion is raised when an older program could misread the file.
const schemaVersion = 1

// schema makes the tables. Times are microseconds since 1970. A seq is the number of the epoch (in the order first seen) and the
// offset in it, see [tables.Seq]. Points and rollups are clustered by series and time, so that a range is read from neighbouring pages.
const schema = `
CREATE TABLE meta (key TEXT PRIMARY KEY, value ANY) STRICT, WITHOUT ROWID;
CREATE TABLE epochs (id INTEGER PRIMARY KEY, name TEXT NOT NULL UNIQUE) STRICT;
CREATE TABLE series (id INTEGER PRIMARY KEY, topic TEXT NOT NULL, field TEXT NOT NULL, unit TEXT NOT NULL, kind TEXT NOT NULL,
	UNIQUE (topic, field, unit, kind)) STRICT;
CREATE TABLE points (series INTEGER NOT NULL, time INTEGER NOT NULL, seq INTEGER NOT NULL, value REAL NOT NULL,
	PRIMARY KEY (series, time, seq)) STRICT, WITHOUT ROWID;
CREATE TABLE events (series INTEGER NOT NULL, time INTEGER NOT NULL, seq INTEGER NOT NULL, size INTEGER NOT NULL, payload BLOB NOT NULL,
	PRIMARY KEY (time, seq, series)) STRICT, WITHOUT ROWID;
CREATE INDEX events_by_series ON events (series, time);
CREATE TABLE gaps (id INTEGER PRIMARY KEY, epoch TEXT NOT NULL, lo INTEGER NOT NULL, hi INTEGER NOT NULL, n INTEGER NOT NULL, reason TEXT NOT NULL,
	begin_at INTEGER NOT NULL, end_at INTEGER NOT NULL) STRICT;
CREATE INDEX gaps_by_end ON gaps (end_at);
`

// rollupSchema makes one rollup table.
const rollupSchema = `CREATE TABLE %s (series INTEGER NOT NULL, start INTEGER NOT NULL, n INTEGER NOT NULL, sum REAL NOT NULL,
	lo REAL NOT NULL, lo_at INTEGER NOT NULL, hi REAL NOT NULL, hi_at INTEGER NOT NULL,
	last REAL NOT NULL, last_at INTEGER NOT NULL, last_seq INTEGER NOT NULL, PRIMARY KEY (series, start)) STRICT, WITHOUT ROWID`

// prepare makes the tables of a new file, or checks those of an old one.
func prepare(ctx context.Context, db *sql.DB) error {
	var version int
	if err := db.QueryRowContext(ctx, "PRAGMA user_version").Scan(&version); err != nil {
		return err
	}
	switch {
	case version == schemaVersion:
		return nil
	case version != 0:
		return fmt.Errorf("it is of version %d and this program reads %d: use the program that wrote it, or move the file away and begin anew", version, schemaVersion)
	}
	tx, err := db.BeginTx(ctx, nil)
	if err != nil {
		return err
	}
	defer func() { _ = tx.Rollback() }() // after a commit it does nothing
	statements := []string{schema, fmt.Sprintf("PRAGMA user_version = %d", schemaVersion)}
	for _, l := range tables.Levels[1:] {
		statements = append(statements, fmt.Sprintf(rollupSchema, l.Table))
	}
	for _, s := range statements {
		if _, err := tx.ExecContext(ctx, s); err != nil {
			return err
		}
	}
	return tx.Commit()
}
