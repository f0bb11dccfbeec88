package scenarios

import (
	"context"

	"plumbline/harness"
	"plumbline/harness/spec"
)

// growth is what the memory (RSS) of a system did while every viewer read, window
// after window with the same load, and in the window after that, in which one did not:
// the most of each, in bytes. Of those after, in which all read again, it is the least:
// what was kept for the one is still being given back when they begin.
type growth struct {
	read   []uint64
	beside uint64
	again  []uint64
}

const (
	// stillShare is the share of the limit that a rise may be of what stands still.
	stillShare = 4
	// onceMore is that share when all read again: what was given back meanwhile is taken
	// anew, and a collector lets more of it rise and fall.
	onceMore = 2
)

// taken is how much higher memory went while the one did not read than before.
func (g growth) taken() int64 { return int64(max(g.beside, g.most()) - g.most()) }

// atStake reports whether that is more than the limit.
func (g growth) atStake(limit int64) bool { return g.taken() > limit }

// unsettled reports whether to look once more while all read again, where the profile allows
// so many further windows: more than the limit was taken, and memory has not risen once
// more yet. The first look is what a rise is held against.
func (g growth) unsettled(limit int64, further int) bool {
	return further > 0 && len(g.again) <= further && g.atStake(limit) && g.later() <= limit/onceMore
}

// later is the largest rise above all before it while all read again. What takes a step
// now and then whoever reads stands still in between: one still window before a step
// tells nobody of it.
func (g growth) later() (rise int64) {
	for _, r := range rises(g.again) {
		rise = max(rise, r)
	}
	return rise
}

// cost is what came of holding the last window against those before.
type cost struct {
	taken int64  // bytes beyond what everybody's reading explains
	open  string // why taken decides nothing; "" when it does
}

// most is the largest of the windows in which all read.
func (g growth) most() (most uint64) {
	for _, m := range g.read {
		most = max(most, m)
	}
	return most
}

// rises are how much higher each level but the first went than all before it.
func rises(levels []uint64) (higher []int64) {
	high := uint64(0)
	for i, m := range levels {
		if i > 0 {
			higher = append(higher, int64(max(m, high)-high))
		}
		high = max(high, m)
	}
	return higher
}

// stands reports whether memory stood still in the last window in which all read:
// whatever fills with what is published is full.
func (g growth) stands(limit int64) bool {
	all := rises(g.read)
	return len(all) > 0 && all[len(all)-1] <= limit/stillShare
}

// cost judges what the viewer that did not read took, against a limit in bytes.
//
// A cache of what was published fills whoever reads. Once memory stood still, all
// that is taken after it is taken for the one. Where it did not stand still as
// often as it was looked at, or rose once more when all read again, another rise like
// those is granted to the cache, for one that fills more and more slowly takes no more;
// what goes beyond that is the one's. Anything else is open: what rises as much each
// time, whoever reads, may be a leak, which RES-01 is asked for, or a store that is
// long in filling.
func (g growth) cost(limit int64) cost {
	if !g.atStake(limit) {
		return cost{taken: g.taken()}
	}
	granted, allowed, why := int64(0), limit, "memory was still growing while all read"
	if all := rises(g.read); !g.stands(limit) {
		if len(all) == 0 {
			return cost{open: "memory was looked at in one window only in which all read: a cache that fills cannot be told from what the viewer takes"}
		}
		granted = all[len(all)-1]
	}
	if later := g.later(); later > limit/onceMore && later > granted {
		// What the one gave back may have gone into this rise: it can have been more, by
		// as much as the one may take.
		granted, allowed, why = later, 2*limit, "memory grew once more when all read again"
	}
	if taken := g.taken() - granted; granted == 0 || taken > allowed {
		return cost{taken: taken}
	}
	return cost{open: why + ": a cache that fills cannot be told from what the viewer takes"}
}

// readOn makes windows in which all read until memory stands still, as often as the
// profile allows and once more at least: how far it rose in each is on record. It
// does not look at what the viewer will take that is not going to read.
func readOn(ctx context.Context, t *spec.Trial, b *harness.Bench, once func(ctx context.Context) error) (g growth, err error) {
	limit := t.Limit("RES-05").Count << 20
	for n := range 1 + furtherWindows(t) {
		if n > 0 {
			t.Step("at most %d MiB of memory were taken so far: once more", g.most()>>20)
		}
		from := b.Clock.Now()
		if err := b.Around(ctx, aloneWindow, 0, 0, once); err != nil {
			return g, err
		}
		most, samples := memory(b.Usages(), from, b.Clock.Now())
		if g.read = append(g.read, most); samples == 0 || g.stands(limit) {
			return g, nil
		}
	}
	return g, nil
}

// furtherWindows is how many windows the profile allows for one question about memory;
// none where it does not ask.
func furtherWindows(t *spec.Trial) int {
	if len(asked(t.Rig.Profile(), "RES-05")) == 0 {
		return 0
	}
	return max(t.Load("stall").Extend, 1)
}

// readAgain makes windows in which all read again where more than the limit was taken
// while one did not, until memory has risen once more.
func readAgain(ctx context.Context, t *spec.Trial, b *harness.Bench, g growth, once func(ctx context.Context) error) error {
	limit, further := t.Limit("RES-05").Count<<20, furtherWindows(t)
	for g.unsettled(limit, further) {
		t.Step("at most %d MiB of memory were taken so far: once more, with all of them reading", max(g.most(), g.beside)>>20)
		from := b.Clock.Now()
		if err := b.Around(ctx, againWindow, 0, 0, once); err != nil {
			return err
		}
		least, samples := leastMemory(b.Usages(), from, b.Clock.Now())
		if samples == 0 {
			return nil // nobody can be looked at
		}
		g.again = append(g.again, least)
	}
	return nil
}

// memory returns the largest RSS in bytes from an instant to another, and how
// many samples there were.
func memory(usage []harness.Usage, from, to int64) (most uint64, samples int64) {
	for _, u := range usage {
		if u.At >= from && u.At <= to {
			most = max(most, u.RSS)
			samples++
		}
	}
	return most, samples
}

// leastMemory is memory for the smallest.
func leastMemory(usage []harness.Usage, from, to int64) (least uint64, samples int64) {
	for _, u := range usage {
		if u.At < from || u.At > to {
			continue
		}
		if least = min(least, u.RSS); samples == 0 {
			least = u.RSS
		}
		samples++
	}
	return least, samples
}
