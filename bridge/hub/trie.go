package hub

import (
	"strings"

	"plumbline/bridge/topic"
)

// trie finds the groups whose filter matches a topic. A node is one level of a
// filter. Guarded by Hub.mu.
type trie struct{ root level }

type level struct {
	next   map[string]*level // by literal level
	plus   *level            // the level "+"
	ends   []*group          // filters that end here
	hashes []*group          // filters that go on with "#"
}

func (t *trie) add(filter string, g *group) {
	n := &t.root
	for rest, more := filter, true; more; {
		var name string
		name, rest, more = strings.Cut(rest, "/")
		switch name {
		case "#":
			n.hashes = append(n.hashes, g)
			return
		case "+":
			if n.plus == nil {
				n.plus = new(level)
			}
			n = n.plus
		default:
			child := n.next[name]
			if child == nil {
				if n.next == nil {
					n.next = make(map[string]*level)
				}
				child = new(level)
				n.next[strings.Clone(name)] = child
			}
			n = child
		}
	}
	n.ends = append(n.ends, g)
}

// remove takes g out again and prunes what is empty then.
func (t *trie) remove(filter string, g *group) { t.root.remove(filter, true, g) }

func (n *level) remove(rest string, more bool, g *group) {
	if !more {
		n.ends = without(n.ends, g)
		return
	}
	name, rest, more := strings.Cut(rest, "/")
	switch name {
	case "#":
		n.hashes = without(n.hashes, g)
	case "+":
		if n.plus != nil {
			if n.plus.remove(rest, more, g); n.plus.empty() {
				n.plus = nil
			}
		}
	default:
		if child := n.next[name]; child != nil {
			if child.remove(rest, more, g); child.empty() {
				delete(n.next, name)
			}
		}
	}
}

func (n *level) empty() bool {
	return len(n.next) == 0 && n.plus == nil && len(n.ends) == 0 && len(n.hashes) == 0
}

func without(list []*group, g *group) []*group {
	for i := range list {
		if list[i] == g {
			list[i] = list[len(list)-1]
			list[len(list)-1] = nil
			return list[:len(list)-1]
		}
	}
	return list
}

// match appends the groups that topic name reaches, each once.
func (t *trie) match(dst []*group, name string) []*group {
	// A leading wildcard does not match a topic that starts with $ [MQTT-4.7.2-1].
	if topic.Reserved(name) {
		first, rest, more := strings.Cut(name, "/")
		if child := t.root.next[first]; child != nil {
			return child.match(dst, rest, more)
		}
		return dst
	}
	return t.root.match(dst, name, true)
}

func (n *level) match(dst []*group, rest string, more bool) []*group {
	// "a/#" matches "a" as well (MQTT 5.0 section 4.7.1.2), so hashes count even
	// when no level is left.
	dst = append(dst, n.hashes...)
	if !more {
		return append(dst, n.ends...)
	}
	name, rest, more := strings.Cut(rest, "/")
	if child := n.next[name]; child != nil {
		dst = child.match(dst, rest, more)
	}
	if n.plus != nil {
		dst = n.plus.match(dst, rest, more)
	}
	return dst
}

// route is what is known of one topic.
type route struct {
	generation uint64
	groups     []*group
	field      []byte // its part of a reading
}

// routes remembers where topics go. Guarded by Hub.mu.
type routes struct {
	trie       trie
	generation uint64 // rises when a group comes or goes
	known      map[string]*route
	bytes      int
}

// routeBytes bounds the memory for known topics and what reaches them; beyond it they are learned anew.
const routeBytes = 32 << 20

func (r *routes) add(filter string, g *group) {
	r.trie.add(filter, g)
	r.generation++
}

func (r *routes) remove(filter string, g *group) {
	r.trie.remove(filter, g)
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
	known.groups = r.trie.match(known.groups[:0], name)
	r.bytes += 8 * (cap(known.groups) - before)
	return known
}
