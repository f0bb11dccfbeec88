package external

import (
	"bytes"
	"context"
	"fmt"
	"net"
	"testing"
	"time"

	"github.com/eclipse/paho.golang/packets"

	"plumbline/bridge/internal/eventually"
)

// scripted is a broker that does what a test says, for what no real broker can be made to do.
type scripted struct {
	t    *testing.T
	l    net.Listener
	conn net.Conn
}

func newScripted(t *testing.T) *scripted {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	b := &scripted{t: t, l: l}
	t.Cleanup(func() {
		_ = l.Close()
		if b.conn != nil {
			_ = b.conn.Close()
		}
	})
	return b
}

func (b *scripted) addr() string { return b.l.Addr().String() }

// accept takes the next connection and returns its CONNECT.
func (b *scripted) accept() *packets.Connect {
	b.t.Helper()
	conn, err := b.l.Accept()
	if err != nil {
		b.t.Fatal(err)
	}
	b.conn = conn
	_ = conn.SetDeadline(time.Now().Add(eventually.Patience))
	return b.read().(*packets.Connect)
}

func (b *scripted) read() packets.Packet {
	b.t.Helper()
	p, err := packets.ReadPacket(b.conn)
	if err != nil {
		b.t.Fatalf("scripted broker: %v", err)
	}
	if _, ping := p.Content.(*packets.Pingreq); ping {
		b.send(&packets.Pingresp{})
		return b.read()
	}
	return p.Content
}

func (b *scripted) send(p packets.Packet) {
	b.t.Helper()
	if _, err := p.WriteTo(b.conn); err != nil {
		b.t.Fatalf("scripted broker: %v", err)
	}
}

// open accepts a connection with or without session and answers its SUBSCRIBE.
func (b *scripted) open(present bool) *packets.Connect {
	b.t.Helper()
	c := b.accept()
	b.send(&packets.Connack{SessionPresent: present, Properties: &packets.Properties{}})
	b.grant(1)
	return c
}

// grant answers SUBSCRIBE with this code.
func (b *scripted) grant(code byte) {
	b.t.Helper()
	s := b.read().(*packets.Subscribe)
	b.send(&packets.Suback{PacketID: s.PacketID, Reasons: []byte{code}, Properties: &packets.Properties{}})
}

// publish sends a message with QoS 1.
func (b *scripted) publish(id uint16, dup bool, text string, user ...packets.User) {
	b.t.Helper()
	b.send(&packets.Publish{Topic: "x", PacketID: id, QoS: 1, Duplicate: dup, Payload: []byte(text), Properties: &packets.Properties{User: user}})
}

// acked reads n PUBACKs and returns their identifiers.
func (b *scripted) acked(n int) (ids []uint16) {
	b.t.Helper()
	for range n {
		ids = append(ids, b.read().(*packets.Puback).PacketID)
	}
	return ids
}

// TestConnectAsks: the CONNECT and SUBSCRIBE on which everything rests.
func TestConnectAsks(t *testing.T) {
	b := newScripted(t)
	start(t, testOptions(t, b.addr()))
	c := b.accept()
	p := c.Properties
	if c.CleanStart || c.ClientID != "me" || *p.SessionExpiryInterval != 3600 || *p.ReceiveMaximum != 20 || *p.MaximumPacketSize != 64<<10 || *p.TopicAliasMaximum != 0 || c.KeepAlive != 2 {
		t.Errorf("CONNECT %s", c)
	}
	b.send(&packets.Connack{Properties: &packets.Properties{}})
	s := b.read().(*packets.Subscribe)
	if want := (packets.SubOptions{Topic: "#", QoS: 1, RetainHandling: 1, RetainAsPublished: true}); len(s.Subscriptions) != 1 || s.Subscriptions[0] != want {
		t.Errorf("SUBSCRIBE %+v", s.Subscriptions)
	}
}

// TestN93ExternalSequence: a producer's own numbers have their effect once, over sessions and identifiers, per topic and
// producer; what is no number is stored and counted.
func TestN93ExternalSequence(t *testing.T) {
	b := newScripted(t)
	o := testOptions(t, b.addr())
	r := start(t, o)
	b.open(false)
	seq := func(n string) packets.User { return packets.User{Key: SequenceProperty, Value: n} }
	who := func(n string) packets.User { return packets.User{Key: ProducerProperty, Value: n} }
	for i, u := range [][]packets.User{{seq("1")}, {seq("2")}, {seq("1")}, {seq("2")}, {seq("1"), who("a")}, {who("a"), seq("1")}, {seq("x")}, {seq("0")}, {seq("3")}} {
		b.publish(uint16(i+1), false, fmt.Sprint(i), u...)
	}
	b.acked(9)
	if got := fmt.Sprint(entries(t, r.j, 6)); got != "[site-a/x 0 site-a/x 1 site-a/x 4 site-a/x 6 site-a/x 7 site-a/x 8]" {
		t.Errorf("journal %s", got)
	}
	if d, bad := r.count(o.Metrics.External.Duplicates, "site-a", "sequence"), r.count(o.Metrics.External.BadSequence, "site-a"); d != 3 || bad != 2 {
		t.Errorf("%g duplicates, %g bad, want 3 and 2", d, bad)
	}
}

