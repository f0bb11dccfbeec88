package mqtt

import (
	"slices"
	"time"

	"plumbline/harness/conform"
)

// carried publishes a message with properties and hands what arrives to judge.
func (s *suite) carried(judge func(*conform.Trial, packet), props ...[]byte) func(*conform.Trial) {
	return func(t *conform.Trial) {
		sub, topic := s.listener(t, v5, 1)
		s.join(t, v5, "pub").publish(publish{topic: topic, payload: "with properties", qos: 1, props: props})
		if p := sub.take("with properties"); !t.Decided() {
			judge(t, p)
		}
	}
}

// textKept demands that a property arrives as it was sent.
func textKept(id int, name, value string) func(*conform.Trial, packet) {
	return func(t *conform.Trial, p packet) {
		if got, found := p.props.find(id); !found || got.text != value {
			t.Failf("%s %q was sent, %q came", name, value, got.text)
		}
	}
}

func (s *suite) propertyChecks() []conform.Check {
	users := [][]byte{user("b", "1"), user("a", "2"), user("b", "0"), user("", "")}
	badResponse := func(t *conform.Trial) {
		s.closes("a response topic with a wildcard", func(v byte) []byte {
			return publish{topic: s.o.Topics, props: [][]byte{str(propResponseTopic, "a/#")}}.bytes(v)
		})(t, v5)
	}
	checks := []conform.Check{
		s.five("3.3.2-4", "", must, "The Payload Format Indicator shall arrive unaltered.", s.carried(func(t *conform.Trial, p packet) {
			if n, found := p.props.number(propPayloadFormat); !found || n != 1 {
				t.Failf("1 was sent, %d came", n)
			}
		}, num(propPayloadFormat, 1))),
		s.five("3.3.2-15", "", must, "The Response Topic shall arrive unaltered.",
			s.carried(textKept(propResponseTopic, "response topic", "reply/here"), str(propResponseTopic, "reply/here"))),
		s.five("3.3.2-16", "", must, "The Correlation Data shall arrive unaltered.",
			s.carried(textKept(propCorrelation, "correlation data", "\x00\xff\x01"), str(propCorrelation, "\x00\xff\x01"))),
		s.five("3.3.2-20", "", must, "The Content Type shall arrive unaltered.",
			s.carried(textKept(propContentType, "content type", "application/json"), str(propContentType, "application/json"))),
		s.five("3.3.2-17", "", must, "All User Properties shall arrive unaltered.", s.carried(func(t *conform.Trial, p packet) {
			if got := p.props.users(); len(got) != 4 {
				t.Failf("four were sent, %q came", got)
			}
		}, users...)),
		s.five("3.3.2-18", "", must, "User Properties shall arrive in the order in which they were sent.", s.carried(func(t *conform.Trial, p packet) {
			if got := p.props.users(); !slices.Equal(got, []string{"b=1", "a=2", "b=0", "="}) {
				t.Failf("%q came", got)
			}
		}, users...)),
		s.five("3.3.2.3.3", "", must, "A message without a Message Expiry Interval shall arrive without one.", s.carried(func(t *conform.Trial, p packet) {
			if n, found := p.props.number(propMessageExpiry); found {
				t.Failf("an expiry of %d s came, none was sent", n)
			}
		})),
		s.five("3.3.2-14", "", should, "A Response Topic with a wildcard shall end the connection.", badResponse),
		s.five("3.1.2-29", "", must, "A client that wants no problem information shall get neither reason strings nor user properties in acknowledgements.",
			func(t *conform.Trial) { s.silentAcks(t, withProps(num(propProblemInfo, 0)), true) }),
		s.five("3.4.2.2.3", "", should, "User properties of a message shall not come back in its acknowledgement.",
			func(t *conform.Trial) { s.silentAcks(t, func(*connect) {}, false) }),
	}
	return append(checks, long(
		s.five("3.3.2-6", "", must, "A Message Expiry Interval shall arrive less the time that the message waited.", func(t *conform.Trial) {
			p, ok := s.waited(t, 60, 2200*time.Millisecond)
			if n, found := p.props.number(propMessageExpiry); !t.Decided() && (!ok || !found || n > 58 || n < 30) {
				t.Failf("60 s were sent, the message waited 2.2 s; %d s came (%v)", n, ok)
			}
		}, LacksSessions),
		s.five("3.3.2-5", "", must, "A message whose Message Expiry Interval has passed shall not be delivered any more.", func(t *conform.Trial) {
			if p, ok := s.waited(t, 1, 3200*time.Millisecond); ok && !t.Decided() {
				t.Failf("an expiry of 1 s, 3.2 s later came %s", p)
			}
		}, LacksSessions))...)
}

