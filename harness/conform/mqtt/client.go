package mqtt

import (
	"context"
	"crypto/rand"
	"fmt"
	"io"
	"slices"
	"time"

	"plumbline/harness/conform"
)

func runID() string { return rand.Text()[:8] }

// client is one network connection. When a case is decided its methods do
// nothing more, so that a case reads as a procedure.
type client struct {
	s       *suite
	t       *conform.Trial
	c       *conform.Conn
	version byte
	id      string // client id
	connack packet
	inbox   []packet // PUBLISH that came while something else was awaited
	manual  bool     // acknowledge nothing by itself
	nextID  uint16
	over    bool   // DISCONNECT of the server was seen
	aliases uint32 // that the client announced
}

// unique returns a word for client ids and topics that nobody else uses.
func (s *suite) unique(word string) string {
	return fmt.Sprintf("%s%s%d", word, s.run, s.serial.Add(1))
}

// topic returns one that nobody else uses, below the root.
func (s *suite) topic() string { return s.o.Topics + "/" + s.unique("t") }

// dial opens a connection without CONNECT.
func (s *suite) dial(t *conform.Trial, version byte) *client {
	return &client{s: s, t: t, c: t.Dial(), version: version}
}

// hello is a correct CONNECT.
func (s *suite) hello(version byte, id string) connect {
	c := connect{version: version, name: "MQTT", level: version, clean: true, id: id}
	if s.target.Username != "" {
		c.user = &s.target.Username
	}
	if s.target.Password != "" {
		c.password = &s.target.Password
	}
	return c
}

// join connects with a client id of its own, spoiled or not by the changes.
// A refusal makes the case inconclusive.
func (s *suite) join(t *conform.Trial, version byte, word string, changes ...func(*connect)) *client {
	return s.rejoin(t, version, s.unique(word), changes...)
}

// rejoin is join with a given client id.
func (s *suite) rejoin(t *conform.Trial, version byte, id string, changes ...func(*connect)) *client {
	c := s.dial(t, version)
	c.id = id
	h := s.hello(version, id)
	for _, change := range changes {
		change(&h)
	}
	for _, p := range h.props {
		if p[0] == propTopicAliasMax {
			c.aliases = 1
		}
	}
	c.send(h.bytes())
	if c.connack = c.need(pktConnack, "a correct CONNECT"); c.connack.code != 0 {
		t.Unsuref("a correct CONNECT was refused: %s", c.connack)
	}
	return c
}

// Changes of a CONNECT.
func keep(c *connect) { c.clean = false }

// Seconds that a session is asked to live without its connection, and that the
// cases need it. A server of version 5 may grant less (section 3.2.2.3.2).
const (
	sessionLife = 60
	leastLife   = 20
)

// lasting is a session that outlives its connection.
func lasting(c *connect) {
	c.clean = false
	if c.version == v5 {
		c.props = append(c.props, num(propSessionExpiry, sessionLife))
	}
}

func withProps(props ...[]byte) func(*connect) {
	return func(c *connect) { c.props = append(c.props, props...) }
}

func alive(seconds uint16) func(*connect) { return func(c *connect) { c.keepAlive = seconds } }

func withWill(w will) func(*connect) { return func(c *connect) { c.will = &w } }

// send writes raw packets. A CONNECT whose password is too short to be concealed is
// not shown.
func (c *client) send(raw ...[]byte) {
	if n := len(c.s.target.Password); n > 0 && n < leastSecret && raw[0][0]>>4 == pktConnect {
		c.c.SendSecret(raw...)
		return
	}
	c.c.Send(raw...)
}

// read takes the next packet; false when none came until then or the
// connection is over.
func (c *client) read(until time.Time) (packet, bool) {
	for {
		p, n, err := parse(c.version, c.c.Buffered())
		if err != nil {
			c.s.seen.Judge(c.t, c.form(), false, "%v", err)
			c.c.Discard(n)
			switch {
			case n == 0:
				c.t.Unsuref("the server sent a malformed packet: %v", err)
				return p, false
			case p.kind == pktConnack || p.kind == pktDisconnect: // a refusal or an end in the wrong form is one all the same
				return p, true
			}
			continue // any other is none
		}
		if n > 0 {
			c.c.Discard(n)
			c.inspect(p)
			return p, true
		}
		if err := c.c.More(until); err != nil {
			return p, false
		}
	}
}

