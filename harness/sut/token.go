package sut

import (
	"crypto"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"os"
	"strings"
	"time"

	"github.com/golang-jwt/jwt/v5"
)

// TokenSpec says what a token holds. The zero value is a good token for the
// subject "viewer" with no grants, valid for an hour.
type TokenSpec struct {
	Subject   string         // "" means "viewer"
	Grants    []string       // MQTT filters that may be subscribed to
	Publish   []string       // MQTT filters that may be published to; a system whose grants are one list knows no such thing
	Denies    []string       // filters that are refused in spite of Grants
	ID        string         // jti; "" leaves it out
	TTL       time.Duration  // 0 means an hour; negative is expired
	NotBefore time.Duration  // from now; 0 leaves nbf out
	Issuer    string         // "" means the descriptor's
	Audience  string         // "" means the descriptor's
	Alg       string         // "" means the descriptor's
	Claims    map[string]any // set over the claims above; a nil value removes one
	Header    map[string]any // set over the JOSE header; a nil value removes one
	Mutate    Mutation       // what to spoil
}

// draft is a token on its way; mutations change it before or after signing.
type draft struct {
	now    time.Time
	header map[string]any
	claims map[string]any
	family string // HS, RS, ES or Ed
	key    any    // []byte or crypto.Signer
	names  JWT
}

// Token mints a token as the spec says. The error wraps ErrNoControl when the
// descriptor does not say how. The token is a secret: keep it out of artifacts.
func (s *SUT) Token(spec TokenSpec) (string, error) {
	d := s.descriptor()
	if d.Auth == nil || d.Auth.JWT == nil {
		return "", fmt.Errorf("sut: token: %w: the descriptor has no auth.jwt", ErrNoControl)
	}
	return mint(*d.Auth.JWT, spec, time.Now())
}

func mint(names JWT, spec TokenSpec, now time.Time) (string, error) {
	alg := or(spec.Alg, names.Alg)
	family, ok := algorithms[alg]
	if !ok {
		return "", fmt.Errorf("sut: token: %w: algorithm %q is not known", ErrUsage, alg)
	}
	d := &draft{
		now: now, family: family, names: names,
		header: map[string]any{"alg": alg, "typ": "JWT"},
		claims: goodClaims(names, spec, now),
	}
	overlay(d.claims, spec.Claims)
	overlay(d.header, spec.Header)
	var err error
	if d.key, err = signingKey(names, family); err != nil {
		return "", err
	}
	if spec.Mutate == "" {
		return d.sign()
	}
	spoil, ok := mutations[spec.Mutate]
	if !ok {
		return "", fmt.Errorf("sut: token: %w: mutation %q is not known", ErrUsage, spec.Mutate)
	}
	return spoil(d)
}

func goodClaims(names JWT, spec TokenSpec, now time.Time) map[string]any {
	ttl := spec.TTL
	if ttl == 0 {
		ttl = time.Hour
	}
	claims := map[string]any{
		or(names.SubjectClaim, "sub"): or(spec.Subject, "viewer"),
		"iat":                         now.Unix(),
		"exp":                         now.Add(ttl).Unix(),
	}
	if issuer := or(spec.Issuer, names.Issuer); issuer != "" {
		claims["iss"] = issuer
	}
	if audience := or(spec.Audience, names.Audience); audience != "" {
		claims["aud"] = audience
	}
	if names.GrantsClaim != "" {
		claims[names.GrantsClaim] = append([]string{}, spec.Grants...)
		if len(spec.Publish) > 0 {
			claims[names.GrantsClaim] = map[string][]string{"live": spec.Grants, "snapshot": spec.Grants, "publish": spec.Publish}
		}
		if len(spec.Denies) > 0 {
			claims["denies"] = spec.Denies
		}
	}
	if spec.ID != "" {
		claims["jti"] = spec.ID
	}
	if spec.NotBefore != 0 {
		claims["nbf"] = now.Add(spec.NotBefore).Unix()
	}
	return claims
}

func or(value, fallback string) string {
	if value == "" {
		return fallback
	}
	return value
}

func overlay(onto, from map[string]any) {
	for key, value := range from {
		if value == nil {
			delete(onto, key)
		} else {
			onto[key] = value
		}
	}
}

// sign encodes header and claims and signs them with the algorithm that the
// header names (RFC 7515 section 5.1).
func (d *draft) sign() (string, error) {
	payload, err := json.Marshal(d.claims)
	if err != nil {
		return "", fmt.Errorf("sut: token: %w: claims: %w", ErrUsage, err)
	}
	return d.signPayload(payload)
}

func (d *draft) signPayload(payload []byte) (string, error) {
	header, err := json.Marshal(d.header)
	if err != nil {
		return "", fmt.Errorf("sut: token: %w: header: %w", ErrUsage, err)
	}
	text := encode(header) + "." + encode(payload)
	name, _ := d.header["alg"].(string)
	method := jwt.GetSigningMethod(name)
	if method == nil || strings.EqualFold(name, "none") {
		return text + ".", nil // the caller wants a token that nobody signed
	}
	signature, err := method.Sign(text, d.key)
	if err != nil {
		return "", fmt.Errorf("sut: token: sign with %s: %w", name, err)
	}
	return text + "." + encode(signature), nil
}

func encode(data []byte) string { return base64.RawURLEncoding.EncodeToString(data) }

// signingKey reads the key that the descriptor names.
func signingKey(names JWT, family string) (any, error) {
	if family == "HS" {
		if names.SecretFile == "" {
			return nil, fmt.Errorf("sut: token: %w: auth.jwt.secretFile is missing", ErrUsage)
		}
		data, err := os.ReadFile(names.SecretFile)
		if err != nil {
			return nil, fmt.Errorf("sut: token: auth.jwt.secretFile: %w: %w", ErrUsage, err)
		}
		return []byte(strings.TrimSpace(string(data))), nil
	}
	data, err := os.ReadFile(names.PrivateKeyFile)
	if err != nil {
		return nil, fmt.Errorf("sut: token: auth.jwt.privateKeyFile: %w: %w", ErrUsage, err)
	}
	var key crypto.PrivateKey
	switch family {
	case "RS":
		key, err = jwt.ParseRSAPrivateKeyFromPEM(data)
	case "ES":
		key, err = jwt.ParseECPrivateKeyFromPEM(data)
	default:
		key, err = jwt.ParseEdPrivateKeyFromPEM(data)
	}
	if err != nil {
		return nil, fmt.Errorf("sut: token: auth.jwt.privateKeyFile: %w: %w", ErrUsage, err)
	}
	return key, nil
}

// algorithms maps the names of RFC 7518 section 3.1 and RFC 8037 to families.
var algorithms = map[string]string{
	"HS256": "HS", "HS384": "HS", "HS512": "HS",
	"RS256": "RS", "RS384": "RS", "RS512": "RS",
	"ES256": "ES", "ES384": "ES", "ES512": "ES",
	"EdDSA": "Ed",
}

func algorithmNames() []string {
	return []string{"HS256", "HS384", "HS512", "RS256", "RS384", "RS512", "ES256", "ES384", "ES512", "EdDSA"}
}
