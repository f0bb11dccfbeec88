package main

import (
	"crypto"
	"crypto/rand"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
	"time"

	"github.com/golang-jwt/jwt/v5"

	"plumbline/bridge"
	"plumbline/bridge/auth"
	"plumbline/bridge/config"
)

// token makes a token with the bridge's own settings, or says what a given one is worth to the bridge.
func token(c call) int {
	f := newFlags(c, "token")
	var w wanted
	w.flags(f)
	verify := f.String("verify", "", "print what the token in `file` is worth, - = standard input; makes none")
	if code, ok := f.parse(c.args, 0); !ok {
		return code
	}
	cfg, err := f.load()
	if err != nil {
		return fail(c.stderr, err)
	}
	verifier, err := bridge.NewVerifier(cfg)
	if err != nil {
		return fail(c.stderr, err)
	}
	if *verify != "" {
		return appraise(c, cfg, verifier, *verify)
	}
	text, code := w.good(f, cfg, verifier)
	if text != "" {
		_, _ = fmt.Fprintln(c.stdout, text)
	}
	return code
}

// good makes a token that the bridge takes; "" with the exit code when it cannot.
func (w *wanted) good(f *flags, cfg config.Config, verifier *auth.Verifier) (text string, code int) {
	switch {
	case w.subject == "":
		return "", f.bad("--sub is missing: whom is the token for?")
	case len(w.grants)+len(w.publish) == 0:
		return "", f.bad("--grants is missing: name a filter, such as --grants 'plant/#'; a token without grants allows nothing")
	case w.ttl < time.Second:
		return "", f.bad("--ttl %s: at least 1s", w.ttl)
	}
	text, err := w.mint(cfg, time.Now())
	if err != nil {
		return "", fail(f.c.stderr, err)
	}
	if _, err := verifier.Verify(text); err != nil { // what is given out is good
		return "", fail(f.c.stderr, fmt.Errorf("%w: this bridge would refuse the token: %w", bridge.ErrConfig, err))
	}
	return text, exitOK
}

// wanted is a token to make.
type wanted struct {
	subject, id, tenant string
	keyFile, keyID      string
	grants, publish     settings
	ttl                 time.Duration
}

// flags declares those by which a token is described.
func (w *wanted) flags(f *flags) {
	f.StringVar(&w.subject, "sub", "", "who the token names, a `name`")
	f.Var(&w.grants, "grants", "an MQTT `filter` of topics that may be seen: live, last values and history; repeatable")
	f.Var(&w.publish, "publish", "an MQTT `filter` of topics that may be published to; repeatable")
	f.DurationVar(&w.ttl, "ttl", time.Hour, "how long it is good")
	f.StringVar(&w.id, "jti", "", "name of this one token, by which it can be revoked; default: 16 random digits")
	f.StringVar(&w.tenant, "tenant", "", "the tenant that the token is of, a `name`, where auth.tenantPrefix is set; filters then count from the tenant's prefix")
	f.StringVar(&w.keyID, "kid", "", "`id` of the key in the key set, where auth.jwt has one")
	f.StringVar(&w.keyFile, "key", "", "private key as PEM `file`, for RS256, ES256 and EdDSA; HS* use the bridge's secret")
}

func (w *wanted) mint(cfg config.Config, now time.Time) (string, error) {
	j := cfg.Auth.JWT
	key, err := signingKey(cfg, w.keyFile)
	if err != nil {
		return "", fmt.Errorf("%w: %w", bridge.ErrConfig, err)
	}
	if w.id == "" {
		var raw [8]byte
		_, _ = rand.Read(raw[:]) // never fails (crypto/rand)
		w.id = hex.EncodeToString(raw[:])
	}
	claims := jwt.MapClaims{
		"iss": j.Issuer, "aud": j.Audience, j.SubjectClaim: w.subject, "jti": w.id, "iat": now.Unix(), "exp": now.Add(w.ttl).Unix(),
		j.GrantsClaim: []string(w.grants),
	}
	if w.tenant != "" {
		claims[j.TenantClaim] = w.tenant
	}
	if len(w.publish) > 0 { // then each action has a list of its own
		g := append([]string{}, w.grants...)
		claims[j.GrantsClaim] = map[string][]string{"live": g, "snapshot": g, "history": g, "publish": w.publish}
	}
	t := jwt.NewWithClaims(jwt.GetSigningMethod(j.Alg), claims)
	if w.keyID != "" {
		t.Header["kid"] = w.keyID
	}
	text, err := t.SignedString(key)
	if err != nil {
		return "", fmt.Errorf("%w: sign with %s: %w", bridge.ErrConfig, j.Alg, err)
	}
	return text, nil
}

