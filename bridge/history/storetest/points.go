package storetest

import (
	"errors"
	"slices"
	"time"

	"plumbline/bridge/history"
	"plumbline/bridge/journal"
)

func (s *suite) empty() {
	s.begin(Options{})
	c, err := s.store.Cursor(s.ctx)
	s.must(err)
	if c != (journal.Cursor{}) {
		s.Errorf("cursor of an empty store: %v", c)
	}
	if got := s.points(all(temperature)); len(got) != 0 {
		s.Errorf("points of an empty store: %v", got)
	}
	list, err := s.store.List(s.ctx, history.ListQuery{Filter: "#", Limit: 10})
	s.must(err)
	if len(list.Series) != 0 || list.More {
		s.Errorf("list of an empty store: %v", list)
	}
	gaps, err := s.store.Gaps(s.ctx, at(0), at(1), 10)
	s.must(err)
	if len(gaps) != 0 {
		s.Errorf("gaps of an empty store: %v", gaps)
	}
	if s.store.Name() == "" {
		s.Error("the store has no name")
	}
	s.must(s.store.Close())
	s.must(s.store.Close())
}

func (s *suite) cursorSurvives() {
	s.begin(Options{})
	s.write(7, nil, nil) // a batch without anything moves the cursor
	want := []history.Point{point(temperature, 1, 8, -0.1), point(temperature, 2, 9, 1e290), point(temperature, 3, 10, 5e-324)}
	s.write(10, want, nil)
	s.must(s.store.Close())
	s.store = s.open()
	c, err := s.store.Cursor(s.ctx)
	s.must(err)
	if c != s.at {
		s.Errorf("cursor after opening again %v, want %v", c, s.at)
	}
	s.wantPoints("opened again", s.points(all(temperature)), want)
	s.write(11, []history.Point{point(temperature, 4, 11, 3)}, nil)
	if got := s.points(all(temperature)); len(got) != 4 {
		s.Errorf("%d points after going on, want 4", len(got))
	}
}

func (s *suite) conflict() {
	s.begin(Options{})
	b := &history.Batch{To: journal.Cursor{Epoch: epoch, Offset: 2}, Points: []history.Point{point(temperature, 1, 1, 10), point(temperature, 2, 2, 20)}}
	_, err := s.store.Write(s.ctx, b)
	s.must(err)
	s.at = b.To
	want := b.Points
	for _, from := range []journal.Cursor{{}, {Epoch: epoch, Offset: 1}, {Epoch: epoch, Offset: 3}, {Epoch: "other", Offset: 2}} {
		other := *b
		other.From = from
		other.Points = append(slices.Clone(b.Points), point(history.Series{Topic: "new", Field: "value"}, 5, 2, 1))
		if _, err := s.store.Write(s.ctx, &other); !errors.Is(err, history.ErrConflict) {
			s.Errorf("batch from %v on a store at %v: %v, want ErrConflict", from, b.To, err)
		}
	}
	s.wantPoints("after conflicts", s.points(all(temperature)), want)
	list, err := s.store.List(s.ctx, history.ListQuery{Filter: "#", Limit: 10})
	s.must(err)
	if len(list.Series) != 1 {
		s.Errorf("a refused batch left series: %v", list.Series)
	}
	a, err := s.store.Aggregate(s.ctx, history.AggregateQuery{Series: temperature, From: noon, To: noon.Add(time.Hour), Step: time.Hour})
	s.must(err)
	if len(a.Buckets) != 1 || a.Buckets[0].Count != 2 || a.Buckets[0].Sum != 30 {
		s.Errorf("a refused batch changed the statistics: %+v", a.Buckets)
	}
	s.write(3, []history.Point{point(history.Series{Topic: "new", Field: "value"}, 5, 3, 1)}, nil) // a series that a refused batch named
	if got := s.points(all(history.Series{Topic: "new", Field: "value"})); len(got) != 1 {
		s.Errorf("%d points of a series that a refused batch named, want 1", len(got))
	}
}

// crossing is points of one series, not in the order of time, some of one time, in two batches, with another series between.
func (s *suite) crossing() (sorted []history.Point) {
	s.Helper()
	other := history.Series{Topic: "plant/1/state", Field: "temperature", Unit: "K"}
	var first, second []history.Point
	for i := range uint64(30) {
		first = append(first, point(temperature, int64(i%7)*100, i+1, float64(i)), point(other, int64(i), i+1, -1))
		second = append(second, point(temperature, int64(i%5)*100+50, i+31, float64(i)+100))
	}
	s.write(30, first, nil)
	s.write(60, second, nil)
	for _, p := range slices.Concat(first, second) {
		if p.Series == temperature {
			sorted = append(sorted, p)
		}
	}
	slices.SortFunc(sorted, comparePoints)
	return sorted
}

