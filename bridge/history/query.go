package history

import (
	"errors"
	"time"

	"plumbline/bridge/journal"
)

// ErrCursor is returned for a query whose Until or After names an epoch that the store never saw.
var ErrCursor = errors.New("history: the cursor names an epoch that this history never saw")

// Kind tells series of numbers and series of events apart.
type Kind string

// The kinds, in byte order.
const (
	KindEvent  Kind = "event"
	KindNumber Kind = "number"
)

// Listed is one line of a listing.
type Listed struct {
	Series // of events: Unit is "", and Field is "" for whole payloads
	Kind   Kind
}

// ListQuery chooses series. Limit must be at least 1.
type ListQuery struct {
	Filter string                  // a valid MQTT filter; a topic chooses that one
	Allow  func(topic string) bool // what the asker may see of it; nil = all
	After  *Listed                 // only what comes after it
	Limit  int
}

// ListPage is a part of a listing.
type ListPage struct {
	Series []Listed
	More   bool           // there is more after the last of Series
	Cursor journal.Cursor // up to where the journal was stored when this was read
}

// Position is a place in the order by time, epoch, offset, field. Epochs are ordered as the store first saw them.
type Position struct {
	Time   time.Time
	Epoch  string
	Offset uint64
	Field  string // of events; "" for points
}

// RangeQuery chooses points of one series. Limit must be at least 1.
type RangeQuery struct {
	Series     Series
	From, To   time.Time      // [From, To)
	After      *Position      // only what comes after it, in the asked direction
	Until      journal.Cursor // only entries up to it; the zero value is no bound
	Descending bool
	Limit      int
}

// PointPage is a part of an answer of points.
type PointPage struct {
	Points   []Point
	More     bool           // there is more after the last of Points
	Last     *Listed        // of Latest: where to go on; nil when nothing was looked at
	Cursor   journal.Cursor // up to where the journal was stored when this was read
	KeptFrom time.Time      // what is older has expired; zero when nothing has
}

// AggregateQuery asks for statistics of one series, in buckets [k*Step, (k+1)*Step) counted from 1970. From and To must be
// multiples of Step, and Step a whole number of microseconds, at least one.
type AggregateQuery struct {
	Series   Series
	From, To time.Time
	Step     time.Duration
}

// Floor returns the greatest multiple of step, counted from 1970, that is not after t. Step is in whole microseconds, at least one.
func Floor(t time.Time, step time.Duration) time.Time {
	us, by := t.UnixMicro(), step.Microseconds()
	return time.UnixMicro(us - ((us%by)+by)%by).UTC()
}

// Bucket is the statistics of the points of one step. Count is at least 1.
type Bucket struct {
	Start               time.Time
	Count               int64
	Min, Max, Sum, Last float64   // Last is the point with the greatest time, then epoch, then offset
	MinAt, MaxAt        time.Time // when, of the first if several are equal; zero from a store that does not keep it
	LastAt              time.Time // zero likewise
}

// Aggregates is the answer to an [AggregateQuery].
type Aggregates struct {
	Buckets    []Bucket
	Resolution time.Duration  // of what was read: 0 for the points themselves, else of the rollup
	Cursor     journal.Cursor // up to where the journal was stored when this was read
	KeptFrom   time.Time      // what is older has expired at this resolution; zero when nothing has
}

// EventQuery chooses events. Limit must be at least 1.
type EventQuery struct {
	Filter     string                  // a valid MQTT filter
	Allow      func(topic string) bool // what the asker may see of it; nil = all
	From, To   time.Time               // [From, To)
	After      *Position               // only what comes after it, in the asked direction
	Until      journal.Cursor          // only entries up to it; the zero value is no bound
	Descending bool
	Limit      int
	Bytes      int // about how many bytes of topics and payloads, one event at the least; 0 = no bound
}

// EventPage is a part of an answer of events.
type EventPage struct {
	Events   []Event
	More     bool
	Cursor   journal.Cursor
	KeptFrom time.Time

	bytes int
}

// Add adds an event. When there is no room for it in an answer to q, it says that there is more, and reports false.
func (p *EventPage) Add(q *EventQuery, e Event) bool {
	p.More = len(p.Events) == q.Limit || q.Bytes > 0 && p.bytes >= q.Bytes
	if !p.More {
		p.Events = append(p.Events, e)
		p.bytes += len(e.Topic) + len(e.Field) + len(e.Payload)
	}
	return !p.More
}

// Retention is how long each resolution is kept, counted from a point's time. Zero keeps for ever.
type Retention struct {
	Points   time.Duration // the points themselves
	Rollup1s time.Duration
	Rollup1m time.Duration
	Rollup1h time.Duration
	Events   time.Duration
}

// DefaultMaxSeries bounds the series of a store: each costs memory and an index entry, and publishers choose the names, which may
// have 256 bytes in the mean.
const DefaultMaxSeries = 100_000

// Prefix returns the topics that filter can match as a range of bytes: from lo, which is a whole topic or its beginning, and
// below hi; hi is "" when there is no bound. Topics in it need not match.
func Prefix(filter string) (lo, hi string) {
	end := len(filter)
	for i := range len(filter) {
		if filter[i] == '+' || filter[i] == '#' {
			end = i
			break
		}
	}
	if end == len(filter) {
		return filter, filter + "\x01" // valid topics hold no control characters
	}
	if end == 0 {
		return "", ""
	}
	lo = filter[:end-1]          // without the slash: a/# matches a itself
	return lo, lo + "\U0010FFFF" // the greatest character, which no topic holds
}
