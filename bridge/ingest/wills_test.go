package ingest

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	mqtt "github.com/mochi-mqtt/server/v2"
	"github.com/mochi-mqtt/server/v2/packets"
	dto "github.com/prometheus/client_model/go"

	"plumbline/bridge/internal/eventually"
	"plumbline/bridge/journal"
)

// safeBuffer is a bytes.Buffer for several goroutines.
type safeBuffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (s *safeBuffer) Write(p []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.b.Write(p)
}

func (s *safeBuffer) String() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.b.String()
}

func u32(id byte, n uint32) []byte { return binary.BigEndian.AppendUint32([]byte{id}, n) }

func counted(t *testing.T, b *Broker, result string) float64 {
	t.Helper()
	var m dto.Metric
	if err := b.m.Wills.WithLabelValues(result).Write(&m); err != nil {
		t.Fatal(err)
	}
	return m.GetCounter().GetValue()
}

// waitWill waits until a will's result was counted n times.
func waitWill(t *testing.T, b *Broker, result string, n float64) {
	t.Helper()
	eventually.Must(t, fmt.Sprintf("%v wills %q", n, result), func() bool { return counted(t, b, result) >= n })
}

func TestWillIsStoredAndSent(t *testing.T) { // D9
	b, j := start(t, nil)
	s := dial(t, b, 5).ok(login{id: "s", clean: true})
	s.subscribe("w/#")
	props := cat(cat([]byte{0x01, 1}, []byte{0x03}), str("text/plain"), userProp("k", "v"))
	c := dial(t, b, 5).ok(login{id: "d", clean: true, will: &willSpec{topic: "w/5", payload: "gone", qos: 1, retain: true, props: props}})
	_ = c.Close()
	e := waitStored(t, j, 1)
	if e[0].Topic != "w/5" || string(e[0].Payload) != "gone" || e[0].QoS != 1 || !e[0].Retain {
		t.Errorf("stored %+v", e[0])
	}
	if body := string(s.want(3)); !strings.Contains(body, "text/plain") || !strings.Contains(body, string(userProp("k", "v"))) {
		t.Errorf("the will lost its properties: %q", body)
	}
	old := dial(t, b, 4).ok(login{id: "d4", clean: true, will: &willSpec{topic: "w/4", payload: "gone"}})
	_ = old.Close()
	waitStored(t, j, 2)
	late := dial(t, b, 5).ok(login{id: "late", clean: true})
	late.subscribe("w/5")
	if body := string(late.want(3)); !strings.HasSuffix(body, "gone") {
		t.Errorf("the will was not retained: %q", body)
	}
	good := dial(t, b, 5).ok(login{id: "bye", clean: true, will: &willSpec{topic: "w/bye", payload: "x"}})
	good.send([]byte{0xE0, 0})
	good.wantClosed()
	marker := dial(t, b, 5).ok(login{id: "marker", clean: true})
	marker.publish("w/marker", "m", 1, 1, 0, nil)
	marker.want(4)
	for _, e := range stored(t, j) {
		if e.Topic == "w/bye" || strings.HasPrefix(e.Topic, "$") {
			t.Errorf("stored %q", e.Topic)
		}
	}
}

// TestN52WillIsCheckedAgainstTheList is M11; nor does a CONNECT that was refused leave a will.
func TestN52WillIsCheckedAgainstTheList(t *testing.T) {
	b, j := start(t, func(o *Options) { o.Users = users(t) })
	c := dial(t, b, 5).ok(login{id: "d", user: "dev", password: "pw", clean: true, will: &willSpec{topic: "other/will", payload: "x", retain: true}})
	_ = c.Close()
	waitWill(t, b, "denied", 1)
	c = dial(t, b, 5).ok(login{id: "d", user: "dev", password: "pw", clean: true, will: &willSpec{topic: "dev/will", payload: "x"}})
	_ = c.Close()
	if e := waitStored(t, j, 1); e[0].Topic != "dev/will" {
		t.Errorf("stored %q", e[0].Topic)
	}
	stranger := dial(t, b, 5)
	if body := stranger.connect(login{id: "d", user: "dev", password: "wrong", clean: true, will: &willSpec{topic: "dev/never", payload: "x"}}); body[1] != 0x86 {
		t.Errorf("CONNACK %#x", body[1])
	}
	stranger.wantClosed()
	if e := stored(t, j); len(e) != 1 {
		t.Errorf("%d stored after a refused CONNECT, want 1", len(e))
	}
	all := dial(t, b, 5).ok(login{id: "a", user: "all", password: "pw", clean: true})
	if code := all.subscribe(sinkTopic); code < 0x80 {
		t.Errorf("the sink can be subscribed to: %#x", code)
	}
}

