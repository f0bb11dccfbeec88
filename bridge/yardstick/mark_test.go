//go:build linux

package yardstick

import (
	"bytes"
	"encoding/hex"
	"fmt"
	"slices"
	"time"

	"golang.org/x/sys/unix"
)

// A payload begins with the mark: "@T", the intended instant as 16 hex digits (nanoseconds of CLOCK_MONOTONIC, which all processes
// share), the number of the message as 8 hex digits. The rest is padding. All of it is text that JSON leaves alone.
const (
	markTag   = "@T"
	markBytes = len(markTag) + 16 + 8
)

func appendMark(dst []byte, intended int64, number uint32) []byte {
	return fmt.Appendf(dst, "%s%016x%08x", markTag, uint64(intended), number)
}

// monotonic gives CLOCK_MONOTONIC in nanoseconds without a system call for each reading.
type monotonic struct {
	base   time.Time
	offset int64
}

func newMonotonic() monotonic {
	var ts unix.Timespec
	before := time.Now()
	_ = unix.ClockGettime(unix.CLOCK_MONOTONIC, &ts) // cannot fail for this clock
	after := time.Now()
	return monotonic{base: before, offset: ts.Nano() - int64(after.Sub(before)/2)}
}

func (m monotonic) now() int64 { return m.offset + int64(time.Since(m.base)) }

// scanner finds marks in a stream of payload bytes that arrives in pieces.
type scanner struct {
	carry []byte
	found func(intended int64, number uint32)
}

func (s *scanner) write(p []byte) {
	if len(s.carry) > 0 {
		n := min(len(p), markBytes)
		joined := slices.Concat(s.carry, p[:n])
		used := s.scan(joined)
		if used < len(s.carry) && n == len(p) { // too short to decide: wait for more
			s.carry = append(s.carry[:0], joined[used:]...)
			return
		}
		p = p[max(0, used-len(s.carry)):]
		s.carry = s.carry[:0]
	}
	used := s.scan(p)
	s.carry = append(s.carry[:0], p[used:]...)
}

// scan reports the whole marks of p and returns how many bytes are done with; what may begin a mark is left.
func (s *scanner) scan(p []byte) (used int) {
	for {
		i := bytes.Index(p[used:], []byte(markTag))
		switch {
		case i < 0 && len(p) > used && p[len(p)-1] == markTag[0]:
			return len(p) - 1
		case i < 0:
			return len(p)
		case used+i+markBytes > len(p):
			return used + i
		}
		used += i
		var raw [12]byte
		if _, err := hex.Decode(raw[:], p[used+len(markTag):used+markBytes]); err != nil {
			used += len(markTag) // padding that looks like a mark
			continue
		}
		var intended, number uint64
		for _, b := range raw[:8] {
			intended = intended<<8 | uint64(b)
		}
		for _, b := range raw[8:] {
			number = number<<8 | uint64(b)
		}
		s.found(int64(intended), uint32(number))
		used += markBytes
	}
}

// quantile returns the value below which the share q of the sorted sample lies.
func quantile(sorted []int64, q float64) time.Duration {
	if len(sorted) == 0 {
		return 0
	}
	return time.Duration(sorted[min(len(sorted)-1, int(q*float64(len(sorted))))])
}

// median returns the middle of values, which it sorts.
func median(values []float64) float64 {
	slices.Sort(values)
	return values[len(values)/2]
}
