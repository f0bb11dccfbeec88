package live

import (
	"math"
	"math/bits"
	"strconv"

	"plumbline/reports"
)

// A histogram counts times in buckets of which each is a 32nd of an octave wide, so
// that what it says is off by at most 1.6 %. Below fine they are 32 ns wide.
const (
	perOctave = 32
	fine      = 1 << 10                   // ns
	octaves   = 31                        // above fine: up to 36 min
	buckets   = perOctave * (octaves + 1) //
	shift     = 10 - 5                    // from fine to perOctave
	longest   = int64(fine<<octaves - 1)  // ns
)

type histogram struct {
	n      uint64
	counts [buckets]uint32
}

func (h *histogram) add(ns int64) {
	h.n++
	h.counts[bucket(ns)]++
}

func bucket(ns int64) int {
	v := uint64(min(max(ns, 0), longest))
	if v < fine {
		return int(v >> shift)
	}
	octave := bits.Len64(v) - 11 // 0 from fine to twice fine
	return (octave+1)*perOctave + int(v>>(octave+shift))&(perOctave-1)
}

// middle returns the middle of a bucket in ns.
func middle(b int) float64 {
	if b < perOctave {
		return (float64(b) + 0.5) * (fine / perOctave)
	}
	octave := b/perOctave - 1
	width := float64(uint64(fine/perOctave) << octave)
	return float64(uint64(fine)<<octave) + (float64(b%perOctave)+0.5)*width
}

func (h *histogram) merge(other *histogram) {
	if other.n == 0 {
		return
	}
	h.n += other.n
	for i, c := range other.counts {
		h.counts[i] += c
	}
}

// quantile returns the q-quantile in milliseconds, NaN of nothing.
func (h *histogram) quantile(q float64) reports.Float {
	if h.n == 0 {
		return reports.Float(math.NaN())
	}
	rank := max(uint64(math.Ceil(q*float64(h.n))), 1)
	for i, c := range h.counts {
		if uint64(c) >= rank {
			return millis(middle(i))
		}
		rank -= uint64(c)
	}
	return reports.Float(math.NaN()) // never: the counts add up to n
}

// fired reads how often a fault acted; one that does not count says nothing.
func fired(text string) uint64 {
	n, err := strconv.ParseUint(text, 10, 64)
	if err != nil {
		return 0
	}
	return n
}
