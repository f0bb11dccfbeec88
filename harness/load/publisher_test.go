package load

import (
	"errors"
	"fmt"
	"io"
	"net"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/eclipse/paho.golang/packets"

	"plumbline/harness/record"
)

// newPublisher returns a connected publisher that is closed with the test.
func newPublisher(t *testing.T, rec *record.Recorder, broker *url.URL, change func(*PublisherConfig)) *Publisher {
	t.Helper()
	cfg := PublisherConfig{Name: "pub", Broker: broker, Recorder: rec, Sequence: true, Reconnect: 5 * time.Millisecond}
	if change != nil {
		change(&cfg)
	}
	p, err := NewPublisher(cfg)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := p.Close(); err != nil {
			t.Error(err)
		}
	})
	if err := p.Connect(testContext(t)); err != nil {
		t.Fatal(err)
	}
	return p
}

func message(rec *record.Recorder, stream uint32, seq uint64, qos byte) Message {
	return Message{
		Stream: stream, Seq: seq, Due: rec.Clock().Now(), Topic: "t/a", QoS: qos,
		Payload: fmt.Appendf(nil, "m%d", seq),
	}
}

func TestPublisherStampsAndCounts(t *testing.T) {
	rec := newRecorder(t)
	broker, tap := startBroker(t, nil, "")
	stream := rec.Stream(record.Stream{Device: "a", Topic: "t/a"})
	p := newPublisher(t, rec, broker, nil)
	const n = 200
	for seq := uint64(1); seq <= n; seq++ {
		if !p.Send(message(rec, stream, seq, byte(seq%2))) {
			t.Fatalf("message %d was blocked on an idle connection", seq)
		}
	}
	if err := p.WaitAcked(testContext(t)); err != nil {
		t.Fatal(err)
	}
	until(t, "all messages at the broker", func() bool { return len(tap.all()) == n })
	for i, got := range tap.all() {
		want := published{client: "pub", topic: "t/a", payload: fmt.Sprintf("m%d", i+1), qos: byte((i + 1) % 2), seq: uint64(i + 1)}
		if got != want {
			t.Fatalf("message %d at the broker: %+v, want %+v", i, got, want)
		}
	}
	if c := p.Counts(); c.Offered != n || c.Sent != n || c.Acked != n/2 || c.Blocked != 0 || c.InFlight != 0 {
		t.Errorf("counts %+v", c)
	}
	if err := p.Close(); err != nil {
		t.Fatal(err)
	}
	log := logOf(t, rec)
	sent, acked := kinds(log, record.Sent), kinds(log, record.Acked)
	if len(sent) != n || len(acked) != n/2 {
		t.Fatalf("%d sent and %d acknowledged records, want %d and %d", len(sent), len(acked), n, n/2)
	}
	for i, r := range sent {
		if r.Seq != uint64(i+1) || r.Due > r.At || r.At > r.End || r.Aux != 1 || r.Digest != record.Digest(fmt.Appendf(nil, "m%d", i+1)) {
			t.Fatalf("record %d: %+v", i, r)
		}
	}
	for _, r := range acked {
		if r.Seq%2 != 1 || r.At < sent[r.Seq-1].At {
			t.Fatalf("acknowledgement %+v, written at %d", r, sent[r.Seq-1].At)
		}
	}
}

func TestPublisherWithoutSequence(t *testing.T) {
	rec := newRecorder(t)
	broker, tap := startBroker(t, nil, "")
	p := newPublisher(t, rec, broker, func(c *PublisherConfig) { c.Sequence = false })
	p.Send(message(rec, rec.Stream(record.Stream{}), 1, 1))
	until(t, "the message at the broker", func() bool { return len(tap.all()) == 1 })
	if got := tap.all()[0].seq; got != 0 {
		t.Errorf("the user property is there: %d", got)
	}
}

