package mqtt

import (
	"slices"
	"strings"
	"time"

	"plumbline/harness/conform"
)

const (
	must   = conform.Must
	should = conform.Should
)

// rejects demands of a CONNECT that it is not accepted and the connection ends.
func (s *suite) rejects(what string, spoil func(*connect)) func(*conform.Trial, byte) {
	return func(t *conform.Trial, v byte) {
		c := s.dial(t, v)
		h := s.hello(v, s.unique("bad"))
		spoil(&h)
		c.send(h.bytes())
		c.notAccepted(what)
	}
}

// notAccepted demands the end of the connection without a CONNACK that accepts.
func (c *client) notAccepted(what string) {
	if c.t.Decided() {
		return
	}
	deadline := time.Now().Add(c.t.Patience())
	code := -1
	for {
		p, ok := c.read(deadline)
		if !ok {
			break
		}
		if p.kind == pktConnack && p.code == 0 {
			c.t.Failf("%s was accepted", what)
			return
		}
		code = int(p.code)
	}
	switch {
	case !c.c.Ended():
		c.t.Failf("%s: the connection is still open after %s", what, c.t.Patience())
	case code >= 0:
		c.t.Sayf("refused with code %#02x", code)
	default:
		c.t.Sayf("closed without CONNACK")
	}
}

func (s *suite) connectChecks() []conform.Check {
	first := func(t *conform.Trial, _ byte) {
		c := s.dial(t, v311)
		c.send(pingreq)
		c.notAccepted("PINGREQ before CONNECT")
	}
	second := func(t *conform.Trial, v byte) {
		c := s.join(t, v, "twice")
		c.send(s.hello(v, c.id).bytes())
		c.ends("a second CONNECT")
	}
	flags := func(bits byte) func(*connect) { return func(c *connect) { c.flags = bits } }
	return slices.Concat(
		s.both("3.1.0-1", "3.1.0-1", "", must, "A server shall close a connection whose first packet is not CONNECT.", first),
		s.both("3.1.0-2", "3.1.0-2", "", must, "A server shall close the connection on a second CONNECT.", second),
		s.both("3.1.2-1", "3.1.2-1", "", must, "A CONNECT with another protocol name shall not be accepted.",
			s.rejects("protocol name MQTX", func(c *connect) { c.name = "MQTX" })),
		s.both("3.1.2-2", "3.1.2-2", "", must, "A CONNECT of a version that the server does not know shall end the connection.",
			func(t *conform.Trial, v byte) {
				c := s.dial(t, v)
				h := s.hello(v, s.unique("level"))
				h.level = 9
				c.send(h.bytes())
				c.rawRefusal("protocol level 9")
			}),
		s.both("3.1.2-3", "3.1.2-3", "", must, "A CONNECT with the reserved flag shall not be accepted.", s.rejects("the reserved flag", flags(1))),
		s.both("3.1.2-13", "3.1.2-11", "", must, "A will QoS without a will shall not be accepted.", s.rejects("will QoS 1 without a will", flags(0x08))),
		s.both("3.1.2-14", "3.1.2-12", "", must, "A will with QoS 3 shall not be accepted.",
			s.rejects("will QoS 3", func(c *connect) { c.will = &will{topic: "w", payload: "w", qos: 3} })),
		s.both("3.1.2-15", "3.1.2-13", "", must, "A will retain flag without a will shall not be accepted.", s.rejects("will retain without a will", flags(0x20))),
		[]conform.Check{s.check(v311, "3.1.2-22", "", must, "A password without a user name shall not be accepted.", func(t *conform.Trial) {
			s.rejects("a password alone", func(c *connect) { c.user, c.password = nil, new(string) })(t, v311)
		}, nil)},
		s.both("3.1.4-1", "3.1.4-1", "a", must, "A CONNECT that ends too early shall not be accepted.", func(t *conform.Trial, v byte) {
			c := s.dial(t, v)
			whole := s.hello(v, "cut").bytes()
			whole[1] -= 4
			c.send(whole[:len(whole)-4])
			c.notAccepted("a CONNECT whose client id ends too early")
		}),
		s.both("3.1.4-1", "3.1.4-1", "b", should, "A CONNECT with bytes behind its payload shall not be accepted.",
			s.rejects("three bytes too many", func(c *connect) { c.tail = []byte("abc") })),
		s.both("3.1.4", "3.1.4", "", should, "What a client sends right behind its CONNECT shall be processed.", func(t *conform.Trial, v byte) {
			c := s.dial(t, v)
			c.send(s.hello(v, s.unique("eager")).bytes(), pingreq)
			c.need(pktConnack, "CONNECT")
			c.want(pktPingresp, "PINGREQ right behind CONNECT")
		}),
		s.both("3.1.4-2", "3.1.4-3", "", must, "A CONNECT shall end the connection that has its client id.", s.takeover),
		[]conform.Check{s.five("3.1.4-3", "b", should, "The connection that is taken over shall be told by DISCONNECT 0x8E.", func(t *conform.Trial) {
			old := s.join(t, v5, "taken")
			s.rejoin(t, v5, old.id)
			if p := old.want(pktDisconnect, "a CONNECT with the same client id"); p.code != 0x8e && !t.Decided() {
				t.Failf("%s", p)
			}
		})},
	)
}

