package campaign

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
)

// reserveBytes is kept free for the reports while a run goes on: records may
// fill the disk, but what they show must still find room.
const reserveBytes = 4 << 20

// reserveFile holds the room. It is gone before anything is rendered or sealed.
const reserveFile = ".reserve"

// reserve takes the room; a disk that lacks it is told before anything is measured.
func reserve(dir string) error {
	path := filepath.Join(dir, reserveFile)
	f, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return err
	}
	block := make([]byte, 64<<10)
	for written := 0; written < reserveBytes && err == nil; written += len(block) {
		_, err = f.Write(block)
	}
	if err = errors.Join(err, f.Close()); err != nil {
		return errors.Join(err, os.Remove(path))
	}
	return nil
}

// release gives the room back. It may be called again.
func release(dir string) error {
	err := os.Remove(filepath.Join(dir, reserveFile))
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	return err
}
