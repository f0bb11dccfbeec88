package journal

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"reflect"
	"sort"
	"strings"
	"testing"
	"time"
)

// unsynced is a disk without fsync: for tests that open a journal a thousand times
// and in which no machine crashes.
type unsynced struct{ disk }

type unsyncedFile struct{ file }

func (unsyncedFile) Sync() error { return nil }

func (u unsynced) Create(path string) (file, error) {
	f, err := u.disk.Create(path)
	return unsyncedFile{f}, err
}

func (unsynced) SyncFile(string) error { return nil }
func (unsynced) SyncDir(string) error  { return nil }

// readDir keeps the files of a directory in memory, to be put back.
func readDir(t *testing.T, dir string) map[string][]byte {
	t.Helper()
	names, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	all := make(map[string][]byte)
	for _, n := range names {
		if all[n.Name()], err = os.ReadFile(filepath.Join(dir, n.Name())); err != nil {
			t.Fatal(err)
		}
	}
	return all
}

// writeDir makes a directory of files as if the run that left them had just
// ended, in memory where the system has such a place.
func writeDir(t *testing.T, files map[string][]byte) string {
	t.Helper()
	dir, err := os.MkdirTemp("/dev/shm", "journal") //nolint:usetesting // thousands of directories: they need the place that is memory
	if err != nil {
		dir = t.TempDir()
	}
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	for name, data := range files {
		var s state
		if name == stateName && json.Unmarshal(data, &s) == nil {
			s.Written = time.Now().UTC() // or it would count as restored from a copy
			if data, err = json.Marshal(s); err != nil {
				t.Fatal(err)
			}
		}
		if err := os.WriteFile(filepath.Join(dir, name), data, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

// lastSegment returns the name of the youngest segment file.
func lastSegment(files map[string][]byte) string {
	var names []string
	for name := range files {
		if strings.HasSuffix(name, segmentSuffix) {
			names = append(names, name)
		}
	}
	sort.Strings(names)
	return names[len(names)-1]
}

// killed makes a directory that a killed process left: n entries, unclean.
func killed(t *testing.T, policy SyncPolicy, n int) (files map[string][]byte, opts Options, epoch string) {
	t.Helper()
	r := newRig(t, policy)
	j := r.open()
	appendN(t, j, 1, n)
	if policy == SyncMemory {
		eventually(t, "the records to be written", func() bool { return j.Stats().DiskBytes > int64(n)*50 })
	}
	epoch = j.Epoch()
	r.kill(j)
	return readDir(t, r.opts.Dir), r.opts, epoch
}

// Cut at every byte: what is whole stays, the rest is gone, the log goes on.
func TestTruncateAtEveryByte(t *testing.T) {
	files, opts, epoch := killed(t, SyncOS, 12)
	opts.fs = unsynced{}
	name := lastSegment(files)
	whole := files[name]
	ends := recordEnds(t, whole)
	for cut := range len(whole) {
		files[name] = whole[:cut]
		opts.Dir = writeDir(t, files)
		j, err := Open(opts)
		if err != nil {
			t.Fatalf("cut at %d: %v", cut, err)
		}
		kept := sort.SearchInts(ends, cut+1)
		wantEntries(t, readAll(t, j, 0), 1, kept)
		if j.Epoch() != epoch {
			t.Fatalf("cut at %d: epoch renewed for an unfinished record", cut)
		}
		appendN(t, j, kept+1, 3)
		closeJournal(t, j)
		if j, err = Open(opts); err != nil {
			t.Fatalf("cut at %d, opened again: %v", cut, err)
		}
		wantEntries(t, readAll(t, j, 0), 1, kept+3)
		closeJournal(t, j)
		_ = os.RemoveAll(opts.Dir)
	}
}

// recordEnds returns the positions at which records end.
func recordEnds(t *testing.T, segment []byte) (ends []int) {
	t.Helper()
	for pos := segmentHead; pos < len(segment); {
		var e Entry
		size, c := parseRecord(segment[pos:], &e)
		if c != whole {
			t.Fatalf("no record at %d", pos)
		}
		pos += size
		ends = append(ends, pos)
	}
	return ends
}

// Flip one bit of every byte, after a kill and after a clean end: never a wrong
// entry, and what is lost is told, by a new epoch or as evicted.
func TestFlipEveryByte(t *testing.T) {
	files, opts, epoch := killed(t, SyncOS, 8)
	flipEach(t, files, opts, func(where string, j *Journal) {
		if j.Epoch() == epoch && j.Head().Offset < 8 {
			t.Fatalf("%s: epoch kept with head %d of 8", where, j.Head().Offset)
		}
		checkHonest(t, where, j, epoch)
	})

	r := newRig(t, SyncOS)
	j := r.open()
	appendN(t, j, 1, 8)
	epoch = j.Epoch()
	closeJournal(t, j)
	flipEach(t, readDir(t, r.opts.Dir), r.opts, func(where string, j *Journal) {
		checkHonest(t, where+" after a clean end", j, epoch)
	})
}

func flipEach(t *testing.T, files map[string][]byte, opts Options, check func(string, *Journal)) {
	t.Helper()
	opts.fs = unsynced{}
	name := lastSegment(files)
	for i := range files[name] {
		damaged := append([]byte(nil), files[name]...)
		damaged[i] ^= 1 << (i % 8)
		with := map[string][]byte{}
		for n, data := range files {
			with[n] = data
		}
		with[name] = damaged
		opts.Dir = writeDir(t, with)
		j, err := Open(opts)
		if err != nil {
			if i >= 8 && i < 12 { // a version from the future is not touched
				continue
			}
			t.Fatalf("flip at %d: %v", i, err)
		}
		check(fmt.Sprintf("flip at %d", i), j)
		_ = j.Close()
		_ = os.RemoveAll(opts.Dir)
	}
}

// checkHonest reads as a viewer who has seen nothing of this epoch would.
func checkHonest(t *testing.T, where string, j *Journal, epoch string) {
	t.Helper()
	after := uint64(0)
	for {
		got, err := j.Read(after, 100, 1<<20)
		if gone := (ErrEvicted{}); errors.As(err, &gone) && gone.First > after+1 {
			after = gone.First - 1
			continue
		}
		if err != nil {
			t.Fatalf("%s: read after %d: %v", where, after, err)
		}
		if len(got) == 0 {
			break
		}
		for _, e := range got {
			if want := (Entry{Offset: after + 1, Message: message(int(after) + 1)}); !reflect.DeepEqual(e, want) {
				t.Fatalf("%s: %+v, want %+v", where, e, want)
			}
			after++
		}
	}
	if j.Epoch() == epoch && after != 8 {
		t.Fatalf("%s: epoch kept, but the log ends at %d", where, after)
	}
}

func TestEpochRules(t *testing.T) {
	day := func(r *rig) { r.opts.boot = func() string { return "boot-2" } }
	for _, c := range []struct {
		name   string
		policy SyncPolicy
		clean  bool
		then   func(*rig)
		kept   bool
	}{
		{"clean, memory", SyncMemory, true, nil, true},
		{"clean, os, rebooted", SyncOS, true, day, true},
		{"clean, other policy next", SyncDurable, true, func(r *rig) { r.opts.Sync = SyncMemory }, true},
		{"killed, memory", SyncMemory, false, nil, false},
		{"killed, os", SyncOS, false, nil, true},
		{"killed, os, rebooted", SyncOS, false, day, false},
		{"killed, os, boot unknown", SyncOS, false, func(r *rig) { r.opts.boot = func() string { return "" } }, false},
		{"killed, durable, rebooted", SyncDurable, false, day, true},
		{"state lost", SyncOS, true, func(r *rig) { r.remove(stateName) }, false},
		{"state damaged", SyncOS, true, func(r *rig) { r.write(stateName, "{") }, false},
		{"segment in the middle lost", SyncDurable, false, func(r *rig) { r.remove(r.segments()[2]) }, false},
		{"last segment lost", SyncOS, true, func(r *rig) { r.remove(r.segments()[len(r.segments())-1]) }, false},
		{"oldest segment lost", SyncOS, true, func(r *rig) { r.remove(r.segments()[0]) }, true}, // as retention does
		{"all segments lost", SyncOS, true, func(r *rig) {
			for _, name := range r.segments() {
				r.remove(name)
			}
		}, false},
		{"checkpoint lost", SyncOS, true, func(r *rig) { r.remove(checkpointName) }, true},
		{"checkpoint damaged", SyncOS, true, func(r *rig) { r.write(checkpointName, "PLBJCKP\nnothing of the kind") }, true},
		{"header damaged in the middle", SyncDurable, false, func(r *rig) { r.write(r.segments()[2], "x") }, false},
	} {
		t.Run(c.name, func(t *testing.T) {
			r := newRig(t, c.policy)
			r.opts.SegmentBytes = 4096
			j := r.open()
			appendN(t, j, 1, 200)
			epoch := j.Epoch()
			if c.clean {
				closeJournal(t, j)
			} else {
				r.kill(j)
			}
			if c.then != nil {
				c.then(r)
			}
			j = r.open()
			if kept := j.Epoch() == epoch; kept != c.kept {
				t.Fatalf("epoch kept: %v, want %v", kept, c.kept)
			}
			head := j.Head().Offset
			appendN(t, j, int(head)+1, 30)
			first := int(j.First())
			wantEntries(t, readAll(t, j, uint64(first-1)), first, int(head)+30)
			if epoch = j.Epoch(); len(epoch) != epochBytes {
				t.Fatalf("epoch %q", epoch)
			}
			closeJournal(t, j)
			j = r.open() // whatever it was, it is healed now
			if j.Epoch() != epoch || int(j.First()) != first {
				t.Fatalf("opened again: epoch kept %v, first %d, want %d", j.Epoch() == epoch, j.First(), first)
			}
			wantEntries(t, readAll(t, j, uint64(first-1)), first, int(head)+30)
		})
	}
}

func (r *rig) remove(name string) {
	r.t.Helper()
	if err := os.Remove(filepath.Join(r.opts.Dir, name)); err != nil {
		r.t.Fatal(err)
	}
}

func (r *rig) write(name, text string) {
	r.t.Helper()
	if err := os.WriteFile(filepath.Join(r.opts.Dir, name), []byte(text), 0o600); err != nil {
		r.t.Fatal(err)
	}
}

func (r *rig) segments() (names []string) {
	r.t.Helper()
	for name := range readDir(r.t, r.opts.Dir) {
		if strings.HasSuffix(name, segmentSuffix) {
			names = append(names, name)
		}
	}
	sort.Strings(names)
	return names
}

// After a crash of the machine under SyncDurable the end of the file may hold
// anything; only what was never acknowledged is there.
func TestDurableTailAfterPowerLoss(t *testing.T) {
	files, opts, epoch := killed(t, SyncDurable, 10)
	opts.boot = func() string { return "boot-2" }
	name := lastSegment(files)
	intact := files[name]
	ends := recordEnds(t, intact)
	for what, c := range map[string]struct {
		tail []byte
		kept bool
		n    int
	}{
		"zeros":                      {make([]byte, 5000), true, 10},
		"noise":                      {[]byte(strings.Repeat("\xa5noise", 1000)), true, 10},
		"damage before good records": {nil, false, 4},
	} {
		t.Run(what, func(t *testing.T) {
			data := append(append([]byte(nil), intact...), c.tail...)
			if c.tail == nil {
				data[ends[3]+30] ^= 1
			}
			files[name] = data
			opts.Dir = writeDir(t, files)
			j, err := Open(opts)
			if err != nil {
				t.Fatal(err)
			}
			defer func() { _ = j.Close() }()
			wantEntries(t, readAll(t, j, 0), 1, c.n)
			if (j.Epoch() == epoch) != c.kept {
				t.Fatalf("epoch kept: %v, want %v", j.Epoch() == epoch, c.kept)
			}
		})
	}
}

// A journal that was brought back from a copy does not continue the old epoch,
// since others may have seen what came after the copy was made.
func TestRestoredCopy(t *testing.T) {
	r := newRig(t, SyncOS)
	j := r.open()
	appendN(t, j, 1, 5)
	epoch := j.Epoch()
	closeJournal(t, j)
	path := filepath.Join(r.opts.Dir, stateName)
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	info, err := os.Stat(path)
	if err != nil {
		t.Fatal(err)
	}
	if _, ok := changeTime(info); !ok {
		t.Skip("this system does not tell when an inode was changed")
	}
	s, doubt := readState(r.opts.Dir)
	if doubt != "" {
		t.Fatalf("doubt %q about an untouched directory", doubt)
	}
	// A copy made an hour ago: its content is old, its inode new.
	old := strings.Replace(string(text), s.Written.Format(time.RFC3339Nano), s.Written.Add(-time.Hour).Format(time.RFC3339Nano), 1)
	if old == string(text) {
		t.Fatalf("no time of writing in %s", text)
	}
	r.write(stateName, old)
	if j = r.open(); j.Epoch() == epoch {
		t.Fatal("epoch kept over a restored copy")
	}
	wantEntries(t, readAll(t, j, 0), 1, 5)
}

func TestForeignFiles(t *testing.T) {
	r := newRig(t, SyncOS)
	r.write("notes.txt", "kept")
	r.write("00000000000000000007.seg.tmp", "left over")
	r.write("123.seg", "not ours")
	j := r.open()
	appendN(t, j, 1, 3)
	closeJournal(t, j)
	files := readDir(t, r.opts.Dir)
	if string(files["notes.txt"]) != "kept" || files["123.seg"] == nil || files["00000000000000000007.seg.tmp"] != nil {
		t.Fatalf("files left: %v", len(files))
	}
}
