package ingest

import (
	"context"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/gorilla/websocket"
	mqtt "github.com/mochi-mqtt/server/v2"

	"plumbline/bridge/internal/eventually"
	"plumbline/bridge/journal"
)

// held is a journal whose Append waits while it is held.
type held struct {
	*journal.Journal
	mu      sync.Mutex
	gate    chan struct{} // nil: open
	waiting int
}

func (h *held) hold() (release func()) {
	gate := make(chan struct{})
	h.mu.Lock()
	h.gate = gate
	h.mu.Unlock()
	return func() {
		h.mu.Lock()
		h.gate = nil
		h.mu.Unlock()
		close(gate)
	}
}

func (h *held) Append(ctx context.Context, m journal.Message) (uint64, bool, error) {
	h.mu.Lock()
	gate := h.gate
	h.waiting++
	h.mu.Unlock()
	if gate != nil {
		select {
		case <-gate:
		case <-ctx.Done():
			return 0, false, ctx.Err()
		}
	}
	return h.Journal.Append(ctx, m)
}

// startHeld runs a broker over such a journal.
func startHeld(t *testing.T) (*Broker, *journal.Journal, *held) {
	t.Helper()
	h := &held{}
	b, j := start(t, func(o *Options) {
		h.Journal = o.Journal.(*journal.Journal)
		o.Journal = h
	})
	return b, j, h
}

// await waits until n messages were given to the journal.
func (h *held) await(t *testing.T, n int) {
	t.Helper()
	eventually.Must(t, fmt.Sprintf("message %d to reach the journal", n), func() bool {
		h.mu.Lock()
		defer h.mu.Unlock()
		return h.waiting >= n
	})
}

// TestTakeoverWaitsForWhatIsBeingStored: a QoS 2 message that the old connection is storing is known to the new one, which would
// store it once more; and the will of the old connection is due although its reader is busy when it is cut.
func TestTakeoverWaitsForWhatIsBeingStored(t *testing.T) {
	b, j, h := startHeld(t)
	in := login{id: "s", props: kept1h}
	with := in
	with.will = &willSpec{topic: "w", payload: "taken over"}
	old := dial(t, b, 5).ok(with)
	release := h.hold()
	old.publish("x", "once", 2, 7, 0, nil)
	h.await(t, 1)
	c := dial(t, b, 5)
	c.send(c.connectPacket(in))
	eventually.Must(t, "the old connection's end", func() bool {
		first, _, err := old.read()
		return err != nil || first>>4 == 14
	})
	release()
	if body := c.want(2); body[0] != 1 || body[1] != 0 {
		t.Fatalf("CONNACK %x, want the session", body)
	}
	c.publish("x", "once", 2, 7, 8, nil)
	c.want(5)
	var got []string
	for _, e := range waitStored(t, j, 2) {
		got = append(got, e.Topic)
	}
	if strings.Join(got, " ") != "x w" {
		t.Errorf("stored %q, want the message once and the will", got)
	}
}

// TestTakeoverOfAStalledConnection: a client that lost its connection comes back at once, also while the bridge still writes to
// the old one, and the first packet that it gets is CONNACK [MQTT-3.2.0-1].
func TestTakeoverOfAStalledConnection(t *testing.T) {
	b, _ := start(t, func(o *Options) { o.WriteTimeout = time.Minute })
	in := login{id: "s", props: kept1h}
	dial(t, b, 5).ok(in).sub("big", 1, nil) // and reads no more
	p := dial(t, b, 5).ok(login{id: "p", clean: true})
	for n := uint16(1); n <= 60; n++ {
		p.publish("big", strings.Repeat("x", 200<<10), 1, n, 0, nil)
		p.want(4)
	}
	back := dial(t, b, 5)
	if body := back.connect(in); body[0] != 1 || body[1] != 0 {
		t.Fatalf("CONNACK %x, want the session", body)
	}
	if g := back.next(); g.topic != "big" || !g.dup {
		t.Errorf("topic %q, DUP %v", g.topic, g.dup)
	}
}

