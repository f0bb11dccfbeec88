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
type foreignMatch struct{ last uint64 }

// find returns the position that an arriving payload stands for. Of the
// positions with its digest it prefers the first free one after the last match,
// then any free one (it came out of order), then the latest that was taken (a
// duplicate). It returns 0 when the payload was never published.
//
// Payloads that repeat cannot be told apart: when one of two equal messages is
// lost, that one was, but not which. Counts are exact all the same.
func (f *foreignMatch) find(s *stream, digest uint64, taken func(seq uint64) bool) (seq uint64, duplicate bool) {
	list := s.foreign[digest]
	if len(list) == 0 {
		return 0, false
	}
	next := sort.Search(len(list), func(i int) bool { return list[i] > f.last })
	for _, seq := range list[next:] {
		if !taken(seq) {
			f.last = seq
			return seq, false
		}
	}
	for _, seq := range list[:next] {
		if !taken(seq) {
			return seq, false
		}
	}
	return list[max(next, 1)-1], true
}
