package external

import (
	"context"
	"fmt"
	"strconv"
	"time"

	"github.com/eclipse/paho.golang/packets"

	"plumbline/bridge/journal"
	"plumbline/bridge/topic"
)

// The MQTT 5 user properties of a publisher that wants its effect once, whatever is resent between it and us.
const (
	// SequenceProperty carries the number of a message: decimal, from 1, rising per topic and producer.
	SequenceProperty = "plumbline-seq"
	// ProducerProperty names the producer where several publish to one topic; without it the topic is the producer.
	ProducerProperty = "plumbline-producer"
)

// session is one connection: from CONNECT until it breaks or ctx ends. It returns why it ended.
func (s *Source) session(ctx context.Context) error {
	expiry, window, most, aliases := uint32(s.opts.SessionExpiry/time.Second), uint16(s.opts.ReceiveMaximum), uint32(s.opts.MaxPacketBytes), uint16(0)
	l, ack, err := s.dial(ctx, handshake{clientID: s.opts.ClientID, properties: packets.Properties{
		SessionExpiryInterval: &expiry, ReceiveMaximum: &window, MaximumPacketSize: &most, TopicAliasMaximum: &aliases,
	}})
	if err != nil {
		s.gauges.failed(err)
		return err
	}
	defer l.close()
	defer s.batch.reset() // what is not stored was not acknowledged and comes again
	err = s.subscribe(ctx, l, ack)
	if err == nil {
		s.set(true, nil)
		s.gauges.connects.Inc()
		s.log.Info("external broker connected", "address", s.opts.Address, "session", ack.SessionPresent)
		err = s.receive(ctx, l)
	}
	if ctx.Err() != nil {
		l.leave(packets.DisconnectNormalDisconnection, "")
		return nil
	}
	if code, is := breach(err); is {
		l.leave(code, err.Error())
	}
	err = s.explain("lost", err)
	s.gauges.failed(err)
	return err
}

// receive stores and acknowledges what comes until the connection ends, and returns why it did.
func (s *Source) receive(ctx context.Context, l *link) error {
	p, err := s.next(ctx, l)
	if err != nil {
		return err
	}
	return unexpected(p)
}

// next stores and acknowledges messages, in that order, until another packet comes, which it returns: all that has arrived
// together goes to the journal together. Storing may take its time: PINGREQ has a goroutine of its own, and the broker sends no
// more than the connection holds.
func (s *Source) next(ctx context.Context, l *link) (*packets.ControlPacket, error) {
	for {
		if s.batch.full() || !l.complete() {
			if err := s.settle(ctx, l); err != nil {
				return nil, err
			}
		}
		p, err := l.read()
		if err != nil {
			return nil, err
		}
		switch c := p.Content.(type) {
		case *packets.Publish:
			if err := s.publish(c); err != nil {
				return nil, err
			}
		case *packets.Pingresp:
		default:
			return p, s.settle(ctx, l)
		}
	}
}

// unexpected returns why a packet ends the connection.
func unexpected(p *packets.ControlPacket) error {
	c, ok := p.Content.(*packets.Disconnect)
	switch {
	case !ok:
		return protocolError{packets.DisconnectProtocolError, "an unexpected " + p.PacketType()}
	case c.ReasonCode == packets.DisconnectSessionTakenOver:
		return errTakenOver
	}
	return fmt.Errorf("the broker disconnected with 0x%02X %s%s", c.ReasonCode, c.Reason(), quoted(c.Properties.ReasonString))
}

// publish takes one message into the batch. What can never be stored will be refused with a reason code, counted and logged:
// without an answer the broker would deliver it for ever and nothing after it.
func (s *Source) publish(p *packets.Publish) error {
	if p.Properties.TopicAlias != nil { // we allow none
		return protocolError{packets.DisconnectTopicAliasInvalid, "a topic alias came, none is allowed [MQTT-3.3.2-9]"}
	}
	if p.QoS == 2 {
		return protocolError{packets.DisconnectQoSNotSupported, "a message with QoS 2 came, the subscription has QoS 1 [MQTT-3.8.4-8]"}
	}
	if p.QoS == 1 {
		s.window.arrived(p.PacketID, p.Duplicate)
	}
	m := journal.Message{Topic: s.opts.Prefix + p.Topic, Payload: p.Payload, QoS: p.QoS, Retain: p.Retain, Time: s.opts.Now()}
	if err := topic.ValidName(m.Topic); err != nil || topic.Reserved(p.Topic) {
		s.gauges.refused("topic").Inc()
		s.log.Warn("a message of the external broker has a topic that is not valid and is refused", "error", err)
		s.batch.add(held{p: p, code: packets.PubackTopicNameInvalid, at: notStored})
		return nil
	}
	h := held{p: p, at: notStored}
	if known := s.identify(&m, &h); known {
		s.gauges.duplicates("packet-id").Inc()
		s.batch.add(h)
		return nil
	}
	h.at = len(s.batch.messages)
	s.batch.messages = append(s.batch.messages, m)
	s.batch.add(h)
	return nil
}

// identify gives m its producer and sequence, by which the journal knows it again: the publisher's own, or the packet
// identifier. It reports whether m is known to be in the journal already.
func (s *Source) identify(m *journal.Message, h *held) (known bool) {
	p := h.p
	producer, text := "", ""
	for _, u := range p.Properties.User {
		switch u.Key {
		case SequenceProperty:
			text = u.Value
		case ProducerProperty:
			producer = u.Value
		}
	}
	h.digest = s.window.content(m)
	if text != "" {
		if n, err := strconv.ParseUint(text, 10, 64); err == nil && n > 0 {
			m.Producer, m.ProducerSeq = producersOf(s.opts.Name)+digest(m.Topic, producer), n
			return false
		}
		s.gauges.badSequence.Inc() // stored all the same: who published it cannot be told
	}
	if p.QoS == 0 {
		return false
	}
	if p.Duplicate && s.window.has(p.PacketID, h.digest) {
		return true
	}
	m.Producer, m.ProducerSeq = s.window.producer(p.PacketID, p.Duplicate)
	return false
}
