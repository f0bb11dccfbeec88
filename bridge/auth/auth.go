// Package auth decides who a viewer is and what it may see: tokens (RFC 7519 read as RFC 8725 asks), grants as lists of
// MQTT filters, and revocations from a watched file. It knows nothing of connections; package wire asks it.
package auth

import (
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/golang-jwt/jwt/v5"

	"plumbline/bridge/strictjson"
)

// MaxTokenBytes is the longest token that is looked at. A longer one is refused before any parsing (CVE-2025-30204 is what
// parsing first costs).
const MaxTokenBytes = 8 << 10

// ErrToken is wrapped by every error of Verify; the text after it says why and never repeats the token.
var ErrToken = errors.New("token refused")

// Refusal is the error of Verify. Reason is a short stable word for metrics and close reasons.
type Refusal struct {
	Reason string // "size", "form", "header", "alg", "typ", "signature", "claims", "expired", "early", "issuer", "audience", "subject", "grants"
	Detail string
}

// Error implements error.
func (r *Refusal) Error() string { return "auth: " + ErrToken.Error() + ": " + r.Detail }

// Unwrap makes errors.Is(err, ErrToken) hold.
func (r *Refusal) Unwrap() error { return ErrToken }

func refuse(reason, format string, args ...any) *Refusal {
	return &Refusal{Reason: reason, Detail: fmt.Sprintf(format, args...)}
}

// Options says which tokens are good. Alg, Key, Issuer and Audience are required; see LoadKey for Key.
type Options struct {
	Alg          string // the one accepted algorithm: HS256, HS384, HS512, RS256, ES256, EdDSA
	Key          any    // []byte for HS*, *rsa.PublicKey, *ecdsa.PublicKey or ed25519.PublicKey otherwise
	Issuer       string
	Audience     string
	SubjectClaim string           // "" = "sub"
	GrantsClaim  string           // "" = "grants"
	Leeway       time.Duration    // allowed clock difference for exp, nbf and iat; 0 = none
	Now          func() time.Time // nil = time.Now
}

// Verifier checks tokens. It is safe for concurrent use.
type Verifier struct {
	opts   Options
	parser *jwt.Parser
}

// NewVerifier checks the options and returns a Verifier. A key that does not fit the algorithm or is too weak is refused.
func NewVerifier(o Options) (*Verifier, error) {
	if o.Issuer == "" || o.Audience == "" {
		return nil, errors.New("auth: issuer and audience are required (RFC 8725 sections 3.8 and 3.9): set auth.jwt.issuer and auth.jwt.audience")
	}
	if o.Leeway < 0 || o.Leeway > time.Minute {
		return nil, fmt.Errorf("auth: leeway %s: allowed is 0s to 1m", o.Leeway)
	}
	if err := checkKey(o.Alg, o.Key); err != nil {
		return nil, err
	}
	if o.SubjectClaim == "" {
		o.SubjectClaim = "sub"
	}
	if o.GrantsClaim == "" {
		o.GrantsClaim = "grants"
	}
	if o.Now == nil {
		o.Now = time.Now
	}
	p := jwt.NewParser(
		jwt.WithValidMethods([]string{o.Alg}), // RFC 8725 section 3.1: the algorithm is ours to choose, not the token's
		jwt.WithoutClaimsValidation(),         // claims are checked below, strictly on integers
		jwt.WithJSONNumber(),
		jwt.WithStrictDecoding(),
	)
	return &Verifier{opts: o, parser: p}, nil
}

// Leeway returns the clock difference that is allowed.
func (v *Verifier) Leeway() time.Duration { return v.opts.Leeway }

// Now returns the verifier's time.
func (v *Verifier) Now() time.Time { return v.opts.Now() }

// Verify checks one compact token and returns who it names. Every error is a *Refusal. It makes no outbound request and reads
// no file: kid, jku, x5u, x5c and jwk in the header are never looked at (RFC 8725 section 3.10).
func (v *Verifier) Verify(token string) (Identity, error) {
	claims, err := v.open(token)
	if err != nil {
		return Identity{}, err
	}
	exp, err := v.checkTimes(claims)
	if err != nil {
		return Identity{}, err
	}
	if iss, _ := claims["iss"].(string); iss != v.opts.Issuer { // RFC 8725 section 3.8
		return Identity{}, refuse("issuer", "iss is missing or not the configured issuer")
	}
	if !v.audienceHolds(claims["aud"]) { // RFC 8725 section 3.9
		return Identity{}, refuse("audience", "aud is missing or does not name this bridge")
	}
	return v.identity(claims, exp)
}

