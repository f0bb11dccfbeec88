package external

import (
	"net"
	"slices"
	"testing"
	"time"

	"github.com/eclipse/paho.golang/packets"

	"plumbline/bridge/journal"
)

// TestN93ExternalRedelivery: what a broker delivers again after a broken connection is acknowledged and not stored again, however
// much more than Receive Maximum it has under way, and also by the bridge's next process; what it delivers again and did not
// arrive the first time is stored, equal or not.
func TestN93ExternalRedelivery(t *testing.T) {
	b := newScripted(t)
	o := testOptions(t, b.addr())
	o.ReceiveMaximum = 4
	j := o.Journal.(*journal.Journal)
	r := start(t, o)
	b.open(false)
	for id := uint16(1); id <= 300; id++ { // as Mosquitto up to 2.0.12 does
		b.publish(id, false, "same")
	}
	if ids := b.acked(300); !slices.IsSorted(ids) {
		t.Errorf("acknowledged in the order %v", ids)
	}
	stored := func(n int, what string) {
		t.Helper()
		if got := int(j.Head().Offset); got != n {
			t.Errorf("%s: %d in the journal, want %d", what, got, n)
		}
	}
	stored(300, "first")
	_ = b.conn.Close()
	b.open(true)
	for id := uint16(2); id <= 301; id++ { // those before 301: no acknowledgement but the first was read
		b.publish(id, true, "same")
	}
	b.publish(302, false, "same")
	b.acked(301)
	stored(302, "after a broken connection")
	r.stop()
	o.Metrics = newMetrics()
	r = start(t, o) // the bridge's next process
	b.open(true)
	for id := uint16(100); id <= 302; id++ {
		b.publish(id, true, "same")
	}
	b.publish(303, true, "same")
	b.publish(302, true, "other") // another content is another message
	b.acked(205)
	stored(304, "after a restart")
	if n := r.count(o.Metrics.External.Duplicates, "site-a", "packet-id"); n != 203 {
		t.Errorf("%g duplicates counted, want 203", n)
	}
}

// TestN93ExternalIdentifiers: brokers whose identifiers say nothing. What they deliver again is rather stored twice than lost.
func TestN93ExternalIdentifiers(t *testing.T) {
	for name, script := range map[string]func(b *scripted){
		"the lowest free one": func(b *scripted) {
			b.open(false)
			for range 20 {
				for id := uint16(1); id <= 4; id++ {
					b.publish(id, false, "same")
				}
			}
			b.acked(80)
			_ = b.conn.Close()
			b.open(true)
			b.publish(2, true, "same") // 2 was acknowledged and given again, and that message did not arrive
			b.acked(1)
		},
		"from 1 at each connection": func(b *scripted) {
			b.open(false)
			for id := uint16(1); id <= 40; id++ {
				b.publish(id, false, "same")
			}
			b.acked(40)
			for range 2 {
				_ = b.conn.Close()
				b.open(true)
				for id := uint16(1); id <= 20; id++ {
					b.publish(id, true, "same")
				}
				b.acked(20)
			}
			b.publish(21, false, "same")
			b.acked(1)
		},
		"of a session that is lost": func(b *scripted) {
			b.open(false)
			for id := uint16(1); id <= 40; id++ {
				b.publish(id, false, "same")
			}
			b.acked(40)
			_ = b.conn.Close()
			b.open(false) // and broken before a message arrives
			_ = b.conn.Close()
			b.open(true)
			for id := uint16(2); id <= 42; id++ {
				b.publish(id, true, "same")
			}
			b.acked(41)
		},
	} {
		t.Run(name, func(t *testing.T) {
			b := newScripted(t)
			o := testOptions(t, b.addr())
			o.ReceiveMaximum = 4
			j := o.Journal.(*journal.Journal)
			r := start(t, o)
			script(b)
			if got := j.Head().Offset; got != 81 {
				t.Errorf("%d in the journal, want 81", got)
			}
			if n := r.count(o.Metrics.External.Duplicates, "site-a", "packet-id"); n != 0 {
				t.Errorf("%g taken for duplicates", n)
			}
		})
	}
}

// TestSubscribesAgain: a connection that breaks between the broker's new session and SUBSCRIBE leaves a session without
// subscriptions, which the next connection finds present.
func TestSubscribesAgain(t *testing.T) {
	b := newScripted(t)
	o := testOptions(t, b.addr())
	r := start(t, o)
	b.open(false)
	r.connected()
	_ = b.conn.Close()
	b.accept() // the broker has lost the session, makes a new one, and the connection breaks
	b.send(&packets.Connack{Properties: &packets.Properties{}})
	_ = b.conn.Close()
	b.open(true) // which fails when nobody subscribes
	b.publish(1, false, "x")
	b.acked(1)
}

// TestStoredIsKnownWithoutAcknowledgement: what is stored is known when it comes again, also when not one acknowledgement of its
// batch could be written.
func TestStoredIsKnownWithoutAcknowledgement(t *testing.T) {
	o := testOptions(t, "127.0.0.1:1")
	s, err := New(o)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = s.Close() }()
	const first, n = 100, 50 // above Receive Maximum, so trusted
	message := func(id uint16, again bool) *packets.Publish {
		return &packets.Publish{Topic: "x", PacketID: id, QoS: 1, Duplicate: again, Payload: []byte("same"), Properties: &packets.Properties{}}
	}
	s.window.connected()
	conn, other := net.Pipe()
	defer func() { _ = other.Close() }()
	broken := newLink(t.Context(), halfWritten{conn}, 1000, time.Hour)
	defer broken.close()
	if broken.send(&packets.Pingreq{}) == nil {
		t.Fatal("a broken connection takes a PINGREQ")
	}
	for id := uint16(first); id < first+n; id++ {
		if err := s.publish(message(id, false)); err != nil {
			t.Fatal(err)
		}
	}
	if s.settle(t.Context(), broken) == nil {
		t.Fatal("a broken connection takes acknowledgements")
	}
	if got := counter(t, o.Metrics.External.Received.WithLabelValues("site-a", "1", "0", "0")); got != n {
		t.Errorf("%g counted as received, want %d", got, n)
	}
	s.window.connected() // the next connection: all of it comes again
	for id := uint16(first); id < first+n; id++ {
		if err := s.publish(message(id, true)); err != nil {
			t.Fatal(err)
		}
	}
	if left := len(s.batch.messages); left != 0 {
		t.Errorf("%d of %d would be stored twice", left, n)
	}
}