// TestRefusals: what can never be stored is refused with a code, so that it does not come for ever, and the next comes through.
func TestRefusals(t *testing.T) {
	b := newScripted(t)
	o := testOptions(t, b.addr())
	r := start(t, o)
	b.open(false)
	for _, name := range []string{"a\nb", "$SYS/x"} {
		b.send(&packets.Publish{Topic: name, PacketID: 1, QoS: 1, Properties: &packets.Properties{}})
		if a := b.read().(*packets.Puback); a.ReasonCode != packets.PubackTopicNameInvalid {
			t.Errorf("%q: %s", name, a)
		}
	}
	b.send(&packets.Publish{Topic: "zero", QoS: 0, Properties: &packets.Properties{}})
	b.publish(2, false, "good")
	if ids := b.acked(1); ids[0] != 2 {
		t.Errorf("acknowledged %v", ids)
	}
	if got := fmt.Sprint(entries(t, r.j, 2)); got != "[site-a/zero  site-a/x good]" {
		t.Errorf("journal %s", got)
	}
	if n := r.count(o.Metrics.External.Refused, "site-a", "topic"); n != 2 {
		t.Errorf("%g refused, want 2", n)
	}
}

// TestBreaches: a broker that breaks the protocol is told which rule and left, and what it did is not acknowledged.
func TestBreaches(t *testing.T) {
	alias := uint16(1)
	for name, tc := range map[string]struct {
		packet packets.Packet
		raw    []byte
		code   byte
		want   string
	}{
		"topic alias": {&packets.Publish{Topic: "x", QoS: 1, PacketID: 1, Properties: &packets.Properties{TopicAlias: &alias}}, nil, packets.DisconnectTopicAliasInvalid, "topic alias"},
		"QoS 2":       {&packets.Publish{Topic: "x", QoS: 2, PacketID: 1, Properties: &packets.Properties{}}, nil, packets.DisconnectQoSNotSupported, "QoS 2"},
		"QoS 3":       {nil, []byte{0x36, 6, 0, 1, 'x', 0, 1, 0}, packets.DisconnectMalformedPacket, "QoS 3"},
		"too large":   {&packets.Publish{Topic: "x", Payload: make([]byte, 65<<10), Properties: &packets.Properties{}}, nil, packets.DisconnectPacketTooLarge, "maxPacketBytes"},
		"200 MiB":     {nil, []byte{0x30, 0xff, 0xff, 0xff, 0x7f}, packets.DisconnectPacketTooLarge, "maxPacketBytes"},
		"length":      {nil, []byte{0x30, 0xff, 0xff, 0xff, 0xff, 0x7f}, packets.DisconnectMalformedPacket, "four bytes"},
		"type 0":      {nil, []byte{0, 0}, packets.DisconnectMalformedPacket, "type 0"},
		"short":       {nil, []byte{0x30, 1, 0}, packets.DisconnectMalformedPacket, "PUBLISH"},
		"CONNACK":     {&packets.Connack{Properties: &packets.Properties{}}, nil, packets.DisconnectProtocolError, "CONNACK"},
		"PUBREL":      {nil, []byte{0x62, 2, 0, 1}, packets.DisconnectProtocolError, "PUBREL"},
	} {
		t.Run(name, func(t *testing.T) {
			b := newScripted(t)
			r := start(t, testOptions(t, b.addr()))
			b.open(false)
			if tc.packet != nil {
				b.send(tc.packet)
			} else if _, err := b.conn.Write(tc.raw); err != nil {
				t.Fatal(err)
			}
			if d, ok := b.read().(*packets.Disconnect); !ok || d.ReasonCode != tc.code {
				t.Errorf("answer %v, want DISCONNECT 0x%02X", d, tc.code)
			}
			eventually.Must(t, "the source to say why", func() bool { return containsAll(r.s.Status().Error, tc.want) })
			if head := r.j.Head().Offset; head != 0 {
				t.Errorf("%d stored", head)
			}
		})
	}
}

