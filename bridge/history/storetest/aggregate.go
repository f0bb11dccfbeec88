package storetest

import (
	"maps"
	"math"
	"math/rand/v2"
	"slices"
	"time"

	"plumbline/bridge/history"
)

// aggregate compares with statistics computed from the points themselves, after batches that come late, twice into one bucket
// and across bucket borders.
func (s *suite) aggregate() {
	s.begin(Options{})
	r := rand.New(rand.NewPCG(7, 7)) //nolint:gosec // the same points each time
	var points []history.Point
	offset := uint64(0)
	for range 12 {
		var batch []history.Point
		base := r.Int64N(2 * 3600 * 1e6)
		for range 150 {
			offset++
			p := point(temperature, base+r.Int64N(90*1e6), offset, math.Round(r.NormFloat64()*1000)/8) // sums are exact
			if offset%5 == 0 {
				p.Time = p.Time.Truncate(time.Minute) // on borders, and equal times
			}
			batch = append(batch, p)
		}
		points = append(points, batch...)
		s.write(offset, batch, nil)
	}
	for _, step := range []time.Duration{250 * time.Millisecond, time.Second, 1500 * time.Millisecond, 7 * time.Second, time.Minute, 90 * time.Second, 5 * time.Minute, time.Hour, 24 * time.Hour} {
		from, to := history.Floor(noon, step), history.Floor(noon.Add(3*time.Hour), step)
		if !to.After(from) {
			to = from.Add(step)
		}
		a, err := s.store.Aggregate(s.ctx, history.AggregateQuery{Series: temperature, From: from, To: to, Step: step})
		s.must(err)
		if a.Resolution > step || a.Resolution > 0 && step%a.Resolution != 0 {
			s.Errorf("step %s was answered from a resolution of %s", step, a.Resolution)
		}
		if a.Cursor != s.at {
			s.Errorf("step %s: cursor %v, want %v", step, a.Cursor, s.at)
		}
		s.compareBuckets(step, a.Buckets, statistics(points, from, to, step))
	}
}

func (s *suite) compareBuckets(step time.Duration, got, want []history.Bucket) {
	s.Helper()
	if len(got) != len(want) {
		s.Errorf("step %s: %d buckets, want %d", step, len(got), len(want))
		return
	}
	for i, w := range want {
		g := got[i]
		g.Start = g.Start.UTC()
		if s.traits.NoTimesOfExtremes {
			w.MinAt, w.MaxAt, w.LastAt = time.Time{}, time.Time{}, time.Time{}
		} else {
			g.MinAt, g.MaxAt, g.LastAt = g.MinAt.UTC(), g.MaxAt.UTC(), g.LastAt.UTC()
		}
		if g != w {
			s.Errorf("step %s: bucket %d is\n%+v, want\n%+v", step, i, g, w)
			return
		}
	}
}

// statistics is the reference: plain.
func statistics(points []history.Point, from, to time.Time, step time.Duration) (out []history.Bucket) {
	inside := map[time.Time][]history.Point{} // by the start of the bucket
	for _, p := range points {
		if !p.Time.Before(from) && p.Time.Before(to) {
			start := from.Add(p.Time.Sub(from).Truncate(step))
			inside[start] = append(inside[start], p)
		}
	}
	for _, start := range slices.SortedFunc(maps.Keys(inside), time.Time.Compare) {
		b := history.Bucket{Start: start, Min: math.Inf(1), Max: math.Inf(-1)}
		var last history.Point
		for _, p := range inside[start] {
			b.Count++
			b.Sum += p.Value
			if p.Value < b.Min || p.Value == b.Min && p.Time.Before(b.MinAt) {
				b.Min, b.MinAt = p.Value, p.Time
			}
			if p.Value > b.Max || p.Value == b.Max && p.Time.Before(b.MaxAt) {
				b.Max, b.MaxAt = p.Value, p.Time
			}
			if b.Count == 1 || comparePoints(p, last) > 0 {
				last = p
				b.Last, b.LastAt = p.Value, p.Time
			}
		}
		out = append(out, b)
	}
	return out
}

func (s *suite) aggregateRefuses() {
	s.begin(Options{})
	s.write(1, []history.Point{point(temperature, 0, 1, 1)}, nil)
	for name, q := range map[string]history.AggregateQuery{
		"no step":         {Series: temperature, From: noon, To: noon.Add(time.Hour)},
		"a negative step": {Series: temperature, From: noon, To: noon.Add(time.Hour), Step: -time.Minute},
		"crooked from":    {Series: temperature, From: noon.Add(1), To: noon.Add(time.Hour), Step: time.Hour},
		"crooked to":      {Series: temperature, From: noon, To: noon.Add(time.Hour + time.Second), Step: time.Hour},
	} {
		if q.From.Nanosecond() == 1 {
			q.From = noon.Add(time.Microsecond)
		}
		if a, err := s.store.Aggregate(s.ctx, q); err == nil {
			s.Errorf("%s was answered: %+v", name, a)
		}
	}
	a, err := s.store.Aggregate(s.ctx, history.AggregateQuery{Series: history.Series{Topic: "no/such"}, From: noon, To: noon.Add(time.Hour), Step: time.Hour})
	s.must(err)
	if len(a.Buckets) != 0 {
		s.Errorf("statistics of a series that is not there: %+v", a.Buckets)
	}
}
