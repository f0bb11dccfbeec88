package journal

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"sync"
	"testing"
)

var errInUse = errors.New("the file is used by another process")

// sharing is a disk that neither removes nor renames a file that is open for
// reading, as Windows does not.
type sharing struct {
	disk
	mu   sync.Mutex
	open map[string]int
}

type sharedFile struct {
	file
	on   *sharing
	path string
}

func (s *sharing) Open(path string) (file, error) {
	f, err := s.disk.Open(path)
	if err != nil {
		return nil, err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.open == nil {
		s.open = make(map[string]int)
	}
	s.open[path]++
	return &sharedFile{f, s, path}, nil
}

func (f *sharedFile) Close() error {
	f.on.mu.Lock()
	defer f.on.mu.Unlock()
	f.on.open[f.path]--
	return f.file.Close()
}

func (s *sharing) free(path string) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.open[path] > 0 {
		return fmt.Errorf("%s: %w", path, errInUse)
	}
	return nil
}

func (s *sharing) Remove(path string) error {
	if err := s.free(path); err != nil {
		return err
	}
	return s.disk.Remove(path)
}

func (s *sharing) Rename(from, to string) error {
	if err := errors.Join(s.free(from), s.free(to)); err != nil {
		return err
	}
	return s.disk.Rename(from, to)
}

// What recovery removes or renames it has closed before.
func TestRecoveryClosesWhatItRemoves(t *testing.T) {
	files, opts, _ := killed(t, SyncOS, 10)
	name := lastSegment(files)
	t.Run("segment hardly begun", func(t *testing.T) {
		with := map[string][]byte{stateName: files[stateName], name: files[name], fmt.Sprintf("%020d%s", 11, segmentSuffix): []byte("PLB")}
		opts.Dir, opts.fs = writeDir(t, with), &sharing{}
		j, err := Open(opts)
		if err != nil {
			t.Fatal(err)
		}
		wantEntries(t, readAll(t, j, 0), 1, 10)
		closeJournal(t, j)
	})
	t.Run("damaged header", func(t *testing.T) {
		with := map[string][]byte{stateName: files[stateName], name: append([]byte("x"), files[name]...)}
		opts.Dir, opts.fs = writeDir(t, with), &sharing{}
		j, err := Open(opts)
		if err != nil {
			t.Fatal(err)
		}
		closeJournal(t, j)
		if left := readDir(t, opts.Dir); left[filepath.Base(name[:len(name)-len(segmentSuffix)])+damagedSuffix] == nil {
			t.Fatal("the damaged segment was not set aside")
		}
	})
}

// A segment that a reader holds open while retention drops it is removed later,
// on systems that do not remove open files.
func TestRetentionRemovesWhatWasInUse(t *testing.T) {
	r := newRig(t, SyncOS)
	on := &sharing{}
	r.opts.fs, r.opts.SegmentBytes, r.opts.RetainBytes = on, 4096, 8192
	j := r.open()
	appendN(t, j, 1, 10)
	oldest := filepath.Join(r.opts.Dir, r.segments()[0])
	held, err := on.Open(oldest)
	if err != nil {
		t.Fatal(err)
	}
	appendN(t, j, 11, 500)
	eventually(t, "retention", func() bool { return j.First() > 1 && j.Stats().DiskBytes <= 3*8192 })
	if err := held.Close(); err != nil {
		t.Fatal(err)
	}
	appendN(t, j, 511, 300)
	eventually(t, "the oldest segment to be removed", func() bool {
		j.wake()
		_, err := os.Stat(oldest)
		return errors.Is(err, os.ErrNotExist)
	})
}
