package generator

import (
	"context"

	"plumbline/harness/load"
	"plumbline/harness/record"
)

// Hand is a device that publishes when it is told to, over a connection of its
// own: for what a scenario sends outside every schedule.
type Hand struct {
	generator *Generator
	number    uint32
	maxPacket int64
}

// Hand connects such a device. The generator closes it; unless it stands aside,
// WaitAcked waits for what it sends and Health counts it.
func (g *Generator) Hand(ctx context.Context, o HandOptions) (*Hand, error) {
	var answer handAnswer
	if err := g.call(ctx, verbHand, o, &answer); err != nil {
		return nil, err
	}
	return &Hand{generator: g, number: answer.Hand, maxPacket: answer.MaxPacket}, nil
}

// MaxPacket returns the size in bytes of the largest packet that the broker
// takes, 0 when it named none (MQTT 5.0 section 3.2.2.3.6).
func (h *Hand) MaxPacket() int64 { return h.maxPacket }

// WaitAcked returns when everything sent is acknowledged, or with an error that
// wraps that of ctx.
func (h *Hand) WaitAcked(ctx context.Context) error {
	return h.generator.call(ctx, verbWaiting, handOrder{h.number}, nil)
}

// Counts returns its totals.
func (h *Hand) Counts(ctx context.Context) (load.Counts, error) {
	var c load.Counts
	err := h.generator.call(ctx, verbCounts, handOrder{h.number}, &c)
	return c, err
}

// Drop ends the connection as a crash does, by RST and without DISCONNECT, for
// good. It returns when it is gone.
func (h *Hand) Drop(ctx context.Context) error {
	return h.generator.call(ctx, verbDrop, handOrder{h.number}, nil)
}

// Line is one topic that a Hand publishes to.
type Line struct {
	hand   *Hand
	number uint32
	stream uint32 // in the recording
	info   record.Stream
}

// Line registers a topic as a stream of the recording. A foreign stream carries
// raw payloads, which are followed by their digests; any other our own.
func (h *Hand) Line(ctx context.Context, s record.Stream) (*Line, error) {
	var answer lineAnswer
	if err := h.generator.call(ctx, verbLine, lineOrder{Hand: h.number, Stream: s}, &answer); err != nil {
		return nil, err
	}
	stream, err := h.generator.taking.Load().stream(answer.Stream)
	if err != nil {
		return nil, err
	}
	return &Line{hand: h, number: answer.Line, stream: stream, info: s}, nil
}

// Expect makes a payload of a foreign stream known that the broker is going to
// publish for the hand, as a will, so that it is recognised where a system tells
// no topics.
func (l *Line) Expect(payload []byte) {
	if l.info.Foreign {
		l.hand.generator.taking.Load().resolver.AddPayload(l.stream, payload)
	}
}

// Send publishes messages one right behind the other, each intended when its turn
// has come in the generator. It does not wait for the broker and returns how many
// are on their way; the others are recorded as blocked, see load.Publisher.Send.
// Calls at the same time are in no order.
func (l *Line) Send(ctx context.Context, parcels ...load.Parcel) (int, error) {
	for _, p := range parcels {
		l.Expect(p.Raw)
	}
	var answer sendAnswer
	err := l.hand.generator.call(ctx, verbSend, sendOrder{Line: l.number, Parcels: parcels}, &answer)
	return answer.Sent, err
}
