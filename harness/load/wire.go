package load

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"net/url"
	"strconv"

	"plumbline/harness/mqttwire"
)

// SeqProperty is the MQTT 5 user property that numbers the messages of one
// client from 1, so that a bridge can tell a retransmission from a new message.
const SeqProperty = "plumbline-seq"

// frame returns the bytes of one PUBLISH.
func (p *Publisher) frame(m *pending) ([]byte, error) {
	out := mqttwire.Message{Topic: []byte(m.Topic), Payload: m.Payload, QoS: m.QoS, Retain: m.Retain, ID: m.id, Dup: m.dup, Extra: m.Properties}
	if m.seq > 0 {
		out.User = [2]string{SeqProperty, strconv.FormatUint(m.seq, 10)}
	}
	return mqttwire.AppendMessage(make([]byte, 0, len(m.Topic)+len(m.Payload)+64), p.version, out)
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

// packetLimit bounds what a broker may send to a publisher: acknowledgements.
const packetLimit = 1 << 20

// greet sends CONNECT and reads CONNACK. Receive Maximum is not sent: nothing
// is received but acknowledgements, and some brokers mistake it for their own
// limit.
func (p *Publisher) greet(conn net.Conn, cleanStart bool) (answer mqttwire.Answer, err error) {
	cfg := &p.cfg
	hello, err := mqttwire.Connection{
		Version: p.version, ClientID: cfg.ClientID, KeepAlive: keepAlive, Clean: cleanStart, Expiry: sessionExpiry,
		Username: cfg.Username, Password: cfg.Password,
		Will: cfg.Will,
	}.Packet()
	if err != nil {
		return answer, fmt.Errorf("load: encode CONNECT of %q: %w", cfg.ClientID, err)
	}
	if _, err := conn.Write(hello); err != nil {
		return answer, fmt.Errorf("load: send CONNECT of %q: %w", cfg.ClientID, err)
	}
	packet, err := mqttwire.Read(mqttwire.Unbuffered(conn), packetLimit)
	if err != nil {
		return answer, fmt.Errorf("load: read CONNACK for %q: %w", cfg.ClientID, err)
	}
	if packet.Type != mqttwire.TypeConnack {
		return answer, fmt.Errorf("load: broker answered CONNECT of %q with a packet of type %d", cfg.ClientID, packet.Type)
	}
	if answer, err = packet.Connack(p.version); err != nil {
		return answer, fmt.Errorf("load: CONNACK for %q: %w", cfg.ClientID, err)
	}
	if answer.Code != 0 {
		return answer, fmt.Errorf("load: broker refused %q: reason 0x%02x %s; check user name, password, client id and MQTT version",
			cfg.ClientID, answer.Code, answer.Reason)
	}
	return answer, nil
}
