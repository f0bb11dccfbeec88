package sut

import (
	"bytes"
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"slices"
	"strings"
	"time"
)

// Mutation is one way to spoil a token that is good otherwise.
type Mutation string

// The mutations (RFC 8725 sections 2 and 3). "" spoils nothing.
const (
	Expired         Mutation = "expired"          // exp one hour ago
	NotYetValid     Mutation = "not-yet-valid"    // nbf in one hour
	IssuedInFuture  Mutation = "issued-in-future" // iat in one hour
	WrongIssuer     Mutation = "wrong-issuer"
	NoIssuer        Mutation = "no-issuer"
	WrongAudience   Mutation = "wrong-audience"
	NoAudience      Mutation = "no-audience"
	NoSubject       Mutation = "no-subject"
	NoExpiry        Mutation = "no-expiry"
	AlgNone         Mutation = "alg-none"         // no signature
	AlgNoneCase     Mutation = "alg-none-case"    // nOnE, no signature
	AlgOther        Mutation = "alg-other"        // another algorithm of the same family, same key
	AlgConfusion    Mutation = "alg-confusion"    // HS256 with the public key as the secret; with HS keys it is OtherKey
	OtherKey        Mutation = "other-key"        // right algorithm, another key
	EmptyKey        Mutation = "empty-key"        // HS256 with an empty secret
	TamperedPayload Mutation = "tampered-payload" // claims changed after signing
	NoSignature     Mutation = "no-signature"     // signature part empty
	CutSignature    Mutation = "cut-signature"    // last signature byte missing
	WrongType       Mutation = "wrong-type"       // typ of a refresh token
	ExpiryString    Mutation = "expiry-string"    // exp as a string
	ExpiryHuge      Mutation = "expiry-huge"      // exp 1e30
	ExpiryNegative  Mutation = "expiry-negative"  // exp -1
	ExtraDots       Mutation = "extra-dots"       // five parts
	ManyDots        Mutation = "many-dots"        // 16 KiB of dots
	HugeToken       Mutation = "huge-token"       // expired, with 32 KiB of claims
	DuplicateClaims Mutation = "duplicate-claims" // the subject twice in the JSON
	Critical        Mutation = "critical-header"  // crit names an unknown extension (RFC 7515 section 4.1.11)
	KeyInHeader     Mutation = "key-in-header"    // jwk of an attacker, signed with that key
	KeyPath         Mutation = "key-path"         // kid is the path of an empty file, signed with an empty key
	NotBase64       Mutation = "not-base64"
	NotJSON         Mutation = "not-json"
	EmptyToken      Mutation = "empty"
)

// Mutations returns every mutation; a strict verifier refuses each of them.
func Mutations() []Mutation {
	return []Mutation{Expired, NotYetValid, IssuedInFuture, WrongIssuer, NoIssuer, WrongAudience, NoAudience,
		NoSubject, NoExpiry, AlgNone, AlgNoneCase, AlgOther, AlgConfusion, OtherKey, EmptyKey, TamperedPayload,
		NoSignature, CutSignature, WrongType, ExpiryString, ExpiryHuge, ExpiryNegative, ExtraDots, ManyDots,
		HugeToken, DuplicateClaims, Critical, KeyInHeader, KeyPath, NotBase64, NotJSON, EmptyToken}
}

// ownRules are mutations that no standard tells every verifier to refuse: iat, sub
// and exp need not be there (RFC 7519 section 4.1), of duplicate members the last
// may count (section 4), and what typ is expected is agreed upon (RFC 8725 section
// 3.11).
var ownRules = []Mutation{IssuedInFuture, NoSubject, NoExpiry, WrongType, ExpiryHuge, DuplicateClaims}

