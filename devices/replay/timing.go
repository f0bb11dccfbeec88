package replay

import (
	"time"

	"plumbline/devices"
	"plumbline/devices/codec"
)

// Bounds of what is believed of a recording's clock. A jump back or a longer
// one forward is a receiver that found the time or lost it, not a pause.
const (
	defaultStep = time.Second
	maxStep     = 30 * time.Second
)

// schedule sets the offsets of all entries and returns the recording's length.
//
// NMEA lines have no time stamps, but many sentences carry the instant of the
// fix. Lines from one such instant to the next are a group, spaced as the line
// rate spaces them, and groups follow at the difference of the instants.
func schedule(entries []Entry, opts LoadOptions) time.Duration {
	if opts.Rate > 0 {
		return fixedRate(entries, opts.Rate)
	}
	starts, ok := groups(entries, opts.Codec)
	if !ok {
		return fixedRate(entries, 1)
	}
	at := time.Duration(0)
	for i, g := range starts {
		end := len(entries)
		step := defaultStep
		if i+1 < len(starts) {
			end = starts[i+1].first
			step = stepOf(g, starts[i+1])
		}
		space(entries[g.first:end], at, step, opts.Baud)
		at += step
	}
	return at
}

// group is a run of lines that belong to one instant.
type group struct {
	first int     // index of its first entry
	utc   float64 // second of the day; only when timed
	timed bool
}

// groups cuts the entries where the time they carry changes. Lines before the
// first time belong to the first group.
func groups(entries []Entry, c codec.Codec) ([]group, bool) {
	found := []group{{}}
	for i, e := range entries {
		utc, ok := timeOf(e.Raw, c)
		if !ok {
			continue
		}
		current := &found[len(found)-1]
		switch {
		case !current.timed:
			current.utc, current.timed = utc, true
		case utc != current.utc:
			found = append(found, group{first: i, utc: utc, timed: true})
		}
	}
	return found, found[0].timed
}

// timeOf returns the UTC second of the day that a good frame carries.
func timeOf(raw []byte, c codec.Codec) (float64, bool) {
	values, err := c.Decode(raw)
	if err != nil {
		return 0, false
	}
	for _, v := range values {
		if v.Name == "utc" && !v.IsText {
			return v.Number, true
		}
	}
	return 0, false
}

// stepOf is the time between two groups, over midnight too.
func stepOf(a, b group) time.Duration {
	d := b.utc - a.utc
	if d < -43200 {
		d += 86400
	}
	step := time.Duration(d * float64(time.Second)).Round(time.Millisecond)
	if step <= 0 || step > maxStep {
		return defaultStep
	}
	return step
}

// space sets the lines of a group behind each other at the line rate, pressed
// together if they would not fit into 90 % of the step.
func space(group []Entry, at, step time.Duration, baud int) {
	total := 0
	for _, e := range group {
		total += len(e.Raw)
	}
	perByte := 10 * float64(time.Second) / float64(baud)
	if limit := 0.9 * float64(step); float64(total)*perByte > limit {
		perByte = limit / float64(total)
	}
	sent := 0
	for i := range group {
		group[i].Offset = at + time.Duration(float64(sent)*perByte)
		sent += len(group[i].Raw)
	}
}

func fixedRate(entries []Entry, rate float64) time.Duration {
	at := func(i int) time.Duration {
		return time.Duration(min(float64(i)*min(float64(time.Second)/rate, float64(maxOffset)), 1<<62))
	}
	for i := range entries {
		entries[i].Offset = at(i)
	}
	return at(len(entries))
}

// Options say how to play; the zero value plays once at the recorded speed.
type Options struct {
	ID    string        // unique in a rig; "" = the recording's path
	Speed float64       // 2 = twice as fast; 0 = 1; +Inf = without waiting
	Loops int           // how often; 0 = once, negative = until closed
	Clock devices.Clock // nil = counts from Open
	Queue int           // samples kept for a late reader; 0 = 1024
	// Damages is how many rejected frames are kept as evidence; 0 = 64.
	Damages int
	Load    LoadOptions // used by Open only
}
