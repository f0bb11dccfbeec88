// Package auth decides who a viewer is and what it may see: tokens (RFC 7519 read as RFC 8725 asks), grants as lists of
// MQTT filters, and revocations from a watched file. It knows nothing of connections; package wire asks it.
package auth

import (
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
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
	// Reason of Verify is one of size, form, header, alg, typ, kid, keys, signature, claims, expired, early, issuer, audience,
	// subject, tenant, grants.
	Reason string
	Detail string
}

// ReasonKeys is the reason when the keys themselves are not there: the token may be good, later.
const ReasonKeys = "keys"

// Error implements error.
func (r *Refusal) Error() string { return "auth: " + ErrToken.Error() + ": " + r.Detail }

// Unwrap makes errors.Is(err, ErrToken) hold.
func (r *Refusal) Unwrap() error { return ErrToken }

// Refuse makes a Refusal. The detail must not hold the token or a part of it.
func Refuse(reason, format string, args ...any) *Refusal {
	return &Refusal{Reason: reason, Detail: fmt.Sprintf(format, args...)}
}

// Options says which tokens are good. Alg and Key, or Keys, are required, and so are Issuer and Audience; see LoadKey for Key.
type Options struct {
	Alg          string // the one accepted algorithm of Key, one of Algorithms
	Key          any    // []byte for HS*, *rsa.PublicKey, *ecdsa.PublicKey or ed25519.PublicKey otherwise
	Keys         *Keys  // several keys by id, each with its algorithm, instead of Alg and Key
	Issuer       string
	Audience     string
	SubjectClaim string           // "" = "sub"
	GrantsClaim  string           // "" = "grants"
	TenantClaim  string           // "" = "tenant"
	TenantPrefix string           // begins every filter of a tenant's token; "" = no tenants; see CheckTenantPrefix
	Leeway       time.Duration    // allowed clock difference for exp, nbf and iat; 0 = none
	Now          func() time.Time // nil = time.Now
}

// Verifier checks tokens. It is safe for concurrent use.
type Verifier struct {
	opts    Options
	parsers map[string]*jwt.Parser // by algorithm: each takes that one only (RFC 8725 section 3.1: ours to choose, not the token's)
}

// NewVerifier checks the options and returns a Verifier. A key that does not fit the algorithm or is too weak is refused.
func NewVerifier(o Options) (*Verifier, error) {
	if o.Issuer == "" || o.Audience == "" {
		return nil, errors.New("auth: issuer and audience are required (RFC 8725 sections 3.8 and 3.9): set auth.jwt.issuer and auth.jwt.audience")
	}
	if o.Leeway < 0 || o.Leeway > time.Minute {
		return nil, fmt.Errorf("auth: leeway %s: allowed is 0s to 1m", o.Leeway)
	}
	if o.Keys == nil {
		if err := checkKey(o.Alg, o.Key); err != nil {
			return nil, err
		}
	}
	if err := CheckTenantPrefix(o.TenantPrefix); err != nil {
		return nil, fmt.Errorf("auth: tenant prefix %q: %w", o.TenantPrefix, err)
	}
	for field, name := range map[*string]string{&o.SubjectClaim: "sub", &o.GrantsClaim: "grants", &o.TenantClaim: "tenant"} {
		if *field == "" {
			*field = name
		}
	}
	if o.Now == nil {
		o.Now = time.Now
	}
	v := &Verifier{opts: o, parsers: map[string]*jwt.Parser{}}
	for _, alg := range Algorithms() {
		v.parsers[alg] = jwt.NewParser(
			jwt.WithValidMethods([]string{alg}),
			jwt.WithoutClaimsValidation(), // claims are checked below, strictly on integers
			jwt.WithJSONNumber(),
			jwt.WithStrictDecoding(),
		)
	}
	return v, nil
}

// Leeway returns the clock difference that is allowed.
func (v *Verifier) Leeway() time.Duration { return v.opts.Leeway }

// Now returns the verifier's time.
func (v *Verifier) Now() time.Time { return v.opts.Now() }

// Verify checks one compact token and returns who it names. Every error is a *Refusal. jku, x5u, x5c and jwk in the header are
// never looked at (RFC 8725 section 3.10), and kid only to find the key in Options.Keys; one that is not known there may make it
// wait for FetchTimeout.
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
		return Identity{}, Refuse("issuer", "iss is missing or not the configured issuer")
	}
	if !v.audienceHolds(claims["aud"]) { // RFC 8725 section 3.9
		return Identity{}, Refuse("audience", "aud is missing or does not name this bridge")
	}
	id, err := v.identity(claims, exp)
	if err != nil {
		return Identity{}, err
	}
	id.Key = tokenKey(token)
	return id, nil
}

// tokenKey names a token without giving it away: a digest of what is signed. The signature is left out, since whoever holds an
// ECDSA token can write another good signature under it.
func tokenKey(token string) string {
	sum := sha256.Sum256([]byte(token[:strings.LastIndexByte(token, '.')]))
	return base64.RawURLEncoding.EncodeToString(sum[:16])
}

