// Package influx is the history in InfluxDB, for those who have one: points and events go there by line protocol, over the write
// endpoint of version 1, 2 or 3, and are read back by InfluxQL. InfluxDB has no transactions. The cursor is written after the
// points, and points that come again replace themselves, so each entry of the journal is stored once in effect; what is beyond
// the cursor is not given out. There are no rollups: statistics are computed from the points. Retention is the database's own.
package influx

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"plumbline/bridge/history"
	"plumbline/bridge/history/internal/tables"
	"plumbline/bridge/journal"
)

// Options configures a store. URL, Version and Database are required.
type Options struct {
	URL      string // http or https, of the server
	Version  int    // of the write endpoint: 1, 2 or 3
	Database string // for points and events; of version 2 the bucket
	State    string // for the cursor, kept for ever; each bridge needs its own two; "" = Database with _state
	Org      string // version 2
	// Credentials gives what authorizes a request: of version 1 user and password in two lines, else the token. It is asked at
	// each request. What it gives is never part of an error. nil = none.
	Credentials func() (string, error)
	CA          string            // PEM file of the authorities to believe; "" = the system's
	Retain      history.Retention // version 1: the longest of points and events is the retention of a Database that is made; zero is for ever
	MaxSeries   int               // 0 = history.DefaultMaxSeries
}

// refreshEvery is how often the store looks which series are still there.
const refreshEvery = time.Hour

// Store is an open history. Create one with [Open].
type Store struct {
	opts Options
	c    *client

	write     sync.Mutex // Write, Expire and Cursor; guards what follows
	fresh     bool       // what is known by heart is what the database has
	refreshed time.Time
	counts    map[instant]int64 // points and events at some instants that are not the last of their series

	mu    sync.RWMutex
	known known // what readers see; its maps and slices are replaced, never changed
}

// known is what the store knows by heart.
type known struct {
	cursor journal.Cursor
	epochs map[string]int64
	names  []history.Listed          // sorted
	series map[history.Listed]newest // guarded by Store.write, readers must not look
	room   tables.Room               // for more of them
	dirty  dirt                      // where entries beyond the cursor may be
	writes uint64                    // begun; it tells a reader that dirty changed meanwhile
}

// dirt is the time that batches touched of which the cursor does not tell yet, and the seq of their end.
type dirt struct {
	span
	end int64
}

// newest is the last instant of a series that holds something, in microseconds, and how many things: -1 when it is not known.
type newest struct{ us, count int64 }

// span is [from, to) in microseconds since 1970; empty when they are equal.
type span struct{ from, to int64 }

func (s span) touches(o span) bool { return s.from < o.to && o.from < s.to }

// instant is a microsecond of a series.
type instant struct {
	series history.Listed
	us     int64
}

var _ history.Store = (*Store)(nil)

// Open connects, makes the databases of version 1 when they are missing, and learns what is there. It blocks until the server has
// answered or ctx ends.
func Open(ctx context.Context, o Options) (*Store, error) {
	if o.State == "" {
		o.State = o.Database + "_state"
	}
	if o.MaxSeries == 0 {
		o.MaxSeries = history.DefaultMaxSeries
	}
	s := &Store{opts: o}
	if err := s.open(ctx); err != nil {
		return nil, errors.Join(fmt.Errorf("history: influx: open: %w", err), s.Close())
	}
	return s, nil
}

func (s *Store) open(ctx context.Context) (err error) {
	if s.c, err = newClient(s.opts); err != nil {
		return err
	}
	var made error
	if s.opts.Version == 1 {
		made = s.create(ctx)
	}
	if err := s.load(ctx); err != nil {
		return errors.Join(err, made)
	}
	return nil
}

// create makes the databases of version 1. An error may be that somebody made them and we may not.
func (s *Store) create(ctx context.Context) error {
	keep := max(s.opts.Retain.Points, s.opts.Retain.Events)
	duration := fmt.Sprintf("%ds", int64(max(keep, time.Hour)/time.Second)) // the server takes no shorter one
	if s.opts.Retain.Points <= 0 || s.opts.Retain.Events <= 0 {
		duration = "INF"
	}
	policy := fmt.Sprintf(" DURATION %s REPLICATION 1", duration)
	_, err := s.c.query(ctx, "", "CREATE DATABASE "+ident(s.opts.State))
	if _, e := s.c.query(ctx, "", "CREATE DATABASE "+ident(s.opts.Database)+" WITH"+policy+` NAME "plumbline"`); e != nil { // it is there and keeps other times
		_, e = s.c.query(ctx, "", `ALTER RETENTION POLICY "plumbline" ON `+ident(s.opts.Database)+policy)
		err = errors.Join(err, e)
	}
	return err
}

// Name implements history.Store.
func (s *Store) Name() string { return "influx" }

// Close implements history.Store.
func (s *Store) Close() error {
	s.write.Lock()
	defer s.write.Unlock()
	if s.c != nil {
		s.c.http.CloseIdleConnections()
	}
	return nil
}

// Cursor implements history.Store. It asks the database.
func (s *Store) Cursor(ctx context.Context) (journal.Cursor, error) {
	s.write.Lock()
	defer s.write.Unlock()
	c, err := s.readCursor(ctx)
	if err == nil && (!s.fresh || c != s.view().cursor) {
		err = s.load(ctx)
		c = s.view().cursor
	}
	if err != nil {
		return c, fmt.Errorf("history: influx: cursor: %w", err)
	}
	return c, nil
}

// Expire implements history.Store. The database expires by itself; the store looks now and then which series are left.
func (s *Store) Expire(ctx context.Context, now time.Time) (more bool, err error) {
	s.write.Lock()
	defer s.write.Unlock()
	if now.Sub(s.refreshed).Abs() < refreshEvery {
		return false, nil
	}
	if err := s.load(ctx); err != nil {
		return false, fmt.Errorf("history: influx: expire: %w", err)
	}
	s.refreshed = now
	return false, nil
}

// view returns what is known.
func (s *Store) view() known {
	s.mu.RLock()
	defer s.mu.RUnlock()
	return s.known
}

// learn changes what is known.
func (s *Store) learn(change func(k *known)) {
	s.mu.Lock()
	defer s.mu.Unlock()
	change(&s.known)
}
