// Package hdr counts latencies in the buckets of an HdrHistogram and writes them
// in the two forms that the tools of HdrHistogram read: the V2 encoding of a
// histogram and the log of intervals.
//
// All histograms are of one make: values are nanoseconds from 0 to an hour with
// three significant digits, so that any two of them can be added. The encoding is
// the same on every machine and by every version of Go: what the format wants
// compressed is stored in a zlib stream without compression, which every reader
// takes.
package hdr

import (
	"math"
	"math/bits"
	"time"
)

// The make of the histograms.
const (
	Lowest  = time.Nanosecond // the smallest difference between two values that is kept
	Highest = time.Hour       // what is later, lost messages among it, is counted here
	Digits  = 3               // significant decimal digits
)

const (
	subBits = 11 // 2¹¹ is the least power of two that holds 2·10^Digits
	half    = 1 << (subBits - 1)
)

// maxSlots is how many slots values up to Highest take.
var maxSlots = slotOf(int64(Highest)) + 1

// Histogram counts durations. The zero value is empty and ready to use; it is not
// safe for concurrent use. It takes up to 270 kB.
type Histogram struct {
	counts []int64
	n      int64
}

// Record counts one duration. A negative one, which only clocks that disagree
// give, counts as 0, and one above Highest as Highest.
func (h *Histogram) Record(d time.Duration) {
	slot := slotOf(int64(min(max(d, 0), Highest)))
	if slot >= len(h.counts) {
		h.counts = append(h.counts, make([]int64, slot+1-len(h.counts))...)
	}
	h.counts[slot]++
	h.n++
}

// Count returns how many durations were counted.
func (h *Histogram) Count() int64 { return h.n }

// Quantile returns the q-quantile, the ⌈qn⌉-th smallest duration, as the largest
// that falls into the same slot: it is at most one part in a thousand above what
// was counted, and never below. It is 0 when nothing was counted.
func (h *Histogram) Quantile(q float64) time.Duration {
	rank := min(max(int64(math.Ceil(q*float64(h.n)-1e-9)), 1), h.n)
	for slot, count := range h.counts {
		if rank -= count; rank <= 0 && count > 0 {
			return time.Duration(highestIn(slot))
		}
	}
	return 0
}

// Max returns the largest duration, as Quantile(1) does.
func (h *Histogram) Max() time.Duration { return h.Quantile(1) }

// slotOf returns the slot that counts v, which is not negative. Values below 2048
// have one each, those of every following power of two share 1024.
func slotOf(v int64) int {
	shift := bits.Len64(uint64(v)|(1<<subBits-1)) - subBits
	return shift*half + int(v>>shift)
}

// highestIn returns the largest value that a slot counts.
func highestIn(slot int) int64 {
	if slot < 2*half {
		return int64(slot)
	}
	shift := slot/half - 1
	return (int64(slot-shift*half)+1)<<shift - 1
}
