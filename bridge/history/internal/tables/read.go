package tables

import (
	"math"

	"plumbline/bridge/history"
	"plumbline/bridge/journal"
)

// Epochs are the names of the epochs by number.
type Epochs map[int64]string

// Seq finds the place of a cursor among the entries; history.ErrCursor when its epoch was never seen.
func (e Epochs) Seq(c journal.Cursor) (int64, error) {
	for id, name := range e {
		if name == c.Epoch {
			return Seq(id, c.Offset)
		}
	}
	return 0, history.ErrCursor
}

// Until returns the greatest seq that a query bounded by c may return.
func (e Epochs) Until(c journal.Cursor) (int64, error) {
	if c == (journal.Cursor{}) {
		return math.MaxInt64, nil
	}
	return e.Seq(c)
}

// Split tells the entry of a seq.
func (e Epochs) Split(seq int64) (epoch string, offset uint64) {
	id, offset := SplitSeq(seq)
	return e[id], offset
}

// greatest is after every text that a topic can begin with.
const greatest = "\U0010FFFF"

// Listing returns the bounds of a listing: topics from lo on and below hi, and what comes after after.
func Listing(q history.ListQuery) (lo, hi string, after history.Listed) {
	if q.After != nil {
		after = *q.After
	}
	lo, hi = Prefix(q.Filter)
	return max(lo, after.Topic), hi, after
}

// Prefix is history.Prefix with an upper bound in any case.
func Prefix(filter string) (lo, hi string) {
	if lo, hi = history.Prefix(filter); hi == "" {
		hi = greatest
	}
	return lo, hi
}

// Direction returns the words of SQL for an order: what is beyond a place, and how to sort.
func Direction(descending bool) (beyond, order string) {
	if descending {
		return "<", " DESC"
	}
	return ">", ""
}

// BeginField returns the field before all others of an order.
func BeginField(descending bool) string {
	if descending {
		return greatest
	}
	return ""
}
