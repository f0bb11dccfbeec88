package seal

import (
	"crypto/ecdsa"
	"crypto/sha256"
	"testing"

	bundle "github.com/sigstore/protobuf-specs/gen/pb-go/bundle/v1"
	common "github.com/sigstore/protobuf-specs/gen/pb-go/common/v1"
	"google.golang.org/protobuf/encoding/protojson"
)

// TestBundleIsSigstore reads the bundles with the types that Sigstore publishes,
// unknown fields refused, and verifies them as a verifier with a public key does:
// the digest is of the file, the signature over it.
func TestBundleIsSigstore(t *testing.T) {
	l := newLab(t)
	dir, _ := l.issued(t, withEvidence(t))
	parsed, err := parsePublic(get(t, dir, P256KeyFile))
	if err != nil {
		t.Fatal(err)
	}
	public, ok := parsed.(*ecdsa.PublicKey)
	if !ok || !public.Equal(&l.signer.P256.PublicKey) {
		t.Fatalf("%s holds %T", P256KeyFile, parsed)
	}
	for name, of := range map[string]string{ReportBundle: EnvelopeFile, CertificateBundle: CertificateFile} {
		content, message := get(t, dir, name), get(t, dir, of)
		var b bundle.Bundle
		if err := protojson.Unmarshal(content, &b); err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		digest := sha256.Sum256(message)
		signature := b.GetMessageSignature()
		if b.GetMediaType() != "application/vnd.dev.sigstore.bundle.v0.3+json" || b.GetVerificationMaterial().GetPublicKey().GetHint() == "" ||
			signature.GetMessageDigest().GetAlgorithm() != common.HashAlgorithm_SHA2_256 || string(signature.GetMessageDigest().GetDigest()) != string(digest[:]) {
			t.Errorf("%s: %v", name, &b)
		}
		if len(b.GetVerificationMaterial().GetTlogEntries()) != 0 || b.GetVerificationMaterial().GetTimestampVerificationData() != nil {
			t.Errorf("%s claims a log or a time stamp that nobody asked for", name)
		}
		if !ecdsa.VerifyASN1(public, digest[:], signature.GetSignature()) {
			t.Errorf("%s: the signature is not one over %s", name, of)
		}
	}
}
