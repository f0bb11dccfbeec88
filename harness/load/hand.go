package load

import (
	"cmp"
	"context"
	"crypto/tls"
	"errors"
	"net"
	"strings"
	"sync"

	"plumbline/devices"
	"plumbline/harness/mqttwire"
	"plumbline/harness/record"
)

// Will is the message that a broker publishes for a publisher whose connection
// ends without DISCONNECT.
type Will = mqttwire.Will

// Hand is a device that publishes when it is told to, over a connection of its
// own: for what a scenario sends outside every schedule.
type Hand struct {
	generator *Generator
	publisher *Publisher
}

// handTries is how often a hand sends what ends its connection every time: a
// broker of MQTT 3.1.1 has no other way to refuse a message.
const handTries = 3

// HandConfig describes a Hand. Name is needed.
type HandConfig struct {
	Name     string // of the device
	Will     *Will  // nil for none
	InFlight int    // QoS 1 window; 0 means that of the generator
	Aside    bool   // WaitAcked of the generator does not wait for it, and Health does not count it
}

// Hand connects a device. The generator closes it.
func (g *Generator) Hand(ctx context.Context, cfg HandConfig) (*Hand, error) {
	as := g.cfg.Publisher(cfg.Name)
	as.Will, as.InFlight, as.Tries = cfg.Will, cmp.Or(cfg.InFlight, as.InFlight), handTries
	p, err := NewPublisher(as)
	if err != nil {
		return nil, err
	}
	list := &g.forwards
	if cfg.Aside {
		list = &g.asides
	}
	if !g.keep(list, p) {
		return nil, errors.Join(errClosed, p.Close())
	}
	if err := p.Connect(ctx); err != nil {
		return nil, err
	}
	return &Hand{generator: g, publisher: p}, nil
}

// MaxPacket returns the size in bytes of the largest packet that the broker
// takes, 0 when it named none (MQTT 5.0 section 3.2.2.3.6).
func (h *Hand) MaxPacket() int64 {
	h.publisher.mu.Lock()
	defer h.publisher.mu.Unlock()
	return h.publisher.maxPacket
}

// WaitAcked returns when everything sent is acknowledged, or with the error of
// ctx.
func (h *Hand) WaitAcked(ctx context.Context) error { return h.publisher.WaitAcked(ctx) }

// Counts returns the totals of the hand.
func (h *Hand) Counts() Counts { return h.publisher.Counts() }

// Drop ends the connection as a crash does, by RST and without DISCONNECT, for
// good. It returns when it is gone.
func (h *Hand) Drop() error { return h.publisher.drop() }

// Line is one topic that a Hand publishes to. It is safe for concurrent use.
type Line struct {
	hand   *Hand
	stream record.Stream
	id     uint32

	mu  sync.Mutex
	seq uint64
}

// Line registers a topic as a stream of the recording. A foreign stream carries
// raw payloads, which are followed by their digests; any other our own.
func (h *Hand) Line(s record.Stream) *Line {
	return &Line{hand: h, stream: s, id: h.generator.register(s)}
}

// Stream returns the number of its stream in the recording.
func (l *Line) Stream() uint32 { return l.id }

// Parcel is one message of a Line.
type Parcel struct {
	Raw    []byte  // of a foreign stream; must not change any more
	Value  float64 // of any other, under the name "x"
	Fill   int     // bytes of text, under the name "text", in place of Value; 0 for none
	QoS    byte
	Retain bool

	Properties *mqttwire.Properties // nil for none; MQTT 3.1.1 cannot carry them
}

// Expect makes a payload of a foreign stream known that the broker is going to
// publish for the hand, as a will, so that it is recognised where a system tells
// no topics.
func (l *Line) Expect(payload []byte) {
	if r := l.hand.generator.cfg.Resolver; r != nil && l.stream.Foreign {
		r.AddPayload(l.id, payload)
	}
}

// Send publishes a message, intended now. It does not wait and reports whether
// it is on its way; see Publisher.Send.
func (l *Line) Send(p Parcel) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.seq++
	g := l.hand.generator
	payload := p.Raw
	if !l.stream.Foreign {
		payload = record.Encode(g.cfg.Run, l.stream.Device, l.seq, p.values())
	}
	l.Expect(payload)
	return l.hand.publisher.Send(Message{
		Stream: l.id, Seq: l.seq, Due: g.cfg.Recorder.Clock().Now(), Topic: l.stream.Topic, Payload: payload,
		QoS: p.QoS, Retain: p.Retain, Foreign: l.stream.Foreign, Digest: g.cfg.Recorder.Digest(payload),
		Properties: p.Properties,
	})
}

// values are those of an own payload.
func (p *Parcel) values() []devices.Value {
	if p.Fill > 0 {
		return []devices.Value{{Name: "text", IsText: true, Text: strings.Repeat("x", p.Fill)}}
	}
	return []devices.Value{{Name: "x", Number: p.Value}}
}

// drop ends the connection without a word and for good.
func (p *Publisher) drop() error {
	p.mu.Lock()
	conn := p.conn
	p.leaving = true
	p.mu.Unlock()
	if secured, ok := conn.(*tls.Conn); ok {
		conn = secured.NetConn()
	}
	var err error
	if plain, ok := conn.(*net.TCPConn); ok {
		err = plain.SetLinger(0)
	}
	p.cancel() // closes the connection
	<-p.done
	return err
}