// TestConnackComesFirst [MQTT-3.2.0-1]: also when messages for the session come while it is taken up.
func TestConnackComesFirst(t *testing.T) {
	b, _ := start(t, nil)
	in := login{id: "s", props: kept1h}
	dial(t, b, 5).ok(in).sub("f", 0, nil)
	p := dial(t, b, 5).ok(login{id: "p", clean: true})
	done := make(chan struct{})
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		one := p.publishPacket("f", "x", 0, 0, 0, nil)
		for {
			select {
			case <-done:
				return
			default:
				if _, err := p.Write(one); err != nil {
					return
				}
			}
		}
	}()
	defer func() { close(done); <-ended }()
	for i := range 100 {
		c := dial(t, b, 5)
		c.send(c.connectPacket(in))
		if first, body, err := c.read(); err != nil || first != 0x20 {
			t.Fatalf("round %d: first packet %#x %.20q, error %v; want CONNACK", i, first, body, err)
		}
	}
}

// TestNothingBeforeConnack [MQTT-3.14.0-1]: of several that connect with one client id at once, each gets a CONNACK first or is cut; and
// who has got one is told when the next takes over [MQTT-3.1.4-3].
func TestNothingBeforeConnack(t *testing.T) {
	b, _ := start(t, nil)
	for range 50 {
		var all []*client
		for range 6 {
			all = append(all, dial(t, b, 5))
		}
		var wg sync.WaitGroup
		for _, c := range all {
			wg.Go(func() { _, _ = c.Write(c.connectPacket(login{id: "s", props: kept1h})) })
		}
		wg.Wait()
		var in []*client
		for _, c := range all {
			first, body, err := c.read()
			switch {
			case err != nil:
			case first == 0x20:
				in = append(in, c)
			default:
				t.Fatalf("first packet %#x %x", first, body)
			}
		}
		last := dial(t, b, 5).ok(login{id: "s", props: kept1h})
		for _, c := range in {
			if kinds := c.wantClosed(); string(kinds) != "\x0e" {
				t.Fatalf("behind CONNACK packets of types %x, want DISCONNECT", kinds)
			}
		}
		_ = last.Close()
	}
}

// TestN40SessionIsGivenUnderItsLock: two users that connect with one client id at the same moment do not get one session.
func TestN40SessionIsGivenUnderItsLock(t *testing.T) {
	b, _ := start(t, nil)
	as := func(user string) *mqtt.Client {
		cl := &mqtt.Client{ID: "x"}
		cl.Properties.Username = []byte(user)
		return cl
	}
	one := &conn{}
	if _, _, reason := b.sessions.attach(as("one"), one, false); reason != "" {
		t.Fatalf("refused: %s", reason)
	}
	defer b.sessions.detach(one)
	if present, code, reason := b.sessions.attach(as("two"), &conn{}, false); reason == "" || code.Code != 0x85 || present {
		t.Errorf("another user is given the session: %#x %q", code.Code, reason)
	}
}

// TestTakenOverRightBehindConnack: who has its CONNACK is told of the takeover [MQTT-3.1.4-3], also while the disk has not taken yet
// that it came.
func TestTakenOverRightBehindConnack(t *testing.T) {
	b, _ := start(t, func(o *Options) { o.SessionDir = t.TempDir() })
	in := login{id: "s", props: kept1h}
	_ = dial(t, b, 5).ok(in).Close()
	b.sessions.mu.Lock()
	s := b.sessions.byID["s"]
	b.sessions.mu.Unlock()
	eventually.Must(t, "a session without connection", func() bool { return s.connection() == nil })
	s.saving.Lock() // as a disk that hangs
	hangs := true
	defer func() {
		if hangs {
			s.saving.Unlock()
		}
	}()
	old := dial(t, b, 5).ok(in)
	c := dial(t, b, 5)
	c.send(c.connectPacket(in))
	if body := old.want(14); len(body) == 0 || body[0] != 0x8E {
		t.Errorf("DISCONNECT %x, want 0x8E", body)
	}
	hangs = false
	s.saving.Unlock()
	if body := c.want(2); body[0] != 1 || body[1] != 0 {
		t.Errorf("CONNACK %x, want the session", body)
	}
}

