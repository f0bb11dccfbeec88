package journal

// entryBytes is what an entry in memory costs beside its payload: the struct and
// the allocator's rounding. Topics are shared with the table of last values.
const entryBytes = 152

// chunkEntries is how many entries a chunk of the tail holds: some 150 KiB, which
// is got and filled in microseconds.
const chunkEntries = 1024

type chunk [chunkEntries]Entry

// tail is the youngest entries in memory, with consecutive offsets. It grows by
// chunks and never moves an entry: who appends must not wait until hundreds of
// thousands are copied. Guarded by Journal.mu.
type tail struct {
	chunks []*chunk
	at     int // index of the oldest in chunks[0]
	n      int
	spare  *chunk // emptied, for the next that is needed
	bytes  int64
	limit  int64
}

func entryCost(e *Entry) int64 { return entryBytes + int64(len(e.Payload)+len(e.Meta)+len(e.Producer)) }

// push adds the next entry. Beyond the limit the oldest go, but none above keep:
// those are nowhere else yet.
func (t *tail) push(e Entry, keep uint64) {
	if t.n > 0 && e.Offset != t.oldest()+uint64(t.n) {
		t.clear()
	}
	if t.at+t.n == len(t.chunks)*chunkEntries {
		t.grow()
	}
	*t.entry(t.n) = e
	t.n++
	t.bytes += entryCost(&e)
	for t.bytes > t.limit && t.n > 1 && t.oldest() <= keep {
		t.drop()
	}
}

// oldest returns the first offset held; only valid when n > 0.
func (t *tail) oldest() uint64 { return t.chunks[0][t.at].Offset }

// entry returns the place of entry i, counted from the oldest.
func (t *tail) entry(i int) *Entry {
	i += t.at
	return &t.chunks[i/chunkEntries][i%chunkEntries]
}

// holds reports whether the entry of offset is here.
func (t *tail) holds(offset uint64) bool {
	return t.n > 0 && offset >= t.oldest() && offset < t.oldest()+uint64(t.n)
}

// copyTo appends entries from offset on, which must be held.
func (t *tail) copyTo(dst []Entry, offset uint64, maxEntries, maxBytes int) []Entry {
	skip := int(offset - t.oldest())
	count, bytes := min(t.n-skip, maxEntries), 0
	for i := range count {
		e := t.entry(skip + i)
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
	oldest := t.entry(0)
	t.bytes -= entryCost(oldest)
	*oldest = Entry{}
	t.n--
	if t.at++; t.at == chunkEntries {
		t.spare, t.chunks[0] = t.chunks[0], nil
		t.chunks, t.at = t.chunks[1:], 0
	}
}

func (t *tail) clear() { *t = tail{limit: t.limit} }

func (t *tail) grow() {
	next := t.spare
	if t.spare = nil; next == nil {
		next = new(chunk)
	}
	t.chunks = append(t.chunks, next)
}
