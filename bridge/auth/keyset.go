package auth

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"slices"

	"github.com/MicahParks/jwkset"
	"github.com/MicahParks/keyfunc/v3"
	"github.com/golang-jwt/jwt/v5"

	"plumbline/bridge/strictjson"
)

// Bounds of a key set.
const (
	maxSetBytes = 1 << 20
	maxSetKeys  = 200
	maxKeyID    = 256 // bytes
)

// keySet is a parsed JSON Web Key Set (RFC 7517 section 5): keys by their id, each with the one algorithm it may check.
type keySet struct {
	algs map[string]string
	find jwt.Keyfunc
}

// parseKeySet reads a set. Keys that cannot check a signature here are passed over and logged; a set of which nothing is left,
// or that has two keys of one id, is an error. Shared secrets count only when secrets is set: what a URL gives away is none.
func parseKeySet(raw []byte, secrets bool, log *slog.Logger) (*keySet, error) {
	if len(raw) > maxSetBytes {
		return nil, fmt.Errorf("it has more than %d bytes", maxSetBytes)
	}
	var keys []json.RawMessage
	if err := strictjson.Decode(raw, 8, map[string]any{"keys": &keys}); err != nil {
		return nil, err
	}
	if len(keys) > maxSetKeys {
		return nil, fmt.Errorf("it has more than %d keys", maxSetKeys)
	}
	set := &keySet{algs: map[string]string{}}
	var good []jwkset.JWK
	for i, one := range keys {
		key, err := parseKey(one, secrets)
		if err != nil {
			log.Warn("key of the set passed over", "number", i+1, "reason", err.Error())
			continue
		}
		m := key.Marshal()
		if _, twice := set.algs[m.KID]; twice {
			return nil, errors.New("two of its keys have one id: nobody could say which is meant")
		}
		set.algs[m.KID] = m.ALG.String()
		good = append(good, key)
	}
	if len(good) == 0 {
		return nil, errors.New("none of its keys can check a token: want kid, kty and use sig")
	}
	store := jwkset.NewMemoryStorage()
	if err := store.KeyReplaceAll(context.Background(), good); err != nil {
		return nil, err
	}
	lookup, err := keyfunc.New(keyfunc.Options{Storage: store})
	if err != nil {
		return nil, err
	}
	set.find = lookup.Keyfunc
	return set, nil
}

// parseKey reads one key, and of it only what makes a public key or a secret: no certificate, no URL, no private part.
func parseKey(raw []byte, secrets bool) (jwkset.JWK, error) {
	var m jwkset.JWKMarshal
	var ops []string
	err := strictjson.Decode(raw, 8, map[string]any{
		"kid": &m.KID, "kty": &m.KTY, "alg": &m.ALG, "use": &m.USE, "key_ops": &ops,
		"crv": &m.CRV, "x": &m.X, "y": &m.Y, "n": &m.N, "e": &m.E, "k": &m.K,
	})
	switch {
	case err != nil:
		return jwkset.JWK{}, err
	case m.KID == "" || len(m.KID) > maxKeyID:
		return jwkset.JWK{}, fmt.Errorf("it has no kid of at most %d bytes", maxKeyID)
	case m.USE != "" && m.USE != jwkset.UseSig, ops != nil && !slices.Contains(ops, "verify"):
		return jwkset.JWK{}, errors.New("it is not for signatures")
	case m.KTY == jwkset.KtyOct && !secrets:
		return jwkset.JWK{}, errors.New("it is a shared secret, which a URL gives to anybody")
	case len(m.E) > 8: // 4 bytes and padding; more would be cut to its lower end
		return jwkset.JWK{}, errors.New("its exponent is too large")
	}
	if m.ALG == "" {
		m.ALG = ownAlg(m)
	}
	key, err := jwkset.NewJWKFromMarshal(m, jwkset.JWKMarshalOptions{Private: m.KTY == jwkset.KtyOct}, jwkset.JWKValidateOptions{})
	if err != nil {
		return jwkset.JWK{}, err
	}
	return key, checkKey(m.ALG.String(), key.Key())
}

// ownAlg is the algorithm of a key that names none: the curve's, or RS256, what RSA keys without alg are for everywhere.
func ownAlg(m jwkset.JWKMarshal) jwkset.ALG {
	switch {
	case m.KTY == jwkset.KtyRSA:
		return jwkset.AlgRS256
	case m.KTY == jwkset.KtyOKP:
		return jwkset.AlgEdDSA
	case m.CRV == jwkset.CrvP256:
		return jwkset.AlgES256
	case m.CRV == jwkset.CrvP384:
		return jwkset.AlgES384
	case m.CRV == jwkset.CrvP521:
		return jwkset.AlgES512
	}
	return "" // a secret must name its own
}
