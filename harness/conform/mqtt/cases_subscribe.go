package mqtt

import (
	"bytes"
	"slices"
	"strings"
	"time"

	"plumbline/harness/conform"
)

// badFilters are none (section 4.7).
var badFilters = []string{"", "a/#/b", "a#", "#a", "a+", "+a/b", "a/b+/c", "a\x00b"}

func (s *suite) subscribeChecks() []conform.Check {
	return slices.Concat(
		s.both("3.8.4-2", "3.8.4-2", "", must, "SUBACK shall have the identifier of its SUBSCRIBE.", func(t *conform.Trial, v byte) {
			c := s.join(t, v, "suback")
			c.send(subscribe(v, 54321, nil, filter{s.topic(), 0}))
			if p := c.want(pktSuback, "SUBSCRIBE"); p.id != 54321 && !t.Decided() {
				t.Failf("SUBACK for %d, it was 54321", p.id)
			}
		}),
		s.both("3.9.3-1", "3.9.3-1", "", must, "SUBACK shall have a code for each filter, in their order.", func(t *conform.Trial, v byte) {
			c := s.join(t, v, "codes")
			want := []byte{1, 0, 2, 0, 1}
			if s.lacks(LacksQoS2) {
				want[2] = 1
			}
			var fs []filter
			for _, q := range want {
				fs = append(fs, filter{s.topic(), q})
			}
			c.send(subscribe(v, 3, nil, fs...))
			p := c.want(pktSuback, "SUBSCRIBE")
			if len(p.codes) != len(want) && !t.Decided() {
				t.Failf("%d codes for %d filters", len(p.codes), len(want))
				return
			}
			for i, code := range p.codes { // less than was asked for may be granted
				if code < 0x80 && code > want[i] && !t.Decided() {
					t.Failf("the codes %x for the QoS %x", p.codes, want)
				}
			}
		}),
		s.both("3.8.3-3", "3.8.3-2", "", must, "A SUBSCRIBE without a filter shall end the connection.",
			s.closes("no filter", func(v byte) []byte { return subscribe(v, 4, nil) })),
		s.both("3.8.3-4", "3.8.3-5", "", must, "Reserved bits of the subscription options shall end the connection.",
			s.closes("reserved bits", func(v byte) []byte { return subscribe(v, 4, nil, filter{s.o.Topics, 0xc1}) })),
		s.both("3.8.3-4", "3.8.3.1", "q", must, "A subscription with QoS 3 shall end the connection.",
			s.closes("QoS 3", func(v byte) []byte { return subscribe(v, 4, nil, filter{s.o.Topics, 3}) })),
		s.both("4.7.1-2", "4.7.1-1", "", must, "A malformed filter shall not be granted.", func(t *conform.Trial, v byte) {
			for _, f := range badFilters {
				c := s.join(t, v, "malformed")
				c.send(subscribe(v, 5, nil, filter{f, 0}))
				c.notGranted(f)
			}
		}),
		s.overlapChecks(),
		s.subscribeFiveChecks(),
	)
}

// notGranted demands of what was asked for that it is refused, or that the
// connection ends.
func (c *client) notGranted(f string) {
	switch p, ok := c.await(pktSuback); {
	case c.t.Decided():
	case ok && p.grants():
		c.t.Failf("the filter %q was granted: %s", f, p)
	case !ok && !c.c.Ended():
		c.t.Failf("the filter %q: neither SUBACK nor the end of the connection within %s", f, c.t.Patience())
	}
}

func (s *suite) overlapChecks() []conform.Check {
	return slices.Concat(
		s.both("3.3.5-1", "3.3.4-2", "", must, "A message that overlapping filters take shall come with the highest of their QoS.", func(t *conform.Trial, v byte) {
			c := s.join(t, v, "overlap")
			root := s.topic()
			c.subscribe(0, root+"/#")
			c.subscribe(1, root+"/x")
			pub := s.join(t, v, "pub")
			pub.publish(publish{topic: root + "/x", payload: "both", qos: 1})
			pub.publish(publish{topic: root + "/x", payload: "marker", qos: 1})
			got := c.messages("marker")
			if !t.Decided() && !slices.ContainsFunc(got, func(p packet) bool { return string(p.payload) == "both" && p.qos() == 1 }) {
				t.Failf("no copy with QoS 1; what came: %s", list(got))
			}
		}),
		s.both("3.8.4-3", "3.8.4-3", "b", must, "A subscription with the same filter shall replace the one before it.", func(t *conform.Trial, v byte) {
			c, topic := s.listener(t, v, 0)
			c.subscribe(1, topic)
			pub := s.join(t, v, "pub")
			pub.publish(publish{topic: topic, payload: "one", qos: 1})
			pub.publish(publish{topic: topic, payload: "marker", qos: 1})
			if got := c.messages("marker"); (len(got) != 2 || got[0].qos() != 1) && !t.Decided() {
				t.Failf("one copy with QoS 1 was to come; what came: %s", list(got))
			}
		}),
	)
}