// TestPublisherResends: unacknowledged messages go out again after a
// reconnect, with DUP, under their old numbers and in their old order, before
// anything new.
func TestPublisherResends(t *testing.T) {
	rec := newRecorder(t)
	broker, tap := startBroker(t, nil, "")
	proxy := startProxy(t, broker.Host)
	stream := rec.Stream(record.Stream{Device: "a", Topic: "t/a"})
	p := newPublisher(t, rec, proxy.url(), nil)
	p.Send(message(rec, stream, 1, 1))
	if err := p.WaitAcked(testContext(t)); err != nil {
		t.Fatal(err)
	}
	proxy.set(func() { proxy.mute = true })
	for seq := uint64(2); seq <= 6; seq++ {
		p.Send(message(rec, stream, seq, 1))
	}
	until(t, "five messages at the broker, unacknowledged", func() bool { return len(tap.all()) == 6 })
	proxy.set(func() { proxy.mute = false })
	proxy.cut()
	until(t, "a new connection", func() bool { return p.Counts().Reconnects == 1 && p.Send(message(rec, stream, 7, 1)) })
	if err := p.WaitAcked(testContext(t)); err != nil {
		t.Fatal(err)
	}
	got := tap.all()
	if len(got) < 12 {
		t.Fatalf("%d messages at the broker, want 12: %+v", len(got), got)
	}
	for i, g := range got[6:12] {
		seq := i + 2
		if g.payload != fmt.Sprintf("m%d", seq) || g.seq != uint64(seq) || g.dup != (seq < 7) {
			t.Errorf("after the reconnect: message %d is %+v", i, g)
		}
	}
	if err := p.Close(); err != nil {
		t.Fatal(err)
	}
	again := 0
	for _, r := range kinds(logOf(t, rec), record.Sent) {
		if r.Aux == 2 {
			again++
			if r.Flags&record.FlagDup == 0 || r.Seq < 2 || r.Seq > 6 {
				t.Errorf("second attempt: %+v", r)
			}
		}
	}
	if again != 5 {
		t.Errorf("%d second attempts recorded, want 5", again)
	}
}

func TestPublisherNoResend(t *testing.T) {
	rec := newRecorder(t)
	broker, tap := startBroker(t, nil, "")
	proxy := startProxy(t, broker.Host)
	p := newPublisher(t, rec, proxy.url(), func(c *PublisherConfig) { c.NoResend = true })
	proxy.set(func() { proxy.mute = true })
	p.Send(message(rec, 0, 1, 1))
	until(t, "the message at the broker", func() bool { return len(tap.all()) == 1 })
	proxy.set(func() { proxy.mute = false })
	proxy.cut()
	until(t, "a new connection", func() bool { return p.Counts().Reconnects == 1 && p.Send(message(rec, 0, 2, 1)) })
	if err := p.WaitAcked(testContext(t)); err != nil {
		t.Fatal(err)
	}
	if c := p.Counts(); c.Resent != 0 || c.Acked != 1 {
		t.Errorf("counts %+v, want nothing sent again", c)
	}
}

// TestPublisherBlocks: a full window and a lost connection are recorded with
// the intended instant; Send never waits.
func TestPublisherBlocks(t *testing.T) {
	rec := newRecorder(t)
	broker, _ := startBroker(t, nil, "")
	proxy := startProxy(t, broker.Host)
	stream := rec.Stream(record.Stream{Device: "a", Topic: "t/a"})
	p := newPublisher(t, rec, proxy.url(), func(c *PublisherConfig) { c.InFlight = 5; c.Reconnect = -1 })
	proxy.set(func() { proxy.mute = true })
	for seq := uint64(1); seq <= 8; seq++ {
		if sent := p.Send(message(rec, stream, seq, 1)); sent != (seq <= 5) {
			t.Errorf("message %d: sent %v with a window of 5", seq, sent)
		}
	}
	proxy.cut()
	until(t, "the loss of the connection", func() bool { return p.Counts().Reconnects == 1 })
	if p.Send(message(rec, stream, 9, 0)) {
		t.Error("a message was sent without a connection")
	}
	if err := p.Close(); err != nil {
		t.Fatal(err)
	}
	log := logOf(t, rec)
	var seqs []uint64
	for _, r := range kinds(log, record.Blocked) {
		seqs = append(seqs, r.Seq)
		if r.Due == 0 || r.At < r.Due {
			t.Errorf("blocked record without its instants: %+v", r)
		}
	}
	if fmt.Sprint(seqs) != "[6 7 8 9]" {
		t.Errorf("blocked messages %v, want 6 to 9", seqs)
	}
}

// TestPublisherStalledPeer: when the other side reads nothing, Send goes on
// without waiting until a bound, and everything arrives once it reads again.
func TestPublisherStalledPeer(t *testing.T) {
	rec := newRecorder(t)
	broker, tap := startBroker(t, nil, "")
	proxy := startProxy(t, broker.Host)
	stream := rec.Stream(record.Stream{Device: "a", Topic: "t/a"})
	p := newPublisher(t, rec, proxy.url(), nil)
	proxy.set(func() { proxy.stall = true })
	payload := []byte(strings.Repeat("x", 64<<10))
	sent := 0
	for seq := uint64(1); ; seq++ {
		if seq > 10_000 {
			t.Fatal("640 MB went into a connection that nobody reads")
		}
		if !p.Send(Message{Stream: stream, Seq: seq, Due: rec.Clock().Now(), Topic: "t/a", Payload: payload}) {
			break
		}
		sent++
	}
	proxy.set(func() { proxy.stall = false })
	if err := p.WaitAcked(testContext(t)); err != nil {
		t.Fatal(err)
	}
	until(t, "all that was sent at the broker", func() bool { return len(tap.all()) == sent })
	if err := p.Close(); err != nil {
		t.Fatal(err)
	}
	records := kinds(logOf(t, rec), record.Sent)
	if len(records) != sent {
		t.Fatalf("%d sent records, want %d", len(records), sent)
	}
	for i, r := range records {
		if r.Seq != uint64(i+1) || r.At < r.Due || r.End < r.At {
			t.Fatalf("record %d: %+v", i, r)
		}
	}
}

