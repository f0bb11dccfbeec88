// Package sqlite is the history in one SQLite file beside the journal: the store a bridge has when nobody configured another.
// Points, rollups and the cursor are committed in one transaction, in write-ahead mode, so that readers never wait for the writer.
// After a crash of the machine the last transactions may be gone, cursor and points together; the sink reads them again.
package sqlite

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"net/url"
	"os"
	"path/filepath"
	"strconv"
	"sync"

	_ "modernc.org/sqlite" // the driver, in Go: bridged stays one static binary

	"plumbline/bridge/history"
	"plumbline/bridge/history/internal/tables"
	"plumbline/bridge/journal"
)

// DefaultMaxBytes is the default of [Options].
const DefaultMaxBytes = 16 << 30

// readers is how many queries run at a time; each has a page cache of its own.
const readers = 4

// Options configures a store. Only Path is required.
type Options struct {
	Path      string            // the file; made when missing, readable by its owner only
	Retain    history.Retention // zero keeps for ever
	MaxBytes  int64             // beyond it the oldest goes, whatever Retain says, but for the last hour; 0 = DefaultMaxBytes, negative = no limit
	MaxSeries int               // 0 = history.DefaultMaxSeries
}

// Store is an open history. Create one with [Open].
type Store struct {
	opts   Options
	writer *sql.DB // one connection
	reader *sql.DB

	closing  sync.Once
	closeErr error

	write   sync.Mutex // Write and Expire; guards what follows
	names   tables.Names
	stmts   statements
	expire  tables.Expiry
	part    int64            // what a file that is too large loses at once is this part of the time: squeezePart
	squeeze map[string]int64 // floors of this round that the size of the file asks for, by table
}

var _ history.Store = (*Store)(nil)

// Open opens the file at o.Path or makes it. One process at a time may hold it. It blocks for a few milliseconds, or for as
// long as it takes to replay what a killed process left in the write-ahead log.
func Open(ctx context.Context, o Options) (*Store, error) {
	if o.Path == "" {
		return nil, errors.New("history: sqlite: no file given: set Options.Path")
	}
	if o.MaxBytes == 0 {
		o.MaxBytes = DefaultMaxBytes
	}
	if o.MaxSeries == 0 {
		o.MaxSeries = history.DefaultMaxSeries
	}
	s := &Store{opts: o, part: squeezePart}
	if err := s.open(ctx); err != nil {
		return nil, errors.Join(fmt.Errorf("history: open %q: %w", o.Path, err), s.Close())
	}
	return s, nil
}

func (s *Store) open(ctx context.Context) error {
	f, err := os.OpenFile(s.opts.Path, os.O_CREATE|os.O_RDWR, 0o600) // SQLite gives its other files the mode of this one
	if err != nil {
		return err
	}
	if err := f.Close(); err != nil {
		return err
	}
	if s.writer, err = dial(s.opts.Path, 1, "_txlock=immediate", "synchronous(NORMAL)", "cache_size(-16384)", "journal_size_limit(67108864)"); err != nil {
		return err
	}
	if s.reader, err = dial(s.opts.Path, readers, "", "query_only(1)", "cache_size(-8192)"); err != nil {
		return err
	}
	if err := prepare(ctx, s.writer); err != nil {
		return fmt.Errorf("%w (if the file is damaged: move it away, and history begins anew with what the journal still holds)", err)
	}
	return s.stmts.prepare(ctx, s.writer)
}

// dial makes a pool of at most n connections, each with the pragmas.
func dial(path string, n int, more string, pragmas ...string) (*sql.DB, error) {
	abs, err := filepath.Abs(path)
	if err != nil {
		return nil, err
	}
	q := url.Values{"_pragma": append([]string{"page_size(8192)", "journal_mode(WAL)", "busy_timeout(5000)", "temp_store(MEMORY)", "trusted_schema(0)"}, pragmas...)}
	dsn := "file:" + (&url.URL{Path: filepath.ToSlash(abs)}).EscapedPath() + "?" + q.Encode()
	if more != "" {
		dsn += "&" + more
	}
	db, err := sql.Open("sqlite", dsn)
	if err != nil {
		return nil, err
	}
	db.SetMaxOpenConns(n)
	db.SetMaxIdleConns(n)
	return db, nil
}

// Name implements history.Store.
func (s *Store) Name() string { return "sqlite" }

// Close implements history.Store.
func (s *Store) Close() error {
	s.closing.Do(func() {
		s.write.Lock()
		defer s.write.Unlock()
		s.stmts.close()
		for _, db := range []*sql.DB{s.reader, s.writer} { // the writer last: it folds the write-ahead log into the file
			if db != nil {
				s.closeErr = errors.Join(s.closeErr, db.Close())
			}
		}
	})
	return s.closeErr
}

// Cursor implements history.Store.
func (s *Store) Cursor(ctx context.Context) (journal.Cursor, error) {
	c, err := readCursor(ctx, s.reader)
	if err != nil {
		return c, fmt.Errorf("history: sqlite: cursor: %w", err)
	}
	return c, nil
}

// queryer is a database or a transaction.
type queryer interface {
	QueryContext(ctx context.Context, query string, args ...any) (*sql.Rows, error)
	QueryRowContext(ctx context.Context, query string, args ...any) *sql.Row
}

// metaInt reads a number of the table meta; 0 when it is not there.
func metaInt(ctx context.Context, db queryer, key string) (n int64, err error) {
	err = db.QueryRowContext(ctx, "SELECT value FROM meta WHERE key = ?", key).Scan(&n)
	if errors.Is(err, sql.ErrNoRows) {
		err = nil
	}
	return n, err
}

func readCursor(ctx context.Context, db queryer) (c journal.Cursor, err error) {
	var text string
	err = db.QueryRowContext(ctx, "SELECT value FROM meta WHERE key = 'cursor'").Scan(&text)
	if errors.Is(err, sql.ErrNoRows) {
		return c, nil
	}
	if err != nil {
		return c, err
	}
	for i := range len(text) {
		if text[i] == ' ' {
			c.Epoch = text[i+1:]
			c.Offset, err = strconv.ParseUint(text[:i], 10, 64)
			return c, err
		}
	}
	return c, fmt.Errorf("the stored cursor %q is damaged", text)
}

func epochNames(ctx context.Context, db queryer) (map[int64]string, error) {
	rows, err := db.QueryContext(ctx, "SELECT id, name FROM epochs")
	if err != nil {
		return nil, err
	}
	defer func() { _ = rows.Close() }()
	names := map[int64]string{}
	for rows.Next() {
		var id int64
		var name string
		if err := rows.Scan(&id, &name); err != nil {
			return nil, err
		}
		names[id] = name
	}
	return names, rows.Err()
}