func (s *suite) subscribeFiveChecks() []conform.Check {
	return []conform.Check{
		s.five("3.8.3.1", "r", must, "Retain Handling 3 shall end the connection.", func(t *conform.Trial) {
			s.closes("retain handling 3", func(v byte) []byte { return subscribe(v, 4, nil, filter{s.o.Topics, 0x30}) })(t, v5)
		}),
		s.five("3.8.2.1.2", "", must, "Subscription Identifier 0 shall end the connection.", func(t *conform.Trial) {
			s.closes("subscription identifier 0", func(v byte) []byte {
				return subscribe(v, 4, [][]byte{num(propSubscriptionID, 0)}, filter{s.o.Topics, 0})
			})(t, v5)
		}, LacksSubIDs),
		s.five("3.3.4-3", "", must, "A message shall come with the Subscription Identifier of its subscription.", func(t *conform.Trial) {
			s.identified(t, 268_435_455)
		}, LacksSubIDs),
		s.five("3.3.4-4", "", must, "A message that overlapping filters take shall come with all their Subscription Identifiers.", func(t *conform.Trial) {
			s.identified(t, 1, 300)
		}, LacksSubIDs),
	}
}

// identified subscribes once per identifier, all to the same message.
func (s *suite) identified(t *conform.Trial, ids ...uint32) {
	c := s.join(t, v5, "ids")
	root := s.topic()
	filters := []string{root + "/x", root + "/#"}
	for i, id := range ids {
		c.subscribeWith([][]byte{num(propSubscriptionID, id)}, filter{filters[i], 1})
	}
	pub := s.join(t, v5, "pub")
	pub.publish(publish{topic: root + "/x", payload: "x", qos: 1})
	pub.publish(publish{topic: root + "/x", payload: "marker", qos: 1})
	var found []uint32
	for _, p := range c.messages("marker") {
		if string(p.payload) == "x" {
			found = append(found, p.props.numbers(propSubscriptionID)...)
		}
	}
	slices.Sort(found)
	if !slices.Equal(found, ids) && !t.Decided() {
		t.Failf("the identifiers %d were to come, %d came", ids, found)
	}
}

// matches says of filters whether they take topics (section 4.7.1); R stands
// for a first level of the case's own.
var matches = []struct {
	filter, topic string
	want          bool
}{
	{"R/#", "R", true},
	{"R/#", "R/a/b", true},
	{"R/a/#", "R/a", true},
	{"R/+/c/#", "R/b/c", true},
	{"R/+", "R", false},
	{"R/+", "R/a", true},
	{"R/+", "R/", true},
	{"R/+", "R/a/b", false},
	{"R/+/b", "R/a/b", true},
	{"R/+/+", "R/a", false},
	{"R//+", "R//a", true},
	{"R/A", "R/a", false},
	{"R/a", "R/a/", false},
	{"R/ä b", "R/ä b", true},
	{"+/#", "R", true},
	{"/+", "/R", true},
	{"+/+", "/R", true},
	{"+", "/R", false},
}

func (s *suite) matchChecks() []conform.Check {
	level := func(t *conform.Trial, v byte) {
		for _, m := range matches {
			if t.Decided() {
				return
			}
			s.matched(t, v, m.filter, m.topic, m.want)
		}
	}
	return slices.Concat(
		s.both("4.7.1-3", "4.7.1-2", "m", must, "Filters shall take the topics that they match, and no others.", level),
		s.both("4.7.2-1", "4.7.2-1", "a", must, "A filter that begins with a wildcard shall not take topics that begin with $.", s.dollar),
	)
}

