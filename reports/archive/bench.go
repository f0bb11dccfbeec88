package archive

import (
	"math"
	"strings"
)

// bench tells what of machine and rig changed from run to run, so that a drift of the
// equipment is not held against the system (metrology 2.5, History).
type bench struct {
	runs   []Record
	place  map[string]int // id → index
	slower map[int]float64
}

// floorShare is which part of a change of a latency the noise floor of the rig must
// have changed by, so that it may explain it.
const floorShare = 0.5

func newBench(runs []Record) bench {
	b := bench{runs: runs, place: map[string]int{}, slower: map[int]float64{}}
	var floors []float64
	var at []int
	for i := range runs {
		b.place[runs[i].ID] = i
		if f := runs[i].Floor; f > 0 && !math.IsInf(f, 0) {
			floors, at = append(floors, f), append(at, i)
		}
	}
	for _, c := range changes(floors, 0) {
		b.slower[at[c.at]] = c.after/c.before - 1
	}
	return b
}

// changed says what beside the system changed with a run, or one of its neighbours,
// since a change-point is known to a run only; "" when nothing did. The noise floor
// counts for latencies only.
func (b bench) changed(run, unit string, share float64) string {
	at := b.place[run]
	var parts []string
	for i := max(at-1, 1); i <= min(at+1, len(b.runs)-1); i++ {
		parts = append(parts, machineDiffers(&b.runs[i-1], &b.runs[i])...)
	}
	if unit == "ms" && share > 0 {
		for i := at - minSide; i <= at+minSide; i++ {
			if b.slower[i] >= floorShare*share {
				parts = append(parts, "the null bridge of the rig became slower too")
			}
		}
	}
	return strings.Join(parts, "; ")
}
