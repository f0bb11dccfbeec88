package auth

import (
	"encoding/base64"
	"encoding/json"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/golang-jwt/jwt/v5"
)

// vector is a token that must be refused for a reason, or one of several joined by |.
type vector struct{ name, token, reason string }

// mustRefuse shows the vectors to a verifier by one HS256 key with two seconds of leeway.
func mustRefuse(t *testing.T, vectors []vector) {
	t.Helper()
	v := verifier(t, "HS256", secret, 2*time.Second)
	if _, err := v.Verify(hs(t, nil)); err != nil {
		t.Fatalf("a good token: %v", err)
	}
	for _, tc := range vectors {
		t.Run(tc.name, func(t *testing.T) {
			_, err := v.Verify(tc.token)
			var no *Refusal
			if !errors.As(err, &no) {
				t.Fatalf("error %v, want a Refusal", err)
			}
			if !strings.Contains("|"+tc.reason+"|", "|"+no.Reason+"|") {
				t.Fatalf("reason %q (%s), want %s", no.Reason, no.Detail, tc.reason)
			}
		})
	}
}

// hs signs the good claims with a change.
func hs(t *testing.T, change map[string]any) string {
	t.Helper()
	return sign(t, jwt.SigningMethodHS256, secret, claims(change), nil)
}

// head signs the good claims under a header with more members.
func head(t *testing.T, more map[string]any) string {
	t.Helper()
	return sign(t, jwt.SigningMethodHS256, secret, claims(nil), more)
}

// good returns a good token's parts.
func good(t *testing.T) []string {
	t.Helper()
	return strings.Split(hs(t, nil), ".")
}

// payload returns the good claims as JSON.
func payload(t *testing.T) string {
	t.Helper()
	raw, err := json.Marshal(claims(nil))
	if err != nil {
		t.Fatal(err)
	}
	return string(raw)
}

// TestN17NoneIsNoAlgorithm: no signature is no token.
func TestN17NoneIsNoAlgorithm(t *testing.T) {
	parts := good(t)
	mustRefuse(t, []vector{
		{"none", base64.RawURLEncoding.EncodeToString([]byte(`{"alg":"none"}`)) + "." + parts[1] + ".", "alg"},
		{"nOnE", base64.RawURLEncoding.EncodeToString([]byte(`{"alg":"nOnE"}`)) + "." + parts[1] + ".", "alg"},
	})
}

// TestN19AnotherAlgorithm: with one key its algorithm is the operator's.
func TestN19AnotherAlgorithm(t *testing.T) {
	mustRefuse(t, []vector{
		{"HS512 with the same secret", sign(t, jwt.SigningMethodHS512, secret, claims(nil), nil), "alg"},
		{"no alg", raw(`{"typ":"JWT"}`, payload(t)), "alg"},
		{"alg in lower case", raw(`{"alg":"hs256"}`, payload(t)), "alg"},
	})
}

// TestN20BrokenTokens: what was changed, cut or blown up.
func TestN20BrokenTokens(t *testing.T) {
	parts := good(t)
	flipped := []byte(parts[1])
	flipped[5] ^= 1
	mustRefuse(t, []vector{
		{"tampered payload", parts[0] + "." + string(flipped) + "." + parts[2], "form|signature"},
		{"empty signature", parts[0] + "." + parts[1] + ".", "signature"},
		{"four parts", hs(t, nil) + ".x", "form"},
		{"a megabyte of dots", strings.Repeat(".", 1<<20), "size"},
		{"dots within the size", strings.Repeat(".", 8000), "form"},
		{"padded base64", parts[0] + "=." + parts[1] + "." + parts[2], "header"},
	})
}

func TestN21Expired(t *testing.T) {
	mustRefuse(t, []vector{
		{"expired at exp plus leeway", hs(t, map[string]any{"exp": now.Unix() - 2}), "expired"},
	})
}

func TestN22NotYet(t *testing.T) {
	mustRefuse(t, []vector{
		{"nbf beyond the leeway", hs(t, map[string]any{"nbf": now.Unix() + 3}), "early"},
	})
}

func TestN23IssuedInTheFuture(t *testing.T) {
	mustRefuse(t, []vector{
		{"iat beyond the leeway", hs(t, map[string]any{"iat": now.Unix() + 3}), "early"},
	})
}

func TestN24OtherIssuer(t *testing.T) {
	mustRefuse(t, []vector{
		{"no iss", hs(t, map[string]any{"iss": nil}), "issuer"},
		{"other iss", hs(t, map[string]any{"iss": "plumbline2"}), "issuer"},
		{"iss a list", hs(t, map[string]any{"iss": []string{"plumbline"}}), "issuer"},
	})
}

func TestN25OtherAudience(t *testing.T) {
	mustRefuse(t, []vector{
		{"no aud", hs(t, map[string]any{"aud": nil}), "audience"},
		{"other aud", hs(t, map[string]any{"aud": "bridge2"}), "audience"},
		{"list without us", hs(t, map[string]any{"aud": []string{"a", "b"}}), "audience"},
	})
}

// TestN26OtherType: a token of another kind from the same issuer.
func TestN26OtherType(t *testing.T) {
	mustRefuse(t, []vector{
		{"id token", head(t, map[string]any{"typ": "id+jwt"}), "typ"},
		{"refresh token", head(t, map[string]any{"typ": "refresh"}), "typ"},
	})
}

func TestN29TwoMembersOfOneName(t *testing.T) {
	mustRefuse(t, []vector{
		{"duplicate claim", raw(`{"alg":"HS256"}`, `{"sub":"anna","sub":"admin","iss":"plumbline","aud":"bridge","exp":1800000060}`), "form"},
		{"duplicate header", raw(`{"alg":"none","alg":"HS256"}`, payload(t)), "header"},
	})
}

func TestN30TimesThatAreNoTimes(t *testing.T) {
	mustRefuse(t, []vector{
		{"exp a string", hs(t, map[string]any{"exp": "1800000060"}), "claims"},
		{"exp a fraction", hs(t, map[string]any{"exp": 1800000060.5}), "claims"},
		{"exp negative", hs(t, map[string]any{"exp": -1}), "claims"},
		{"exp huge", raw(`{"alg":"HS256"}`, `{"sub":"a","iss":"plumbline","aud":"bridge","exp":1e30}`), "claims"},
		{"exp null", raw(`{"alg":"HS256"}`, `{"sub":"a","iss":"plumbline","aud":"bridge","exp":null}`), "claims"},
	})
}

func TestTokenOtherForms(t *testing.T) {
	mustRefuse(t, []vector{
		{"empty", "", "size"},
		{"no exp", hs(t, map[string]any{"exp": nil}), "claims"},
		{"crit", head(t, map[string]any{"crit": []string{"exp"}}), "header"},
		{"nbf a string", hs(t, map[string]any{"nbf": "1"}), "claims"},
		{"no sub", hs(t, map[string]any{"sub": nil}), "subject"},
		{"sub a number", hs(t, map[string]any{"sub": 7}), "subject"},
		{"jti a number", hs(t, map[string]any{"jti": 7}), "claims"},
		{"grants a string", hs(t, map[string]any{"grants": "#"}), "grants"},
		{"grants malformed", hs(t, map[string]any{"grants": []string{"a/#/b"}}), "grants"},
		{"denies malformed", hs(t, map[string]any{"denies": []any{7}}), "grants"},
		{"payload no object", raw(`{"alg":"HS256"}`, `[1]`), "signature"},
	})
}
