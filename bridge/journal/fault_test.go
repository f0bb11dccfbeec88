package journal

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"
)

// faulty is a disk on which operations fail as told.
type faulty struct {
	disk
	mu    sync.Mutex
	fault func(op, path string, size int) (short int, err error)
	calls map[string]int
}

func (f *faulty) set(fault func(op, path string, size int) (int, error)) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.fault = fault
}

func (f *faulty) ask(op, path string, size int) (int, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.calls == nil {
		f.calls = make(map[string]int)
	}
	f.calls[op]++
	if f.fault == nil {
		return size, nil
	}
	return f.fault(op, path, size)
}

func (f *faulty) Create(path string) (file, error) {
	if _, err := f.ask("create", path, 0); err != nil {
		return nil, err
	}
	real, err := f.disk.Create(path)
	if err != nil {
		return nil, err
	}
	return &faultyFile{file: real, on: f, path: path}, nil
}

func (f *faulty) Open(path string) (file, error) {
	if _, err := f.ask("open", path, 0); err != nil {
		return nil, err
	}
	real, err := f.disk.Open(path)
	if err != nil {
		return nil, err
	}
	return &faultyFile{file: real, on: f, path: path}, nil
}

func (f *faulty) SyncFile(path string) error {
	if _, err := f.ask("sync", path, 0); err != nil {
		return err
	}
	return f.disk.SyncFile(path)
}

func (f *faulty) SyncDir(dir string) error {
	if _, err := f.ask("syncdir", dir, 0); err != nil {
		return err
	}
	return f.disk.SyncDir(dir)
}

func (f *faulty) Rename(from, to string) error {
	if _, err := f.ask("rename", to, 0); err != nil {
		return err
	}
	return f.disk.Rename(from, to)
}

type faultyFile struct {
	file
	on   *faulty
	path string
}

func (f *faultyFile) Write(p []byte) (int, error) {
	n, err := f.on.ask("write", f.path, len(p))
	if n = min(n, len(p)); n > 0 {
		if m, werr := f.file.Write(p[:n]); werr != nil {
			return m, werr
		}
	}
	return n, err
}

// ReadAt reads up to where it fails, as a disk does whose sector is bad.
func (f *faultyFile) ReadAt(p []byte, off int64) (int, error) {
	size, fault := f.on.ask("read", f.path, len(p))
	n, err := f.file.ReadAt(p[:min(size, len(p))], off)
	if fault != nil {
		err = fault
	}
	return n, err
}

func (f *faultyFile) Sync() error {
	if _, err := f.on.ask("sync", f.path, 0); err != nil {
		return err
	}
	return f.file.Sync()
}

func (f *faultyFile) Truncate(size int64) error {
	if _, err := f.on.ask("truncate", f.path, 0); err != nil {
		return err
	}
	return f.file.Truncate(size)
}

// failing makes the named operations on segments and probes fail.
func failing(err error, ops ...string) func(string, string, int) (int, error) {
	return func(op, path string, size int) (int, error) {
		for _, bad := range ops {
			if op == bad {
				return size / 2, err // a write leaves half of it behind
			}
		}
		return size, nil
	}
}

// wantDegraded checks that an append is refused and leaves no trace.
func wantDegraded(t *testing.T, j *Journal, cause error) {
	t.Helper()
	head := j.Head()
	_, _, err := j.Append(context.Background(), message(int(head.Offset)+1))
	if !errors.Is(err, ErrDegraded) || (cause != nil && !errors.Is(err, cause)) {
		t.Fatalf("Append: %v, want %v because of %v", err, ErrDegraded, cause)
	}
	if j.Head() != head {
		t.Fatalf("a refused append moved the head from %v to %v", head, j.Head())
	}
	if err := j.Err(); err != nil && !errors.Is(err, ErrDegraded) {
		t.Fatalf("Err: %v", err)
	}
}

// Disk full, short writes and failing fsyncs: refused, nothing visible, whole
// again by itself, and the log on disk goes on without a hole in one epoch.
func TestWriteFaults(t *testing.T) {
	for _, c := range []struct {
		name   string
		policy SyncPolicy
		cause  error
		fault  func(string, string, int) (int, error)
	}{
		{"disk full", SyncOS, syscall.ENOSPC, failing(syscall.ENOSPC, "write", "create")},
		{"disk full, file cannot be cut", SyncOS, syscall.ENOSPC, failing(syscall.ENOSPC, "write", "truncate")},
		{"disk full under durable", SyncDurable, syscall.ENOSPC, failing(syscall.ENOSPC, "write")},
		{"short write without error", SyncOS, io.ErrShortWrite, failing(nil, "write")},
		{"fsync fails", SyncDurable, syscall.EIO, failing(syscall.EIO, "sync")},
		{"fsync fails, file cannot be cut", SyncDurable, syscall.EIO, failing(syscall.EIO, "sync", "truncate")},
	} {
		t.Run(c.name, func(t *testing.T) {
			fs := &faulty{}
			r := newRig(t, c.policy)
			r.opts.fs = fs
			j := r.open()
			epoch := j.Epoch()
			appendN(t, j, 1, 20)
			for round := range 3 {
				fs.set(c.fault)
				wantDegraded(t, j, c.cause)
				wantDegraded(t, j, c.cause)
				fs.set(nil)
				eventually(t, "the journal to mend itself", func() bool { return j.Err() == nil })
				appendN(t, j, 21+10*round, 10)
			}
			wantEntries(t, readAll(t, j, 0), 1, 50)
			if s := j.Stats(); s.Failures < 3 || s.Degraded {
				t.Fatalf("stats %+v", s)
			}
			r.kill(j)
			j = r.open()
			wantEntries(t, readAll(t, j, 0), 1, 50)
			if j.Epoch() != epoch {
				t.Fatal("epoch renewed although nothing acknowledged was lost")
			}
		})
	}
}

