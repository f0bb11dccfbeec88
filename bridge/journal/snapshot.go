package journal

import "sort"

// Snapshot returns the last value of every topic that match accepts, by
// ascending offset, exactly as of the returned cursor: reading on from there
// gives every later change, none twice. Retained empty messages clear a topic's
// value. match is called without locks, once or a few times per topic. Appends go
// on meanwhile; the journal is locked in short slices only.
func (j *Journal) Snapshot(match func(topic string) bool) (Cursor, []Entry) {
	const slice = 512
	j.mu.Lock()
	start := j.head
	w := j.values.walk(start)
	j.mu.Unlock()

	var found []Entry
	seen := make([]Entry, 0, slice)
	for more := true; more; {
		seen = seen[:0]
		j.mu.Lock()
		more = w.slice(slice, func(n *node[latest]) { seen = append(seen, n.value.Entry) })
		j.mu.Unlock()
		for i := range seen {
			if match(seen[i].Topic) {
				found = append(found, seen[i])
			}
		}
	}
	late, cursor, removed := j.changedSince(w, start)
	return cursor, merge(found, late, removed, match)
}

// Retained returns the retained message of every topic that has one, by ascending
// offset: what a broker that starts has to know. It differs from the last value
// where messages without the retain flag came after. It locks the journal for as
// long as it takes.
func (j *Journal) Retained() []Entry {
	j.mu.Lock()
	defer j.mu.Unlock()
	var found []Entry
	for n := j.values.oldest; n != nil; n = n.newer {
		switch {
		case n.value.Retain:
			found = append(found, n.value.Entry)
		case n.value.retained != nil:
			found = append(found, *n.value.retained)
		}
	}
	sort.Slice(found, func(a, b int) bool { return found[a].Offset < found[b].Offset })
	return found
}

// changedSince ends the walk: everything that was set or removed while it went.
func (j *Journal) changedSince(w *walk[latest], start uint64) (late []Entry, c Cursor, removed []string) {
	j.mu.Lock()
	defer j.mu.Unlock()
	w.stop()
	for n := j.values.newest; n != nil && n.offset > start; n = n.older {
		late = append(late, n.value.Entry)
	}
	return late, Cursor{Epoch: j.epoch, Offset: j.head}, w.removed
}

// merge replaces in found what changed later and drops what was removed.
func merge(found, late []Entry, removed []string, match func(string) bool) []Entry {
	if len(late) == 0 && len(removed) == 0 {
		return found
	}
	stale := make(map[string]bool, len(late)+len(removed))
	for _, topic := range removed {
		stale[topic] = true
	}
	for i := range late {
		stale[late[i].Topic] = true
	}
	kept := found[:0]
	for i := range found {
		if !stale[found[i].Topic] {
			kept = append(kept, found[i])
		}
	}
	for i := range late {
		if match(late[i].Topic) {
			kept = append(kept, late[i])
		}
	}
	sort.Slice(kept, func(a, b int) bool { return kept[a].Offset < kept[b].Offset })
	return kept
}
