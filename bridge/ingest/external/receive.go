package external

import (
	"context"
	"errors"
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

// storeRetry is the pause before a message is offered again to a journal that cannot write.
const storeRetry = 100 * time.Millisecond

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
	err = s.subscribe(l, ack)
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

// receive stores and acknowledges what comes, one after the other. Storing may take its time: PINGREQ has a goroutine of its
// own, and the broker sends no more than its window holds.
func (s *Source) receive(ctx context.Context, l *link) error {
	for {
		p, err := l.read()
		if err != nil {
			return err
		}
		if err := s.packet(ctx, l, p); err != nil {
			return err
		}
	}
}

// packet deals with one packet of an established session.
func (s *Source) packet(ctx context.Context, l *link, p *packets.ControlPacket) error {
	switch c := p.Content.(type) {
	case *packets.Publish:
		return s.publish(ctx, l, c)
	case *packets.Pingresp:
		return nil
	case *packets.Disconnect:
		if c.ReasonCode == packets.DisconnectSessionTakenOver {
			return errTakenOver
		}
		return fmt.Errorf("the broker disconnected with 0x%02X %s%s", c.ReasonCode, c.Reason(), quoted(c.Properties.ReasonString))
	}
	return protocolError{packets.DisconnectProtocolError, "an unexpected " + p.PacketType()}
}

// publish brings one message into the journal and acknowledges it then. What can never be stored is refused with a reason
// code, counted and logged: without an answer the broker would deliver it for ever and nothing after it.
func (s *Source) publish(ctx context.Context, l *link, p *packets.Publish) error {
	if p.Properties.TopicAlias != nil { // we allow none
		return protocolError{packets.DisconnectTopicAliasInvalid, "a topic alias came, none is allowed [MQTT-3.3.2-9]"}
	}
	if p.QoS == 2 {
		return protocolError{packets.DisconnectQoSNotSupported, "a message with QoS 2 came, the subscription has QoS 1 [MQTT-3.8.4-8]"}
	}
	m := journal.Message{Topic: s.opts.Prefix + p.Topic, Payload: p.Payload, QoS: p.QoS, Retain: p.Retain, Time: s.opts.Now()}
	if err := topic.ValidName(m.Topic); err != nil || topic.Reserved(p.Topic) {
		return s.refuse(l, p, packets.PubackTopicNameInvalid, "topic")
	}
	again := s.identify(&m, p)
	if again {
		s.gauges.duplicates("packet-id").Inc()
		return s.acknowledge(l, p)
	}
	offset, duplicate, err := s.store(ctx, m)
	switch {
	case errors.Is(err, journal.ErrTooLarge):
		return s.refuse(l, p, packets.PubackQuotaExceeded, "size")
	case err != nil:
		return fmt.Errorf("store a message: %w", err)
	case duplicate:
		s.gauges.duplicates("sequence").Inc()
	default:
		s.gauges.received(p)
		if p.QoS > 0 {
			s.window.stored(p.PacketID, offset)
		}
	}
	return s.acknowledge(l, p)
}

// identify gives m its producer and sequence, by which the journal knows it again: the publisher's own, or the packet
// identifier. It reports whether m is known to be in the journal already.
func (s *Source) identify(m *journal.Message, p *packets.Publish) (again bool) {
	producer, text := "", ""
	for _, u := range p.Properties.User {
		switch u.Key {
		case SequenceProperty:
			text = u.Value
		case ProducerProperty:
			producer = u.Value
		}
	}
	if text != "" {
		if n, err := strconv.ParseUint(text, 10, 64); err == nil && n > 0 {
			m.Producer, m.ProducerSeq = producerPrefix+digest(s.opts.Name, m.Topic, producer), n
			return false
		}
		s.gauges.badSequence.Inc() // stored all the same: who published it cannot be told
	}
	if p.QoS == 0 {
		return false
	}
	if p.Duplicate && s.window.has(s.opts.Journal, p.PacketID, m) {
		return true
	}
	m.Producer, m.ProducerSeq = s.window.next(p.PacketID)
	return false
}

// store appends m, waiting for as long as the journal cannot write: nothing is acknowledged meanwhile, the broker keeps what
// is beyond its window.
func (s *Source) store(ctx context.Context, m journal.Message) (offset uint64, duplicate bool, err error) {
	began := s.opts.Now()
	s.gauges.storing(began)
	defer func() {
		s.gauges.storing(time.Time{})
		s.opts.Metrics.Ingest.Observe(s.opts.Now().Sub(began).Seconds())
	}()
	for told := false; ; told = true {
		offset, duplicate, err = s.opts.Journal.Append(ctx, m)
		if !errors.Is(err, journal.ErrDegraded) {
			return offset, duplicate, err
		}
		if !told {
			s.log.Warn("the journal cannot write: the external broker keeps its messages", "error", err)
			s.gauges.stalls.Inc()
		}
		select {
		case <-ctx.Done():
			return 0, false, ctx.Err()
		case <-s.opts.After(storeRetry):
		}
	}
}

func (s *Source) acknowledge(l *link, p *packets.Publish) error {
	if p.QoS == 0 {
		return nil
	}
	return l.acknowledge(p.PacketID, packets.PubackSuccess, "")
}

func (s *Source) refuse(l *link, p *packets.Publish, code byte, why string) error {
	s.gauges.refused(why).Inc()
	s.log.Warn("a message of the external broker cannot be stored and is refused", "reason", why, "code", fmt.Sprintf("0x%02X", code), "bytes", len(p.Payload))
	if p.QoS == 0 {
		return nil
	}
	return l.acknowledge(p.PacketID, code, why)
}
