package load

import (
	"context"
	"errors"
	"fmt"
	"io"
	"sync"

	"plumbline/devices"
	"plumbline/harness/record"
)

// ForwardOptions say how the samples of a streaming device are published. The
// zero value is QoS 0, our own payload.
type ForwardOptions struct {
	QoS    byte
	Retain bool
	// Raw publishes each frame as it came instead of our own payload. Such a
	// stream is followed by digest and order.
	Raw bool
}

// Announce registers the stream and the publisher of a device that is to be
// forwarded to a topic, so that everybody knows them before the first message.
// Forward does so itself for what nobody has announced.
func (g *Generator) Announce(info devices.Info, topic string, o ForwardOptions) error {
	r, err := g.claim(topic, o)
	if err != nil {
		return err
	}
	defer r.using.Unlock()
	return g.announce(r, info, topic)
}

// Forward publishes what a streaming device yields, at QoS 1 in our own
// payload, over a connection of its own, until ctx or the device ends; the end
// of the device is no error. The intended instant of a message is the first
// byte of its sample, so the device must have been opened with the clock of
// the recorder. It blocks. Called again for the topic, when the call before has
// returned, it goes on over the same connection and in the same stream.
func (g *Generator) Forward(ctx context.Context, dev devices.Device, topic string) error {
	return g.ForwardWith(ctx, dev, topic, ForwardOptions{QoS: 1})
}

// ForwardWith is Forward with options, which those of the first call for a topic
// are.
func (g *Generator) ForwardWith(ctx context.Context, dev devices.Device, topic string, o ForwardOptions) error {
	info := dev.Info()
	r, err := g.route(ctx, info, topic, o)
	if err != nil {
		return err
	}
	defer r.using.Unlock()
	for {
		sample, err := dev.Read(ctx)
		switch {
		case errors.Is(err, io.EOF):
			return nil
		case err != nil:
			return fmt.Errorf("load: read device %q: %w", info.ID, err)
		}
		payload := sample.Raw
		r.seq++
		if !r.options.Raw {
			payload = record.Encode(g.cfg.Run, info.ID, r.seq, sample.Values)
		}
		r.publisher.Send(Message{
			Stream: r.stream, Seq: r.seq, Due: int64(sample.First), Topic: topic, Payload: payload,
			QoS: r.options.QoS, Retain: r.options.Retain, Foreign: r.options.Raw, Digest: g.cfg.Recorder.Digest(payload),
		})
	}
}

// route is how the samples of one device go to one topic.
type route struct {
	using     sync.Mutex // by one Forward at a time, and what follows by it
	options   ForwardOptions
	publisher *Publisher // nil before it is announced
	connected bool
	known     bool // the stream is registered
	stream    uint32
	seq       uint64 // of the last message
}

// claim returns the route to a topic, locked for the caller.
func (g *Generator) claim(topic string, o ForwardOptions) (*route, error) {
	g.mu.Lock()
	defer g.mu.Unlock()
	r := g.routes[topic]
	if r == nil {
		r = &route{options: o}
		if g.routes == nil {
			g.routes = map[string]*route{}
		}
		g.routes[topic] = r
	}
	if !r.using.TryLock() {
		return nil, fmt.Errorf("load: somebody forwards to %q already", topic)
	}
	return r, nil
}

// route returns the route to a topic, locked for the caller and connected.
func (g *Generator) route(ctx context.Context, info devices.Info, topic string, o ForwardOptions) (*route, error) {
	r, err := g.claim(topic, o)
	if err != nil {
		return nil, err
	}
	if err = g.announce(r, info, topic); err == nil && !r.connected {
		if err = r.publisher.Connect(ctx); err != nil {
			r.publisher = nil // it makes one attempt; the next call makes another
		}
		r.connected = err == nil
	}
	if err != nil {
		r.using.Unlock()
		return nil, err
	}
	return r, nil
}

// announce registers a route that is new.
func (g *Generator) announce(r *route, info devices.Info, topic string) error {
	if r.publisher != nil {
		return nil
	}
	p, err := NewPublisher(g.cfg.Publisher(info.ID))
	if err != nil {
		return err
	}
	if !g.keep(&g.forwards, p) {
		return errors.Join(errClosed, p.Close())
	}
	r.publisher = p
	if !r.known {
		r.known = true
		r.stream = g.register(record.Stream{Device: info.ID, Topic: topic, Mode: string(info.Mode), QoS: r.options.QoS, Foreign: r.options.Raw})
	}
	return nil
}

var errClosed = errors.New("load: the generator is closed")

// keep adds a publisher to one of the lists for Close; false when the generator is
// closed already.
func (g *Generator) keep(list *[]*Publisher, p *Publisher) bool {
	g.mu.Lock()
	defer g.mu.Unlock()
	if !g.closed {
		*list = append(*list, p)
	}
	return !g.closed
}