// Mutations returns the mutations that the system has to refuse whatever rules it
// has of its own: those that RFC 7515, RFC 7519 or RFC 8725 call unsound. Issuer and
// audience count where the descriptor names them; a token that names another
// audience is refused always (RFC 7519 section 4.1.3). That holds for our own bridge
// over another protocol too; over plumbline.v1 its stricter rules are asked for.
func (s *SUT) Mutations() []Mutation {
	d := s.descriptor()
	return slices.DeleteFunc(Mutations(), func(m Mutation) bool {
		switch m {
		case WrongIssuer, NoIssuer:
			return d.Auth == nil || d.Auth.JWT == nil || d.Auth.JWT.Issuer == ""
		case NoAudience:
			return d.Auth == nil || d.Auth.JWT == nil || d.Auth.JWT.Audience == ""
		}
		return slices.Contains(ownRules, m)
	})
}

// mutations says how each is made.
var mutations = map[Mutation]func(*draft) (string, error){
	Expired:         claim("exp", func(d *draft) any { return d.now.Add(-time.Hour).Unix() }),
	NotYetValid:     claim("nbf", func(d *draft) any { return d.now.Add(time.Hour).Unix() }),
	IssuedInFuture:  claim("iat", func(d *draft) any { return d.now.Add(time.Hour).Unix() }),
	WrongIssuer:     claim("iss", func(*draft) any { return "somebody-else" }),
	NoIssuer:        claim("iss", nil),
	WrongAudience:   claim("aud", func(*draft) any { return []string{"another-service"} }),
	NoAudience:      claim("aud", nil),
	NoSubject:       func(d *draft) (string, error) { delete(d.claims, or(d.names.SubjectClaim, "sub")); return d.sign() },
	NoExpiry:        claim("exp", nil),
	ExpiryString:    claim("exp", func(d *draft) any { return fmt.Sprint(d.now.Add(time.Hour).Unix()) }),
	ExpiryHuge:      claim("exp", func(*draft) any { return json.RawMessage("1e30") }),
	ExpiryNegative:  claim("exp", func(*draft) any { return -1 }),
	AlgNone:         head("alg", "none"),
	AlgNoneCase:     head("alg", "nOnE"),
	WrongType:       head("typ", "refresh+jwt"),
	AlgOther:        otherAlgorithm,
	AlgConfusion:    confusion,
	OtherKey:        otherKey,
	EmptyKey:        func(d *draft) (string, error) { return d.withSecret(nil) },
	KeyPath:         func(d *draft) (string, error) { d.header["kid"] = "../../../../dev/null"; return d.withSecret(nil) },
	KeyInHeader:     keyInHeader,
	Critical:        critical,
	TamperedPayload: tampered,
	DuplicateClaims: duplicate,
	HugeToken:       huge,
	NoSignature:     text(func(t string) string { return t[:strings.LastIndexByte(t, '.')+1] }),
	CutSignature:    text(cutSignature),
	ExtraDots:       text(func(t string) string { return t + ".e30.e30" }),
	ManyDots:        text(func(string) string { return strings.Repeat(".", 16<<10) }),
	NotBase64:       text(func(t string) string { return "%%%" + t }),
	NotJSON:         func(d *draft) (string, error) { return d.signPayload([]byte("sub=viewer")) },
	EmptyToken:      text(func(string) string { return "" }),
}

// claim makes a mutation that sets a claim, or removes it when value is nil.
func claim(name string, value func(*draft) any) func(*draft) (string, error) {
	return func(d *draft) (string, error) {
		delete(d.claims, name)
		if value != nil {
			d.claims[name] = value(d)
		}
		return d.sign()
	}
}

// head makes a mutation that sets a header field.
func head(name string, value any) func(*draft) (string, error) {
	return func(d *draft) (string, error) {
		d.header[name] = value
		return d.sign()
	}
}

// text makes a mutation that changes the finished token.
func text(change func(token string) string) func(*draft) (string, error) {
	return func(d *draft) (string, error) {
		token, err := d.sign()
		return change(token), err
	}
}

// withSecret signs with HS256 and another secret.
func (d *draft) withSecret(secret []byte) (string, error) {
	d.header["alg"] = "HS256"
	d.key = secret
	if secret == nil {
		d.key = []byte{}
	}
	return d.sign()
}

