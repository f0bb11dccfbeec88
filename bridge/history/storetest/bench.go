package storetest

import (
	"math/rand/v2"
	"os"
	"slices"
	"strconv"
	"testing"
	"time"

	"plumbline/bridge/history"
	"plumbline/bridge/journal"
)

// pointsOf is the size of the benchmark, 10 million unless PLUMBLINE_HISTORY_POINTS says otherwise.
func pointsOf(b *testing.B) int {
	b.Helper()
	text := os.Getenv("PLUMBLINE_HISTORY_POINTS")
	if text == "" {
		return 10_000_000
	}
	n, err := strconv.Atoi(text)
	if err != nil || n < 100_000 {
		b.Fatalf("PLUMBLINE_HISTORY_POINTS=%s: want a whole number, at least 100000", text)
	}
	return n
}

const (
	benchSeries    = 100
	leastQuestions = 100 // of which a p99 can be told
)

var day = time.Date(2026, 3, 4, 0, 0, 0, 0, time.UTC)

func benchSeriesAt(i int) history.Series {
	return history.Series{Topic: "plant/line/" + strconv.Itoa(i), Field: "temperature", Unit: "°C"}
}

// TenMillion stores a day of 100 series, 10 million points in batches of 10,000, into an empty store, and then asks for a day of
// one series as 1,000 points. The figures that count are points/s, p50-ms and p99-ms. size, unless nil, is what the store takes
// on disk.
func TenMillion(b *testing.B, s history.Store, size func() (int64, error)) {
	b.Helper()
	n := pointsOf(b)
	b.Run("insert", func(b *testing.B) {
		if c, err := s.Cursor(b.Context()); err != nil || c.Offset > 0 {
			return // the package calls it again to find b.N; the store is full
		}
		insertDay(b, s, n)
		if size == nil {
			return
		}
		if bytes, err := size(); err == nil {
			b.ReportMetric(float64(bytes)/float64(n), "B/point")
		}
	})
	for _, method := range []history.Method{history.MinMax, history.LTTB} {
		b.Run("day to 1000 points "+string(method), func(b *testing.B) { askDays(b, s, method) })
	}
}

func insertDay(b *testing.B, s history.Store, n int) {
	b.Helper()
	const batch = 10_000
	random := rand.New(rand.NewPCG(1, 1)) //nolint:gosec // the same figures in each run, not secrets
	value := make([]float64, benchSeries)
	points := make([]history.Point, 0, batch)
	var at journal.Cursor
	step := 24 * time.Hour / time.Duration(n/benchSeries)
	began := time.Now()
	for i := 0; i < n; {
		points = points[:0]
		for range batch {
			k := i % benchSeries
			value[k] += random.Float64() - 0.5
			points = append(points, history.Point{Series: benchSeriesAt(k), Time: day.Add(time.Duration(i/benchSeries) * step), Offset: uint64(i + 1), Value: value[k]})
			i++
		}
		to := journal.Cursor{Epoch: "bench", Offset: uint64(i)}
		if _, err := s.Write(b.Context(), &history.Batch{From: at, To: to, Points: points}); err != nil {
			b.Fatal(err)
		}
		at = to
	}
	took := time.Since(began)
	b.ReportMetric(float64(n)/took.Seconds(), "points/s")
	b.ReportMetric(0, "ns/op")
}

func askDays(b *testing.B, s history.Store, method history.Method) {
	b.Helper()
	random := rand.New(rand.NewPCG(2, 2)) //nolint:gosec // the same figures in each run, not secrets
	var took []time.Duration
	ask := func() {
		began := time.Now()
		p, err := history.Downsample(b.Context(), s, history.PlotQuery{
			Series: benchSeriesAt(random.IntN(benchSeries)), From: day, To: day.Add(24 * time.Hour), Points: 1000, Method: method,
		})
		took = append(took, time.Since(began))
		if err != nil || len(p.Points) < 500 || len(p.Points) > 1000 {
			b.Fatalf("%d points, %v", len(p.Points), err)
		}
	}
	for b.Loop() {
		ask()
	}
	for len(took) < leastQuestions {
		ask()
	}
	slices.Sort(took)
	at := func(q float64) float64 { return float64(took[int(q*float64(len(took)-1))].Microseconds()) / 1000 }
	b.ReportMetric(at(0.5), "p50-ms")
	b.ReportMetric(at(0.99), "p99-ms")
	b.ReportMetric(at(1), "max-ms")
}