func (c *client) form() string {
	if c.version == v5 {
		return "MQTT5-2.0-1"
	}
	return "MQTT311-2.0-1"
}

// inspect judges what holds for every packet.
func (c *client) inspect(p packet) {
	c.s.seen.Judge(c.t, c.form(), p.kind != pktPublish || p.qos() > 0 || !p.dup(), "a PUBLISH of QoS 0 with DUP [MQTT-3.3.1-2]")
	if c.version != v5 {
		return
	}
	c.s.seen.Judge(c.t, "MQTT5-3.14.4-1", !c.over, "%s after DISCONNECT", p)
	if p.kind == pktDisconnect {
		c.over = true
	}
	if alias, _ := p.props.number(propTopicAlias); p.kind == pktPublish && c.aliases == 0 {
		c.s.seen.Judge(c.t, "MQTT5-3.1.2-27", alias == 0, "topic alias %d to a client that announced none", alias)
	}
}

// answer acknowledges what the server sends, unless the case does.
func (c *client) answer(p packet) {
	if c.manual {
		return
	}
	switch {
	case p.kind == pktPublish && p.qos() == 1:
		c.send(ack(pktPuback, p.id))
	case p.kind == pktPublish && p.qos() == 2:
		c.send(ack(pktPubrec, p.id))
	case p.kind == pktPubrel:
		c.send(ack(pktPubcomp, p.id))
	}
}

// await reads until a packet of that type. Messages are kept for later.
func (c *client) await(kind byte) (packet, bool) {
	deadline := time.Now().Add(c.t.Patience())
	for !c.t.Decided() {
		p, ok := c.read(deadline)
		if !ok {
			break
		}
		if p.kind == kind {
			return p, true
		}
		if c.answer(p); p.kind == pktPublish {
			c.inbox = append(c.inbox, p)
		}
	}
	return packet{}, false
}

// need is await for what a case begins with.
func (c *client) need(kind byte, after string) packet {
	p, ok := c.await(kind)
	if !ok {
		c.t.Unsuref("no %s after %s: %s", kindNames[kind], after, c.state())
	}
	return p
}

// want is await for what the rule demands.
func (c *client) want(kind byte, after string) packet {
	p, ok := c.await(kind)
	if !ok {
		c.t.Failf("no %s after %s: %s", kindNames[kind], after, c.state())
	}
	return p
}

func (c *client) state() string {
	switch {
	case c.over:
		return "the server sent DISCONNECT"
	case c.c.Ended():
		return "the connection ended"
	default:
		return fmt.Sprintf("nothing within %s", c.t.Patience())
	}
}

// message returns the next PUBLISH, answered.
func (c *client) message(wait time.Duration) (packet, bool) {
	if len(c.inbox) > 0 {
		p := c.inbox[0]
		c.inbox = c.inbox[1:]
		return p, true
	}
	deadline := time.Now().Add(wait)
	for !c.t.Decided() {
		p, ok := c.read(deadline)
		if !ok {
			break
		}
		if c.answer(p); p.kind == pktPublish {
			return p, true
		}
	}
	return packet{}, false
}

// messages returns what came until one has the payload last, or nothing more
// did. A message that ought not to be there is seen among them: last is sent
// behind it on the same way.
func (c *client) messages(last string) []packet {
	var out []packet
	for len(out) < 5000 {
		p, ok := c.message(c.t.Patience())
		if !ok {
			break
		}
		if out = append(out, p); string(p.payload) == last {
			break
		}
	}
	return out
}

// upTo returns the next n messages, or fewer when no more come.
func (c *client) upTo(n int) (out []packet) {
	for len(out) < n {
		p, ok := c.message(c.t.Patience())
		if !ok {
			break
		}
		out = append(out, p)
	}
	return out
}

// take demands a message with that payload as the next one.
func (c *client) take(payload string) packet {
	p, ok := c.message(c.t.Patience())
	switch {
	case !ok:
		c.t.Failf("the message %q did not come: %s", payload, c.state())
	case string(p.payload) != payload:
		c.t.Failf("the message %q was to come, %s with %q came", payload, p, clip(p.payload))
	}
	return p
}

func clip(b []byte) []byte { return b[:min(len(b), 64)] }

// subscribe demands that all filters are granted with their QoS at least as
// what the case begins with.
func (c *client) subscribe(qos byte, filters ...string) {
	var fs []filter
	for _, f := range filters {
		fs = append(fs, filter{f, qos})
	}
	c.subscribeWith(nil, fs...)
}

