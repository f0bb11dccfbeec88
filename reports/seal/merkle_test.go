package seal

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"math/bits"
	"strings"
	"testing"

	"plumbline/reports"
)

// TestEvidenceRoot computes the tree of RFC 9162 section 2.1 by another way, leaf
// by leaf with a stack, for all small numbers of leaves.
func TestEvidenceRoot(t *testing.T) {
	if got, want := EvidenceRoot(nil), hex.EncodeToString(sha256.New().Sum(nil)); got != want {
		t.Errorf("of nothing: %s, want %s", got, want)
	}
	var files []reports.Evidence
	for n := 1; n <= 40; n++ {
		files = append(files, reports.Evidence{Path: fmt.Sprintf("records/%02d", n), SHA256: strings.Repeat("a", 64)})
		var stack [][]byte
		for i, f := range files {
			sum := sha256.Sum256([]byte("\x00" + f.SHA256 + "  " + f.Path + "\n"))
			stack = append(stack, sum[:])
			for range bits.TrailingZeros(uint(i + 1)) {
				stack = join(stack)
			}
		}
		for len(stack) > 1 {
			stack = join(stack)
		}
		if got := EvidenceRoot(files); got != hex.EncodeToString(stack[0]) {
			t.Errorf("%d leaves: %s, want %x", n, got, stack[0])
		}
	}
	swapped := []reports.Evidence{files[1], files[0]}
	if EvidenceRoot(swapped) != EvidenceRoot(files[:2]) {
		t.Error("the root depends on the order in which the files are named")
	}
}

func join(stack [][]byte) [][]byte {
	last := len(stack) - 1
	sum := sha256.Sum256(append(append([]byte{1}, stack[last-1]...), stack[last]...))
	return append(stack[:last-1], sum[:])
}