func comparePoints(a, b history.Point) int {
	if c := a.Time.Compare(b.Time); c != 0 {
		return c
	}
	return int(int64(a.Offset) - int64(b.Offset))
}

func (s *suite) rangePages() {
	s.begin(Options{})
	want := s.crossing()
	s.wantPoints("all", s.points(all(temperature)), want)
	from, to := at(100), at(450)
	inside := slices.DeleteFunc(slices.Clone(want), func(p history.Point) bool { return p.Time.Before(from) || !p.Time.Before(to) })
	q := all(temperature)
	q.From, q.To = from, to
	s.wantPoints("from inclusive, to exclusive", s.points(q), inside)
	for _, limit := range []int{1, 7, len(inside), len(inside) + 1} {
		for _, descending := range []bool{false, true} {
			q.Limit, q.Descending, q.After = limit, descending, nil
			got := s.pages(q, len(inside))
			if descending {
				slices.Reverse(got)
			}
			s.wantPoints("in pages", got, inside)
		}
	}
}

// pages reads page by page.
func (s *suite) pages(q history.RangeQuery, most int) (got []history.Point) {
	s.Helper()
	for range most + 1 {
		page, err := s.store.Range(s.ctx, q)
		s.must(err)
		if len(page.Points) > q.Limit {
			s.Fatalf("a page of %d points, the limit is %d", len(page.Points), q.Limit)
		}
		got = append(got, page.Points...)
		if !page.More {
			return got
		}
		if len(page.Points) == 0 {
			s.Fatal("an empty page says that there is more")
		}
		last := page.Points[len(page.Points)-1]
		q.After = &history.Position{Time: last.Time, Epoch: last.Epoch, Offset: last.Offset}
	}
	s.Fatalf("the pages do not end after %d points", len(got))
	return nil
}

func (s *suite) rangeUntil() {
	s.begin(Options{})
	s.crossing()
	q := all(temperature)
	for _, until := range []uint64{0, 1, 30, 45, 60, 99} {
		q.Until = journal.Cursor{Epoch: epoch, Offset: until}
		if got, want := len(s.points(q)), int(min(until, 60)); got != want {
			s.Errorf("until %d: %d points, want %d", until, got, want)
		}
	}
	q.Until = journal.Cursor{Epoch: "nobody's", Offset: 3}
	if _, err := s.store.Range(s.ctx, q); !errors.Is(err, history.ErrCursor) {
		s.Errorf("until a cursor of another journal: %v, want ErrCursor", err)
	}
	q.Until, q.After = journal.Cursor{}, &history.Position{Time: noon, Epoch: "nobody's", Offset: 3}
	if _, err := s.store.Range(s.ctx, q); !errors.Is(err, history.ErrCursor) {
		s.Errorf("after a position of another journal: %v, want ErrCursor", err)
	}
}

// epochs: the journal began anew; offsets repeat, even with the same time.
func (s *suite) epochs() {
	s.begin(Options{})
	a, b, c := point(temperature, 5, 1, 1), point(temperature, 5, 2, 2), point(temperature, 5, 1, 3)
	a.Epoch, b.Epoch, c.Epoch = "zz", "zz", "aa" // the order is that of appearance, not of names
	s.writeIn("zz", 2, []history.Point{a, b}, nil)
	s.writeIn("aa", 1, []history.Point{c}, nil)
	s.wantPoints("two epochs", s.points(all(temperature)), []history.Point{a, b, c})
	q := all(temperature)
	q.Until = journal.Cursor{Epoch: "zz", Offset: 1}
	s.wantPoints("until the first epoch's first", s.points(q), []history.Point{a})
	q.Until = journal.Cursor{Epoch: "aa", Offset: 0}
	s.wantPoints("until the second epoch's beginning", s.points(q), []history.Point{a, b})
	q.Until, q.After = journal.Cursor{}, &history.Position{Time: b.Time, Epoch: "zz", Offset: 2}
	s.wantPoints("after the first epoch", s.points(q), []history.Point{c})
	page, err := s.store.Latest(s.ctx, history.ListQuery{Filter: "#", Limit: 5})
	s.must(err)
	s.wantPoints("latest", page.Points, []history.Point{c})
	agg, err := s.store.Aggregate(s.ctx, history.AggregateQuery{Series: temperature, From: noon, To: noon.Add(time.Minute), Step: time.Minute})
	s.must(err)
	if len(agg.Buckets) != 1 || agg.Buckets[0].Count != 3 || agg.Buckets[0].Last != 3 {
		s.Errorf("statistics over two epochs: %+v", agg.Buckets)
	}
}
