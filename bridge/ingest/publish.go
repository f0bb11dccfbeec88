package ingest

import (
	"context"
	"errors"
	"fmt"
	"runtime/debug"
	"strconv"
	"strings"
	"time"

	mqtt "github.com/mochi-mqtt/server/v2"
	"github.com/mochi-mqtt/server/v2/packets"

	"plumbline/bridge/internal/presence"
	"plumbline/bridge/journal"
	"plumbline/bridge/topic"
)

// SequenceProperty is the MQTT 5 user property that carries a producer's own sequence number, decimal, from 1, rising with
// each new message. A message whose number is not above the last one stored for the client id is acknowledged and not stored
// again, so that a resent message has its effect once, over restarts of the bridge too. A refused message is over; published
// anew, it takes the next number.
const SequenceProperty = "plumbline-seq"

// publish takes a PUBLISH of a client. Its acknowledgement leaves after the journal has the message (M4).
func (h *hook) publish(cl *mqtt.Client, c *conn, s *session, pk packets.Packet) error {
	qos := pk.FixedHeader.Qos
	switch {
	case pk.TopicName == "" && pk.Properties.TopicAlias > 0, pk.Properties.TopicAliasFlag: // none was allowed (M12, D6)
		return packets.ErrTopicAliasInvalid
	case pk.TopicName != "" && (hidden(pk.TopicName) || topic.ValidName(pk.TopicName) != nil && !strings.ContainsAny(pk.TopicName, "+#")):
		return h.refuse(cl, pk, packets.Code{Code: packets.ErrTopicNameInvalid.Code, Reason: "topic: not a valid name, or one of the server's"}, "topic") // D12
	case strings.ContainsAny(pk.Properties.ResponseTopic, "+#"): // [MQTT-3.3.2-14]
		return packets.ErrTopicNameInvalid
	}
	if code := pk.PublishValidate(0); code != packets.CodeSuccess {
		return code
	}
	if qos == 2 && s.hasTaken(pk.PacketID) { // sent again before PUBREC came: no fault, and stored already [MQTT-4.3.3-10]
		h.acknowledge(cl, pk, "")
		return nil
	}
	if qos == 2 && s.full() {
		return packets.ErrReceiveMaximum // D14
	}
	if !h.may(cl, pk.TopicName, true) {
		return h.refuse(cl, pk, packets.ErrNotAuthorized, "")
	}
	note, refusal, reason := h.b.store(c.ctx, cl, &pk, s.hearsItself(), 0)
	if refusal != nil {
		return h.refuse(cl, pk, *refusal, reason)
	}
	if qos == 2 {
		s.take2(pk.PacketID)
	}
	h.acknowledge(cl, pk, note)
	return nil
}

// store puts a message into the journal; will is the number of the connection whose will it is, 0 = it is none. It returns a remark for its publisher, or why the message is refused.
func (b *Broker) store(ctx context.Context, cl *mqtt.Client, pk *packets.Packet, marked bool, will uint64) (note string, refusal *packets.Code, reason string) {
	start := time.Now()
	m := journal.Message{Topic: pk.TopicName, Payload: pk.Payload, QoS: pk.FixedHeader.Qos, Retain: pk.FixedHeader.Retain, Time: b.opts.Now()}
	origin := ""
	if marked {
		origin = cl.ID
	}
	if m.Meta = appendMeta(origin, pk.Properties); len(m.Meta) > maxMeta {
		return "", &packets.Code{Code: packets.ErrImplementationSpecificError.Code, Reason: fmt.Sprintf("properties of more than %d bytes", maxMeta)}, "properties"
	}
	seq, err := sequence(pk.Properties.User)
	if err != nil {
		return "", &packets.Code{Code: packets.ErrImplementationSpecificError.Code, Reason: err.Error()}, "sequence"
	}
	if seq > 0 {
		m.Producer, m.ProducerSeq = producer(cl), seq
	} else if will > 0 { // other bridges may send it too, and the client may be back at one of them
		m.Producer, m.ProducerSeq = presence.WillProducer(cl.ID), will
	}
	_, duplicate, err := b.append(ctx, m)
	b.m.Ingest.Observe(time.Since(start).Seconds())
	switch {
	case errors.Is(err, journal.ErrDegraded):
		return "", &packets.Code{Code: packets.ErrQuotaExceeded.Code, Reason: "the journal is not writable at the moment, try again later"}, "degraded"
	case errors.Is(err, journal.ErrTooLarge):
		return "", &packets.Code{Code: packets.ErrImplementationSpecificError.Code, Reason: "the message is too large for the journal"}, "size"
	case err != nil:
		return "", &packets.Code{Code: packets.ErrUnspecifiedError.Code, Reason: fmt.Sprintf("not stored: %v", err)}, "journal"
	case duplicate:
		b.m.Duplicates.Inc()
		return fmt.Sprintf("duplicate: %s %d is stored already", SequenceProperty, seq), nil, ""
	}
	b.m.Received.WithLabelValues(qosLabels[m.QoS%3], boolLabels[m.Retain], boolLabels[pk.FixedHeader.Dup]).Inc()
	return "", nil, ""
}

