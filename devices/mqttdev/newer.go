package mqttdev

import (
	"context"
	"errors"
	"fmt"
	"net/url"
	"sync"
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

	mu    sync.Mutex
	alive context.Context // ends with the connection that is up; owned by mu
	lose  context.CancelFunc
}

// turn begins the life of a connection, or ends it.
func (n *newer) turn(up bool) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.lose()
	if up {
		n.alive, n.lose = context.WithCancel(context.Background())
	}
}

// connection returns what ends with the connection that is up; it has ended where
// there is none.
func (n *newer) connection() context.Context {
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.alive
}

func newNewer(cfg linkConfig) (*newer, error) {
	bare := *cfg.broker // the library prints the URL in its errors
	bare.User, bare.RawQuery = nil, ""
	n := &newer{asPublished: cfg.asPublished}
	n.alive, n.lose = context.WithCancel(context.Background())
	n.lose() // until the first
	c := autopaho.ClientConfig{
		ServerUrls: []*url.URL{&bare}, TlsCfg: cfg.tls, KeepAlive: uint16(keepAlive.Seconds()),
		ConnectUsername: cfg.username, ConnectPassword: cfg.password, ConnectTimeout: connectLimit,
		ReconnectBackoff: func(attempt int) time.Duration {
			if attempt == 0 {
				return 0
			}
			return cfg.retry
		},
		OnConnectionUp: func(_ *autopaho.ConnectionManager, ack *paho.Connack) {
			n.turn(true)
			cfg.up(ack.SessionPresent)
		},
		OnConnectionDown: func() bool {
			n.turn(false)
			cfg.down()
			return true
		},
		OnConnectError: cfg.failed,
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
	n.manage, n.cancel = manage, cancel
	return n, nil
}

func (n *newer) subscribe(ctx context.Context, filter string, qos byte) error {
	_, err := n.manage.Subscribe(ctx, &paho.Subscribe{Subscriptions: []paho.SubscribeOptions{{
		Topic: filter, QoS: qos, RetainAsPublished: n.asPublished, RetainHandling: 1, // retained ones for a new subscription only
	}}})
	return down(err)
}

// publish implements link. An answer that has not come when its connection ends
// never will: the library waits for it all the same, for 10 s.
func (n *newer) publish(ctx context.Context, m message) error {
	alive := n.connection()
	if alive.Err() != nil {
		return errDown
	}
	bounded, cancel := context.WithCancel(ctx)
	defer cancel()
	defer context.AfterFunc(alive, cancel)()
	answer, err := n.manage.Publish(bounded, &paho.Publish{Topic: m.topic, QoS: m.qos, Retain: m.retain, Payload: m.payload})
	switch {
	case answer != nil && answer.ReasonCode >= 0x80: // MQTT 5 section 2.4; of a PUBREC the library makes no error
		return fmt.Errorf("the broker refuses the message: reason 0x%02X", answer.ReasonCode)
	case err == nil || answer != nil || ctx.Err() != nil || errors.Is(err, paho.ErrInvalidArguments):
		return err
	case alive.Err() != nil:
		return fmt.Errorf("%w: it was lost before the answer", errDown) // not wrapped: nobody has cancelled the caller's
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
	n.turn(false)
	<-n.manage.Done()
}
