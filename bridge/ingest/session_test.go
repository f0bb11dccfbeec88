package ingest

import (
	"encoding/binary"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"plumbline/bridge/internal/eventually"
	"plumbline/bridge/journal"
)

var kept1h = u32(0x11, 3600) // Session Expiry Interval

// got is a PUBLISH as a subscriber sees it.
type got struct {
	topic, payload string
	qos            byte
	dup, retain    bool
	id             uint16
	props          []byte
}

// next reads the next PUBLISH.
func (c *client) next() got {
	c.t.Helper()
	first, body, err := c.read()
	if err != nil || first>>4 != 3 {
		c.t.Fatalf("read %#x %q, error %v; want PUBLISH", first, body, err)
	}
	return c.parsePublish(first, body)
}

func (c *client) parsePublish(first byte, body []byte) got {
	n := int(binary.BigEndian.Uint16(body))
	g := got{topic: string(body[2 : 2+n]), qos: first >> 1 & 3, dup: first&8 != 0, retain: first&1 != 0}
	body = body[2+n:]
	if g.qos > 0 {
		g.id, body = binary.BigEndian.Uint16(body), body[2:]
	}
	if c.v == 5 {
		size, used := binary.Uvarint(body)
		g.props, body = body[used:used+int(size)], body[used+int(size):]
	}
	g.payload = string(body)
	return g
}

func ackOf(first byte, id uint16) []byte {
	return packet(first, binary.BigEndian.AppendUint16(nil, id))
}

// sub subscribes with options and returns the reason code.
func (c *client) sub(filter string, options byte, props []byte) byte {
	c.t.Helper()
	head := []byte{0, 77}
	if c.v == 5 {
		head = cat(head, varint(len(props)), props)
	}
	c.send(packet(0x82, head, str(filter), []byte{options}))
	body := c.want(9)
	return body[len(body)-1]
}

// quiet fails the test when anything but the answer to a ping comes.
func (c *client) quiet() {
	c.t.Helper()
	c.send([]byte{0xC0, 0})
	if first, body, err := c.read(); err != nil || first>>4 != 13 {
		c.t.Errorf("got %#x %q, error %v; want nothing but PINGRESP", first, body, err)
	}
}

func (c *client) storm(topic string, from, n int) {
	c.t.Helper()
	for i := from; i < from+n; i++ {
		c.publish(topic, fmt.Sprint(i), 1, uint16(i%60000+1), 0, nil)
		c.want(4)
	}
}

// leave closes a connection and waits until its session has noticed.
func leave(t *testing.T, b *Broker, c *client, id string) {
	t.Helper()
	_ = c.Close()
	eventually.Must(t, "the end of "+id+"'s connection", func() bool {
		b.sessions.mu.Lock()
		s := b.sessions.byID[id]
		b.sessions.mu.Unlock()
		return s.connection() == nil
	})
}

// TestN83ReceiveMaximum is M1, M7, D5 and part of N83: a small window neither stalls nor is exceeded, in order, for both QoS.
func TestN83ReceiveMaximum(t *testing.T) {
	for _, tc := range []struct {
		qos    byte
		window uint16
		n      int
	}{{1, 1, 200}, {1, 10, 600}, {2, 1, 100}, {2, 7, 300}, {1, 65535, 3000}} {
		t.Run(fmt.Sprintf("qos %d window %d", tc.qos, tc.window), func(t *testing.T) {
			b, _ := start(t, nil)
			s := dial(t, b, 5).ok(login{id: "s", clean: true, props: binary.BigEndian.AppendUint16([]byte{0x21}, tc.window)})
			if code := s.sub("r", tc.qos, nil); code != tc.qos {
				t.Fatalf("SUBACK %#x", code)
			}
			p := dial(t, b, 5).ok(login{id: "p", clean: true})
			for i := range tc.n {
				p.publish("r", fmt.Sprint(i), 2, uint16(i+1), 0, nil)
				p.want(5)
				p.send(ackOf(0x62, uint16(i+1)))
				p.want(7)
			}
			next, under := 0, 0
			for next < tc.n || under > 0 {
				first, body, err := s.read()
				if err != nil {
					t.Fatalf("after %d messages, %d under way: %v", next, under, err)
				}
				switch first >> 4 {
				case 3:
					g := s.parsePublish(first, body)
					if under++; g.payload != fmt.Sprint(next) || g.dup || g.qos != tc.qos || under > int(tc.window) {
						t.Fatalf("message %d: %+v, %d under way", next, g, under)
					}
					if next++; tc.qos == 2 {
						s.send(ackOf(0x50, g.id))
					} else {
						under--
						s.send(ackOf(0x40, g.id))
					}
				case 6:
					if id, code, _ := ackCode(body); code != 0 {
						t.Fatalf("PUBREL %d with %#x", id, code)
					} else {
						under--
						s.send(ackOf(0x70, id))
					}
				default:
					t.Fatalf("packet %#x", first)
				}
			}
			s.quiet()
		})
	}
}

