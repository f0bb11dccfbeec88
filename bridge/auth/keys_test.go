package auth

import (
	"bytes"
	"context"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"encoding/base64"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"io"
	"math/big"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/golang-jwt/jwt/v5"

	"plumbline/bridge/internal/eventually"
)

// jwk spells a key as RFC 7518 section 6 does, with more members over it.
func jwk(kid string, key any, more map[string]any) map[string]any {
	b64 := base64.RawURLEncoding.EncodeToString
	m := map[string]any{"kid": kid, "use": "sig"}
	switch k := key.(type) {
	case *rsa.PublicKey:
		m["kty"], m["n"], m["e"] = "RSA", b64(k.N.Bytes()), b64(big.NewInt(int64(k.E)).Bytes())
	case *ecdsa.PublicKey:
		point, err := k.Bytes()
		if err != nil {
			panic(err)
		}
		half := len(point) / 2
		m["kty"], m["crv"], m["x"], m["y"] = "EC", k.Curve.Params().Name, b64(point[1:1+half]), b64(point[1+half:])
	case ed25519.PublicKey:
		m["kty"], m["crv"], m["x"] = "OKP", "Ed25519", b64(k)
	case []byte:
		m["kty"], m["k"] = "oct", b64(k)
	}
	for name, v := range more {
		m[name] = v
	}
	return m
}

func jwks(keys ...map[string]any) string {
	raw, err := json.Marshal(map[string]any{"keys": keys})
	if err != nil {
		panic(err)
	}
	return string(raw)
}

// issuer is a server of keys whose answer can be changed.
type issuer struct {
	*httptest.Server
	requests atomic.Int32
	mu       sync.Mutex
	answer   http.HandlerFunc
}

func newIssuer(t *testing.T, set string) *issuer {
	t.Helper()
	i := &issuer{}
	i.give(set)
	i.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		i.requests.Add(1)
		i.mu.Lock()
		answer := i.answer
		i.mu.Unlock()
		answer(w, r)
	}))
	t.Cleanup(i.Close)
	return i
}

func (i *issuer) reply(f http.HandlerFunc) {
	i.mu.Lock()
	defer i.mu.Unlock()
	i.answer = f
}

func (i *issuer) give(set string) {
	i.reply(func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, set) })
}

// following is a verifier by the issuer's keys, with a clock of its own.
func (i *issuer) following(t *testing.T, change func(*KeysOptions)) (*Verifier, *Keys, func(time.Duration)) {
	t.Helper()
	var clock atomic.Int64
	clock.Store(now.UnixNano())
	o := KeysOptions{URL: i.URL, Refresh: time.Hour, Now: func() time.Time { return time.Unix(0, clock.Load()) }, Log: quiet()}
	if change != nil {
		change(&o)
	}
	k, err := NewKeys(o)
	if err != nil {
		t.Fatal(err)
	}
	return byKeys(t, k), k, func(d time.Duration) { clock.Add(int64(d)) }
}

func byKeys(t *testing.T, k *Keys) *Verifier {
	t.Helper()
	v, err := NewVerifier(Options{Keys: k, Issuer: "plumbline", Audience: "bridge", Now: func() time.Time { return now }})
	if err != nil {
		t.Fatal(err)
	}
	return v
}

func edKey(t *testing.T) (ed25519.PublicKey, ed25519.PrivateKey) {
	t.Helper()
	pub, private, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	return pub, private
}

func signKid(t *testing.T, method jwt.SigningMethod, key any, kid any) string {
	t.Helper()
	return sign(t, method, key, claims(nil), map[string]any{"kid": kid})
}

