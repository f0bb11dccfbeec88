package fault

import (
	"math/rand/v2"
	"time"

	"plumbline/harness/record"
)

// unitLimit bounds what is kept of one packet, message or head until it is
// complete. Larger ones pass as they come and no rule is about them.
const unitLimit = 1 << 20

// opaque is the kind of a unit that no rule is about.
const opaque byte = 0

// unit is one packet or message on its way, or bytes that are passed on unseen.
type unit struct {
	kind byte // as the protocol numbers them
	data []byte
}

// splitter cuts one way of one connection into units. It keeps no more than
// unitLimit and a chunk in memory.
type splitter interface {
	// feed appends the units that p completes. On an error the units hold all
	// that was fed and not given out before; feed is not called again.
	feed(out []unit, p []byte) ([]unit, error)
	// rest gives out what waits for its end.
	rest() []byte
}

// parcel is what a stage lets go.
type parcel struct {
	data  []byte
	delay time.Duration // beyond the time when it came
	reset bool          // the connection ends after it
}

// stage applies the rules of a lane to one connection. It belongs to the
// goroutine that writes.
type stage struct {
	lane  *lane
	link  uint64
	way   int
	split splitter // nil: bytes are not looked at
	rec   *record.Recorder

	rules  []*rule
	states map[*rule]*ruleState
	cuts   *cutState
}

// ruleState is how far a rule is on one way of one connection.
type ruleState struct {
	rule *rule
	seen uint64
	rnd  *rand.Rand
	log  scribe
	held []byte // waits for the next one
}

var wayNames = [2]string{"upstream", "downstream"}

func (s *stage) scribe(t *tally) scribe { return scribe{tally: t, link: s.link, way: wayNames[s.way]} }

// refresh takes over the rules as they are now and gives out what a rule that
// is gone had held.
func (s *stage) refresh(out []parcel) []parcel {
	rules, cut := s.lane.rulesNow()
	s.setCut(cut)
	for _, old := range s.rules {
		gone := true
		for _, r := range rules {
			gone = gone && r != old
		}
		if gone {
			out = append(out, s.states[old].release()...)
			delete(s.states, old)
		}
	}
	for _, r := range rules {
		if s.states[r] == nil {
			if s.states == nil {
				s.states = map[*rule]*ruleState{}
			}
			s.states[r] = &ruleState{rule: r, rnd: source(r.seed, s.link, s.way), log: s.scribe(r.tally)}
		}
	}
	s.rules = rules
	return out
}

func (st *ruleState) release() []parcel {
	if st.held == nil {
		return nil
	}
	held := st.held
	st.held = nil
	return []parcel{{data: held}}
}

// pass takes what came and returns what is to be sent on.
func (s *stage) pass(p []byte) []parcel {
	out := s.refresh(nil)
	if len(p) == 0 {
		return out
	}
	if s.split == nil {
		return s.cut(append(out, parcel{data: p}))
	}
	units, err := s.split.feed(nil, p)
	for _, u := range units {
		out = s.treat(out, u, s.rules)
	}
	if err != nil {
		s.split = nil
		if s.rec != nil {
			s.rec.Event(record.Event{
				Kind: record.Note, Subject: "proxy", Detail: "from here on the connection is passed on unseen",
				Fields: map[string]string{"error": err.Error(), "way": wayNames[s.way]},
			})
		}
	}
	return s.cut(out)
}

// end returns what is left when nothing more comes.
func (s *stage) end() []parcel {
	var out []parcel
	for _, r := range s.rules {
		out = append(out, s.states[r].release()...)
	}
	if s.split != nil {
		if rest := s.split.rest(); len(rest) > 0 {
			out = append(out, parcel{data: rest})
		}
	}
	return s.cut(out)
}

// treat applies the rules in the order of their injection; the first one that
// acts decides.
func (s *stage) treat(out []parcel, u unit, rules []*rule) []parcel {
	var after []parcel // held ones that u was the next for
	decided := false
	for _, r := range rules {
		if u.kind == opaque || !r.about(u.kind) {
			continue
		}
		st := s.states[r]
		st.seen++
		picked := r.when.picks(st.seen, st.rnd)
		if st.held != nil {
			after = append(after, st.release()...)
			continue
		}
		if picked && !decided {
			var acted []parcel
			acted, decided = st.apply(u)
			out = append(out, acted...)
		}
	}
	if !decided {
		out = append(out, parcel{data: u.data})
	}
	return append(out, after...)
}

// apply does what the rule does; false means that it could not.
func (st *ruleState) apply(u unit) (out []parcel, acted bool) {
	r := st.rule
	switch r.do {
	case Drop:
	case Duplicate:
		out = []parcel{{data: u.data}, {data: u.data}}
	case Delay:
		out = []parcel{{data: u.data, delay: r.by}}
	case Reorder:
		st.held = u.data
	default:
		data, changed := r.change(u, st.rnd)
		if !changed {
			return nil, false
		}
		out = []parcel{{data: data}}
	}
	st.log.act(st.seen, r.do.String()+" "+r.label(u.kind))
	return out, true
}