// signingKey returns the bridge's secret, or the private key in file.
func signingKey(cfg config.Config, file string) (any, error) {
	j := cfg.Auth.JWT
	if j.KeySet() && strings.HasPrefix(j.Alg, "HS") {
		return nil, errors.New("the bridge checks with a key set: name the algorithm of your key with --set auth.jwt.alg=ES256, the key with --key and its id with --kid")
	}
	if strings.HasPrefix(j.Alg, "HS") {
		if file != "" {
			return nil, fmt.Errorf("--key is for private keys: %s signs with auth.jwt.secretFile; leave it out", j.Alg)
		}
		return auth.LoadKey(j.Alg, bridge.SecretFile(cfg), "")
	}
	if file == "" {
		return nil, fmt.Errorf("--key is missing: %s signs with a private key, which the bridge does not have", j.Alg)
	}
	raw, err := os.ReadFile(file)
	if err != nil {
		return nil, fmt.Errorf("--key: %w", err)
	}
	var key crypto.PrivateKey
	switch j.Alg {
	case "RS256":
		key, err = jwt.ParseRSAPrivateKeyFromPEM(raw)
	case "ES256":
		key, err = jwt.ParseECPrivateKeyFromPEM(raw)
	default:
		key, err = jwt.ParseEdPrivateKeyFromPEM(raw)
	}
	if err != nil {
		return nil, fmt.Errorf("--key %q: %w: want a PEM private key for %s", file, err, j.Alg)
	}
	return key, nil
}

// appraise prints what a token is worth: its claims when it is good, else why it is refused.
func appraise(c call, cfg config.Config, v *auth.Verifier, file string) int {
	in := c.stdin
	if file != "-" {
		f, err := os.Open(file)
		if err != nil {
			return fail(c.stderr, fmt.Errorf("%w: --verify: %w", bridge.ErrConfig, err))
		}
		defer func() { _ = f.Close() }()
		in = f
	}
	raw, err := io.ReadAll(io.LimitReader(in, 4*auth.MaxTokenBytes))
	if err != nil {
		return fail(c.stderr, fmt.Errorf("%w: --verify: %w", bridge.ErrConfig, err))
	}
	revoked, err := bridge.NewRevocations(cfg)
	if err != nil && !errors.Is(err, bridge.ErrEndedUnread) {
		return fail(c.stderr, err)
	}
	if err != nil {
		_, _ = fmt.Fprintf(c.stderr, "bridged: %v\n", err)
	}
	id, err := v.Verify(strings.TrimSpace(string(raw)))
	if err == nil && revoked.Revoked(id) {
		err = fmt.Errorf("auth: %w: it is revoked, or its holder ended it", auth.ErrToken)
	}
	if err != nil {
		_, _ = fmt.Fprintln(c.stdout, err)
		return exitRefused
	}
	out := json.NewEncoder(c.stdout)
	out.SetIndent("", "  ")
	out.SetEscapeHTML(false)
	_ = out.Encode(map[string]any{
		"sub": id.Subject, "jti": id.TokenID, "tenant": id.Tenant, "expires": id.Expires.UTC(), "grants": byAction(id.Grants), "denies": byAction(id.Denies),
	})
	return exitOK
}

// byAction names the lists of an identity as claims do.
func byAction(lists auth.Lists) map[string][]string {
	out := map[string][]string{}
	for a, filters := range lists {
		out[auth.Action(a).String()] = append([]string{}, filters...)
	}
	return out
}
