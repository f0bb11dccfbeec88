// Package postgres is the history in a PostgreSQL database, 13 or newer: for more points than one file should hold, and for
// those who ask them in SQL. Points, rollups and the cursor are committed in one transaction, so each entry of the journal is
// stored exactly once, whatever is killed in between. Where the TimescaleDB extension is at hand, points and events are
// compressed hypertables and the rollups are continuous aggregates.
package postgres

import (
	"context"
	"errors"
	"fmt"
	"sync"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"plumbline/bridge/history"
	"plumbline/bridge/history/internal/tables"
	"plumbline/bridge/journal"
)

// DefaultSchema is the default of [Options].
const DefaultSchema = "plumbline"

// Options configures a store. Only DSN is required.
type Options struct {
	// DSN gives the connection string, postgres://USER:PASSWORD@HOST/DATABASE?… or keywords and values. It is asked at each
	// connection, so that a password can be changed while the bridge runs. What it holds is never part of an error.
	DSN         func() (string, error)
	Schema      string            // made when missing; each bridge needs its own; "" = DefaultSchema
	Retain      history.Retention // zero keeps for ever
	MaxSeries   int               // 0 = history.DefaultMaxSeries
	NoTimescale bool              // make plain tables even where TimescaleDB is at hand
}

// Store is an open history. Create one with [Open].
type Store struct {
	opts      Options
	writer    *pgxpool.Pool // one connection, with the staging tables
	reader    *pgxpool.Pool
	timescale bool

	closing sync.Once

	write  sync.Mutex // Write and Expire; guards what follows
	names  tables.Names
	expire tables.Expiry
}

var _ history.Store = (*Store)(nil)

// Open connects and makes or checks the schema. It blocks until the database has answered, at most for the connect_timeout of
// the DSN (5 s when it has none) and what a new schema takes.
func Open(ctx context.Context, o Options) (*Store, error) {
	if o.Schema == "" {
		o.Schema = DefaultSchema
	}
	if o.MaxSeries == 0 {
		o.MaxSeries = history.DefaultMaxSeries
	}
	s := &Store{opts: o}
	if err := s.open(ctx); err != nil {
		return nil, errors.Join(fmt.Errorf("history: postgres: open: %w", err), s.Close())
	}
	return s, nil
}

func (s *Store) open(ctx context.Context) (err error) {
	if s.timescale, err = migrate(ctx, s.opts); err != nil {
		return err
	}
	if s.reader, err = dial(ctx, s.opts, readers, nil); err != nil {
		return err
	}
	s.writer, err = dial(ctx, s.opts, 1, makeStaging)
	return err
}

// Name implements history.Store.
func (s *Store) Name() string { return "postgres" }

// Close implements history.Store.
func (s *Store) Close() error {
	s.closing.Do(func() {
		s.write.Lock()
		defer s.write.Unlock()
		for _, pool := range []*pgxpool.Pool{s.reader, s.writer} {
			if pool != nil {
				pool.Close()
			}
		}
	})
	return nil
}

// Cursor implements history.Store.
func (s *Store) Cursor(ctx context.Context) (journal.Cursor, error) {
	c, err := readCursor(ctx, s.reader, "")
	if err != nil {
		return c, fmt.Errorf("history: postgres: cursor: %w", err)
	}
	return c, nil
}

// queryer is a pool or a transaction.
type queryer interface {
	Query(ctx context.Context, sql string, args ...any) (pgx.Rows, error)
	QueryRow(ctx context.Context, sql string, args ...any) pgx.Row
}

const cursorQuery = `SELECT epoch, "offset" FROM state`

func readCursor(ctx context.Context, db queryer, lock string) (c journal.Cursor, err error) {
	var offset int64
	err = db.QueryRow(ctx, cursorQuery+lock).Scan(&c.Epoch, &offset)
	c.Offset = uint64(offset)
	return c, err
}

const epochsQuery = "SELECT id, name FROM epochs"

// readEpochs calls each with every epoch.
func readEpochs(rows pgx.Rows, each func(id int64, name string)) error {
	var id int64
	var name string
	_, err := pgx.ForEachRow(rows, []any{&id, &name}, func() error {
		each(id, name)
		return nil
	})
	return err
}