// rawRefusal is notAccepted for an answer whose version nobody can know.
func (c *client) rawRefusal(what string) {
	deadline := time.Now().Add(c.t.Patience())
	var raw []byte
	for c.c.More(deadline) == nil {
		raw = c.c.Buffered()
	}
	switch {
	case c.t.Decided():
	case len(raw) >= 4 && raw[0]>>4 == pktConnack && raw[3] == 0:
		c.t.Failf("%s was accepted", what)
	case !c.c.Ended():
		c.t.Failf("%s: the connection is still open after %s", what, c.t.Patience())
	case len(raw) >= 4:
		c.t.Sayf("refused with code %#02x", raw[3])
	}
}

func (s *suite) takeover(t *conform.Trial, v byte) {
	old := s.join(t, v, "taken")
	fresh := s.rejoin(t, v, old.id)
	deadline := time.Now().Add(t.Patience())
	for !t.Decided() {
		if _, ok := old.read(deadline); !ok {
			break
		}
	}
	if !old.c.Ended() {
		t.Failf("the old connection is still open after %s", t.Patience())
	}
	fresh.lives("the new connection")
}

func (s *suite) connectPropChecks() []conform.Check {
	bad := func(letter, what string, props ...[]byte) conform.Check {
		return s.five("3.1.2.11", letter, must, "A CONNECT with "+what+" shall not be accepted.", func(t *conform.Trial) {
			s.rejects(what, withProps(props...))(t, v5)
		})
	}
	return []conform.Check{
		bad("a", "a property twice", num(propSessionExpiry, 1), num(propSessionExpiry, 1)),
		bad("b", "a property that does not exist", []byte{0x7e, 0}),
		bad("c", "a property of other packets", num(propTopicAlias, 1)),
		bad("d", "Receive Maximum 0", num(propReceiveMax, 0)),
		bad("e", "Maximum Packet Size 0", num(propMaxPacket, 0)),
		bad("f", "Request Problem Information 2", num(propProblemInfo, 2)),
		bad("g", "Request Response Information 2", num(propResponseReq, 2)),
		bad("h", "authentication data without a method", str(propAuthData, "data")),
		bad("i", "a property that ends too early", []byte{propSessionExpiry, 0, 0}),
		s.five("4.12.0-1", "", must, "A CONNECT with an authentication method that the server does not have shall end the connection.", func(t *conform.Trial) {
			s.rejects("authentication method x-plumbline", withProps(str(propAuthMethod, "x-plumbline")))(t, v5)
		}),
		s.five("3.1.2-28", "", must, "A server shall send Response Information to a client that asks for it only.", func(t *conform.Trial) {
			if p, found := s.join(t, v5, "info").connack.props.find(propResponseInfo); found {
				t.Failf("Response Information %q unasked", p.text)
			}
		}),
	}
}

