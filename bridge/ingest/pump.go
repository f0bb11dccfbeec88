package ingest

import (
	"bytes"
	"slices"
	"time"

	mqtt "github.com/mochi-mqtt/server/v2"
	"github.com/mochi-mqtt/server/v2/packets"
)

// pumpBatch is how many packets go to a client in one write at most.
const pumpBatch = 64

// kick makes the session send what it can. It never blocks.
func (s *session) kick() {
	if s.start() {
		go s.pump()
	}
}

// start reports whether a pump is to be started, by the caller. If one runs already it looks once more.
func (s *session) start() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if !s.up {
		return false
	}
	s.again = true
	if s.pumping {
		return false
	}
	s.pumping = true
	s.ss.pumps.Add(1)
	return true
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
		if s.rest() {
			return
		}
	}
}

// rest ends the pump, unless there is something to look at again.
func (s *session) rest() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.again && s.up {
		return false
	}
	s.pumping = false
	return true
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
	for len(out) > 0 {
		var p []byte
		p, out = s.encode(cl, out)
		if _, err := c.Write(p); err != nil {
			return false
		}
	}
	return true
}

// writeBytes is how much is gathered into one write, about.
const writeBytes = 32 << 10

// encode returns the first packets as they go over the wire, and those that did not fit. One that is larger than the client takes is
// left out, as if it had been delivered [MQTT-3.1.2-25]; the library would leave out its properties instead.
func (s *session) encode(cl *mqtt.Client, out []outgoing) (p []byte, left []outgoing) {
	limit := cl.Properties.Props.MaximumPacketSize
	var buf bytes.Buffer
	for len(out) > 0 && buf.Len() < writeBytes {
		o, start := &out[0], buf.Len()
		out = out[1:]
		o.ProtocolVersion, o.Mods.AllowResponseInfo = cl.Properties.ProtocolVersion, true // its properties are the publisher's [MQTT-3.3.2-17]
		encode := o.PublishEncode
		if o.FixedHeader.Type == packets.Pubrel {
			encode = o.PubrelEncode
		}
		if err := encode(&buf); err == nil && (limit == 0 || buf.Len()-start <= int(limit)) {
			s.ss.b.m.MQTTSent.Inc()
			continue
		}
		buf.Truncate(start)
		s.ss.b.m.MQTTLost.WithLabelValues("size").Inc()
		if o.flight != nil {
			s.done(o.flight.id)
		}
	}
	return buf.Bytes(), out
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
