package seal

import (
	"bytes"
	"context"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"time"

	"plumbline/reports"
)

// Names and versions of the key list.
const (
	KeysFile        = "keys.dsse.json"
	KeysSchema      = "plumbline.keys/v1"
	KeysPayloadType = "application/vnd.plumbline.keys+json"
)

// Limits of the validity of keys (metrology 3.4).
const (
	MaxRigKeyLife  = 366 * 24 * time.Hour
	MaxRootKeyLife = 20 * MaxRigKeyLife
)

// Algorithm is how a key signs.
type Algorithm string

// The algorithms.
const (
	Ed25519 Algorithm = "ed25519"           // pure, RFC 8032: DSSE envelopes
	P256    Algorithm = "ecdsa-p256-sha256" // FIPS 186-5: Sigstore bundles
)

// Purpose is what a key may sign.
type Purpose string

// The purposes.
const (
	ForKeys         Purpose = "keys"        // the root's: key lists and nothing else
	ForReports      Purpose = "report"      // report and detail statements
	ForCertificates Purpose = "certificate" // certificates
)

// RevocationReason is why a key is no longer to be trusted.
type RevocationReason string

// The reasons. Compromised voids everything that the key ever signed, because
// whoever holds it dates what he signs as he likes; the others void what is
// dated from the revocation on.
const (
	Compromised RevocationReason = "compromised"
	Superseded  RevocationReason = "superseded"
	Retired     RevocationReason = "retired"
	Mistaken    RevocationReason = "mistaken"
)

// RevocationReasons returns all reasons.
func RevocationReasons() []RevocationReason {
	return []RevocationReason{Compromised, Superseded, Retired, Mistaken}
}

// Revocation says since when and why a key is void.
type Revocation struct {
	At     time.Time        `json:"at"`
	Reason RevocationReason `json:"reason"`
}

// KeyRecord is one key as the root vouches for it. A signature is good when the
// key had the purpose and was valid at the date of the signature.
type KeyRecord struct {
	ID         string      `json:"id"` // see KeyID
	Algorithm  Algorithm   `json:"algorithm"`
	PublicKey  []byte      `json:"public_key"` // SubjectPublicKeyInfo in DER
	Purposes   []Purpose   `json:"purposes"`
	Holder     string      `json:"holder,omitempty"` // laboratory; its name is put on reports
	Address    string      `json:"address,omitempty"`
	Rig        string      `json:"rig,omitempty"`
	Site       string      `json:"site,omitempty"`
	ValidFrom  time.Time   `json:"valid_from"`
	ValidUntil time.Time   `json:"valid_until"`           // the first moment at which it is not
	Pair       string      `json:"pair,omitempty"`        // id of the key of the other algorithm, made with it
	ReplacedBy string      `json:"replaced_by,omitempty"` // id of the key that followed it
	Revoked    *Revocation `json:"revoked,omitempty"`
}

// KeyList is every key that a root ever vouched for, with the revoked ones: it
// is the revocation list as well. Of two lists of one root the one with the
// higher Sequence counts.
type KeyList struct {
	Schema   string      `json:"schema"`
	Sequence uint64      `json:"sequence"` // from 1
	Issued   time.Time   `json:"issued"`
	Root     KeyRecord   `json:"root"`
	Keys     []KeyRecord `json:"keys"` // in the order in which they were made
}

// NewKeyRecord returns the record of a public key (ed25519.PublicKey or
// *ecdsa.PublicKey on P-256), valid for the time given.
func NewKeyRecord(public any, purposes []Purpose, from, until time.Time) (KeyRecord, error) {
	r := KeyRecord{Purposes: purposes, ValidFrom: from.UTC().Truncate(time.Second), ValidUntil: until.UTC().Truncate(time.Second)}
	switch key := public.(type) {
	case ed25519.PublicKey:
		r.Algorithm = Ed25519
	case *ecdsa.PublicKey:
		if key.Curve != elliptic.P256() {
			return r, fmt.Errorf("seal: key on curve %s, want P-256", key.Curve.Params().Name)
		}
		r.Algorithm = P256
	default:
		return r, fmt.Errorf("seal: key is %T, want Ed25519 or P-256", public)
	}
	var err error
	if r.PublicKey, err = x509.MarshalPKIXPublicKey(public); err != nil {
		return r, fmt.Errorf("seal: public key: %w", err)
	}
	r.ID = fingerprint(r.PublicKey)
	return r, nil
}