func (s *suite) clientIDChecks() []conform.Check {
	ids := func(what, id string) func(*conform.Trial, byte) {
		return s.rejects(what, func(c *connect) { c.id = id })
	}
	return slices.Concat(
		s.both("3.1.3-5", "3.1.3-5", "", must, "A client id of 23 letters and digits shall be accepted.", func(t *conform.Trial, v byte) {
			id := (s.unique("abcDEF") + strings.Repeat("0", 23))[:23]
			c := s.dial(t, v)
			c.send(s.hello(v, id).bytes())
			if p := c.want(pktConnack, "CONNECT"); p.code != 0 && !t.Decided() {
				t.Failf("%s", p)
			}
		}),
		s.both("1.5.3-1", "1.5.4-1", "a", must, "A client id that is not UTF-8 shall not be accepted.", ids("a client id of bytes c0 af", "\xc0\xaf")),
		s.both("1.5.3-1", "1.5.4-1", "b", must, "A client id with a surrogate shall not be accepted.", ids("a client id of bytes ed a0 80", "\xed\xa0\x80")),
		s.both("1.5.3-2", "1.5.4-2", "", must, "A client id with U+0000 shall not be accepted.", ids("a client id with U+0000", "a\x00b")),
		[]conform.Check{
			s.check(v311, "3.1.3-8", "", must, "An empty client id with a kept session shall be refused with 0x02 and the end of the connection.", func(t *conform.Trial) {
				c := s.dial(t, v311)
				h := s.hello(v311, "")
				h.clean = false
				c.send(h.bytes())
				for deadline := time.Now().Add(t.Patience()); !t.Decided(); {
					raw := c.c.Buffered()
					if len(raw) >= 4 && raw[3] != 2 {
						t.Failf("answered with CONNACK code %#02x", raw[3])
					}
					if c.c.More(deadline) == nil {
						continue
					}
					if len(raw) < 4 || !c.c.Ended() {
						t.Failf("%d bytes of an answer; ended: %v", len(raw), c.c.Ended())
					}
					return
				}
			}, nil),
			s.five("3.1.3-7", "", must, "A server that takes an empty client id shall name the one it assigns, another for each.", func(t *conform.Trial) {
				assigned := func() string {
					c := s.dial(t, v5)
					c.send(s.hello(v5, "").bytes())
					p := c.need(pktConnack, "a CONNECT with an empty client id")
					if p.code >= 0x80 {
						t.Skipf("the server takes no empty client id: %s", p)
					}
					id, _ := p.props.find(propAssignedID)
					return id.text
				}
				if a, b := assigned(), assigned(); !t.Decided() && (a == "" || a == b) {
					t.Failf("assigned %q and %q", a, b)
				}
			}),
		},
	)
}

