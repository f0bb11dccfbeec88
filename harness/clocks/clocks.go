package clocks

import (
	"cmp"
	"errors"
	"fmt"
	"slices"
	"time"
)

// Exchange is one probe and its answer. Instants are nanoseconds, each clock
// counting from an origin of its own.
type Exchange struct {
	Sent     int64 // here, before the probe was written (T1)
	Got      int64 // there, after the probe was read (T2)
	Answered int64 // there, before the answer was written (T3)
	Returned int64 // here, after the answer was read (T4)
}

// RoundTrip returns the time on the way, there and back.
func (e Exchange) RoundTrip() time.Duration {
	return time.Duration((e.Returned - e.Sent) - (e.Answered - e.Got))
}

// DefaultRate is the most by which two clocks may gain on each other: quartz
// oscillators are within 100 ppm of each other, and a kernel that follows a time
// server corrects its clock by at most 500 ppm (adjtimex(2), MAXFREQ).
const DefaultRate = 500e-6

// Resolution is what a reading of a clock may be off by itself: no clock that
// is used here ticks more coarsely.
const Resolution = 100 * time.Nanosecond

// Least is how many exchanges a mapping takes.
const Least = 4

// span bounds instants, so that no difference overflows: 52 days.
const span = int64(1) << 52

// Errors of Fit. Latencies across clocks that give one are INCONCLUSIVE(CLK).
var (
	// ErrFew says that there are fewer than Least exchanges.
	ErrFew = errors.New("too few exchanges between the clocks")
	// ErrUnsteady says that no straight line lies between the bounds: a clock was
	// stepped, stopped or does not run steadily.
	ErrUnsteady = errors.New("the clocks do not run steadily beside each other")
	// ErrImpossible says that an exchange cannot have taken place as stamped.
	ErrImpossible = errors.New("impossible stamps")
)

// Map turns instants of the remote clock into local ones. It is immutable and
// safe for concurrent use.
type Map struct {
	base      Exchange // origin of the plane in which the hulls lie
	rate      float64
	offset    float64 // of the line at base.Got, ns local less remote, beside that of base
	drift     float64 // of the line
	low, high float64 // bounds of the drift
	lower     envelope
	upper     envelope
	trip      time.Duration // least round trip
	n         int
}

// Fit finds the mapping from exchanges in any order, taken over the whole time
// that is to be mapped. Rate is the most by which the clocks gain on each other,
// as a fraction; 0 means DefaultRate. Errors wrap ErrFew, ErrUnsteady or
// ErrImpossible.
func Fit(exchanges []Exchange, rate float64) (*Map, error) {
	if rate == 0 {
		rate = DefaultRate
	}
	if !(rate > 0 && rate < 0.1) {
		return nil, fmt.Errorf("clocks: rate bound %v is not between 0 and 0.1", rate)
	}
	if len(exchanges) < Least {
		return nil, fmt.Errorf("clocks: %w: %d, a mapping takes %d", ErrFew, len(exchanges), Least)
	}
	sorted := slices.Clone(exchanges)
	slices.SortFunc(sorted, func(a, b Exchange) int { return cmp.Or(cmp.Compare(a.Got, b.Got), cmp.Compare(a.Sent, b.Sent)) })
	m := &Map{base: sorted[0], rate: rate, n: len(sorted), trip: sorted[0].RoundTrip()}
	for _, e := range sorted {
		if err := m.possible(e); err != nil {
			return nil, err
		}
		m.trip = min(m.trip, e.RoundTrip())
	}
	lower, upper := m.bounds(sorted)
	c := corridor{lower: upperHull(lower), upper: lowerHull(upper)}
	var err error
	if m.low, m.high, err = c.drifts(rate); err != nil {
		return nil, m.explain(err)
	}
	m.drift = m.low + float64((m.high-m.low)/2)
	floor, ceiling := c.lower.highest(m.drift), c.upper.lowest(m.drift)
	m.offset = (floor.above(m.drift) + ceiling.above(m.drift)) / 2
	m.lower, m.upper = newEnvelope(lower, rate, 1), newEnvelope(upper, rate, -1)
	return m, nil
}

// possible refuses stamps that no exchange leaves.
func (m *Map) possible(e Exchange) error {
	for _, t := range []int64{e.Sent, e.Got, e.Answered, e.Returned} {
		if t < -span || t > span {
			return fmt.Errorf("clocks: %w: %+v lies outside of ±%v", ErrImpossible, e, time.Duration(span))
		}
	}
	if e.Returned < e.Sent || e.Answered < e.Got {
		return fmt.Errorf("clocks: %w: %+v ends before it began", ErrImpossible, e)
	}
	return nil
}

// bounds turns exchanges into points of the plane: the remote instant, and what
// the offset is at least (lower) or at most (upper) there.
func (m *Map) bounds(exchanges []Exchange) (lower, upper []point) {
	const reading = float64(Resolution) / 2
	origin := m.base.Sent - m.base.Got
	for _, e := range exchanges {
		lower = append(lower, point{float64(e.Got - m.base.Got), float64(e.Sent-e.Got-origin) - reading})
		upper = append(upper, point{float64(e.Answered - m.base.Got), float64(e.Returned-e.Answered-origin) + reading})
	}
	slices.SortStableFunc(upper, func(a, b point) int { return cmp.Compare(a.x, b.x) })
	return lower, upper
}

// explain words why there is no line between the bounds.
func (m *Map) explain(err error) error {
	var crossed *crossing
	if !errors.As(err, &crossed) {
		return err
	}
	at := func(p point) time.Duration { return time.Duration(int64(p.x) + m.base.Got) }
	return fmt.Errorf("clocks: %w: by the exchanges at %v and %v of the remote clock no offset that changes by at most %.0f ppm is possible; "+
		"what lies between them is %v (a step, a suspended machine, or a clock that is being corrected)",
		ErrUnsteady, at(crossed.lower).Round(time.Microsecond), at(crossed.upper).Round(time.Microsecond), m.rate*1e6,
		time.Duration(crossed.depth).Round(time.Microsecond))
}

// Local returns the local instant that a remote one most probably was. It keeps
// the order of instants.
func (m *Map) Local(remote int64) int64 {
	remote = min(max(remote, -span), span)
	return remote + (m.base.Sent - m.base.Got) + int64(m.line(float64(remote-m.base.Got)))
}

func (m *Map) line(x float64) float64 { return m.offset + float64(m.drift*x) }

// Uncertainty returns how far Local of that remote instant may be off, either way.
func (m *Map) Uncertainty(remote int64) time.Duration {
	x := float64(min(max(remote, -span), span) - m.base.Got)
	at := m.line(x)
	return time.Duration(max(m.upper.at(x)-at, at-m.lower.at(x), 0)) + Resolution
}

// Offset returns the least and the largest possible difference, local less
// remote, at a remote instant.
func (m *Map) Offset(remote int64) (low, high time.Duration) {
	remote = min(max(remote, -span), span)
	x, origin := float64(remote-m.base.Got), m.base.Sent-m.base.Got
	return time.Duration(origin + int64(m.lower.at(x)) - 1), time.Duration(origin + int64(m.upper.at(x)) + 1)
}

// Drift returns the least and the largest rate, as a fraction, at which a
// steady local clock can gain on the remote one.
func (m *Map) Drift() (low, high float64) { return m.low, m.high }

// RoundTrip returns the least round trip among the exchanges.
func (m *Map) RoundTrip() time.Duration { return m.trip }

// Exchanges returns how many exchanges the mapping rests on.
func (m *Map) Exchanges() int { return m.n }
