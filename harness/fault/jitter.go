package fault

import (
	"fmt"
	"math"
	"math/rand/v2"
	"time"
)

// Shape is a distribution of delays.
type Shape uint8

// The shapes.
const (
	Uniform Shape = iota // evenly from [0, spread]
	Normal               // the amount of a normal deviate with standard deviation spread, at most 4 spread
	Tailed               // Pareto with α = 1.5 less its least value: half are below 0.6 spread, one in a hundred above 20 spread; at most 50 spread
)

// String implements fmt.Stringer.
func (s Shape) String() string {
	if names := [...]string{"uniform", "normal", "tailed"}; int(s) < len(names) {
		return names[s]
	}
	return fmt.Sprintf("shape %d", uint8(s))
}

// most is the largest delay of a shape, in spreads.
func (s Shape) most() float64 { return [...]float64{1, 4, 50}[s] }

// draw returns a delay in spreads.
func (s Shape) draw(rnd *rand.Rand) float64 {
	x := 0.0
	switch s {
	case Uniform:
		x = rnd.Float64()
	case Normal:
		x = math.Abs(rnd.NormFloat64())
	case Tailed:
		x = math.Pow(1-rnd.Float64(), -1/1.5) - 1
	}
	return min(x, s.most())
}

// LatencyFault delays data by delay plus a draw from [0, jitter], keeping its
// order. Delays run side by side: they add to the latency and take nothing
// from the rate. Times that are negative or both 0 cannot be injected.
func (p *Proxy) LatencyFault(dir Direction, delay, jitter time.Duration, seed uint64) Fault {
	name := fmt.Sprintf("TCP latency %v + [0, %v] %s (seed %d)", delay, jitter, dir, seed)
	return p.slowFault(name, dir, delay, jitter, Uniform, seed)
}

// JitterFault delays data by delay plus draws of a shape, as LatencyFault does.
// A stream keeps its order, so whatever comes behind a late piece is late, too.
func (p *Proxy) JitterFault(dir Direction, shape Shape, delay, spread time.Duration, seed uint64) Fault {
	name := fmt.Sprintf("TCP jitter %v + %v %v %s (seed %d)", delay, shape, spread, dir, seed)
	return p.slowFault(name, dir, delay, spread, shape, seed)
}

func (p *Proxy) slowFault(name string, dir Direction, delay, spread time.Duration, shape Shape, seed uint64) Fault {
	return p.shape(name, dir,
		func(l *lane) error {
			if shape > Tailed {
				return fmt.Errorf("%v is none of uniform, normal and tailed", shape)
			}
			if delay < 0 || spread < 0 || delay+spread == 0 {
				return fmt.Errorf("a delay of %v and a jitter of %v delay nothing; give one of them, and neither negative", delay, spread)
			}
			if limit := time.Hour; delay > limit || time.Duration(shape.most())*min(spread, limit) > limit {
				return fmt.Errorf("a delay of %v and a jitter of %v may take more than %v; nothing would arrive", delay, spread, limit)
			}
			var jitter func(*rand.Rand) time.Duration
			if spread > 0 {
				jitter = func(rnd *rand.Rand) time.Duration { return time.Duration(shape.draw(rnd) * float64(spread)) }
			}
			l.slow(delay, jitter, seed)
			return nil
		}, func(l *lane) { l.slow(0, nil, 0) })
}
