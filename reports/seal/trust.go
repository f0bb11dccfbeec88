package seal

import (
	"context"
	"crypto/ecdsa"
	"crypto/ed25519"
	"errors"
	"fmt"
	"os"
	"time"

	"plumbline/reports"
)

// Trust is what a verifier knows beforehand. The zero value knows nothing: then
// the keys of the directory itself are taken, which shows that nothing changed
// since it was signed, and not who signed.
type Trust struct {
	Key  ed25519.PublicKey // the signer's key; nil when not known
	Root ed25519.PublicKey // the root that vouches for signers; nil when not known
	List []byte            // newest key list of Root at hand (file form); nil: the one in the directory
	At   time.Time         // the moment for which the question is asked; zero: periods are not looked at
}

// issuedBy refuses what was not issued yet at the moment that is asked for.
func (t Trust) issuedBy(file string, issued time.Time) error {
	if t.At.IsZero() || !t.At.Before(issued) {
		return nil
	}
	return &Error{File: file, Reason: ReasonNotYet, Detail: fmt.Sprintf("it is dated %s, asked was %s", date(issued), date(t.At))}
}

// pinned reports whether anything outside the directory says who may sign.
func (t Trust) pinned() bool { return t.Key != nil || t.Root != nil }

// keys resolves signers for one directory.
type keys struct {
	trust Trust
	list  *KeyList // nil: nobody vouches for anybody
}

// newKeys reads the key list of the directory and that of the verifier, and
// takes the newer. Without a pinned root the list in the directory speaks for
// itself; with one it must be signed by it.
func newKeys(ctx context.Context, root *os.Root, trust Trust) (*keys, error) {
	k := &keys{trust: trust}
	if trust.List != nil {
		list, err := OpenKeys(ctx, trust.List, trust.Root)
		if err != nil {
			return nil, err
		}
		k.list = list
	}
	if root == nil {
		return k, nil
	}
	content, err := readSmall(root, KeysFile)
	var typed *Error
	if errors.As(err, &typed) && typed.Reason == ReasonMissing {
		return k, k.vouched()
	}
	if err != nil {
		return nil, err
	}
	list, err := OpenKeys(ctx, content, trust.Root)
	switch {
	case errors.As(err, &typed) && typed.Reason == ReasonKey && k.list != nil:
		// Another root's list lies in the directory; the verifier's own decides.
		return k, nil
	case err != nil:
		return nil, err
	case k.list == nil || list.Sequence > k.list.Sequence:
		k.list = list
	}
	return k, nil
}

// vouching refuses a list whose root is not valid at the moment that is asked for. Who
// pins a key takes nobody's word for it.
func (k *keys) vouching() error {
	at := k.trust.At
	if k.list == nil || k.trust.Key != nil || at.IsZero() {
		return nil
	}
	switch root := k.list.Root; {
	case at.Before(root.ValidFrom):
		return &Error{File: KeysFile, Reason: ReasonNotYet, Detail: fmt.Sprintf("its root is valid from %s, asked was %s", date(root.ValidFrom), date(at))}
	case !at.Before(root.ValidUntil):
		return &Error{File: KeysFile, Reason: ReasonExpired, Detail: fmt.Sprintf("its root was valid until %s, asked was %s", date(root.ValidUntil), date(at))}
	}
	return nil
}

// vouched refuses to guess when a root is pinned and no list of it is at hand.
func (k *keys) vouched() error {
	if k.trust.Root != nil && k.list == nil {
		return &Error{File: KeysFile, Reason: ReasonUnknownKey, Detail: "a root is pinned, and neither the directory nor --keys holds a key list that it signed"}
	}
	return nil
}

// signer returns the public key that an envelope must be signed with. stored is
// the key that lies in the directory, nil when none does.
func (k *keys) signer(e *envelope, stored ed25519.PublicKey) (ed25519.PublicKey, error) {
	switch {
	case k.trust.Key != nil:
		return k.trust.Key, nil
	case k.list != nil:
		record, listed := k.list.Key(e.keyID())
		if !listed {
			return nil, &Error{File: e.file, Reason: ReasonUnknownKey,
				Detail: fmt.Sprintf("signed by key %q, which the list of root %s (number %d, %s) does not hold", e.keyID(), k.list.Root.ID, k.list.Sequence, date(k.list.Issued))}
		}
		public, err := record.ed25519()
		if err != nil {
			return nil, &Error{File: e.file, Reason: ReasonKey, Detail: err.Error()}
		}
		return public, nil
	case stored != nil:
		return stored, nil
	default:
		return nil, &Error{File: e.file, Reason: ReasonUnknownKey, Detail: fmt.Sprintf("signed by key %q, and nothing here says whose that is", e.keyID())}
	}
}

// good checks that a key was good for a purpose at the date of a signature. Keys
// for which nobody vouches are good as far as anybody can tell.
func (k *keys) good(file string, public any, purpose Purpose, signed time.Time) error {
	if k.list == nil {
		return nil
	}
	id, err := KeyID(public)
	if err != nil {
		return err
	}
	record, listed := k.list.Key(id)
	if !listed {
		if k.trust.Key != nil {
			return nil // pinned by the verifier himself; a list of others says nothing about it
		}
		return &Error{File: file, Reason: ReasonUnknownKey, Detail: fmt.Sprintf("key %s is not in the list of root %s", id, k.list.Root.ID)}
	}
	if reason, detail := record.Refuse(purpose, signed); reason != "" {
		return &Error{File: file, Reason: reason, Detail: detail}
	}
	return nil
}

// naming returns the list that holds the key of that id, nil when none does.
func (k *keys) naming(id string) *KeyList {
	if k.list == nil {
		return nil
	}
	if _, listed := k.list.Key(id); !listed {
		return nil
	}
	return k.list
}

// issuer checks who a detail statement says has signed and issued it against the
// key and its record. A signer who names no laboratory contradicts no record.
func (k *keys) issuer(file string, issue reports.Issue, public ed25519.PublicKey) error {
	id, err := KeyID(public)
	if err != nil {
		return err
	}
	if issue.Signer != id {
		return &Error{File: file, Reason: ReasonContradiction, Detail: fmt.Sprintf("it says that key %q signed it, and key %s did", issue.Signer, id)}
	}
	list := k.naming(id)
	if list == nil || issue.Laboratory == (reports.Laboratory{}) {
		return nil
	}
	record, _ := list.Key(id)
	if name, have, want := differing(issue.Laboratory, record.laboratory()); name != "" {
		return &Error{File: file, Reason: ReasonContradiction,
			Detail: fmt.Sprintf("the %s of its laboratory is %s; root %s gives key %s as that of %s", name, or(have), list.Root.ID, id, or(want))}
	}
	return nil
}

func or(said string) string {
	if said == "" {
		return "not stated"
	}
	return said
}

// p256 returns the ECDSA key that lies in the directory.
func p256(root *os.Root) (*ecdsa.PublicKey, error) {
	content, err := readSmall(root, P256KeyFile)
	if err != nil {
		return nil, err
	}
	parsed, err := parsePublic(content)
	if err != nil {
		return nil, &Error{File: P256KeyFile, Reason: ReasonMalformed, Detail: err.Error()}
	}
	public, ok := parsed.(*ecdsa.PublicKey)
	if !ok {
		return nil, &Error{File: P256KeyFile, Reason: ReasonKey, Detail: fmt.Sprintf("key is %T, want ECDSA on P-256", parsed)}
	}
	return public, nil
}