// TestN19AlgorithmIsTheKeys: with a set, each key checks by its own algorithm and no other, whatever the token says.
func TestN19AlgorithmIsTheKeys(t *testing.T) {
	rsaKey, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	ecKey, _ := ecdsa.GenerateKey(elliptic.P384(), rand.Reader)
	edPub, edPrivate := edKey(t)
	path := filepath.Join(t.TempDir(), "keys.json")
	put(t, path, jwks(
		jwk("rsa", &rsaKey.PublicKey, nil), // no alg: RS256
		jwk("pss", &rsaKey.PublicKey, map[string]any{"alg": "PS384"}),
		jwk("ec", &ecKey.PublicKey, nil),
		jwk("ed", edPub, map[string]any{"alg": "EdDSA", "x5u": "http://127.0.0.1:1/", "x5c": []string{"AAAA"}}),
		jwk("hs", secret, map[string]any{"alg": "HS256"}),
	))
	k, err := NewKeys(KeysOptions{File: path, Log: quiet()})
	if err != nil {
		t.Fatal(err)
	}
	v := byKeys(t, k)
	spki := pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: rsaKey.N.Bytes()})
	for _, tc := range []struct {
		name   string
		token  string
		reason string
	}{
		{"RS256", signKid(t, jwt.SigningMethodRS256, rsaKey, "rsa"), ""},
		{"PS384", signKid(t, jwt.SigningMethodPS384, rsaKey, "pss"), ""},
		{"ES384", signKid(t, jwt.SigningMethodES384, ecKey, "ec"), ""},
		{"EdDSA", signKid(t, jwt.SigningMethodEdDSA, edPrivate, "ed"), ""},
		{"HS256", signKid(t, jwt.SigningMethodHS256, secret, "hs"), ""},
		{"RS512 by the RS256 key", signKid(t, jwt.SigningMethodRS512, rsaKey, "rsa"), "alg"},
		{"PS256 by the RS256 key", signKid(t, jwt.SigningMethodPS256, rsaKey, "rsa"), "alg"},
		{"RS256 by the PS384 key", signKid(t, jwt.SigningMethodRS256, rsaKey, "pss"), "alg"},
		{"N18 HMAC by the RSA key", signKid(t, jwt.SigningMethodHS256, spki, "rsa"), "alg"},
		{"N18 HMAC by the Ed25519 key", signKid(t, jwt.SigningMethodHS256, []byte(edPub), "ed"), "alg"},
		{"HMAC by another secret", signKid(t, jwt.SigningMethodHS256, spki, "hs"), "signature"},
		{"the right alg, another's kid", signKid(t, jwt.SigningMethodEdDSA, edPrivate, "rsa"), "alg"},
		{"none", base64.RawURLEncoding.EncodeToString([]byte(`{"alg":"none","kid":"rsa"}`)) + ".e30.", "alg"},
		{"no kid", sign(t, jwt.SigningMethodRS256, rsaKey, claims(nil), nil), "kid"},
		{"kid a number", signKid(t, jwt.SigningMethodRS256, rsaKey, 7), "kid"},
		{"kid empty", signKid(t, jwt.SigningMethodRS256, rsaKey, ""), "kid"},
		{"kid long", signKid(t, jwt.SigningMethodRS256, rsaKey, strings.Repeat("k", 300)), "kid"},
		{"N27 kid a path", signKid(t, jwt.SigningMethodRS256, rsaKey, "../../etc/passwd"), "kid"},
		{"N27 kid SQL", signKid(t, jwt.SigningMethodRS256, rsaKey, "' OR 1=1 --"), "kid"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			_, err := v.Verify(tc.token)
			if tc.reason == "" && err != nil {
				t.Fatal(err)
			}
			if tc.reason != "" {
				wantReason(t, err, tc.reason)
			}
		})
	}
}

