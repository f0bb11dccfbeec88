package seal

import (
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"encoding/json"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
	"time"
)

func TestKeyListRoundTrip(t *testing.T) {
	l := newLab(t)
	for name, root := range map[string]ed25519.PublicKey{"pinned": public(l.root), "its own word": nil} {
		list, err := OpenKeys(t.Context(), l.signer.Keys, root)
		if err != nil || list.Sequence != 1 || len(list.Keys) != 2 || list.Keys[0].Algorithm != Ed25519 || list.Keys[1].Algorithm != P256 {
			t.Errorf("%s: %+v, %v", name, list, err)
		}
	}
	id, err := KeyID(l.signer.P256.Public())
	if err != nil {
		t.Fatal(err)
	}
	if r, listed := l.list.Key(id); !listed || r.Rig != "rig 7" {
		t.Errorf("second key: %+v, %v", r, listed)
	}
	if _, listed := l.list.Key(l.list.Root.ID); listed {
		t.Error("the root is listed among the signers")
	}
}

// TestKeyListRefuses: nothing that could not be verified is signed or read.
func TestKeyListRefuses(t *testing.T) {
	for name, c := range map[string]struct {
		change func(t *testing.T, l *KeyList)
		want   string
	}{
		"schema":            {func(_ *testing.T, l *KeyList) { l.Schema = "plumbline.keys/v2" }, "no head of a key list"},
		"no number":         {func(_ *testing.T, l *KeyList) { l.Sequence = 0 }, "no head of a key list"},
		"no date":           {func(_ *testing.T, l *KeyList) { l.Issued = time.Time{} }, "no head of a key list"},
		"before the root":   {func(_ *testing.T, l *KeyList) { l.Issued = epoch.Add(-time.Hour) }, "root is not valid"},
		"after the root":    {func(_ *testing.T, l *KeyList) { l.Issued = epoch.AddDate(11, 0, 0) }, "root is not valid"},
		"root for reports":  {func(_ *testing.T, l *KeyList) { l.Root.Purposes = []Purpose{ForReports} }, "for key lists alone"},
		"rig with key list": {func(_ *testing.T, l *KeyList) { l.Keys[0].Purposes = []Purpose{ForKeys} }, "root's purpose"},
		"no purpose":        {func(_ *testing.T, l *KeyList) { l.Keys[0].Purposes = nil }, "no purpose"},
		"unknown purpose":   {func(_ *testing.T, l *KeyList) { l.Keys[0].Purposes = []Purpose{"anything"} }, "unknown purpose"},
		"too long":          {func(_ *testing.T, l *KeyList) { l.Keys[0].ValidUntil = epoch.AddDate(3, 0, 0) }, "allowed are up to 366 days"},
		"backwards":         {func(_ *testing.T, l *KeyList) { l.Keys[0].ValidUntil = epoch.Add(-1) }, "valid from"},
		"twice":             {func(_ *testing.T, l *KeyList) { l.Keys[1] = l.Keys[0] }, "listed twice"},
		"foreign id":        {func(_ *testing.T, l *KeyList) { l.Keys[0].ID = l.Keys[1].ID + "0" }, "not those of its public key"},
		"foreign algorithm": {func(_ *testing.T, l *KeyList) { l.Keys[0].Algorithm = P256 }, "not those of its public key"},
		"no key":            {func(_ *testing.T, l *KeyList) { l.Keys[0].PublicKey = []byte("x") }, "asn1"},
		"revoked for no reason": {func(_ *testing.T, l *KeyList) {
			l.Keys[0].Revoked = &Revocation{At: epoch, Reason: "because"}
		}, "unknown reason"},
		"revoked at no time":       {func(_ *testing.T, l *KeyList) { l.Keys[0].Revoked = &Revocation{Reason: Retired} }, "lacks its date"},
		"root with a pair":         {func(_ *testing.T, l *KeyList) { l.Root.Pair = l.Keys[0].ID }, "it has neither"},
		"root that was replaced":   {func(_ *testing.T, l *KeyList) { l.Root.ReplacedBy = l.Keys[0].ID }, "it has neither"},
		"pair of nobody":           {func(_ *testing.T, l *KeyList) { l.Keys[0].Pair = l.Root.ID }, "no listed key of the other algorithm"},
		"pair of itself":           {func(_ *testing.T, l *KeyList) { l.Keys[0].Pair = l.Keys[0].ID }, "no listed key of the other algorithm"},
		"pair that names nobody":   {func(_ *testing.T, l *KeyList) { l.Keys[0].Pair, l.Keys[1].Pair = l.Keys[1].ID, "" }, "names it in turn"},
		"replaced by nobody":       {func(_ *testing.T, l *KeyList) { l.Keys[0].ReplacedBy = "0123" }, "made later"},
		"replaced by itself":       {func(_ *testing.T, l *KeyList) { l.Keys[0].ReplacedBy = l.Keys[0].ID }, "made later"},
		"replaced by another sort": {func(_ *testing.T, l *KeyList) { l.Keys[0].ReplacedBy = l.Keys[1].ID }, "made later"},
		"root of another": {func(t *testing.T, l *KeyList) {
			t.Helper()
			r, err := NewKeyRecord(newEd25519(t).Public(), []Purpose{ForKeys}, epoch, epoch.AddDate(10, 0, 0))
			if err != nil {
				t.Fatal(err)
			}
			l.Root = r
		}, "names another root"},
	} {
		t.Run(name, func(t *testing.T) {
			l := newLab(t)
			c.change(t, l.list)
			if _, err := SignKeys(t.Context(), l.root, l.list); err == nil || !strings.Contains(err.Error(), c.want) {
				t.Errorf("signed: %v, want %q", err, c.want)
			}
			body, err := json.Marshal(l.list)
			if err != nil {
				t.Fatal(err)
			}
			content, err := sign(t.Context(), l.root, KeysPayloadType, body)
			if err != nil {
				t.Fatal(err)
			}
			_, err = OpenKeys(t.Context(), content, public(l.root))
			wantProblem(t, err, KeysFile)
		})
	}
}

