package mqtt

import (
	"slices"

	"plumbline/harness/conform"
)

// Subscription options of version 5 (section 3.8.3.1).
const (
	noLocal       = 0x04
	asPublished   = 0x08
	retainIfNew   = 0x10
	retainNothing = 0x20
)

// kept publishes retained messages on a topic of its own and returns it. The
// caller wipes it.
func (s *suite) kept(t *conform.Trial, v byte, payloads ...string) string {
	topic := s.topic()
	pub := s.join(t, v, "keeper")
	for _, p := range payloads {
		pub.publish(publish{topic: topic, payload: p, qos: 1, retain: true})
	}
	pub.leave()
	return topic
}

// shown subscribes a new client and returns what retained messages it gets, of
// which so many are to come.
func (s *suite) shown(t *conform.Trial, v byte, topic string, options byte, want int) []packet {
	c := s.join(t, v, "looker")
	c.subscribeWith(nil, filter{topic, options})
	return c.retained(topic, want)
}

// retained returns what a client that has just subscribed gets besides a marker
// that it publishes now. No order holds between the two: what is still to come
// when the marker does is waited for.
func (c *client) retained(topic string, want int) (got []packet) {
	c.publish(publish{topic: topic, payload: "marker", qos: 1})
	marked := false
	for !marked || len(got) < want {
		p, ok := c.message(c.t.Patience())
		switch {
		case !ok && !marked:
			c.t.Unsuref("the marker behind the retained messages did not come: %s", c.state())
			return nil
		case !ok:
			return got
		case string(p.payload) == "marker":
			marked = true
		default:
			got = append(got, p)
		}
		if len(got) > 100 {
			return got
		}
	}
	return got
}

// only demands that exactly this one retained message is shown.
func only(t *conform.Trial, got []packet, payload string) {
	if t.Decided() {
		return
	}
	if len(got) != 1 || string(got[0].payload) != payload || !got[0].retain() {
		t.Failf("the retained message %q alone was to come with RETAIN 1; what came: %s", payload, list(got))
	}
}

func list(got []packet) string {
	if len(got) == 0 {
		return "nothing"
	}
	out := ""
	for i, p := range got {
		if i == 5 {
			return out + ", …"
		}
		if i > 0 {
			out += ", "
		}
		out += p.String()
	}
	return out
}

func (s *suite) retainChecks() []conform.Check {
	none := func(t *conform.Trial, got []packet) {
		if len(got) > 0 && !t.Decided() {
			t.Failf("nothing retained was to come; what came: %s", list(got))
		}
	}
	return slices.Concat(
		s.both("3.3.1-8", "3.3.1-9", "", must, "A new subscription shall get the retained message, marked as such.", func(t *conform.Trial, v byte) {
			topic := s.kept(t, v, "kept")
			defer s.wipe(topic)
			only(t, s.shown(t, v, topic, 1, 1), "kept")
		}, LacksRetained),
		s.both("3.3.1-5", "3.3.1-5", "", must, "A retained message shall replace the one before it.", func(t *conform.Trial, v byte) {
			topic := s.kept(t, v, "first", "second", "third")
			defer s.wipe(topic)
			only(t, s.shown(t, v, topic, 1, 1), "third")
		}, LacksRetained),
		s.both("3.3.1-10", "3.3.1-6", "", must, "A retained message without payload shall remove the one before it.", func(t *conform.Trial, v byte) {
			topic := s.kept(t, v, "kept", "")
			defer s.wipe(topic)
			none(t, s.shown(t, v, topic, 1, 0))
		}, LacksRetained),
		s.both("3.3.1-12", "3.3.1-8", "", must, "A message that is not retained shall leave the retained one as it is.", func(t *conform.Trial, v byte) {
			topic := s.kept(t, v, "kept")
			defer s.wipe(topic)
			pub := s.join(t, v, "pub")
			pub.publish(publish{topic: topic, payload: "passing", qos: 1})
			pub.publish(publish{topic: topic, payload: "", qos: 1})
			only(t, s.shown(t, v, topic, 1, 1), "kept")
		}, LacksRetained),
		s.both("3.3.1-9", "3.3.1-12", "", must, "A subscription that is there already shall get a retained message with RETAIN 0.", func(t *conform.Trial, v byte) {
			sub, topic := s.listener(t, v, 1)
			defer s.wipe(topic)
			s.join(t, v, "pub").publish(publish{topic: topic, payload: "live", qos: 1, retain: true})
			if p := sub.take("live"); p.retain() && !t.Decided() {
				t.Failf("%s", p)
			}
		}, LacksRetained),
		s.both("3.8.4-3", "3.8.4-4", "", must, "A subscription made again shall get the retained message again.", func(t *conform.Trial, v byte) {
			topic := s.kept(t, v, "kept")
			defer s.wipe(topic)
			c := s.join(t, v, "again")
			c.subscribe(1, topic)
			c.take("kept")
			c.subscribe(1, topic)
			c.take("kept")
		}, LacksRetained),
		s.both("4.7.1-2", "4.7.1-1", "r", must, "Retained messages shall match # for its parent level too, as live ones do.", s.retainedParent, LacksRetained),
	)
}

