package mqtt

import (
	"fmt"
	"slices"

	"plumbline/harness/conform"
)

// closes sends something to a fresh session and demands its end.
func (s *suite) closes(what string, raw func(v byte) []byte) func(*conform.Trial, byte) {
	return func(t *conform.Trial, v byte) {
		c := s.join(t, v, "bad")
		c.send(raw(v))
		c.ends(what)
	}
}

func fixed(raw ...byte) func(byte) []byte { return func(byte) []byte { return raw } }

func (s *suite) packetChecks() []conform.Check {
	fromServer := func(t *conform.Trial, v byte) {
		for _, raw := range [][]byte{{pktConnack << 4, 2, 0, 0}, {pktSuback << 4, 3, 0, 1, 0}, {pktPingresp << 4, 0}} {
			s.closes(kindNames[raw[0]>>4]+" from a client", fixed(raw...))(t, v)
		}
	}
	return slices.Concat(
		s.streamChecks(),
		s.both("3.12.4-1", "3.12.4-1", "", must, "PINGREQ shall be answered by PINGRESP.", func(t *conform.Trial, v byte) {
			c := s.join(t, v, "ping")
			c.send(pingreq)
			c.want(pktPingresp, "PINGREQ")
		}),
		s.both("2.2.3", "1.5.5", "", must, "A remaining length of five bytes shall end the connection.",
			s.closes("a length of five bytes", fixed(pktPingreq<<4, 0x80, 0x80, 0x80, 0x80, 0x01))),
		s.both("2.2.1", "2.1.2", "", must, "The reserved packet type 0 shall end the connection.", s.closes("packet type 0", fixed(0, 0))),
		s.both("2.2.2-2", "2.1.3-1", "a", must, "PINGREQ with reserved flags shall end the connection.", s.closes("PINGREQ with flags 0001", fixed(pktPingreq<<4|1, 0))),
		s.both("2.2.2-2", "2.1.3-1", "b", must, "DISCONNECT with reserved flags shall end the connection.",
			s.closes("DISCONNECT with flags 0001", fixed(pktDisconnect<<4|1, 0))),
		s.both("3.6.1-1", "3.6.1-1", "", must, "PUBREL without its flags shall end the connection.", s.closes("PUBREL with flags 0000", fixed(pktPubrel<<4, 2, 0, 1))),
		s.both("3.8.1-1", "3.8.1-1", "", must, "SUBSCRIBE without its flags shall end the connection.",
			s.closes("SUBSCRIBE with flags 0000", func(v byte) []byte {
				raw := subscribe(v, 1, nil, filter{"a", 0})
				raw[0] &= 0xf0
				return raw
			})),
		s.both("3.10.1-1", "3.10.1-1", "", must, "UNSUBSCRIBE without its flags shall end the connection.",
			s.closes("UNSUBSCRIBE with flags 0000", func(v byte) []byte {
				raw := unsubscribe(v, 1, "a")
				raw[0] &= 0xf0
				return raw
			})),
		s.both("4.8.0-1", "4.13.1-1", "a", must, "A packet that only a server may send shall end the connection.", fromServer),
		[]conform.Check{
			s.check(v311, "2.2.1", "b", must, "The reserved packet type 15 shall end the connection.", func(t *conform.Trial) {
				s.closes("packet type 15", fixed(pktAuth<<4, 0))(t, v311)
			}, nil),
			s.five("4.12.0", "", must, "AUTH from a client without an authentication method shall end the connection.", func(t *conform.Trial) {
				s.closes("AUTH", fixed(pktAuth<<4, 0))(t, v5)
			}),
			s.five("3.14.2.2.2", "", must, "A session that was to end with its connection shall not be given a life by DISCONNECT.", func(t *conform.Trial) {
				c := s.join(t, v5, "resurrect")
				defer s.forget(v5, c.id)
				c.send(disconnect(0, num(propSessionExpiry, 60)))
				c.gone()
				if again := s.rejoin(t, v5, c.id, keep); again.connack.present && !t.Decided() {
					t.Failf("the session is still there")
				}
			}),
		},
	)
}

func (s *suite) streamChecks() []conform.Check {
	return s.both("4.2.0-1", "4.2.0-1", "", must, "Packets shall be understood however they are cut into segments.", func(t *conform.Trial, v byte) {
		c := s.join(t, v, "cut")
		topic := s.topic()
		for _, b := range subscribe(v, 7, nil, filter{topic, 0}) {
			c.send([]byte{b})
		}
		c.want(pktSuback, "a SUBSCRIBE in segments of one byte")
		c.send(publish{topic: topic, payload: "1"}.bytes(v), publish{topic: topic, payload: "2"}.bytes(v), pingreq)
		for i := range 2 {
			c.take(fmt.Sprint(i + 1))
		}
	})
}

