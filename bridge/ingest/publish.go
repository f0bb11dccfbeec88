package ingest

import (
	"errors"
	"fmt"
	"strconv"
	"time"

	mqtt "github.com/mochi-mqtt/server/v2"
	"github.com/mochi-mqtt/server/v2/packets"

	"plumbline/bridge/journal"
)

// SequenceProperty is the MQTT 5 user property that carries a producer's own sequence number, decimal, from 1, rising with
// each new message. A message whose number is not above the last one stored for the client id is acknowledged and not stored
// again, so that a resent message has its effect once, over restarts of the bridge too. A refused message is over; published
// anew, it takes the next number.
const SequenceProperty = "plumbline-seq"

// OnPublish implements mqtt.Hook. It runs before PUBACK and PUBREC, so an acknowledged message is in the journal (M4).
func (h *hook) OnPublish(cl *mqtt.Client, pk packets.Packet) (packets.Packet, error) {
	c := connOf(cl)
	if c != nil && c.refused {
		return pk, packets.ErrRejectPacket
	}
	start := time.Now()
	m := journal.Message{Topic: pk.TopicName, Payload: pk.Payload, QoS: pk.FixedHeader.Qos, Retain: pk.FixedHeader.Retain, Time: start}
	seq, err := sequence(pk.Properties.User)
	if err != nil {
		return h.refuse(cl, pk, packets.Code{Code: packets.ErrImplementationSpecificError.Code, Reason: err.Error()}, "sequence")
	}
	if seq > 0 {
		m.Producer, m.ProducerSeq = producer(cl), seq
	}
	_, duplicate, err := h.b.opts.Journal.Append(h.b.ctx, m)
	h.b.m.Ingest.Observe(time.Since(start).Seconds())
	switch {
	case errors.Is(err, journal.ErrDegraded):
		return h.refuse(cl, pk, packets.Code{Code: packets.ErrQuotaExceeded.Code, Reason: "the journal is not writable at the moment, try again later"}, "degraded")
	case errors.Is(err, journal.ErrTooLarge):
		return h.refuse(cl, pk, packets.Code{Code: packets.ErrImplementationSpecificError.Code, Reason: "the message is too large for the journal"}, "size")
	case err != nil:
		return h.refuse(cl, pk, asCode(err), "journal")
	case duplicate:
		h.b.m.Duplicates.Inc()
		if c != nil {
			c.noteID, c.note = pk.PacketID, fmt.Sprintf("duplicate: %s %d is stored already", SequenceProperty, seq)
		}
		return pk, packets.CodeSuccessIgnore // acknowledged, sent to nobody
	}
	h.received(pk)
	return pk, nil
}

// refuse declines a publish in the way its protocol version has (M5: a plain error would publish and acknowledge).
func (h *hook) refuse(cl *mqtt.Client, pk packets.Packet, code packets.Code, reason string) (packets.Packet, error) {
	h.b.m.Refused.WithLabelValues(reason).Inc()
	switch {
	case cl.Net.Inline || pk.FixedHeader.Qos == 0:
		return pk, packets.ErrRejectPacket
	case cl.Properties.ProtocolVersion < 5:
		return pk, h.cut(cl)
	}
	h.answer(cl, pk, code)
	return pk, packets.ErrRejectPacket
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

func (h *hook) received(pk packets.Packet) {
	h.b.m.Received.WithLabelValues(qosLabels[pk.FixedHeader.Qos%3], boolLabels[pk.FixedHeader.Retain], boolLabels[pk.FixedHeader.Dup]).Inc()
}
