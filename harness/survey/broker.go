package survey

import (
	"bufio"
	"context"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net"
	"net/url"
	"strings"
	"time"
	"unicode"

	"plumbline/harness/mqttwire"
)

// Broker is what was found out about where devices publish.
type Broker struct {
	Reached bool
	MQTT    byte   // mqttwire.V5 or V311, whichever it takes
	Version string // as the broker tells under $SYS/broker/version
	Code    byte   // reason code of a refusal, 0 when there was none
	TLS     TLS
	Err     error // what kept the rest from being found out
}

// What one connection to a broker may take, from dialling to its last word, and
// what it may send.
const (
	brokerLimit = 5 * time.Second
	byteLimit   = 1 << 20
)

// client is one short connection.
type client struct {
	conn    net.Conn
	in      *bufio.Reader
	version byte
}

// connect says CONNECT and waits for its answer.
func connect(ctx context.Context, address *url.URL, o Options, version byte, found *Broker) (*client, error) {
	conn, err := dialBroker(ctx, address, o, &found.TLS)
	if err != nil {
		return nil, err
	}
	found.Reached = true
	_ = conn.SetDeadline(time.Now().Add(brokerLimit))
	c := &client{conn: conn, in: bufio.NewReader(conn), version: version}
	if err := c.enter(found); err != nil {
		_ = conn.Close()
		return nil, err
	}
	return c, nil
}

// enter is the first exchange of a connection.
func (c *client) enter(found *Broker) error {
	hello, err := mqttwire.Connection{
		Version: c.version, Clean: true, KeepAlive: 30, ClientID: "plumbline-init-" + strings.ToLower(rand.Text()[:8]),
	}.Packet()
	if err == nil {
		_, err = c.conn.Write(hello)
	}
	if err != nil {
		return err
	}
	packet, err := mqttwire.Read(c.in, byteLimit)
	if err != nil {
		return fmt.Errorf("no answer to CONNECT: %w", err)
	}
	if packet.Type != mqttwire.TypeConnack {
		return fmt.Errorf("the answer to CONNECT is a packet of type %d", packet.Type)
	}
	answer, err := packet.Connack(c.version)
	if err != nil {
		return err
	}
	if found.Code = answer.Code; answer.Code != 0 {
		return fmt.Errorf("the broker refuses the connection with reason code 0x%02X: %s", answer.Code, answer.Reason)
	}
	return nil
}

// close says DISCONNECT.
func (c *client) close() {
	_, _ = c.conn.Write(mqttwire.Goodbye(c.version, true))
	_ = c.conn.Close()
}

// publish sends a message with QoS 1 and waits for its acknowledgement.
func (c *client) publish(topic string, payload []byte) error {
	packet, err := mqttwire.AppendMessage(nil, c.version, mqttwire.Message{Topic: []byte(topic), Payload: payload, QoS: 1, ID: 1})
	if err == nil {
		_, err = c.conn.Write(packet)
	}
	if err != nil {
		return err
	}
	ack, err := c.await(mqttwire.TypePuback)
	if err != nil {
		return err
	}
	if _, code, err := ack.Puback(c.version); err != nil || code >= 0x80 {
		return errors.Join(err, fmt.Errorf("the broker takes no message on %q: reason code 0x%02X", topic, code))
	}
	return nil
}

// first subscribes and returns the payload of the first message that comes.
func (c *client) first(filter string, wait time.Duration) ([]byte, error) {
	packet, err := mqttwire.Subscription{Version: c.version, ID: 2, Filters: []string{filter}}.Packet()
	if err == nil {
		_, err = c.conn.Write(packet)
	}
	if err != nil {
		return nil, err
	}
	_ = c.conn.SetDeadline(time.Now().Add(wait))
	answer, err := c.await(mqttwire.TypePublish)
	if err != nil {
		return nil, err
	}
	m, err := answer.Message(c.version, 0)
	return m.Payload, err
}