// append appends m. What panics there, or in those who look at once at what is appended, ends the process: it leaves locks behind, and safely,
// which is for the library's parser, would let everybody else wait for them.
func (b *Broker) append(ctx context.Context, m journal.Message) (offset uint64, duplicate bool, err error) {
	done := false
	defer func() {
		if !done {
			p := fmt.Sprintf("%v\n%s", recover(), debug.Stack())
			go func() { panic(p) }()
			select {} // until the process has ended
		}
	}()
	offset, duplicate, err = b.opts.Journal.Append(ctx, m)
	done = true
	return offset, duplicate, err
}

// acknowledge sends PUBACK or PUBREC, with a remark for those who understand it.
func (h *hook) acknowledge(cl *mqtt.Client, pk packets.Packet, note string) {
	h.answer(cl, pk, packets.Code{Reason: note})
}

// refuse declines a publish in the way its protocol version has (M5, M6). A reason of "" is counted elsewhere.
func (h *hook) refuse(cl *mqtt.Client, pk packets.Packet, code packets.Code, reason string) error {
	if reason != "" {
		h.b.m.Refused.WithLabelValues(reason).Inc()
	}
	switch {
	case pk.FixedHeader.Qos == 0:
		return nil
	case cl.Properties.ProtocolVersion < 5:
		return h.cut(cl)
	}
	h.answer(cl, pk, code)
	return nil
}

// hasTaken reports whether the QoS 2 message is stored and not released yet.
func (s *session) hasTaken(id uint16) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	_, ok := s.taken[id]
	return ok
}

// full reports whether the client has as many QoS 2 messages under way as it may.
func (s *session) full() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return len(s.taken) >= maxReceive
}

// take2 notes that a QoS 2 message is stored, before PUBREC says so.
func (s *session) take2(id uint16) {
	s.mu.Lock()
	s.taken[id] = struct{}{}
	lasting := s.keep
	s.dirty = true
	s.mu.Unlock()
	if lasting {
		s.saveOr("PUBREC")
	}
}

// producer names who counts the sequence. The user is part of it, so that nobody can spoil another's numbering.
func producer(cl *mqtt.Client) string {
	if len(cl.Properties.Username) == 0 {
		return cl.ID
	}
	return string(cl.Properties.Username) + "\x00" + cl.ID // NUL is in neither [MQTT-1.5.4-2]
}

// sequence reads the producer sequence; 0 when there is none.
func sequence(props []packets.UserProperty) (uint64, error) {
	for _, p := range props {
		if p.Key != SequenceProperty {
			continue
		}
		n, err := strconv.ParseUint(p.Val, 10, 64)
		if err != nil || n == 0 {
			return 0, fmt.Errorf("%s: want a decimal number from 1", SequenceProperty)
		}
		return n, nil
	}
	return 0, nil
}

var (
	qosLabels  = [...]string{"0", "1", "2"}
	boolLabels = map[bool]string{false: "0", true: "1"}
)