func (s *suite) matched(t *conform.Trial, v byte, pattern, topic string, want bool) {
	r := s.unique("r")
	f, name := strings.ReplaceAll(pattern, "R", r), strings.ReplaceAll(topic, "R", r)
	c := s.join(t, v, "match")
	defer c.c.Close()
	marker := s.topic()
	c.subscribe(0, f, marker)
	pub := s.join(t, v, "pub")
	defer pub.c.Close()
	// Its own payload tells it from what other cases publish for wide filters meanwhile.
	pub.send(publish{topic: name, payload: "to " + r}.bytes(v), publish{topic: marker, payload: r}.bytes(v))
	got := c.messages(r)
	if t.Decided() {
		return
	}
	if len(got) == 0 || string(got[len(got)-1].payload) != r {
		t.Unsuref("the marker did not come: %s", c.state())
		return
	}
	took := slices.ContainsFunc(got, func(p packet) bool { return string(p.payload) == "to "+r })
	if want && !took {
		s.carries(t, v, name)
	}
	if took != want {
		t.Failf("the filter %q took %q: %v", pattern, topic, took)
	}
}

// carries demands, as what the case begins with, that a client which subscribes
// to the topic by its name gets what is published there: what a broker lets
// nobody publish no filter can take.
func (s *suite) carries(t *conform.Trial, v byte, topic string) {
	c := s.join(t, v, "control")
	defer c.c.Close()
	c.subscribe(0, topic)
	c.send(publish{topic: topic, payload: "by name"}.bytes(v))
	if _, ok := c.message(t.Patience()); !ok {
		t.Unsuref("the broker carries no message on the topic %q even by its name: %s", topic, c.state())
	}
}

// dollar publishes below $ and listens by name and by wildcard, which must see
// neither that nor the server's own $SYS.
func (s *suite) dollar(t *conform.Trial, v byte) {
	name := "$plumbline/" + s.unique("d")
	byName, wild := s.join(t, v, "named"), s.join(t, v, "wild")
	marker := s.topic()
	wild.subscribe(0, "#", "+/#", marker)
	pub := s.join(t, v, "pub")
	byName.send(subscribe(v, 9, nil, filter{name, 0}))
	if p, ok := byName.await(pktSuback); !ok || !p.grants() {
		t.Notef("the server grants no subscription to %s", name)
	}
	pub.send(publish{topic: name, payload: "dollar"}.bytes(v))
	if _, ok := byName.message(t.Patience() / 2); !ok {
		t.Sayf("the server takes no such topic from clients; looked for its own only")
	}
	pub = s.join(t, v, "pub") // the first may have been cut for the topic
	pub.send(publish{topic: marker, payload: "end of dollars"}.bytes(v))
	for _, p := range wild.messages("end of dollars") {
		if strings.HasPrefix(p.topic, "$") && !t.Decided() {
			t.Failf("# took %q", p.topic)
		}
	}
}

func (s *suite) unsubscribeChecks() []conform.Check {
	return slices.Concat(
		s.both("3.10.4-4", "3.10.4-4", "", must, "UNSUBSCRIBE shall be answered by UNSUBACK with its identifier.", func(t *conform.Trial, v byte) {
			c, topic := s.listener(t, v, 0)
			c.send(unsubscribe(v, 999, topic))
			if p := c.want(pktUnsuback, "UNSUBSCRIBE"); p.id != 999 && !t.Decided() {
				t.Failf("UNSUBACK for %d, it was 999", p.id)
			}
		}),
		s.both("3.10.4-5", "3.10.4-5", "", must, "UNSUBSCRIBE shall be answered when there is nothing to end, too.", func(t *conform.Trial, v byte) {
			c := s.join(t, v, "unsub")
			c.send(unsubscribe(v, 6, s.topic()))
			c.want(pktUnsuback, "UNSUBSCRIBE of what is not there")
		}),
		s.both("3.10.4-2", "3.10.4-2", "", must, "No message shall come for a subscription after its UNSUBACK.", func(t *conform.Trial, v byte) {
			c, topic := s.listener(t, v, 1)
			marker := s.topic()
			c.subscribe(1, marker)
			c.send(unsubscribe(v, 6, topic))
			c.need(pktUnsuback, "UNSUBSCRIBE")
			pub := s.join(t, v, "pub")
			pub.publish(publish{topic: topic, payload: "late", qos: 1})
			pub.publish(publish{topic: marker, payload: "marker", qos: 1})
			c.take("marker")
		}),
		s.both("3.10.3-2", "3.10.3-2", "", must, "An UNSUBSCRIBE without a filter shall end the connection.",
			s.closes("no filter", func(v byte) []byte { return unsubscribe(v, 4) })),
		[]conform.Check{s.five("3.11.3-1", "", must, "UNSUBACK shall have a code for each filter, in their order.", func(t *conform.Trial) {
			c, topic := s.listener(t, v5, 0)
			c.send(unsubscribe(v5, 7, s.topic(), topic, s.topic()))
			if p := c.want(pktUnsuback, "UNSUBSCRIBE"); !bytes.Equal(p.codes, []byte{0x11, 0, 0x11}) && !t.Decided() {
				if len(p.codes) != 3 || p.codes[1] != 0 {
					t.Failf("%s", p)
				}
				t.Sayf("%s; 0x11 would say that there was none", p)
			}
		})},
	)
}

