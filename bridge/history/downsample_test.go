package history_test

import (
	"context"
	"math"
	"path/filepath"
	"testing"
	"time"

	"plumbline/bridge/history"
	"plumbline/bridge/history/sqlite"
	"plumbline/bridge/journal"
)

var plotted = history.Series{Topic: "plant/1", Field: "value"}

// waves stores a point each step from begin on and returns the store.
func waves(t *testing.T, begin time.Time, n int, step time.Duration, retain history.Retention) history.Store {
	t.Helper()
	s, err := sqlite.Open(t.Context(), sqlite.Options{Path: filepath.Join(t.TempDir(), "history.db"), Retain: retain})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = s.Close() })
	b := history.Batch{To: journal.Cursor{Epoch: "e", Offset: uint64(n)}}
	for i := range n {
		b.Points = append(b.Points, history.Point{Series: plotted, Time: begin.Add(time.Duration(i) * step), Offset: uint64(i + 1), Value: wave(i)})
	}
	if _, err := s.Write(t.Context(), &b); err != nil {
		t.Fatal(err)
	}
	return s
}

// wave is a sine with one peak that lasts for one point.
func wave(i int) float64 {
	if i == 12_345 {
		return 50
	}
	return math.Sin(float64(i) / 500)
}

func TestDownsample(t *testing.T) {
	begin := time.Date(2026, 3, 4, 0, 0, 0, 0, time.UTC)
	s := waves(t, begin, 43_200, 2*time.Second, history.Retention{}) // a day
	for _, c := range []struct {
		name             string
		from, to         time.Duration
		points           int
		method           history.Method
		step, resolution time.Duration
		least            int
		peak             bool
	}{
		{"a day", 0, 24 * time.Hour, 1000, history.MinMax, 3 * time.Minute, time.Minute, 900, true},
		{"a day by triangles", 0, 24 * time.Hour, 1000, history.LTTB, time.Minute, time.Minute, 1000, true},
		{"five hours, crooked", time.Hour + 7*time.Millisecond, 6*time.Hour + 9*time.Second, 500, history.MinMax, 73 * time.Second, time.Second, 450, false},
		{"ten minutes are few", time.Hour, time.Hour + 10*time.Minute, 1000, history.MinMax, 0, 0, 300, false},
		{"ten minutes to ten points", time.Hour, time.Hour + 10*time.Minute, 10, history.MinMax, 150 * time.Second, time.Second, 8, false},
		{"nothing there", 48 * time.Hour, 50 * time.Hour, 100, history.LTTB, 0, 0, 0, false},
	} {
		t.Run(c.name, func(t *testing.T) {
			q := history.PlotQuery{Series: plotted, From: begin.Add(c.from), To: begin.Add(c.to), Points: c.points, Method: c.method}
			p, err := history.Downsample(t.Context(), s, q)
			if err != nil {
				t.Fatal(err)
			}
			if p.Step != c.step || p.Resolution != c.resolution || len(p.Points) > c.points || len(p.Points) < c.least {
				t.Errorf("%d points by step %s from resolution %s, want %d to %d by %s from %s", len(p.Points), p.Step, p.Resolution, c.least, c.points, c.step, c.resolution)
			}
			peak := false
			for i, x := range p.Points {
				at := x.Time.Sub(begin)
				if at%(2*time.Second) != 0 || x.Value != wave(int(at/(2*time.Second))) {
					t.Fatalf("%+v is no point of the series", x)
				}
				if x.Time.Before(q.From) || !x.Time.Before(q.To) || i > 0 && x.Time.Before(p.Points[i-1].Time) {
					t.Fatalf("%+v is outside of the range, or out of order", x)
				}
				peak = peak || x.Value == 50
			}
			if peak != c.peak {
				t.Errorf("the peak is there: %t, want %t", peak, c.peak)
			}
		})
	}
}

// Where the finer resolution has expired, a coarser one answers.
func TestDownsampleReachesBack(t *testing.T) {
	begin := time.Date(2026, 3, 4, 0, 0, 0, 0, time.UTC)
	s := waves(t, begin, 10_800, 2*time.Second, history.Retention{Points: time.Hour, Rollup1s: time.Hour}) // 6 h
	for more := true; more; {
		var err error
		if more, err = s.Expire(context.Background(), begin.Add(6*time.Hour)); err != nil {
			t.Fatal(err)
		}
	}
	p, err := history.Downsample(t.Context(), s, history.PlotQuery{Series: plotted, From: begin, To: begin.Add(5 * time.Hour), Points: 500, Method: history.MinMax})
	if err != nil {
		t.Fatal(err)
	}
	if p.Resolution != time.Minute || len(p.Points) < 290 || !p.KeptFrom.IsZero() {
		t.Errorf("%d points from a resolution of %s kept from %s, want the minutes", len(p.Points), p.Resolution, p.KeptFrom)
	}
}

// The whole of time is asked for, and what is old has expired: the answer is as short as asked, and reads few rows.
func TestDownsampleOfAllTime(t *testing.T) {
	begin := time.Date(2026, 3, 4, 0, 0, 0, 0, time.UTC)
	s := counting{waves(t, begin, 10_800, 2*time.Second, history.Retention{Points: 3 * time.Hour, Rollup1s: 3 * time.Hour}), new(int)}
	for more := true; more; {
		var err error
		if more, err = s.Expire(context.Background(), begin.Add(6*time.Hour)); err != nil {
			t.Fatal(err)
		}
	}
	for _, n := range []int{10, 1000} {
		for _, method := range []history.Method{history.MinMax, history.LTTB} {
			*s.most = 0
			p, err := history.Downsample(t.Context(), s, history.PlotQuery{Series: plotted, From: time.Unix(0, 0), To: time.Date(9999, 12, 31, 23, 59, 59, 0, time.UTC), Points: n, Method: method})
			if err != nil {
				t.Fatal(err)
			}
			if len(p.Points) > n || len(p.Points) < min(n, 600)*6/10 || *s.most > 2*n {
				t.Errorf("%s: %d points of %d by a step of %s, from %d buckets", method, len(p.Points), n, p.Step, *s.most)
			}
		}
	}
}

// counting tells the most buckets that were asked for at once.
type counting struct {
	history.Store
	most *int
}

func (c counting) Aggregate(ctx context.Context, q history.AggregateQuery) (history.Aggregates, error) {
	a, err := c.Store.Aggregate(ctx, q)
	*c.most = max(*c.most, len(a.Buckets))
	return a, err
}

// expiring is a store whose last points expire between two questions.
type expiring struct{ history.Store }

func (e expiring) Range(ctx context.Context, q history.RangeQuery) (history.PointPage, error) {
	if q.Descending {
		return history.PointPage{}, nil
	}
	return e.Store.Range(ctx, q)
}

func TestDownsampleWhilePointsExpire(t *testing.T) {
	begin := time.Date(2026, 3, 4, 0, 0, 0, 0, time.UTC)
	s := expiring{waves(t, begin, 1000, 2*time.Second, history.Retention{})}
	p, err := history.Downsample(t.Context(), s, history.PlotQuery{Series: plotted, From: begin, To: begin.Add(time.Hour), Points: 100, Method: history.MinMax})
	if err != nil || len(p.Points) > 100 {
		t.Errorf("%d points, %v", len(p.Points), err)
	}
}
