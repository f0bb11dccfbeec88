package load

import (
	"context"
	"errors"
	"fmt"
	"io"

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
// the recorder. It blocks.
func (g *Generator) Forward(ctx context.Context, dev devices.Device, topic string) error {
	return g.ForwardWith(ctx, dev, topic, ForwardOptions{QoS: 1})
}

// ForwardWith is Forward with options.
func (g *Generator) ForwardWith(ctx context.Context, dev devices.Device, topic string, o ForwardOptions) error {
	info := dev.Info()
	p, err := g.publisher(info.ID, nil)
	if err != nil {
		return err
	}
	if !g.addForward(p) {
		return errors.Join(errors.New("load: the generator is closed"), p.Close())
	}
	stream := g.register(record.Stream{Device: info.ID, Topic: topic, Mode: string(info.Mode), QoS: o.QoS, Foreign: o.Raw})
	if err := p.Connect(ctx); err != nil {
		return err
	}
	for seq := uint64(1); ; seq++ {
		sample, err := dev.Read(ctx)
		switch {
		case errors.Is(err, io.EOF):
			return nil
		case err != nil:
			return fmt.Errorf("load: read device %q: %w", info.ID, err)
		}
		payload := sample.Raw
		if !o.Raw {
			payload = record.Encode(g.cfg.Run, info.ID, seq, sample.Values)
		}
		p.Send(Message{
			Stream: stream, Seq: seq, Due: int64(sample.First), Topic: topic, Payload: payload,
			QoS: o.QoS, Retain: o.Retain, Foreign: o.Raw, Digest: g.cfg.Recorder.Digest(payload),
		})
	}
}

// addForward keeps the publisher for Close, WaitAcked and Health; false when
// the generator is closed already.
func (g *Generator) addForward(p *Publisher) bool {
	g.mu.Lock()
	defer g.mu.Unlock()
	if !g.closed {
		g.forwards = append(g.forwards, p)
	}
	return !g.closed
}
