package auth

import (
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"encoding/pem"
	"errors"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/golang-jwt/jwt/v5"
)

var (
	secret = []byte("0123456789abcdef0123456789abcdef-0123456789abcdef0123456789abcdef")
	now    = time.Unix(1_800_000_000, 0)
)

func verifier(t *testing.T, alg string, key any, leeway time.Duration) *Verifier {
	t.Helper()
	v, err := NewVerifier(Options{Alg: alg, Key: key, Issuer: "plumbline", Audience: "bridge", Leeway: leeway, Now: func() time.Time { return now }})
	if err != nil {
		t.Fatal(err)
	}
	return v
}

func claims(change map[string]any) jwt.MapClaims {
	c := jwt.MapClaims{"sub": "anna", "iss": "plumbline", "aud": "bridge", "exp": now.Unix() + 60, "grants": []string{"plant/#"}}
	maps.Copy(c, change)
	for k, v := range c {
		if v == nil {
			delete(c, k)
		}
	}
	return c
}

func sign(t *testing.T, method jwt.SigningMethod, key any, c jwt.Claims, header map[string]any) string {
	t.Helper()
	tok := jwt.NewWithClaims(method, c)
	maps.Copy(tok.Header, header)
	s, err := tok.SignedString(key)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// raw signs a payload (and header) as they stand, with HS256.
func raw(header, payload string) string {
	enc := base64.RawURLEncoding
	body := enc.EncodeToString([]byte(header)) + "." + enc.EncodeToString([]byte(payload))
	sig, err := jwt.SigningMethodHS256.Sign(body, secret)
	if err != nil {
		panic(err)
	}
	return body + "." + enc.EncodeToString(sig)
}

func wantReason(t *testing.T, err error, reason string) {
	t.Helper()
	var no *Refusal
	if !errors.As(err, &no) || !errors.Is(err, ErrToken) {
		t.Fatalf("error %v, want a Refusal with reason %q", err, reason)
	}
	if no.Reason != reason {
		t.Fatalf("reason %q (%s), want %q", no.Reason, no.Detail, reason)
	}
}

func TestVerifyGood(t *testing.T) {
	rsaKey, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	edPub, edKey, _ := ed25519.GenerateKey(rand.Reader)
	type pair struct{ private, public any }
	pairs := map[string]pair{"HS": {secret, secret}, "RS": {rsaKey, &rsaKey.PublicKey}, "PS": {rsaKey, &rsaKey.PublicKey}, "Ed": {edKey, edPub}}
	for alg, curve := range map[string]elliptic.Curve{"ES256": elliptic.P256(), "ES384": elliptic.P384(), "ES512": elliptic.P521()} {
		k, _ := ecdsa.GenerateKey(curve, rand.Reader)
		pairs[alg] = pair{k, &k.PublicKey}
	}
	for _, alg := range Algorithms() {
		keys, ok := pairs[alg]
		if !ok {
			keys = pairs[alg[:2]]
		}
		tc := struct {
			alg          string
			method       jwt.SigningMethod
			private, pub any
		}{alg, jwt.GetSigningMethod(alg), keys.private, keys.public}
		t.Run(tc.alg, func(t *testing.T) {
			v := verifier(t, tc.alg, tc.pub, 0)
			id, err := v.Verify(sign(t, tc.method, tc.private, claims(map[string]any{"jti": "7", "aud": []string{"other", "bridge"}, "denies": []string{"plant/x/#"}}), nil))
			if err != nil {
				t.Fatal(err)
			}
			if id.Subject != "anna" || id.TokenID != "7" || !id.Expires.Equal(now.Add(time.Minute)) || fmt.Sprint(id.Grants, id.Denies) != "[[plant/#] [plant/#] [plant/#] []] [[plant/x/#] [plant/x/#] [plant/x/#] [plant/x/#]]" {
				t.Fatalf("identity %+v", id)
			}
			other := sign(t, jwt.SigningMethodHS256, append([]byte("x"), secret...), claims(nil), nil)
			if _, err := v.Verify(other); err == nil {
				t.Fatal("a token of another key was accepted")
			}
		})
	}
}

func TestLeewayIsExact(t *testing.T) {
	v := verifier(t, "HS256", secret, 2*time.Second)
	for _, tc := range []struct {
		change map[string]any
		good   bool
	}{
		{map[string]any{"exp": now.Unix() - 1}, true},
		{map[string]any{"exp": now.Unix() - 2}, false},
		{map[string]any{"nbf": now.Unix() + 2}, true},
		{map[string]any{"nbf": now.Unix() + 3}, false},
		{map[string]any{"iat": now.Unix() + 2}, true},
		{map[string]any{"iat": now.Unix() + 3}, false},
	} {
		if _, err := v.Verify(sign(t, jwt.SigningMethodHS256, secret, claims(tc.change), nil)); (err == nil) != tc.good {
			t.Errorf("%v: error %v, want good = %v", tc.change, err, tc.good)
		}
	}
}

// TestN18KeyConfusion: the public key must not serve as an HMAC secret; N28: key hints in the header are ignored.
func TestN18KeyConfusion(t *testing.T) {
	rsaKey, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	der, _ := x509.MarshalPKIXPublicKey(&rsaKey.PublicKey)
	pemKey := pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: der})
	v := verifier(t, "RS256", &rsaKey.PublicKey, 0)
	_, err = v.Verify(sign(t, jwt.SigningMethodHS256, pemKey, claims(nil), nil))
	wantReason(t, err, "alg")

	hints := map[string]any{"kid": "../../etc/passwd", "jku": "http://127.0.0.1:1/jwks", "x5u": "http://127.0.0.1:1/x", "jwk": map[string]any{"kty": "oct", "k": "AAAA"}}
	if _, err := v.Verify(sign(t, jwt.SigningMethodRS256, rsaKey, claims(nil), hints)); err != nil {
		t.Errorf("a good token with key hints: %v", err)
	}
	other, _ := rsa.GenerateKey(rand.Reader, 2048)
	_, err = v.Verify(sign(t, jwt.SigningMethodRS256, other, claims(nil), hints))
	wantReason(t, err, "signature")
}

