package journal

import (
	"context"
	"fmt"
	"math/rand/v2"
	"sync"
	"testing"
)

// changesModel takes part after part as a slow reader would and returns the last
// value of each topic by what it was given, and where it stands.
func changesModel(t *testing.T, j *Journal, state map[string]Entry, at uint64, maxBytes int) uint64 {
	t.Helper()
	for {
		entries, upTo, whole, ok := j.Changes(at, func(string) bool { return true }, maxBytes)
		if !ok {
			t.Fatal("the table says it lost changes")
		}
		last := at
		for _, e := range entries {
			if e.Offset <= last || e.Offset > upTo {
				t.Fatalf("entry %d after %d, up to %d", e.Offset, last, upTo)
			}
			last = e.Offset
			state[e.Topic] = e
		}
		if at = upTo; whole {
			return at
		}
	}
}

// TestChangesWhileOthersAppend: parts of any size, taken while topics change under
// the reader, join to the present without a hole.
func TestChangesWhileOthersAppend(t *testing.T) {
	j, err := Open(Options{Dir: t.TempDir(), Sync: SyncMemory})
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = j.Close() }()
	r := rand.New(rand.NewPCG(1, 2))
	const topics, rounds = 3000, 30
	publish := func(r *rand.Rand, n int) {
		for range n {
			m := Message{Topic: fmt.Sprint("t/", r.IntN(topics)), Payload: []byte(fmt.Sprint(r.Uint64()))}
			if _, _, err := j.Append(context.Background(), m); err != nil {
				t.Error(err)
			}
		}
	}
	publish(r, 5000)
	state := map[string]Entry{}
	at := uint64(0)
	var wg sync.WaitGroup
	for seed := range 2 {
		wg.Go(func() { publish(rand.New(rand.NewPCG(7, uint64(seed))), 10_000) })
	}
	for range rounds {
		at = changesModel(t, j, state, at, 1+r.IntN(5000))
	}
	wg.Wait()
	at = changesModel(t, j, state, at, 1<<20)
	cursor, want := j.Snapshot(func(string) bool { return true })
	if at != cursor.Offset || len(want) != len(state) {
		t.Fatalf("%d topics at %d, want %d at %d", len(state), at, len(want), cursor.Offset)
	}
	for _, e := range want {
		if got := state[e.Topic]; got.Offset != e.Offset {
			t.Fatalf("%s is from %d, want %d", e.Topic, got.Offset, e.Offset)
		}
	}
}

// TestChangesSaysWhatItLost: a cleared or forgotten topic is a change that the table
// cannot tell, and so is everything before a checkpoint.
func TestChangesSaysWhatItLost(t *testing.T) {
	dir := t.TempDir()
	open := func(tableBytes int64) *Journal {
		j, err := Open(Options{Dir: dir, TableBytes: tableBytes})
		if err != nil {
			t.Fatal(err)
		}
		return j
	}
	j := open(0)
	all := func(string) bool { return true }
	put := func(m Message) {
		t.Helper()
		if _, _, err := j.Append(context.Background(), m); err != nil {
			t.Fatal(err)
		}
	}
	put(Message{Topic: "a", Payload: []byte("1")})
	put(Message{Topic: "b", Payload: []byte("1")})
	if e, upTo, whole, ok := j.Changes(0, all, 1<<20); len(e) != 2 || upTo != 2 || !whole || !ok {
		t.Fatalf("%v %d %v %v", e, upTo, whole, ok)
	}
	if e, upTo, whole, ok := j.Changes(0, all, 1); len(e) != 1 || upTo != 1 || whole || !ok {
		t.Fatalf("small: %v %d %v %v", e, upTo, whole, ok)
	}
	if e, upTo, whole, ok := j.Changes(2, all, 1); len(e) != 0 || upTo != 2 || !whole || !ok {
		t.Fatalf("none: %v %d %v %v", e, upTo, whole, ok)
	}
	put(Message{Topic: "a", Retain: true}) // 3 clears it
	if _, _, _, ok := j.Changes(2, all, 1<<20); ok {
		t.Error("a cleared topic was passed over")
	}
	if _, _, _, ok := j.Changes(3, all, 1<<20); !ok {
		t.Error("what lies before the cursor counts as lost")
	}
	if err := j.Close(); err != nil {
		t.Fatal(err)
	}
	j = open(2 * (nodeBytes + 2))
	defer func() { _ = j.Close() }()
	if _, _, _, ok := j.Changes(2, all, 1<<20); ok {
		t.Error("what a checkpoint covers counts as known")
	}
	for i := range 5 {
		put(Message{Topic: fmt.Sprint("c", i), Payload: []byte("1")}) // 4 to 8
	}
	if _, _, _, ok := j.Changes(3, all, 1<<20); ok {
		t.Error("a forgotten topic was passed over")
	}
	if e, _, _, ok := j.Changes(7, all, 1<<20); !ok || len(e) != 1 {
		t.Errorf("%v %v", e, ok)
	}
}