func TestKeyRecordOfForeignKeys(t *testing.T) {
	curve, err := ecdsa.GenerateKey(elliptic.P384(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	for name, key := range map[string]any{"P-384": curve.Public(), "private": newEd25519(t), "nothing": nil} {
		if _, err := NewKeyRecord(key, []Purpose{ForReports}, epoch, epoch.AddDate(0, 1, 0)); err == nil {
			t.Errorf("%s: has a record", name)
		}
	}
}

// TestWhatAKeyIsGoodFor: purpose, period and revocation, at their very limits.
func TestWhatAKeyIsGoodFor(t *testing.T) {
	l := newLab(t)
	r := l.list.Keys[0]
	revoked := r
	revoked.Revoked = &Revocation{At: epoch.AddDate(0, 6, 0), Reason: Mistaken}
	stolen := r
	stolen.Revoked = &Revocation{At: epoch.AddDate(0, 6, 0), Reason: Compromised}
	for name, c := range map[string]struct {
		record  KeyRecord
		purpose Purpose
		at      time.Time
		want    Reason
	}{
		"first moment":       {r, ForReports, epoch, ""},
		"before":             {r, ForReports, epoch.Add(-1), ReasonNotYet},
		"last moment":        {r, ForCertificates, epoch.AddDate(1, 0, 0).Add(-1), ""},
		"after":              {r, ForCertificates, epoch.AddDate(1, 0, 0), ReasonExpired},
		"key lists":          {r, ForKeys, epoch, ReasonPurpose},
		"before revocation":  {revoked, ForReports, epoch.AddDate(0, 6, 0).Add(-1), ""},
		"at revocation":      {revoked, ForReports, epoch.AddDate(0, 6, 0), ReasonRevoked},
		"before it was lost": {stolen, ForReports, epoch, ReasonRevoked},
	} {
		if got, detail := c.record.Refuse(c.purpose, c.at); got != c.want || (got == "") != (detail == "") {
			t.Errorf("%s: %q %q, want %q", name, got, detail, c.want)
		}
	}
}

func TestOpenP256Key(t *testing.T) {
	path := filepath.Join(t.TempDir(), "deep", "p.pem")
	first, created, err := OpenP256Key(path)
	if err != nil || !created {
		t.Fatalf("first use: %v, %v", created, err)
	}
	again, created, err := OpenP256Key(path)
	if err != nil || created || !again.Equal(first) {
		t.Errorf("second use: created %v, %v", created, err)
	}
	if runtime.GOOS != "windows" {
		if err := os.Chmod(path, 0o644); err != nil {
			t.Fatal(err)
		}
		if _, _, err := OpenP256Key(path); err == nil || !strings.Contains(err.Error(), "chmod 600") {
			t.Errorf("a key that others may read: %v", err)
		}
	}
	other := filepath.Join(t.TempDir(), "e.pem")
	if err := WriteKey(other, newEd25519(t)); err != nil {
		t.Fatal(err)
	}
	if _, _, err := OpenP256Key(other); err == nil || !strings.Contains(err.Error(), "want ECDSA") {
		t.Errorf("an Ed25519 key: %v", err)
	}
}
