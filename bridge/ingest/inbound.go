package ingest

import (
	"strings"

	mqtt "github.com/mochi-mqtt/server/v2"
	"github.com/mochi-mqtt/server/v2/packets"

	"plumbline/bridge/topic"
)

// handle does what a packet of an established client asks. A packets.Code ends the connection with it, any other error without
// a word.
func (h *hook) handle(cl *mqtt.Client, c *conn, pk packets.Packet) error {
	s := c.session
	if s == nil {
		return packets.ErrProtocolViolation
	}
	switch pk.FixedHeader.Type {
	case packets.Publish:
		return h.publish(cl, c, s, pk)
	case packets.Puback:
		s.done(pk.PacketID)
		s.kickWaiting()
	case packets.Pubrec:
		return s.received(cl, pk)
	case packets.Pubcomp:
		s.done(pk.PacketID)
		s.kickWaiting()
	case packets.Pubrel:
		return s.release(cl, pk)
	case packets.Subscribe:
		return h.subscribe(cl, s, pk)
	case packets.Unsubscribe:
		return h.unsubscribe(cl, s, pk)
	case packets.Auth: // nobody began an extended authentication [MQTT-4.12.0-6]
		return packets.ErrProtocolViolation
	}
	return nil
}

// received takes PUBREC: the client has the message, and must be told so until it has heard it [MQTT-4.3.3-4..7].
func (s *session) received(cl *mqtt.Client, pk packets.Packet) error {
	if cl.Properties.ProtocolVersion == 5 && pk.ReasonCode >= packets.ErrUnspecifiedError.Code {
		s.done(pk.PacketID)
		s.kick()
		return nil
	}
	s.mu.Lock()
	f := s.find(pk.PacketID)
	known := f != nil && f.qos == 2
	if known {
		f.released, s.dirty = true, true
	}
	lasting := known && s.keep
	s.mu.Unlock()
	if lasting {
		s.saveOr("PUBREC")
	}
	rel := packets.Packet{FixedHeader: packets.FixedHeader{Type: packets.Pubrel, Qos: 1}, PacketID: pk.PacketID}
	if !known {
		rel.ReasonCode = packets.ErrPacketIdentifierNotFound.Code
	}
	_ = cl.WritePacket(rel) // a failed write has closed the connection, here and below
	return nil
}

// release takes PUBREL: the client will not send the message again [MQTT-4.3.3-11].
func (s *session) release(cl *mqtt.Client, pk packets.Packet) error {
	s.mu.Lock()
	_, known := s.taken[pk.PacketID]
	delete(s.taken, pk.PacketID)
	s.dirty = s.dirty || known
	s.mu.Unlock()
	if known {
		if err := s.save(); err != nil { // after a crash the next message with this identifier would count as this one, and be lost
			s.ss.b.log.Error("mqtt session not saved, so the message is not completed", "client", s.id, "error", err)
			s.mu.Lock()
			s.taken[pk.PacketID] = struct{}{}
			s.mu.Unlock()
			return packets.ErrQuotaExceeded
		}
	}
	comp := packets.Packet{FixedHeader: packets.FixedHeader{Type: packets.Pubcomp}, PacketID: pk.PacketID}
	if !known {
		comp.ReasonCode = packets.ErrPacketIdentifierNotFound.Code
	}
	_ = cl.WritePacket(comp)
	return nil
}

// subscribe answers when the subscriptions are as safe as the session is [MQTT-3.8.4-1].
func (h *hook) subscribe(cl *mqtt.Client, s *session, pk packets.Packet) error {
	if code := pk.SubscribeValidate(); code != packets.CodeSuccess {
		return code
	}
	if len(pk.Properties.SubscriptionIdentifier) > 1 { // MQTT 5 section 3.8.2.1.2
		return packets.ErrProtocolViolation
	}
	for _, f := range pk.Filters {
		if f.RetainHandling > 2 || f.Identifier == 0 && len(pk.Properties.SubscriptionIdentifier) > 0 {
			return packets.ErrProtocolViolation
		}
	}
	// The standard allows messages of a subscription before its SUBACK (MQTT 5 section 3.8.4); few clients expect them.
	s.answering.Lock()
	defer s.answering.Unlock()
	codes := make([]byte, len(pk.Filters))
	var added []*subscription
	for i, f := range pk.Filters {
		code := h.mayFilter(cl, f.Filter)
		if code == packets.CodeSuccess {
			var sub *subscription
			if sub, code = s.subscribe(f); sub != nil {
				added = append(added, sub)
			}
		}
		codes[i] = code.Code
	}
	if err := s.save(); err != nil {
		h.b.log.Error("mqtt session not saved, so the subscriptions are refused", "client", s.id, "error", err)
		for _, sub := range added {
			s.unsubscribe(sub.filter)
		}
		for i := range codes {
			codes[i] = max(codes[i], packets.ErrQuotaExceeded.Code)
		}
	}
	if cl.Properties.ProtocolVersion < 5 {
		for i := range codes {
			codes[i] = min(codes[i], packets.ErrUnspecifiedError.Code) // the one refusal of 3.1.1
		}
	}
	ack := packets.Packet{FixedHeader: packets.FixedHeader{Type: packets.Suback}, PacketID: pk.PacketID, ReasonCodes: codes}
	_ = cl.WritePacket(ack)
	s.kick()
	return nil
}

