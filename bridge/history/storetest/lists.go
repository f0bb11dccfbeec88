package storetest

import (
	"fmt"
	"slices"
	"strings"

	"plumbline/bridge/history"
)

// names makes one point and one event for each topic.
func (s *suite) names(topics ...string) {
	s.Helper()
	var points []history.Point
	var events []history.Event
	offset := s.at.Offset
	for _, name := range topics {
		offset++
		points = append(points, point(history.Series{Topic: name, Field: "value", Unit: "bar"}, int64(offset), offset, float64(offset)))
		events = append(events, history.Event{Topic: name, Time: at(int64(offset)), Offset: offset, Payload: []byte(name), Size: len(name)})
	}
	s.write(offset, points, events)
}

// listed reads a listing page by page and returns its topics of one kind.
func (s *suite) listed(q history.ListQuery, kind history.Kind) (topics []string) {
	s.Helper()
	for range 1000 {
		page, err := s.store.List(s.ctx, q)
		s.must(err)
		for _, l := range page.Series {
			if l.Kind == kind {
				topics = append(topics, l.Topic)
			}
		}
		if len(page.Series) > q.Limit {
			s.Fatalf("%d lines, the limit is %d", len(page.Series), q.Limit)
		}
		if !page.More {
			return topics
		}
		q.After = &page.Series[len(page.Series)-1]
	}
	s.Fatal("the listing does not end")
	return nil
}

func (s *suite) list() {
	s.begin(Options{})
	topics := []string{"a", "a/b", "a/b/c", "a/bc", "a//c", "a0", "A/b", "b", "ä/b", "$SYS/x", "a b", "日本/温度", "/", "x/a/b"}
	s.names(topics...)
	for filter, want := range map[string][]string{
		"#": {"/", "A/b", "a", "a b", "a//c", "a/b", "a/b/c", "a/bc", "a0", "b", "x/a/b", "ä/b", "日本/温度"}, "a": {"a"}, "a/#": {"a", "a//c", "a/b", "a/b/c", "a/bc"},
		"a/+": {"a/b", "a/bc"}, "+/b": {"A/b", "a/b", "ä/b"}, "a/+/c": {"a//c", "a/b/c"}, "$SYS/#": {"$SYS/x"}, "none/#": nil, "/": {"/"}, "+": {"a", "a b", "a0", "b"},
		"日本/+": {"日本/温度"},
	} {
		for _, limit := range []int{1, 3, 1000} {
			for _, kind := range []history.Kind{history.KindNumber, history.KindEvent} {
				if got := s.listed(history.ListQuery{Filter: filter, Limit: limit}, kind); !slices.Equal(got, want) {
					s.Errorf("list %q by %d: %q, want %q", filter, limit, got, want)
				}
			}
		}
	}
	allow := func(topic string) bool { return !strings.HasPrefix(topic, "a/b") }
	if got, want := s.listed(history.ListQuery{Filter: "a/#", Allow: allow, Limit: 2}, history.KindNumber), []string{"a", "a//c"}; !slices.Equal(got, want) {
		s.Errorf("list with Allow: %q, want %q", got, want)
	}
}

func (s *suite) latest() {
	s.begin(Options{})
	s.names("l/1", "l/2", "l/3", "m/1")
	one := history.Series{Topic: "l/1", Field: "value", Unit: "bar"}
	s.write(6, []history.Point{point(one, 500, 5, 50), point(one, 400, 6, 40)}, nil) // the second is late
	s.write(7, []history.Point{point(one, 500, 7, 70)}, nil)                         // same time, later entry
	want := []history.Point{
		point(one, 500, 7, 70), point(history.Series{Topic: "l/2", Field: "value", Unit: "bar"}, 2, 2, 2), point(history.Series{Topic: "l/3", Field: "value", Unit: "bar"}, 3, 3, 3),
	}
	for _, limit := range []int{1, 2, 3, 10} {
		var got []history.Point
		q := history.ListQuery{Filter: "l/+", Limit: limit}
		for range 10 {
			page, err := s.store.Latest(s.ctx, q)
			s.must(err)
			if page.Cursor != s.at {
				s.Errorf("cursor %v, want %v", page.Cursor, s.at)
			}
			got = append(got, page.Points...)
			if !page.More {
				break
			}
			if page.Last == nil {
				s.Fatal("there is more, and no Last to go on from")
			}
			q.After = page.Last
		}
		s.wantPoints(fmt.Sprint("latest by ", limit), got, want)
	}
	page, err := s.store.Latest(s.ctx, history.ListQuery{Filter: "#", Allow: func(t string) bool { return t == "m/1" }, Limit: 10})
	s.must(err)
	s.wantPoints("latest with Allow", page.Points, []history.Point{point(history.Series{Topic: "m/1", Field: "value", Unit: "bar"}, 4, 4, 4)})
}

