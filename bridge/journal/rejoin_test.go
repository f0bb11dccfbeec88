package journal

import "testing"

// A reader of its own, such as a history, comes back with a cursor of an epoch that ended: it goes on where the logs still agree,
// not where it was, for the offsets after that were given again.
func TestRejoin(t *testing.T) {
	r := newRig(t, SyncMemory) // an unclean end renews the epoch
	j := r.open()
	first := j.Epoch()
	appendN(t, j, 1, 100)
	eventually(t, "written", func() bool { return written(j) == 100 })
	r.kill(j)
	j = r.open()
	second := j.Epoch()
	if second == first {
		t.Fatal("the epoch was not renewed")
	}
	appendN(t, j, 101, 50)
	eventually(t, "written", func() bool { return written(j) == 150 })
	r.kill(j)
	j = r.open()
	for _, c := range []struct {
		name string
		from Cursor
		want uint64
	}{
		{"present epoch", Cursor{j.Epoch(), 7}, 7},
		{"first epoch, what the journal has", Cursor{first, 60}, 60},
		{"first epoch, more than the journal kept", Cursor{first, 140}, 100},
		{"second epoch, what the journal has", Cursor{second, 140}, 140},
		{"second epoch, more than the journal kept", Cursor{second, 170}, 150},
		{"another journal's", Cursor{"ffffffffffffffff", 170}, 0},
		{"nothing yet", Cursor{}, 0},
	} {
		if got := j.Rejoin(c.from); got != c.want {
			t.Errorf("%s: goes on after %d, want %d", c.name, got, c.want)
		}
	}
	closeJournal(t, j)
	if j = r.open(); j.Rejoin(Cursor{first, 140}) != 100 {
		t.Errorf("after a clean end: goes on after %d, want 100", j.Rejoin(Cursor{first, 140}))
	}
}

// written is the last offset that is in a file.
func written(j *Journal) uint64 {
	j.io.Lock()
	defer j.io.Unlock()
	return j.written
}
