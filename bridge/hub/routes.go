package hub

import (
	"strings"

	"plumbline/bridge/topic"
)

// route is what is known of one topic.
type route struct {
	generation uint64
	groups     []*group
	field      []byte // its part of a reading
}

// routes remembers where topics go. Guarded by Hub.mu.
type routes struct {
	tree       topic.Tree[*group]
	generation uint64 // rises when a group comes or goes
	known      map[string]*route
	bytes      int
}

// routeBytes bounds the memory for known topics and what reaches them; beyond it they are learned anew.
const routeBytes = 32 << 20

func (r *routes) add(filter string, g *group) {
	r.tree.Add(filter, g)
	r.generation++
}

func (r *routes) remove(filter string, g *group) {
	r.tree.Remove(filter, g)
	r.generation++
}

// find returns the route of a topic.
func (r *routes) find(name string) *route {
	known := r.known[name]
	if known != nil && known.generation == r.generation {
		return known
	}
	if r.bytes > routeBytes || r.known == nil {
		known, r.known, r.bytes = nil, make(map[string]*route), 0
	}
	if known == nil {
		name = strings.Clone(name)
		known = &route{field: appendTopic(nil, name)}
		r.known[name] = known
		r.bytes += 256 + 2*len(name)
	}
	known.generation = r.generation
	before := cap(known.groups)
	clear(known.groups)
	known.groups = r.tree.Match(known.groups[:0], name)
	r.bytes += 8 * (cap(known.groups) - before)
	return known
}