func (s *suite) sharedChecks() []conform.Check {
	refused := func(id, letter, text string, filters ...string) conform.Check {
		return s.five(id, letter, must, text, func(t *conform.Trial) {
			for _, f := range filters {
				c := s.join(t, v5, "shared")
				c.send(subscribe(v5, 5, nil, filter{f, 0}))
				c.notGranted(f)
			}
		})
	}
	return []conform.Check{
		s.five("4.8.2", "a", must, "Each message shall come to one member of a shared subscription.", s.share, LacksShared),
		s.five("4.8.2", "b", should, "A shared subscription shall get no retained message when it is made.", func(t *conform.Trial) {
			topic := s.kept(t, v5, "kept")
			defer s.wipe(topic)
			c := s.join(t, v5, "shared")
			c.subscribe(1, "$share/"+s.unique("g")+"/"+topic)
			s.join(t, v5, "pub").publish(publish{topic: topic, payload: "marker", qos: 1})
			c.take("marker")
		}, LacksShared, LacksRetained),
		refused("4.8.2-1", "", "A shared subscription without a name shall not be granted.", "$share//a"),
		refused("4.8.2-2", "", "A share name with a wildcard, or without a filter behind it, shall not be granted.", "$share/g+/a", "$share/g#/a", "$share/g"),
		s.five("3.8.3-4", "", must, "No Local on a shared subscription shall end the connection.", func(t *conform.Trial) {
			s.closes("No Local on a shared subscription", func(v byte) []byte {
				return subscribe(v, 4, nil, filter{"$share/g/" + s.o.Topics, noLocal})
			})(t, v5)
		}, LacksShared),
		s.five("3.2.2.3.13", "", must, "A server that says that it has no shared subscriptions shall grant none.", func(t *conform.Trial) {
			if !s.server.noShared {
				t.Skipf("the server says that it has them")
				return
			}
			c := s.join(t, v5, "shared")
			c.send(subscribe(v5, 5, nil, filter{"$share/g/a", 0}))
			c.notGranted("$share/g/a")
		}),
	}
}

// share publishes to a group of three.
func (s *suite) share(t *conform.Trial) {
	topic, group := s.topic(), s.unique("g")
	var members []*client
	for range 3 {
		m := s.join(t, v5, "member")
		m.subscribe(1, "$share/"+group+"/"+topic)
		members = append(members, m)
	}
	const n = 30
	s.join(t, v5, "pub").numbered(topic, 1, n)
	seen := map[string]int{}
	hear := func(wait time.Duration) {
		for _, m := range members {
			for p, ok := m.message(wait); ok; p, ok = m.message(wait) {
				seen[string(p.payload)]++
			}
		}
	}
	for deadline := time.Now().Add(2 * t.Patience()); len(seen) < n && time.Now().Before(deadline) && !t.Decided(); {
		hear(t.Patience() / 20)
	}
	hear(t.Patience() / 10) // what came twice may wait behind
	for payload, times := range seen {
		if times > 1 && !t.Decided() {
			t.Failf("message %s came %d times", payload, times)
		}
	}
	if len(seen) != n && !t.Decided() {
		t.Failf("%d of %d messages came", len(seen), n)
	}
}
