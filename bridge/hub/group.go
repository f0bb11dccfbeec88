package hub

import (
	"sort"
	"sync"
	"time"
)

// group is the subscriptions with one filter, access list, interval and format.
// What they see is encoded once.
type group struct {
	key groupKey

	// Guarded by Hub.mu.
	subscribers int
	access      Access
	batch       Readings // being built in this round
	topics      []string
	building    bool
	late        *conflator // holds the entries until the tick; nil when none is left out
	armed       bool       // waits for its tick

	// mu guards what pulls share with the hub's loop. It is taken after Hub.mu.
	mu      sync.Mutex
	ring    []kept // each begins where the one before ends
	bytes   int64
	to      uint64          // end of the last batch: the group was served up to here
	sent    uint64          // entries let through up to there, since the group began; counted when it conflates
	skips   int             // how often the count has been broken
	waiting []*Subscription // to be notified at the next batch
}

type groupKey struct {
	filter, access string
	every          time.Duration
	format         Format
}

// kept is a batch in the ring.
type kept struct {
	Batch
	topics []string // of its readings, where an access list has to be asked again
	before uint64   // group.sent at From
	after  uint64   // group.sent at To
	tick   int64    // the tick that made it
}

func (k *kept) cost() int64 {
	n := int64(160 + cap(k.Body) + 8*cap(k.Names) + 16*cap(k.topics))
	if k.Packed != nil {
		n += int64(len(k.Body)) // the most that the compressed form takes
	}
	return n
}

// keepTicks is how many ticks a group that conflates keeps. Who is further behind
// gets the present instead of all that he missed.
const keepTicks = 8

// push adds a batch and drops old ones beyond limit, but never the newest. It
// returns the change in bytes. Called with g.mu held.
func (g *group) push(b kept, limit int64) int64 {
	before := g.bytes
	g.ring = append(g.ring, b)
	g.bytes += b.cost()
	g.to, g.sent = b.To, b.after
	for len(g.ring) > 1 && (g.bytes > limit || b.tick-g.ring[0].tick >= keepTicks) {
		g.bytes -= g.ring[0].cost()
		g.ring[0] = kept{}
		g.ring = g.ring[1:]
	}
	return g.bytes - before
}

// empty is a batch without readings up to offset to. Called by who may push.
func (g *group) empty(epoch string, to uint64) kept {
	s := span{from: g.to, to: to, conflates: g.late != nil}
	return kept{Batch: newBatch(epoch, s, &Readings{Format: g.key.format}), before: g.sent, after: g.sent, tick: g.lastTick()}
}

func (g *group) lastTick() int64 {
	if n := len(g.ring); n > 0 {
		return g.ring[n-1].tick
	}
	return 0
}

// reset forgets all batches; the group goes on after to. Called with g.mu held.
func (g *group) reset(to uint64) (freed int64) {
	freed, g.ring, g.bytes, g.to = g.bytes, nil, 0, to
	return freed
}

// edge is a place where a batch begins.
type edge struct {
	offset uint64
	sent   uint64 // group.sent there
	skips  int    // group.skips when it was looked up
	far    bool   // it is the oldest there is
}

// find looks for the batch that continues a cursor below g.to. When there is
// none, the journal has to be read up to the edge. Called with g.mu held.
func (g *group) find(cursor uint64) (index int, found bool, limit edge) {
	n := len(g.ring)
	if n == 0 {
		return 0, false, edge{g.to, g.sent, g.skips, true}
	}
	if first := &g.ring[0]; cursor < first.From {
		return 0, false, edge{first.From, first.before, g.skips, true}
	}
	i := n - 1
	if g.ring[i].From != cursor { // not the usual case
		i = sort.Search(n, func(i int) bool { return g.ring[i].To > cursor })
	}
	b := &g.ring[i]
	return i, b.From == cursor, edge{b.To, b.after, g.skips, false}
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
