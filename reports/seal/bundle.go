package seal

import (
	"bytes"
	"crypto"
	"crypto/ecdsa"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"fmt"
)

// bundleType is the media type of a Sigstore bundle of version 0.3.
const bundleType = "application/vnd.dev.sigstore.bundle.v0.3+json"

// sigstoreBundle is dev.sigstore.bundle.v1.Bundle in protobuf JSON, as far as it
// is used: a message signature and the hint of a public key. There is no
// transparency log entry and no time stamp, because nothing here asks a network.
type sigstoreBundle struct {
	MediaType            string `json:"mediaType"`
	VerificationMaterial struct {
		PublicKey struct {
			Hint string `json:"hint"` // base64 of the key's id, as cosign writes it
		} `json:"publicKey"`
	} `json:"verificationMaterial"`
	MessageSignature struct {
		MessageDigest struct {
			Algorithm string `json:"algorithm"`
			Digest    []byte `json:"digest"`
		} `json:"messageDigest"`
		Signature []byte `json:"signature"` // ASN.1 DER over SHA-256 of the file
	} `json:"messageSignature"`
}

// signBundle returns a bundle over the bytes of a file. The signature is the
// deterministic one of RFC 6979: the same file and key give the same bundle.
func signBundle(key *ecdsa.PrivateKey, message []byte) ([]byte, error) {
	digest := sha256.Sum256(message)
	signature, err := key.Sign(nil, digest[:], crypto.SHA256)
	if err != nil {
		return nil, fmt.Errorf("seal: sign bundle: %w", err)
	}
	return encodeBundle(&key.PublicKey, digest[:], signature)
}

func encodeBundle(public *ecdsa.PublicKey, digest, signature []byte) ([]byte, error) {
	var b sigstoreBundle
	b.MediaType = bundleType
	hint, err := hintOf(public)
	if err != nil {
		return nil, err
	}
	b.VerificationMaterial.PublicKey.Hint = hint
	b.MessageSignature.MessageDigest.Algorithm = "SHA2_256"
	b.MessageSignature.MessageDigest.Digest = digest
	b.MessageSignature.Signature = signature
	return encodeJSON(b)
}

func hintOf(public *ecdsa.PublicKey) (string, error) {
	der, err := marshalDER(public)
	if err != nil {
		return "", err
	}
	sum := sha256.Sum256(der)
	return base64.StdEncoding.EncodeToString(sum[:]), nil
}

// openBundle checks that a bundle is a signature of public over message, in the
// one form that signBundle writes.
func openBundle(file string, content, message []byte, of string, public *ecdsa.PublicKey) error {
	var b sigstoreBundle
	dec := json.NewDecoder(bytes.NewReader(content))
	dec.DisallowUnknownFields()
	if err := dec.Decode(&b); err != nil {
		return broken(file, err)
	}
	hint, err := hintOf(public)
	if err != nil {
		return err
	}
	digest := sha256.Sum256(message)
	switch {
	case b.MediaType != bundleType:
		return &Error{File: file, Reason: ReasonType, Detail: fmt.Sprintf("media type is %q, want %q", b.MediaType, bundleType)}
	case b.VerificationMaterial.PublicKey.Hint != hint:
		return &Error{File: file, Reason: ReasonKey, Detail: fmt.Sprintf("signed by key with hint %q, expected %q", b.VerificationMaterial.PublicKey.Hint, hint)}
	case !bytes.Equal(b.MessageSignature.MessageDigest.Digest, digest[:]):
		return &Error{File: file, Reason: ReasonContradiction, Detail: fmt.Sprintf("it signs a file with SHA-256 %x, %s has %x", b.MessageSignature.MessageDigest.Digest, of, digest)}
	case !ecdsa.VerifyASN1(public, digest[:], b.MessageSignature.Signature):
		return &Error{File: file, Reason: ReasonSignature, Detail: "ECDSA P-256 over " + of}
	}
	again, err := encodeBundle(public, digest[:], b.MessageSignature.Signature)
	if err != nil {
		return err
	}
	if !bytes.Equal(again, content) {
		return &Error{File: file, Reason: ReasonMalformed, Detail: "it was written or changed by another program: not in its one canonical form"}
	}
	return nil
}
