package oracle

import (
	"fmt"
	"maps"
	"slices"

	"plumbline/reports"
)

// Spoken are numbered lines of a device that follow each other and had one fate at
// its port. Of what was said after one opening of a line, what lies before the
// first line that was read may be missing.
type Spoken struct {
	First   uint64 `json:"first"`
	Last    uint64 `json:"last"`
	Whole   bool   `json:"whole"` // went out as it was said
	Opening int    `json:"opening"`
}

// Wire is what a device said on its wire and what its driver made of it.
type Wire struct {
	Device  string   `json:"device"`
	Serial  string   `json:"serial"` // that its lines name
	Spoken  []Spoken `json:"spoken"`
	Damaged uint64   `json:"damaged"` // lines that were damaged on purpose
	Refused uint64   `json:"refused"` // lines that the driver refused
	Partial uint64   `json:"partial"` // parts of lines that it saw at openings
	Counted bool     `json:"counted"` // the last two are known
	Overrun uint64   `json:"overrun"` // lines torn at the port because nobody read: what its driver refused is not known by line then
}

// Screened is what a screen showed of a device.
type Screened struct {
	Lines   [][2]uint64 // first and last of numbers that follow each other
	Serials []string    // whose lines they were
	Cut     bool        // there was more
}

// Carriage is how lines came from wires to screens. Where a device starts to count
// anew, one line out of order may be counted as several; none is 0 in any case.
type Carriage struct {
	Owed        int64 // lines that went out whole, once for each screen
	Missing     int64
	Again       int64 // came twice, or after a later one
	MadeUp      int64 // were never said so: damaged ones, and those of another device
	Harm        int64 // all of these
	Unpublished int64 // never passed the broker, or passed it again; they are held against nobody
	Findings    []reports.Finding
}

// maxWireLines bounds how many lines are looked at of one device: a day of 48 a second.
const maxWireLines = 1 << 22

// maxWireFindings bounds the findings; counts go on.
const maxWireFindings = 1000

// Carried holds what screens showed, by viewer and device, against what wires
// carried. passed names the screen of the witness: what is missing there too did
// not come to the broker.
func Carried(o Options, wires []Wire, screens map[string]map[string]Screened, passed string) Carriage {
	var c Carriage
	for _, w := range wires {
		said := lay(w.Spoken)
		atBroker := passage{seen: make([]bool, len(said.numbers)), again: map[uint64]bool{}}
		said.follow(screens[passed][w.Device], func(i int) { atBroker.seen[i] = true }, func(n uint64, _ bool) { atBroker.again[n] = true })
		if n, first := said.unread(atBroker.seen); n > 0 {
			c.Unpublished += n
			c.Findings = append(c.Findings, reports.Finding{
				Requirement: o.Requirement, Kind: "not-published", Subject: w.Device, Evidence: o.Evidence,
				Detail: fmt.Sprintf("%d lines went out whole and never came to the broker; the first is %d", n, first),
			})
		}
		for _, viewer := range slices.Sorted(maps.Keys(screens)) {
			if viewer != passed {
				c.one(o, w, said, viewer, screens[viewer][w.Device], atBroker)
			}
		}
	}
	c.Harm = c.Missing + c.Again + c.MadeUp
	return c
}

// track is what a device said, line by line.
type track struct {
	numbers []uint64
	whole   []bool
	opening []int
	at      map[uint64][]int // where a number was said
}

func lay(spoken []Spoken) track {
	t := track{at: map[uint64][]int{}}
	for _, s := range spoken {
		for n := s.First; n <= s.Last && len(t.numbers) < maxWireLines; n++ {
			t.at[n] = append(t.at[n], len(t.numbers))
			t.numbers, t.whole, t.opening = append(t.numbers, n), append(t.whole, s.Whole), append(t.opening, s.Opening)
		}
	}
	return t
}

// follow walks along the track with what was shown. met is told which lines were
// shown, odd which were shown that do not go on from there.
func (t track) follow(s Screened, met func(i int), odd func(n uint64, said bool)) {
	next := 0
	for _, run := range s.Lines {
		for n := run[0]; n <= run[1]; n++ {
			places := t.at[n]
			k, _ := slices.BinarySearch(places, next)
			for k < len(places) && !t.whole[places[k]] {
				k++
			}
			if k == len(places) {
				odd(n, slices.ContainsFunc(places, func(i int) bool { return t.whole[i] }))
				if len(places) == 0 && run[1]-n > uint64(len(t.numbers)) {
					break // nobody said any of a run that has no end
				}
				continue
			}
			met(places[k])
			next = places[k] + 1
		}
	}
}

// passage is what of a wire passed the broker.
type passage struct {
	seen  []bool          // by line
	again map[uint64]bool // numbers that passed it once more, or after a later one, as with QoS 1 they may
}

// unread returns how many lines that went out whole are not among seen, those
// before the first of each opening apart, and the first of them.
func (t track) unread(seen []bool) (n int64, first uint64) {
	begun := map[int]bool{}
	for i := range t.numbers {
		switch {
		case seen[i]:
			begun[t.opening[i]] = true
		case t.whole[i] && begun[t.opening[i]]:
			if n++; n == 1 {
				first = t.numbers[i]
			}
		}
	}
	return n, first
}

// one holds one screen against one wire. Passed are the lines that passed the broker.
func (c *Carriage) one(o Options, w Wire, said track, viewer string, s Screened, passed passage) {
	say := func(kind, detail string, confirmed bool) {
		if len(c.Findings) < maxWireFindings {
			c.Findings = append(c.Findings, reports.Finding{
				Requirement: o.Requirement, Kind: kind, Subject: viewer + " ← " + w.Device, Detail: detail, Confirmed: confirmed, Evidence: o.Evidence,
			})
		}
	}
	for _, serial := range s.Serials {
		if serial != w.Serial {
			c.MadeUp++
			say("made-up", fmt.Sprintf("lines of %q were shown as those of %q", serial, w.Serial), true)
		}
	}
	seen := make([]bool, len(said.numbers))
	said.follow(s, func(i int) { seen[i] = true }, func(n uint64, spoken bool) {
		switch {
		case spoken && passed.again[n]:
			c.Unpublished++
			say("again-at-broker", fmt.Sprintf("line %d came once more, or after a later one, at the broker as well", n), false)
			return
		case spoken:
			c.Again++
			say("again", fmt.Sprintf("line %d came once more, or after a later one", n), true)
			return
		}
		c.MadeUp++
		say("made-up", fmt.Sprintf("line %d was shown, which never went out whole", n), true)
	})
	for i := range seen {
		switch {
		case seen[i]:
			c.Owed++
		case passed.seen[i]:
			c.Owed++
			c.Missing++
			say("missing", fmt.Sprintf("line %d passed the broker and was not shown", said.numbers[i]), true)
		}
	}
	if s.Cut {
		c.Unpublished++
		say("not-recorded", "more was shown than is kept", false)
	}
}