// open checks size, form, header and signature and returns the claims.
func (v *Verifier) open(token string) (jwt.MapClaims, error) {
	if token == "" {
		return nil, Refuse("size", "it is empty")
	}
	if len(token) > MaxTokenBytes {
		return nil, Refuse("size", "it is longer than %d bytes", MaxTokenBytes)
	}
	if strings.Count(token, ".") != 2 {
		return nil, Refuse("form", "it is not three parts joined by dots (RFC 7515 section 7.1)")
	}
	parts := strings.Split(token, ".")
	alg, find, err := v.checkHeader(parts[0])
	if err != nil {
		return nil, err
	}
	body, err := base64.RawURLEncoding.Strict().DecodeString(parts[1])
	if err != nil {
		return nil, Refuse("form", "the payload is not base64url")
	}
	if err := strictjson.Check(body, 16); err != nil {
		return nil, Refuse("form", "the payload: %v", err)
	}
	claims := jwt.MapClaims{}
	if _, err := v.parsers[alg].ParseWithClaims(token, claims, find); err != nil {
		return nil, Refuse("signature", "the signature does not hold")
	}
	return claims, nil
}

// checkHeader reads what a JOSE header may hold here and returns the algorithm and where its key is. Anything that asks for
// another key or an extension is not followed.
func (v *Verifier) checkHeader(part string) (alg string, find jwt.Keyfunc, err error) {
	raw, err := base64.RawURLEncoding.Strict().DecodeString(part)
	if err != nil {
		return "", nil, Refuse("header", "the header is not base64url")
	}
	var typ string
	var crit, kid json.RawMessage
	if err := strictjson.Decode(raw, 8, map[string]any{"alg": &alg, "typ": &typ, "crit": &crit, "kid": &kid}); err != nil {
		return "", nil, Refuse("header", "the header: %v", err)
	}
	if crit != nil { // RFC 7515 section 4.1.11: an extension we do not understand must be refused
		return "", nil, Refuse("header", "crit asks for an extension")
	}
	switch strings.TrimPrefix(strings.ToLower(typ), "application/") { // RFC 8725 section 3.11
	case "", "jwt", "at+jwt":
	default:
		return "", nil, Refuse("typ", "typ is neither JWT nor at+jwt")
	}
	if v.opts.Keys == nil {
		if alg != v.opts.Alg {
			return "", nil, Refuse("alg", "alg is not %s", v.opts.Alg)
		}
		return alg, func(*jwt.Token) (any, error) { return v.opts.Key, nil }, nil
	}
	find, err = v.lookUp(alg, kid)
	return alg, find, err
}

// lookUp finds the key of a token in the set. Its algorithm is the one that the set binds to the key.
func (v *Verifier) lookUp(alg string, raw json.RawMessage) (jwt.Keyfunc, error) {
	var kid string
	if json.Unmarshal(raw, &kid) != nil || kid == "" || len(kid) > maxKeyID {
		return nil, Refuse("kid", "kid is missing or no string of at most %d bytes", maxKeyID)
	}
	if !slices.Contains(Algorithms(), alg) {
		return nil, Refuse("alg", "alg is none of those that are taken") // before anybody is asked for the key
	}
	want, set, known := v.opts.Keys.alg(kid)
	switch {
	case set == nil:
		return nil, Refuse(ReasonKeys, "the keys that check tokens are not there yet")
	case !known:
		return nil, Refuse("kid", "kid names no key of the set")
	case alg != want:
		return nil, Refuse("alg", "alg is not that of the key")
	}
	return set.find, nil
}

// checkTimes requires exp and honours nbf and iat, all with exactly the configured leeway, and returns exp.
func (v *Verifier) checkTimes(claims jwt.MapClaims) (time.Time, error) {
	now := v.opts.Now()
	exp, ok, err := seconds(claims, "exp")
	if err != nil {
		return time.Time{}, err
	}
	if !ok {
		return time.Time{}, Refuse("claims", "exp is missing")
	}
	if !now.Before(exp.Add(v.opts.Leeway)) { // RFC 7519 section 4.1.4: on or after exp it must not be accepted
		return time.Time{}, Refuse("expired", "it has expired")
	}
	for _, name := range []string{"nbf", "iat"} { // RFC 7519 sections 4.1.5 and 4.1.6
		at, ok, err := seconds(claims, name)
		if err != nil {
			return time.Time{}, err
		}
		if ok && now.Before(at.Add(-v.opts.Leeway)) {
			return time.Time{}, Refuse("early", "%s is in the future", name)
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
		return time.Time{}, false, Refuse("claims", "%s is not a number", name)
	}
	i, err := n.Int64()
	if err != nil || i < 0 || i > lastSecond {
		return time.Time{}, false, Refuse("claims", "%s is not a whole number of seconds in range", name)
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
		return Identity{}, Refuse("subject", "%s is missing, empty, longer than 256 bytes or has white space at an end or a control character", v.opts.SubjectClaim)
	}
	if raw, ok := claims["jti"]; ok {
		if id.TokenID, ok = raw.(string); !ok || !revocable(id.TokenID) {
			return Identity{}, Refuse("claims", "jti is not a string, or has white space at an end or a control character")
		}
	}
	var err error
	var prefix string
	if v.opts.TenantPrefix != "" {
		id.Tenant, _ = claims[v.opts.TenantClaim].(string)
		if !validTenant(id.Tenant) {
			return Identity{}, Refuse("tenant", "%s is missing, or not a name of one topic level of at most 128 bytes", v.opts.TenantClaim)
		}
		prefix = strings.ReplaceAll(v.opts.TenantPrefix, tenantPlace, id.Tenant)
	}
	r := reader{claims, prefix}
	if id.Grants, err = r.lists(v.opts.GrantsClaim, Live, Snapshot, History); err != nil {
		return Identity{}, err
	}
	if id.Denies, err = r.lists("denies", Live, Snapshot, History, Publish); err != nil {
		return Identity{}, err
	}
	return id, nil
}