// SignKeys returns the file form of the list, signed by the root. It refuses a
// list that OpenKeys would refuse.
func SignKeys(ctx context.Context, root ed25519.PrivateKey, list *KeyList) ([]byte, error) {
	if err := list.validate(); err != nil {
		return nil, fmt.Errorf("seal: sign key list: %w", err)
	}
	body, err := json.Marshal(list)
	if err != nil {
		return nil, fmt.Errorf("seal: sign key list: %w", err)
	}
	content, err := sign(ctx, root, KeysPayloadType, body)
	if err != nil {
		return nil, err
	}
	if _, err := OpenKeys(ctx, content, root.Public().(ed25519.PublicKey)); err != nil {
		return nil, fmt.Errorf("seal: sign key list: %w", err)
	}
	return content, nil
}

// OpenKeys checks a key list against the root's key. With root nil the key is
// taken from the list itself: that shows that nothing in it was changed, not
// whose list it is. Every failure is an *Error about KeysFile.
func OpenKeys(ctx context.Context, content []byte, root ed25519.PublicKey) (*KeyList, error) {
	e, err := parseEnvelope(KeysFile, content, KeysPayloadType)
	if err != nil {
		return nil, err
	}
	if root == nil {
		if root, err = statedRoot(e); err != nil {
			return nil, err
		}
	}
	body, err := e.open(ctx, root)
	if err != nil {
		return nil, err
	}
	list, err := decodeKeys(body)
	if err != nil {
		return nil, err
	}
	if id, err := KeyID(root); err != nil || list.Root.ID != id {
		return nil, &Error{File: KeysFile, Reason: ReasonContradiction, Detail: "it names another root than the key that signed it"}
	}
	return list, nil
}

// statedRoot reads the root's key out of a list that nobody checked yet.
func statedRoot(e *envelope) (ed25519.PublicKey, error) {
	body, err := base64.StdEncoding.DecodeString(e.dsse.Payload)
	if err != nil {
		return nil, &Error{File: KeysFile, Reason: ReasonMalformed, Detail: "payload: " + err.Error()}
	}
	list, err := decodeKeys(body)
	if err != nil {
		return nil, err
	}
	return list.Root.ed25519()
}

func decodeKeys(body []byte) (*KeyList, error) {
	if err := checkSchema(KeysFile, body, KeysSchema); err != nil {
		return nil, err
	}
	list := &KeyList{}
	dec := json.NewDecoder(bytes.NewReader(body))
	dec.DisallowUnknownFields()
	if err := dec.Decode(list); err != nil {
		return nil, broken(KeysFile, err)
	}
	if err := list.validate(); err != nil {
		return nil, &Error{File: KeysFile, Reason: ReasonMalformed, Detail: err.Error()}
	}
	return list, nil
}

// checkSchema names a form of another version before its unknown fields are
// taken for damage.
func checkSchema(file string, body []byte, want string) error {
	var head struct {
		Schema string `json:"schema"`
	}
	if err := json.Unmarshal(body, &head); err != nil {
		return broken(file, err)
	}
	if head.Schema != want {
		return &Error{File: file, Reason: ReasonSchema, Detail: fmt.Sprintf("schema is %q, this program reads %q", head.Schema, want)}
	}
	return nil
}

// Key returns the record of that id.
func (l *KeyList) Key(id string) (KeyRecord, bool) {
	for _, r := range l.Keys {
		if r.ID == id {
			return r, true
		}
	}
	return KeyRecord{}, false
}

func (l *KeyList) validate() error {
	var errs []error
	if l.Schema != KeysSchema || l.Sequence == 0 || l.Issued.IsZero() {
		errs = append(errs, fmt.Errorf("schema %q, sequence %d and date %s are no head of a key list", l.Schema, l.Sequence, l.Issued))
	}
	errs = append(errs, l.Root.validate(MaxRootKeyLife))
	if !slices.Equal(l.Root.Purposes, []Purpose{ForKeys}) || l.Root.Algorithm != Ed25519 {
		errs = append(errs, errors.New("the root is no Ed25519 key for key lists alone"))
	}
	if l.Issued.Before(l.Root.ValidFrom) || !l.Issued.Before(l.Root.ValidUntil) {
		errs = append(errs, fmt.Errorf("dated %s, when the root is not valid (%s to %s)", date(l.Issued), date(l.Root.ValidFrom), date(l.Root.ValidUntil)))
	}
	seen := map[string]bool{l.Root.ID: true}
	for _, r := range l.Keys {
		if seen[r.ID] {
			errs = append(errs, fmt.Errorf("key %s is listed twice", r.ID))
		}
		seen[r.ID] = true
		if slices.Contains(r.Purposes, ForKeys) {
			errs = append(errs, fmt.Errorf("key %s has the root's purpose", r.ID))
		}
		errs = append(errs, r.validate(MaxRigKeyLife))
	}
	return errors.Join(append(errs, l.validReferences()...)...)
}