func (s *suite) publishChecks() []conform.Check {
	bad := func(what string, p publish) func(*conform.Trial, byte) {
		return s.closes(what, p.bytes)
	}
	root := s.o.Topics
	return slices.Concat(
		s.both("3.3.1-4", "3.3.1-4", "", must, "A PUBLISH with QoS 3 shall end the connection.", bad("QoS 3", publish{topic: root, qos: 3, id: 1})),
		s.both("3.3.1-2", "3.3.1-2", "", must, "A message of QoS 0 shall not be delivered with DUP.", func(t *conform.Trial, v byte) {
			sub, topic := s.listener(t, v, 0)
			pub := s.join(t, v, "dup")
			pub.send(publish{topic: topic, payload: "dup", dup: true}.bytes(v))
			if p, ok := sub.message(t.Patience() / 2); ok && p.dup() {
				t.Failf("%s", p)
			}
		}),
		s.both("3.3.2-2", "3.3.2-2", "", must, "A topic with a wildcard shall be refused or end the connection.", s.refusesTopic("a/+/b", "a/#")),
		s.both("4.7.3-1", "4.7.3-1", "", must, "An empty topic shall end the connection.", bad("an empty topic", publish{topic: "", payload: "x"})),
		s.both("1.5.3-2", "1.5.4-2", "b", must, "A topic with U+0000 shall end the connection.", bad("a topic with U+0000", publish{topic: "a\x00b", payload: "x"})),
		s.both("1.5.3-1", "1.5.4-1", "c", must, "A topic that is not UTF-8 shall end the connection.", bad("a topic of bytes c0 af", publish{topic: "\xc0\xaf", payload: "x"})),
		s.both("2.3.1-1", "2.2.1-3", "a", must, "Packet identifier 0 in PUBLISH shall end the connection.", bad("packet identifier 0", publish{topic: root, qos: 1})),
		s.both("2.3.1-1", "2.2.1-3", "b", must, "Packet identifier 0 in SUBSCRIBE shall end the connection.",
			s.closes("packet identifier 0", func(v byte) []byte { return subscribe(v, 0, nil, filter{root, 0}) })),
		s.both("4.8.0-1", "4.13.1-1", "b", must, "A PUBLISH that ends inside its topic shall end the connection.",
			s.closes("a topic longer than the packet", fixed(pktPublish<<4, 4, 0, 9, 'a', 'b'))),
		s.both("4.3.2-2", "4.3.2-4", "a", must, "A PUBLISH of QoS 1 shall be answered by PUBACK with its identifier.", func(t *conform.Trial, v byte) {
			c := s.join(t, v, "puback")
			c.send(publish{topic: s.topic(), qos: 1, id: 4711}.bytes(v))
			if p := c.want(pktPuback, "PUBLISH with QoS 1"); p.id != 4711 && !t.Decided() {
				t.Failf("PUBACK for %d, it was 4711", p.id)
			}
		}),
		s.both("4.3.2-2", "4.3.2-4", "b", must, "A PUBLISH of QoS 1 to $SYS shall be answered too, or end the connection.", func(t *conform.Trial, v byte) {
			c := s.join(t, v, "sys")
			c.send(publish{topic: "$SYS/plumbline", qos: 1, id: 9}.bytes(v))
			if _, ok := c.await(pktPuback); !ok && !c.c.Ended() && !t.Decided() {
				t.Failf("neither PUBACK nor the end of the connection within %s", t.Patience())
			}
		}),
		s.both("3.3.1", "3.3.2", "", must, "A message shall arrive with the payload that was sent, empty, binary or long.", s.payloads),
	)
}

// refusesTopic demands of topics that no message may have that they end the
// connection, or in version 5 bring a reason code of refusal.
func (s *suite) refusesTopic(topics ...string) func(*conform.Trial, byte) {
	return func(t *conform.Trial, v byte) {
		for _, topic := range topics {
			c := s.join(t, v, "wild")
			c.send(publish{topic: topic, payload: "x", qos: 1, id: 3}.bytes(v))
			p, ok := c.await(pktPuback)
			switch {
			case t.Decided():
			case ok && p.code >= 0x80:
				t.Sayf("refused with code %#02x", p.code)
			case ok:
				t.Failf("the topic %q was accepted: %s", topic, p)
			case !c.c.Ended():
				t.Failf("the topic %q: neither a refusal nor the end of the connection within %s", topic, t.Patience())
			}
		}
	}
}

// listener joins a client that is subscribed to a topic of its own with that
// QoS. Where the server grants less, the case does not apply.
func (s *suite) listener(t *conform.Trial, v, qos byte, changes ...func(*connect)) (*client, string) {
	c, topic, granted := s.listens(t, v, qos, changes...)
	if granted < qos {
		t.Skipf("the server grants QoS %d to who asks for %d, which it may", granted, qos)
	}
	return c, topic
}

// listens is listener that tells what was granted.
func (s *suite) listens(t *conform.Trial, v, qos byte, changes ...func(*connect)) (c *client, topic string, granted byte) {
	c, topic = s.join(t, v, "sub", changes...), s.topic()
	if codes := c.subscribeWith(nil, filter{topic, qos}); len(codes) > 0 {
		granted = codes[0]
	}
	return c, topic, granted
}

func (s *suite) payloads(t *conform.Trial, v byte) {
	sub, topic := s.listener(t, v, 1)
	pub := s.join(t, v, "pub")
	long := make([]byte, min(20_000, int(max(s.server.maxPacket, 1024))-512)) // the topic wants room too
	for i := range long {
		long[i] = byte(i)
	}
	for _, payload := range []string{"", "\x00\xff\xfe binary", string(long)} {
		pub.publish(publish{topic: topic, payload: payload, qos: 1})
		if p, ok := sub.message(t.Patience()); (!ok || string(p.payload) != payload) && !t.Decided() {
			t.Failf("%d bytes were sent, %d came", len(payload), len(p.payload))
		}
	}
}
