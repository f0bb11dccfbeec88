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
