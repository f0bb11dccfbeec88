package oracle

// arrivals holds when each message of a stream first came to a viewer. It takes
// room for the positions between the first and the last that came, not for the
// whole stream: thousands of viewers come for a handful of messages each.
type arrivals struct {
	base uint64  // at[0] is of position base+1
	at   []int64 // 0 where the message never came
}

// of returns the first arrival of a position, 0 when it never came.
func (a *arrivals) of(seq uint64) int64 {
	if seq <= a.base || seq-a.base > uint64(len(a.at)) {
		return 0
	}
	return a.at[seq-a.base-1]
}

// set enters the first arrival of a position, which counts from 1.
func (a *arrivals) set(seq uint64, at int64) {
	if len(a.at) == 0 {
		a.base = seq - 1
	}
	if seq <= a.base {
		a.lower(seq)
	}
	if n := seq - a.base; n > uint64(len(a.at)) {
		a.at = append(a.at, make([]int64, n-uint64(len(a.at)))...)
	}
	a.at[seq-a.base-1] = at
}

// lower makes room for a position before the first, and for as many again as
// there are, so that arrivals from the newest to the oldest do not copy them all
// each time.
func (a *arrivals) lower(seq uint64) {
	base := min(seq-1, a.base-min(a.base, uint64(len(a.at))))
	grown := make([]int64, a.base-base+uint64(len(a.at)))
	copy(grown[a.base-base:], a.at)
	a.base, a.at = base, grown
}
