package mqtt

import (
	"slices"
	"strings"
	"time"

	"plumbline/harness/conform"
)

func (s *suite) sessionChecks() []conform.Check {
	present := func(want bool, first, second func(*connect)) func(*conform.Trial, byte) {
		return func(t *conform.Trial, v byte) {
			c := s.join(t, v, "session", first)
			defer s.forget(v, c.id)
			c.leave()
			again := s.rejoin(t, v, c.id, second)
			if again.connack.present != want && !t.Decided() {
				t.Failf("session present: %v", again.connack.present)
			}
		}
	}
	clean := func(*connect) {}
	return slices.Concat(
		s.both("3.2.2-3", "3.2.2-3", "a", must, "CONNACK shall not claim a session for a client id that has none.", func(t *conform.Trial, v byte) {
			c := s.join(t, v, "fresh", lasting)
			defer s.forget(v, c.id)
			if c.connack.present && !t.Decided() {
				t.Failf("session present")
			}
		}),
		s.both("3.2.2-2", "3.2.2-3", "b", must, "CONNACK shall say that a kept session is there.", present(true, lasting, lasting), LacksSessions),
		s.both("3.2.2-1", "3.2.2-2", "", must, "CONNACK to a client that wants a new session shall claim none.", present(false, lasting, clean)),
		s.both("3.1.2-4", "3.1.2-5", "", must, "A kept session shall have its subscriptions.", func(t *conform.Trial, v byte) {
			sub, topic := s.listener(t, v, 1, lasting)
			defer s.forget(v, sub.id)
			sub.leave()
			again := s.rejoin(t, v, sub.id, lasting)
			s.join(t, v, "pub").publish(publish{topic: topic, payload: "kept", qos: 1})
			again.take("kept")
		}, LacksSessions),
		s.both("3.1.2-6", "3.1.2-4", "", must, "A client that wants a new session shall have no subscription of an older one.", func(t *conform.Trial, v byte) {
			sub, topic := s.listener(t, v, 1, lasting)
			sub.leave()
			again := s.rejoin(t, v, sub.id)
			marker := s.topic()
			again.subscribe(1, marker)
			pub := s.join(t, v, "pub")
			pub.publish(publish{topic: topic, payload: "old", qos: 1})
			pub.publish(publish{topic: marker, payload: "marker", qos: 1})
			again.take("marker")
		}),
		// In 5.0 it is a race which of two connections the server reads first; in 3.1.1 nothing of a clean session may be used again.
		[]conform.Check{
			s.check(v311, "3.1.2-6", "b", must, endsAtOnce, func(t *conform.Trial) { s.endsAtOnce(t, v311) }, nil),
			s.five("4.1.0-2", "b", should, endsAtOnce, func(t *conform.Trial) { s.endsAtOnce(t, v5) }),
		},
		s.expiryChecks(),
	)
}

func (s *suite) expiryChecks() []conform.Check {
	return slices.Concat(
		long(
			s.five("4.1.0-2", "x", must, "A session shall be gone when its Session Expiry Interval has passed.", func(t *conform.Trial) {
				c := s.join(t, v5, "expiring", keep, withProps(num(propSessionExpiry, 1)))
				defer s.forget(v5, c.id)
				if n, found := c.connack.props.number(propSessionExpiry); found && n != 1 {
					t.Skipf("the server sets an expiry of %d s", n)
				}
				c.leave()
				t.Pause(3500 * time.Millisecond)
				if again := s.rejoin(t, v5, c.id, keep); again.connack.present && !t.Decided() {
					t.Failf("expiry 1 s, 3.5 s later the session is still there")
				}
			}, LacksSessions),
			s.five("3.1.2-23", "", must, "A session shall be there until its Session Expiry Interval has passed.", func(t *conform.Trial) {
				c := s.join(t, v5, "lasting", lasting)
				defer s.forget(v5, c.id)
				c.c.Abort()
				t.Pause(1500 * time.Millisecond)
				if again := s.rejoin(t, v5, c.id, lasting); !again.connack.present && !t.Decided() {
					t.Failf("expiry 60 s, 1.5 s later the session is gone")
				}
			}, LacksSessions)),
		[]conform.Check{s.five("3.14.2.2.2", "b", must, "DISCONNECT shall be able to end a session at once.", func(t *conform.Trial) {
			c := s.join(t, v5, "ending", lasting)
			defer s.forget(v5, c.id)
			c.send(disconnect(0, num(propSessionExpiry, 0)))
			c.gone()
			if again := s.rejoin(t, v5, c.id, keep); again.connack.present && !t.Decided() {
				t.Failf("the session is still there")
			}
		}, LacksSessions)},
	)
}

const endsAtOnce = "A session that ends with its connection shall not be found by who comes back at once."

