// Package storetest holds the checks that every history.Store must pass. A store's own test calls Run.
package storetest

import (
	"context"
	"testing"
	"time"

	"plumbline/bridge/history"
	"plumbline/bridge/journal"
)

// Options is what a check asks of the store it wants.
type Options struct {
	Retain    history.Retention
	MaxSeries int // 0 = the store's default
}

// Place makes an empty place for a store, gone when the test ends, and returns what opens the store there. It is opened again
// after it was closed, and has its content then.
type Place func(t *testing.T, o Options) (open func() history.Store)

// Traits says what a kind of store does not do.
type Traits struct {
	NoTimesOfExtremes bool // Bucket.MinAt, MaxAt and LastAt are zero
	ExpiresByItself   bool // Expire does nothing: the database has its own retention
}

// Run runs all checks, each with a store of its own.
func Run(t *testing.T, place Place, traits Traits) {
	t.Helper()
	for _, c := range []struct {
		name  string
		check func(*suite)
	}{
		{"empty", (*suite).empty}, {"cursor survives", (*suite).cursorSurvives}, {"conflict stores nothing", (*suite).conflict},
		{"range pages both ways", (*suite).rangePages}, {"range until", (*suite).rangeUntil}, {"epochs", (*suite).epochs},
		{"aggregate", (*suite).aggregate}, {"aggregate refuses", (*suite).aggregateRefuses}, {"latest", (*suite).latest},
		{"list", (*suite).list}, {"hostile names", (*suite).hostileNames}, {"events", (*suite).events}, {"hostile payloads", (*suite).hostilePayloads},
		{"gaps", (*suite).gaps}, {"limit of series", (*suite).limitOfSeries}, {"long names", (*suite).longNames}, {"another writer", (*suite).anotherWriter}, {"retention", (*suite).retention}, {"retention in parts", (*suite).retentionInParts},
		{"context", (*suite).context}, {"readers beside a writer", (*suite).readersBesideWriter}, {"large batch", (*suite).largeBatch},
	} {
		t.Run(c.name, func(t *testing.T) { c.check(&suite{T: t, place: place, traits: traits, ctx: t.Context()}) })
	}
}

// suite is one check at work.
type suite struct {
	*testing.T
	place  Place
	traits Traits
	ctx    context.Context
	store  history.Store
	open   func() history.Store
	at     journal.Cursor
}

// begin opens an empty store.
func (s *suite) begin(o Options) {
	s.Helper()
	s.open = s.place(s.T, o)
	s.store = s.open()
	s.Cleanup(func() { s.must(s.store.Close()) })
}

func (s *suite) must(err error) {
	s.Helper()
	if err != nil {
		s.Fatal(err)
	}
}

// epoch is the journal's name in most checks.
const epoch = "0123456789abcdef"

// noon is the time around which the checks happen.
var noon = time.Date(2026, 3, 4, 12, 0, 0, 0, time.UTC)

// at returns noon and some microseconds.
func at(us int64) time.Time { return noon.Add(time.Duration(us) * time.Microsecond) }

var temperature = history.Series{Topic: "plant/1/state", Field: "temperature", Unit: "°C"}

// point makes a point of a series.
func point(s history.Series, us int64, offset uint64, value float64) history.Point {
	return history.Point{Series: s, Time: at(us), Offset: offset, Value: value}
}

// write stores a batch that goes on from the last and ends at offset.
func (s *suite) write(offset uint64, points []history.Point, events []history.Event, gaps ...history.Gap) history.Written {
	s.Helper()
	return s.writeIn(epoch, offset, points, events, gaps...)
}

func (s *suite) writeIn(epoch string, offset uint64, points []history.Point, events []history.Event, gaps ...history.Gap) history.Written {
	s.Helper()
	to := journal.Cursor{Epoch: epoch, Offset: offset}
	w, err := s.store.Write(s.ctx, &history.Batch{From: s.at, To: to, Points: points, Events: events, Gaps: gaps})
	s.must(err)
	s.at = to
	return w
}

// all is a range query for everything of a series.
func all(series history.Series) history.RangeQuery {
	return history.RangeQuery{Series: series, From: noon.Add(-1000 * time.Hour), To: noon.Add(1000 * time.Hour), Limit: 100_000}
}

func (s *suite) points(q history.RangeQuery) []history.Point {
	s.Helper()
	page, err := s.store.Range(s.ctx, q)
	s.must(err)
	if page.Cursor != s.at {
		s.Errorf("range answers with cursor %v, want %v", page.Cursor, s.at)
	}
	return page.Points
}

// sameTimes lets points be compared by ==.
func sameTimes(p history.Point) history.Point {
	p.Time = p.Time.UTC()
	return p
}

// wantPoints compares points, setting the epoch that a batch leaves out.
func (s *suite) wantPoints(what string, got, want []history.Point) {
	s.Helper()
	if len(got) != len(want) {
		s.Fatalf("%s: %d points, want %d: %v", what, len(got), len(want), got)
	}
	for i, w := range want {
		if w.Epoch == "" {
			w.Epoch = epoch
		}
		if sameTimes(got[i]) != sameTimes(w) {
			s.Fatalf("%s: point %d is %v, want %v", what, i, got[i], w)
		}
	}
}
