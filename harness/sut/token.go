package sut

import "time"

// TokenSpec says what a token holds. The zero value is a good token for the
// subject "viewer" with no grants, valid for an hour.
type TokenSpec struct {
	Subject   string         // "" means "viewer"
	Grants    []string       // MQTT filters that may be subscribed to
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

// Mutation is one way to spoil a token that is good otherwise.
type Mutation string

// The mutations (RFC 8725 section 2 and 3). "" spoils nothing.
const (
	Expired         Mutation = "expired"          // exp one hour ago
	NotYetValid     Mutation = "not-yet-valid"    // nbf in one hour
	IssuedInFuture  Mutation = "issued-in-future" // iat in one hour
	WrongIssuer     Mutation = "wrong-issuer"     //
	NoIssuer        Mutation = "no-issuer"        //
	WrongAudience   Mutation = "wrong-audience"   //
	NoAudience      Mutation = "no-audience"      //
	NoSubject       Mutation = "no-subject"       //
	NoExpiry        Mutation = "no-expiry"        //
	AlgNone         Mutation = "alg-none"         // alg none, no signature
	AlgNoneCase     Mutation = "alg-none-case"    // alg nOnE, no signature
	AlgOther        Mutation = "alg-other"        // another algorithm of the same family
	OtherKey        Mutation = "other-key"        // right algorithm, another key
	EmptyKey        Mutation = "empty-key"        // signed with an empty secret
	TamperedPayload Mutation = "tampered-payload" // claims changed after signing
	NoSignature     Mutation = "no-signature"     // signature part empty
	CutSignature    Mutation = "cut-signature"    // last signature bytes missing
	WrongType       Mutation = "wrong-type"       // typ of a refresh token
	ExpiryString    Mutation = "expiry-string"    // exp as a string
	ExpiryHuge      Mutation = "expiry-huge"      // exp 1e30
	ExpiryNegative  Mutation = "expiry-negative"  // exp -1
	ExtraDots       Mutation = "extra-dots"       // five parts
	ManyDots        Mutation = "many-dots"        // 16 KiB of dots
	HugeToken       Mutation = "huge-token"       // 48 KiB of claims
	DuplicateClaims Mutation = "duplicate-claims" // sub twice in the JSON
	Critical        Mutation = "critical-header"  // crit names an unknown extension (RFC 7515 section 4.1.11)
	NotBase64       Mutation = "not-base64"       //
	NotJSON         Mutation = "not-json"         //
	EmptyToken      Mutation = "empty"            //
	KeyInHeader     Mutation = "key-in-header"    // jwk, jku and x5u of an attacker, signed with that key
	KeyPath         Mutation = "key-path"         // kid is a path to an empty file, signed with an empty key
)

// Mutations returns every mutation that a sound verifier must refuse.
func Mutations() []Mutation { return nil }
