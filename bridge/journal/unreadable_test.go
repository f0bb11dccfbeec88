package journal

import (
	"bytes"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
)

// unreadableRig is a journal of several segments on a disk that can fail, without a tail.
func unreadableRig(t *testing.T, policy SyncPolicy) (r *rig, fs *faulty, said *bytes.Buffer) {
	t.Helper()
	r, fs, said = newRig(t, policy), &faulty{}, new(bytes.Buffer)
	r.opts.fs, r.opts.SegmentBytes, r.opts.TailBytes = fs, 4096, 1
	r.opts.Log = slog.New(slog.NewTextHandler(said, nil))
	return r, fs, said
}

// names returns the file names of the segments.
func (j *Journal) names() (names []string) {
	j.mu.Lock()
	defer j.mu.Unlock()
	for _, s := range j.segments {
		names = append(names, filepath.Base(s.path))
	}
	return names
}

// badSector makes reads of a segment fail, times of them or with a negative number all; those of at most spare bytes succeed.
func badSector(name string, times, spare int) func(string, string, int) (int, error) {
	return func(op, path string, size int) (int, error) {
		if op != "read" || filepath.Base(path) != name || size <= spare || times == 0 {
			return size, nil
		}
		times--
		return 0, syscall.EIO
	}
}

// What the disk does not give back is damage: a declared gap, after which every reader goes on.
func TestUnreadableSegmentIsEvicted(t *testing.T) {
	r, fs, said := unreadableRig(t, SyncOS)
	j := r.open()
	appendN(t, j, 1, 200)
	names := j.names()
	next, _ := baseOf(names[1])
	fs.set(badSector(names[0], 1, 0))
	if got, err := j.Read(0, 1, 1); err != nil || len(got) != 1 {
		t.Fatalf("a fault that passes: %d entries, %v", len(got), err)
	}
	fs.set(badSector(names[0], -1, 0))
	var gone ErrEvicted
	if got, err := j.Read(0, 10, 1000); !errors.As(err, &gone) || gone.First != next || len(got) != 0 {
		t.Fatalf("Read: %d entries, %v; want them gone before %d", len(got), err, next)
	}
	wantEntries(t, readAll(t, j, next-1), int(next), 200)
	active := names[len(names)-1]
	fs.set(badSector(active, -1, 0))
	base, _ := baseOf(active)
	if _, err := j.Read(base-1, 10, 1000); !errors.Is(err, syscall.EIO) || j.First() != next {
		t.Errorf("the segment that is being written: %v, first %d", err, j.First())
	}
	fs.set(nil)
	closeJournal(t, j)
	if !strings.Contains(said.String(), "journal segment is damaged") || !strings.Contains(said.String(), syscall.EIO.Error()) {
		t.Errorf("said %s", said)
	}
}

// After an unclean stop a bad sector costs what it held and what was before, and not the start.
func TestOpenPastAnUnreadableSegment(t *testing.T) {
	for _, policy := range policies {
		for what, spare := range map[string]int{"header": 0, "records": segmentHead} {
			for _, at := range []int{0, 2, -1} {
				t.Run(fmt.Sprint(policy, what, at), func(t *testing.T) { openPast(t, policy, spare, at) })
			}
		}
	}
}

func openPast(t *testing.T, policy SyncPolicy, spare, at int) {
	t.Helper()
	r, fs, said := unreadableRig(t, policy)
	j := r.open()
	appendN(t, j, 1, 200)
	eventually(t, "the records to be written", func() bool { return j.Stats().DiskBytes > 200*50 })
	r.kill(j)
	_ = os.Remove(filepath.Join(r.opts.Dir, checkpointName))
	epoch, names := j.Epoch(), j.names()
	at = (at + len(names)) % len(names)
	path := filepath.Join(r.opts.Dir, names[at])
	before, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	r.opts.boot = func() string { return "boot-2" } // the machine has crashed too: an unfinished record may be cut
	fs.set(badSector(names[at], -1, spare))
	j = r.open()
	if j.Epoch() == epoch || !strings.Contains(said.String(), "journal segment cannot be read") {
		t.Errorf("epoch kept: %v; said %s", j.Epoch() == epoch, said)
	}
	if at == len(names)-1 {
		fs.set(nil) // the segment that goes on has its name
	}
	head := int(j.Head().Offset)
	if want := 200; at < len(names)-1 && head != want {
		t.Errorf("head %d, want %d", head, want)
	}
	first := int(j.First())
	appendN(t, j, head+1, 5)
	wantEntries(t, readAll(t, j, uint64(first-1)), first, head+5)
	closeJournal(t, j)
	kept := false
	for _, data := range readDir(t, r.opts.Dir) {
		kept = kept || bytes.Equal(data, before)
	}
	if !kept {
		t.Error("the bytes that could not be read were not left as they were")
	}
	fs.set(nil)
	j = r.open() // on the next disk
	wantEntries(t, readAll(t, j, uint64(first-1)), first, head+5)
}

func TestReadFaults(t *testing.T) {
	fs := &faulty{}
	r := newRig(t, SyncOS)
	r.opts.fs, r.opts.TailBytes = fs, 1
	j := r.open()
	appendN(t, j, 1, 50)
	fs.set(failing(syscall.EMFILE, "open"))
	if _, err := j.Read(0, 10, 1000); !errors.Is(err, syscall.EMFILE) {
		t.Fatalf("Read: %v", err)
	}
	fs.set(failing(os.ErrPermission, "open"))
	if _, err := j.Read(0, 10, 1000); !errors.Is(err, os.ErrPermission) {
		t.Fatalf("Read: %v", err)
	}
	fs.set(nil)
	wantEntries(t, readAll(t, j, 0), 1, 50) // a passing fault evicts nothing
}

// A checkpoint that the disk does not give is as good as a damaged one.
func TestUnreadableCheckpoint(t *testing.T) {
	const unreadableFile = "/proc/self/mem" // nothing is at its begin
	if _, err := os.ReadFile(unreadableFile); !unreadable(err) {
		t.Skipf("no file here that reads as one on a bad sector: %v", err)
	}
	r := newRig(t, SyncOS)
	j := r.open()
	appendN(t, j, 1, 50)
	closeJournal(t, j)
	r.remove(checkpointName)
	if err := os.Symlink(unreadableFile, filepath.Join(r.opts.Dir, checkpointName)); err != nil {
		t.Fatal(err)
	}
	j = r.open()
	wantEntries(t, readAll(t, j, 0), 1, 50)
	if _, all := j.Snapshot(func(string) bool { return true }); len(all) != 7 {
		t.Errorf("%d last values, want 7", len(all))
	}
}
