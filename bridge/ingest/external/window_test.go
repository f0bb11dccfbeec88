package external

import (
	"fmt"
	"path/filepath"
	"testing"

	"plumbline/bridge/internal/eventually"
	"plumbline/bridge/journal"
)

func openJournal(t *testing.T, o journal.Options) *journal.Journal {
	t.Helper()
	if o.Dir == "" {
		o.Dir = filepath.Join(t.TempDir(), "journal")
	}
	j, err := journal.Open(o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = j.Close() })
	return j
}

func windowOf(t *testing.T, j *journal.Journal, most int, session string) *window {
	t.Helper()
	w, err := newWindow(j, "site-a", most, session)
	if err != nil {
		t.Fatal(err)
	}
	w.connected()
	return w
}

// take stores messages with these identifiers, rising from first, as they come from a broker.
func (w *window) take(t *testing.T, j *journal.Journal, first uint16, n int, again bool) (last uint16) {
	t.Helper()
	for n > 0 {
		var ms []journal.Message
		var ids []uint16
		for ; n > 0 && len(ms) < batchMessages; n-- {
			m := message(first)
			w.arrived(first, again)
			m.Producer, m.ProducerSeq = w.producer(first, again)
			ms, ids = append(ms, m), append(ids, first)
			last, first = first, first%identifiers+1
		}
		results, err := j.AppendAll(t.Context(), ms)
		if err != nil {
			t.Fatal(err)
		}
		for i := range ms {
			if results[i].Duplicate {
				t.Fatalf("identifier %d taken for a duplicate by the journal", ids[i])
			}
			w.add(ids[i], again, w.content(&ms[i]))
		}
	}
	return last
}

func message(id uint16) journal.Message {
	return journal.Message{Topic: "x", Payload: fmt.Append(nil, id), QoS: 1}
}

func (w *window) knows(id uint16) bool {
	m := message(id)
	return w.has(id, w.content(&m))
}

// wantKnown checks that the window knows the identifiers from first to last, and not those around.
func (w *window) wantKnown(t *testing.T, first, last uint16) {
	t.Helper()
	before := uint16((int(first)+identifiers-2)%identifiers + 1)
	after := last%identifiers + 1
	for _, tc := range []struct {
		id   uint16
		want bool
	}{{before, false}, {first, true}, {last, true}, {after, false}} {
		if w.knows(tc.id) != tc.want {
			t.Errorf("knows(%d) is %v; want all from %d to %d", tc.id, !tc.want, first, last)
		}
	}
}

// TestWindowRecalls: a new process knows what the one before knew, over the end of the identifiers, among the messages of others
// and of producers that count for themselves, and whatever marks are missing.
func TestWindowRecalls(t *testing.T) {
	j := openJournal(t, journal.Options{TailBytes: 1})
	w := windowOf(t, j, 20, "s")
	w.wantKnownNone(t)
	w.take(t, j, 1, 20, false)
	if w.knows(5) {
		t.Error("trusted before an identifier above Receive Maximum")
	}
	w.take(t, j, 21, 1, false)
	w.wantKnown(t, 1, 21)
	windowOf(t, j, 20, "s").wantKnown(t, 1, 21)
	w.take(t, j, 22, 3000, false) // beyond the second mark
	windowOf(t, j, 20, "s").wantKnown(t, 1, 3021)
	for _, other := range []*window{windowOf(t, j, 21, "s"), windowOf(t, j, 20, "t")} {
		other.wantKnownNone(t)
	}
	for range 3000 { // of another source, or of nobody
		if _, _, err := j.Append(t.Context(), journal.Message{Topic: "y", QoS: 1}); err != nil {
			t.Fatal(err)
		}
	}
	last := w.take(t, j, 3022, 6000, false)
	w.count += 3 * markEvery / 2 // a batch that was not stored, and the mark in it
	w.take(t, j, last+1, 60000, true)
	end := uint16(9021 + 60000 - identifiers)
	w.wantKnown(t, uint16(9021+60000-span+1), end)
	again := windowOf(t, j, 20, "s")
	again.wantKnown(t, again.run[0].id, end)
	if n := len(again.run); n < span-2*markEvery {
		t.Errorf("recalled %d messages", n)
	}
	again.take(t, j, end+1, 5000, false)
	again.wantKnown(t, uint16(int(end)+5000-span+1+identifiers), end+5000)
}