// silentAcks publishes user properties with QoS 1 and 2 and looks for them in
// what acknowledges them, and for reasons where the client wants none.
func (s *suite) silentAcks(t *conform.Trial, change func(*connect), reasons bool) {
	c := s.join(t, v5, "acks", change)
	look := func(p packet) {
		if got := p.props.users(); len(got) > 0 && !t.Decided() {
			t.Failf("%s with user properties %q", p, got)
		}
		if why, found := p.props.find(propReasonString); reasons && found && !t.Decided() {
			t.Failf("%s with the reason %q", p, why.text)
		}
	}
	if reasons {
		c.send(subscribe(v5, 9, nil, filter{s.topic(), 0}), unsubscribe(v5, 10, s.topic()))
		look(c.need(pktSuback, "SUBSCRIBE"))
		look(c.need(pktUnsuback, "UNSUBSCRIBE"))
	}
	for qos := byte(1); qos <= 2; qos++ {
		kind := byte(pktPuback)
		if qos == 2 {
			if kind = pktPubrec; s.lacks(LacksQoS2) {
				return
			}
		}
		c.send(publish{topic: s.topic(), qos: qos, id: uint16(qos), props: [][]byte{user("private", "value")}}.bytes(v5))
		look(c.need(kind, "PUBLISH"))
	}
}

// waited publishes a message with an expiry to an absent client and returns
// what it gets when it comes back after that time.
func (s *suite) waited(t *conform.Trial, expiry uint32, away time.Duration) (packet, bool) {
	sub, topic := s.listener(t, v5, 1, lasting)
	defer s.forget(v5, sub.id)
	sub.leave()
	pub := s.join(t, v5, "pub")
	pub.publish(publish{topic: topic, payload: "ages", qos: 1, props: [][]byte{num(propMessageExpiry, expiry)}})
	t.Pause(away)
	again := s.rejoin(t, v5, sub.id, lasting)
	if !again.connack.present {
		t.Unsuref("the session was not kept")
	}
	pub.publish(publish{topic: topic, payload: "marker", qos: 1})
	for _, p := range again.messages("marker") {
		if string(p.payload) == "ages" {
			return p, true
		}
	}
	return packet{}, false
}

func (s *suite) aliasChecks() []conform.Check {
	bad := func(what string, p func() publish) func(*conform.Trial) {
		return func(t *conform.Trial) {
			s.closes(what, func(v byte) []byte { return p().bytes(v) })(t, v5)
		}
	}
	return []conform.Check{
		s.five("3.3.2-12", "", must, "A server shall accept every topic alias up to its maximum.", func(t *conform.Trial) {
			sub, topic := s.listener(t, v5, 1)
			pub := s.join(t, v5, "alias")
			for _, alias := range []uint32{1, s.server.aliasMax} {
				pub.publish(publish{topic: topic, payload: "set", qos: 1, props: [][]byte{num(propTopicAlias, alias)}})
				sub.take("set")
				pub.publish(publish{topic: "", payload: "used", qos: 1, props: [][]byte{num(propTopicAlias, alias)}})
				if p := sub.take("used"); p.topic != topic && !t.Decided() {
					t.Failf("alias %d stands for %q, the message came as %q", alias, topic, p.topic)
				}
			}
		}, LacksAliases),
		s.five("3.3.2-8", "", must, "Topic alias 0 shall end the connection.", bad("topic alias 0", func() publish {
			return publish{topic: s.o.Topics, props: [][]byte{num(propTopicAlias, 0)}}
		})),
		s.five("3.3.2-9", "", must, "A topic alias above the server's maximum shall end the connection.", func(t *conform.Trial) {
			if s.server.aliasMax == 65535 {
				t.Skipf("the server's maximum is 65535")
				return
			}
			bad("a topic alias above the maximum", func() publish {
				return publish{topic: s.o.Topics, props: [][]byte{num(propTopicAlias, s.server.aliasMax+1)}}
			})(t)
		}),
		s.five("3.3.2.3.4", "", must, "An empty topic with an alias that stands for nothing shall end the connection.", bad("an unknown alias", func() publish {
			return publish{topic: "", payload: "x", qos: 1, id: 1, props: [][]byte{num(propTopicAlias, max(1, s.server.aliasMax))}}
		})),
		s.five("3.3.2-7", "", must, "A topic alias shall not outlive its connection.", func(t *conform.Trial) {
			c := s.join(t, v5, "alias", lasting)
			defer s.forget(v5, c.id)
			c.publish(publish{topic: s.topic(), payload: "set", qos: 1, props: [][]byte{num(propTopicAlias, 1)}})
			c.leave()
			again := s.rejoin(t, v5, c.id, lasting)
			again.send(publish{topic: "", payload: "x", qos: 1, id: 1, props: [][]byte{num(propTopicAlias, 1)}}.bytes(v5))
			again.ends("an alias of the connection before")
		}, LacksAliases),
		s.five("3.3.4-6", "", should, "A Subscription Identifier in a PUBLISH of a client shall end the connection.", bad("a subscription identifier", func() publish {
			return publish{topic: s.o.Topics, props: [][]byte{num(propSubscriptionID, 1)}}
		})),
	}
}