// retainedParent asks in three ways for a topic that ends where # begins.
func (s *suite) retainedParent(t *conform.Trial, v byte) {
	root := s.topic()
	topic := root + "/b/c"
	pub := s.join(t, v, "keeper")
	pub.publish(publish{topic: topic, payload: "kept", qos: 1, retain: true})
	defer s.wipe(topic)
	for _, f := range []string{topic + "/#", root + "/+/c/#", root + "/b/+/#", root + "/#"} {
		c := s.join(t, v, "looker")
		c.subscribe(1, f)
		if _, ok := c.message(t.Patience()); !ok && !t.Decided() {
			t.Failf("the filter %q did not bring the retained message of %q", f, topic)
		}
	}
}

func (s *suite) retainFiveChecks() []conform.Check {
	handling := func(options byte, resubscribe bool, want int) func(*conform.Trial) {
		return func(t *conform.Trial) {
			topic := s.kept(t, v5, "kept")
			defer s.wipe(topic)
			c := s.join(t, v5, "handling")
			c.subscribeWith(nil, filter{topic, 1 | options})
			if resubscribe {
				c.subscribeWith(nil, filter{topic, 1 | options})
			}
			if got := c.retained(topic, want); len(got) != want && !t.Decided() {
				t.Failf("%d retained messages were to come; what came: %s", want, list(got))
			}
		}
	}
	return []conform.Check{
		s.five("3.3.1-10", "a", must, "Retain Handling 1 shall send the retained message to a new subscription.", handling(retainIfNew, false, 1), LacksRetained),
		s.five("3.3.1-10", "b", must, "Retain Handling 1 shall not send it to a subscription that is there already.",
			handling(retainIfNew, true, 1), LacksRetained),
		s.five("3.3.1-11", "", must, "Retain Handling 2 shall send no retained message.", handling(retainNothing, true, 0), LacksRetained),
		s.five("3.3.1-13", "", must, "Retain As Published shall keep the flag of the publisher, 0 or 1.", func(t *conform.Trial) {
			sub := s.join(t, v5, "rap")
			topic := s.topic()
			defer s.wipe(topic)
			sub.subscribeWith(nil, filter{topic, 1 | asPublished})
			pub := s.join(t, v5, "pub")
			for _, retain := range []bool{true, false} {
				pub.publish(publish{topic: topic, payload: "x", qos: 1, retain: retain})
				if p := sub.take("x"); p.retain() != retain && !t.Decided() {
					t.Failf("RETAIN %v was sent, %s came", retain, p)
				}
			}
		}, LacksRetained),
		s.five("3.3.1-7", "", must, "A retained message without payload shall be delivered but not kept.", func(t *conform.Trial) {
			sub, topic := s.listener(t, v5, 1)
			s.join(t, v5, "pub").publish(publish{topic: topic, payload: "", qos: 1, retain: true})
			sub.take("")
			if got := s.shown(t, v5, topic, 1, 0); len(got) > 0 && !t.Decided() {
				t.Failf("kept: %s", list(got))
			}
		}, LacksRetained),
		s.five("3.8.3-3", "", must, "No Local shall keep a client's own messages from it.", func(t *conform.Trial) {
			c := s.join(t, v5, "local")
			topic := s.topic()
			c.subscribeWith(nil, filter{topic, 1 | noLocal})
			c.publish(publish{topic: topic, payload: "own", qos: 1})
			s.join(t, v5, "other").publish(publish{topic: topic, payload: "marker", qos: 1})
			c.take("marker")
		}),
	}
}
