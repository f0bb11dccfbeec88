package harness

import (
	"context"
	"fmt"

	"plumbline/harness/generator"
	"plumbline/harness/load"
	"plumbline/harness/record"
)

// Extra is one device more than the fleet, which publishes when it is told to.
// It is used from one goroutine at a time.
type Extra struct {
	hand *generator.Hand
	line *generator.Line
	seq  uint64
}

// Hand connects one more device, whose messages are sent one by one, with a will
// or nil; see generator.Generator.Hand. A broker that does not let it in is
// sut.ErrUnavailable.
func (b *Bench) Hand(ctx context.Context, name string, will *load.Will) (*generator.Hand, error) {
	hand, err := b.Generator.Hand(ctx, generator.HandOptions{Name: name, Will: will})
	return hand, b.unreachable(ctx, err)
}

// AddDevice connects one more device, which publishes to topic with QoS 1, at
// most inFlight messages unacknowledged. It belongs to the bench from then on;
// that nobody waits for in Drain: those who are to see its messages wait themselves.
func (b *Bench) AddDevice(ctx context.Context, id, topic string, inFlight int) (*Extra, error) {
	hand, err := b.Generator.Hand(ctx, generator.HandOptions{Name: id, InFlight: inFlight, Aside: true})
	if err != nil {
		return nil, b.unreachable(ctx, fmt.Errorf("harness: device %q: %w", id, err))
	}
	line, err := hand.Line(ctx, record.Stream{Device: id, Topic: topic, Mode: "sim", QoS: 1})
	return &Extra{hand: hand, line: line}, err
}

// Send publishes one message with a text of so many bytes now. It does not wait
// for the broker; false means that as many as allowed are unacknowledged, or the
// connection is down: the message is on record as blocked. The error is that of
// the generator or of ctx.
func (x *Extra) Send(ctx context.Context, bytes int) (bool, error) {
	x.seq++
	sent, err := x.line.Send(ctx, load.Parcel{QoS: 1, Fill: bytes})
	return sent > 0, err
}

// Last returns the position in its stream of the message sent last, 0 before the first.
func (x *Extra) Last() uint64 { return x.seq }

// Counts returns the totals of its publisher.
func (x *Extra) Counts(ctx context.Context) (load.Counts, error) { return x.hand.Counts(ctx) }

// WaitAcked waits until everything sent is acknowledged or ctx ends.
func (x *Extra) WaitAcked(ctx context.Context) error { return x.hand.WaitAcked(ctx) }