// TestRefusedSessions: every way in which a broker can say no is an error that says what to do, and tried again.
func TestRefusedSessions(t *testing.T) {
	for name, tc := range map[string]struct {
		answer func(b *scripted)
		want   []string
	}{
		"3.1.1 only": {func(b *scripted) { b.accept(); _, _ = b.conn.Write([]byte{0x20, 2, 0, 1}) }, []string{"0x84", "MQTT 5"}},
		"bad password": {func(b *scripted) {
			b.accept()
			b.send(&packets.Connack{ReasonCode: 0x86, Properties: &packets.Properties{}})
		}, []string{"0x86", "credentialsFile"}},
		"its own words": {func(b *scripted) {
			b.accept()
			b.send(&packets.Connack{ReasonCode: 0x97, Properties: &packets.Properties{ReasonString: "full\x1b[31m"}})
		}, []string{"0x97", `full\x1b[31m`}},
		"moved": {func(b *scripted) {
			b.accept()
			b.send(&packets.Connack{ReasonCode: 0x9D, Properties: &packets.Properties{ServerReference: "evil.example"}})
		}, []string{"0x9D", "follows no such hint"}},
		"HTTP": {func(b *scripted) { b.accept(); _, _ = b.conn.Write([]byte("HTTP/1.1 400 Bad Request\r\n\r\n")) }, []string{"127.0.0.1"}},
		"may not read": {func(b *scripted) {
			b.accept()
			b.send(&packets.Connack{Properties: &packets.Properties{}})
			b.grant(0x87)
		}, []string{"0x87", "external.site-a.filters", "right to read"}},
		"QoS 0": {func(b *scripted) {
			b.accept()
			b.send(&packets.Connack{Properties: &packets.Properties{}})
			b.grant(0)
		}, []string{"QoS 0", "allow QoS 1"}},
		"taken over": {func(b *scripted) {
			b.open(false)
			b.send(&packets.Disconnect{ReasonCode: packets.DisconnectSessionTakenOver, Properties: &packets.Properties{}})
		}, []string{"clientId"}},
		"bye": {func(b *scripted) { b.open(false); _, _ = b.conn.Write([]byte{0xe0, 0}) }, []string{"0x00"}},
	} {
		t.Run(name, func(t *testing.T) {
			b := newScripted(t)
			r := start(t, testOptions(t, b.addr()))
			tc.answer(b)
			eventually.Must(t, "the source to say why", func() bool { return containsAll(r.s.Status().Error, tc.want...) })
			_ = b.conn.Close()
			b.accept() // tried again
		})
	}
}

// TestSilentBroker: one that takes the connection and says nothing is left after the connect timeout, one that falls silent
// later after one and a half keepalive intervals.
func TestSilentBroker(t *testing.T) {
	b := newScripted(t)
	o := testOptions(t, b.addr())
	o.ConnectTimeout = 500 * time.Millisecond
	never := func(time.Duration) <-chan time.Time { return nil }
	o.After = never
	r := start(t, o)
	b.accept()
	eventually.Must(t, "the source to give up", func() bool { return containsAll(r.s.Status().Error, "no CONNACK within 500ms") })

	b = newScripted(t)
	o = testOptions(t, b.addr())
	o.After = never
	r = start(t, o)
	b.open(false)
	eventually.Must(t, "the source to notice the silence", func() bool { return containsAll(r.s.Status().Error, "timeout") })
}

// TestUnknownOutcome: a command whose answer never comes is reported as that, and not sent again.
func TestUnknownOutcome(t *testing.T) {
	b := newScripted(t)
	s, err := New(testOptions(t, b.addr()))
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = s.Close() }()
	ctx, cancel := context.WithCancel(t.Context())
	result := make(chan error, 1)
	go func() { result <- s.Publish(ctx, "site-a/x", []byte("open"), 1) }()
	if c := b.accept(); c.ClientID != "me-pub" || !c.CleanStart {
		t.Errorf("CONNECT %s", c)
	}
	window := uint16(1)
	b.send(&packets.Connack{Properties: &packets.Properties{ReceiveMaximum: &window}})
	first := b.read().(*packets.Publish)
	cancel()
	if err := <-result; !isUnknown(err) {
		t.Errorf("no answer: %v", err)
	}
	go func() { result <- s.Publish(t.Context(), "site-a/x", []byte("close"), 1) }() // waits for the window of one
	b.send(&packets.Puback{PacketID: first.PacketID, Properties: &packets.Properties{}})
	second := b.read().(*packets.Publish)
	if string(second.Payload) != "close" {
		t.Errorf("sent %q", second.Payload)
	}
	b.send(&packets.Puback{PacketID: second.PacketID, ReasonCode: 0x87, Properties: &packets.Properties{}})
	if err := <-result; err == nil || !containsAll(err.Error(), "0x87") {
		t.Errorf("refused: %v", err)
	}
	go func() { result <- s.Publish(t.Context(), "site-a/x", []byte("lost"), 1) }()
	b.read()
	_ = b.conn.Close()
	if err := <-result; !isUnknown(err) {
		t.Errorf("connection broken: %v", err)
	}
}

func FuzzDecode(f *testing.F) {
	f.Add(byte(0x32), []byte{0, 1, 'x', 0, 1, 0, 'p'})
	f.Add(byte(0x20), []byte{0, 0, 3, 0x21, 0, 20})
	f.Add(byte(0x20), []byte{0, 1})
	f.Add(byte(0x90), []byte{0, 1, 0, 1})
	f.Add(byte(0xe0), []byte{})
	f.Add(byte(0x40), []byte{0, 1, 0x10, 0})
	f.Add(byte(0x30), []byte{0, 1, 'x', 0xff, 0xff, 0xff, 0xff, 0x7f})
	f.Fuzz(func(t *testing.T, first byte, body []byte) {
		p, err := decode(first, bytes.Clone(body))
		if (p == nil) != (err != nil) {
			t.Fatalf("decode(%x, %x) = %v, %v", first, body, p, err)
		}
		if err != nil {
			if _, is := breach(err); !is {
				t.Fatalf("%v carries no code", err)
			}
		}
	})
}
