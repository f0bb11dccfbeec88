package mqtt

import (
	"slices"
	"strconv"
	"time"

	"plumbline/harness/conform"
)

// numbered publishes 0 … n-1, without waiting for one before the next.
func (c *client) numbered(topic string, qos byte, n int) {
	window := min(20, int(c.s.server.receiveMax)) // of 3.1.1 nothing is known but that of 5.0
	for first := 0; first < n; first += window {
		last := min(first+window, n)
		for i := first; i < last; i++ {
			p := publish{topic: topic, payload: strconv.Itoa(i), qos: qos}
			if qos > 0 {
				p.id = c.newID()
			}
			c.send(p.bytes(c.version))
		}
		c.settle(qos, last-first)
		if c.t.Decided() {
			return
		}
	}
}

// settle carries the handshakes of n messages through.
func (c *client) settle(qos byte, n int) {
	deadline := time.Now().Add(2 * c.t.Patience())
	for done := 0; qos > 0 && done < n && !c.t.Decided(); {
		p, ok := c.read(deadline)
		if !ok {
			c.t.Unsuref("%d of %d messages with QoS %d were not acknowledged: %s", n-done, n, qos, c.state())
			return
		}
		switch p.kind {
		case pktPuback, pktPubrec:
			if c.refused(p); p.kind == pktPubrec {
				c.send(ack(pktPubrel, p.id))
				continue
			}
			done++
		case pktPubcomp:
			done++
		default:
			if c.answer(p); p.kind == pktPublish {
				c.inbox = append(c.inbox, p)
			}
		}
	}
}

// ordered demands that messages which may be lost, as those of QoS 0, come with
// rising numbers.
func ordered(t *conform.Trial, got []packet) {
	last := -1
	for _, p := range got {
		n, err := strconv.Atoi(string(p.payload))
		if (err != nil || n <= last) && !t.Decided() {
			t.Failf("behind message %d came the one with number %q", last, clip(p.payload))
		}
		last = n
	}
	if len(got) < 2 {
		t.Unsuref("%d messages came, which show no order", len(got))
	}
}

// inOrder demands that messages are 0 … n-1.
func inOrder(t *conform.Trial, got []packet, n int) {
	if t.Decided() {
		return
	}
	for i, p := range got {
		if string(p.payload) != strconv.Itoa(i) {
			t.Failf("as message %d of %d came the one with number %q", i, n, clip(p.payload))
			return
		}
	}
	if len(got) != n {
		t.Failf("%d of %d messages came", len(got), n)
	}
}

func (s *suite) qosChecks() []conform.Check {
	lower := func(t *conform.Trial, v byte) {
		for _, asked := range []byte{0, 1, 2} {
			sub, topic, granted := s.listens(t, v, asked)
			pub := s.join(t, v, "pub")
			for sent := byte(0); sent < 3; sent++ {
				pub.publish(publish{topic: topic, payload: "x", qos: sent})
				if p := sub.take("x"); p.qos() != min(granted, sent) && !t.Decided() {
					t.Failf("sent with QoS %d, granted %d: %s", sent, granted, p)
				}
			}
		}
	}
	order := func(qos byte, n int) func(*conform.Trial, byte) {
		return func(t *conform.Trial, v byte) {
			sub, topic := s.listener(t, v, qos)
			pub := s.join(t, v, "pub")
			pub.numbered(topic, qos, n)
			if got := sub.messages(strconv.Itoa(n - 1)); qos == 0 {
				ordered(t, got)
			} else {
				inOrder(t, got, n)
			}
		}
	}
	return slices.Concat(
		s.both("3.8.4-6", "3.8.4-8", "", must, "A message shall arrive with the lower of its QoS and the granted one.", lower, LacksQoS2),
		s.both("4.3.3-2", "4.3.3-8", "", must, "A PUBLISH of QoS 2 shall be answered by PUBREC, its PUBREL by PUBCOMP.", func(t *conform.Trial, v byte) {
			c := s.join(t, v, "two")
			c.send(publish{topic: s.topic(), qos: 2, id: 77}.bytes(v))
			p := c.want(pktPubrec, "PUBLISH with QoS 2")
			if p.id != 77 && !t.Decided() {
				t.Failf("%s for %d", p, p.id)
			}
			c.refused(p)
			c.send(ack(pktPubrel, 77))
			if p := c.want(pktPubcomp, "PUBREL"); (p.id != 77 || p.code != 0) && !t.Decided() {
				t.Failf("%s for %d", p, p.id)
			}
		}, LacksQoS2),
		s.both("4.3.3-2", "4.3.3-10", "d", must, "A PUBLISH of QoS 2 that is sent again before PUBREL shall be delivered once.", s.onceOnly, LacksQoS2),
		s.both("4.3.3-2", "4.3.3-12", "e", must, "After PUBCOMP the same identifier shall be a new message.", func(t *conform.Trial, v byte) {
			sub, topic := s.listener(t, v, 2)
			pub := s.join(t, v, "pub")
			for _, payload := range []string{"one", "two"} {
				pub.publish(publish{topic: topic, payload: payload, qos: 2, id: 5})
				sub.take(payload)
			}
		}, LacksQoS2),
		s.both("4.3.3-1", "4.3.3-4", "", must, "A server shall answer PUBREC by PUBREL with the same identifier and no failure.", s.releases, LacksQoS2),
		s.both("4.6.0-6", "4.6.0-5", "a", must, "Messages of one topic with QoS 0 shall arrive in the order of one publisher.", order(0, 300)),
		s.both("4.6.0-6", "4.6.0-5", "b", must, "Messages of one topic with QoS 1 shall arrive in the order of one publisher.", order(1, 300)),
		s.both("4.6.0-6", "4.6.0-5", "c", must, "Messages of one topic with QoS 2 shall arrive in the order of one publisher.", order(2, 100), LacksQoS2),
		s.both("2.3.1", "2.2.1", "ids", must, "The identifiers of the two directions shall not touch each other.", s.twoDirections, LacksSessions),
	)
}

