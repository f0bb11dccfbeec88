package journal

import (
	"errors"
	"os"
	"path/filepath"
	"syscall"
	"testing"
)

// A file system that is really full: appends are refused, nothing acknowledged is
// lost, and when room is made the journal goes on by itself.
func TestRealFullDisk(t *testing.T) {
	dir := t.TempDir()
	if err := syscall.Mount("tmpfs", dir, "tmpfs", 0, "size=4m"); err != nil {
		t.Skipf("mounting a small file system needs root: %v", err)
	}
	t.Cleanup(func() {
		if err := syscall.Unmount(dir, syscall.MNT_DETACH); err != nil {
			t.Error(err)
		}
	})
	for _, policy := range policies {
		t.Run(string(policy), func(t *testing.T) {
			r := newRig(t, policy)
			r.opts.Dir, r.opts.SegmentBytes, r.opts.TailBytes = filepath.Join(dir, string(policy)), 300<<10, 1
			j := r.open()
			epoch := j.Epoch()
			ballast := filepath.Join(dir, "ballast")
			fill(t, ballast)
			n := 0
			for {
				if _, _, err := j.Append(t.Context(), message(n+1)); err != nil {
					if !errors.Is(err, ErrDegraded) || !errors.Is(err, syscall.ENOSPC) {
						t.Fatalf("Append on a full disk: %v", err)
					}
					break
				}
				if n++; n > 100_000 {
					t.Fatal("the disk never got full")
				}
			}
			wantEntries(t, readAll(t, j, 0), 1, n)
			if err := os.Remove(ballast); err != nil {
				t.Fatal(err)
			}
			eventually(t, "the journal to mend itself", func() bool { return j.Err() == nil })
			appendN(t, j, n+1, 100)
			closeJournal(t, j)
			j = r.open()
			wantEntries(t, readAll(t, j, 0), 1, n+100)
			if j.Epoch() != epoch {
				t.Fatal("epoch renewed")
			}
			closeJournal(t, j)
			if err := os.RemoveAll(r.opts.Dir); err != nil {
				t.Fatal(err)
			}
		})
	}
}

// fill writes a file until only a little is free, so that the test is quick.
func fill(t *testing.T, path string) {
	t.Helper()
	f, err := os.Create(path)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = f.Close() }()
	block := make([]byte, 4096)
	for {
		if _, err := f.Write(block); err != nil {
			break
		}
	}
	info, err := f.Stat()
	if err != nil {
		t.Fatal(err)
	}
	if err := f.Truncate(info.Size() - 64<<10); err != nil {
		t.Fatal(err)
	}
}
