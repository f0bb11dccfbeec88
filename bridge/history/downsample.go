package history

import (
	"context"
	"fmt"
	"math"
	"time"

	"plumbline/bridge/journal"
)

// Method is how a plot's points are chosen.
type Method string

// The methods.
const (
	// MinMax keeps the least and the greatest of each step: no peak is lost.
	MinMax Method = "minmax"
	// LTTB keeps the points that span the largest triangles (Steinarsson 2013): the shape is kept best, a narrow peak may go.
	LTTB Method = "lttb"
)

// Rollups are the steps that stores keep statistics of, from the finest.
var Rollups = [...]time.Duration{time.Second, time.Minute, time.Hour}

// rollupRows is how many rows of a rollup a plot may read before the next coarser is taken.
const rollupRows = 20_000

// PlotQuery asks for at most Points points that look like all of [From, To).
type PlotQuery struct {
	Series   Series
	From, To time.Time
	Points   int // at least 10
	Method   Method
}

// Plot is the answer: real points of the series, by time. From a store that does not keep the times of extremes they stand in the
// middle of their step.
type Plot struct {
	Points     []Sample
	Step       time.Duration  // of which each has at most two points; 0 when these are all points there are
	Resolution time.Duration  // of what was read: 0 for the points themselves, else of the rollup
	Cursor     journal.Cursor // up to where the journal was stored when this was read
	KeptFrom   time.Time      // what is older has expired at this resolution; zero when nothing has
}

// Sample is a point of a plot.
type Sample struct {
	Time  time.Time
	Value float64
}

// Downsample answers the query from the points when they are few, else from the finest statistics that are not too many and
// reach back to From. It blocks as the store's Range and Aggregate do.
func Downsample(ctx context.Context, store Store, q PlotQuery) (Plot, error) {
	if q.Points < 10 || !q.To.After(q.From) || q.Method != MinMax && q.Method != LTTB {
		return Plot{}, fmt.Errorf("history: downsample: %d points of [%s, %s) by %q: want at least 10, a time that passes, and minmax or lttb", q.Points, q.From, q.To, q.Method)
	}
	page, err := store.Range(ctx, RangeQuery{Series: q.Series, From: q.From, To: q.To, Limit: q.Points})
	if err != nil {
		return Plot{}, err
	}
	if !page.More && !page.KeptFrom.After(q.From) {
		p := Plot{Cursor: page.Cursor, KeptFrom: page.KeptFrom}
		for _, x := range page.Points {
			p.Points = append(p.Points, Sample{x.Time, x.Value})
		}
		return p, nil
	}
	if q, err = q.narrow(ctx, store, page); err != nil {
		return Plot{}, err
	}
	steps := q.steps()
	for i, step := range steps {
		from, to := Floor(q.From, step), ceil(q.To, step)
		a, err := store.Aggregate(ctx, AggregateQuery{Series: q.Series, From: from, To: to, Step: step})
		if err != nil {
			return Plot{}, err
		}
		if a.KeptFrom.After(q.From) && i < len(steps)-1 {
			continue // a coarser one may reach further back
		}
		p := Plot{Points: extremes(a.Buckets, q, step), Step: step, Resolution: a.Resolution, Cursor: a.Cursor, KeptFrom: a.KeptFrom}
		if q.Method == LTTB {
			p.Points = largestTriangles(p.Points, q.Points)
		}
		return p, nil
	}
	return Plot{}, nil // not reached: there is always a step
}

// narrow shortens the asked time to that in which there is something, so that the steps divide it alone. page is its beginning.
func (q PlotQuery) narrow(ctx context.Context, store Store, page PointPage) (PlotQuery, error) {
	if !page.KeptFrom.After(q.From) {
		last, err := store.Range(ctx, RangeQuery{Series: q.Series, From: q.From, To: q.To, Descending: true, Limit: 1})
		if err == nil && len(last.Points) > 0 { // else they expired meanwhile
			q.From, q.To = page.Points[0].Time, last.Points[0].Time.Add(time.Microsecond)
		}
		return q, err
	}
	hour := Rollups[len(Rollups)-1]
	for { // the points have expired: the hours know, first of all by many at once
		step := stepOf(q.span()/rollupRows, hour)
		a, err := store.Aggregate(ctx, AggregateQuery{Series: q.Series, From: Floor(q.From, step), To: ceil(q.To, step), Step: step})
		if err != nil || len(a.Buckets) == 0 {
			return q, err
		}
		if first := a.Buckets[0].Start; first.After(q.From) {
			q.From = first
		}
		if end := a.Buckets[len(a.Buckets)-1].Start.Add(step); end.Before(q.To) {
			q.To = end
		}
		if step == hour || stepOf(q.span()/rollupRows, hour) == step {
			return q, nil
		}
	}
}

