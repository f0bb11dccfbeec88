package journal

import (
	"fmt"
	"io"
	"os"
	"path/filepath"
)

// file is what the journal needs of an open file.
type file interface {
	io.Writer
	io.ReaderAt
	io.Closer
	Sync() error
	Truncate(size int64) error
}

// files are the operations that change the directory. They are an interface so
// that tests can make a disk full, a write short and an fsync fail.
type files interface {
	Create(path string) (file, error) // new or emptied, for appending
	Open(path string) (file, error)   // for reading
	SyncFile(path string) error       // fsync by name, for files closed earlier
	Truncate(path string, size int64) error
	Rename(from, to string) error
	Remove(path string) error
	SyncDir(dir string) error
}

// disk is the real thing.
type disk struct{}

var _ files = disk{}

func (disk) Create(path string) (file, error) {
	f, err := os.OpenFile(path, os.O_CREATE|os.O_TRUNC|os.O_RDWR, 0o600)
	if err != nil {
		return nil, fmt.Errorf("journal: create %q: %w", path, err)
	}
	return f, nil
}

func (disk) Open(path string) (file, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, fmt.Errorf("journal: open %q: %w", path, err)
	}
	return f, nil
}

func (disk) SyncFile(path string) error {
	f, err := os.OpenFile(path, os.O_RDWR, 0)
	if err != nil {
		return fmt.Errorf("journal: open %q: %w", path, err)
	}
	err = f.Sync()
	if cerr := f.Close(); err == nil {
		err = cerr
	}
	return err
}

func (disk) Truncate(path string, size int64) error { return os.Truncate(path, size) }
func (disk) Rename(from, to string) error           { return os.Rename(from, to) }
func (disk) Remove(path string) error               { return os.Remove(path) }
func (disk) SyncDir(dir string) error               { return syncDir(dir) }

// writeAll is Write that names a short write as an error, since a file is only
// an io.Writer by promise.
func writeAll(w io.Writer, p []byte) error {
	n, err := w.Write(p)
	if err == nil && n < len(p) {
		err = io.ErrShortWrite
	}
	return err
}

// replaceFile makes path hold what write produces, or leaves it as it was: a
// temporary file, fsync, rename, fsync of the directory.
func replaceFile(fs files, path string, write func(io.Writer) error) (err error) {
	temp := path + ".tmp"
	f, err := fs.Create(temp)
	if err != nil {
		return err
	}
	defer func() {
		if err != nil {
			_ = fs.Remove(temp)
			err = fmt.Errorf("journal: write %q: %w", path, err)
		}
	}()
	err = write(f)
	if err == nil {
		err = f.Sync()
	}
	if cerr := f.Close(); err == nil {
		err = cerr
	}
	if err != nil {
		return err
	}
	if err = fs.Rename(temp, path); err != nil {
		return err
	}
	return fs.SyncDir(filepath.Dir(path))
}
