package clocks

import (
	"encoding/binary"
	"errors"
	"math"
	"math/rand/v2"
	"slices"
	"testing"
	"time"
)

// slopes returns the bounds of the slope of a line above all lower and below
// all upper points, from every pair of them. Their corridor is open when the
// bounds do not cross and no lower point lies above an upper one at its side.
func slopes(lower, upper []point, rate float64) (low, high float64, open bool) {
	low, high, open = -rate, rate, true
	for _, l := range lower {
		for _, u := range upper {
			switch s := (u.y - l.y) / (u.x - l.x); {
			case u.x > l.x:
				high = min(high, s)
			case u.x < l.x:
				low = max(low, s)
			case u.y < l.y:
				open = false
			}
		}
	}
	return low, high, open && low <= high
}

func cloud(rnd *rand.Rand, n int, slope, gap, noise float64) (lower, upper []point) {
	for range n {
		x := math.Round(rnd.Float64() * 1e10)
		lower = append(lower, point{x, slope*x - gap/2 - math.Round(rnd.ExpFloat64()*noise)})
		x = math.Round(rnd.Float64() * 1e10)
		upper = append(upper, point{x, slope*x + gap/2 + math.Round(rnd.ExpFloat64()*noise)})
	}
	byX := func(a, b point) int { return int(a.x - b.x) }
	slices.SortStableFunc(lower, byX)
	slices.SortStableFunc(upper, byX)
	return lower, upper
}

// The hulls give what every pair of points gives.
func TestDriftsAreThoseOfAllPairs(t *testing.T) {
	const rate = 500e-6
	opened, closed := 0, 0
	for seed := range uint64(2000) {
		rnd := rand.New(rand.NewPCG(seed, 2))
		gap := (rnd.Float64() - 0.2) * 1e5
		lower, upper := cloud(rnd, 1+rnd.IntN(60), (rnd.Float64()-0.5)*1100e-6, gap, 1e5)
		wantLow, wantHigh, open := slopes(lower, upper, rate)
		low, high, err := corridor{upperHull(lower), lowerHull(upper)}.drifts(rate)
		if open != (err == nil) {
			if math.Abs(wantHigh-wantLow) > 1e-12 { // else it is a matter of rounding
				t.Fatalf("seed %d: open is %v, all pairs give [%v, %v], the hulls %v", seed, open, wantLow, wantHigh, err)
			}
			continue
		}
		if err != nil {
			closed++
			continue
		}
		opened++
		if math.Abs(low-wantLow) > 1e-12 || math.Abs(high-wantHigh) > 1e-12 {
			t.Fatalf("seed %d: [%v, %v], all pairs give [%v, %v]", seed, low, high, wantLow, wantHigh)
		}
	}
	if opened < 200 || closed < 200 {
		t.Errorf("%d corridors were open, %d closed: the clouds exercise too little", opened, closed)
	}
}

// Envelopes give what every point gives.
func TestEnvelopesAreThoseOfAllPoints(t *testing.T) {
	const rate = 500e-6
	for seed := range uint64(300) {
		rnd := rand.New(rand.NewPCG(seed, 3))
		lower, upper := cloud(rnd, 1+rnd.IntN(60), 0, 1e5, 1e5)
		below, above := newEnvelope(lower, rate, 1), newEnvelope(upper, rate, -1)
		for range 100 {
			x := (rnd.Float64()*1.4 - 0.2) * 1e10
			if rnd.IntN(4) == 0 {
				x = lower[rnd.IntN(len(lower))].x
			}
			low, high := math.Inf(-1), math.Inf(1)
			for _, p := range lower {
				low = max(low, p.y-rate*math.Abs(x-p.x))
			}
			for _, p := range upper {
				high = min(high, p.y+rate*math.Abs(x-p.x))
			}
			if math.Abs(below.at(x)-low) > 1e-3 || math.Abs(above.at(x)-high) > 1e-3 {
				t.Fatalf("seed %d: [%v, %v] at %v, all points give [%v, %v]", seed, below.at(x), above.at(x), x, low, high)
			}
		}
	}
}

// Whatever the stamps: a mapping that is given contradicts no exchange, and
// what is refused says why.
func FuzzFit(f *testing.F) {
	f.Add([]byte("a clock here and a clock there, and what they tell of each other......."), uint8(0))
	f.Add(make([]byte, 256), uint8(3))
	f.Fuzz(func(t *testing.T, data []byte, scale uint8) {
		var all []Exchange
		for ; len(data) >= 8 && len(all) < 400; data = data[8:] {
			word := func(i int) int64 { return int64(int16(binary.LittleEndian.Uint16(data[2*i:]))) << (scale % 44) }
			sent, got := word(0), word(1)
			all = append(all, Exchange{Sent: sent, Got: got, Answered: got + word(2), Returned: sent + word(3)})
		}
		m, err := Fit(all, 0)
		if err != nil {
			if !errors.Is(err, ErrFew) && !errors.Is(err, ErrUnsteady) && !errors.Is(err, ErrImpossible) {
				t.Fatal(err)
			}
			return
		}
		for _, e := range all {
			slack := Resolution + time.Duration(math.Abs(float64(e.Got))*1e-9)
			if early := time.Duration(e.Sent - m.Local(e.Got)); early > slack {
				t.Errorf("%+v: read %v before it was sent", e, early)
			}
			if late := time.Duration(m.Local(e.Answered) - e.Returned); late > slack {
				t.Errorf("%+v: answered %v after the answer was there", e, late)
			}
			if u := m.Uncertainty(e.Got); u < Resolution {
				t.Errorf("uncertainty %v", u)
			}
		}
	})
}
