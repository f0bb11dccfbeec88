package agent

import (
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"crypto/subtle"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"time"
)

// What a connection is for.
const (
	forControl byte = 'C'
	forTime    byte = 'T'
)

const (
	greeting = "PLUMBAGT"
	version  = 1
	// handshakeLimit bounds how long a stranger is listened to.
	handshakeLimit = 10 * time.Second
)

// Errors of getting in.
var (
	// ErrCertificate says that whoever listens there is not the agent with that
	// fingerprint.
	ErrCertificate = errors.New("another certificate than the one that was named")
	// ErrRefused says that the two sides do not have the same secret.
	ErrRefused = errors.New("the token is not that of the agent")
)

// prove computes what a side shows: who it is, over keying material of this
// connection.
func prove(conn *tls.Conn, secret []byte, who string, purpose byte) ([]byte, error) {
	state := conn.ConnectionState()
	material, err := state.ExportKeyingMaterial("EXPORTER-plumbline-agent", nil, sha256.Size)
	if err != nil {
		return nil, err
	}
	mac := hmac.New(sha256.New, secret)
	mac.Write([]byte(who))
	mac.Write([]byte{0, version, purpose})
	mac.Write(material)
	return mac.Sum(nil), nil
}

// accept makes a connection out of what was accepted and lets in who has the
// secret. It blocks for handshakeLimit at most. The connection is the caller's,
// also after an error.
func accept(ctx context.Context, conn *tls.Conn, secret []byte) (purpose byte, err error) {
	if err := conn.SetDeadline(time.Now().Add(handshakeLimit)); err != nil {
		return 0, err
	}
	if err := conn.HandshakeContext(ctx); err != nil {
		return 0, err
	}
	var hello [len(greeting) + 2 + sha256.Size]byte
	if _, err := io.ReadFull(conn, hello[:]); err != nil {
		return 0, err
	}
	purpose = hello[len(greeting)+1]
	theirs, err := prove(conn, secret, "harness", purpose)
	if err != nil {
		return 0, err
	}
	known := string(hello[:len(greeting)]) == greeting && hello[len(greeting)] == version && (purpose == forControl || purpose == forTime)
	if subtle.ConstantTimeCompare(theirs, hello[len(greeting)+2:]) != 1 || !known {
		_, _ = conn.Write([]byte{0}) // it is sent away either way
		return 0, ErrRefused
	}
	ours, err := prove(conn, secret, "agent", purpose)
	if err != nil {
		return 0, err
	}
	if _, err := conn.Write(append([]byte{1}, ours...)); err != nil {
		return 0, err
	}
	return purpose, conn.SetDeadline(time.Time{})
}

// connect dials the agent and proves both sides to each other. Errors wrap
// ErrCertificate or ErrRefused, or are those of the network.
func connect(ctx context.Context, to Target, secret []byte, purpose byte) (*tls.Conn, error) {
	ctx, cancel := context.WithTimeout(ctx, handshakeLimit)
	defer cancel()
	var dialer net.Dialer
	raw, err := dialer.DialContext(ctx, "tcp", to.Address)
	if err != nil {
		return nil, err
	}
	conn := tls.Client(raw, to.config())
	if err := enter(ctx, conn, secret, purpose); err != nil {
		return nil, errors.Join(err, raw.Close())
	}
	return conn, nil
}

// config trusts the one certificate that has the fingerprint, whatever it says.
func (t Target) config() *tls.Config {
	return &tls.Config{
		MinVersion:         tls.VersionTLS13,
		InsecureSkipVerify: true, //nolint:gosec // G402: VerifyConnection knows the certificate itself, which is more than a name and an authority
		VerifyConnection: func(state tls.ConnectionState) error {
			if got := Fingerprint(sha256.Sum256(state.PeerCertificates[0].Raw)); got != t.Fingerprint {
				return fmt.Errorf("%w: SHA-256 %s", ErrCertificate, got)
			}
			return nil
		},
	}
}

func enter(ctx context.Context, conn *tls.Conn, secret []byte, purpose byte) error {
	if err := conn.SetDeadline(time.Now().Add(handshakeLimit)); err != nil {
		return err
	}
	if err := conn.HandshakeContext(ctx); err != nil {
		return err
	}
	ours, err := prove(conn, secret, "harness", purpose)
	if err != nil {
		return err
	}
	if _, err := conn.Write(append([]byte(greeting+string([]byte{version, purpose})), ours...)); err != nil {
		return err
	}
	var answer [1 + sha256.Size]byte
	if _, err := io.ReadFull(conn, answer[:1]); err != nil {
		return err
	}
	if answer[0] != 1 {
		return ErrRefused
	}
	if _, err := io.ReadFull(conn, answer[1:]); err != nil {
		return err
	}
	theirs, err := prove(conn, secret, "agent", purpose)
	if err != nil {
		return err
	}
	if subtle.ConstantTimeCompare(theirs, answer[1:]) != 1 {
		return ErrRefused
	}
	return conn.SetDeadline(time.Time{})
}