// mayFilter checks a filter and asks the access list for it.
func (h *hook) mayFilter(cl *mqtt.Client, filter string) packets.Code {
	switch {
	case filter == "$share" || strings.HasPrefix(filter, "$share/"): // they park messages at absent members (M23)
		return packets.ErrSharedSubscriptionsNotSupported
	case topic.ValidFilter(filter) != nil:
		return packets.ErrTopicFilterInvalid
	case strings.Count(filter, "/") >= maxLevels:
		return packets.ErrQuotaExceeded
	case !h.may(cl, filter, false):
		return packets.ErrNotAuthorized
	}
	return packets.CodeSuccess
}

// subscribe adds or replaces a subscription. It returns the new one, nil when it replaced or refused.
func (s *session) subscribe(f packets.Subscription) (*subscription, packets.Code) {
	s.ss.mu.Lock()
	defer s.ss.mu.Unlock()
	s.mu.Lock()
	defer s.mu.Unlock()
	head := s.ss.log.Head().Offset
	sub, existed := s.subs[f.Filter]
	switch {
	case s.ended:
		return nil, packets.ErrUnspecifiedError
	case !existed && (len(s.subs) >= maxFilters || s.filters+len(f.Filter) > maxFilterBytes):
		return nil, packets.ErrQuotaExceeded
	case !existed:
		sub = &subscription{s: s, filter: f.Filter, since: head}
		s.subs[f.Filter] = sub
		s.filters += len(f.Filter)
		s.ss.tree.Add(sub.filter, sub)
	}
	sub.subOptions = subOptions{f.Qos, f.NoLocal, f.RetainAsPublished, f.Identifier}
	if f.RetainHandling == 0 || f.RetainHandling == 1 && !existed { // [MQTT-3.3.1-9..11]
		s.dropLoading(sub)
		sub.retainedFrom, sub.retainedTo = 0, head
	}
	s.dirty = true
	if existed {
		return nil, packets.QosCodes[f.Qos]
	}
	return sub, packets.QosCodes[f.Qos]
}

// dropLoading forgets the retained messages that wait for sub. Called with mu held.
func (s *session) dropLoading(sub *subscription) {
	if s.loading == sub {
		s.loading, s.retained = nil, nil
	}
}

// unsubscribe takes a subscription away; what is in the queue may still be delivered (MQTT 5 section 3.10.4).
func (s *session) unsubscribe(filter string) bool {
	s.ss.mu.Lock()
	defer s.ss.mu.Unlock()
	s.mu.Lock()
	defer s.mu.Unlock()
	sub, ok := s.subs[filter]
	if !ok {
		return false
	}
	s.dropLoading(sub)
	delete(s.subs, filter)
	s.filters -= len(filter)
	s.ss.tree.Remove(filter, sub)
	s.dirty = true
	return true
}

func (h *hook) unsubscribe(cl *mqtt.Client, s *session, pk packets.Packet) error {
	if code := pk.UnsubscribeValidate(); code != packets.CodeSuccess {
		return code
	}
	codes := make([]byte, len(pk.Filters))
	for i, f := range pk.Filters {
		if !s.unsubscribe(f.Filter) {
			codes[i] = packets.CodeNoSubscriptionExisted.Code
		}
	}
	s.saveOr("UNSUBSCRIBE")
	ack := packets.Packet{FixedHeader: packets.FixedHeader{Type: packets.Unsuback}, PacketID: pk.PacketID, ReasonCodes: codes}
	_ = cl.WritePacket(ack)
	return nil
}