// span returns the microseconds that are asked for. A time.Duration ends at 292 years.
func (q PlotQuery) span() int64 { return q.To.UnixMicro() - q.From.UnixMicro() }

// steps returns the steps to try, from the finest.
func (q PlotQuery) steps() (steps []time.Duration) {
	buckets := int64(q.Points/2 - 1) // rounding From and To outward may add one
	if q.Method == LTTB {
		buckets = int64(2 * q.Points) // more than asked for, to choose from
	}
	exact := max((q.span()+buckets-1)/buckets, 1)
	if exact < Rollups[0].Microseconds() {
		steps = append(steps, time.Duration(exact)*time.Microsecond)
	}
	for i, unit := range Rollups {
		if i < len(Rollups)-1 && q.span()/unit.Microseconds() > rollupRows {
			continue
		}
		steps = append(steps, stepOf(exact, unit))
	}
	return steps
}

// maxStep bounds a step to what a time.Duration holds.
const maxStep = 200 * 365 * 24 * time.Hour

// stepOf returns the least multiple of unit that is not below us microseconds, and at least one.
func stepOf(us int64, unit time.Duration) time.Duration {
	n := max((us+unit.Microseconds()-1)/unit.Microseconds(), 1)
	return time.Duration(min(n, int64(maxStep/unit))) * unit
}

// ceil returns the least multiple of step, counted from 1970, that is not before t.
func ceil(t time.Time, step time.Duration) time.Time {
	return Floor(t.Add(step-time.Microsecond), step)
}

// extremes returns the least and the greatest of each bucket in the order of their time, inside the asked range.
func extremes(buckets []Bucket, q PlotQuery, step time.Duration) []Sample {
	out := make([]Sample, 0, 2*len(buckets))
	add := func(at time.Time, value float64) {
		if !at.Before(q.From) && at.Before(q.To) {
			out = append(out, Sample{at, value})
		}
	}
	for _, b := range buckets {
		lo, hi := Sample{b.MinAt, b.Min}, Sample{b.MaxAt, b.Max}
		if lo.Time.IsZero() || hi.Time.IsZero() {
			middle := b.Start.Add(step / 2)
			lo.Time, hi.Time = middle, middle
		}
		if hi.Time.Before(lo.Time) {
			lo, hi = hi, lo
		}
		add(lo.Time, lo.Value)
		if lo != hi {
			add(hi.Time, hi.Value)
		}
	}
	return out
}

// largestTriangles keeps n of the points: the first, the last, and of each of the n-2 groups between the one that spans the
// largest triangle with the point kept before and the mean of the group after.
func largestTriangles(points []Sample, n int) []Sample {
	if len(points) <= n {
		return points
	}
	x := func(i int) float64 { return float64(points[i].Time.Sub(points[0].Time).Microseconds()) }
	edge := func(group int) int { return 1 + group*(len(points)-2)/(n-2) }
	out := append(make([]Sample, 0, n), points[0])
	kept := 0
	for group := range n - 2 {
		from, to := edge(group), edge(group+1)
		next := min(edge(group+2), len(points))
		if group == n-3 {
			next = len(points)
		}
		meanX, meanY := 0.0, 0.0
		for i := to; i < next; i++ {
			meanX += x(i) / float64(next-to)
			meanY += points[i].Value / float64(next-to)
		}
		best, area := from, -1.0
		for i := from; i < to; i++ {
			a := math.Abs((x(kept)-meanX)*(points[i].Value-points[kept].Value) - (x(kept)-x(i))*(meanY-points[kept].Value))
			if a > area {
				best, area = i, a
			}
		}
		kept = best
		out = append(out, points[kept])
	}
	return append(out, points[len(points)-1])
}
