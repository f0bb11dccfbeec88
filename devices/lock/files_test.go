package lock

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// A claim that cannot be cut off behind, or not yet, is read all the same.
func TestAShorterClaimTakesThePlaceOfALonger(t *testing.T) {
	file, err := os.Create(filepath.Join(t.TempDir(), "claim"))
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = file.Close() }()
	for _, c := range []Claim{{Name: "usb:1", Owner: "bench", Purpose: strings.Repeat("x", 200)}, {Name: "usb:1", Owner: "b"}} {
		if err := write(file, c); err != nil {
			t.Fatal(err)
		}
		if got := read(file); got != c {
			t.Errorf("read %+v, written %+v", got, c)
		}
	}
	size, err := file.Seek(0, 2)
	if err != nil || size > 200 {
		t.Errorf("the file has %d bytes, %v", size, err)
	}
	if _, err := file.WriteAt([]byte("of a longer one\n"), size); err != nil {
		t.Fatal(err)
	}
	if got := read(file); got.Owner != "b" {
		t.Errorf("with what a longer one left: %+v", got)
	}
}
