package render

import (
	"fmt"
	"math"
	"sort"
	"strings"

	"plumbline/reports"
)

// mode is a peak of a distribution: a latency that many messages took, such as that
// of a timer or of a delayed acknowledgement.
type mode struct {
	At    float64 // ms, the middle of its highest bucket
	Share float64 // of all messages that came: those between the valleys beside it
}

const (
	maxModes  = 5
	leastMode = 0.001 // share of the messages below which a peak is noise
	valley    = 0.5   // how deep the counts must fall between two peaks, of the lower one
)

// modesOf finds the peaks of the histogram, the lowest latency first. Counts are
// smoothed over three buckets; a peak stands out when the counts fall to half of it
// on both sides before a higher one begins.
func modesOf(d reports.Distribution) []mode {
	counts, total := smoothed(d.Buckets)
	if total == 0 {
		return nil
	}
	var tops []int
	for i, n := range counts {
		if n > 0 && outstanding(counts, i) {
			tops = append(tops, i)
		}
	}
	out := make([]mode, 0, len(tops))
	for k, top := range tops {
		from, to := 0, len(counts)
		if k > 0 {
			from = lowest(counts, tops[k-1], top)
		}
		if k+1 < len(tops) {
			to = lowest(counts, top, tops[k+1])
		}
		share := 0.0
		for _, b := range d.Buckets[from:to] {
			share += float64(b.Count) / total
		}
		if share >= leastMode && share*total >= 3 {
			out = append(out, mode{At: middle(d.Buckets[top]), Share: share})
		}
	}
	sort.SliceStable(out, func(i, j int) bool { return out[i].Share > out[j].Share })
	out = out[:min(len(out), maxModes)]
	sort.SliceStable(out, func(i, j int) bool { return out[i].At < out[j].At })
	return out
}

func smoothed(buckets []reports.Bucket) (counts []float64, total float64) {
	counts = make([]float64, len(buckets))
	for i, b := range buckets {
		total += float64(b.Count)
		counts[i] = 2 * float64(b.Count)
		if i > 0 {
			counts[i] += float64(buckets[i-1].Count)
		}
		if i+1 < len(buckets) {
			counts[i] += float64(buckets[i+1].Count)
		}
	}
	return counts, total
}

// outstanding reports whether on both sides of i the counts fall to the valley share
// before they exceed it again; of equal tops the first counts.
func outstanding(counts []float64, i int) bool {
	for step := -1; step <= 1; step += 2 {
		for k := i + step; k >= 0 && k < len(counts); k += step {
			if counts[k] > counts[i] || (counts[k] == counts[i] && step < 0) {
				return false
			}
			if counts[k] <= valley*counts[i] {
				break
			}
		}
	}
	return true
}

// lowest returns the index of the deepest valley in (from, to).
func lowest(counts []float64, from, to int) int {
	at := to
	for i := from + 1; i < to; i++ {
		if counts[i] < counts[at] || at == to {
			at = i
		}
	}
	return at
}

// middle is the geometric middle of a bucket.
func middle(b reports.Bucket) float64 {
	if b.Low <= 0 {
		return b.High / 2
	}
	return math.Sqrt(b.Low * b.High)
}

// modesText says where the peaks are; "" when there is none.
func modesText(modes []mode) string {
	if len(modes) == 0 {
		return ""
	}
	parts := make([]string, len(modes))
	for i, m := range modes {
		parts[i] = fmt.Sprintf("%s ms (%s %% of the messages)", twoFigures(m.At), twoFigures(100*m.Share))
	}
	if len(parts) == 1 {
		return "One mode, near " + parts[0] + "."
	}
	return fmt.Sprintf("%d modes, near %s.", len(parts), strings.Join(parts, ", "))
}

// twoFigures prints what is not known better: a bucket is a tenth wide.
func twoFigures(v float64) string {
	if v <= 0 || math.IsInf(v, 0) || math.IsNaN(v) {
		return number(v)
	}
	scale := math.Pow(10, 1-math.Floor(math.Log10(v)))
	return number(math.Round(v*scale) / scale)
}