// TestQueuedMessagesComeInOrder is M2, D1 and D4: what waited comes as first deliveries, in order; what was under way comes
// again before it, with its identifiers and DUP, within the window.
func TestQueuedMessagesComeInOrder(t *testing.T) {
	for _, v := range []byte{4, 5} {
		b, _ := start(t, nil)
		in := login{id: "s"}
		if v == 5 {
			in.props = cat(kept1h, []byte{0x21, 0, 5})
		}
		s := dial(t, b, v).ok(in)
		s.sub("q/#", 1, nil)
		p := dial(t, b, 5).ok(login{id: "p", clean: true})
		p.storm("q/1", 0, 3)
		var ids []uint16
		for i := range 3 {
			g := s.next()
			ids = append(ids, g.id)
			if g.payload != fmt.Sprint(i) || g.dup {
				t.Fatalf("%+v", g)
			}
		}
		leave(t, b, s, "s")
		p.publish("q/0", "not kept", 0, 0, 0, nil)
		p.storm("q/2", 3, 500)
		s = dial(t, b, v)
		if body := s.connect(in); body[0] != 1 || body[1] != 0 {
			t.Fatalf("CONNACK %x, want the session", body)
		}
		for i := range 503 {
			g := s.next()
			if g.payload != fmt.Sprint(i) || g.dup != (i < 3) || i < 3 && g.id != ids[i] {
				t.Fatalf("version %d, message %d: %+v, ids %v", v, i, g, ids)
			}
			s.send(ackOf(0x40, g.id))
		}
		s.quiet()
	}
}

// TestIdentifiersOfTheTwoDirections is M3: a client's own packet identifiers have nothing to do with the broker's.
func TestIdentifiersOfTheTwoDirections(t *testing.T) {
	b, _ := start(t, nil)
	s := dial(t, b, 5).ok(login{id: "s", props: kept1h})
	s.sub("x", 1, nil)
	p := dial(t, b, 5).ok(login{id: "p", clean: true})
	p.storm("x", 0, 1)
	g := s.next()
	s.publish("y", "mine", 1, g.id, 0, nil)
	s.want(4)
	s.send(packet(0x82, binary.BigEndian.AppendUint16(nil, g.id), []byte{0}, str("z"), []byte{1}))
	if body := s.want(9); body[len(body)-1] != 1 {
		t.Errorf("SUBSCRIBE with an identifier that is under way the other way: %#x", body)
	}
	leave(t, b, s, "s")
	s = dial(t, b, 5).ok(login{id: "s", props: kept1h})
	if again := s.next(); again.id != g.id || !again.dup || again.payload != "0" {
		t.Errorf("%+v, want %+v again", again, g)
	}
}