// endsAtOnce comes back without waiting for the server's end of the connection:
// whether it has done with the old one by then is a race, so it is tried often.
func (s *suite) endsAtOnce(t *conform.Trial, v byte) {
	id := s.unique("mayfly")
	defer s.forget(v, id)
	topic := s.topic()
	for n := range 40 {
		if t.Decided() {
			return
		}
		c := s.rejoin(t, v, id, func(h *connect) { h.clean = v == v311 })
		if n > 0 && c.connack.present {
			t.Failf("in round %d the session of before is present", n)
		}
		c.subscribe(1, topic)
		c.send(goodbye)
		if v == v311 {
			again := s.rejoin(t, v, id, keep)
			if again.connack.present {
				t.Failf("in round %d the session of before is present", n)
			}
			again.c.Close()
		}
	}
}

// testament is a will on a topic that somebody listens to.
func (s *suite) testament(t *conform.Trial, v byte, w will, changes ...func(*connect)) (watcher, testator *client) {
	watcher, w.topic = s.listener(t, v, 1)
	testator = s.join(t, v, "testator", append([]func(*connect){withWill(w)}, changes...)...)
	return watcher, testator
}

// noWill demands that none comes.
func (s *suite) noWill(t *conform.Trial, watcher *client) {
	if p, ok := watcher.message(t.Patience() / 2); ok && !t.Decided() {
		t.Failf("the will came: %s", p)
	}
}

func (s *suite) willChecks() []conform.Check {
	return slices.Concat(
		s.both("3.1.2-8", "3.1.2-8", "a", must, "The will shall be published when the connection breaks.", func(t *conform.Trial, v byte) {
			watcher, testator := s.testament(t, v, will{payload: "last words", qos: 1})
			testator.c.Abort()
			if p := watcher.take("last words"); (p.qos() != 1 || p.retain()) && !t.Decided() {
				t.Failf("a will of QoS 1 came as %s", p)
			}
		}, LacksWill),
		s.both("3.1.2-8", "3.1.2-8", "b", must, "The will shall be published when the client breaks the protocol.", func(t *conform.Trial, v byte) {
			watcher, testator := s.testament(t, v, will{payload: "last words", qos: 1})
			testator.send([]byte{0, 0})
			watcher.take("last words")
		}, LacksWill),
		s.both("3.1.2-10", "3.14.4-3", "", must, "The will shall not be published after DISCONNECT.", func(t *conform.Trial, v byte) {
			watcher, testator := s.testament(t, v, will{payload: "last words", qos: 1})
			testator.leave()
			s.noWill(t, watcher)
		}, LacksWill),
		s.both("3.1.2-17", "3.1.2-15", "r", must, "A will that is to be retained shall be published as retained.", func(t *conform.Trial, v byte) {
			watcher, testator := s.testament(t, v, will{payload: "last words", qos: 1, retain: true})
			testator.c.Abort()
			p := watcher.take("last words")
			defer s.wipe(p.topic)
			only(t, s.shown(t, v, p.topic, 1, 1), "last words")
		}, LacksWill, LacksRetained),
		s.both("3.1.3.3", "3.1.3.4", "", must, "A will without payload shall be accepted and published.", func(t *conform.Trial, v byte) {
			watcher, topic := s.listener(t, v, 1)
			c := s.dial(t, v)
			h := s.hello(v, s.unique("wordless"))
			h.will = &will{topic: topic}
			c.send(h.bytes())
			for deadline := time.Now().Add(t.Patience()); len(c.c.Buffered()) < 4; {
				if c.c.More(deadline) != nil {
					t.Failf("no CONNACK")
					return
				}
			}
			if code := c.c.Buffered()[3]; code != 0 {
				t.Failf("refused with code %#02x", code)
			}
			c.c.Abort()
			watcher.take("")
		}, LacksWill),
		s.both("3.1.4-2", "3.1.4-3", "w", should, "A will without delay shall be published when the connection is taken over.", func(t *conform.Trial, v byte) {
			watcher, testator := s.testament(t, v, will{payload: "taken over", qos: 1})
			s.rejoin(t, v, testator.id)
			watcher.take("taken over")
		}, LacksWill),
		long(s.both("3.1.2-8", "3.1.2-8", "k", must, "The will shall be published when the keep alive ends the connection.", func(t *conform.Trial, v byte) {
			watcher, testator := s.testament(t, v, will{payload: "silence", qos: 1}, alive(1))
			if k, found := testator.connack.props.number(propServerKeepAlive); found && k > 2 {
				t.Skipf("the server sets a keep alive of %d s", k)
			}
			t.Pause(1500*time.Millisecond + slack - t.Patience())
			watcher.take("silence")
		}, LacksWill)...),
	)
}

