package archive

import (
	"math"
	"math/rand/v2"
	"slices"
)

// How change-points are found. The statistic is that of E-divisive means (Matteson
// and James 2014, with the distance |x−y|): the split of a stretch of runs whose two
// sides differ most. As in Hunter (now Apache Otava) runs come one after the other:
// each new one is looked at together with those since the last change-point. The
// significance is that of a permutation test with a fixed seed, so that nothing is
// assumed about how figures are distributed. A system has some thirty figures and is
// looked at after every run, so MaxChance is of one look at one figure: of stationary
// series that are looked at after each of 60 runs, less than one in a hundred ever
// shows a change-point.
const (
	MinRuns   = 16   // runs of a series before anything can be told: fewer have too few orders
	MinStep   = 0.05 // a change at least, as a share of the level before; and at least U of the figure
	MaxChance = 0.0002

	window       = 60 // newest runs since the last change-point that are looked at
	minSide      = 3  // runs on each side of a change-point
	permutations = 9999
	allowed      = 1 // permutations that may split as well: (1+1)/(9999+1) is MaxChance
	permuteSeed  = 0x706c756d62
)

// change is a change-point: at is the first run after it.
type change struct {
	at            int
	before, after float64 // medians of the stretches on both sides
	chance        float64 // of splitting as well in a random order
}

// changes returns the change-points of values in the order of runs, each at least
// MinStep and guard in size. values may hold +Inf, and no NaN. What it finds in the
// first runs of a series it finds whatever comes after, except that the place of a
// change-point may move by some runs while its stretch is short.
func changes(values []float64, guard float64) []change {
	return changesBy(rand.NewPCG(permuteSeed, uint64(len("runs"))), values, guard)
}

// changesBy is changes with the source of its random orders.
func changesBy(source rand.Source, values []float64, guard float64) []change {
	var out []change
	start := 0
	rng := rand.New(source) //nolint:gosec // reproducible draws, not secrets
	for end := 1; end <= len(values); end++ {
		if n := len(out); n > 0 && end-start <= 2*minSide+minSide {
			start = settle(values, out, start, end)
		}
		from := max(start, end-window)
		if end-from < 2*minSide || start == 0 && end < MinRuns {
			continue
		}
		d := distances(scaled(values[from:end]))
		split, seen := d.best(identity(d.n))
		if !(seen > 0) {
			continue
		}
		c := change{at: from + split, before: middle(values[from : from+split]), after: middle(values[from+split : end])}
		if math.Abs(c.after-c.before) < leastStep(c.before, guard) || c.after == c.before {
			continue // whatever its chance: one that is real takes all permutations, at every end from here on
		}
		if c.chance = d.chance(seen, rng); c.chance > MaxChance {
			continue
		}
		out = append(out, c)
		start = c.at
	}
	for i := range out {
		from, to := 0, len(values)
		if i > 0 {
			from = out[i-1].at
		}
		if i+1 < len(out) {
			to = out[i+1].at
		}
		out[i].before, out[i].after = middle(values[from:out[i].at]), middle(values[out[i].at:to])
	}
	return out
}

// settle places the last change-point anew now that more runs follow it, and returns
// where its stretch begins.
func settle(values []float64, found []change, start, end int) int {
	last := &found[len(found)-1]
	from := 0
	if len(found) > 1 {
		from = found[len(found)-2].at
	}
	from = max(from, end-window)
	if end-from < 2*minSide {
		return start
	}
	d := distances(scaled(values[from:end]))
	split, _ := d.best(identity(end - from))
	if at := from + split; at > from && math.Abs(float64(at-last.at)) <= minSide {
		last.at = at
	}
	return last.at
}

// leastStep is the size of the smallest change that counts.
func leastStep(level, guard float64) float64 {
	if math.IsInf(level, 0) {
		return guard
	}
	return max(MinStep*math.Abs(level), guard)
}

// chance returns the share of random orders that split as well as seen, the statistic
// of the best split. It stops counting once that share is above MaxChance.
func (p pairs) chance(seen float64, rng *rand.Rand) float64 {
	order, as := identity(p.n), 0
	for i := range permutations {
		rng.Shuffle(len(order), func(a, b int) { order[a], order[b] = order[b], order[a] })
		if _, q := p.best(order); q >= seen*(1-1e-12) {
			if as++; as > allowed {
				return float64(as+1) / float64(i+2)
			}
		}
	}
	return float64(as+1) / float64(permutations+1)
}

// pairs are the distances between all values.
type pairs struct {
	n   int
	d   []float64 // n × n
	row []float64 // sums over rows
}

func distances(values []float64) pairs {
	p := pairs{n: len(values), d: make([]float64, len(values)*len(values)), row: make([]float64, len(values))}
	for i, a := range values {
		for j, b := range values {
			p.d[i*p.n+j] = math.Abs(a - b)
			p.row[i] += math.Abs(a - b)
		}
	}
	return p
}

// best returns the split of the values in an order whose sides differ most, by the
// energy statistic nm/(n+m)·(2·E|X−Y| − E|X−X'| − E|Y−Y'|), and that statistic.
func (p pairs) best(order []int) (split int, statistic float64) {
	within, across, beyond := 0.0, 0.0, 0.0 // sums over pairs on the left, between, on the right
	for _, sum := range p.row {
		beyond += sum / 2
	}
	for k, item := range order {
		row, toLeft := p.d[item*p.n:(item+1)*p.n], 0.0
		for _, other := range order[:k] {
			toLeft += row[other]
		}
		toRight := p.row[item] - toLeft
		within, across, beyond = within+toLeft, across+toRight-toLeft, beyond-toRight
		left := k + 1
		right := p.n - left
		if left < minSide || right < minSide {
			continue
		}
		n, m := float64(left), float64(right)
		q := n * m / (n + m) * (2*across/(n*m) - 2*within/(n*(n-1)) - 2*beyond/(m*(m-1)))
		if q > statistic {
			split, statistic = left, q
		}
	}
	return split, statistic
}

func identity(n int) []int {
	order := make([]int, n)
	for i := range order {
		order[i] = i
	}
	return order
}

// scaled prepares figures for distances: logarithms where all are above 0, because
// figures spread by shares, and what never came lies beyond everything that did.
func scaled(values []float64) []float64 {
	out := slices.Clone(values)
	most, positive := 0.0, true
	for _, v := range out {
		positive = positive && v > 0
		if !math.IsInf(v, 0) {
			most = max(most, math.Abs(v))
		}
	}
	for i, v := range out {
		if math.IsInf(v, 0) {
			out[i] = math.Copysign(10*most+1, v)
		}
		if positive {
			out[i] = math.Log(out[i])
		}
	}
	return out
}

// middle is the median, which of two middle values is their mean.
func middle(values []float64) float64 {
	if len(values) == 0 {
		return math.NaN()
	}
	sorted := slices.Sorted(slices.Values(values))
	a, b := sorted[(len(sorted)-1)/2], sorted[len(sorted)/2]
	if a == b {
		return a // also for two infinities
	}
	return (a + b) / 2
}
