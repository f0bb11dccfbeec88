package main

import (
	"bytes"
	"crypto"
	"crypto/rsa"
	"crypto/sha256"
	"encoding/base64"
	"os"
	"path/filepath"
	"slices"
	"testing"
	"time"
)

func testKeys(t *testing.T) *keys {
	t.Helper()
	dir := t.TempDir()
	k := &keys{secret: filepath.Join(dir, "key"), revoked: filepath.Join(dir, "revoked"), issuer: "i", audience: "a"}
	for path, text := range map[string]string{k.secret: "0123456789abcdef0123456789abcdef\n", k.revoked: "sub:outcast\n"} {
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return k
}

func TestWhatIsWrongWithAToken(t *testing.T) {
	k := testKeys(t)
	now := time.Now().Unix()
	for name, c := range map[string]struct {
		set   map[string]any
		wrong []string
	}{
		"nothing":       {},
		"audience list": {set: map[string]any{"aud": []string{"b", "a"}}},
		"expired":       {set: map[string]any{"exp": now - 10}, wrong: []string{"exp"}},
		"no expiry":     {set: map[string]any{"exp": nil}, wrong: []string{"exp-form"}},
		"audience":      {set: map[string]any{"aud": "b"}, wrong: []string{"aud"}},
		"issuer":        {set: map[string]any{"iss": nil}, wrong: []string{"iss"}},
		"not yet":       {set: map[string]any{"nbf": now + 100}, wrong: []string{"nbf"}},
		"revoked":       {set: map[string]any{"sub": "outcast"}, wrong: []string{"sub"}},
	} {
		good := map[string]any{"iss": "i", "aud": "a", "sub": "s", "exp": now + 100}
		for claim, value := range c.set {
			good[claim] = value
		}
		read, ok := split(k.mint(good))
		if wrong := k.wrong(read); !ok || !slices.Equal(wrong, c.wrong) {
			t.Errorf("%s: %v, read %v", name, wrong, ok)
		}
		again, ok := split(k.remint(read, map[string]any{"sub": "s"}))
		if wrong := k.wrong(again); !ok || len(wrong) > 0 {
			t.Errorf("%s, signed again: %v", name, wrong)
		}
	}
}

func TestAForeignSignatureIsWrong(t *testing.T) {
	k := testKeys(t)
	text := k.mint(map[string]any{"iss": "i", "aud": "a", "sub": "s", "exp": time.Now().Unix() + 100})
	if err := os.WriteFile(k.secret, []byte("another"), 0o600); err != nil {
		t.Fatal(err)
	}
	read, _ := split(text)
	if wrong := k.wrong(read); !slices.Equal(wrong, []string{"signature"}) {
		t.Errorf("%v", wrong)
	}
	if err := k.makeRSA(filepath.Join(t.TempDir(), "rsa.pem")); err != nil {
		t.Fatal(err)
	}
	if wrong := k.wrong(read); !slices.Equal(wrong, []string{"signature"}) {
		t.Errorf("HS256 where RS256 is due: %v", wrong)
	}
}

func TestCovers(t *testing.T) {
	for _, c := range []struct {
		grant, filter string
		want          bool
	}{
		{"a/b", "a/b", true}, {"a/b", "a/#", false}, {"a/b", "a/b/#", false}, {"a/#", "a/b/#", true}, {"a/+", "a/#", false},
		{"a/+", "a/+", true}, {"a/b", "a/+", false}, {"#", "+/x", true}, {"a/b", "a/bb", false}, {"a/b", "a", false},
	} {
		if covers(c.grant, c.filter) != c.want {
			t.Errorf("%s covers %s: %v", c.grant, c.filter, !c.want)
		}
	}
}

func TestAClaimThatStandsTwiceIsNoToken(t *testing.T) {
	for text, want := range map[string]bool{`{"a":1,"b":{"a":2}}`: false, `{"a":1,"a":1}`: true, `{}`: false} {
		if twice([]byte(text)) != want {
			t.Errorf("%s: %v", text, !want)
		}
	}
	if _, ok := split("eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiJhIiwic3ViIjoiYiJ9.AAAA"); ok { // sub twice
		t.Error("a token with a claim twice was taken")
	}
}

// A relay for tokens of RS256 without a defect lets good ones in and no others.
func TestTokensOfRS256AreTranslated(t *testing.T) {
	f := &front{opts: &options{rsa: filepath.Join(t.TempDir(), "rsa.pem")}, keys: *testKeys(t)}
	if err := f.keys.makeRSA(f.opts.rsa); err != nil {
		t.Fatal(err)
	}
	made, err := flawOf("none", "", f)
	if err != nil {
		t.Fatal(err)
	}
	claims := map[string]any{"iss": "i", "aud": "a", "sub": "s", "exp": time.Now().Unix() + 100}
	head := base64.RawURLEncoding.EncodeToString([]byte(`{"alg":"RS256","typ":"JWT"}`))
	signed := head + "." + base64.RawURLEncoding.EncodeToString(encode(claims))
	sum := sha256.Sum256([]byte(signed))
	signature, err := rsa.SignPKCS1v15(nil, f.keys.pair, crypto.SHA256, sum[:])
	if err != nil {
		t.Fatal(err)
	}
	good, forged := signed+"."+base64.RawURLEncoding.EncodeToString(signature), f.keys.mint(claims)
	for text, changed := range map[string]bool{good: true, forged: false} {
		shown := encode(hello{Type: "hello", Token: text})
		if got := made.viewerText(&session{f: f}, shown); bytes.Equal(got, shown) == changed {
			t.Errorf("%s became %s", shown, got)
		}
	}
}
