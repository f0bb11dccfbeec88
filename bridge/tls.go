package bridge

import (
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"path/filepath"
	"time"

	"plumbline/bridge/certificate"
	"plumbline/bridge/config"
	"plumbline/bridge/devca"
)

// devCheck is how often the development certificate is looked at: it is made anew a month before its end.
const devCheck = time.Hour

// tlsSettings are those of the listeners; nil = without TLS.
type tlsSettings struct{ viewers, mqtt, ops *tls.Config }

// certificates reads the certificates of all listeners and keeps them in b.certs, to be followed.
func (b *Bridge) certificates() (tlsSettings, error) {
	var out tlsSettings
	var err error
	if !b.cfg.Viewers.Plaintext {
		o := certificate.Options{Key: "viewers.tls", Taken: func(leaf *x509.Certificate) { b.m.CertNotAfter.Set(float64(leaf.NotAfter.Unix())) }}
		if t := b.cfg.Viewers.TLS; t.Cert != "" {
			o.Read = certificate.Files(t.Cert, t.Key)
		} else {
			if _, err := devca.Ensure(b.file("tls"), time.Now()); err != nil {
				return out, fmt.Errorf("%w: %w", ErrUnavailable, err)
			}
			o.Read, o.Every = b.development, devCheck
		}
		if out.viewers, err = b.follow(o); err != nil {
			return out, err
		}
		b.viewerCert = b.certs[len(b.certs)-1]
		out.viewers.NextProtos = []string{"http/1.1"} // WebSocket over HTTP/2 (RFC 8441) is not spoken here
		if b.cfg.Viewers.HTTP2 {
			out.viewers.NextProtos = []string{"h2", "http/1.1"} // clients of WebSockets offer the second only (RFC 6455 section 4.1)
		}
	}
	if t := b.cfg.MQTT.TLS.Pair(); t.Cert != "" && b.cfg.MQTT.Embedded() {
		if out.mqtt, err = b.followPair("mqtt.tls", t); err != nil {
			return out, err
		}
	}
	if t := b.cfg.Ops.TLS; t.Cert != "" && b.cfg.Ops.Listen != "" {
		if out.ops, err = b.followPair("ops.tls", t); err != nil {
			return out, err
		}
	}
	return out, nil
}

// development reads the development certificate, made anew when it is due.
func (b *Bridge) development() (certPEM, keyPEM []byte, err error) {
	dir := b.file("tls")
	if _, err := devca.Ensure(dir, time.Now()); err != nil {
		return nil, nil, err
	}
	return certificate.Files(filepath.Join(dir, devca.ServerFile), filepath.Join(dir, devca.ServerKeyFile))()
}

func (b *Bridge) followPair(key string, t config.TLS) (*tls.Config, error) {
	return b.follow(certificate.Options{Key: key, Read: certificate.Files(t.Cert, t.Key)})
}

// follow makes the settings of a listener whose certificate is o's from now on.
func (b *Bridge) follow(o certificate.Options) (*tls.Config, error) {
	o.Log, o.Failed = b.log, b.m.CertFailures.Inc
	s, err := certificate.New(o)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrConfig, err)
	}
	b.certs = append(b.certs, s)
	return serverTLS(s), nil
}

// serverTLS allows TLS 1.2 and 1.3. Of TLS 1.2 it takes the suites with forward secrecy and authenticated encryption only
// (RFC 9325 section 4.2); those of 1.3 are all of that kind.
func serverTLS(s *certificate.Source) *tls.Config {
	return &tls.Config{
		MinVersion:     tls.VersionTLS12,
		GetCertificate: s.Get,
		CipherSuites: []uint16{
			tls.TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256, tls.TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256,
			tls.TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384, tls.TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384,
			tls.TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256, tls.TLS_ECDHE_RSA_WITH_CHACHA20_POLY1305_SHA256,
		},
	}
}

// Reload looks at once for new certificates, token keys, and MQTT users and revoked certificates, which are otherwise seen when their
// time comes: what SIGHUP asks for. Certificates and token keys are in force or refused when it returns, within auth.FetchTimeout;
// MQTT users and revoked certificates half a second later while it runs, since a file that is being written is not to be taken half.
// The log says which. Safe for concurrent use, while running or not.
func (b *Bridge) Reload() {
	for _, s := range b.certs {
		s.Reload()
	}
	if b.keys != nil {
		b.keys.Reload()
	}
	if b.broker != nil {
		b.broker.Reload()
	}
}

// alarms says what an operator must mend while the bridge goes on serving.
func (b *Bridge) alarms() []string {
	var all []string
	for _, s := range b.certs {
		if err := s.Err(); err != nil {
			all = append(all, err.Error())
		}
	}
	if b.relay != nil {
		all = append(all, b.relay.Alarms()...)
	}
	return all
}