// await reads packets until one of the type comes; at most 1000 of them.
func (c *client) await(kind byte) (p mqttwire.Packet, err error) {
	for range 1000 {
		if p, err = mqttwire.Read(c.in, byteLimit); err != nil || p.Type == kind {
			return p, err
		}
	}
	return p, errors.New("the broker sends everything but an answer")
}

func dialBroker(ctx context.Context, address *url.URL, o Options, found *TLS) (net.Conn, error) {
	ctx, cancel := context.WithTimeout(ctx, brokerLimit)
	defer cancel()
	port := "1883"
	if address.Scheme == "mqtts" {
		port = "8883"
	}
	if address.Port() != "" {
		port = address.Port()
	}
	conn, err := (&net.Dialer{}).DialContext(ctx, "tcp", net.JoinHostPort(address.Hostname(), port))
	if err != nil || address.Scheme != "mqtts" {
		return conn, err
	}
	config := o.look(address.Hostname(), found)
	secure := tls.Client(conn, config)
	if err := secure.HandshakeContext(ctx); err != nil {
		_ = conn.Close()
		return nil, err
	}
	return secure, nil
}

// surveyBroker finds out what it can without credentials: MQTT 5 first, and
// MQTT 3.1.1 where that is not spoken.
func surveyBroker(ctx context.Context, o Options) (found Broker) {
	address, err := url.Parse(o.Broker)
	if err != nil {
		found.Err = err
		return found
	}
	c, err := connect(ctx, address, o, mqttwire.V5, &found)
	if found.MQTT = mqttwire.V5; err != nil && found.Reached && (found.Code == 0 || found.Code == 1 || found.Code == 0x84) {
		// A broker of 3.1.1 answers 1 (section 3.2.2.3) or hangs up, one of 5 that
		// does not like the version 0x84.
		older := Broker{MQTT: mqttwire.V311}
		if other, failed := connect(ctx, address, o, mqttwire.V311, &older); failed == nil || older.Code > 1 {
			c, err, found = other, failed, older
		}
	}
	if err != nil {
		found.Err = err
		return found
	}
	defer c.close()
	unwatch := context.AfterFunc(ctx, func() { _ = c.conn.Close() })
	defer unwatch()
	if payload, err := c.first("$SYS/broker/version", time.Second); err == nil {
		found.Version = printable(string(payload))
	}
	return found
}

// TLS is what a handshake showed.
type TLS struct {
	Version uint16 // 0 when there was none
	Issuer  string // of the certificate that was shown
	Trusted bool   // it was verified against the authorities of Options
	Why     string // why it was not
}

// look returns settings that take any certificate and say in found what there
// is to say about it. Nothing secret is ever sent while looking.
func (o Options) look(host string, found *TLS) *tls.Config {
	return &tls.Config{
		MinVersion: tls.VersionTLS12, ServerName: host, InsecureSkipVerify: true, //nolint:gosec // it is verified here
		VerifyConnection: func(state tls.ConnectionState) error {
			if len(state.PeerCertificates) == 0 {
				return nil
			}
			seen := TLS{Version: state.Version, Issuer: printable(state.PeerCertificates[0].Issuer.String())}
			chain := x509.NewCertPool()
			for _, c := range state.PeerCertificates[1:] {
				chain.AddCert(c)
			}
			_, err := state.PeerCertificates[0].Verify(x509.VerifyOptions{DNSName: host, Roots: o.Authorities, Intermediates: chain})
			if seen.Trusted = err == nil; err != nil {
				seen.Why = printable(err.Error())
			}
			*found = seen
			return nil
		},
	}
}

// printable keeps what others sent from steering a terminal or a file.
func printable(text string) string {
	text = strings.Map(func(r rune) rune {
		if !unicode.IsPrint(r) {
			return -1
		}
		return r
	}, text)
	if len(text) > 200 {
		text = strings.ToValidUTF8(text[:200], "") + "…"
	}
	return text
}
