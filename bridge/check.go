package bridge

import (
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"

	"plumbline/bridge/auth"
	"plumbline/bridge/certificate"
	"plumbline/bridge/config"
	"plumbline/bridge/history/influx"
	"plumbline/bridge/history/postgres"
	"plumbline/bridge/ingest"
	"plumbline/bridge/ingest/external"
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

// endedFile holds the tokens that their holders ended, in the data folder.
const endedFile = "ended.tokens"

// ErrEndedUnread says that who asks is not the bridge's user, who alone may read what holders ended.
var ErrEndedUnread = errors.New("tokens that their holders ended were not looked at")

// NewRevocations returns what the bridge with this configuration knows of tokens that count no more: the list that the operator
// keeps, and what holders ended. It changes nothing. Errors wrap ErrConfig, or ErrEndedUnread, beside which comes the list alone.
func NewRevocations(c Config) (*auth.Revocations, error) {
	r, err := auth.NewRevocations(c.Auth.RevocationFile, c.Auth.TenantPrefix, slog.New(slog.DiscardHandler))
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrConfig, err)
	}
	switch err := r.ReadEnded(filepath.Join(c.Data, endedFile)); {
	case errors.Is(err, fs.ErrPermission):
		return r, fmt.Errorf("%w: %w", ErrEndedUnread, err)
	case err != nil:
		return nil, fmt.Errorf("%w: %w", ErrConfig, err)
	}
	return r, nil
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

// Check validates the configuration and reads the files that it names, keys, certificates, users, revocations and credentials,
// as the bridge with it would, but makes, binds and changes nothing, and asks nobody over the network. The error wraps ErrConfig
// and holds all that was found.
func Check(c Config) error {
	if err := c.Validate(); err != nil {
		return err
	}
	var bad []error
	add := func(err error) {
		if err != nil && !errors.Is(err, ErrConfig) {
			err = fmt.Errorf("%w: %w", ErrConfig, err)
		}
		bad = append(bad, err)
	}
	add(checkKeys(c))
	_, err := auth.NewRevocations(c.Auth.RevocationFile, c.Auth.TenantPrefix, slog.New(slog.DiscardHandler))
	add(err)
	add(checkPair("viewers.tls", c.Viewers.TLS))
	add(checkPair("ops.tls", c.Ops.TLS))
	if c.MQTT.Embedded() {
		add(checkPair("mqtt.tls", c.MQTT.TLS.Pair()))
		_, err := clientCertificates(c.MQTT.TLS)
		add(err)
		if c.MQTT.UsersFile != "" {
			_, err := ingest.LoadUsers(c.MQTT.UsersFile)
			add(err)
		}
	}
	for _, e := range c.External {
		add(external.Check((&Bridge{cfg: c}).externalOptions(e)))
	}
	add(checkHistory(c.History))
	add(checkRelay(c))
	return errors.Join(bad...)
}

// checkKeys reads what tokens are checked with. The secret that the first start will make cannot be read yet.
func checkKeys(c Config) error {
	if c.Auth.JWT.KeySetURL != "" {
		if c.Auth.JWT.KeySetCA == "" {
			return nil
		}
		_, err := certificate.Authorities(c.Auth.JWT.KeySetCA)
		if err != nil {
			return fmt.Errorf("auth.jwt.keySetCA: %w", err)
		}
		return nil
	}
	if needsSecret(c) && unmade(SecretFile(c)) {
		return nil
	}
	_, err := NewVerifier(c)
	return err
}

// unmade reports whether the start will make the secret: it is missing, or empty as a crash may leave it.
func unmade(secret string) bool {
	info, err := os.Stat(secret)
	return errors.Is(err, os.ErrNotExist) || err == nil && info.Mode().IsRegular() && info.Size() == 0
}

// checkHistory reads how the store is to be reached.
func checkHistory(c config.History) error {
	var err error
	switch c.Store {
	case "postgres":
		err = postgres.Check(postgresOptions(c))
	case "influx":
		err = influx.Check(influxOptions(c))
	}
	if err != nil {
		return fmt.Errorf("history.%s: %w", c.Store, err)
	}
	return nil
}

// checkPair looks over a certificate and its key as a listener does before it takes them.
func checkPair(key string, t config.TLS) error {
	if t.Cert == "" {
		return nil
	}
	_, err := certificate.New(certificate.Options{Key: key, Read: certificate.Files(t.Cert, t.Key), Log: slog.New(slog.DiscardHandler)})
	return err
}
