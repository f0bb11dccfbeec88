package virtual

import (
	"bufio"
	"fmt"
	"io"
	"os"
	"path/filepath"
)

// archive writes an archive that a kernel takes for its first file system
// (kernel documentation, driver-api/early-userspace/buffer-format: "newc").
type archive struct {
	w    *bufio.Writer
	size int64
	ino  int
	err  error
}

func newArchive(w io.Writer) *archive { return &archive{w: bufio.NewWriterSize(w, 1<<16)} }

func (a *archive) write(p []byte) {
	if a.err == nil {
		var n int
		n, a.err = a.w.Write(p)
		a.size += int64(n)
	}
}

// pad fills up to a multiple of four.
func (a *archive) pad() { a.write(make([]byte, -a.size&3)) }

func (a *archive) add(name string, mode int, data []byte, major, minor int) {
	a.ino++
	a.write(fmt.Appendf(nil, "070701%08X%08X%08X%08X%08X%08X%08X%08X%08X%08X%08X%08X%08X%s\x00",
		a.ino, mode, 0, 0, 1, 0, len(data), 0, 0, major, minor, len(name)+1, 0, name))
	a.pad()
	a.write(data)
	a.pad()
}

// close writes the end.
func (a *archive) close() error {
	a.add("TRAILER!!!", 0, nil, 0, 0)
	if a.err == nil {
		a.err = a.w.Flush()
	}
	return a.err
}

// writeGuestImage writes the file system of a guest: the agent as /init, and the
// modules in their order.
func writeGuestImage(path, agent string, modules []string) (err error) {
	file, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return err
	}
	defer func() {
		if e := file.Close(); err == nil {
			err = e
		}
	}()
	a := newArchive(file)
	for _, dir := range []string{"dev", "proc", "sys", "modules"} {
		a.add(dir, 0o040755, nil, 0, 0)
	}
	a.add("dev/console", 0o020600, nil, 5, 1) // or /init has nowhere to speak
	program, err := os.ReadFile(agent)
	if err != nil {
		return fmt.Errorf("agent of the guest: %w", err)
	}
	a.add("init", 0o100755, program, 0, 0)
	for i, m := range modules {
		data, err := os.ReadFile(m)
		if err != nil {
			return err
		}
		a.add(fmt.Sprintf("modules/%03d-%s", i, filepath.Base(m)), 0o100644, data, 0, 0)
	}
	return a.close()
}