func (s *suite) onceOnly(t *conform.Trial, v byte) {
	sub, topic := s.listener(t, v, 2)
	pub := s.join(t, v, "pub")
	first := publish{topic: topic, payload: "once", qos: 2, id: 8}
	again := first
	again.dup = true
	pub.send(first.bytes(v))
	pub.need(pktPubrec, "PUBLISH with QoS 2")
	pub.send(again.bytes(v))
	pub.want(pktPubrec, "the same PUBLISH with DUP")
	pub.send(ack(pktPubrel, 8))
	pub.need(pktPubcomp, "PUBREL")
	pub.publish(publish{topic: topic, payload: "marker", qos: 2})
	if got := sub.messages("marker"); len(got) != 2 && !t.Decided() {
		t.Failf("what came: %s", list(got))
	}
}

// releases receives two messages of QoS 2, in version 5 with a window of one.
func (s *suite) releases(t *conform.Trial, v byte) {
	change := func(*connect) {}
	if v == v5 {
		change = withProps(num(propReceiveMax, 1))
	}
	sub, topic := s.listener(t, v, 2, change)
	sub.manual = true
	pub := s.join(t, v, "pub")
	pub.publish(publish{topic: topic, payload: "1", qos: 2})
	pub.publish(publish{topic: topic, payload: "2", qos: 2})
	for _, payload := range []string{"1", "2"} {
		p := sub.take(payload)
		sub.send(ack(pktPubrec, p.id))
		if rel := sub.want(pktPubrel, "PUBREC"); (rel.id != p.id || rel.code != 0) && !t.Decided() {
			t.Failf("message %s with id %d was released by %s for id %d", payload, p.id, rel, rel.id)
		}
		sub.send(ack(pktPubcomp, p.id))
	}
}

// twoDirections leaves a message of the server open while the client uses the
// same identifier; it must come again on the next connection.
func (s *suite) twoDirections(t *conform.Trial, v byte) {
	sub, topic := s.listener(t, v, 1, lasting)
	defer s.forget(v, sub.id)
	sub.manual = true
	s.join(t, v, "pub").publish(publish{topic: topic, payload: "open", qos: 1})
	p := sub.take("open")
	sub.publish(publish{topic: s.topic(), payload: "other way", qos: 1, id: p.id})
	sub.send(subscribe(v, p.id, nil, filter{s.topic(), 0}))
	if a := sub.want(pktSuback, "SUBSCRIBE with the identifier of an open message of the server"); !t.Decided() && !a.grants() {
		t.Failf("%s", a)
	}
	sub.c.Abort()
	again := s.rejoin(t, v, sub.id, lasting)
	again.take("open")
}

