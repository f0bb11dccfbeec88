package topic

import "strings"

// Tree finds the filters that match a topic, each with a value of its owner's. A node is one level of a filter. The zero value
// is empty and ready for use. It is not safe for concurrent use.
type Tree[V comparable] struct{ root level[V] }

type level[V comparable] struct {
	next   map[string]*level[V] // by literal level
	plus   *level[V]            // the level "+"
	ends   []V                  // filters that end here
	hashes []V                  // filters that go on with "#"
}

// Add enters v under a valid filter, once more if it is there already.
func (t *Tree[V]) Add(filter string, v V) {
	n := &t.root
	for rest, more := filter, true; more; {
		var name string
		name, rest, more = strings.Cut(rest, "/")
		switch name {
		case "#":
			n.hashes = append(n.hashes, v)
			return
		case "+":
			if n.plus == nil {
				n.plus = new(level[V])
			}
			n = n.plus
		default:
			child := n.next[name]
			if child == nil {
				if n.next == nil {
					n.next = make(map[string]*level[V])
				}
				child = new(level[V])
				n.next[strings.Clone(name)] = child
			}
			n = child
		}
	}
	n.ends = append(n.ends, v)
}

// Remove takes v out again, if it is there, and prunes what is empty then.
func (t *Tree[V]) Remove(filter string, v V) { t.root.remove(filter, true, v) }

// Empty reports whether nothing is entered.
func (t *Tree[V]) Empty() bool { return t.root.empty() }

func (n *level[V]) remove(rest string, more bool, v V) {
	if !more {
		n.ends = without(n.ends, v)
		return
	}
	name, rest, more := strings.Cut(rest, "/")
	switch name {
	case "#":
		n.hashes = without(n.hashes, v)
	case "+":
		if n.plus != nil {
			if n.plus.remove(rest, more, v); n.plus.empty() {
				n.plus = nil
			}
		}
	default:
		if child := n.next[name]; child != nil {
			if child.remove(rest, more, v); child.empty() {
				delete(n.next, name)
			}
		}
	}
}

func (n *level[V]) empty() bool {
	return len(n.next) == 0 && n.plus == nil && len(n.ends) == 0 && len(n.hashes) == 0
}

func without[V comparable](list []V, v V) []V {
	for i := range list {
		if list[i] == v {
			var none V
			list[i] = list[len(list)-1]
			list[len(list)-1] = none
			return list[:len(list)-1]
		}
	}
	return list
}

// Match appends to dst the values whose filter matches the valid topic name, as [Match] says, each once.
func (t *Tree[V]) Match(dst []V, name string) []V {
	// A leading wildcard does not match a topic that starts with $ [MQTT-4.7.2-1].
	if Reserved(name) {
		first, rest, more := strings.Cut(name, "/")
		if child := t.root.next[first]; child != nil {
			return child.match(dst, rest, more)
		}
		return dst
	}
	return t.root.match(dst, name, true)
}

func (n *level[V]) match(dst []V, rest string, more bool) []V {
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
