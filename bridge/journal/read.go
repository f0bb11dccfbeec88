package journal

import (
	"errors"
	"fmt"
	"os"
	"sort"
)

var (
	errNotExist = os.ErrNotExist
	errOther    = errors.New("the bytes are not those that were written")
)

// Read returns entries after the given offset in order, at least one when there
// is one, at most maxEntries and about maxBytes of topics and payloads. Fewer
// than asked for does not mean that there are no more: call again until none
// comes. It returns [ErrEvicted] when after+1 is gone, and nothing when after is
// at or beyond the head. Old entries are read from disk, which may block.
func (j *Journal) Read(after uint64, maxEntries, maxBytes int) ([]Entry, error) {
	return j.ReadInto(nil, after, maxEntries, maxBytes)
}

// ReadInto is [Journal.Read] that appends to dst, so that a reader who keeps up
// allocates nothing.
func (j *Journal) ReadInto(dst []Entry, after uint64, maxEntries, maxBytes int) ([]Entry, error) {
	maxEntries = max(maxEntries, 1)
	for {
		j.mu.Lock()
		switch {
		case j.closed:
			j.mu.Unlock()
			return dst, ErrClosed
		case after >= j.head:
			j.mu.Unlock()
			return dst, nil
		case after+1 < j.first():
			first := j.first()
			j.mu.Unlock()
			return dst, ErrEvicted{First: first}
		case j.tail.holds(after + 1):
			dst = j.tail.copyTo(dst, after+1, maxEntries, maxBytes)
			j.mu.Unlock()
			return dst, nil
		}
		i := sort.Search(len(j.segments), func(i int) bool { return j.segments[i].last > after })
		if i == len(j.segments) || j.segments[i].base > after+1 {
			j.mu.Unlock()
			return dst, fmt.Errorf("journal: read: entry %d is in no segment", after+1)
		}
		s := j.segments[i]
		at := s.locate(after + 1)
		view := segment{path: s.path, base: s.base, last: min(s.last, j.head), size: s.size, marked: s.marked}
		j.mu.Unlock()

		n := len(dst)
		dst, err := j.readSegment(dst, s, &view, at, after+1, maxEntries, maxBytes)
		if err != nil || len(dst) > n {
			return dst, err
		}
		// The segment was dropped or found damaged meanwhile: look again.
	}
}

// readSegment reads entries from offset want on, one chunk at most beyond what
// has to be skipped. It returns none when the place has to be looked up again.
func (j *Journal) readSegment(dst []Entry, s, view *segment, at mark, want uint64, maxEntries, maxBytes int) ([]Entry, error) {
	f, err := j.opts.fs.Open(view.path)
	if errors.Is(err, errNotExist) {
		j.setAside(s, err)
		return dst, nil
	}
	if err != nil {
		return dst, j.lost(s, err)
	}
	defer func() { _ = f.Close() }()
	scan := newScanner(f, at.pos, view.size)
	var found segment // the marks found on the way, for a segment that recovery did not scan
	found.marked = at.pos
	next, bytes, n := at.offset, 0, 0
	for next <= view.last && n < maxEntries && (n == 0 || scan.buffered()) {
		var e Entry
		pos := scan.pos
		size, c := scan.next(&e)
		if c != whole && scan.err != nil {
			return dst, j.lost(s, scan.err)
		}
		if c != whole || e.Offset != next {
			j.setAside(s, errOther)
			break
		}
		found.note(next, pos, pos+int64(size))
		if next++; e.Offset < want {
			continue
		}
		if bytes += len(e.Payload) + len(e.Topic); n > 0 && bytes > maxBytes {
			break
		}
		dst = append(dst, e)
		n++
	}
	if at.pos <= view.marked && found.marked > view.marked {
		j.learn(s, &found)
	}
	return dst, nil
}

// learn adds the marks found while reading a segment that recovery did not scan.
func (j *Journal) learn(s, found *segment) {
	j.mu.Lock()
	defer j.mu.Unlock()
	if found.marked <= s.marked {
		return // someone else learned more meanwhile
	}
	for _, m := range found.marks {
		if n := len(s.marks); n == 0 || m.pos-s.marks[n-1].pos >= markEvery {
			s.marks = append(s.marks, m)
		}
	}
	s.marked = found.marked
}

// lost sets a segment aside whose bytes the disk does not give, and returns nil;
// another error may pass. A segment that still grows is left to its writer, whom
// such a disk refuses too: it ends then.
func (j *Journal) lost(s *segment, err error) error {
	if !unreadable(err) {
		return err
	}
	j.mu.Lock()
	grows := len(j.segments) > 0 && j.segments[len(j.segments)-1] == s
	j.mu.Unlock()
	if grows {
		return err
	}
	j.setAside(s, err)
	return nil
}

// setAside gives up a segment that cannot be read, and why says the reason: what it
// holds, and all before it, is evicted, except what is still in memory.
func (j *Journal) setAside(s *segment, why error) {
	j.mu.Lock()
	defer j.mu.Unlock()
	at := -1
	for i := range j.segments {
		if j.segments[i] == s {
			at = i
		}
	}
	floor := s.last + 1
	if j.tail.n > 0 {
		floor = min(floor, j.tail.oldest())
	}
	if at < 0 || floor <= j.first() {
		return // dropped by retention meanwhile, or known already
	}
	j.stats.Evicted += floor - j.first()
	j.floor = floor
	for len(j.segments) > 1 && j.segments[0].last < floor {
		j.damaged = append(j.damaged, j.segments[0])
		j.segments = j.segments[1:]
	}
	j.opts.Log.Error("journal segment is damaged, entries before are gone", "path", s.path, "first", floor, "error", why)
}
