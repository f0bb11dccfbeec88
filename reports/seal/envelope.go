package seal

import (
	"bytes"
	"context"
	"crypto"
	"crypto/ed25519"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"

	"github.com/secure-systems-lab/go-securesystemslib/dsse"
)

// keypair signs and verifies for the dsse package.
type keypair struct {
	id      string
	public  ed25519.PublicKey
	private ed25519.PrivateKey // nil when only verifying
}

var _ dsse.SignerVerifier = (*keypair)(nil)

var errSignature = errors.New("seal: signature does not match")

func (k *keypair) Sign(_ context.Context, data []byte) ([]byte, error) {
	return ed25519.Sign(k.private, data), nil
}

func (k *keypair) Verify(_ context.Context, data, sig []byte) error {
	if !ed25519.Verify(k.public, data, sig) {
		return errSignature
	}
	return nil
}

func (k *keypair) KeyID() (string, error) { return k.id, nil }

func (k *keypair) Public() crypto.PublicKey { return k.public }

// sign wraps body into an envelope with one signature and returns its file form.
func sign(ctx context.Context, key ed25519.PrivateKey, body []byte) ([]byte, error) {
	public, ok := key.Public().(ed25519.PublicKey)
	if !ok || len(key) != ed25519.PrivateKeySize {
		return nil, errors.New("seal: sign: not an Ed25519 key")
	}
	id, err := KeyID(public)
	if err != nil {
		return nil, err
	}
	signer, err := dsse.NewEnvelopeSigner(&keypair{id: id, public: public, private: key})
	if err != nil {
		return nil, fmt.Errorf("seal: sign: %w", err)
	}
	envelope, err := signer.SignPayload(ctx, PayloadType, body)
	if err != nil {
		return nil, fmt.Errorf("seal: sign: %w", err)
	}
	return encodeEnvelope(envelope)
}

func encodeEnvelope(e *dsse.Envelope) ([]byte, error) {
	var buf bytes.Buffer
	enc := json.NewEncoder(&buf)
	enc.SetIndent("", "  ")
	enc.SetEscapeHTML(false) // keep "+" and "<" as they are for sed and grep
	if err := enc.Encode(e); err != nil {
		return nil, fmt.Errorf("seal: envelope: %w", err)
	}
	return buf.Bytes(), nil
}

// open checks the signature and the payload type and returns the body. It
// accepts exactly the bytes that sign would have written, because base64 and
// JSON leave room for changes that no signature notices.
func open(ctx context.Context, content []byte, public ed25519.PublicKey) (body []byte, err error) {
	var e dsse.Envelope
	if err := json.Unmarshal(content, &e); err != nil {
		return nil, &Error{File: EnvelopeFile, Reason: ReasonMalformed, Detail: err.Error()}
	}
	if e.PayloadType != PayloadType {
		return nil, &Error{File: EnvelopeFile, Reason: ReasonType, Detail: fmt.Sprintf("payload type is %q, want %q", e.PayloadType, PayloadType)}
	}
	if len(e.Signatures) != 1 {
		return nil, &Error{File: EnvelopeFile, Reason: ReasonMalformed, Detail: fmt.Sprintf("%d signatures, want 1", len(e.Signatures))}
	}
	id, err := KeyID(public)
	if err != nil {
		return nil, err
	}
	if got := e.Signatures[0].KeyID; got != id {
		return nil, &Error{File: EnvelopeFile, Reason: ReasonKey, Detail: fmt.Sprintf("signed by key %q, expected key %s", got, id)}
	}
	verifier, err := dsse.NewEnvelopeVerifier(&keypair{id: id, public: public})
	if err != nil {
		return nil, fmt.Errorf("seal: verify: %w", err)
	}
	_, body, err = verifier.VerifyAndDecode(ctx, &e)
	if err != nil {
		return nil, &Error{File: EnvelopeFile, Reason: ReasonSignature, Detail: err.Error()}
	}
	return body, canonical(content, &e, body)
}

// canonical compares the envelope file with the one form that sign writes.
func canonical(content []byte, e *dsse.Envelope, body []byte) error {
	want := *e
	want.Payload = base64.StdEncoding.EncodeToString(body)
	want.Signatures = append([]dsse.Signature(nil), e.Signatures...)
	raw, err := base64.StdEncoding.Strict().DecodeString(e.Signatures[0].Sig)
	if err != nil {
		return &Error{File: EnvelopeFile, Reason: ReasonMalformed, Detail: "signature: " + err.Error()}
	}
	want.Signatures[0].Sig = base64.StdEncoding.EncodeToString(raw)
	again, err := encodeEnvelope(&want)
	if err != nil {
		return err
	}
	if !bytes.Equal(again, content) {
		return &Error{File: EnvelopeFile, Reason: ReasonMalformed, Detail: "it was written or changed by another program: not in its one canonical form"}
	}
	return nil
}
