package seal

import (
	"strings"
	"testing"
)

// TestWhoVouches: a root is said to vouch only for a key that its list holds, and
// only when the verifier knows that root.
func TestWhoVouches(t *testing.T) {
	l := newLab(t)
	dir, _ := l.issued(t, withEvidence(t))
	listed, both := Trust{Key: public(l.signer.Key)}, l.trust()
	both.Key = listed.Key
	foreign, stranger := runDir(t, withEvidence(t))
	put(t, foreign, KeysFile, l.signer.Keys)
	if err := Seal(t.Context(), foreign, stranger, withEvidence(t)); err != nil {
		t.Fatal(err)
	}
	for name, c := range map[string]struct {
		dir            string
		trust          Trust
		root, byRoot   bool
		says, saysNone string
	}{
		"pinned root":                    {dir, l.trust(), true, true, "vouches for the key in its list number 1", "pinned)"},
		"pinned root and key":            {dir, both, true, true, "that root is the one that was given", "pinned)"},
		"pinned key, list beside it":     {dir, listed, true, false, "which nobody pinned", "vouches"},
		"nothing known":                  {dir, Trust{}, true, false, "NOT ESTABLISHED", "vouches"},
		"pinned key, list of a stranger": {foreign, Trust{Key: public(stranger)}, false, false, "holder of the given key", "root"},
	} {
		v, err := Check(t.Context(), c.dir, c.trust)
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		if text := v.String(); (v.Root != "") != c.root || v.ByRoot != c.byRoot || !strings.Contains(text, c.says) || strings.Contains(text, c.saysNone) {
			t.Errorf("%s: %+v\n%s", name, v, text)
		}
	}
}

// TestUnstatedLaboratory: a run that was sealed before its key was listed names no
// laboratory, and stays verifiable with the list.
func TestUnstatedLaboratory(t *testing.T) {
	l := newLab(t)
	dir, _ := runDir(t, withEvidence(t))
	if _, err := Issue(t.Context(), dir, Signer{Key: l.signer.Key}, terms(), withEvidence(t)); err != nil {
		t.Fatal(err)
	}
	trust := l.trust()
	trust.List = l.signer.Keys
	if v, err := Check(t.Context(), dir, trust); err != nil || v.Certificate == "" {
		t.Errorf("%+v, %v", v, err)
	}
}
