package tables

import (
	"cmp"
	"fmt"
	"math"
	"slices"
	"time"

	"plumbline/bridge/history"
)

// Point is a history.Point with names replaced by numbers. Time is in microseconds since 1970.
type Point struct {
	Series, Time, Seq int64
	Value             float64
}

// Sort sorts points by series, time, seq: the order of their key.
func Sort(list []Point) {
	slices.SortFunc(list, func(a, b Point) int {
		return cmp.Or(cmp.Compare(a.Series, b.Series), cmp.Compare(a.Time, b.Time), cmp.Compare(a.Seq, b.Seq))
	})
}

// Bucket is a rollup row without its series. Times are microseconds since 1970. The zero value holds no points.
type Bucket struct {
	Start, N        int64
	Sum             float64
	Lo, Hi, Last    float64
	LoAt, HiAt      int64
	LastAt, LastSeq int64
}

// One returns the bucket that holds p alone and begins at it.
func One(p Point) Bucket {
	return Bucket{Start: p.Time, N: 1, Sum: p.Value, Lo: p.Value, LoAt: p.Time, Hi: p.Value, HiAt: p.Time, Last: p.Value, LastAt: p.Time, LastSeq: p.Seq}
}

// Add merges o into b; of b only the start stays.
func (b *Bucket) Add(o Bucket) {
	if b.N == 0 {
		start := b.Start
		*b = o
		b.Start = start
		return
	}
	b.N += o.N
	b.Sum += o.Sum
	if o.Lo < b.Lo || o.Lo == b.Lo && o.LoAt < b.LoAt {
		b.Lo, b.LoAt = o.Lo, o.LoAt
	}
	if o.Hi > b.Hi || o.Hi == b.Hi && o.HiAt < b.HiAt {
		b.Hi, b.HiAt = o.Hi, o.HiAt
	}
	if o.LastAt > b.LastAt || o.LastAt == b.LastAt && o.LastSeq > b.LastSeq {
		b.Last, b.LastAt, b.LastSeq = o.Last, o.LastAt, o.LastSeq
	}
}

// Public returns the bucket as an answer has it.
func (b Bucket) Public() history.Bucket {
	return history.Bucket{
		Start: FromMicro(b.Start), Count: b.N, Min: b.Lo, Max: b.Hi, Sum: b.Sum, Last: b.Last,
		MinAt: FromMicro(b.LoAt), MaxAt: FromMicro(b.HiAt), LastAt: FromMicro(b.LastAt),
	}
}

// RollUp calls row with each bucket of step microseconds that the sorted points make.
func RollUp(list []Point, step int64, row func(series int64, b Bucket) error) error {
	for len(list) > 0 {
		first := list[0]
		b := Bucket{Start: first.Time - FloorMod(first.Time, step)}
		n := 0
		for n < len(list) && list[n].Series == first.Series && list[n].Time < b.Start+step {
			b.Add(One(list[n]))
			n++
		}
		if err := row(first.Series, b); err != nil {
			return err
		}
		list = list[n:]
	}
	return nil
}

// Fold merges buckets, which next gives by start, to buckets of step microseconds, until next has none.
func Fold(step int64, next func() (b Bucket, ok bool, err error)) (out []history.Bucket, err error) {
	now := Bucket{Start: math.MinInt64}
	for {
		b, ok, err := next()
		if err != nil {
			return nil, err
		}
		if start := b.Start - FloorMod(b.Start, step); !ok || start != now.Start {
			if now.N > 0 {
				out = append(out, now.Public())
			}
			now = Bucket{Start: start}
		}
		if !ok {
			return out, nil
		}
		now.Add(b)
	}
}

// Level is one resolution of numbers. Step is in microseconds; 0 = the points themselves.
type Level struct {
	Table string
	Step  int64
	Time  string // the column of time
}

// Levels are from the finest to the coarsest.
var Levels = []Level{
	{"points", 0, "time"}, {"rollup_1s", time.Second.Microseconds(), "start"}, {"rollup_1m", time.Minute.Microseconds(), "start"}, {"rollup_1h", time.Hour.Microseconds(), "start"},
}

// LevelFor checks q and returns the coarsest level whose step divides the query's, with that in microseconds.
func LevelFor(q history.AggregateQuery) (l Level, step int64, err error) {
	step = q.Step.Microseconds()
	if step <= 0 || FloorMod(q.From.UnixMicro(), step) != 0 || FloorMod(q.To.UnixMicro(), step) != 0 {
		return l, 0, fmt.Errorf("from %d µs and to %d µs must be multiples of the step, %d µs, and that at least 1 µs", q.From.UnixMicro(), q.To.UnixMicro(), step)
	}
	l = Levels[0]
	for _, coarser := range Levels[1:] {
		if step%coarser.Step == 0 {
			l = coarser
		}
	}
	return l, step, nil
}

// FloorMod is the remainder that is never negative.
func FloorMod(a, b int64) int64 { return ((a % b) + b) % b }

// FromMicro returns the time of microseconds since 1970, UTC.
func FromMicro(us int64) time.Time { return time.UnixMicro(us).UTC() }
