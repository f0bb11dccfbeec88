package ingest

import (
	"bytes"
	"errors"
	"slices"
	"strings"
	"time"

	mqtt "github.com/mochi-mqtt/server/v2"
	"github.com/mochi-mqtt/server/v2/packets"

	"plumbline/bridge/journal"
	"plumbline/bridge/topic"
)

// pumpBatch is how many packets go to a client in one write at most.
const pumpBatch = 64

// retainedChunk is how many retained messages wait in memory for one new subscription.
const retainedChunk = 4096

// kick makes the session send what it can. It never blocks.
func (s *session) kick() {
	s.mu.Lock()
	defer s.mu.Unlock()
	if !s.up {
		return
	}
	s.again = true
	if !s.pumping {
		s.pumping = true
		s.ss.pumps.Add(1)
		go s.pump()
	}
}

// pump sends until nothing can be sent: the client has enough under way, or everything.
func (s *session) pump() {
	defer s.ss.pumps.Done()
	for {
		s.mu.Lock()
		s.again = false
		s.mu.Unlock()
		more := s.fill()
		sent, broken := s.emit()
		if !broken && (sent || more) {
			continue
		}
		s.mu.Lock()
		if !s.again || !s.up {
			s.pumping = false
			s.mu.Unlock()
			return
		}
		s.mu.Unlock()
	}
}

// emit sends the next packets, if there are any.
func (s *session) emit() (sent, broken bool) {
	s.answering.Lock()
	defer s.answering.Unlock()
	cl, c, out, lasting := s.take()
	if len(out) == 0 {
		return false, false
	}
	if lasting {
		s.saveOr("sending") // a message sent once must be known as such after a crash: identifier and DUP
	}
	return true, !s.write(cl, c, out)
}

// fill brings the next messages into memory when none is there, and reports whether it may bring more.
func (s *session) fill() bool {
	s.mu.Lock()
	if !s.up {
		s.mu.Unlock()
		return false
	}
	var lost []*flight // known by their offset only, since a restart
	for _, f := range s.flights {
		if f.Topic == "" {
			lost = append(lost, f)
		}
	}
	var fresh *subscription
	var from, to uint64
	for _, sub := range s.subs {
		if len(s.retained) == 0 && sub.retainedFrom < sub.retainedTo {
			fresh, from, to = sub, sub.retainedFrom, sub.retainedTo
			break
		}
	}
	read, after := s.behind && len(s.queue) == 0, s.seen
	s.mu.Unlock()
	switch {
	case len(lost) > 0:
		return s.recover(lost)
	case fresh != nil:
		s.loadRetained(fresh, from, to)
		return true
	case read:
		return s.catchUp(after)
	}
	return false
}

