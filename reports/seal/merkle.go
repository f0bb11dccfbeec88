package seal

import (
	"cmp"
	"crypto/sha256"
	"encoding/hex"
	"slices"

	"plumbline/reports"
)

// EvidenceRoot returns the Merkle root over evidence in hex, in the form of RFC
// 9162 section 2.1: leaves are the lines "SHA256  PATH\n" that sha256sum prints,
// ascending by path. With it a single record can be shown to belong to a report
// without the others.
func EvidenceRoot(files []reports.Evidence) string {
	sorted := slices.SortedFunc(slices.Values(files), func(a, b reports.Evidence) int { return cmp.Compare(a.Path, b.Path) })
	leaves := make([][]byte, len(sorted))
	for i, f := range sorted {
		leaves[i] = node(0, []byte(f.SHA256+"  "+f.Path+"\n"))
	}
	return hex.EncodeToString(treeHash(leaves))
}

func treeHash(leaves [][]byte) []byte {
	switch len(leaves) {
	case 0:
		return sha256.New().Sum(nil)
	case 1:
		return leaves[0]
	}
	k := 1 // the largest power of two smaller than the number of leaves
	for k*2 < len(leaves) {
		k *= 2
	}
	return node(1, treeHash(leaves[:k]), treeHash(leaves[k:]))
}

func node(prefix byte, parts ...[]byte) []byte {
	hash := sha256.New()
	hash.Write([]byte{prefix})
	for _, p := range parts {
		hash.Write(p)
	}
	return hash.Sum(nil)
}