// Failures before the first record of a segment leave no empty segments behind.
func TestFailuresInARow(t *testing.T) {
	fs := &faulty{}
	r := newRig(t, SyncOS)
	r.opts.fs, r.opts.TailBytes = fs, 1
	j := r.open()
	appendN(t, j, 1, 10)
	for range 5 {
		fs.set(failing(syscall.ENOSPC, "write"))
		wantDegraded(t, j, syscall.ENOSPC)
		fs.set(nil)
		eventually(t, "the journal to mend itself", func() bool { return j.Err() == nil })
	}
	if s := j.Stats(); s.Segments != 2 {
		t.Fatalf("%d segments after failures in a row, want the first and the present one", s.Segments)
	}
	appendN(t, j, 11, 10)
	wantEntries(t, readAll(t, j, 0), 1, 20)
}

// While the disk is full, the journal keeps trying and does not flap on a few
// free bytes.
func TestNoFlappingOnAFewFreeBytes(t *testing.T) {
	fs := &faulty{}
	r := newRig(t, SyncOS)
	r.opts.fs = fs
	j := r.open()
	appendN(t, j, 1, 1)
	fs.set(func(op, _ string, size int) (int, error) {
		if op == "write" && size > 200 { // a header fits, a record does not
			return 200, syscall.ENOSPC
		}
		return size, nil
	})
	big := Message{Topic: "t", Payload: make([]byte, 5000)}
	if _, _, err := j.Append(t.Context(), big); !errors.Is(err, syscall.ENOSPC) {
		t.Fatalf("Append: %v", err)
	}
	tries := func() int {
		fs.mu.Lock()
		defer fs.mu.Unlock()
		return fs.calls["create"]
	}
	before := tries()
	eventually(t, "five attempts to mend", func() bool {
		if j.Err() == nil {
			t.Fatal("mended while nothing can be written")
		}
		return tries() >= before+5
	})
	fs.set(nil)
	eventually(t, "the journal to mend itself", func() bool { return j.Err() == nil })
	if _, _, err := j.Append(t.Context(), big); err != nil {
		t.Fatal(err)
	}
}

// Under SyncMemory what was acknowledged before the disk filled up stays readable
// and is written when it can be.
func TestMemoryPolicyKeepsWhatItAcknowledged(t *testing.T) {
	fs := &faulty{}
	r := newRig(t, SyncMemory)
	r.opts.fs, r.opts.TailBytes = fs, 1
	j := r.open()
	fs.set(failing(syscall.ENOSPC, "write"))
	n := 0
	for j.Err() == nil && n < 100_000 {
		if _, _, err := j.Append(t.Context(), message(n+1)); err != nil {
			break
		}
		n++
	}
	if n == 0 || n == 100_000 {
		t.Fatalf("%d accepted on a full disk", n)
	}
	wantDegraded(t, j, syscall.ENOSPC)
	wantEntries(t, readAll(t, j, 0), 1, n)
	fs.set(nil)
	eventually(t, "the journal to mend itself", func() bool { return j.Err() == nil })
	appendN(t, j, n+1, 10)
	closeJournal(t, j)
	j = r.open()
	wantEntries(t, readAll(t, j, 0), 1, n+10)
}

// Everyone who waits for a batch that fails is refused.
func TestAllWaitersOfAFailedBatchAreRefused(t *testing.T) {
	fs := &faulty{}
	r := newRig(t, SyncDurable)
	r.opts.fs, r.opts.mend = fs, time.Hour
	j := r.open()
	held, release := make(chan struct{}), make(chan struct{})
	var once sync.Once
	fs.set(func(op, path string, size int) (int, error) {
		if op == "sync" && strings.HasSuffix(path, segmentSuffix) {
			once.Do(func() { close(held) })
			<-release
			return 0, syscall.EIO
		}
		return size, nil
	})
	const appenders = 20
	results := make(chan error, appenders)
	add := func(i int) {
		_, _, err := j.Append(context.Background(), Message{Topic: "t", Producer: fmt.Sprint(i), ProducerSeq: 1})
		results <- err
	}
	go add(0)
	<-held
	for i := 1; i < appenders; i++ {
		go add(i % 10) // some are the same message again: they wait for the first
	}
	eventually(t, "the others to queue up", func() bool {
		j.mu.Lock()
		defer j.mu.Unlock()
		return len(j.open.entries) == 9
	})
	close(release)
	for range appenders {
		if err := <-results; !errors.Is(err, ErrDegraded) {
			t.Fatalf("a waiter got %v", err)
		}
	}
	if j.Head().Offset != 0 || len(j.pending) != 0 {
		t.Fatalf("head %d, %d claims after failures only", j.Head().Offset, len(j.pending))
	}
}

