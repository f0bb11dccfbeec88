package scenarios

import (
	"crypto/sha256"
	_ "embed"
	"encoding/hex"
)

// proof is the record of make prove: which seeded defect which requirement found.
//
//go:embed defects/record.json
var proof []byte

// ProofDigest returns the SHA-256 of scenarios/defects/record.json, in hex: a
// report names by it the proof that its requirements find what they claim to.
func ProofDigest() string {
	sum := sha256.Sum256(proof)
	return hex.EncodeToString(sum[:])
}
