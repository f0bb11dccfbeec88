package sut

import (
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"encoding/json"
	"encoding/pem"
	"errors"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/golang-jwt/jwt/v5"
)

var secret = strings.Repeat("k", 64)

// keys writes a key file for the algorithm and returns its description and
// what a verifier needs.
func keys(t *testing.T, alg string) (JWT, any) {
	t.Helper()
	names := JWT{Alg: alg, Issuer: "me", Audience: "you", GrantsClaim: "grants"}
	file := filepath.Join(t.TempDir(), "key")
	var private, public any
	switch algorithms[alg] {
	case "HS":
		names.SecretFile = file
		if err := os.WriteFile(file, []byte(secret+"\n"), 0o600); err != nil {
			t.Fatal(err)
		}
		return names, []byte(secret)
	case "RS":
		key, err := rsa.GenerateKey(rand.Reader, 2048)
		if err != nil {
			t.Fatal(err)
		}
		private, public = key, &key.PublicKey
	case "ES":
		key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
		if err != nil {
			t.Fatal(err)
		}
		private, public = key, &key.PublicKey
	default:
		pub, key, err := ed25519.GenerateKey(rand.Reader)
		if err != nil {
			t.Fatal(err)
		}
		private, public = key, pub
	}
	der, err := x509.MarshalPKCS8PrivateKey(private)
	if err != nil {
		t.Fatal(err)
	}
	names.PrivateKeyFile = file
	if err := os.WriteFile(file, pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der}), 0o600); err != nil {
		t.Fatal(err)
	}
	return names, public
}

// verify is a sound verifier: it pins the algorithm and asks for every claim.
func verify(token, alg string, key any) (jwt.MapClaims, error) {
	claims := jwt.MapClaims{}
	parsed, err := jwt.NewParser(jwt.WithValidMethods([]string{alg}), jwt.WithIssuer("me"), jwt.WithAudience("you"),
		jwt.WithExpirationRequired(), jwt.WithIssuedAt()).ParseWithClaims(token, claims, func(*jwt.Token) (any, error) { return key, nil })
	if err != nil {
		return nil, err
	}
	if typ, ok := parsed.Header["typ"]; ok && typ != "JWT" {
		return nil, errors.New("wrong type")
	}
	if _, ok := parsed.Header["crit"]; ok {
		return nil, errors.New("critical extension")
	}
	if sub, _ := claims["sub"].(string); sub == "" {
		return nil, errors.New("no subject")
	}
	if exp, _ := claims["exp"].(float64); exp > 1e11 {
		return nil, errors.New("expiry beyond reason")
	}
	return claims, duplicates(token)
}

// duplicates refuses a payload with a key twice.
func duplicates(token string) error {
	payload, err := jwt.NewParser().DecodeSegment(strings.Split(token, ".")[1])
	if err != nil {
		return err
	}
	decoder := json.NewDecoder(strings.NewReader(string(payload)))
	var seen []string
	depth, key := 0, true
	for {
		tok, err := decoder.Token()
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return err
		}
		switch v := tok.(type) {
		case json.Delim:
			if v == '{' || v == '[' {
				depth++
			} else {
				depth--
			}
			key = depth == 1
			continue
		case string:
			if depth == 1 && key {
				if slices.Contains(seen, v) {
					return errors.New("duplicate claim")
				}
				seen = append(seen, v)
			}
		}
		if depth == 1 {
			key = !key
		}
	}
}

func TestGoodTokensAreAccepted(t *testing.T) {
	for _, alg := range []string{"HS256", "RS256", "ES256", "EdDSA"} {
		names, key := keys(t, alg)
		token, err := mint(names, TokenSpec{Subject: "ada", Grants: []string{"a/#"}, Denies: []string{"a/x"}, ID: "7", NotBefore: -time.Minute,
			Claims: map[string]any{"extra": true}, Header: map[string]any{"kid": "k1"}}, time.Now())
		if err != nil {
			t.Fatal(err)
		}
		claims, err := verify(token, alg, key)
		if err != nil {
			t.Errorf("%s: %v", alg, err)
			continue
		}
		if claims["sub"] != "ada" || claims["jti"] != "7" || claims["extra"] != true || len(claims["grants"].([]any)) != 1 || len(claims["denies"].([]any)) != 1 {
			t.Errorf("%s: claims are %v", alg, claims)
		}
	}
}