// TestKeySetsThatAreRefused: a set that cannot be used whole, in what it says it is for, is not used.
func TestKeySetsThatAreRefused(t *testing.T) {
	small, err := rsa.GenerateKey(rand.Reader, 1024)
	if err != nil {
		t.Skip("this Go refuses to make small RSA keys itself")
	}
	large, _ := rsa.GenerateKey(rand.Reader, 2048)
	ec, _ := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	pub, _ := edKey(t)
	good := jwk("good", pub, nil)
	hugeE := base64.RawURLEncoding.EncodeToString([]byte{1, 0, 0, 0, 0, 0, 1, 0, 1}) // 2^64 + 65537
	for name, set := range map[string]string{
		"nothing":                    "",
		"no object":                  "[]",
		"no keys":                    `{"keys":[]}`,
		"keys an object":             `{"keys":{}}`,
		"two keys members":           `{"keys":[],"keys":[]}`,
		"same kid twice":             jwks(good, jwk("good", &ec.PublicKey, nil)),
		"no kid":                     jwks(jwk("", pub, nil)),
		"for encryption":             jwks(jwk("k", pub, map[string]any{"use": "enc"})),
		"not for verifying":          jwks(jwk("k", pub, map[string]any{"key_ops": []string{"sign"}})),
		"small RSA":                  jwks(jwk("k", &small.PublicKey, nil)),
		"exponent 1":                 jwks(jwk("k", &rsa.PublicKey{N: large.N, E: 1}, nil)),
		"exponent cut to a good one": jwks(jwk("k", &large.PublicKey, map[string]any{"e": hugeE})),
		"alg of another":             jwks(jwk("k", &ec.PublicKey, map[string]any{"alg": "ES384"})),
		"alg none":                   jwks(jwk("k", pub, map[string]any{"alg": "none"})),
		"alg HS256 on RSA":           jwks(jwk("k", &large.PublicKey, map[string]any{"alg": "HS256"})),
		"a secret by URL":            jwks(jwk("k", secret, map[string]any{"alg": "HS256"})),
		"off the curve":              jwks(jwk("k", &ec.PublicKey, map[string]any{"x": "AAAA"})),
		"another case":               `{"keys":[{"KID":"k","KTY":"OKP"}]}`,
		"too many":                   jwks(make([]map[string]any, maxSetKeys+1)...),
	} {
		if _, err := parseKeySet([]byte(set), false, quiet()); err == nil {
			t.Errorf("%s: taken", name)
		}
	}
	if set, err := parseKeySet([]byte(jwks(jwk("k", pub, map[string]any{"use": "enc"}), good)), false, quiet()); err != nil || len(set.algs) != 1 {
		t.Errorf("a good key beside one that is passed over: %v", err)
	}
	path := filepath.Join(t.TempDir(), "keys.json")
	put(t, path, "{}")
	if _, err := NewKeys(KeysOptions{File: path, Log: quiet()}); err == nil || !strings.Contains(err.Error(), "keySetFile") {
		t.Errorf("a bad file at start: %v", err)
	}
	if _, err := NewKeys(KeysOptions{URL: "https://127.0.0.1:1", CA: path, Log: quiet()}); err == nil || !strings.Contains(err.Error(), "keySetCA") {
		t.Errorf("an authority without certificate: %v", err)
	}
}

// TestN35KeyRotationAndOutage: a new key is found by the first token that names it; while the issuer is away, answers nonsense or
// sends elsewhere, the keys that are known stay good and nothing else becomes so.
func TestN35KeyRotationAndOutage(t *testing.T) {
	aPub, a := edKey(t)
	bPub, b := edKey(t)
	_, evil := edKey(t)
	i := newIssuer(t, jwks(jwk("a", aPub, nil)))
	cache := filepath.Join(t.TempDir(), "keys.json")
	failures := atomic.Int32{}
	v, k, advance := i.following(t, func(o *KeysOptions) { o.Cache = cache; o.Failed = func() { failures.Add(1) } })
	good := func(v *Verifier, key ed25519.PrivateKey, kid, why string) {
		t.Helper()
		if _, err := v.Verify(signKid(t, jwt.SigningMethodEdDSA, key, kid)); err != nil {
			t.Errorf("%s: %v", why, err)
		}
	}
	bad := func(v *Verifier, key ed25519.PrivateKey, kid, reason string) {
		t.Helper()
		_, err := v.Verify(signKid(t, jwt.SigningMethodEdDSA, key, kid))
		wantReason(t, err, reason)
	}
	good(v, a, "a", "the first key")
	bad(v, evil, "a", "signature")
	i.give(jwks(jwk("b", bPub, nil)))
	advance(FetchPause)
	good(v, b, "b", "the new key")
	bad(v, a, "a", "kid") // withdrawn
	advance(FetchPause)
	outages := map[string]http.HandlerFunc{
		"an error": func(w http.ResponseWriter, _ *http.Request) { http.Error(w, "x", http.StatusInternalServerError) },
		"nonsense": func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, "<html>") },
		"no keys":  func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, `{"keys":[]}`) },
		"a redirect": func(w http.ResponseWriter, r *http.Request) {
			if r.URL.Path != "/elsewhere" {
				http.Redirect(w, r, "/elsewhere", http.StatusFound)
				return
			}
			_, _ = io.WriteString(w, jwks(jwk("c", evil.Public(), nil)))
		},
		"without end": endless(t),
		"hanging up":  func(http.ResponseWriter, *http.Request) { panic(http.ErrAbortHandler) },
	}
	for why, reply := range outages {
		i.reply(reply)
		before := failures.Load()
		k.refresh(true)
		if failures.Load() != before+1 {
			t.Errorf("%s: not counted", why)
		}
		good(v, b, "b", why)
		bad(v, evil, "c", "kid")
	}
	i.Close()
	k.refresh(true)
	good(v, b, "b", "the issuer away")
	again, _, _ := i.following(t, func(o *KeysOptions) { o.Cache = cache })
	good(again, b, "b", "a restart while the issuer is away")
	bad(again, evil, "b", "signature")
	fresh, _, _ := i.following(t, nil)
	bad(fresh, b, "b", ReasonKeys)
	moved, _, _ := i.following(t, func(o *KeysOptions) { o.Cache, o.URL = cache, i.URL+"/new" })
	bad(moved, b, "b", ReasonKeys) // the keys of a source that was left
}

