package mqttdev

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net/url"
	"sync"
	"time"
)

// PublisherConfig describes a connection that only publishes. Broker is required.
type PublisherConfig struct {
	Broker   *url.URL
	TLS      *tls.Config
	Version  string // of MQTT, as in Config
	Username string
	Password []byte
	Retry    time.Duration // between attempts to connect; 0 = 500 ms
}

// Publisher publishes messages as they are, one after another: what a recording
// holds. It is used by one goroutine; Close may be called by any.
type Publisher struct {
	broker link
	up     chan struct{} // full after each connection that was made
	retry  time.Duration

	mu   sync.Mutex
	last error
	once sync.Once
}

// NewPublisher connects; it blocks until the broker is there or ctx ends, and says
// then what failed last. Afterwards it reconnects by itself until Close.
func NewPublisher(ctx context.Context, cfg PublisherConfig) (*Publisher, error) {
	if cfg.Broker == nil || cfg.Broker.Host == "" {
		return nil, errors.New("mqttdev: no broker; set PublisherConfig.Broker, for example mqtt://127.0.0.1:1883")
	}
	if err := errors.Join(checkVersion(cfg.Version), checkTexts(map[string]int{"user name": len(cfg.Username), "password": len(cfg.Password)})); err != nil {
		return nil, err
	}
	if cfg.Retry <= 0 {
		cfg.Retry = 500 * time.Millisecond
	}
	p := &Publisher{up: make(chan struct{}, 1), retry: cfg.Retry}
	var err error
	p.broker, err = newLink(linkConfig{
		broker: cfg.Broker, tls: cfg.TLS, version: cfg.Version, username: cfg.Username, password: cfg.Password,
		clientID: "plumbline-" + randomID(), retry: cfg.Retry,
		up: func(bool) {
			select {
			case p.up <- struct{}{}:
			default: // it is known
			}
		},
		failed: func(err error) {
			p.mu.Lock()
			defer p.mu.Unlock()
			p.last = err
		},
	})
	if err != nil {
		return nil, fmt.Errorf("mqttdev: publisher: %w", err)
	}
	if err := p.connected(ctx); err != nil {
		p.Close()
		return nil, fmt.Errorf("mqttdev: publisher: %s: %w; is the broker running?", address(cfg.Broker), err)
	}
	return p, nil
}

// connected waits for a connection.
func (p *Publisher) connected(ctx context.Context) error {
	select {
	case <-p.up:
		return nil
	case <-ctx.Done():
		p.mu.Lock()
		defer p.mu.Unlock()
		return errors.Join(ctx.Err(), p.last)
	}
}

// Publish hands the message to the broker and waits, with QoS 1 and 2, for its
// acknowledgement. Without a connection it waits for one, so that nothing is left
// out; after a lost one a message that was not acknowledged is sent again. QoS 2
// needs MQTT 5. The error is ctx's or what the broker says against the message.
func (p *Publisher) Publish(ctx context.Context, m Message) error {
	if err := checkTexts(map[string]int{"topic": len(m.Topic)}); err != nil {
		return err
	}
	if _, old := p.broker.(*older); old && m.QoS > 1 {
		return fmt.Errorf("mqttdev: publish %q: QoS 2 needs MQTT 5", m.Topic)
	}
	for {
		if err := ctx.Err(); err != nil { // with QoS 0 there is nothing to wait for that would see it
			return fmt.Errorf("mqttdev: publish %q: %w", m.Topic, err)
		}
		err := p.broker.publish(ctx, message{topic: m.Topic, payload: m.Payload, qos: m.QoS, retain: m.Retain})
		if !errors.Is(err, errDown) {
			if err != nil {
				err = fmt.Errorf("mqttdev: publish %q: %w", m.Topic, err)
			}
			return err
		}
		if err := p.pause(ctx); err != nil {
			return fmt.Errorf("mqttdev: publish %q: %w", m.Topic, err)
		}
	}
}

// pause waits for another connection, or for a while: an answer that did not come
// need not have cost the connection.
func (p *Publisher) pause(ctx context.Context) error {
	bounded, cancel := context.WithTimeout(ctx, p.retry)
	defer cancel()
	if err := p.connected(bounded); err != nil && ctx.Err() != nil {
		return errors.Join(ctx.Err(), err)
	}
	return nil
}

// Close disconnects and waits for the connection's goroutines.
func (p *Publisher) Close() { p.once.Do(p.broker.close) }