// TestPublisherClosedWhileStalled: what was accepted and never written is in
// the recording as blocked, not missing from it.
func TestPublisherClosedWhileStalled(t *testing.T) {
	rec := newRecorder(t)
	broker, _ := startBroker(t, nil, "")
	proxy := startProxy(t, broker.Host)
	stream := rec.Stream(record.Stream{Device: "a", Topic: "t/a", QoS: 1})
	p := newPublisher(t, rec, proxy.url(), nil)
	proxy.set(func() { proxy.stall = true })
	payload := []byte(strings.Repeat("x", 64<<10))
	offered := 1
	for p.Send(Message{Stream: stream, Seq: uint64(offered), Due: rec.Clock().Now(), Topic: "t/a", Payload: payload, QoS: 1}) {
		offered++
	}
	if err := p.Close(); err != nil {
		t.Fatal(err)
	}
	c := p.Counts()
	log := logOf(t, rec)
	sent, blocked := len(kinds(log, record.Sent)), len(kinds(log, record.Blocked))
	if sent+blocked != offered || blocked < 2 {
		t.Errorf("%d sent and %d blocked records of %d messages", sent, blocked, offered)
	}
	if c.Sent != int64(sent) || c.Blocked != int64(blocked) {
		t.Errorf("counts %+v, records of %d sent and %d blocked", c, sent, blocked)
	}
}

// TestPublisherKeepsWhatIsDone: a message that was acknowledged out of order is
// not sent again after a reconnect.
func TestPublisherKeepsWhatIsDone(t *testing.T) {
	rec := newRecorder(t)
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	again := make(chan string, 1)
	served := make(chan error, 1)
	go func() { served <- acknowledgeSecond(listener, again) }()
	t.Cleanup(func() {
		listener.Close()
		if err := <-served; err != nil {
			t.Error(err)
		}
	})
	p := newPublisher(t, rec, &url.URL{Scheme: "mqtt", Host: listener.Addr().String()}, nil)
	for seq := uint64(1); seq <= 2; seq++ {
		p.Send(message(rec, 0, seq, 1))
	}
	if err := p.WaitAcked(testContext(t)); err != nil {
		t.Fatal(err)
	}
	if got := <-again; got != "m1" {
		t.Errorf("sent again: %q, want m1", got)
	}
	if c := p.Counts(); c.Resent != 1 || c.Acked != 2 {
		t.Errorf("counts %+v, want one sent again and two acknowledged", c)
	}
}

// acknowledgeSecond is a broker that acknowledges the second of two messages
// and goes. It acknowledges what comes on the next connection and tells it.
func acknowledgeSecond(listener net.Listener, again chan<- string) error {
	accept := func() (net.Conn, error) {
		conn, err := listener.Accept()
		if err != nil {
			return nil, err
		}
		if _, err := packets.ReadPacket(conn); err != nil {
			return nil, err
		}
		_, err = (&packets.Connack{Properties: &packets.Properties{}, SessionPresent: true}).WriteTo(conn)
		return conn, err
	}
	publish := func(conn net.Conn) (*packets.Publish, error) {
		packet, err := packets.ReadPacket(conn)
		if err != nil {
			return nil, err
		}
		return packet.Content.(*packets.Publish), nil
	}
	acknowledge := func(conn net.Conn, id uint16) error {
		_, err := (&packets.Puback{Properties: &packets.Properties{}, PacketID: id}).WriteTo(conn)
		return err
	}
	first, err := accept()
	if err != nil {
		return err
	}
	_, err = publish(first)
	second, err2 := publish(first)
	if err := errors.Join(err, err2); err != nil {
		return err
	}
	if err := errors.Join(acknowledge(first, second.PacketID), first.Close()); err != nil {
		return err
	}
	next, err := accept()
	if err != nil {
		return err
	}
	defer next.Close()
	m, err := publish(next)
	if err != nil {
		return err
	}
	again <- string(m.Payload)
	if err := acknowledge(next, m.PacketID); err != nil {
		return err
	}
	_, _ = io.Copy(io.Discard, next) // until the publisher closes
	return nil
}
