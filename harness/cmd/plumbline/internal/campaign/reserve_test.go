package campaign

import (
	"os"
	"path/filepath"
	"testing"
)

func TestReserveIsRealRoomAndIsGivenBack(t *testing.T) {
	dir := t.TempDir()
	if err := reserve(dir); err != nil {
		t.Fatal(err)
	}
	room, err := os.Stat(filepath.Join(dir, reserveFile))
	if err != nil || room.Size() != reserveBytes {
		t.Errorf("reserve is %+v, %v; want %d bytes", room, err, reserveBytes)
	}
	if err := reserve(dir); err == nil {
		t.Error("a second reserve in the same directory was taken")
	}
	for range 2 {
		if err := release(dir); err != nil {
			t.Errorf("release: %v", err)
		}
	}
	left, err := os.ReadDir(dir)
	if err != nil || len(left) != 0 {
		t.Errorf("left %v, %v", left, err)
	}
	if err := reserve(filepath.Join(dir, "missing")); err == nil {
		t.Error("a reserve was taken in a directory that does not exist")
	}
}
