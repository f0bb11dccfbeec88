package hub

import (
	"sort"
	"sync"
)

// group is the subscriptions with one filter and one access list. What they see
// is encoded once.
type group struct {
	key groupKey

	// Guarded by Hub.mu.
	subscribers int
	access      Access
	readings    []byte // of the batch being built in this round
	topics      []string
	count       int
	building    bool

	// mu guards what pulls share with the hub's loop. It is taken after Hub.mu.
	mu      sync.Mutex
	ring    []kept // each begins where the one before ends
	bytes   int64
	to      uint64          // end of the last batch: the group was served up to here
	waiting []*Subscription // to be notified at the next batch
}

type groupKey struct{ filter, access string }

// kept is a batch in the ring.
type kept struct {
	Batch
	topics []string // of its readings, where an access list has to be asked again
}

func (k *kept) cost() int64 { return int64(80 + cap(k.Body) + 16*cap(k.topics)) }

// push adds a batch and drops old ones beyond limit, but never the newest. It
// returns the change in bytes. Called with g.mu held.
func (g *group) push(b kept, limit int64) int64 {
	before := g.bytes
	g.ring = append(g.ring, b)
	g.bytes += b.cost()
	g.to = b.To
	for g.bytes > limit && len(g.ring) > 1 {
		g.bytes -= g.ring[0].cost()
		g.ring[0] = kept{}
		g.ring = g.ring[1:]
	}
	return g.bytes - before
}

// reset forgets all batches; the group goes on after to. Called with g.mu held.
func (g *group) reset(to uint64) (freed int64) {
	freed, g.ring, g.bytes, g.to = g.bytes, nil, 0, to
	return freed
}

// find looks for the batch that continues a cursor below g.to. When there is
// none, the journal has to be read up to limit, where a batch begins. Called with
// g.mu held.
func (g *group) find(cursor uint64) (index int, found bool, limit uint64) {
	n := len(g.ring)
	if n == 0 {
		return 0, false, g.to
	}
	if cursor < g.ring[0].From {
		return 0, false, g.ring[0].From
	}
	if g.ring[n-1].From == cursor { // the usual case
		return n - 1, true, 0
	}
	i := sort.Search(n, func(i int) bool { return g.ring[i].To > cursor })
	return i, g.ring[i].From == cursor, g.ring[i].To
}

// wait puts s on the list of those to notify. Called with g.mu held.
func (g *group) wait(s *Subscription) {
	if s.place == notWaiting {
		s.place = len(g.waiting)
		g.waiting = append(g.waiting, s)
	}
}

// unwait takes s off the list. Called with g.mu held.
func (g *group) unwait(s *Subscription) {
	if s.place == notWaiting {
		return
	}
	last := len(g.waiting) - 1
	moved := g.waiting[last]
	g.waiting[s.place], moved.place = moved, s.place
	g.waiting[last] = nil
	g.waiting = g.waiting[:last]
	s.place = notWaiting
}

// takeWaiting moves the list to dst. Called with g.mu held.
func (g *group) takeWaiting(dst []*Subscription) []*Subscription {
	dst = append(dst, g.waiting...)
	for i, s := range g.waiting {
		s.place = notWaiting
		g.waiting[i] = nil
	}
	g.waiting = g.waiting[:0]
	return dst
}
