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
		more = w.slice(slice, func(n *node[Entry]) { seen = append(seen, n.value) })
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

// changedSince ends the walk: everything that was set or removed while it went.
func (j *Journal) changedSince(w *walk[Entry], start uint64) (late []Entry, c Cursor, removed []string) {
	j.mu.Lock()
	defer j.mu.Unlock()
	w.stop()
	for n := j.values.newest; n != nil && n.offset > start; n = n.older {
		late = append(late, n.value)
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
