package scenarios

// growth is what the memory (RSS) of a system did while every viewer read, window
// after window with the same load, and in the window after that, in which one did
// not: the most of each, in bytes.
type growth struct {
	read   []uint64
	beside uint64
}

// stillShare is the share of the limit that a rise may be of what stands still.
const stillShare = 4

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

// rises are how much higher each window but the first went than all before it.
func (g growth) rises() (rises []int64) {
	high := uint64(0)
	for i, m := range g.read {
		if i > 0 {
			rises = append(rises, int64(max(m, high)-high))
		}
		high = max(high, m)
	}
	return rises
}

// stands reports whether memory stood still in the last window in which all read:
// whatever fills with what is published is full.
func (g growth) stands(limit int64) bool {
	rises := g.rises()
	return len(rises) > 0 && rises[len(rises)-1] <= limit/stillShare
}

// cost judges what the viewer that did not read took, against a limit in bytes.
//
// A cache of what was published fills whoever reads. Once memory stood still, all
// that is taken after it is taken for the one. Where it did not stand still as
// often as it was looked at, another rise like the last is granted to the cache,
// for one that fills more and more slowly takes no more; what goes beyond that is
// the one's. Anything else is open: what rises as much each time, whoever reads, may
// be a leak, which RES-01 is asked for, or a store that is long in filling.
func (g growth) cost(limit int64) cost {
	taken := int64(max(g.beside, g.most()) - g.most())
	if taken <= limit || g.stands(limit) {
		return cost{taken: taken}
	}
	rises := g.rises()
	if len(rises) == 0 {
		return cost{open: "memory was looked at in one window only in which all read: a cache that fills cannot be told from what the viewer takes"}
	}
	if last := rises[len(rises)-1]; taken-last > limit {
		return cost{taken: taken - last}
	}
	return cost{open: "memory was still growing while all read: a cache that fills cannot be told from what the viewer takes"}
}
