package mqttdev

import (
	"context"
	"errors"
	"fmt"
	"net/url"
	"time"

	"github.com/eclipse/paho.golang/autopaho"
	"github.com/eclipse/paho.golang/paho"
)

// sessionExpiry is how long a broker keeps a session that outlives its
// connection, in seconds (MQTT 5 section 3.1.2.11.2).
const sessionExpiry = 3600

// newer speaks MQTT 5 through eclipse/paho.golang and its reconnecting autopaho.
// Handlers of that library run on its reading goroutine, where a slow one stalls
// the keep-alive. Handlers added later are lost at a reconnect; so ours is
// registered in the configuration.
type newer struct {
	manage      *autopaho.ConnectionManager
	cancel      context.CancelFunc
	asPublished bool
}

func newNewer(cfg linkConfig) (*newer, error) {
	bare := *cfg.broker // the library prints the URL in its errors
	bare.User, bare.RawQuery = nil, ""
	c := autopaho.ClientConfig{
		ServerUrls: []*url.URL{&bare}, TlsCfg: cfg.tls, KeepAlive: uint16(keepAlive.Seconds()),
		ConnectUsername: cfg.username, ConnectPassword: cfg.password, ConnectTimeout: connectLimit,
		ReconnectBackoff: func(attempt int) time.Duration {
			if attempt == 0 {
				return 0
			}
			return cfg.retry
		},
		OnConnectionUp:   func(_ *autopaho.ConnectionManager, ack *paho.Connack) { cfg.up(ack.SessionPresent) },
		OnConnectionDown: func() bool { cfg.down(); return true },
		OnConnectError:   cfg.failed,
	}
	c.ClientID = cfg.clientID
	if cfg.keep {
		c.SessionExpiryInterval = sessionExpiry
	} else {
		c.CleanStartOnInitialConnection = true
	}
	if cfg.receive != nil {
		c.OnPublishReceived = []func(paho.PublishReceived) (bool, error){func(p paho.PublishReceived) (bool, error) {
			cfg.receive(message{topic: p.Packet.Topic, payload: p.Packet.Payload, qos: p.Packet.QoS, retain: p.Packet.Retain})
			return true, nil
		}}
	}
	if w := cfg.will; w != nil {
		c.WillMessage = &paho.WillMessage{Topic: w.topic, Payload: w.payload, QoS: w.qos, Retain: w.retain}
		// 0x04: disconnect and publish the will [MQTT-3.1.2-8].
		c.DisconnectPacketBuilder = func() *paho.Disconnect { return &paho.Disconnect{ReasonCode: 4} }
	}
	ctx, cancel := context.WithCancel(context.Background())
	manage, err := autopaho.NewConnection(ctx, c)
	if err != nil {
		cancel()
		return nil, err
	}
	return &newer{manage: manage, cancel: cancel, asPublished: cfg.asPublished}, nil
}

func (n *newer) subscribe(ctx context.Context, filter string, qos byte) error {
	_, err := n.manage.Subscribe(ctx, &paho.Subscribe{Subscriptions: []paho.SubscribeOptions{{
		Topic: filter, QoS: qos, RetainAsPublished: n.asPublished, RetainHandling: 1, // retained ones for a new subscription only
	}}})
	return down(err)
}

func (n *newer) publish(ctx context.Context, m message) error {
	answer, err := n.manage.Publish(ctx, &paho.Publish{Topic: m.topic, QoS: m.qos, Retain: m.retain, Payload: m.payload})
	switch {
	case answer != nil && answer.ReasonCode >= 0x80: // MQTT 5 section 2.4; of a PUBREC the library makes no error
		return fmt.Errorf("the broker refuses the message: reason 0x%02X", answer.ReasonCode)
	case err == nil || answer != nil || ctx.Err() != nil || errors.Is(err, paho.ErrInvalidArguments):
		return err
	}
	// The rest is the network's, with many names: no connection, none any more in the
	// session, a write that failed, an end before the answer, no answer in time.
	return fmt.Errorf("%w: %w", errDown, err)
}

// down puts our own error in the place of the library's.
func down(err error) error {
	if errors.Is(err, autopaho.ConnectionDownError) {
		return errDown
	}
	return err
}

func (n *newer) close() {
	n.cancel()
	<-n.manage.Done()
}