func TestDelayedWill(t *testing.T) { // D10, 3.1.3.2.2
	b, j := start(t, nil)
	session := u32(0x11, 3600)
	delayed := func(id, topic string, clean bool) *client {
		return dial(t, b, 5).ok(login{id: id, clean: clean, props: session, will: &willSpec{topic: topic, payload: "x", props: u32(0x18, 1)}})
	}
	_ = delayed("back", "w/back", true).Close()
	waitWill(t, b, "delayed", 1)
	dial(t, b, 5).ok(login{id: "back", props: session}) // the session goes on: no will
	waitWill(t, b, "cancelled", 1)

	_ = delayed("fresh", "w/fresh", true).Close()
	waitWill(t, b, "delayed", 2)
	dial(t, b, 5).ok(login{id: "fresh", clean: true}) // the session ended with the clean start: the will is due
	if e := waitStored(t, j, 1); e[0].Topic != "w/fresh" {
		t.Errorf("stored %q, want w/fresh", e[0].Topic)
	}
	begin := time.Now()
	_ = delayed("away", "w/away", true).Close()
	if e := waitStored(t, j, 2); e[1].Topic != "w/away" {
		t.Errorf("stored %q, want w/away", e[1].Topic)
	}
	if took := time.Since(begin); took < time.Second {
		t.Errorf("the will came after %s, its delay is 1 s", took)
	}
	short := dial(t, b, 5).ok(login{id: "short", clean: true, will: &willSpec{topic: "w/short", payload: "x", props: u32(0x18, 3600)}})
	_ = short.Close() // no session outlives the connection, so the delay ends at once
	if e := waitStored(t, j, 3); e[2].Topic != "w/short" {
		t.Errorf("stored %q, want w/short", e[2].Topic)
	}
}

func TestDrainSendsNoWills(t *testing.T) { // M25
	b, j := start(t, nil)
	var cs []*client
	for _, id := range []string{"a", "b", "c"} {
		cs = append(cs, dial(t, b, 5).ok(login{id: id, clean: true, will: &willSpec{topic: "w/" + id, payload: "x"}}))
	}
	old := dial(t, b, 4).ok(login{id: "old", clean: true, will: &willSpec{topic: "w/old", payload: "x"}})
	_ = dial(t, b, 5).ok(login{id: "d", clean: true, props: u32(0x11, 60), will: &willSpec{topic: "w/d", payload: "x", props: u32(0x18, 50)}}).Close()
	waitWill(t, b, "delayed", 1)
	if err := b.Close(); err != nil {
		t.Fatal(err)
	}
	for _, c := range cs {
		if kinds := c.wantClosed(); len(kinds) != 1 || kinds[0] != 14 {
			t.Errorf("packets at shutdown %v, want one DISCONNECT", kinds)
		}
	}
	if kinds := old.wantClosed(); len(kinds) != 0 {
		t.Errorf("a 3.1.1 client got %v, which its protocol does not have", kinds)
	}
	if e := stored(t, j); len(e) != 0 {
		t.Errorf("%d wills were stored", len(e))
	}
}

// TestWillDueWhileItsClientReturns: whoever takes a delayed will from the list settles it, also when its timer fires just then.
func TestWillDueWhileItsClientReturns(t *testing.T) {
	b, _ := start(t, nil)
	for clean, result := range map[bool]string{true: "sent", false: "cancelled"} {
		fired := time.AfterFunc(0, func() {})
		eventually.Must(t, "the timer", func() bool { return !fired.Stop() })
		before := counted(t, b, result)
		b.wills.mu.Lock()
		b.wills.delayed["d"] = &delayedWill{timer: fired, will: &keptWill{Topic: "w", Delay: 1}, sent: func() {}}
		b.wills.mu.Unlock()
		b.wills.connected(&mqtt.Client{ID: "d"}, packets.Packet{Connect: packets.ConnectParams{Clean: clean}})
		if got := counted(t, b, result) - before; got != 1 {
			t.Errorf("clean start %v: %q counted %v times, want once", clean, result, got)
		}
	}
}

// TestSlowWillLeavesTheNext: a will that takes its time to be stored is not the one that waits by then.
func TestSlowWillLeavesTheNext(t *testing.T) {
	b, j, h := startHeld(t)
	s := newSession(b.sessions, "s", "")
	first, second := &keptWill{Topic: "w/1"}, &keptWill{Topic: "w/2"}
	release := sync.OnceFunc(h.hold())
	defer release()
	s.setWill(first)
	b.wills.later(s, first)
	h.await(t, 1)
	s.setWill(second)
	release()
	waitStored(t, j, 1)
	b.wills.wg.Wait()
	if s.will != second {
		t.Errorf("%+v waits, want the second", s.will)
	}
	s.dropWill(second)
	if s.will != nil || !s.dirty {
		t.Errorf("%+v waits after it was sent", s.will)
	}
}

// TestWillOnItsWayIsKept: a client that comes back while its will is being stored does not have it forgotten: were the process
// killed now, the will would be sent after the restart.
func TestWillOnItsWayIsKept(t *testing.T) {
	h := &held{}
	b, j := start(t, func(o *Options) {
		h.Journal = o.Journal.(*journal.Journal)
		o.Journal, o.SessionDir = h, t.TempDir()
	})
	saved := func() *keptWill {
		k, err := b.sessions.store.read(b.sessions.store.path("d"))
		if err != nil {
			t.Fatal(err)
		}
		return k.Will
	}
	in := login{id: "d", props: kept1h}
	dies := in
	dies.will = &willSpec{topic: "w/d", payload: "x", props: u32(0x18, 1)}
	release := sync.OnceFunc(h.hold())
	defer release()
	_ = dial(t, b, 5).ok(dies).Close()
	h.await(t, 1)
	dial(t, b, 5).ok(in).quiet()
	if w := saved(); w == nil || w.Topic != "w/d" {
		t.Errorf("%+v is saved while the will is being stored", w)
	}
	release()
	waitWill(t, b, "sent", 1)
	eventually.Must(t, "the will to be settled in the file", func() bool { return saved() == nil })
	if e := stored(t, j); len(e) != 1 || counted(t, b, "cancelled") != 0 {
		t.Errorf("%d stored, %v cancelled", len(e), counted(t, b, "cancelled"))
	}
}