// validReferences reports keys that name others which are not listed, or not what they
// are said to be: who revokes a key revokes its pair.
func (l *KeyList) validReferences() (errs []error) {
	if l.Root.Pair != "" || l.Root.ReplacedBy != "" {
		errs = append(errs, errors.New("the root names a pair or a successor; it has neither"))
	}
	place := map[string]int{}
	for i, r := range l.Keys {
		place[r.ID] = i
	}
	for i, r := range l.Keys {
		if r.Pair != "" {
			at, listed := place[r.Pair]
			if !listed || l.Keys[at].Pair != r.ID || l.Keys[at].Algorithm == r.Algorithm {
				errs = append(errs, fmt.Errorf("key %s: its pair %q is no listed key of the other algorithm that names it in turn", r.ID, r.Pair))
			}
		}
		if r.ReplacedBy != "" {
			if at, listed := place[r.ReplacedBy]; !listed || at <= i || l.Keys[at].Algorithm != r.Algorithm {
				errs = append(errs, fmt.Errorf("key %s: it is said to be replaced by %q, which is no listed key of its algorithm that was made later", r.ID, r.ReplacedBy))
			}
		}
	}
	return errs
}

func (r KeyRecord) validate(longest time.Duration) error {
	public, err := r.public()
	if err != nil {
		return err
	}
	again, err := NewKeyRecord(public, r.Purposes, r.ValidFrom, r.ValidUntil)
	switch {
	case err != nil:
		return err
	case again.ID != r.ID || again.Algorithm != r.Algorithm || !bytes.Equal(again.PublicKey, r.PublicKey):
		return fmt.Errorf("key %s: id or algorithm are not those of its public key", r.ID)
	case !r.ValidFrom.Before(r.ValidUntil) || r.ValidUntil.Sub(r.ValidFrom) > longest:
		return fmt.Errorf("key %s: valid from %s until %s, allowed are up to %d days", r.ID, date(r.ValidFrom), date(r.ValidUntil), int(longest.Hours()/24))
	case len(r.Purposes) == 0:
		return fmt.Errorf("key %s has no purpose", r.ID)
	case r.Revoked != nil && (r.Revoked.At.IsZero() || !slices.Contains(RevocationReasons(), r.Revoked.Reason)):
		return fmt.Errorf("key %s: revocation lacks its date or has the unknown reason %q", r.ID, r.Revoked.Reason)
	}
	for _, p := range r.Purposes {
		if p != ForKeys && p != ForReports && p != ForCertificates {
			return fmt.Errorf("key %s: unknown purpose %q", r.ID, p)
		}
	}
	return nil
}

func (r KeyRecord) public() (any, error) {
	public, err := x509.ParsePKIXPublicKey(r.PublicKey)
	if err != nil {
		return nil, fmt.Errorf("key %s: %w", r.ID, err)
	}
	return public, nil
}

func (r KeyRecord) ed25519() (ed25519.PublicKey, error) {
	public, err := r.public()
	if err != nil {
		return nil, err
	}
	key, ok := public.(ed25519.PublicKey)
	if !ok {
		return nil, fmt.Errorf("key %s is %T, want Ed25519", r.ID, public)
	}
	return key, nil
}

func (r KeyRecord) laboratory() reports.Laboratory {
	return reports.Laboratory{Name: r.Holder, Address: r.Address, Rig: r.Rig, Site: r.Site}
}

// Refuse returns why a signature of this key dated signed is not good for a
// purpose, and "" when it is.
func (r KeyRecord) Refuse(purpose Purpose, signed time.Time) (Reason, string) {
	switch {
	case !slices.Contains(r.Purposes, purpose):
		return ReasonPurpose, fmt.Sprintf("key %s is for %v, not for %q", r.ID, r.Purposes, purpose)
	case r.Revoked != nil && r.Revoked.Reason == Compromised:
		return ReasonRevoked, fmt.Sprintf("key %s was revoked at %s as compromised: nothing it signed can be trusted, whatever its date", r.ID, date(r.Revoked.At))
	case r.Revoked != nil && !signed.Before(r.Revoked.At):
		return ReasonRevoked, fmt.Sprintf("key %s was revoked at %s (%s), and this is dated %s", r.ID, date(r.Revoked.At), r.Revoked.Reason, date(signed))
	case signed.Before(r.ValidFrom):
		return ReasonNotYet, fmt.Sprintf("key %s is valid from %s, and this is dated %s", r.ID, date(r.ValidFrom), date(signed))
	case !signed.Before(r.ValidUntil):
		return ReasonExpired, fmt.Sprintf("key %s was valid until %s, and this is dated %s", r.ID, date(r.ValidUntil), date(signed))
	default:
		return "", ""
	}
}

func date(t time.Time) string { return t.UTC().Format(time.RFC3339) }
