package fault

import (
	"fmt"
	"math/rand/v2"
)

// cutRule resets connections after some bytes.
type cutRule struct {
	least, most int64
	seed        uint64
	tally       *tally
}

// cutState is how far one way of one connection is from its reset.
type cutState struct {
	rule *cutRule
	left int64
	at   int64
	log  scribe
}

// setCut takes over the rule as it is now. The first byte counts that comes
// after the injection.
func (s *stage) setCut(r *cutRule) {
	switch {
	case r == nil:
		s.cuts = nil
	case s.cuts == nil || s.cuts.rule != r:
		after := r.least
		if r.most > r.least {
			after += source(r.seed, s.link, s.way).Int64N(r.most - r.least + 1)
		}
		s.cuts = &cutState{rule: r, left: after, at: after, log: s.scribe(r.tally)}
	}
}

// cut ends the parcels where the connection is to be reset.
func (s *stage) cut(out []parcel) []parcel {
	if s.cuts == nil {
		return out
	}
	for i := range out {
		if n := int64(len(out[i].data)); n < s.cuts.left {
			s.cuts.left -= n
			continue
		}
		out[i].data = out[i].data[:s.cuts.left]
		out[i].reset = true
		s.cuts.log.act(uint64(s.cuts.at), "reset")
		return out[:i+1]
	}
	return out
}

// ResetFault resets (RST) each connection as soon as it has carried a number of
// bytes that is drawn for it from [least, most], the last of them included.
// Bytes of the way dir count, from the injection on; connections that come
// later are reset, too. CutFault does it at once and refuses new connections.
func (p *Proxy) ResetFault(dir Direction, least, most int64, seed uint64) Counted {
	name := fmt.Sprintf("TCP reset after [%d, %d] bytes %s (seed %d)", least, most, dir, seed)
	return newActing(name, p.rec, func(t *tally) (inject, revert func() error) {
		inject = func() error {
			if least < 1 || most < least || most > 1<<40 {
				return fmt.Errorf("[%d, %d] bytes is no range to draw from; give 1 or more, the smaller first", least, most)
			}
			r := &cutRule{least: least, most: most, seed: seed, tally: t}
			return p.each(dir, func(l *lane) error { l.cutBy(r); return nil })
		}
		revert = func() error { return p.each(dir, func(l *lane) error { l.cutBy(nil); return nil }) }
		return inject, revert
	})
}

// source gives each way of each connection draws of its own that depend on
// nothing but the seed and the order in which connections came.
func source(seed, link uint64, way int) *rand.Rand {
	return rand.New(rand.NewPCG(seed, link<<1|uint64(way))) //nolint:gosec // a fault must be repeatable, not secret
}
