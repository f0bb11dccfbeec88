package peers_test

import (
	"path/filepath"
	"testing"

	"plumbline/harness/sut"
)

// TestBesideDescriptors: what is only measured is described as soundly as what is certified.
func TestBesideDescriptors(t *testing.T) {
	files, err := filepath.Glob("beside/*.yaml")
	if err != nil || len(files) < 2 {
		t.Fatalf("%v, %v", files, err)
	}
	for _, file := range files {
		if _, err := sut.Load(file); err != nil {
			t.Error(err)
		}
	}
}
