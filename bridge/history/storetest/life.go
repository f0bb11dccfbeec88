package storetest

import (
	"context"
	"errors"
	"sync"
	"time"

	"plumbline/bridge/history"
	"plumbline/bridge/journal"
)

// retention: what is older than its resolution's time is not given out any more, and the answer says so.
func (s *suite) retention() {
	if s.traits.ExpiresByItself {
		s.Skip("the database has its own retention")
	}
	s.begin(Options{Retain: history.Retention{Points: time.Hour, Rollup1s: 2 * time.Hour, Rollup1m: 4 * time.Hour, Rollup1h: 8 * time.Hour, Events: time.Hour}})
	old, other := history.Series{Topic: "old", Field: "value"}, history.Series{Topic: "other", Field: "value"}
	var points []history.Point
	offset := uint64(0)
	for us := int64(-6 * 3600e6); us < 0; us += 10e6 { // 6 h, each 10 s
		offset++
		points = append(points, point(temperature, us, offset, 1))
	}
	offset++
	points = append(points, point(old, -20*3600e6, offset, 1), point(other, -3*3600e6+5e6, offset, 1))
	young := points[len(points)-1] // of the series other
	s.write(offset, points, []history.Event{{Topic: "e", Time: at(-90 * 60e6), Offset: offset}, {Topic: "e", Time: at(-30 * 60e6), Offset: offset}})
	offset++
	s.write(offset, []history.Point{point(other, -3*3600e6+1e6, offset, 2)}, nil) // it comes late
	s.expire(noon)
	latest, err := s.store.Latest(s.ctx, history.ListQuery{Filter: other.Topic, Limit: 1})
	s.must(err)
	s.wantPoints("latest of what only statistics know", latest.Points, []history.Point{young})
	page, err := s.store.Range(s.ctx, all(temperature))
	s.must(err)
	if len(page.Points) != 360 || page.Points[0].Time.Before(noon.Add(-time.Hour)) || page.KeptFrom.Before(noon.Add(-time.Hour)) || page.KeptFrom.After(noon) {
		s.Errorf("%d points kept from %s, want 360 from an hour before", len(page.Points), page.KeptFrom)
	}
	for step, want := range map[time.Duration]int64{time.Second: 720, time.Minute: 1440, time.Hour: 2160} {
		a, err := s.store.Aggregate(s.ctx, history.AggregateQuery{Series: temperature, From: noon.Add(-24 * time.Hour), To: noon, Step: step})
		s.must(err)
		n := int64(0)
		for _, b := range a.Buckets {
			n += b.Count
		}
		if n != want || step < time.Hour && a.KeptFrom.IsZero() {
			s.Errorf("step %s: %d points kept from %s, want %d", step, n, a.KeptFrom, want)
		}
	}
	events, err := s.store.Events(s.ctx, allEvents("e"))
	s.must(err)
	if len(events.Events) != 1 {
		s.Errorf("%d events kept, want 1", len(events.Events))
	}
	for _, name := range s.listed(history.ListQuery{Filter: "#", Limit: 10}, history.KindNumber) {
		if name == old.Topic {
			s.Error("a series of which nothing is left is still listed")
		}
	}
	offset++
	s.write(offset, []history.Point{point(old, 0, offset, 5)}, nil) // it comes back
	if got := s.points(all(old)); len(got) != 1 {
		s.Errorf("%d points of a series that came back, want 1", len(got))
	}
}

// retentionInParts: what is to go is not given out any more before it is gone.
func (s *suite) retentionInParts() {
	if s.traits.ExpiresByItself {
		s.Skip("the database has its own retention")
	}
	s.begin(Options{Retain: history.Retention{Points: time.Hour, Rollup1s: time.Hour, Rollup1m: time.Hour, Rollup1h: time.Hour}})
	var points []history.Point
	for i := range uint64(12_000) { // of four hours, three of which are more than one Expire removes
		points = append(points, point(temperature, int64(i)*1_200_000-4*3600e6, i+1, 1))
	}
	s.write(12_000, points, nil)
	_, err := s.store.Expire(s.ctx, noon) // once: most stores have more to remove
	s.must(err)
	page, err := s.store.Range(s.ctx, all(temperature))
	s.must(err)
	if len(page.Points) != 3000 || page.Points[0].Time.Before(page.KeptFrom) {
		s.Errorf("%d points kept from %s, want the 3000 of an hour", len(page.Points), page.KeptFrom)
	}
}

