package journal

import "strings"

// table maps keys to values and knows in which order they were last set, by
// offset. Beyond its limit the longest unset goes, so that a publisher who
// invents topics cannot fill the memory. Guarded by Journal.mu.
type table[V any] struct {
	nodes          map[string]*node[V]
	oldest, newest *node[V]
	bytes, limit   int64
	evicted        uint64
	lost           uint64 // changes of keys up to this offset may be here no more
	walks          []*walk[V]
}

// node is one key's present value. Nodes are linked by ascending offset.
type node[V any] struct {
	key          string
	offset       uint64
	cost         int64
	value        V
	older, newer *node[V]
}

// nodeBytes is what a node costs beside key and value: the struct and its place
// in the map.
const nodeBytes = 200

func newTable[V any](limit int64) *table[V] {
	return &table[V]{nodes: make(map[string]*node[V]), limit: limit}
}

// set stores the value of key as of offset, which must not be below any offset
// already set, except for keys of a checkpoint that later records set again. The node holds the table's own copy of the key.
func (t *table[V]) set(key string, offset uint64, value V, bytes int64) *node[V] {
	n := t.nodes[key]
	if n == nil {
		n = &node[V]{key: strings.Clone(key)}
		t.nodes[n.key] = n
	} else {
		t.unlink(n)
	}
	t.bytes -= n.cost
	n.offset, n.value, n.cost = offset, value, nodeBytes+int64(len(key))+bytes
	t.bytes += n.cost
	n.older, n.newer = t.newest, nil
	if t.newest != nil {
		t.newest.newer = n
	} else {
		t.oldest = n
	}
	t.newest = n
	for t.bytes > t.limit && t.oldest != n {
		t.evicted++
		t.lost = max(t.lost, t.oldest.offset)
		t.remove(t.oldest.key)
	}
	return n
}

func (t *table[V]) remove(key string) {
	n := t.nodes[key]
	if n == nil {
		return
	}
	t.unlink(n)
	t.bytes -= n.cost
	delete(t.nodes, key)
	for _, w := range t.walks {
		w.removed = append(w.removed, key)
	}
}

func (t *table[V]) unlink(n *node[V]) {
	for _, w := range t.walks {
		if w.next == n {
			w.next = n.newer
		}
	}
	if n.older != nil {
		n.older.newer = n.newer
	} else {
		t.oldest = n.newer
	}
	if n.newer != nil {
		n.newer.older = n.older
	} else {
		t.newest = n.older
	}
	n.older, n.newer = nil, nil
}

// walk visits the nodes from the oldest to those set at start, in slices, while
// others go on setting values between two slices. What is set or removed in the
// meantime moves past the walk's end or into removed.
type walk[V any] struct {
	t       *table[V]
	next    *node[V]
	end     uint64 // nodes set after this offset are not visited
	removed []string
}

// walk begins a walk that ends at offset end. The caller must call stop.
func (t *table[V]) walk(end uint64) *walk[V] {
	w := &walk[V]{t: t, next: t.oldest, end: end}
	t.walks = append(t.walks, w)
	return w
}

// slice visits up to n nodes and reports whether there are more.
func (w *walk[V]) slice(n int, visit func(*node[V])) bool {
	for ; n > 0; n-- {
		if w.next == nil || w.next.offset > w.end {
			return false
		}
		visit(w.next)
		w.next = w.next.newer
	}
	return true
}

// seek moves the walk to the oldest node set after offset, in at most n steps, and
// reports whether it is there.
func (w *walk[V]) seek(offset uint64, n int) bool {
	if w.next == nil {
		w.next = w.t.newest
	}
	if w.next == nil || w.next.offset <= offset { // it is the newest: nothing was set after offset
		w.next = nil
		return true
	}
	for ; n > 0; n-- {
		older := w.next.older
		if older == nil || older.offset <= offset {
			return true
		}
		w.next = older
	}
	return false
}

func (w *walk[V]) stop() {
	for i, other := range w.t.walks {
		if other == w {
			w.t.walks = append(w.t.walks[:i], w.t.walks[i+1:]...)
			return
		}
	}
}
