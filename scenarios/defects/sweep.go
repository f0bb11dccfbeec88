package defects

import (
	"errors"
	"fmt"
)

// Sweep asks how small a defect may be and still be found: the limit of
// detection under the conditions of its trial.
type Sweep struct {
	ID    string // of the defect whose param is varied
	What  string
	Under string // the stimulus
	Sizes []Size // from the largest, which must be found, to ever smaller ones
}

// Size is one size of a defect.
type Size struct {
	Param string // of flawed
	Text  string
}

// sure is in how many trials of other seeds a size must be found each time.
const sure = 2

// Limit is the result of a sweep.
type Limit struct {
	ID     string `json:"id"`
	What   string `json:"what"`
	Kills  string `json:"kills"`
	Under  string `json:"under"`
	Found  string `json:"found"`            // the smallest size that was found each time; "" for none
	Missed string `json:"missed,omitempty"` // the next smaller one, that was not; "" when there was none
	Trials int    `json:"trials"`
	Date   string `json:"date"` // UTC
	Commit string `json:"commit,omitempty"`
}

// Sweeps returns the sweeps of the detection limits.
func Sweeps() []Sweep {
	return []Sweep{
		{ID: "F01", What: "share of messages dropped at random", Under: "4 s, 8 000 deliveries", Sizes: sizes(
			"250", "1 in 250", "500", "1 in 500", "1000", "1 in 1 000", "2000", "1 in 2 000", "4000", "1 in 4 000",
			"8000", "1 in 8 000", "16000", "1 in 16 000", "32000", "1 in 32 000")},
		{ID: "F24", What: "share of messages 500 ms late, where 400 ms at p99 are allowed", Under: "13 s, 20 800 deliveries", Sizes: sizes(
			"0.04/500ms", "4 %", "0.03/500ms", "3 %", "0.025/500ms", "2.5 %", "0.02/500ms", "2 %", "0.0175/500ms", "1.75 %",
			"0.015/500ms", "1.5 %", "0.0125/500ms", "1.25 %", "0.011/500ms", "1.1 %")},
		{ID: "F55", What: "slope of a leak, where 4 096 KiB/s are allowed", Under: "3.5 s at 2 000 messages/s", Sizes: sizes(
			"8192", "16 000 KiB/s", "6144", "12 000 KiB/s", "5120", "10 000 KiB/s", "4096", "8 000 KiB/s", "3584", "7 000 KiB/s",
			"3072", "6 000 KiB/s", "2560", "5 000 KiB/s", "2304", "4 500 KiB/s")},
		{ID: "F60", What: "time since it was last heard for which a silent viewer is kept, where 5 s of silence are allowed", Under: "1 black hole", Sizes: sizes(
			"12s", "12 s", "10s", "10 s", "8s", "8 s", "7s", "7 s", "6500ms", "6.5 s", "6s", "6 s", "5500ms", "5.5 s", "5200ms", "5.2 s")},
	}
}

// sizes makes sizes of params and texts in turn.
func sizes(pairs ...string) (all []Size) {
	for i := 0; i+1 < len(pairs); i += 2 {
		all = append(all, Size{Param: pairs[i], Text: pairs[i+1]})
	}
	return all
}

// Search halves the sizes until the smallest that is found stands beside the
// largest that is not. found runs one trial of a size; n counts all trials from 0.
func (s Sweep) Search(found func(size Size, n int) (bool, error)) (Limit, error) {
	d, known := Find(s.ID)
	if !known || len(s.Sizes) == 0 {
		return Limit{}, fmt.Errorf("defects: sweep of %q: %w", s.ID, errNoSweep)
	}
	l := Limit{ID: s.ID, What: s.What, Kills: d.Kills, Under: s.Under}
	always := func(size Size) (bool, error) {
		for range sure {
			l.Trials++
			if was, err := found(size, l.Trials-1); err != nil || !was {
				return false, err
			}
		}
		return true, nil
	}
	low, high := -1, len(s.Sizes) // found, and not found
	for next := 0; high-low > 1; next = (low + high) / 2 {
		was, err := always(s.Sizes[next])
		if err != nil {
			return l, fmt.Errorf("defects: sweep of %s at %s: %w", s.ID, s.Sizes[next].Text, err)
		}
		if was {
			low = next
		} else {
			high = next
		}
	}
	if low >= 0 {
		l.Found = s.Sizes[low].Text
	}
	if high < len(s.Sizes) {
		l.Missed = s.Sizes[high].Text
	}
	return l, nil
}

var errNoSweep = errors.New("there is no such defect, or no size of it")
