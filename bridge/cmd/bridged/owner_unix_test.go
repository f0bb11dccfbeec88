//go:build unix

package main

import (
	"os"
	"path/filepath"
	"syscall"
	"testing"
)

// TestUsersFileOfTheBridgesFolder: what root makes in a folder of the bridge's user is that user's, as what root edits there stays.
func TestUsersFileOfTheBridgesFolder(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("needs root, who alone may give files away")
	}
	const bridge = 65532
	dir := t.TempDir()
	if err := os.Chown(dir, bridge, bridge); err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(dir, "users.yaml")
	for _, args := range [][]string{{"add", "anna"}, {"passwd", "anna"}} {
		if code, _, errs := invoke(t, "pw\n", append(append([]string{"user"}, args...), "--file", path)...); code != exitOK {
			t.Fatalf("%v: exit %d, %s", args, code, errs)
		}
		info, err := os.Stat(path)
		if err != nil {
			t.Fatal(err)
		}
		if of, ok := info.Sys().(*syscall.Stat_t); !ok || of.Uid != bridge || of.Gid != bridge || info.Mode().Perm() != 0o600 {
			t.Errorf("%v: owner %d:%d, mode %v", args, of.Uid, of.Gid, info.Mode())
		}
	}
}
