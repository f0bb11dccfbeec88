package postgres

import (
	"testing"
	"time"

	"plumbline/bridge/history"
	"plumbline/bridge/history/internal/tables"
	"plumbline/bridge/internal/dbtest"
	"plumbline/bridge/journal"
)

// withTimescale starts a server with TimescaleDB. Debian does not have the extension, so the checks of it run where somebody
// installed it and say so elsewhere.
func withTimescale(t *testing.T) *dbtest.Server {
	t.Helper()
	if !dbtest.HasExtension("timescaledb") {
		t.Skip("TimescaleDB is not installed beside this PostgreSQL, and no Debian package has it: see https://docs.timescale.com/self-hosted/latest/install/")
	}
	return dbtest.NewPostgres(t, fast, "shared_preload_libraries=timescaledb", "timescaledb.telemetry_level=off")
}

func TestTimescaleConformance(t *testing.T) {
	server := withTimescale(t)
	conformance(t, server, false)
	if ask(t, server, "SELECT count(*) FROM timescaledb_information.hypertables WHERE hypertable_name IN ('points', 'events') AND compression_enabled") < 2 {
		t.Error("points and events are not compressed hypertables: the checks ran on plain tables")
	}
}

// TestTimescaleExpiry: what is dropped with its chunk stays in the continuous aggregates, although nothing had refreshed them.
func TestTimescaleExpiry(t *testing.T) {
	server := withTimescale(t)
	s := open(t, Options{DSN: fixed(server.DSN("127.0.0.1", "")), Retain: history.Retention{Points: 24 * time.Hour}})
	defer func() { _ = s.Close() }()
	if !s.timescale {
		t.Fatal("the schema is plain")
	}
	now := time.Date(2026, 3, 20, 12, 0, 0, 0, time.UTC)
	series := history.Series{Topic: "t", Field: "value"}
	b := &history.Batch{To: journal.Cursor{Epoch: "e", Offset: 10}}
	for i := range uint64(10) { // one each day
		b.Points = append(b.Points, history.Point{Series: series, Time: now.Add(-time.Duration(i) * 24 * time.Hour), Offset: i + 1, Value: float64(i)})
	}
	if _, err := s.Write(t.Context(), b); err != nil {
		t.Fatal(err)
	}
	for range 3 { // again is the same
		if more, err := s.Expire(t.Context(), now); err != nil || more {
			t.Fatal(more, err)
		}
	}
	if n := ask(t, server, "SELECT count(*) FROM plumbline.points"); n > 3 {
		t.Errorf("%d points are left, want those of the last chunks", n)
	}
	for _, l := range tables.Levels[1:] {
		step := time.Duration(l.Step) * time.Microsecond
		a, err := s.Aggregate(t.Context(), history.AggregateQuery{Series: series, From: now.Add(-20 * 24 * time.Hour), To: now.Add(24 * time.Hour), Step: step})
		if err != nil || len(a.Buckets) != 10 {
			t.Errorf("%s: %d buckets, %v; want 10", l.Table, len(a.Buckets), err)
		}
	}
}

func TestPlainWhereTimescaleIsNot(t *testing.T) {
	server := dbtest.NewPostgres(t, fast)
	s := open(t, Options{DSN: fixed(server.DSN("127.0.0.1", ""))}) // the extension may be on the disk, but it is not loaded
	defer func() { _ = s.Close() }()
	if s.timescale || ask(t, server, "SELECT count(*) FROM pg_tables WHERE schemaname = 'plumbline' AND tablename = 'rollup_1h'") != 1 {
		t.Error("without TimescaleDB the schema is not plain")
	}
}
