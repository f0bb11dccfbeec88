package external

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"os"
	"strings"
	"time"

	"github.com/eclipse/paho.golang/packets"

	"plumbline/bridge/certificate"
)

// silenceFactor is how many keepalive intervals without a packet mean that the broker is dead, as it judges us [MQTT-3.1.2-22].
const silenceFactor = 1.5

// handshake is what CONNECT asks for.
type handshake struct {
	clientID   string
	cleanStart bool
	properties packets.Properties
}

// dial connects to the broker and exchanges CONNECT and CONNACK within ConnectTimeout. The link lives until its close, or
// until ctx ends.
func (s *Source) dial(ctx context.Context, h handshake) (*link, *packets.Connack, error) {
	short, cancel := context.WithTimeout(ctx, s.opts.ConnectTimeout)
	defer cancel()
	conn, err := s.open(short)
	if err != nil {
		return nil, nil, s.explain("network", err)
	}
	l := newLink(ctx, conn, s.opts.MaxPacketBytes, 2*s.opts.ConnectTimeout) // giveUp comes first
	giveUp := context.AfterFunc(short, func() { _ = conn.Close() })
	ack, err := s.greet(l, h)
	if !giveUp() && err == nil {
		err = short.Err()
	}
	if err != nil {
		l.close()
		if short.Err() != nil && ctx.Err() == nil {
			err = fmt.Errorf("no CONNACK within %s: is this an MQTT port, and has it TLS?", s.opts.ConnectTimeout)
		}
		return nil, nil, s.explain("connect", err)
	}
	keepalive := s.opts.Keepalive
	if k := ack.Properties.ServerKeepAlive; k != nil && *k > 0 { // [MQTT-3.1.2-21]; to ping more often is allowed and finds a dead broker sooner
		keepalive = min(keepalive, time.Duration(*k)*time.Second)
	}
	l.silence = time.Duration(silenceFactor * float64(keepalive))
	l.keepAlive(keepalive)
	return l, ack, nil
}

// open makes the TCP connection and, when asked for, TLS over it. There is no way from mqtts:// to plaintext.
func (s *Source) open(ctx context.Context) (net.Conn, error) {
	d := &net.Dialer{KeepAlive: 15 * time.Second}
	if !s.opts.TLS {
		return d.DialContext(ctx, "tcp", s.opts.Address)
	}
	conf, err := s.tlsConfig()
	if err != nil {
		return nil, err
	}
	plain, err := d.DialContext(ctx, "tcp", s.opts.Address)
	if err != nil {
		return nil, err
	}
	conn := tls.Client(plain, conf)
	if err := conn.HandshakeContext(ctx); err != nil {
		_ = plain.Close()
		return nil, tlsError{err}
	}
	return conn, nil
}

// tlsError is a TLS handshake that failed.
type tlsError struct{ error }

// Unwrap gives the cause.
func (e tlsError) Unwrap() error { return e.error }

// tlsConfig reads the certificates anew, so that renewed ones need no restart.
func (s *Source) tlsConfig() (*tls.Config, error) {
	host, _, err := net.SplitHostPort(s.opts.Address)
	if err != nil {
		return nil, err
	}
	var bad []error
	conf := &tls.Config{MinVersion: tls.VersionTLS12, ServerName: host, Time: s.opts.Now}
	if s.opts.ServerName != "" {
		conf.ServerName = s.opts.ServerName
	}
	if s.opts.CAFile != "" {
		if conf.RootCAs, err = certificate.Authorities(s.opts.CAFile); err != nil {
			bad = append(bad, fmt.Errorf("%s.tls.ca: %w", s.key(), err))
		}
	}
	if s.opts.CertFile != "" {
		cert, err := tls.LoadX509KeyPair(s.opts.CertFile, s.opts.KeyFile)
		if err != nil {
			bad = append(bad, fmt.Errorf("%s.tls: %w", s.key(), err))
		}
		conf.Certificates = []tls.Certificate{cert}
	}
	return conf, errors.Join(bad...)
}

// maxCredentialBytes bounds the credentials file.
const maxCredentialBytes = 64 << 10

// credentials reads user and password, the first two lines of the file; both empty without file.
func (s *Source) credentials() (user string, password []byte, err error) {
	if s.opts.CredentialsFile == "" {
		return "", nil, nil
	}
	raw, err := os.ReadFile(s.opts.CredentialsFile)
	if err != nil {
		return "", nil, fmt.Errorf("%s.credentialsFile: %w", s.key(), err)
	}
	user, rest, _ := strings.Cut(strings.ReplaceAll(string(raw), "\r\n", "\n"), "\n")
	pass, rest, _ := strings.Cut(rest, "\n")
	if user == "" || strings.TrimSpace(rest) != "" || len(raw) > maxCredentialBytes {
		return "", nil, fmt.Errorf("%s.credentialsFile: %q: want two lines, the user and the password", s.key(), s.opts.CredentialsFile)
	}
	return user, []byte(pass), nil
}

// greet exchanges CONNECT and CONNACK.
func (s *Source) greet(l *link, h handshake) (*packets.Connack, error) {
	user, password, err := s.credentials()
	if err != nil {
		return nil, err
	}
	seconds := uint16(s.opts.Keepalive / time.Second)
	c := packets.Connect{
		ProtocolName: "MQTT", ProtocolVersion: 5, ClientID: h.clientID, CleanStart: h.cleanStart, KeepAlive: seconds, Properties: &h.properties,
		Username: user, UsernameFlag: user != "", Password: password, PasswordFlag: len(password) > 0,
	}
	if err := l.send(&c); err != nil {
		return nil, err
	}
	p, err := l.read()
	if err != nil {
		return nil, err
	}
	ack, ok := p.Content.(*packets.Connack)
	switch {
	case !ok:
		return nil, malformed("the answer is not MQTT: %s came where CONNACK was due; is this a TLS port? then use mqtts://", p.PacketType())
	case ack.ReasonCode != packets.ConnackSuccess:
		return nil, refusal{ack.ReasonCode, ack.Properties.ReasonString}
	case ack.SessionPresent && h.cleanStart:
		return nil, protocolError{packets.DisconnectProtocolError, "a session was present after a clean start [MQTT-3.2.2-2]"}
	}
	return ack, nil
}

// refusal is a CONNACK that says no.
type refusal struct {
	code   byte
	reason string // the broker's own words, perhaps none
}

// Error implements error.
func (r refusal) Error() string {
	text := map[byte]string{
		packets.ConnackUnsupportedProtocolVersion: "it does not speak MQTT 5: update it, or switch MQTT 5 on there",
		packets.ConnackInvalidClientID:            "it does not accept the client id: give it another with clientId",
		packets.ConnackBadUsernameOrPassword:      "bad user or password: mend credentialsFile",
		packets.ConnackNotAuthorized:              "not authorized: give the user its rights at the broker, or mend credentialsFile",
		packets.ConnackUseAnotherServer:           "it says: use another server; the bridge follows no such hint, change url",
		packets.ConnackServerMoved:                "it says: server moved; the bridge follows no such hint, change url",
	}[r.code]
	if text == "" {
		text = (&packets.Connack{ReasonCode: r.code}).Reason()
	}
	return fmt.Sprintf("refused with reason code 0x%02X: %s%s", r.code, text, quoted(r.reason))
}

// quoted appends a broker's own words, bounded and harmless in a log.
func quoted(reason string) string {
	if reason == "" {
		return ""
	}
	return fmt.Sprintf(" (it says %.200q)", reason)
}
