package scenarios

// growth is what the memory (RSS) of a system did while every viewer read, window
// after window with the same load, and in the window after that, in which one did
// not: the most of each, in bytes.
type growth struct {
	read   []uint64
	beside uint64
}

const (
	stillShare  = 4   // of the limit: a rise of no more is standing still
	steadyRises = 4   // that it takes to tell a leak from a cache that fills
	steadyShare = 0.8 // of the earlier rises that the later ones of a leak reach
)

// cost is what came of holding the last window against those before.
type cost struct {
	taken int64  // bytes beyond what everybody's reading explains
	leak  bool   // taken while everybody read, and no less from window to window
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
// the one's. What rises by more than the limit each time and slows down nowhere is
// no cache: it is a leak. Anything else is open.
func (g growth) cost(limit int64) cost {
	taken := int64(max(g.beside, g.most()) - g.most())
	if taken <= limit || g.stands(limit) {
		return cost{taken: taken}
	}
	rises := g.rises()
	if len(rises) == 0 {
		return cost{open: "memory was looked at in one window only in which all read: a cache that fills cannot be told from what the viewer takes"}
	}
	last := rises[len(rises)-1]
	switch {
	case taken-last > limit:
		return cost{taken: taken - last}
	case last > limit && steady(rises):
		return cost{taken: taken, leak: true}
	}
	return cost{open: "memory was still growing while all read: a cache that fills cannot be told from what the viewer takes"}
}

// steady reports whether the later of the rises are about as large as the earlier.
func steady(rises []int64) bool {
	if len(rises) < steadyRises {
		return false
	}
	half := len(rises) / 2
	sum := func(of []int64) (s float64) {
		for _, r := range of {
			s += float64(r)
		}
		return s
	}
	return sum(rises[len(rises)-half:]) >= steadyShare*sum(rises[:half])
}