// open checks size, form, header and signature and returns the claims.
func (v *Verifier) open(token string) (jwt.MapClaims, error) {
	if token == "" {
		return nil, refuse("size", "it is empty")
	}
	if len(token) > MaxTokenBytes {
		return nil, refuse("size", "it is longer than %d bytes", MaxTokenBytes)
	}
	if strings.Count(token, ".") != 2 {
		return nil, refuse("form", "it is not three parts joined by dots (RFC 7515 section 7.1)")
	}
	parts := strings.Split(token, ".")
	if err := v.checkHeader(parts[0]); err != nil {
		return nil, err
	}
	body, err := base64.RawURLEncoding.Strict().DecodeString(parts[1])
	if err != nil {
		return nil, refuse("form", "the payload is not base64url")
	}
	if err := strictjson.Check(body, 16); err != nil {
		return nil, refuse("form", "the payload: %v", err)
	}
	claims := jwt.MapClaims{}
	if _, err := v.parser.ParseWithClaims(token, claims, func(*jwt.Token) (any, error) { return v.opts.Key, nil }); err != nil {
		return nil, refuse("signature", "the signature does not hold")
	}
	return claims, nil
}

// checkHeader reads what a JOSE header may hold here. Anything that asks for another key or an extension is not followed.
func (v *Verifier) checkHeader(part string) error {
	raw, err := base64.RawURLEncoding.Strict().DecodeString(part)
	if err != nil {
		return refuse("header", "the header is not base64url")
	}
	var alg, typ string
	var crit json.RawMessage
	if err := strictjson.Decode(raw, 8, map[string]any{"alg": &alg, "typ": &typ, "crit": &crit}); err != nil {
		return refuse("header", "the header: %v", err)
	}
	if alg != v.opts.Alg {
		return refuse("alg", "alg is not %s", v.opts.Alg)
	}
	if crit != nil { // RFC 7515 section 4.1.11: an extension we do not understand must be refused
		return refuse("header", "crit asks for an extension")
	}
	switch strings.TrimPrefix(strings.ToLower(typ), "application/") { // RFC 8725 section 3.11
	case "", "jwt", "at+jwt":
		return nil
	default:
		return refuse("typ", "typ is neither JWT nor at+jwt")
	}
}

// checkTimes requires exp and honours nbf and iat, all with exactly the configured leeway, and returns exp.
func (v *Verifier) checkTimes(claims jwt.MapClaims) (time.Time, error) {
	now := v.opts.Now()
	exp, ok, err := seconds(claims, "exp")
	if err != nil {
		return time.Time{}, err
	}
	if !ok {
		return time.Time{}, refuse("claims", "exp is missing")
	}
	if !now.Before(exp.Add(v.opts.Leeway)) { // RFC 7519 section 4.1.4: on or after exp it must not be accepted
		return time.Time{}, refuse("expired", "it has expired")
	}
	for _, name := range []string{"nbf", "iat"} { // RFC 7519 sections 4.1.5 and 4.1.6
		at, ok, err := seconds(claims, name)
		if err != nil {
			return time.Time{}, err
		}
		if ok && now.Before(at.Add(-v.opts.Leeway)) {
			return time.Time{}, refuse("early", "%s is in the future", name)
		}
	}
	return exp, nil
}

// lastSecond ends the year 9999, the last that RFC 3339 can name.
const lastSecond = 253402300799

// seconds reads a NumericDate. Only a plain non-negative integer up to lastSecond is taken: fractions and exponents are legal
// by RFC 7519 but nobody needs them, and they are where parsers differ.
func seconds(claims jwt.MapClaims, name string) (time.Time, bool, error) {
	raw, ok := claims[name]
	if !ok {
		return time.Time{}, false, nil
	}
	n, isNumber := raw.(json.Number)
	if !isNumber {
		return time.Time{}, false, refuse("claims", "%s is not a number", name)
	}
	i, err := n.Int64()
	if err != nil || i < 0 || i > lastSecond {
		return time.Time{}, false, refuse("claims", "%s is not a whole number of seconds in range", name)
	}
	return time.Unix(i, 0), true, nil
}

func (v *Verifier) audienceHolds(aud any) bool {
	switch a := aud.(type) {
	case string:
		return a == v.opts.Audience
	case []any:
		for _, one := range a {
			if s, ok := one.(string); ok && s == v.opts.Audience {
				return true
			}
		}
	}
	return false
}

func (v *Verifier) identity(claims jwt.MapClaims, exp time.Time) (Identity, error) {
	id := Identity{Expires: exp}
	id.Subject, _ = claims[v.opts.SubjectClaim].(string)
	if id.Subject == "" || len(id.Subject) > 256 || !revocable(id.Subject) {
		return Identity{}, refuse("subject", "%s is missing, empty, longer than 256 bytes or has white space at an end or a control character", v.opts.SubjectClaim)
	}
	if raw, ok := claims["jti"]; ok {
		if id.TokenID, ok = raw.(string); !ok || !revocable(id.TokenID) {
			return Identity{}, refuse("claims", "jti is not a string, or has white space at an end or a control character")
		}
	}
	var err error
	r := reader{claims}
	if id.Grants, err = r.lists(v.opts.GrantsClaim, Live, Snapshot, History); err != nil {
		return Identity{}, err
	}
	if id.Denies, err = r.lists("denies", Live, Snapshot, History, Publish); err != nil {
		return Identity{}, err
	}
	return id, nil
}
