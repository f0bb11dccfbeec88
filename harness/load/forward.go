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
	publisher *Publisher
	stream    uint32
	seq       uint64 // of the last message
}

// route returns the route to a topic, locked for the caller and connected.
func (g *Generator) route(ctx context.Context, info devices.Info, topic string, o ForwardOptions) (*route, error) {
	g.mu.Lock()
	r := g.routes[topic]
	if r == nil {
		r = &route{options: o}
		if g.routes == nil {
			g.routes = map[string]*route{}
		}
		g.routes[topic] = r
	}
	g.mu.Unlock()
	if !r.using.TryLock() {
		return nil, fmt.Errorf("load: somebody forwards to %q already", topic)
	}
	if r.publisher != nil {
		return r, nil
	}
	if err := g.open(ctx, r, info, topic); err != nil {
		r.using.Unlock()
		return nil, err
	}
	return r, nil
}

// open registers and connects a new route.
func (g *Generator) open(ctx context.Context, r *route, info devices.Info, topic string) error {
	p, err := NewPublisher(g.cfg.Publisher(info.ID))
	if err != nil {
		return err
	}
	if !g.keep(&g.forwards, p) {
		return errors.Join(errClosed, p.Close())
	}
	stream := g.register(record.Stream{Device: info.ID, Topic: topic, Mode: string(info.Mode), QoS: r.options.QoS, Foreign: r.options.Raw})
	if err := p.Connect(ctx); err != nil {
		return err
	}
	r.publisher, r.stream = p, stream
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
