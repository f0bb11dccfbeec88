package lock

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"time"
)

// make makes the folder, for all users of the machine: sticky, as the folder
// for temporary files is.
func (d Dir) make() error {
	path := d.path()
	err := os.Mkdir(path, 0o777) //nolint:gosec // devices are shared by the users of a machine, and so are their locks
	if err == nil {
		err = os.Chmod(path, 0o777|os.ModeSticky) // whatever the umask says
	}
	if err != nil && !errors.Is(err, os.ErrExist) {
		return fmt.Errorf("lock: make the folder of locks: %w", err)
	}
	info, err := os.Lstat(path)
	if err == nil && !info.IsDir() {
		err = fmt.Errorf("%s is no folder; remove it", path)
	}
	if err != nil {
		return fmt.Errorf("lock: folder of locks: %w", err)
	}
	return nil
}

// guarded runs act while no other process changes a lock of the folder.
func (d Dir) guarded(ctx context.Context, act func() error) error {
	guard, err := open(filepath.Join(d.path(), "guard"))
	if err != nil {
		return err
	}
	defer func() { _ = guard.Close() }() // lets go
	ctx, cancel := context.WithTimeout(ctx, guardWait)
	defer cancel()
	wait := time.NewTimer(0)
	defer wait.Stop()
	for pause := 100 * time.Microsecond; ; pause = min(2*pause, 5*time.Millisecond) {
		held, err := TryFile(guard)
		if err != nil {
			return err
		}
		if !held {
			return act()
		}
		wait.Reset(pause)
		select {
		case <-wait.C:
		case <-ctx.Done():
			return fmt.Errorf("wait for the guard %s: %w; a process is stopped that holds it: fuser %s", guard.Name(), context.Cause(ctx), guard.Name())
		}
	}
}

// open opens a file of the folder for reading and writing by everybody. It does
// not follow a link that somebody put there, and does not ask to make what
// exists: in a sticky folder the system refuses that for files of others
// (fs.protected_regular of Linux).
func open(path string) (*os.File, error) {
	for {
		file, err := os.OpenFile(path, os.O_RDWR|noFollow, 0)
		if !errors.Is(err, os.ErrNotExist) {
			return file, err
		}
		file, err = os.OpenFile(path, os.O_RDWR|os.O_CREATE|os.O_EXCL|noFollow, 0o666) //nolint:gosec // as the folder: every user may lock every device
		if errors.Is(err, os.ErrExist) {
			continue // another was faster
		}
		if err == nil {
			_ = file.Chmod(0o666) // whatever the umask says; a failure keeps other users out
		}
		return file, err
	}
}

// maxClaim bounds what is read of a claim, in bytes.
const maxClaim = 8192

// read reads the claim of a file, zero when there is none.
func read(file *os.File) Claim {
	var c Claim
	if json.NewDecoder(io.NewSectionReader(file, 0, maxClaim)).Decode(&c) != nil { // what stands behind it is of a longer one before
		return Claim{}
	}
	return c
}

// write puts the claim into the file. It cuts the file off last: on a full disk
// the claim before must not be gone.
func write(file *os.File, c Claim) error {
	data, err := json.Marshal(c)
	if err != nil {
		return err
	}
	data = append(data, '\n')
	if _, err := file.WriteAt(data, 0); err != nil {
		return err
	}
	return file.Truncate(int64(len(data)))
}

// same reports whether the open file is still the one of that name.
func same(file *os.File, name string) bool {
	a, err := file.Stat()
	if err != nil {
		return false
	}
	b, err := os.Lstat(name)
	return err == nil && os.SameFile(a, b)
}