// TestRetainedMatchesLikeLive is D11, M16 and [MQTT-3.3.1-9..11].
func TestRetainedMatchesLikeLive(t *testing.T) {
	b, _ := start(t, nil)
	p := dial(t, b, 5).ok(login{id: "p", clean: true})
	p.publish("a/b/c", "deep", 1, 1, 1, userProp("k", "v"))
	p.want(4)
	p.publish("one", "flat", 1, 2, 1, nil)
	p.want(4)
	p.publish("a/b/c", "passing", 1, 3, 0, nil) // does not replace what is retained
	p.want(4)
	for filter, want := range map[string]string{"a/b/c/#": "deep", "a/+/c/#": "deep", "+/b/c/#": "deep", "a/b/c": "deep", "+/#": "deep flat", "#": "deep flat", "one/#": "flat"} {
		s := dial(t, b, 5).ok(login{id: "s", clean: true})
		s.sub(filter, 1, nil)
		var all []string
		for range strings.Fields(want) {
			g := s.next()
			if all = append(all, g.payload); !g.retain || g.dup || g.payload == "deep" && string(g.props) != string(userProp("k", "v")) {
				t.Errorf("%s: %+v", filter, g)
			}
			s.send(ackOf(0x40, g.id))
		}
		slices.Sort(all)
		if strings.Join(all, " ") != want {
			t.Errorf("%s: retained %q, want %q", filter, all, want)
		}
		s.quiet()
		p.publish("one", "live", 0, 0, 0, nil)
		p.quiet() // the broker has it, or it would come to the next subscriber too
		if topicMatches := strings.Contains(want, "flat"); topicMatches {
			if g := s.next(); g.payload != "live" || g.retain {
				t.Errorf("%s: %+v, want the live one (M16)", filter, g)
			}
		}
		_ = s.Close()
	}
	s := dial(t, b, 5).ok(login{id: "h", clean: true})
	for i, tc := range []struct{ options, want byte }{{0x20, 0}, {0x10, 0}, {0x00, 1}} { // handling 2: never; 1: not for one that exists; 0: always
		s.sub("one", tc.options, nil)
		if tc.want == 0 {
			s.quiet()
		} else if g := s.next(); g.payload != "flat" {
			t.Errorf("case %d: %+v", i, g)
		}
	}
	if first := dial(t, b, 5).ok(login{id: "bad", clean: true}); true {
		first.send(packet(0x82, []byte{0, 1, 0}, str("one"), []byte{0x30})) // retain handling 3
		if kinds := first.wantClosed(); len(kinds) != 1 || kinds[0] != 14 {
			t.Errorf("retain handling 3: %v, want DISCONNECT", kinds)
		}
	}
}

// TestSubscriptionOptions: no local, retain as published, identifiers, one copy for filters that overlap.
func TestSubscriptionOptions(t *testing.T) {
	b, _ := start(t, nil)
	c := dial(t, b, 5).ok(login{id: "c", clean: true})
	c.sub("o/own", 0x04, nil)
	c.sub("o/+", 0x0A, []byte{0x0B, 9}) // QoS 2, retain as published
	c.sub("o/#", 0x00, []byte{0x0B, 3})
	p := dial(t, b, 5).ok(login{id: "p", clean: true})
	p.publish("o/x", "1", 1, 1, 1, nil)
	p.want(4)
	g := c.next()
	ids := []byte{0x0B, 9, 0x0B, 3}
	slices.Sort(g.props)
	slices.Sort(ids)
	if g.qos != 1 || !g.retain || string(g.props) != string(ids) {
		t.Errorf("%+v", g)
	}
	c.send(ackOf(0x40, g.id))
	c.send(packet(0xA2, []byte{0, 5, 0}, str("o/+"), str("o/#"), str("none")))
	if body := c.want(11); string(body[3:]) != "\x00\x00\x11" {
		t.Errorf("UNSUBACK %x", body)
	}
	c.publish("o/own", "mine", 1, 2, 0, nil)
	c.want(4)
	c.quiet() // [MQTT-3.8.3-3]
	p.publish("o/own", "another's", 1, 1, 0, nil)
	p.want(4)
	if g := c.next(); g.payload != "another's" {
		t.Errorf("%+v", g)
	}
}

// TestMessageExpiry is D2's other half: what has its time is told what is left of it, what is over does not come.
func TestMessageExpiry(t *testing.T) {
	b, _ := start(t, nil)
	s := dial(t, b, 5).ok(login{id: "s", props: kept1h})
	s.sub("e", 1, nil)
	leave(t, b, s, "s")
	p := dial(t, b, 5).ok(login{id: "p", clean: true})
	p.publish("e", "short", 1, 1, 0, u32(2, 1))
	p.want(4)
	p.publish("e", "long", 1, 2, 0, u32(2, 1000))
	p.want(4)
	eventually.Must(t, "the short one's end", func() bool { // the clock itself is what is waited for
		e := stored(t, b.opts.Journal.(*journal.Journal))
		return time.Since(e[0].Time) > 1100*time.Millisecond
	})
	s = dial(t, b, 5).ok(login{id: "s", props: kept1h})
	g := s.next()
	if left := binary.BigEndian.Uint32(g.props[1:]); g.payload != "long" || left > 999 || left < 900 {
		t.Errorf("%+v with %d s left", g, left)
	}
}

