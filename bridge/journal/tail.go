package journal

// entryBytes is what an entry in memory costs beside its payload: the struct and
// the allocator's rounding. Topics are shared with the table of last values.
const entryBytes = 152

// tail is the youngest entries in memory, a ring with consecutive offsets.
// Guarded by Journal.mu.
type tail struct {
	ring  []Entry // length is a power of two
	at    int     // index of the oldest
	n     int
	bytes int64
	limit int64
}

func entryCost(e *Entry) int64 { return entryBytes + int64(len(e.Payload)+len(e.Meta)+len(e.Producer)) }

// push adds the next entry. Beyond the limit the oldest go, but none above keep:
// those are nowhere else yet.
func (t *tail) push(e Entry, keep uint64) {
	if t.n > 0 && e.Offset != t.oldest()+uint64(t.n) {
		t.clear()
	}
	if t.n == len(t.ring) {
		t.grow()
	}
	t.ring[(t.at+t.n)&(len(t.ring)-1)] = e
	t.n++
	t.bytes += entryCost(&e)
	for t.bytes > t.limit && t.n > 1 && t.oldest() <= keep {
		t.drop()
	}
}

// oldest returns the first offset held; only valid when n > 0.
func (t *tail) oldest() uint64 { return t.ring[t.at].Offset }

// holds reports whether the entry of offset is here.
func (t *tail) holds(offset uint64) bool {
	return t.n > 0 && offset >= t.oldest() && offset < t.oldest()+uint64(t.n)
}

// copyTo appends entries from offset on, which must be held.
func (t *tail) copyTo(dst []Entry, offset uint64, maxEntries, maxBytes int) []Entry {
	skip := int(offset - t.oldest())
	count, bytes := min(t.n-skip, maxEntries), 0
	for i := range count {
		e := &t.ring[(t.at+skip+i)&(len(t.ring)-1)]
		bytes += len(e.Payload) + len(e.Topic)
		if i > 0 && bytes > maxBytes {
			break
		}
		dst = append(dst, *e)
	}
	return dst
}

// trim forgets what lies before first.
func (t *tail) trim(first uint64) {
	for t.n > 0 && t.oldest() < first {
		t.drop()
	}
}

func (t *tail) drop() {
	t.bytes -= entryCost(&t.ring[t.at])
	t.ring[t.at] = Entry{}
	t.at = (t.at + 1) & (len(t.ring) - 1)
	t.n--
}

func (t *tail) clear() {
	clear(t.ring)
	t.at, t.n, t.bytes = 0, 0, 0
}

func (t *tail) grow() {
	next := make([]Entry, max(256, 2*len(t.ring)))
	n := copy(next, t.ring[t.at:])
	copy(next[n:], t.ring[:t.at])
	t.ring, t.at = next, 0
}