// endless answers more than anybody should read, and wants to be stopped long before.
func endless(t *testing.T) http.HandlerFunc {
	t.Helper()
	return func(w http.ResponseWriter, _ *http.Request) {
		const most = 64 // MiB; what is on the way is a few
		chunk := bytes.Repeat([]byte(" "), 1<<20)
		for range most {
			if _, err := w.Write(chunk); err != nil {
				return
			}
		}
		t.Errorf("%d MiB are read as a set of keys", most)
	}
}

// TestN27UnknownKeyFlood: however many tokens name keys that nobody knows, the issuer is asked once in FetchPause.
func TestN27UnknownKeyFlood(t *testing.T) {
	pub, private := edKey(t)
	i := newIssuer(t, jwks(jwk("a", pub, nil)))
	v, _, advance := i.following(t, nil)
	flood := func() {
		var wg sync.WaitGroup
		for n := range 200 {
			wg.Go(func() {
				_, err := v.Verify(signKid(t, jwt.SigningMethodEdDSA, private, fmt.Sprint("http://127.0.0.1/", n)))
				wantRefusal(t, err, "kid")
			})
		}
		wg.Wait()
	}
	flood()
	if n := i.requests.Load(); n != 1 {
		t.Errorf("%d requests right after the start, want the first only", n)
	}
	advance(FetchPause)
	flood()
	if n := i.requests.Load(); n != 2 {
		t.Errorf("%d requests after the pause, want one more", n)
	}
}

func wantRefusal(t *testing.T, err error, reason string) {
	t.Helper()
	if no := new(Refusal); !asRefusal(err, &no) || no.Reason != reason {
		t.Errorf("error %v, want the reason %s", err, reason)
	}
}

func asRefusal(err error, to **Refusal) bool {
	no, ok := err.(*Refusal) //nolint:errorlint // Verify returns it bare
	if ok {
		*to = no
	}
	return ok
}

// TestN28HeaderHintsAreIgnored: a token that says where its key is makes no request.
func TestN28HeaderHintsAreIgnored(t *testing.T) {
	pub, private := edKey(t)
	i := newIssuer(t, jwks(jwk("a", pub, nil)))
	trap := newIssuer(t, jwks(jwk("a", pub, nil)))
	v, _, _ := i.following(t, nil)
	evilPub, evil := edKey(t)
	hints := map[string]any{"kid": "a", "jku": trap.URL, "x5u": trap.URL, "jwk": jwk("a", evilPub, nil), "x5c": []string{"AAAA"}}
	if _, err := v.Verify(sign(t, jwt.SigningMethodEdDSA, private, claims(nil), hints)); err != nil {
		t.Errorf("a good token with hints: %v", err)
	}
	_, err := v.Verify(sign(t, jwt.SigningMethodEdDSA, evil, claims(nil), hints))
	wantReason(t, err, "signature")
	if n := trap.requests.Load(); n != 0 {
		t.Errorf("%d requests to where the token said", n)
	}
}

func TestKeysFollowTheirFile(t *testing.T) {
	path := filepath.Join(t.TempDir(), "keys.json")
	aPub, a := edKey(t)
	bPub, b := edKey(t)
	put(t, path, jwks(jwk("a", aPub, nil)))
	k, err := NewKeys(KeysOptions{File: path, Log: quiet()})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- k.Run(ctx) }()
	v := byKeys(t, k)
	put(t, path, jwks(jwk("b", bPub, nil)))
	eventually.Must(t, "the withdrawn key to go", func() bool {
		_, err := v.Verify(signKid(t, jwt.SigningMethodEdDSA, a, "a"))
		return err != nil
	})
	if _, err := v.Verify(signKid(t, jwt.SigningMethodEdDSA, b, "b")); err != nil {
		t.Errorf("the new key: %v", err)
	}
	cancel()
	if err := <-done; err != nil {
		t.Errorf("Run: %v", err)
	}
}
