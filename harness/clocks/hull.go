package clocks

import (
	"fmt"
	"sort"
)

// point is a bound of the offset (y, ns) at a remote instant (x, ns).
type point struct{ x, y float64 }

// above returns where the line of that slope through p passes the origin.
// Products are rounded before they are added, so that no platform fuses the two
// and every one computes the same mapping.
func (p point) above(slope float64) float64 { return p.y - float64(slope*p.x) }

// hull is a convex chain of points with ascending x.
type hull []point

// upperHull returns the upper hull of points with ascending x: the slopes of
// its edges fall.
func upperHull(points []point) hull {
	return chain(points, func(a, b, c point) bool { return cross(a, b, c) >= 0 }, func(old, new float64) bool { return new > old })
}

// lowerHull returns the lower hull: the slopes of its edges rise.
func lowerHull(points []point) hull {
	return chain(points, func(a, b, c point) bool { return cross(a, b, c) <= 0 }, func(old, new float64) bool { return new < old })
}

// chain is Andrew's monotone chain: b is dropped when it lies within the chain
// from a to c, and of two points with one x the better one stays.
func chain(points []point, within func(a, b, c point) bool, better func(old, new float64) bool) hull {
	var h hull
	for _, p := range points {
		if n := len(h); n > 0 && h[n-1].x == p.x {
			if !better(h[n-1].y, p.y) {
				continue
			}
			h = h[:n-1]
		}
		for len(h) >= 2 && within(h[len(h)-2], h[len(h)-1], p) {
			h = h[:len(h)-1]
		}
		h = append(h, p)
	}
	return h
}

// cross is positive when c lies to the left of the way from a to b.
func cross(a, b, c point) float64 {
	return float64((b.x-a.x)*(c.y-a.y)) - float64((b.y-a.y)*(c.x-a.x))
}

// slope returns that of the edge from point i to the next.
func (h hull) slope(i int) float64 { return (h[i+1].y - h[i].y) / (h[i+1].x - h[i].x) }

// highest returns the point of an upper hull that a line of that slope touches
// when it comes down from above.
func (h hull) highest(slope float64) point {
	return h[sort.Search(len(h)-1, func(i int) bool { return h.slope(i) <= slope })]
}

// lowest is highest for a lower hull and a line that comes up from below.
func (h hull) lowest(slope float64) point {
	return h[sort.Search(len(h)-1, func(i int) bool { return h.slope(i) >= slope })]
}

// corridor is what two hulls leave for a straight line: above the upper hull of
// the lower bounds, below the lower hull of the upper ones.
type corridor struct{ lower, upper hull }

// crossing says that the corridor is closed, and between which two bounds.
type crossing struct {
	lower, upper point
	depth        float64 // ns by which the lower one is too high
}

// Error implements error.
func (c *crossing) Error() string {
	return fmt.Sprintf("bounds cross by %.0f ns", c.depth)
}

// drifts returns the least and the largest slope, within ±rate, of a line in
// the corridor; the error is a *crossing.
func (c corridor) drifts(rate float64) (low, high float64, err error) {
	if high, err = c.extreme(rate, 1); err != nil {
		return 0, 0, err
	}
	low, err = c.extreme(-rate, -1)
	return min(low, high), high, err
}

// extreme walks from a slope towards the nearest one that a line in the
// corridor can have: down when way is 1, up when it is −1. The room between the
// touching lines is a concave function of the slope made of straight pieces, one
// for each point of the hulls at most, so that Newton's method never steps too far
// and ends.
func (c corridor) extreme(slope float64, way float64) (float64, error) {
	for range len(c.lower) + len(c.upper) {
		l, u := c.lower.highest(slope), c.upper.lowest(slope)
		depth := l.above(slope) - u.above(slope)
		if depth <= 0 {
			return slope, nil
		}
		ahead := way * (u.x - l.x) // what a step along the way opens
		if ahead <= 0 {
			return 0, &crossing{lower: l, upper: u, depth: depth}
		}
		next := (u.y - l.y) / (u.x - l.x)
		if way*next >= way*slope {
			return slope, nil // they touch, but for rounding
		}
		slope = next
	}
	return slope, nil // likewise
}

// envelope bounds the offset anywhere from bounds at instants, when it changes
// by no more than rate: the best of all bounds, each relaxed by its distance.
type envelope struct {
	rate   float64
	sign   float64   // 1 for lower bounds, of which the highest counts; −1 for upper ones
	x      []float64 // ascending
	before []float64 // best of those up to here, as seen from x = 0
	after  []float64 // best of those from here on, likewise
}

func newEnvelope(points []point, rate, sign float64) envelope {
	n := len(points)
	e := envelope{rate: rate, sign: sign, x: make([]float64, n), before: make([]float64, n), after: make([]float64, n)}
	for i, p := range points {
		e.x[i] = p.x
		e.before[i] = float64(sign*p.y) + float64(rate*p.x)
		e.after[i] = float64(sign*p.y) - float64(rate*p.x)
		if i > 0 {
			e.before[i] = max(e.before[i], e.before[i-1])
		}
	}
	for i := n - 2; i >= 0; i-- {
		e.after[i] = max(e.after[i], e.after[i+1])
	}
	return e
}

// at returns the bound at an instant.
func (e envelope) at(x float64) float64 {
	next := sort.SearchFloat64s(e.x, x)
	switch {
	case next == 0:
		return e.sign * (e.after[0] + float64(e.rate*x))
	case next == len(e.x):
		return e.sign * (e.before[next-1] - float64(e.rate*x))
	default:
		return e.sign * max(e.before[next-1]-float64(e.rate*x), e.after[next]+float64(e.rate*x))
	}
}