// TestTakenOverWhileSent: DISCONNECT does not wait for the packets that are gathered into one write meanwhile, and it is the last
// [MQTT-3.14.4-1].
func TestTakenOverWhileSent(t *testing.T) {
	b, _ := start(t, nil)
	in := login{id: "s", props: kept1h}
	old := dial(t, b, 5).ok(in)
	old.quiet() // its session is up
	b.sessions.mu.Lock()
	c := b.sessions.byID["s"].connection()
	b.sessions.mu.Unlock()
	if _, err := c.Write(old.publishPacket("x", "gathered", 0, 0, 0, nil)); err != nil {
		t.Fatal(err)
	}
	dial(t, b, 5).ok(in)
	if _, err := c.Write(old.publishPacket("x", "too late", 0, 0, 0, nil)); err == nil {
		t.Error("a packet is written behind DISCONNECT")
	}
	if kinds := old.wantClosed(); string(kinds) != "\x03\x0e" {
		t.Errorf("packets of types %x, want PUBLISH and DISCONNECT", kinds)
	}
}

// TestDisconnectEndsTheSession: DISCONNECT may shorten the session's time (MQTT 5 section 3.14.2.2.2), and who returns at once,
// while the bridge still waits for the old socket's end, finds none.
func TestDisconnectEndsTheSession(t *testing.T) {
	b := startWS(t, nil)
	c := dialWS(t, b, 5).ok(login{id: "s", props: kept1h})
	c.sub("x", 1, nil)
	c.send(packet(0xE0, []byte{0, 5}, u32(0x11, 0)))
	_, _, _ = c.Conn.(*socket).ws.NextReader() // the bridge has it, and waits for the answer to its close
	if body := dial(t, b, 5).connect(login{id: "s", props: kept1h}); body[0] != 0 || body[1] != 0 {
		t.Errorf("CONNACK %x, want a new session", body)
	}
}

// TestNeverSentIsNoDuplicate [MQTT-3.3.1-1]: what comes after a client's DISCONNECT waits, and comes without DUP, although the
// old socket is still there.
func TestNeverSentIsNoDuplicate(t *testing.T) {
	b := startWS(t, nil)
	in := login{id: "s", props: kept1h}
	c := dialWS(t, b, 5).ok(in)
	c.sub("q", 1, nil)
	c.send([]byte{0xE0, 0})
	_, _, err := c.Conn.(*socket).ws.NextReader()
	if !websocket.IsCloseError(err, websocket.CloseNormalClosure) {
		t.Fatalf("after DISCONNECT: %v", err)
	}
	p := dial(t, b, 5).ok(login{id: "p", clean: true})
	p.storm("q", 0, 5)
	back := dial(t, b, 5).ok(in)
	for i := range 5 {
		g := back.next()
		if g.payload != fmt.Sprint(i) || g.dup {
			t.Errorf("message %d: %q, DUP %v", i, g.payload, g.dup)
		}
		back.send(ackOf(0x40, g.id))
	}
}

// TestCleanStartSendsTheDelayedWill: a clean start ends the old session, so its will is due at once, also when the old connection
// was alive until then (MQTT 5 section 3.1.3.2.2).
func TestCleanStartSendsTheDelayedWill(t *testing.T) {
	b, j := start(t, nil)
	for i := range 20 {
		dial(t, b, 5).ok(login{id: "s", clean: true, props: kept1h, will: &willSpec{topic: "w", payload: "gone", props: u32(0x18, 3600)}})
		dial(t, b, 5).ok(login{id: "s", clean: true})
		waitStored(t, j, i+1)
	}
}

// TestDisconnectWithAnError: only DISCONNECT 0x00 takes the will back [MQTT-3.14.4-3].
func TestDisconnectWithAnError(t *testing.T) {
	b, j := start(t, nil)
	for i, code := range []byte{0x80, 0x83, 0x93} {
		c := dial(t, b, 5).ok(login{id: "c", clean: true, will: &willSpec{topic: "w", payload: "failed"}})
		c.send(packet(0xE0, []byte{code, 0}))
		c.wantClosed()
		waitStored(t, j, i+1)
	}
}
