package journal

import "sort"

// Snapshot returns the last value of every topic that match accepts, by
// ascending offset, exactly as of the returned cursor: reading on from there
// gives every later change, none twice. Retained empty messages clear a topic's
// value. match is called without locks, once or a few times per topic. Appends go
// on meanwhile; the journal is locked in short slices only.
func (j *Journal) Snapshot(match func(topic string) bool) (Cursor, []Entry) {
	return j.snapshot(func(l *latest) *Entry { return &l.Entry }, match)
}

// Retained returns the retained message of every topic that has one, by ascending
// offset.
func (j *Journal) Retained() []Entry {
	_, all := j.RetainedMatching(func(string) bool { return true })
	return all
}

// RetainedMatching returns the retained message of every topic that has one and
// match accepts: what a new MQTT subscriber gets. It differs from the last value
// where messages without the retain flag came after. Otherwise it is like Snapshot.
func (j *Journal) RetainedMatching(match func(topic string) bool) (Cursor, []Entry) {
	return j.snapshot(retainedOf, match)
}

// RetainedOf returns the retained message of one topic, nil when it has none, as
// of the cursor.
func (j *Journal) RetainedOf(topic string) (Cursor, *Entry) {
	j.mu.Lock()
	defer j.mu.Unlock()
	c := Cursor{Epoch: j.Epoch(), Offset: j.head}
	n := j.values.nodes[topic]
	if n == nil {
		return c, nil
	}
	e := retainedOf(&n.value)
	if e == nil {
		return c, nil
	}
	found := *e
	return c, &found
}

func retainedOf(l *latest) *Entry {
	if l.Retain {
		return &l.Entry
	}
	return l.retained
}

// snapshot collects what pick, called with mu held, takes of every topic; nil is
// nothing.
func (j *Journal) snapshot(pick func(*latest) *Entry, match func(topic string) bool) (Cursor, []Entry) {
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
		more = w.slice(slice, func(n *node[latest]) {
			if e := pick(&n.value); e != nil {
				seen = append(seen, *e)
			}
		})
		j.mu.Unlock()
		for i := range seen {
			if match(seen[i].Topic) {
				found = append(found, seen[i])
			}
		}
	}
	late, cursor, stale := j.changedSince(w, start, pick)
	found = merge(found, late, stale, match)
	sort.Slice(found, func(a, b int) bool { return found[a].Offset < found[b].Offset })
	return cursor, found
}

// changedSince ends the walk: what was set or removed while it went, and the
// topics of both.
func (j *Journal) changedSince(w *walk[latest], start uint64, pick func(*latest) *Entry) (late []Entry, c Cursor, stale map[string]bool) {
	j.mu.Lock()
	defer j.mu.Unlock()
	w.stop()
	stale = map[string]bool{}
	for n := j.values.newest; n != nil && n.offset > start; n = n.older {
		stale[n.key] = true
		if e := pick(&n.value); e != nil {
			late = append(late, *e)
		}
	}
	for _, topic := range w.removed {
		stale[topic] = true
	}
	return late, Cursor{Epoch: j.Epoch(), Offset: j.head}, stale
}

// merge replaces in found what changed later and drops what was removed.
func merge(found, late []Entry, stale map[string]bool, match func(string) bool) []Entry {
	if len(stale) == 0 {
		return found
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
	return kept
}
