package bridge

import (
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"

	"plumbline/bridge/auth"
	"plumbline/bridge/certificate"
	"plumbline/bridge/config"
	"plumbline/bridge/ingest"
)

// SecretFile returns the file that holds the secret which signs tokens: the one configured, or the one that the bridge makes in
// its data folder at its first start.
func SecretFile(c Config) string {
	if needsSecret(c) {
		return filepath.Join(c.Data, "jwt.key")
	}
	return c.Auth.JWT.SecretFile
}

// needsSecret reports whether the bridge has to make a secret of its own.
func needsSecret(c Config) bool {
	j := c.Auth.JWT
	return j.SecretFile == "" && j.PublicKeyFile == "" && !j.KeySet()
}

// NewVerifier returns the check of tokens that the bridge with this configuration makes. It changes nothing: where the secret is
// yet to be made by the bridge's first start, that is an error. A key set is read once, also over the network. Errors wrap
// ErrConfig.
func NewVerifier(c Config) (*auth.Verifier, error) {
	v, _, err := newVerifier(c, auth.KeysOptions{Log: slog.New(slog.DiscardHandler)})
	return v, err
}

// newVerifier makes the check, and the key set that it asks, nil when there is one key only. Of o everything but the source is
// to be given.
func newVerifier(c Config, o auth.KeysOptions) (v *auth.Verifier, keys *auth.Keys, err error) {
	j := c.Auth.JWT
	opts := auth.Options{
		Alg: j.Alg, Issuer: j.Issuer, Audience: j.Audience, SubjectClaim: j.SubjectClaim, GrantsClaim: j.GrantsClaim,
		TenantClaim: j.TenantClaim, TenantPrefix: c.Auth.TenantPrefix, Leeway: j.Leeway.D(), Now: o.Now,
	}
	if j.KeySet() {
		o.File, o.URL, o.CA, o.Refresh = j.KeySetFile, j.KeySetURL, j.KeySetCA, j.KeySetRefresh.D()
		keys, err = auth.NewKeys(o)
		opts.Keys = keys
	} else {
		opts.Key, err = auth.LoadKey(j.Alg, SecretFile(c), j.PublicKeyFile)
	}
	if err != nil && needsSecret(c) && errors.Is(err, os.ErrNotExist) {
		return nil, nil, fmt.Errorf("%w: auth.jwt.secretFile is empty, and the bridge has not run yet, which makes %s: start it once, or name a secret", ErrConfig, SecretFile(c))
	}
	if err != nil {
		return nil, nil, fmt.Errorf("%w: %w", ErrConfig, err)
	}
	if v, err = auth.NewVerifier(opts); err != nil {
		return nil, nil, fmt.Errorf("%w: %w", ErrConfig, err)
	}
	return v, keys, nil
}

// Check validates the configuration and reads the files that it names, keys, certificates, users and revocations, as New does,
// but makes, binds and changes nothing, and asks nobody over the network. The error wraps ErrConfig and holds all that was found.
func Check(c Config) error {
	if err := c.Validate(); err != nil {
		return err
	}
	var bad []error
	if _, err := os.Stat(SecretFile(c)); c.Auth.JWT.KeySetURL == "" && (!needsSecret(c) || err == nil) {
		_, err := NewVerifier(c)
		bad = append(bad, err)
	}
	if _, err := auth.NewRevocations(c.Auth.RevocationFile, slog.New(slog.DiscardHandler)); err != nil {
		bad = append(bad, fmt.Errorf("%w: %w", ErrConfig, err))
	}
	if c.MQTT.UsersFile != "" {
		if _, err := ingest.LoadUsers(c.MQTT.UsersFile); err != nil {
			bad = append(bad, fmt.Errorf("%w: %w", ErrConfig, err))
		}
	}
	bad = append(bad, checkPair("viewers.tls", c.Viewers.TLS), checkPair("mqtt.tls", c.MQTT.TLS.Pair()), checkPair("ops.tls", c.Ops.TLS))
	for _, e := range c.External {
		bad = append(bad, checkExternal(e))
	}
	return errors.Join(bad...)
}

// checkExternal reads the files of one external broker, which the bridge itself reads at each connection.
func checkExternal(e config.External) error {
	var bad []error
	for key, path := range map[string]string{"credentialsFile": e.CredentialsFile, "tls.ca": e.TLS.CA} {
		if path == "" {
			continue
		}
		if _, err := os.ReadFile(path); err != nil {
			bad = append(bad, fmt.Errorf("%w: external.%s.%s: %w", ErrConfig, e.Name, key, err))
		}
	}
	bad = append(bad, checkPair("external."+e.Name+".tls", config.TLS{Cert: e.TLS.Cert, Key: e.TLS.Key}))
	return errors.Join(bad...)
}

// checkPair looks over a certificate and its key as a listener does before it takes them.
func checkPair(key string, t config.TLS) error {
	if t.Cert == "" {
		return nil
	}
	if _, err := certificate.New(certificate.Options{Key: key, Read: certificate.Files(t.Cert, t.Key), Log: slog.New(slog.DiscardHandler)}); err != nil {
		return fmt.Errorf("%w: %w", ErrConfig, err)
	}
	return nil
}
