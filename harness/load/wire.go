package load

import (
	"bytes"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"net/url"
	"strconv"

	"github.com/eclipse/paho.golang/packets"
)

// SeqProperty is the MQTT 5 user property that numbers the messages of one
// client from 1, so that a bridge can tell a retransmission from a new message.
const SeqProperty = "plumbline-seq"

// frame returns the bytes of one PUBLISH.
func frame(m *Message, id uint16, seq uint64, dup bool) ([]byte, error) {
	p := packets.Publish{
		Topic: m.Topic, Payload: m.Payload, QoS: m.QoS, Retain: m.Retain,
		PacketID: id, Duplicate: dup, Properties: &packets.Properties{},
	}
	if seq > 0 {
		p.Properties.User = []packets.User{{Key: SeqProperty, Value: strconv.FormatUint(seq, 10)}}
	}
	var b bytes.Buffer
	b.Grow(len(m.Topic) + len(m.Payload) + 64)
	if _, err := p.WriteTo(&b); err != nil {
		return nil, err
	}
	return b.Bytes(), nil
}

// dialBroker opens the transport that the scheme of the address names.
func dialBroker(ctx context.Context, cfg *PublisherConfig) (net.Conn, error) {
	address, secure, err := brokerAddress(cfg.Broker)
	if err != nil {
		return nil, err
	}
	dial := cfg.Dial
	if dial == nil {
		var d net.Dialer
		dial = d.DialContext
	}
	conn, err := dial(ctx, "tcp", address)
	if err != nil {
		return nil, fmt.Errorf("load: connect to broker %q: %w", address, err)
	}
	if !secure {
		return conn, nil
	}
	config := &tls.Config{MinVersion: tls.VersionTLS12}
	if cfg.TLS != nil {
		config = cfg.TLS.Clone()
	}
	if config.ServerName == "" {
		config.ServerName = cfg.Broker.Hostname()
	}
	secured := tls.Client(conn, config)
	if err := secured.HandshakeContext(ctx); err != nil {
		return nil, errors.Join(fmt.Errorf("load: TLS with broker %q: %w", address, err), conn.Close())
	}
	return secured, nil
}

// brokerAddress reads host and port of a broker address.
func brokerAddress(u *url.URL) (address string, secure bool, err error) {
	var port string
	switch u.Scheme {
	case "mqtt", "tcp":
		port = "1883"
	case "mqtts", "ssl", "tls":
		port, secure = "8883", true
	default:
		return "", false, fmt.Errorf("load: broker %q: scheme %q is not one of mqtt, mqtts", u.Redacted(), u.Scheme)
	}
	if u.Port() != "" {
		port = u.Port()
	}
	if u.Hostname() == "" {
		return "", false, fmt.Errorf("load: broker %q names no host; write mqtt://host:port", u.Redacted())
	}
	return net.JoinHostPort(u.Hostname(), port), secure, nil
}

// sessionExpiry is how long the broker keeps the session of a publisher that
// lost its connection, in seconds.
const sessionExpiry uint32 = 600

// keepAlive is the MQTT keep alive interval in seconds; pings go out at half.
const keepAlive uint16 = 20

// greet sends CONNECT and reads CONNACK. Receive Maximum is not sent: nothing
// is received but acknowledgements, and some brokers mistake it for their own
// limit.
func greet(conn net.Conn, cfg *PublisherConfig, cleanStart bool) (*packets.Connack, error) {
	expiry := sessionExpiry
	c := packets.Connect{
		ProtocolName: "MQTT", ProtocolVersion: 5, ClientID: cfg.ClientID, KeepAlive: keepAlive, CleanStart: cleanStart,
		Properties:   &packets.Properties{SessionExpiryInterval: &expiry},
		UsernameFlag: cfg.Username != "", Username: cfg.Username,
		PasswordFlag: cfg.Password != "", Password: []byte(cfg.Password),
	}
	var b bytes.Buffer
	if _, err := c.WriteTo(&b); err != nil {
		return nil, fmt.Errorf("load: encode CONNECT: %w", err)
	}
	if _, err := conn.Write(b.Bytes()); err != nil {
		return nil, fmt.Errorf("load: send CONNECT of %q: %w", cfg.ClientID, err)
	}
	answer, err := packets.ReadPacket(conn)
	if err != nil {
		return nil, fmt.Errorf("load: read CONNACK for %q: %w", cfg.ClientID, err)
	}
	ack, ok := answer.Content.(*packets.Connack)
	if !ok {
		return nil, fmt.Errorf("load: broker answered CONNECT of %q with %s", cfg.ClientID, answer.PacketType())
	}
	if ack.ReasonCode >= packets.ConnackUnspecifiedError {
		return nil, fmt.Errorf("load: broker refused %q: reason 0x%02x %s; check user name, password and client id",
			cfg.ClientID, ack.ReasonCode, ack.Properties.ReasonString)
	}
	return ack, nil
}
