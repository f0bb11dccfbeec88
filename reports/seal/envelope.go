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
func sign(ctx context.Context, key ed25519.PrivateKey, payloadType string, body []byte) ([]byte, error) {
	if len(key) != ed25519.PrivateKeySize {
		return nil, errors.New("seal: sign: not an Ed25519 key")
	}
	public := key.Public().(ed25519.PublicKey)
	id, err := KeyID(public)
	if err != nil {
		return nil, err
	}
	signer, err := dsse.NewEnvelopeSigner(&keypair{id: id, public: public, private: key})
	if err != nil {
		return nil, fmt.Errorf("seal: sign: %w", err)
	}
	envelope, err := signer.SignPayload(ctx, payloadType, body)
	if err != nil {
		return nil, fmt.Errorf("seal: sign: %w", err)
	}
	return encodeJSON(envelope)
}

// encodeJSON is the one form of every JSON file of a seal.
func encodeJSON(v any) ([]byte, error) {
	var buf bytes.Buffer
	enc := json.NewEncoder(&buf)
	enc.SetIndent("", "  ")
	enc.SetEscapeHTML(false) // keep "+" and "<" as they are for sed and grep
	if err := enc.Encode(v); err != nil {
		return nil, fmt.Errorf("seal: encode: %w", err)
	}
	return buf.Bytes(), nil
}

// envelope is a file in DSSE form whose signature was not checked yet.
type envelope struct {
	file    string
	content []byte
	dsse    dsse.Envelope
}

// parseEnvelope reads an envelope with exactly one signature.
func parseEnvelope(file string, content []byte, payloadType string) (*envelope, error) {
	e := &envelope{file: file, content: content}
	if len(content) == 0 {
		return nil, &Error{File: file, Reason: ReasonTruncated, Detail: "it is empty"}
	}
	if err := json.Unmarshal(content, &e.dsse); err != nil {
		return nil, broken(file, err)
	}
	if e.dsse.PayloadType != payloadType {
		return nil, &Error{File: file, Reason: ReasonType, Detail: fmt.Sprintf("payload type is %q, want %q", e.dsse.PayloadType, payloadType)}
	}
	if n := len(e.dsse.Signatures); n != 1 {
		return nil, &Error{File: file, Reason: ReasonMalformed, Detail: fmt.Sprintf("%d signatures, want 1", n)}
	}
	return e, nil
}

// keyID is whom the envelope names as signer: a hint that nothing protects.
func (e *envelope) keyID() string { return e.dsse.Signatures[0].KeyID }

// open checks the signature and returns the body. It accepts exactly the bytes
// that sign would have written, because base64 and JSON leave room for changes
// that no signature notices.
func (e *envelope) open(ctx context.Context, public ed25519.PublicKey) (body []byte, err error) {
	id, err := KeyID(public)
	if err != nil {
		return nil, err
	}
	if got := e.keyID(); got != id {
		return nil, &Error{File: e.file, Reason: ReasonKey, Detail: fmt.Sprintf("signed by key %q, expected key %s", got, id)}
	}
	verifier, err := dsse.NewEnvelopeVerifier(&keypair{id: id, public: public})
	if err != nil {
		return nil, fmt.Errorf("seal: verify: %w", err)
	}
	_, body, err = verifier.VerifyAndDecode(ctx, &e.dsse)
	if err != nil {
		return nil, &Error{File: e.file, Reason: ReasonSignature, Detail: err.Error()}
	}
	return body, e.canonical(body)
}

// canonical compares the envelope file with the one form that sign writes.
func (e *envelope) canonical(body []byte) error {
	want := e.dsse
	want.Payload = base64.StdEncoding.EncodeToString(body)
	want.Signatures = append([]dsse.Signature(nil), e.dsse.Signatures...)
	raw, err := base64.StdEncoding.Strict().DecodeString(e.dsse.Signatures[0].Sig)
	if err != nil {
		return &Error{File: e.file, Reason: ReasonMalformed, Detail: "signature: " + err.Error()}
	}
	want.Signatures[0].Sig = base64.StdEncoding.EncodeToString(raw)
	again, err := encodeJSON(&want)
	if err != nil {
		return err
	}
	if !bytes.Equal(again, e.content) {
		return &Error{File: e.file, Reason: ReasonMalformed, Detail: "it was written or changed by another program: not in its one canonical form"}
	}
	return nil
}