func (s *suite) willFiveChecks() []conform.Check {
	props := [][]byte{
		num(propPayloadFormat, 1), num(propMessageExpiry, 300), str(propContentType, "text/plain"), str(propResponseTopic, "reply/here"),
		str(propCorrelation, "42"), user("b", "1"), user("a", "2"),
	}
	bequeathed := func(judge func(*conform.Trial, packet)) func(*conform.Trial) {
		return func(t *conform.Trial) {
			watcher, testator := s.testament(t, v5, will{payload: "with properties", qos: 1, props: props})
			testator.c.Abort()
			if p := watcher.take("with properties"); !t.Decided() {
				judge(t, p)
			}
		}
	}
	return append([]conform.Check{
		s.five("3.14.2.1", "", must, "DISCONNECT with reason 0x04 shall publish the will.", func(t *conform.Trial) {
			for _, form := range [][]byte{disconnect(0x04), {pktDisconnect << 4, 1, 0x04}} { // with properties and without
				watcher, testator := s.testament(t, v5, will{payload: "as asked", qos: 1})
				testator.send(form)
				watcher.take("as asked")
			}
		}, LacksWill),
		s.five("3.1.3-10", "", must, "The will shall be published with its user properties in their order.", bequeathed(func(t *conform.Trial, p packet) {
			if got := strings.Join(p.props.users(), " "); got != "b=1 a=2" {
				t.Failf("%q came", got)
			}
		}), LacksWill),
		s.five("3.1.3.2", "", must, "The will shall be published with the other properties of its message.", bequeathed(func(t *conform.Trial, p packet) {
			form, _ := p.props.number(propPayloadFormat)
			expiry, _ := p.props.number(propMessageExpiry)
			kind, _ := p.props.find(propContentType)
			reply, _ := p.props.find(propResponseTopic)
			about, _ := p.props.find(propCorrelation)
			if form != 1 || expiry == 0 || expiry > 300 || kind.text != "text/plain" || reply.text != "reply/here" || about.text != "42" {
				t.Failf("format %d, expiry %d s, content type %q, response topic %q, correlation data %q came", form, expiry, kind.text, reply.text, about.text)
			}
		}), LacksWill),
		s.five("3.1.3.2.2", "e", must, "The end of its session shall publish a delayed will at once.", func(t *conform.Trial) {
			watcher, testator := s.testament(t, v5, will{payload: "session over", qos: 1, props: [][]byte{num(propWillDelay, 60)}})
			testator.c.Abort()
			watcher.take("session over")
		}, LacksWill),
	}, s.delayChecks()...)
}

func (s *suite) delayChecks() []conform.Check {
	return long(
		s.five("3.1.3.2.2", "", must, "A delayed will shall be published after its delay and not before.", s.delayed, LacksWill, LacksSessions),
		s.five("3.1.3-9", "", must, "A delayed will shall not be published when the client is back in time.", s.delayedInVain, LacksWill, LacksSessions),
		s.five("3.1.3.2.2", "x", must, "A delayed will without an expiry shall be published without one.", func(t *conform.Trial) {
			watcher, testator := s.testament(t, v5, will{payload: "delayed", qos: 1, props: [][]byte{num(propWillDelay, 1)}}, lasting)
			defer s.forget(v5, testator.id)
			testator.c.Abort()
			t.Pause(2 * time.Second)
			p := watcher.take("delayed")
			if n, found := p.props.number(propMessageExpiry); found && !t.Decided() {
				t.Failf("an expiry of %d s", n)
			}
		}, LacksWill, LacksSessions))
}

// intime is when a client is back before a delay of 2 s is over, also by clocks that
// count whole seconds.
const intime = 900 * time.Millisecond

// delayedInVain comes back in time; where this machine was too late for that, it
// tries again.
func (s *suite) delayedInVain(t *conform.Trial) {
	var away time.Duration
	for range 3 {
		watcher, testator := s.testament(t, v5, will{payload: "delayed", qos: 1, props: [][]byte{num(propWillDelay, 2)}}, lasting)
		defer s.forget(v5, testator.id)
		left := time.Now()
		testator.c.Abort()
		t.Pause(300 * time.Millisecond)
		s.rejoin(t, v5, testator.id, lasting)
		away = time.Since(left)
		p, came := watcher.message(4 * time.Second)
		if !came || t.Decided() {
			return
		}
		if away < intime {
			t.Failf("%s", p)
		}
	}
	t.Unsuref("this machine is too slow: the client was back after %.1f s in place of 0.3", away.Seconds())
}

func (s *suite) delayed(t *conform.Trial) {
	watcher, testator := s.testament(t, v5, will{payload: "delayed", qos: 1, props: [][]byte{num(propWillDelay, 2)}}, lasting)
	defer s.forget(v5, testator.id)
	testator.c.Abort()
	began := time.Now()
	const early = 1500 * time.Millisecond
	if _, ok := watcher.message(early); ok && !t.Decided() {
		if took := time.Since(began); took < early { // later it may be this machine that took its time to look
			t.Failf("a delay of 2 s, it came after %.1f s", took.Seconds())
		}
		return
	}
	if _, ok := watcher.message(2*time.Second + slack); !ok && !t.Decided() {
		t.Failf("a delay of 2 s, it did not come within %.1f s", time.Since(began).Seconds())
	}
}