// loadRetained brings the next retained messages of a new subscription [MQTT-3.3.1-9].
func (s *session) loadRetained(sub *subscription, from, to uint64) {
	var found []journal.Entry
	if exact(sub.filter) {
		if _, e := s.ss.log.RetainedOf(sub.filter); e != nil {
			found = []journal.Entry{*e}
		}
	} else {
		_, found = s.ss.log.RetainedMatching(func(name string) bool { return topic.Match(sub.filter, name) }) // D11
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if !s.up || sub.retainedFrom != from || sub.retainedTo != to {
		return // away, or subscribed anew meanwhile
	}
	s.loading = sub
	var ids []int
	if sub.Identifier > 0 {
		ids = []int{sub.Identifier}
	}
	for i := range found {
		e := &found[i]
		if e.Offset <= from || e.Offset > to || len(e.Payload) == 0 {
			continue
		}
		if len(s.retained) == retainedChunk {
			sub.retainedFrom = s.retained[retainedChunk-1].Offset
			return
		}
		s.retained = append(s.retained, item{Entry: *e, qos: min(e.QoS, sub.QoS), retain: true, stored: true, ids: ids})
	}
	sub.retainedFrom = to
}

// exact reports whether a filter is the name of one topic.
func exact(filter string) bool { return !strings.ContainsAny(filter, "+#") }

// catchUp reads on in the journal, and returns to being offered what comes when it has reached the dispatcher.
func (s *session) catchUp(after uint64) bool {
	entries, err := s.ss.log.ReadInto(nil, after, maxQueue, maxQueueBytes)
	var gone journal.ErrEvicted
	switch {
	case errors.As(err, &gone):
		s.mu.Lock()
		s.seen = gone.First - 1
		s.dirty = true
		s.mu.Unlock()
		s.ss.b.m.MQTTLost.WithLabelValues("retention").Inc()
		s.ss.b.log.Warn("mqtt session: what waited is older than the journal keeps", "client", s.id, "from", after+1, "to", gone.First-1)
		return true
	case err != nil:
		s.ss.b.log.Error("mqtt session: journal not read", "client", s.id, "error", err)
		return false
	}
	s.ss.mu.Lock()
	defer s.ss.mu.Unlock()
	s.mu.Lock()
	defer s.mu.Unlock()
	if !s.up { // away meanwhile: its filters are out of the dispatcher's tree, so it stays behind
		return false
	}
	if s.seen != after || !s.behind || len(s.queue) > 0 {
		return true
	}
	s.takeIn(entries)
	if s.seen >= s.ss.position.Load() {
		s.behind = false // the dispatcher holds sessions.mu while it goes on, so nothing falls between
	}
	return len(entries) > 0
}

// recover reads the messages of flights from before a restart, and reports whether that could be done: else upkeep has it tried
// again.
func (s *session) recover(lost []*flight) bool {
	found := map[*flight]journal.Entry{}
	for _, f := range lost {
		var gone journal.ErrEvicted
		switch entries, err := s.ss.log.ReadInto(nil, f.Offset-1, 1, 1); {
		case err != nil && !errors.As(err, &gone):
			s.ss.b.log.Error("mqtt session: journal not read", "client", s.id, "error", err)
			return false
		case len(entries) == 1 && entries[0].Offset == f.Offset:
			found[f] = entries[0]
		default:
			if _, e := s.ss.log.RetainedOf(f.wanted); e != nil && e.Offset == f.Offset {
				found[f] = *e
			}
		}
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	kept := s.flights[:0]
	for _, f := range s.flights {
		if f.Topic == "" {
			e, ok := found[f]
			if !ok && !f.released {
				s.ss.b.m.MQTTLost.WithLabelValues("retention").Inc()
				s.dirty = true
				continue
			}
			if f.Entry = e; !ok {
				f.Topic = "-" // PUBREL needs no message
			}
		}
		kept = append(kept, f)
	}
	s.flights = kept
	return true
}

// outgoing is a packet for the client; flight is nil for QoS 0.
type outgoing struct {
	packets.Packet
	flight *flight
}

// take chooses what goes out now: first what has to be sent again, then what is new, within the client's Receive Maximum. It
// returns as well whether the state must be saved before.
func (s *session) take() (cl *mqtt.Client, c *conn, out []outgoing, lasting bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if !s.up || s.conn.closing.Load() { // what is never sent is no duplicate later
		return nil, nil, nil, false
	}
	under, size := 0, 0
	for _, f := range s.flights {
		if f.Topic == "" { // not recovered yet
			return nil, nil, nil, false
		}
		if f.sent {
			under++
			size += f.size()
		}
	}
	now := time.Now()
	room := func() bool { return under < s.quota && (under == 0 || size < maxWindowBytes) && len(out) < pumpBatch }
	for i := 0; i < len(s.flights); i++ {
		f := s.flights[i]
		if f.sent {
			continue
		}
		if !room() {
			return s.client, s.conn, out, lasting
		}
		pk, ok := s.resend(f, now)
		if !ok {
			s.flights = slices.Delete(s.flights, i, i+1)
			i--
			s.dirty = true
			continue
		}
		f.sent = true
		under++
		size += f.size()
		out = append(out, outgoing{pk, f})
	}
	for len(out) < pumpBatch {
		it := s.front()
		if it == nil || it.qos > 0 && !room() {
			break
		}
		ready, ok := s.ready(it, false, now)
		if ok && it.qos > 0 {
			f := &flight{item: *it, id: s.freeID(), sent: true}
			s.flights = append(s.flights, f)
			ready.PacketID = f.id
			under++
			size += f.size()
			out = append(out, outgoing{ready, f})
			lasting = lasting || s.keep
		} else if ok {
			out = append(out, outgoing{ready, nil})
		}
		s.pop()
	}
	return s.client, s.conn, out, lasting
}

func (s *session) front() *item {
	switch {
	case len(s.retained) > 0:
		return &s.retained[0]
	case len(s.queue) > 0:
		return &s.queue[0]
	}
	return nil
}

func (s *session) pop() {
	if len(s.retained) > 0 {
		s.retained[0] = item{}
		s.retained = s.retained[1:]
		return
	}
	s.queued -= s.queue[0].size()
	s.queue[0] = item{}
	if s.queue = s.queue[1:]; len(s.queue) == 0 {
		s.queue = nil
	}
}

// ready makes the packet of a message, or says that it is not for the client any more: its time is over [MQTT-3.3.2-5], unless it
// was sent before [MQTT-4.3.3-7], or the access list says so by now.
func (s *session) ready(it *item, again bool, now time.Time) (packets.Packet, bool) {
	lost := func(reason string) { s.ss.b.m.MQTTLost.WithLabelValues(reason).Inc() }
	if !s.allowed(it.Topic) {
		return packets.Packet{}, false
	}
	pk := it.packet()
	if limit := pk.Properties.MessageExpiryInterval; limit > 0 {
		left := int64(limit) - int64(max(now.Sub(it.Time)/time.Second, 0)) // [MQTT-3.3.2-6]
		if left <= 0 && !again {
			lost("expired")
			return pk, false
		}
		pk.Properties.MessageExpiryInterval = uint32(max(left, 1)) // 0 would be left out, which is for ever
	}
	return pk, true
}

// allowed asks the access list of now, also for what waited from before.
func (s *session) allowed(name string) bool {
	u := s.ss.b.opts.Users
	if u == nil || u.may(s.user, s.id, name, false) {
		return true
	}
	s.ss.b.m.Denied.WithLabelValues("deliver").Inc()
	return false
}

func (it *item) packet() packets.Packet {
	_, props, err := parseMeta(it.Meta)
	if err != nil {
		props = packets.Properties{}
	}
	props.SubscriptionIdentifier = it.ids
	return packets.Packet{
		FixedHeader: packets.FixedHeader{Type: packets.Publish, Qos: it.qos, Retain: it.retain}, TopicName: it.Topic, Payload: it.Payload, Properties: props,
	}
}

// resend makes the packet of a message that was under way on an earlier connection, like ready.
func (s *session) resend(f *flight, now time.Time) (packets.Packet, bool) {
	if f.released {
		return packets.Packet{FixedHeader: packets.FixedHeader{Type: packets.Pubrel, Qos: 1}, PacketID: f.id}, true
	}
	pk, ok := s.ready(&f.item, f.dup, now)
	pk.PacketID, pk.FixedHeader.Dup = f.id, f.dup // D1 [MQTT-3.3.1-1]
	return pk, ok
}

// freeID returns the next packet identifier that no message to the client has. It is no matter which ones the client uses for
// its own (M3). Called with mu held; there are more identifiers than flights.
func (s *session) freeID() uint16 {
	for {
		if s.lastID++; s.lastID != 0 && s.find(s.lastID) == nil {
			return s.lastID
		}
	}
}

func (s *session) find(id uint16) *flight {
	for _, f := range s.flights {
		if f.id == id {
			return f
		}
	}
	return nil
}

// write sends the packets and reports whether the connection still takes more.
func (s *session) write(cl *mqtt.Client, c *conn, out []outgoing) bool {
	c.cork()
	for i := range out {
		if tooLarge(cl, out[i].Packet) { // as if it had been delivered [MQTT-3.1.2-25]
			s.ss.b.m.MQTTLost.WithLabelValues("size").Inc()
			if out[i].flight != nil {
				s.done(out[i].flight.id)
			}
			continue
		}
		if err := cl.WritePacket(out[i].Packet); err != nil {
			_ = c.uncork()
			return false
		}
		s.ss.b.m.MQTTSent.Inc()
	}
	return c.uncork() == nil
}

// tooLarge reports whether a packet is larger than the client takes. The library leaves out properties instead.
func tooLarge(cl *mqtt.Client, pk packets.Packet) bool {
	limit := cl.Properties.Props.MaximumPacketSize
	if limit == 0 || pk.FixedHeader.Type != packets.Publish {
		return false
	}
	pk.ProtocolVersion, pk.Mods.AllowResponseInfo = cl.Properties.ProtocolVersion, true
	var buf bytes.Buffer
	return pk.PublishEncode(&buf) == nil && buf.Len() > int(limit)
}

// done takes a message off that the client has, or does not want.
func (s *session) done(id uint16) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for i, f := range s.flights {
		if f.id == id {
			s.flights = slices.Delete(s.flights, i, i+1)
			s.dirty = true
			return
		}
	}
}
