//go:build unix

package main

import (
	"fmt"
	"os"
	"syscall"
)

// keepOwner gives f the owner of path, if that is there: who edits as root must not lock the bridge out.
func keepOwner(f *os.File, path string) error {
	info, err := os.Stat(path)
	if err != nil {
		return nil //nolint:nilerr // a new file belongs to who made it
	}
	owner, ok := info.Sys().(*syscall.Stat_t)
	if !ok || int(owner.Uid) == os.Geteuid() && int(owner.Gid) == os.Getegid() {
		return nil
	}
	if err := f.Chown(int(owner.Uid), int(owner.Gid)); err != nil {
		return fmt.Errorf("the file belongs to another user: edit it as that one: %w", err)
	}
	return nil
}