func TestEveryMutationIsRefusedBySoundVerifier(t *testing.T) {
	if len(mutations) != len(Mutations()) {
		t.Fatalf("%d mutations are made, %d are listed", len(mutations), len(Mutations()))
	}
	for _, alg := range []string{"HS256", "RS256", "ES256", "EdDSA"} {
		names, key := keys(t, alg)
		good, err := mint(names, TokenSpec{}, time.Now())
		if err != nil {
			t.Fatal(err)
		}
		for _, m := range Mutations() {
			token, err := mint(names, TokenSpec{Mutate: m}, time.Now())
			if err != nil {
				t.Errorf("%s %s: %v", alg, m, err)
				continue
			}
			if token == good {
				t.Errorf("%s %s changed nothing", alg, m)
			}
			if claims, err := verify(token, alg, key); err == nil {
				t.Errorf("%s %s was accepted: %v", alg, m, claims)
			}
			if len(token) > 60<<10 {
				t.Errorf("%s %s has %d bytes: a frame limit would answer before the verifier", alg, m, len(token))
			}
		}
	}
}

func TestTokenRefuses(t *testing.T) {
	names, _ := keys(t, "HS256")
	for name, c := range map[string]struct {
		names JWT
		spec  TokenSpec
	}{
		"algorithm": {names, TokenSpec{Alg: "XX"}},
		"mutation":  {names, TokenSpec{Mutate: "none-such"}},
		"claims":    {names, TokenSpec{Claims: map[string]any{"f": func() {}}}},
		"no file":   {JWT{Alg: "HS256", SecretFile: "/nonexistent"}, TokenSpec{}},
		"not a key": {JWT{Alg: "RS256", PrivateKeyFile: names.SecretFile}, TokenSpec{}},
	} {
		if token, err := mint(c.names, c.spec, time.Now()); !errors.Is(err, ErrUsage) {
			t.Errorf("%s gave %q, %v", name, token, err)
		}
	}
	s := &SUT{desc: &Descriptor{}, source: &Descriptor{}}
	if _, err := s.Token(TokenSpec{}); !errors.Is(err, ErrNoControl) {
		t.Errorf("without auth: %v", err)
	}
	if err := s.Revoke("ada"); !errors.Is(err, ErrNoControl) {
		t.Errorf("revoke without file: %v", err)
	}
}

func TestRevokeAppendsLines(t *testing.T) {
	file := filepath.Join(t.TempDir(), "revoked")
	s := &SUT{desc: &Descriptor{Auth: &Auth{RevocationFile: file}}}
	for _, err := range []error{s.Revoke("ada"), s.RevokeID("7")} {
		if err != nil {
			t.Fatal(err)
		}
	}
	if err := s.Revoke("two\nlines"); !errors.Is(err, ErrUsage) {
		t.Errorf("two lines gave %v", err)
	}
	data, err := os.ReadFile(file)
	if err != nil || string(data) != "sub:ada\njti:7\n" {
		t.Fatalf("file holds %q, %v", data, err)
	}
}

// TestMutationsOfASystem: nobody has to refuse what no standard calls unsound, or
// an issuer and an audience that its descriptor does not name.
func TestMutationsOfASystem(t *testing.T) {
	const head = "apiVersion: plumbline/v1\nkind: SUT\nname: x\nbroker: {url: \"mqtt://127.0.0.1:1\"}\nviewer: {protocol: json, url: \"ws://127.0.0.1:1/\"}\n"
	for _, c := range []struct {
		auth      string
		asked, no []Mutation
	}{
		{"auth: {jwt: {alg: HS256, secretFile: k}}", []Mutation{Expired, AlgNone, AlgOther, WrongAudience, Critical, ExpiryString}, []Mutation{WrongIssuer, NoIssuer, NoAudience, NoExpiry, NoSubject, DuplicateClaims, IssuedInFuture}},
		{"auth: {jwt: {alg: HS256, secretFile: k, issuer: i}}", []Mutation{WrongIssuer, NoIssuer}, []Mutation{NoAudience, WrongType, ExpiryHuge}},
		{"auth: {jwt: {alg: HS256, secretFile: k, audience: a}}", []Mutation{NoAudience, WrongAudience}, []Mutation{NoIssuer}},
	} {
		d, err := Parse([]byte(head+c.auth+"\n"), "x.yaml", t.TempDir())
		if err != nil {
			t.Fatal(err)
		}
		s, err := New(Options{Descriptor: d, Dir: t.TempDir()})
		if err != nil {
			t.Fatal(err)
		}
		defer s.Close()
		got := s.Mutations()
		for _, m := range c.asked {
			if !slices.Contains(got, m) {
				t.Errorf("%s: %q is not asked for", c.auth, m)
			}
		}
		for _, m := range c.no {
			if slices.Contains(got, m) {
				t.Errorf("%s: %q is asked for", c.auth, m)
			}
		}
	}
}