// anotherWriter: a store that is written from elsewhere, by mistake, says so, and goes on when it is asked to go on from there.
func (s *suite) anotherWriter() {
	s.begin(Options{})
	s.write(1, []history.Point{point(temperature, 1, 1, 1)}, nil)
	other, fresh, before := s.open(), history.Series{Topic: "new", Field: "value"}, s.at
	to := journal.Cursor{Epoch: "other", Offset: 1}
	_, err := other.Write(s.ctx, &history.Batch{From: s.at, To: to, Points: []history.Point{point(fresh, 1, 1, 1)}})
	s.must(err)
	s.must(other.Close())
	if _, err := s.store.Write(s.ctx, &history.Batch{From: before, To: journal.Cursor{Epoch: epoch, Offset: 2}}); !errors.Is(err, history.ErrConflict) {
		s.Errorf("after another wrote: %v, want ErrConflict", err)
	}
	s.at, err = s.store.Cursor(s.ctx)
	s.must(err)
	s.writeIn("other", 2, []history.Point{point(fresh, 2, 2, 2)}, nil)
	if got := s.points(all(fresh)); len(got) != 2 || got[0].Epoch != "other" || got[1].Epoch != "other" {
		s.Errorf("%v, want both points of the series that another began", got)
	}
}

// expire removes all that retention does not cover.
func (s *suite) expire(now time.Time) {
	s.Helper()
	for range 10_000 {
		more, err := s.store.Expire(s.ctx, now)
		s.must(err)
		if !more {
			return
		}
	}
	s.Fatal("Expire does not end")
}

func (s *suite) context() {
	s.begin(Options{})
	ctx, cancel := context.WithCancel(s.ctx)
	cancel()
	b := &history.Batch{To: journal.Cursor{Epoch: epoch, Offset: 1}, Points: []history.Point{point(temperature, 1, 1, 1)}}
	if _, err := s.store.Write(ctx, b); !errors.Is(err, context.Canceled) {
		s.Errorf("write with a cancelled context: %v", err)
	}
	if _, err := s.store.Range(ctx, all(temperature)); !errors.Is(err, context.Canceled) {
		s.Errorf("range with a cancelled context: %v", err)
	}
	s.write(1, b.Points, nil)
	s.wantPoints("afterwards", s.points(all(temperature)), b.Points)
}

// readersBesideWriter: an answer holds all entries up to its cursor and none beyond.
func (s *suite) readersBesideWriter() {
	s.begin(Options{})
	const batches, each = 40, 25
	done := make(chan struct{})
	var readers sync.WaitGroup
	for range 3 {
		readers.Go(func() {
			for {
				s.consistent(each)
				select {
				case <-done:
					return
				default:
				}
			}
		})
	}
	offset := uint64(0)
	for range batches {
		var points []history.Point
		for range each {
			offset++
			points = append(points, point(temperature, int64(offset), offset, 1))
		}
		s.write(offset, points, nil)
	}
	close(done)
	readers.Wait()
	s.consistent(each)
}

func (s *suite) consistent(each uint64) {
	page, err := s.store.Range(s.ctx, all(temperature))
	if err != nil || uint64(len(page.Points)) != page.Cursor.Offset || page.Cursor.Offset%each != 0 {
		s.Errorf("range: %d points with cursor %v, %v", len(page.Points), page.Cursor, err)
	}
	a, err := s.store.Aggregate(s.ctx, history.AggregateQuery{Series: temperature, From: noon, To: noon.Add(time.Hour), Step: time.Hour})
	n := int64(0)
	for _, b := range a.Buckets {
		n += b.Count
	}
	if err != nil || uint64(n) != a.Cursor.Offset {
		s.Errorf("statistics of %d points with cursor %v, %v", n, a.Cursor, err)
	}
}

func (s *suite) largeBatch() {
	s.begin(Options{})
	var points []history.Point
	for i := range 20_000 {
		series := history.Series{Topic: "plant/" + string(rune('a'+i%26)), Field: "value"}
		points = append(points, point(series, int64(i)*1000, uint64(i+1), float64(i)))
	}
	if w := s.write(20_000, points, nil); w.Points != len(points) {
		s.Errorf("%+v, want %d points", w, len(points))
	}
	for i := range 26 {
		series := history.Series{Topic: "plant/" + string(rune('a'+i)), Field: "value"}
		if got, want := len(s.points(all(series))), (20_000-i+25)/26; got != want {
			s.Errorf("%s: %d points, want %d", series.Topic, got, want)
		}
	}
}
