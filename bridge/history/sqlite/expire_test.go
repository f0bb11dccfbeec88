package sqlite

import (
	"path/filepath"
	"testing"
	"time"

	"plumbline/bridge/history"
	"plumbline/bridge/journal"
)

var noon = time.Date(2026, 3, 4, 12, 0, 0, 0, time.UTC)

// hours stores n points of one series, evenly over the hours before noon, and that many events.
func hours(t *testing.T, s *Store, hours, points, events int) {
	t.Helper()
	b := &history.Batch{To: journal.Cursor{Epoch: "e", Offset: uint64(points + events)}}
	at := func(i, n int) time.Time {
		return noon.Add(-time.Duration(hours) * time.Hour / time.Duration(n) * time.Duration(n-i)).Truncate(time.Microsecond)
	}
	for i := range points {
		b.Points = append(b.Points, history.Point{Series: history.Series{Topic: "t", Field: "value"}, Time: at(i, points), Offset: uint64(i + 1), Value: float64(i) / 7})
	}
	for i := range events {
		b.Events = append(b.Events, history.Event{Topic: "t", Time: at(i, events), Offset: uint64(points + i + 1), Payload: make([]byte, 200), Size: 200})
	}
	if _, err := s.Write(t.Context(), b); err != nil {
		t.Fatal(err)
	}
}

// used returns how many bytes of the file hold something.
func used(t *testing.T, s *Store) (bytes int64) {
	t.Helper()
	if err := s.writer.QueryRowContext(t.Context(), "SELECT (page_count - freelist_count) * page_size FROM pragma_page_count, pragma_freelist_count, pragma_page_size").Scan(&bytes); err != nil {
		t.Fatal(err)
	}
	return bytes
}

// expireAll calls Expire until nothing more is left.
func expireAll(t *testing.T, s *Store, now time.Time) {
	t.Helper()
	for range 10_000 {
		more, err := s.Expire(t.Context(), now)
		if err != nil {
			t.Fatal(err)
		}
		if !more {
			return
		}
	}
	t.Fatal("Expire does not end")
}

func openAt(t *testing.T, o Options) *Store {
	t.Helper()
	o.Path = filepath.Join(t.TempDir(), "history.db")
	s, err := Open(t.Context(), o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = s.Close() })
	return s
}

func rows(t *testing.T, s *Store, table string) (n int) {
	t.Helper()
	if err := s.writer.QueryRowContext(t.Context(), "SELECT count(*) FROM "+table).Scan(&n); err != nil {
		t.Fatal(err)
	}
	return n
}

// TestFileKeepsToItsSize: what is beyond goes, the oldest points first, and not more than has to.
func TestFileKeepsToItsSize(t *testing.T) {
	s := openAt(t, Options{})
	const n, seconds = 26_000, 3 * 3600
	s.expire.Rows = n/squeezePart - 20 // a part is more rows than one Expire removes
	hours(t, s, 3, n, 0)
	s.opts.MaxBytes = used(t, s) * 90 / 100
	expireAll(t, s, noon)
	if got := used(t, s); got > s.opts.MaxBytes {
		t.Errorf("%d bytes are used, %d may be", got, s.opts.MaxBytes)
	}
	if got := rows(t, s, "points"); got > n || got < n*60/100 {
		t.Errorf("%d points are left of %d, want what fits", got, n)
	}
	page, err := s.Range(t.Context(), history.RangeQuery{Series: history.Series{Topic: "t", Field: "value"}, From: time.Unix(0, 0), To: noon, Limit: n})
	if err != nil || len(page.Points) != rows(t, s, "points") || page.KeptFrom.IsZero() || page.Points[0].Time.Before(page.KeptFrom) {
		t.Errorf("%d points are given out from %s, %v", len(page.Points), page.KeptFrom, err)
	}
	if got := rows(t, s, "rollup_1s"); got < seconds {
		t.Errorf("%d rows of statistics are left", got)
	}
}

// TestFileKeepsToItsSizeOfStatistics: when the points of an hour are left, the statistics and events go; of all the last hour stays.
func TestFileKeepsToItsSizeOfStatistics(t *testing.T) {
	s := openAt(t, Options{})
	hours(t, s, 50, 15_000, 3000)
	s.part = 10
	s.opts.MaxBytes = used(t, s) / 4
	expireAll(t, s, noon)
	if got := used(t, s); got > s.opts.MaxBytes {
		t.Errorf("%d bytes are used, %d may be", got, s.opts.MaxBytes)
	}
	if got := rows(t, s, "rollup_1m"); got < 50*60 {
		t.Errorf("%d rows of minutes are left, which take little", got)
	}
	s.opts.MaxBytes = 1
	expireAll(t, s, noon)
	for table, want := range map[string]int{"points": 300, "rollup_1s": 300, "rollup_1m": 60, "rollup_1h": 1, "events": 60} {
		if got := rows(t, s, table); got < want || got > want+want/10+1 {
			t.Errorf("%d rows of %s are left, want the %d of the last hour", got, table, want)
		}
	}
}

// TestFloorIsTheBeginningOfABucket: what is said to be kept is whole.
func TestFloorIsTheBeginningOfABucket(t *testing.T) {
	s := openAt(t, Options{Retain: history.Retention{Points: time.Hour, Rollup1s: time.Hour, Rollup1m: 2 * time.Hour, Rollup1h: 3 * time.Hour}})
	hours(t, s, 5, 5*3600, 0)
	now := noon.Add(-29*time.Minute - 31*time.Second)
	expireAll(t, s, now)
	for _, step := range history.Rollups {
		a, err := s.Aggregate(t.Context(), history.AggregateQuery{Series: history.Series{Topic: "t", Field: "value"}, From: noon.Add(-8 * time.Hour), To: noon, Step: step})
		if err != nil || len(a.Buckets) == 0 {
			t.Fatal(a, err)
		}
		if first := a.Buckets[0]; !first.Start.Equal(a.KeptFrom) || first.Count != int64(step/time.Second) {
			t.Errorf("step %s: kept from %s, the first bucket is %+v", step, a.KeptFrom, first)
		}
	}
}

// TestClockThatWasAhead: a clock years ahead makes everything expire; when it is right again, what comes then is there.
func TestClockThatWasAhead(t *testing.T) {
	s := openAt(t, Options{Retain: history.Retention{Points: 24 * time.Hour, Rollup1s: 24 * time.Hour, Rollup1m: 24 * time.Hour, Rollup1h: 24 * time.Hour, Events: 24 * time.Hour}})
	hours(t, s, 8, 1000, 10)
	expireAll(t, s, noon.AddDate(50, 0, 0))
	expireAll(t, s, noon)
	at := journal.Cursor{Epoch: "e", Offset: 1010}
	series := history.Series{Topic: "t", Field: "value"}
	if _, err := s.Write(t.Context(), &history.Batch{From: at, To: journal.Cursor{Epoch: "e", Offset: 1011}, Points: []history.Point{{Series: series, Time: noon.Add(time.Minute), Offset: 1011, Value: 1}}}); err != nil {
		t.Fatal(err)
	}
	expireAll(t, s, noon.Add(2*time.Minute))
	page, err := s.Range(t.Context(), history.RangeQuery{Series: series, From: noon.Add(-time.Hour), To: noon.Add(time.Hour), Limit: 10})
	if err != nil || len(page.Points) != 1 || page.KeptFrom.After(noon.Add(time.Minute)) {
		t.Errorf("%d points kept from %s, %v; want the one after the clock was right", len(page.Points), page.KeptFrom, err)
	}
}