func (s *suite) timeChecks() []conform.Check {
	silent := func(begin []byte) func(*conform.Trial) {
		return func(t *conform.Trial) {
			c := t.Dial()
			c.Send(begin)
			began := time.Now()
			for !c.Ended() && !t.Decided() && time.Since(began) < s.o.Silence {
				_ = c.More(began.Add(s.o.Silence))
			}
			if !c.Ended() {
				t.Failf("still open after %s", s.o.Silence)
			}
			t.Sayf("ended after %.1f s", time.Since(began).Seconds())
		}
	}
	return long(slices.Concat(
		[]conform.Check{
			s.five("3.1.4", "a", should, "A connection that sends no CONNECT shall be closed.", silent(nil)),
			s.five("3.1.4", "b", should, "A connection whose CONNECT stops half-way shall be closed.", silent(s.hello(v5, "half").bytes()[:9])),
			s.five("4.13", "a", should, "A CONNECT that announces 256 MiB shall be refused before they come.", func(t *conform.Trial) {
				c := s.dial(t, v5)
				c.send([]byte{pktConnect << 4, 0xff, 0xff, 0xff, 0x7f})
				c.notAccepted("a CONNECT of 268435455 bytes")
			}),
		},
		s.both("3.1.2-24", "3.1.2-22", "a", must, "A client that is silent for one and a half times its keep alive shall be cut.", s.keepAliveEnds),
		s.both("3.1.2-24", "3.1.2-22", "b", must, "A client that is heard within one and a half times its keep alive shall not be cut.", s.keepAliveHolds),
		s.both("3.1.2-24", "3.1.2-22", "c", must, "A keep alive of 65,535 s shall not cut a client at once.", func(t *conform.Trial, v byte) {
			c := s.join(t, v, "long", alive(65535))
			t.Pause(300 * time.Millisecond)
			c.lives("after 0.3 s")
		}),
		s.both("3.1.2-24", "3.1.2-22", "d", must, "A keep alive of 0 shall cut nobody.", func(t *conform.Trial, v byte) {
			c := s.join(t, v, "zero", alive(0))
			if k, found := c.connack.props.number(propServerKeepAlive); found && k < 3 {
				t.Skipf("the server sets a keep alive of %d s", k)
			}
			t.Pause(3 * time.Second)
			c.lives("after 3 s")
		}),
	)...)
}

// slack is what a server may take to look at its clocks.
const slack = 6 * time.Second

func (s *suite) keepAliveEnds(t *conform.Trial, v byte) {
	c := s.join(t, v, "silent", alive(2))
	interval := 2 * time.Second
	if k, found := c.connack.props.number(propServerKeepAlive); found {
		if interval = time.Duration(k) * time.Second; k == 0 || k > 5 {
			t.Skipf("the server sets a keep alive of %d s", k)
		}
	}
	began := time.Now()
	limit := interval*3/2 + slack
	for !c.c.Ended() && !t.Decided() && time.Since(began) < limit {
		c.read(began.Add(limit))
	}
	took := time.Since(began)
	if !c.c.Ended() {
		t.Failf("keep alive %s: still open after %s", interval, limit)
	}
	t.Sayf("keep alive %s: cut after %.1f s", interval, took.Seconds())
}

// keepAliveHolds is heard every 1.3 s, where 1.5 s are the limit. A busy machine
// may let either side miss that: only who is cut each time breaks the rule. Whoever
// answers no PINGREQ and stays has cut nobody. A round that the time of the case may
// have no room for is not begun.
func (s *suite) keepAliveHolds(t *conform.Trial, v byte) {
	const most, times, interval = 6, 3, 1300 * time.Millisecond
	cut, late := 0, 0
	for cut < most && !t.Decided() {
		if t.Left() < times*interval+time.Second {
			t.Unsuref("cut %d times, and %d times this machine was late: the time of the case has no room for the %d times that it takes", cut, late, most)
			return
		}
		c := s.join(t, v, "slow", alive(1))
		silent, held := c.heard(times, interval)
		switch {
		case held:
			return
		case !c.c.Ended() && !c.over:
			t.Unsuref("keep alive 1 s, heard %.2f s ago: no PINGRESP within %s, and the connection stands", silent.Seconds(), t.Patience())
		case silent > 1450*time.Millisecond:
			if late++; late == 6 {
				t.Unsuref("this machine is too slow: it let %.2f s pass in place of 1.3", silent.Seconds())
			}
		default:
			if cut++; cut == most {
				t.Failf("keep alive 1 s, heard %.2f s ago: no PINGRESP, %d times: %s", silent.Seconds(), most, c.state())
			}
		}
		c.c.Close()
	}
}

// heard sends so many PINGREQ with a pause before each. It reports for how long
// the server did not hear of the client before the last, and whether all were
// answered.
func (c *client) heard(times int, pause time.Duration) (silent time.Duration, held bool) {
	last := time.Now()
	for range times {
		c.t.Pause(pause)
		c.send(pingreq)
		silent, last = time.Since(last), time.Now()
		if _, ok := c.await(pktPingresp); !ok {
			return silent, false
		}
	}
	return silent, true
}