func (w *window) wantKnownNone(t *testing.T) {
	t.Helper()
	if len(w.run) > 0 || w.knows(1) {
		t.Errorf("knows %d messages", len(w.run))
	}
}

// TestWindowRuns: what does not follow begins anew; what is delivered again from before changes nothing.
func TestWindowRuns(t *testing.T) {
	j := openJournal(t, journal.Options{})
	w := windowOf(t, j, 20, "s")
	w.take(t, j, 30, 10, false)
	w.take(t, j, 5, 3, true) // from before the window: stored, as it is not known
	w.wantKnown(t, 30, 39)
	windowOf(t, j, 20, "s").wantKnown(t, 30, 39)
	w.take(t, j, 7, 3, false)
	if w.knows(30) || w.knows(7) {
		t.Error("a run of identifiers that are not above Receive Maximum is trusted")
	}
	w.take(t, j, 100, 3, true)
	if w.knows(100) {
		t.Error("trusted by what was delivered again")
	}
	if w = windowOf(t, j, 20, "s"); w.knows(30) || w.knows(100) {
		t.Error("recalled and trusted")
	}
	w.take(t, j, 103, 1, false)
	w.wantKnown(t, 100, 103)
	w.connected()
	w.arrived(104, false)
	w.arrived(1, true)
	w.wantKnown(t, 100, 103)
	w.connected()
	w.arrived(1, true)
	w.wantKnownNone(t)
}

// TestWindowOfABrokerThatGoesBack: a broker that comes back with an older counter gives identifiers again. One that arrived and was
// not stored before the connection broke is a new message when it is delivered again, be it equal to the old one.
func TestWindowOfABrokerThatGoesBack(t *testing.T) {
	j := openJournal(t, journal.Options{})
	w := windowOf(t, j, 20, "s")
	w.take(t, j, 1, 5000, false)
	w.wantKnown(t, 1, 5000)
	w.connected()
	w.arrived(1001, false)
	w.connected() // it was not stored
	w.arrived(1001, true)
	if w.knows(1001) {
		t.Error("a new message is taken for the old one of its identifier, and would be lost")
	}
	w.take(t, j, 1001, 10, true)
	if windowOf(t, j, 20, "s").knows(1011) {
		t.Error("a new process has the old run back, and would lose a new message")
	}
	w.take(t, j, 1011, 10, false)
	w.wantKnown(t, 1001, 1020)
	windowOf(t, j, 20, "s").wantKnown(t, 1001, 1020)
}

// TestWindowSequences: messages with a number of their own count as identifiers in between.
func TestWindowSequences(t *testing.T) {
	j := openJournal(t, journal.Options{})
	w := windowOf(t, j, 20, "s")
	w.take(t, j, 21, 10, false)
	for i := range span - 5 {
		m := journal.Message{Topic: "z", QoS: 1, Producer: producersOf("site-a") + "p", ProducerSeq: uint64(i + 1)}
		if _, _, err := j.Append(t.Context(), m); err != nil {
			t.Fatal(err)
		}
		w.add(uint16(31+i), false, 0)
	}
	w = windowOf(t, j, 20, "s")
	if w.knows(25) || !w.knows(26) || !w.knows(30) {
		t.Errorf("a window of %d messages, last %d", len(w.run), w.line.last)
	}
}

// TestWindowEvicted: what the journal does not have any more is not known, and no error.
func TestWindowEvicted(t *testing.T) {
	j := openJournal(t, journal.Options{SegmentBytes: 64 << 10, RetainBytes: 200 << 10, TailBytes: 1})
	w := windowOf(t, j, 20, "s")
	last := w.take(t, j, 21, 20000, false)
	eventually.Must(t, "the journal to drop what is old", func() bool { return j.First() > 100 })
	w = windowOf(t, j, 20, "s")
	if !w.knows(last) || w.knows(22) {
		t.Errorf("a window of %d messages of %d that are left", len(w.run), j.Head().Offset-j.First()+1)
	}
}