func (s *suite) resendChecks() []conform.Check {
	return slices.Concat(
		s.both("4.4.0-1", "4.4.0-1", "a", must, "Open messages of QoS 1 shall come again on the next connection, with DUP and their identifiers.",
			func(t *conform.Trial, v byte) { s.resent(t, v, 10) }, LacksSessions),
		s.both("4.6.0-1", "4.6.0-1", "", must, "Open messages shall come again in the order in which they were sent first.",
			func(t *conform.Trial, v byte) { s.resent(t, v, 15) }, LacksSessions),
		s.both("4.4.0-1", "4.4.0-1", "b", must, "A message whose PUBREC came shall go on with PUBREL on the next connection.", s.resumesRelease, LacksSessions, LacksQoS2),
		s.both("3.3.1-3", "3.3.1-3", "", must, "Messages that waited for an absent client shall come with DUP 0 when they are sent first.",
			func(t *conform.Trial, v byte) {
				for _, p := range s.queued(t, v) {
					if p.dup() {
						t.Failf("%s, which was never sent before", p)
					}
				}
			}, LacksSessions),
		s.both("4.6.0-6", "4.6.0-5", "d", must, "Messages that waited for an absent client shall come in the order of their publisher.",
			func(t *conform.Trial, v byte) { inOrder(t, s.queued(t, v), queuedMessages) }, LacksSessions),
		s.both("4.4.0", "4.4.0", "old", should, "An acknowledgement of a message that the new connection did not send shall not come on it.", s.oldAcks, LacksSessions),
	)
}

// queuedMessages is how many wait for an absent client.
const queuedMessages = 50

// queued publishes to an absent client and returns what it gets when it comes
// back.
func (s *suite) queued(t *conform.Trial, v byte) []packet {
	sub, topic := s.listener(t, v, 1, lasting)
	defer s.forget(v, sub.id)
	sub.leave()
	s.join(t, v, "pub").numbered(topic, 1, queuedMessages)
	again := s.rejoin(t, v, sub.id, lasting)
	if !again.connack.present {
		t.Unsuref("the session was not kept")
	}
	return again.upTo(queuedMessages)
}

// resent leaves up to n messages open, as many as the server sends before it
// wants acknowledgements, and compares what comes again.
func (s *suite) resent(t *conform.Trial, v byte, n int) {
	sub, topic := s.listener(t, v, 1, lasting)
	defer s.forget(v, sub.id)
	sub.manual = true
	s.join(t, v, "pub").numbered(topic, 1, n)
	first := sub.messages(strconv.Itoa(n - 1))
	if n = len(first); n < 2 {
		t.Unsuref("%d messages came at first", n)
		return
	}
	sub.c.Abort()
	again := s.rejoin(t, v, sub.id, lasting)
	again.manual = true
	second := again.upTo(n)
	for i, p := range second {
		if t.Decided() {
			return
		}
		if p.id != first[i].id || string(p.payload) != string(first[i].payload) || !p.dup() {
			t.Failf("as number %d came again: %s %q; at first it was %s %q", i, p, clip(p.payload), first[i], clip(first[i].payload))
		}
	}
	if len(second) != n && !t.Decided() {
		t.Failf("%d of %d open messages came again", len(second), n)
	}
}

func (s *suite) resumesRelease(t *conform.Trial, v byte) {
	sub, topic := s.listener(t, v, 2, lasting)
	defer s.forget(v, sub.id)
	sub.manual = true
	s.join(t, v, "pub").publish(publish{topic: topic, payload: "two", qos: 2})
	p := sub.take("two")
	sub.send(ack(pktPubrec, p.id))
	sub.need(pktPubrel, "PUBREC")
	sub.c.Abort()
	again := s.rejoin(t, v, sub.id, lasting)
	again.manual = true
	if rel, ok := again.await(pktPubrel); (!ok || rel.id != p.id || len(again.inbox) > 0) && !t.Decided() {
		t.Failf("PUBREL for id %d was to come; %s for %d, and %d messages", p.id, rel, rel.id, len(again.inbox))
	}
	again.send(ack(pktPubcomp, p.id))
}

// oldAcks cuts the connection with messages under way, several times: whether
// the server had taken them yet is a race.
func (s *suite) oldAcks(t *conform.Trial, v byte) {
	id := s.unique("cutter")
	defer s.forget(v, id)
	topic := s.topic()
	for range 12 {
		c := s.rejoin(t, v, id, lasting)
		var all []byte
		for i := range 40 {
			all = append(all, publish{topic: topic, payload: "x", qos: 1, id: uint16(100 + i)}.bytes(v)...)
		}
		c.send(all)
		c.c.Abort()
		again := s.rejoin(t, v, id, lasting)
		again.send(pingreq)
		deadline := time.Now().Add(t.Patience())
		for !t.Decided() {
			p, ok := again.read(deadline)
			if ok && p.kind == pktPuback {
				t.Failf("PUBACK for id %d, which this connection never sent", p.id)
			}
			if !ok || p.kind == pktPingresp {
				break
			}
		}
		again.leave()
	}
	t.Sayf("not seen in 12 cuts with 40 messages under way; it is a race")
}
