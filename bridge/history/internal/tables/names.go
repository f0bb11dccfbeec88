package tables

import "plumbline/bridge/history"

// Names is what a writer knows by heart: the numbers of series and epochs. It is true only as long as no transaction fails, since
// one that did may have taken numbers back or, its answer lost, not. The zero value knows nothing; [Names.Begin] comes first. One
// goroutine at a time may use it.
type Names struct {
	Epochs map[string]int64
	series map[history.Listed]int64
	room   Room
}

// Begin makes n know that there is nothing, with room for so many series.
func (n *Names) Begin(maxSeries int) {
	*n = Names{Epochs: map[string]int64{}, series: map[history.Listed]int64{}, room: Room{Most: maxSeries}}
}

// Forget makes n know nothing.
func (n *Names) Forget() { *n = Names{} }

// Known reports whether n knows anything.
func (n *Names) Known() bool { return n.series != nil }

// Series returns the number of a series.
func (n *Names) Series(l history.Listed) (id int64, ok bool) {
	id, ok = n.series[l]
	return id, ok
}

// Take adds a series, if there is room; its number is told later by [Names.Add].
func (n *Names) Take(l history.Listed) bool {
	if !n.room.For(l) {
		return false
	}
	n.Add(l, 0)
	return true
}

// Add adds a series that is in the database, or the number of one that was taken.
func (n *Names) Add(l history.Listed, id int64) {
	if _, ok := n.series[l]; !ok {
		n.room.Take(l)
	}
	n.series[l] = id
}

// bytesOfSeries is how long the names of a series may be in the mean.
const bytesOfSeries = 256

// leastBytes lets a store of few series have a long name.
const leastBytes = 1 << 20

// Room is how much room for series there is: each costs memory, its names too, and publishers choose them.
type Room struct {
	Most  int // series
	taken int
	bytes int
}

// For reports whether there is room for one more.
func (r *Room) For(l history.Listed) bool {
	return r.taken < r.Most && r.bytes+bytesOf(l) <= max(leastBytes, bytesOfSeries*r.Most)
}

// Take takes room, be it there or not.
func (r *Room) Take(l history.Listed) {
	r.taken++
	r.bytes += bytesOf(l)
}

func bytesOf(l history.Listed) int { return len(l.Topic) + len(l.Field) + len(l.Unit) }