// subscribeWith returns the QoS that were granted; a server may grant less than
// was asked for (3.1.1 section 3.8.4, 5.0 section 3.8.4).
func (c *client) subscribeWith(props [][]byte, fs ...filter) (granted []byte) {
	c.send(subscribe(c.version, c.newID(), props, fs...))
	p := c.need(pktSuback, "SUBSCRIBE")
	if len(p.codes) != len(fs) || slices.ContainsFunc(p.codes, func(code byte) bool { return code > 2 }) {
		c.t.Unsuref("a sound subscription to %d filters was refused: %s", len(fs), p)
	}
	return p.codes
}

func (c *client) newID() uint16 {
	c.nextID++
	return c.nextID
}

// publish sends a message and carries its handshake through.
func (c *client) publish(p publish) {
	if p.qos > 0 && p.id == 0 {
		p.id = c.newID()
	}
	c.send(p.bytes(c.version))
	switch p.qos {
	case 1:
		c.refused(c.need(pktPuback, "PUBLISH with QoS 1"))
	case 2:
		c.refused(c.need(pktPubrec, "PUBLISH with QoS 2"))
		c.send(ack(pktPubrel, p.id))
		c.need(pktPubcomp, "PUBREL")
	}
}

func (c *client) refused(p packet) {
	if p.code >= 0x80 {
		c.t.Unsuref("a sound message was refused: %s", p)
	}
}

// ends demands that the server ends the connection after what the case sent.
// A PINGREQ tells a server that goes on from one that is slow.
func (c *client) ends(what string) {
	if c.t.Decided() {
		return
	}
	c.send(pingreq)
	deadline := time.Now().Add(c.t.Patience())
	ponged := false
	code := byte(0)
	for {
		p, ok := c.read(deadline)
		if !ok {
			break
		}
		if p.kind == pktPingresp {
			ponged = true
		}
		if p.kind == pktDisconnect || p.kind == pktConnack {
			code = p.code
		}
		c.answer(p)
	}
	switch {
	case c.c.Ended() && code != 0:
		c.t.Sayf("%s: closed with code %#02x", what, code)
	case c.c.Ended():
		c.t.Sayf("%s: closed", what)
	case ponged:
		c.t.Failf("%s: the server went on and answered PINGREQ", what)
	default:
		c.t.Failf("%s: the connection is still open after %s", what, c.t.Patience())
	}
}

// lives demands that the server still answers.
func (c *client) lives(what string) {
	c.send(pingreq)
	if _, ok := c.await(pktPingresp); !ok && !c.t.Decided() {
		c.t.Failf("%s: no PINGRESP: %s", what, c.state())
	}
}

// leave disconnects in an orderly way and waits for the end, so that the
// server knows it.
func (c *client) leave() {
	c.send(goodbye)
	c.gone()
}

// gone waits for the server to close.
func (c *client) gone() {
	deadline := time.Now().Add(c.t.Patience())
	for !c.t.Decided() {
		if err := c.c.More(deadline); err != nil {
			break
		}
		c.c.Discard(len(c.c.Buffered()))
	}
	c.c.Close()
}

// wipe removes retained messages at the end of a case, however it went.
func (s *suite) wipe(topics ...string) {
	version := byte(v5)
	if s.lacks(LacksV5) {
		version = v311
	}
	var raw []byte
	for _, topic := range topics {
		raw = append(raw, publish{topic: topic, retain: true}.bytes(version)...)
	}
	s.aside(version, s.unique("wipe"), raw)
}

// forget ends a session at the end of a case, however it went.
func (s *suite) forget(version byte, id string) { s.aside(version, id, nil) }

// aside connects with a clean session, sends and leaves, outside every case:
// what it cleans must not be left when a case has its verdict.
func (s *suite) aside(version byte, id string, raw []byte) {
	conn, err := s.end.Open(context.Background(), s.o.Patience)
	if err != nil {
		return
	}
	defer func() { _ = conn.Close() }()
	_ = conn.SetDeadline(time.Now().Add(s.o.Patience))
	_, _ = conn.Write(s.hello(version, id).bytes())
	if _, err := io.ReadFull(conn, make([]byte, 4)); err != nil {
		return
	}
	_, _ = conn.Write(append(raw, goodbye...))
	_, _ = io.Copy(io.Discard, io.LimitReader(conn, 1<<16)) // until the server has read it all
}
