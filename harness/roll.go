package harness

import (
	"context"
	"slices"

	"plumbline/devices/firmware"
)

// Roll is what one viewer was given of the numbered lines of a device, in the
// order in which it was given them.
type Roll struct {
	Lines   [][2]uint64 `json:"lines"`         // first and last of numbers that follow each other
	Total   uint64      `json:"total"`         // lines
	Serials []string    `json:"serials"`       // whose lines they were, as the lines say; each once, at most maxSerials
	Cut     bool        `json:"cut,omitempty"` // there was more than is kept
	seqs    []uint64    // positions in its stream of the messages that came last, at most maxSeqs
}

// Bounds of a Roll: what a viewer is given is not ours.
const (
	maxRolls   = 4096    // devices
	maxRuns    = 1 << 20 // of all devices together: hours of a fleet whose lines are damaged
	maxSerials = 8       // of a device
	maxSerial  = 64      // bytes
	maxSeqs    = 256
)

// roll enters a message that tells a numbered line. The caller holds mu.
func (s *Screen) roll(device string, seq uint64, values map[string]any) {
	number, numbered := values[firmware.Sequence].(float64)
	serial, named := values[firmware.Serial].(string)
	if !numbered || !named || number < 0 || number != float64(uint64(number)) {
		return
	}
	if s.rolls == nil {
		s.rolls = map[string]*Roll{}
	}
	r := s.rolls[device]
	if r == nil {
		if len(s.rolls) == maxRolls {
			return // none of ours: there are fewer
		}
		r = &Roll{}
		s.rolls[device] = r
	}
	serial = serial[:min(len(serial), maxSerial)]
	r.Total++
	if len(r.seqs) == maxSeqs {
		r.seqs = r.seqs[:copy(r.seqs, r.seqs[maxSeqs/2:])]
	}
	r.seqs = append(r.seqs, seq)
	if !slices.Contains(r.Serials, serial) && len(r.Serials) < maxSerials {
		r.Serials = append(r.Serials, serial)
	}
	n := uint64(number)
	switch last := len(r.Lines) - 1; {
	case last >= 0 && r.Lines[last][1]+1 == n:
		r.Lines[last][1] = n
	case s.runs < maxRuns:
		s.runs++
		r.Lines = append(r.Lines, [2]uint64{n, n})
	default:
		r.Cut = true
	}
}

// last is the number of the line that came last, 0 when none is kept.
func (r *Roll) last() uint64 {
	if len(r.Lines) == 0 {
		return 0
	}
	return r.Lines[len(r.Lines)-1][1]
}

// Roll returns what was shown of a device that numbers its lines.
func (s *Screen) Roll(device string) Roll {
	s.mu.Lock()
	defer s.mu.Unlock()
	r := s.rolls[device]
	if r == nil {
		return Roll{Lines: [][2]uint64{}, Serials: []string{}}
	}
	c := *r
	c.seqs = nil
	c.Lines, c.Serials = slices.Clone(r.Lines), slices.Clone(r.Serials)
	return c
}

// Beyond waits until more than total lines of a device were shown and returns the
// position in its stream of the message that told the first of them; false when
// ctx ends first.
func (s *Screen) Beyond(ctx context.Context, device string, total uint64) (seq uint64, ok bool) {
	if !s.Rolled(ctx, device, func(now, _ uint64) bool { return now > total }) {
		return 0, false
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	r := s.rolls[device]
	back := r.Total - total // at least 1
	if back > uint64(len(r.seqs)) {
		return r.seqs[0], true // later than the one that was asked for
	}
	return r.seqs[uint64(len(r.seqs))-back], true
}

// Rolled waits until ok says that what was shown of a device will do; false when
// ctx ends first. ok gets the number of lines and that of the last one.
func (s *Screen) Rolled(ctx context.Context, device string, ok func(total, last uint64) bool) bool {
	for {
		s.mu.Lock()
		var total, last uint64
		if r := s.rolls[device]; r != nil {
			total, last = r.Total, r.last()
		}
		if s.changed == nil {
			s.changed = make(chan struct{})
		}
		changed := s.changed
		s.mu.Unlock()
		if ok(total, last) {
			return true
		}
		select {
		case <-changed:
		case <-ctx.Done():
			return false
		}
	}
}
