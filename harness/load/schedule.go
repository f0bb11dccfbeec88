package load

import (
	"container/heap"
	"fmt"
	"time"
)

// MaxSpacing is the largest distance between the messages of a micro-burst: a
// race between workers of the system under test shows only when neighbours are
// this close.
const MaxSpacing = 100 * time.Microsecond

// Schedule says when the messages of one source are due. It is a pure function
// of the position: whatever the system under test does, the plan stands.
//
// Burst messages share an instant, Spacing apart. The zero value of Burst means
// 1, of Spacing 50 µs.
type Schedule struct {
	Period  time.Duration // MUST be above zero
	Phase   time.Duration // of the first instant, from the start
	Dither  time.Duration // each instant is moved by up to ±Dither; MUST be below half of Period
	Burst   int
	Spacing time.Duration // MUST be at most MaxSpacing
	Seed    uint64        // of the dither
}

// defaultSpacing is the distance in a burst when none is given.
const defaultSpacing = 50 * time.Microsecond

// Check reports what is wrong with a schedule.
func (s Schedule) Check() error {
	switch {
	case s.Period <= 0:
		return fmt.Errorf("load: period %v: a period is above zero", s.Period)
	case s.Phase < 0:
		return fmt.Errorf("load: phase %v: a phase is not negative", s.Phase)
	case s.Dither < 0 || s.Dither > s.Period/2:
		return fmt.Errorf("load: dither %v: at most half of the period %v, or instants would change places", s.Dither, s.Period)
	case s.Burst < 0 || s.Spacing < 0 || s.Spacing > MaxSpacing:
		return fmt.Errorf("load: burst %d spaced %v: at most %v apart", s.Burst, s.Spacing, MaxSpacing)
	case s.burst() > 1 && s.spacing()*time.Duration(s.burst()) > s.Period-2*s.Dither:
		return fmt.Errorf("load: a burst of %d lasts longer than the period %v leaves", s.Burst, s.Period)
	}
	return nil
}

func (s Schedule) burst() uint64 { return uint64(max(s.Burst, 1)) }

func (s Schedule) spacing() time.Duration {
	if s.Spacing == 0 {
		return defaultSpacing
	}
	return s.Spacing
}

// Due returns when message i, counted from 0, is due after the start. It rises
// with i.
func (s Schedule) Due(i uint64) time.Duration {
	instant := i / s.burst()
	at := s.Phase + time.Duration(instant)*s.Period + s.dither(instant)
	return max(at, 0) + time.Duration(i%s.burst())*s.spacing()
}

// dither returns the displacement of an instant, uniform in ±Dither.
func (s Schedule) dither(instant uint64) time.Duration {
	if s.Dither == 0 {
		return 0
	}
	return time.Duration(mix(s.Seed^mix(instant+1))%uint64(2*s.Dither+1)) - s.Dither
}

// mix is the finalizer of SplitMix64 (Steele, Lea, Flood 2014): a bijection
// that turns a counter into well-spread bits.
func mix(x uint64) uint64 {
	x += 0x9e3779b97f4a7c15
	x = (x ^ x>>30) * 0xbf58476d1ce4e5b9
	x = (x ^ x>>27) * 0x94d049bb133111eb
	return x ^ x>>31
}

// due is the next message of one source in the merged plan.
type due struct {
	at     time.Duration
	source int
	index  uint64
}

// plan merges the schedules of all sources in the order of time.
type plan struct {
	schedules []Schedule
	next      []due
}

func newPlan(schedules []Schedule) *plan {
	p := &plan{schedules: schedules}
	for i, s := range schedules {
		p.next = append(p.next, due{at: s.Due(0), source: i})
	}
	heap.Init(p)
	return p
}

// pop returns the next message of all.
func (p *plan) pop() due {
	d := p.next[0]
	p.next[0].index++
	p.next[0].at = p.schedules[d.source].Due(d.index + 1)
	heap.Fix(p, 0)
	return d
}

// Len implements heap.Interface, as do the next four.
func (p *plan) Len() int { return len(p.next) }

// Less orders by time, then by source, so that the plan is the same each run.
func (p *plan) Less(i, j int) bool {
	a, b := p.next[i], p.next[j]
	return a.at < b.at || (a.at == b.at && a.source < b.source)
}

// Swap implements heap.Interface.
func (p *plan) Swap(i, j int) { p.next[i], p.next[j] = p.next[j], p.next[i] }

// Push implements heap.Interface.
func (p *plan) Push(x any) { p.next = append(p.next, x.(due)) }

// Pop implements heap.Interface.
func (p *plan) Pop() any {
	last := p.next[len(p.next)-1]
	p.next = p.next[:len(p.next)-1]
	return last
}