func otherAlgorithm(d *draft) (string, error) {
	next := map[string]string{"HS256": "HS384", "HS384": "HS512", "HS512": "HS256", "RS256": "RS384", "RS384": "RS512", "RS512": "RS256"}
	name, _ := d.header["alg"].(string)
	other, ok := next[name]
	if !ok { // an elliptic key fits one algorithm only
		return d.withSecret([]byte("a secret that the verifier does not know"))
	}
	d.header["alg"] = other
	return d.sign()
}

// confusion is the attack of RFC 8725 section 2.1: a public key is no secret.
func confusion(d *draft) (string, error) {
	signer, ok := d.key.(crypto.Signer)
	if !ok {
		return otherKey(d)
	}
	der, err := x509.MarshalPKIXPublicKey(signer.Public())
	if err != nil {
		return "", fmt.Errorf("sut: token: public key: %w", err)
	}
	return d.withSecret(pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: der}))
}

func otherKey(d *draft) (string, error) {
	var err error
	switch key := d.key.(type) {
	case []byte:
		d.key = []byte(rand.Text() + rand.Text())
	case *rsa.PrivateKey:
		d.key, err = rsa.GenerateKey(rand.Reader, key.N.BitLen())
	case *ecdsa.PrivateKey:
		d.key, err = ecdsa.GenerateKey(key.Curve, rand.Reader)
	default:
		_, d.key, err = ed25519.GenerateKey(rand.Reader)
	}
	if err != nil {
		return "", fmt.Errorf("sut: token: another key: %w", err)
	}
	return d.sign()
}

// keyInHeader offers the attacker's own key with the token (RFC 8725 section 2.7).
func keyInHeader(d *draft) (string, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return "", fmt.Errorf("sut: token: attacker's key: %w", err)
	}
	point, err := key.PublicKey.Bytes()
	if err != nil {
		return "", fmt.Errorf("sut: token: attacker's key: %w", err)
	}
	d.key = key
	d.header["alg"] = "ES256"
	d.header["jwk"] = map[string]any{"kty": "EC", "crv": "P-256", "x": encode(point[1:33]), "y": encode(point[33:])}
	return d.sign()
}

// cutSignature takes the last byte away and leaves sound base64.
func cutSignature(token string) string {
	dot := strings.LastIndexByte(token, '.') + 1
	signature, err := base64.RawURLEncoding.DecodeString(token[dot:])
	if err != nil || len(signature) == 0 {
		return token[:dot]
	}
	return token[:dot] + encode(signature[:len(signature)-1])
}

func critical(d *draft) (string, error) {
	d.header["crit"] = []string{"http://example.invalid/UNDEFINED"}
	d.header["http://example.invalid/UNDEFINED"] = true
	return d.sign()
}

// tampered widens the grants and renames the subject after signing.
func tampered(d *draft) (string, error) {
	token, err := d.sign()
	if err != nil {
		return "", err
	}
	d.claims[or(d.names.SubjectClaim, "sub")] = "admin"
	if d.names.GrantsClaim != "" {
		d.claims[d.names.GrantsClaim] = []string{"#"}
	}
	payload, err := json.Marshal(d.claims)
	if err != nil {
		return "", fmt.Errorf("sut: token: claims: %w", err)
	}
	parts := strings.Split(token, ".")
	return parts[0] + "." + encode(payload) + "." + parts[2], nil
}

// duplicate names the subject twice; two readers may take two different ones.
func duplicate(d *draft) (string, error) {
	payload, err := json.Marshal(d.claims)
	if err != nil {
		return "", fmt.Errorf("sut: token: claims: %w", err)
	}
	second := fmt.Sprintf(`,%q:"admin"}`, or(d.names.SubjectClaim, "sub"))
	return d.signPayload(append(bytes.TrimSuffix(payload, []byte("}")), second...))
}

// huge is expired besides, so that a verifier without a size limit refuses it too.
func huge(d *draft) (string, error) {
	d.claims["exp"] = d.now.Add(-time.Hour).Unix()
	d.claims["padding"] = base64.StdEncoding.EncodeToString(make([]byte, 24<<10))
	return d.sign()
}
