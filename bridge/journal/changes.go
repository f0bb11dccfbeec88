package journal

import "math"

// Changes returns the last values that were set after the given offset, of the
// topics that match accepts, by ascending offset: what a reader needs who wants
// the present only and not what led to it. It reads memory only. It ends at the
// head, or when about maxBytes of topics and payloads were found. Everything up to
// upTo that is not among the entries was set anew after it, by an entry that is
// among them or will be in the next call with upTo. whole says that upTo is the
// head. ok is false when topics changed after the given offset and were cleared or
// forgotten since: only [Journal.Read] can tell then. match is called without locks.
func (j *Journal) Changes(after uint64, match func(topic string) bool, maxBytes int) (entries []Entry, upTo uint64, whole, ok bool) {
	const slice = 512
	seen := make([]Entry, 0, slice)
	j.mu.Lock()
	w := j.values.walk(math.MaxUint64)
	w.next = j.values.newest
	for !w.seek(after, slice) {
		j.mu.Unlock()
		j.mu.Lock()
	}
	upTo = after
	for bytes := 0; ; {
		seen = seen[:0]
		w.seekMissed(upTo)
		more := w.slice(slice, func(n *node[latest]) { seen = append(seen, n.value.Entry) })
		if whole = !more; whole {
			w.stop()
		}
		head, lost := j.head, j.values.lost
		j.mu.Unlock()
		for i := range seen {
			e := &seen[i]
			upTo = max(upTo, e.Offset)
			if !match(e.Topic) {
				continue
			}
			entries = append(entries, *e)
			if bytes += len(e.Topic) + len(e.Payload); bytes >= maxBytes && (i+1 < len(seen) || more) {
				more, whole = false, false
				break
			}
		}
		if more {
			j.mu.Lock()
			continue
		}
		if whole {
			return entries, max(after, head), true, lost <= after
		}
		j.mu.Lock()
		w.stop()
		j.mu.Unlock()
		return entries, upTo, false, lost <= after
	}
}

// seekMissed goes on when the node that was next was the newest and has been set
// anew. Everything up to offset was visited.
func (w *walk[V]) seekMissed(offset uint64) {
	if w.next == nil {
		w.seek(offset, math.MaxInt)
	}
}