func TestN31WeakKeys(t *testing.T) {
	large, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	small, err := rsa.GenerateKey(rand.Reader, 1024)
	if err != nil {
		t.Skip("this Go refuses to make small RSA keys itself")
	}
	p384, _ := ecdsa.GenerateKey(elliptic.P384(), rand.Reader)
	for _, tc := range []struct {
		name, alg string
		key       any
	}{
		{"short", "HS256", []byte("0123456789abcdef0123456789abcde")},
		{"empty", "HS256", []byte{}},
		{"short for HS384", "HS384", secret[:47]},
		{"short for HS512", "HS512", secret[:63]},
		{"two bytes in turn", "HS256", []byte(strings.Repeat("12", 32))},
		{"exponent 1", "RS256", &rsa.PublicKey{N: large.N, E: 1}},
		{"one byte repeated", "HS256", []byte(strings.Repeat("a", 64))},
		{"PEM as secret", "HS256", pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: make([]byte, 64)})},
		{"RSA 1024", "RS256", &small.PublicKey},
		{"P-384 for ES256", "ES256", &p384.PublicKey},
		{"secret for RS256", "RS256", secret},
		{"RSA key for HS256", "HS256", &small.PublicKey},
		{"unknown algorithm", "none", secret},
	} {
		if _, err := NewVerifier(Options{Alg: tc.alg, Key: tc.key, Issuer: "i", Audience: "a"}); err == nil {
			t.Errorf("%s: accepted", tc.name)
		}
	}
	for _, o := range []Options{{Alg: "HS256", Key: secret, Audience: "a"}, {Alg: "HS256", Key: secret, Issuer: "i"}, {Alg: "HS256", Key: secret, Issuer: "i", Audience: "a", Leeway: time.Hour}} {
		if _, err := NewVerifier(o); err == nil {
			t.Errorf("options %+v accepted", o)
		}
	}
}

func TestLoadKeyAndEnsureSecret(t *testing.T) {
	dir := t.TempDir()
	path, err := EnsureSecret(filepath.Join(dir, "sub", "jwt.key"), nil)
	if err != nil {
		t.Fatal(err)
	}
	first, err := LoadKey("HS256", path, "")
	if err != nil || len(first.([]byte)) != 64 {
		t.Fatalf("secret %d bytes, %v, want 64 hex digits", len(first.([]byte)), err)
	}
	if _, err := EnsureSecret(path, nil); err != nil {
		t.Fatal(err)
	}
	if again, _ := LoadKey("HS256", path, ""); string(again.([]byte)) != string(first.([]byte)) {
		t.Error("an existing secret was changed")
	}
	if err := os.Truncate(path, 0); err != nil { // what a crash at the first start may leave
		t.Fatal(err)
	}
	if _, err := EnsureSecret(path, nil); err != nil {
		t.Fatal(err)
	}
	if k, err := LoadKey("HS256", path, ""); err != nil || len(k.([]byte)) != 64 || string(k.([]byte)) == string(first.([]byte)) {
		t.Errorf("an empty file: %v, %v", k, err)
	}
	if info, err := os.Stat(path); err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("mode %v, %v", info.Mode(), err)
	}
	pub, private, _ := ed25519.GenerateKey(rand.Reader)
	der, _ := x509.MarshalPKIXPublicKey(pub)
	write := func(name, kind string, der []byte) string {
		p := filepath.Join(dir, name)
		if err := os.WriteFile(p, pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: der}), 0o600); err != nil {
			t.Fatal(err)
		}
		return p
	}
	if k, err := LoadKey("EdDSA", "", write("pub.pem", "PUBLIC KEY", der)); err != nil || !pub.Equal(k.(ed25519.PublicKey)) {
		t.Errorf("public key: %v, %v", k, err)
	}
	pder, _ := x509.MarshalPKCS8PrivateKey(private)
	for name, p := range map[string]string{"private key": write("p.pem", "PRIVATE KEY", pder), "missing": filepath.Join(dir, "no"), "not PEM": path, "none": ""} {
		if _, err := LoadKey("EdDSA", "", p); err == nil {
			t.Errorf("%s was taken as public key", name)
		}
	}
	if _, err := LoadKey("HS256", "", ""); err == nil {
		t.Error("no secret file, no error")
	}
}

