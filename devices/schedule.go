package devices

import "time"

// Instant returns when sample seq (from 1) of the schedule is due: Phase +
// (seq-1)·Period moved by a uniform dither in ±Dither that depends on seed and
// seq only. It is pure, so that a schedule can be computed again from a report.
// Seq 0 is treated as 1.
func (s Schedule) Instant(seq, seed uint64) time.Duration {
	if seq == 0 {
		seq = 1
	}
	due := s.Phase + time.Duration(seq-1)*s.Period
	if s.Dither <= 0 {
		return due
	}
	// 53 bits give every float64 step of [0,1).
	unit := float64(Mix(seed, seq)>>11) / (1 << 53)
	return due + time.Duration((2*unit-1)*float64(s.Dither))
}

// Mix is a 64-bit hash of a seed and a position: the finaliser of SplitMix64
// (Steele, Lea, Flood: Fast splittable pseudorandom number generators, OOPSLA
// 2014). Twins draw their noise from it, because a draw that depends on
// (seed, position) only needs no state and is the same in whatever order the
// samples are asked for.
func Mix(seed, position uint64) uint64 {
	z := seed + position*0x9e3779b97f4a7c15
	z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9
	z = (z ^ (z >> 27)) * 0x94d049bb133111eb
	return z ^ (z >> 31)
}
