package main

import (
	"bytes"
	"crypto"
	"crypto/hmac"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"encoding/pem"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"strings"
	"time"
)

// keys knows what the bridge knows about tokens, so that a flaw can ask the
// bridge for what it should have refused.
type keys struct {
	secret, revoked  string // files
	issuer, audience string
	pair             *rsa.PrivateKey // when viewers' tokens are RS256 and the bridge's HS256
}

// makeRSA makes the key of viewers' tokens, or reads the one of the last start.
func (k *keys) makeRSA(path string) error {
	if path == "" {
		return nil
	}
	data, err := os.ReadFile(path)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		if k.pair, err = rsa.GenerateKey(rand.Reader, 2048); err != nil {
			return fmt.Errorf("key of tokens: %w", err)
		}
		der, err := x509.MarshalPKCS8PrivateKey(k.pair)
		if err != nil {
			return fmt.Errorf("key of tokens: %w", err)
		}
		return os.WriteFile(path, pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der}), 0o600)
	case err != nil:
		return fmt.Errorf("key of tokens: %w", err)
	}
	block, _ := pem.Decode(data)
	if block == nil {
		return fmt.Errorf("key of tokens: %q is no PEM", path)
	}
	key, err := x509.ParsePKCS8PrivateKey(block.Bytes)
	if err != nil {
		return fmt.Errorf("key of tokens: %w", err)
	}
	pair, ok := key.(*rsa.PrivateKey)
	if !ok {
		return fmt.Errorf("key of tokens: %q is no RSA key", path)
	}
	k.pair = pair
	return nil
}

// token is a JWT taken apart. Nothing in it has been verified.
type token struct {
	header, claims map[string]any
	signed         string
	signature      []byte
}

func split(text string) (t token, ok bool) {
	parts := strings.Split(text, ".")
	if len(parts) != 3 {
		return t, false
	}
	for i, into := range []*map[string]any{&t.header, &t.claims} {
		data, err := base64.RawURLEncoding.DecodeString(parts[i])
		if err != nil || json.Unmarshal(data, into) != nil || twice(data) {
			return t, false
		}
	}
	var err error
	t.signature, err = base64.RawURLEncoding.DecodeString(parts[2])
	t.signed = parts[0] + "." + parts[1]
	return t, err == nil
}

// twice reports whether an object has a member twice, which a strict verifier
// does not choose from (RFC 7519 section 4).
func twice(object []byte) bool {
	in := json.NewDecoder(bytes.NewReader(object))
	if _, err := in.Token(); err != nil {
		return true
	}
	seen := map[json.Token]bool{}
	for in.More() {
		name, err := in.Token()
		var value json.RawMessage
		if err != nil || seen[name] || in.Decode(&value) != nil {
			return true
		}
		seen[name] = true
	}
	return false
}

func (t token) text(name string) string { s, _ := t.claims[name].(string); return s }

func (t token) number(name string) (float64, bool) { n, ok := t.claims[name].(float64); return n, ok }

func (t token) alg() string { s, _ := t.header["alg"].(string); return s }

// subject returns the claim sub, which is never empty in a good token.
func (t token) subject() string { return t.text("sub") }

func (k *keys) key() []byte {
	data, err := os.ReadFile(k.secret)
	if err != nil {
		return nil // then nothing verifies
	}
	return []byte(strings.TrimSpace(string(data)))
}

func mac(key []byte, signed string) []byte {
	h := hmac.New(sha256.New, key)
	_, _ = h.Write([]byte(signed))
	return h.Sum(nil)
}

// genuine reports whether the signature is the issuer's.
func (k *keys) genuine(t token) bool {
	if k.pair != nil {
		sum := sha256.Sum256([]byte(t.signed))
		return t.alg() == "RS256" && rsa.VerifyPKCS1v15(&k.pair.PublicKey, crypto.SHA256, sum[:], t.signature) == nil
	}
	return t.alg() == "HS256" && hmac.Equal(mac(k.key(), t.signed), t.signature)
}

// wrong lists what a strict verifier holds against a token.
func (k *keys) wrong(t token) (faults []string) {
	add := func(bad bool, what string) {
		if bad {
			faults = append(faults, what)
		}
	}
	now := float64(time.Now().Unix())
	exp, dated := t.number("exp")
	nbf, _ := t.number("nbf")
	iat, _ := t.number("iat")
	kind, typed := t.header["typ"].(string)
	_, critical := t.header["crit"]
	add(!k.genuine(t), "signature")
	add(!dated || exp != float64(int64(exp)) || exp > 253402300799, "exp-form")
	add(dated && exp <= now, "exp")
	add(nbf > now+2, "nbf")
	add(iat > now+2, "iat")
	add(t.text("iss") != k.issuer, "iss")
	add(!named(t.claims["aud"], k.audience), "aud")
	add(t.subject() == "" || k.isRevoked(t), "sub")
	add((typed && kind != "JWT") || critical, "header")
	return faults
}

func named(claim any, name string) bool {
	switch c := claim.(type) {
	case string:
		return c == name
	case []any:
		for _, one := range c {
			if one == name {
				return true
			}
		}
	}
	return false
}

// isRevoked looks the token up in the list of the bridge.
func (k *keys) isRevoked(t token) bool {
	data, err := os.ReadFile(k.revoked)
	if err != nil {
		return true
	}
	for line := range strings.Lines(string(data)) {
		line = strings.TrimSpace(line)
		if line == "sub:"+t.subject() || (t.text("jti") != "" && line == "jti:"+t.text("jti")) {
			return true
		}
	}
	return false
}

// mint signs claims for the bridge.
func (k *keys) mint(claims map[string]any) string {
	head := base64.RawURLEncoding.EncodeToString([]byte(`{"alg":"HS256","typ":"JWT"}`))
	text := head + "." + base64.RawURLEncoding.EncodeToString(encode(claims))
	return text + "." + base64.RawURLEncoding.EncodeToString(mac(k.key(), text))
}

// remint signs the claims of a token again, with some set anew, or removed
// where they are nil; what makes a token good is always put right.
func (k *keys) remint(t token, set map[string]any) string {
	claims := map[string]any{}
	for name, value := range t.claims {
		claims[name] = value
	}
	now := time.Now().Unix()
	claims["iss"], claims["aud"], claims["iat"] = k.issuer, k.audience, now
	delete(claims, "nbf")
	if exp, ok := t.number("exp"); !ok || int64(exp) <= now {
		claims["exp"] = now + 3600
	} else {
		claims["exp"] = int64(exp)
	}
	if t.subject() == "" {
		claims["sub"] = "somebody"
	}
	for name, value := range set {
		if claims[name] = value; value == nil {
			delete(claims, name)
		}
	}
	return k.mint(claims)
}

// grantsOf returns the filters of a token whose grants are a list.
func grantsOf(t token) (filters []string) {
	list, _ := t.claims["grants"].([]any)
	for _, one := range list {
		if f, ok := one.(string); ok {
			filters = append(filters, f)
		}
	}
	return filters
}

// covers reports whether a grant takes everything that a filter can match.
func covers(grant, filter string) bool {
	g, f := strings.Split(grant, "/"), strings.Split(filter, "/")
	for i := range g {
		switch {
		case g[i] == "#":
			return true
		case i >= len(f) || f[i] == "#":
			return false
		case g[i] == "+":
		case g[i] != f[i]:
			return false
		}
	}
	return len(g) == len(f)
}

func coveredByAny(grants []string, filter string) bool {
	for _, g := range grants {
		if covers(g, filter) {
			return true
		}
	}
	return false
}