// TestEndedSessionIsGone is D19: a session that ends with its connection is not found by who returns at once.
func TestEndedSessionIsGone(t *testing.T) {
	b, _ := start(t, nil)
	for i := range 40 {
		c := dial(t, b, 5).ok(login{id: "s"})
		c.sub("x", 1, nil)
		c.send([]byte{0xE0, 0})
		back := dial(t, b, 5)
		if body := back.connect(login{id: "s"}); body[0] != 0 || body[1] != 0 {
			t.Fatalf("round %d: CONNACK %x, want a new session", i, body)
		}
		_ = back.Close()
	}
}

// TestOldAcknowledgementsStay is D20: PUBACK belongs to the connection that the message came on.
func TestOldAcknowledgementsStay(t *testing.T) {
	b, _ := start(t, nil)
	for range 10 {
		c := dial(t, b, 5).ok(login{id: "s", props: kept1h})
		for i := range uint16(20) {
			c.publish("x", "y", 1, i+1, 0, nil)
		}
		_ = c.Close()
		c = dial(t, b, 5).ok(login{id: "s", props: kept1h})
		c.quiet()
		_ = c.Close()
	}
}

// TestN83TooManyUnderWay is D14: the client reads why it is cut.
func TestN83TooManyUnderWay(t *testing.T) {
	b, j := start(t, nil)
	c := dial(t, b, 5).ok(login{id: "c", clean: true})
	var all []byte
	for i := range maxReceive + 200 {
		all = append(all, c.publishPacket("x", "y", 2, uint16(i+1), 0, nil)...)
	}
	c.send(all)
	for range maxReceive {
		c.want(5)
	}
	if body := c.want(14); body[0] != 0x93 {
		t.Errorf("DISCONNECT %#x, want 0x93", body[0])
	}
	if n := len(stored(t, j)); n != maxReceive {
		t.Errorf("%d stored, want %d", n, maxReceive)
	}
}

// TestDisconnectWithWill is D7, with and without properties.
func TestDisconnectWithWill(t *testing.T) {
	b, j := start(t, nil)
	for i, last := range [][]byte{{0xE0, 1, 4}, {0xE0, 2, 4, 0}} {
		c := dial(t, b, 5).ok(login{id: "c", clean: true, will: &willSpec{topic: "w", payload: "gone"}})
		c.send(last)
		c.wantClosed()
		waitStored(t, j, i+1)
	}
	c := dial(t, b, 5).ok(login{id: "c", clean: true, will: &willSpec{topic: "empty"}}) // D8
	_ = c.Close()
	if e := waitStored(t, j, 3)[2]; e.Topic != "empty" || len(e.Payload) != 0 {
		t.Errorf("stored %+v", e)
	}
}

// TestMalformedPackets: what the library's parser does not expect ends one connection, and the will is due.
func TestMalformedPackets(t *testing.T) {
	b, j := start(t, nil)
	c := dial(t, b, 5).ok(login{id: "c", clean: true, will: &willSpec{topic: "w", payload: "gone"}})
	c.send(packet(0x82, []byte{0, 1, 0}, str("x"))) // no options: the library reads past the end
	c.wantClosed()
	waitStored(t, j, 1)
	dial(t, b, 5).ok(login{id: "c", clean: true}).quiet()
}

// TestN53AccessIsAskedAtDelivery: what waits, is under way or is retained from before the list changed does not come.
func TestN53AccessIsAskedAtDelivery(t *testing.T) {
	u := users(t)
	b, _ := start(t, func(o *Options) { o.Users = u })
	in := login{id: "s", user: "dev", password: "pw", props: kept1h}
	s := dial(t, b, 5).ok(in)
	s.sub("cmd/dev/a", 1, nil)
	p := dial(t, b, 5).ok(login{id: "p", user: "all", password: "pw", clean: true})
	p.storm("cmd/dev/a", 0, 1)
	s.next() // under way
	leave(t, b, s, "s")
	p.storm("cmd/dev/a", 1, 5)
	old := u.table.Load()
	list := []User{}
	for _, one := range old.byName {
		if one.Name == "dev" {
			one.DenySubscribe = []string{"cmd/dev/a"}
		}
		list = append(list, one)
	}
	if err := u.set(list); err != nil {
		t.Fatal(err)
	}
	dial(t, b, 5).ok(in).quiet()
}
