package harness

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"plumbline/devices"
	"plumbline/harness/load"
	"plumbline/harness/record"
)

// Extra is one device more than the fleet, which publishes when it is told to.
// It is used from one goroutine at a time.
type Extra struct {
	bench     *Bench
	publisher *load.Publisher
	stream    uint32
	id, topic string
	seq       uint64
}

// Hand connects one more device, whose messages are sent one by one, with a will
// or nil; see load.Generator.Hand. A broker that does not let it in is
// sut.ErrUnavailable.
func (b *Bench) Hand(ctx context.Context, name string, will *load.Will) (*load.Hand, error) {
	hand, err := b.Generator.Hand(ctx, load.HandConfig{Name: name, Will: will})
	return hand, b.unreachable(ctx, err)
}

// AddDevice connects one more device, which publishes to topic with QoS 1, at
// most inFlight messages unacknowledged. It belongs to the bench from then on;
// that nobody waits for in Drain: those who are to see its messages wait themselves.
func (b *Bench) AddDevice(ctx context.Context, id, topic string, inFlight int) (*Extra, error) {
	cfg := b.line()
	cfg.InFlight = inFlight
	p, err := load.NewPublisher(cfg.Publisher(id))
	if err != nil {
		return nil, fmt.Errorf("harness: device %q: %w", id, err)
	}
	stream := record.Stream{Device: id, Topic: topic, Mode: "sim", QoS: 1}
	x := &Extra{bench: b, publisher: p, stream: b.Recorder.Stream(stream), id: id, topic: topic}
	b.resolver.Add(x.stream, stream)
	if err := p.Connect(ctx); err != nil {
		return nil, b.unreachable(ctx, errors.Join(fmt.Errorf("harness: device %q: %w", id, err), p.Close()))
	}
	b.extras = append(b.extras, x)
	return x, nil
}

// Send publishes one message with a text of so many bytes now. It never waits;
// false means that as many as allowed are unacknowledged, or the connection is
// down: the message is on record as blocked.
func (x *Extra) Send(bytes int) bool {
	x.seq++
	payload := record.Encode(x.bench.run, x.id, x.seq, []devices.Value{{Name: "text", IsText: true, Text: strings.Repeat("x", bytes)}})
	return x.publisher.Send(load.Message{
		Stream: x.stream, Seq: x.seq, Due: x.bench.Clock.Now(), Topic: x.topic, Payload: payload, QoS: 1,
		Digest: x.bench.Recorder.Digest(payload),
	})
}

// Last returns the position in its stream of the message sent last, 0 before the first.
func (x *Extra) Last() uint64 { return x.seq }

// Counts returns the totals of its publisher.
func (x *Extra) Counts() load.Counts { return x.publisher.Counts() }

// WaitAcked waits until everything sent is acknowledged or ctx ends.
func (x *Extra) WaitAcked(ctx context.Context) error { return x.publisher.WaitAcked(ctx) }
