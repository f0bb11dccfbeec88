package fault

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"time"
)

// When picks among the packets or frames that a rule is about, counted from 1
// for each connection and each way from the moment of the injection. Exactly
// one field is set; the zero value picks nothing and cannot be injected.
type When struct {
	Nth         uint64  // only the n-th
	Every       uint64  // every n-th; 1 is all of them
	Probability float64 // each with this probability, in (0, 1], drawn by the rule's seed
}

// String says it in words.
func (w When) String() string {
	switch {
	case w.Nth > 0:
		return fmt.Sprintf("number %d", w.Nth)
	case w.Every == 1:
		return "every one"
	case w.Every > 0:
		return fmt.Sprintf("every %d-th", w.Every)
	default:
		return fmt.Sprintf("with probability %g", w.Probability)
	}
}

func (w When) check() error {
	set := 0
	for _, on := range []bool{w.Nth > 0, w.Every > 0, w.Probability != 0} {
		if on {
			set++
		}
	}
	if set != 1 {
		return errors.New("a rule needs exactly one of Nth, Every and Probability")
	}
	if w.Probability != 0 && !(w.Probability > 0 && w.Probability <= 1) {
		return fmt.Errorf("probability %g is not within (0, 1]", w.Probability)
	}
	return nil
}

// picks says whether the n-th is meant.
func (w When) picks(n uint64, rnd *rand.Rand) bool {
	switch {
	case w.Nth > 0:
		return n == w.Nth
	case w.Every > 0:
		return n%w.Every == 0
	default:
		return rnd.Float64() < w.Probability
	}
}

// Do is what a rule does to a packet or a frame that it picked.
type Do uint8

// What can be done.
const (
	_         Do = iota
	Drop         // it never arrives
	Duplicate    // it arrives twice, byte for byte
	Delay        // it and all behind it on its way come late: a stream keeps its order
	Reorder      // it arrives after the next one that the rule is about
	Corrupt      // one bit of its body is flipped, of its flags where it has no body
	Split        // a WebSocket message arrives as one fragment more
	CloseCode    // a WebSocket close frame says another code
)

var doNames = [...]string{"", "drop", "duplicate", "delay", "reorder", "corrupt", "split", "close code"}

// String implements fmt.Stringer.
func (d Do) String() string {
	if int(d) >= len(doNames) || d == 0 {
		return fmt.Sprintf("action %d", uint8(d))
	}
	return doNames[d]
}

// rule is one fault on the units of a protocol, as it stands in a lane.
type rule struct {
	when  When
	do    Do
	by    time.Duration // of Delay
	seed  uint64
	tally *tally
	about func(kind byte) bool
	label func(kind byte) string
	// change makes other bytes of a unit, for Corrupt, Split and CloseCode; false
	// means that this unit has nothing to change.
	change func(u unit, rnd *rand.Rand) ([]byte, bool)
}

func (r *rule) check(way Direction) error {
	if err := r.when.check(); err != nil {
		return err
	}
	switch {
	case way > Downstream:
		return fmt.Errorf("%s is none of both ways, upstream and downstream", way)
	case r.do == 0 || int(r.do) >= len(doNames):
		return fmt.Errorf("%s is none that a rule can do", r.do)
	case r.do == Delay && (r.by <= 0 || r.by > time.Hour):
		return fmt.Errorf("a delay of %v: give more than nothing and at most an hour", r.by)
	case r.do != Delay && r.by != 0:
		return fmt.Errorf("%v is given to %q, which takes no time; leave it out", r.by, r.do)
	case r.do >= Corrupt && r.change == nil:
		return fmt.Errorf("%q is not possible with this protocol", r.do)
	}
	return nil
}

// ruleFault makes a fault of a rule. Each injection starts to count anew.
func (p *Proxy) ruleFault(name string, protocol Protocol, way Direction, spec rule) Counted {
	return newActing(name, p.rec, func(t *tally) (inject, revert func() error) {
		var on *rule
		inject = func() error {
			if p.protocol != protocol {
				return fmt.Errorf("the proxy looks at %s; give ProxyOptions.Protocol %s", p.protocol, protocol)
			}
			if err := spec.check(way); err != nil {
				return err
			}
			_ = revert() // a second injection takes the place of the first
			fresh := spec
			fresh.tally, on = t, &fresh
			return p.each(way, func(l *lane) error { l.addRule(on); return nil })
		}
		revert = func() error { return p.each(Both, func(l *lane) error { l.removeRule(on); return nil }) }
		return inject, revert
	})
}
