package oracle

import (
	"slices"
	"sort"
)

// isAhead says that a message had not been written yet at an instant. One of a
// device that publishes by itself may reach a viewer before the witness, so
// nothing is known about it.
func (s *stream) isAhead(seq uint64, at int64) bool {
	return !s.self && s.messages[seq-1].sent > at
}

// latest returns the last position with a digest that a snapshot taken before
// an instant can hold, the first of all when each came later; 0 when the
// payload was never published.
func (s *stream) latest(digest uint64, at int64) (seq uint64) {
	list := s.foreign[digest]
	if len(list) == 0 {
		return 0
	}
	for _, later := range slices.Backward(list) {
		if s.messages[later-1].sent <= at {
			return later
		}
	}
	return list[0]
}

// foreignMatch follows one stream whose payloads are not ours at one observer:
// messages are told apart by digest and order only.
type foreignMatch struct {
	last uint64
	full map[uint64]int // by digest: so many of its first positions are taken
}

// lookAhead bounds how many positions in a row are looked at that had not been written
// yet: they are written in their order, or nearly.
const lookAhead = 1000

// find returns the position that an arriving payload stands for. Of the
// positions with its digest it prefers the first free one after the last match,
// then any free one (it came out of order), then the latest that was taken (a
// duplicate). It returns 0 when the payload was never published. What is ahead was
// not published yet. Who repeats one payload without end costs no more than others.
//
// Payloads that repeat cannot be told apart: when one of two equal messages is
// lost, that one was, but not which. Counts are exact all the same.
func (f *foreignMatch) find(s *stream, digest uint64, taken, ahead func(seq uint64) bool) (seq uint64, duplicate bool) {
	list := s.foreign[digest]
	if len(list) == 0 {
		return 0, false
	}
	next := sort.Search(len(list), func(i int) bool { return list[i] > f.last })
	for _, seq := range list[next:min(next+lookAhead, len(list))] {
		if !taken(seq) && !ahead(seq) {
			f.last = seq
			return seq, false
		}
	}
	full := f.full[digest]
	for full < next && taken(list[full]) {
		full++
	}
	if f.full == nil {
		f.full = map[uint64]int{}
	}
	f.full[digest] = full
	for _, seq := range list[full:max(next, full)] {
		if !taken(seq) && !ahead(seq) {
			return seq, false
		}
	}
	return list[max(next, 1)-1], true
}