// hostile is text that has a meaning in SQL, InfluxDB's line protocol, printf, HTML, CSV, terminals or paths.
var hostile = []string{
	`'; DROP TABLE points; --`, `" OR 1=1`, "a,b=c d", `back\slash\`, `tail\`, "%s%n%d", "<script>alert(1)</script>", "=1+1", "../../etc/passwd", "`$(id)`", "a=b,c=d 1 2",
	"{}[]()", "ünïcödé ℃ 🌡", "trailing ", " leading", "a\u00a0b", "NULL", "#hash", "_field", "time", "tag,host=x value=1", `\,\ \=`, "\u2028", "--", "/*", "?", "$1", ":name",
}

func (s *suite) hostileNames() {
	s.begin(Options{})
	var points []history.Point
	offset := uint64(0)
	for _, text := range hostile {
		topic := strings.NewReplacer("#", "♯", "+", "＋").Replace(text)
		for _, series := range []history.Series{{Topic: topic, Field: "value"}, {Topic: "t", Field: text}, {Topic: "t", Field: "value", Unit: text}} {
			offset++
			points = append(points, point(series, int64(offset), offset, float64(offset)))
		}
	}
	s.write(offset, points, nil)
	for _, p := range points {
		s.wantPoints(fmt.Sprintf("%q", p.Series), s.points(all(p.Series)), []history.Point{p})
	}
	page, err := s.store.Latest(s.ctx, history.ListQuery{Filter: "#", Limit: 1000})
	s.must(err)
	got := map[history.Series]float64{}
	for _, p := range page.Points {
		got[p.Series] = p.Value
	}
	for _, p := range points {
		if got[p.Series] != p.Value && p.Topic[0] != '$' { // which no filter that begins with a wildcard matches
			s.Errorf("latest of %q is %v, want %v", p.Series, got[p.Series], p.Value)
		}
	}
}

func (s *suite) limitOfSeries() {
	s.begin(Options{MaxSeries: 3})
	w := s.write(1, []history.Point{point(history.Series{Topic: "a"}, 1, 1, 1), point(history.Series{Topic: "b"}, 1, 1, 1)}, []history.Event{{Topic: "c", Time: at(1), Offset: 1}})
	if w != (history.Written{Points: 2, Events: 1}) {
		s.Errorf("below the limit: %+v", w)
	}
	w = s.write(2, []history.Point{point(history.Series{Topic: "a"}, 2, 2, 1), point(history.Series{Topic: "d"}, 2, 2, 1)}, []history.Event{{Topic: "e", Time: at(2), Offset: 2}})
	if w != (history.Written{Points: 1, Refused: 2}) {
		s.Errorf("at the limit: %+v, want one point and two refused", w)
	}
	if got := len(s.points(all(history.Series{Topic: "a"}))); got != 2 {
		s.Errorf("%d points of a known series, want 2", got)
	}
	if got := s.listed(history.ListQuery{Filter: "#", Limit: 10}, history.KindNumber); !slices.Equal(got, []string{"a", "b"}) {
		s.Errorf("series %q", got)
	}
}

// longNames: publishers choose names, and all that are known are in memory.
func (s *suite) longNames() {
	s.begin(Options{MaxSeries: 100})
	var points []history.Point
	for i := range uint64(30) {
		points = append(points, point(history.Series{Topic: fmt.Sprint(i, "/", strings.Repeat("x", 50_000))}, 1, i+1, 1))
	}
	if w := s.write(30, points, nil); w != (history.Written{Points: 20, Refused: 10}) {
		s.Errorf("30 names of 50,000 bytes: %+v, want room for 1 MiB", w)
	}
	s.must(s.store.Close())
	s.store = s.open()
	points = []history.Point{point(points[0].Series, 2, 31, 1), point(points[29].Series, 2, 31, 1)}
	if w := s.write(31, points, nil); w != (history.Written{Points: 1, Refused: 1}) {
		s.Errorf("after opening again: %+v, want one known and one refused", w)
	}
}