// Several messages at once are all refused or all there, and offered again they are no duplicates.
func TestAppendAllFailsAsAWhole(t *testing.T) {
	fs := &faulty{}
	r := newRig(t, SyncOS)
	r.opts.fs = fs
	j := r.open()
	fs.set(failing(syscall.ENOSPC, "write"))
	if rs, err := j.AppendAll(context.Background(), numbered("p", 1, 10)); !errors.Is(err, ErrDegraded) || rs != nil || j.Head().Offset != 0 {
		t.Fatalf("full disk: %v, %v, head %d", rs, err, j.Head().Offset)
	}
	fs.set(nil)
	eventually(t, "the journal to mend itself", func() bool { return j.Err() == nil })
	rs, err := j.AppendAll(context.Background(), numbered("p", 1, 10))
	if err != nil || len(rs) != 10 || rs[0] != (Result{1, false}) || rs[9] != (Result{10, false}) {
		t.Errorf("afterwards: %v, %v", rs, err)
	}
}

func TestOpenFailsOnAFullDisk(t *testing.T) {
	for _, op := range []string{"create", "write", "sync", "rename"} {
		r := newRig(t, SyncDurable)
		r.opts.fs = &faulty{fault: failing(syscall.ENOSPC, op)}
		if j, err := Open(r.opts); !errors.Is(err, syscall.ENOSPC) {
			t.Errorf("%s fails: Open gave %v, %v", op, j, err)
		}
		r.opts.fs = nil
		closeJournal(t, r.open()) // the lock was given back
	}
}

// A durable run vouches for what an earlier, less careful run left: it makes it
// durable first or does not begin.
func TestDurableRunSyncsWhatItFinds(t *testing.T) {
	r := newRig(t, SyncOS)
	j := r.open()
	appendN(t, j, 1, 10)
	r.kill(j)
	first := segmentPath(r.opts.Dir, 1)
	fs := &faulty{fault: func(op, path string, size int) (int, error) {
		if op == "sync" && path == first {
			return 0, syscall.EIO
		}
		return size, nil
	}}
	r.opts.Sync, r.opts.fs = SyncDurable, fs
	if j, err := Open(r.opts); !errors.Is(err, syscall.EIO) {
		t.Fatalf("Open gave %v, %v", j, err)
	}
	fs.set(nil)
	wantEntries(t, readAll(t, r.open(), 0), 1, 10)
}

// A checkpoint that cannot be written keeps old segments, and Close says that the
// end is not clean.
func TestCheckpointFaults(t *testing.T) {
	fs := &faulty{}
	r := newRig(t, SyncOS)
	r.opts.fs, r.opts.SegmentBytes, r.opts.RetainBytes = fs, 4096, 8192
	j := r.open()
	fs.set(func(op, path string, size int) (int, error) {
		if strings.HasSuffix(path, checkpointName) || strings.HasSuffix(path, checkpointName+".tmp") {
			return 0, syscall.ENOSPC
		}
		return size, nil
	})
	appendN(t, j, 1, 300)
	tried := func() int {
		fs.mu.Lock()
		defer fs.mu.Unlock()
		return fs.calls["create"]
	}
	before := tried()
	eventually(t, "three more attempts at a checkpoint", func() bool { return tried() >= before+3 })
	if j.First() != 1 {
		t.Fatalf("first %d: retention dropped what no checkpoint covers", j.First())
	}
	if err := j.Close(); !errors.Is(err, syscall.ENOSPC) {
		t.Fatalf("Close: %v", err)
	}
	fs.set(nil)
	j = r.open()
	if _, all := j.Snapshot(func(string) bool { return true }); len(all) != 7 || j.Head().Offset != 300 {
		t.Fatalf("%d last values, head %d", len(all), j.Head().Offset)
	}
	eventually(t, "retention to catch up", func() bool { return j.Stats().DiskBytes <= 8192 })
}

// An fsync that fails in the background, under SyncOS, costs the segment but
// nothing that was acknowledged.
func TestBackgroundSyncFault(t *testing.T) {
	fs := &faulty{}
	r := newRig(t, SyncOS)
	r.opts.fs, r.opts.SegmentBytes = fs, 4096
	j := r.open()
	fs.set(failing(syscall.EIO, "sync"))
	for i := 1; j.Stats().Failures == 0 && i < 5000; {
		if _, _, err := j.Append(t.Context(), message(i)); err == nil {
			i++
		} else if !errors.Is(err, ErrDegraded) {
			t.Fatal(err)
		} else {
			break
		}
	}
	fs.set(nil)
	eventually(t, "the journal to mend itself", func() bool { return j.Err() == nil })
	n := int(j.Head().Offset)
	appendN(t, j, n+1, 10)
	wantEntries(t, readAll(t, j, 0), 1, n+10)
}