// TestKeyIsOfWhatIsSigned: who ended a token cannot go on with another signature under it.
func TestKeyIsOfWhatIsSigned(t *testing.T) {
	private, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	v := verifier(t, "ES256", &private.PublicKey, 0)
	keys := map[string]int{}
	tokens := map[string]int{}
	for range 3 {
		for _, sub := range []string{"anna", "ben"} {
			tok := sign(t, jwt.SigningMethodES256, private, claims(map[string]any{"sub": sub}), nil)
			id, err := v.Verify(tok)
			if err != nil {
				t.Fatal(err)
			}
			keys[id.Key]++
			tokens[tok]++
		}
	}
	if len(tokens) != 6 || len(keys) != 2 {
		t.Errorf("%d tokens have %d keys, want 6 and one for each of the two that were signed", len(tokens), len(keys))
	}
}

func FuzzVerify(f *testing.F) {
	v, err := NewVerifier(Options{Alg: "HS256", Key: secret, Issuer: "plumbline", Audience: "bridge"})
	if err != nil {
		f.Fatal(err)
	}
	f.Add("a.b.c")
	f.Add(raw(`{"alg":"HS256"}`, `{"sub":"a"}`))
	f.Fuzz(func(t *testing.T, token string) {
		_, err := v.Verify(token)
		if err == nil {
			t.Fatalf("accepted %q", token)
		}
		if len(token) > 20 && strings.Contains(err.Error(), token) {
			t.Fatalf("the error repeats the token")
		}
	})
}

// FuzzHeader: under a good signature no header gets through but one that asks for the operator's algorithm and nothing else.
func FuzzHeader(f *testing.F) {
	v, err := NewVerifier(Options{Alg: "HS256", Key: secret, Issuer: "plumbline", Audience: "bridge", Now: func() time.Time { return now }})
	if err != nil {
		f.Fatal(err)
	}
	body, err := json.Marshal(claims(nil))
	if err != nil {
		f.Fatal(err)
	}
	for _, h := range []string{
		`{"alg":"HS256","typ":"JWT"}`, `{"alg":"none"}`, `{"alg":"HS256","crit":["b64"],"b64":false}`, `{"alg":"HS256","ALG":"none"}`,
		`{"alg":"HS256","alg":"none"}`, `{"alg":["HS256"]}`, `{"alg":"HS256","kid":{"a":[[]]}}`, `{"typ":"at+jwt","alg":"HS256","jku":"http://x"}`, "",
	} {
		f.Add(h)
	}
	f.Fuzz(func(t *testing.T, header string) {
		if _, err := v.Verify(raw(header, string(body))); err != nil {
			return
		}
		var h map[string]any
		if err := json.Unmarshal([]byte(header), &h); err != nil || h["alg"] != "HS256" || h["crit"] != nil {
			t.Fatalf("accepted with the header %q", header)
		}
	})
}

// TestEdges: the last second that RFC 3339 can name, names that a revocation file cannot hold, and header members in another
// spelling, which are not the members that were signed for this use.
func TestEdges(t *testing.T) {
	v := verifier(t, "HS256", secret, 0)
	for _, tc := range []struct {
		change map[string]any
		reason string
	}{
		{map[string]any{"exp": 253402300799}, ""},
		{map[string]any{"exp": 253402300800}, "claims"},
		{map[string]any{"sub": "anna "}, "subject"},
		{map[string]any{"sub": "an\nna"}, "subject"},
		{map[string]any{"sub": "an na"}, ""},
		{map[string]any{"jti": "\t7"}, "claims"},
		{map[string]any{"jti": "a\rb"}, "claims"},
	} {
		_, err := v.Verify(sign(t, jwt.SigningMethodHS256, secret, claims(tc.change), nil))
		if tc.reason != "" {
			wantReason(t, err, tc.reason)
		} else if err != nil {
			t.Errorf("%v: %v", tc.change, err)
		}
	}
	payload, _ := json.Marshal(claims(nil))
	_, err := v.Verify(raw(`{"alg":"HS256","typ":"id+jwt","TYP":"JWT"}`, string(payload)))
	wantReason(t, err, "typ")
}
