package load

import (
	"errors"
	"fmt"
	"log/slog"
	"net/url"
	"slices"
	"testing"

	mqtt "github.com/mochi-mqtt/server/v2"
	"github.com/mochi-mqtt/server/v2/hooks/auth"
	"github.com/mochi-mqtt/server/v2/listeners"
	"github.com/mochi-mqtt/server/v2/packets"

	"plumbline/devices/devicetest"
	"plumbline/harness/record"
)

// handed starts a generator without sources and a hand of it.
func handed(t *testing.T, rec *record.Recorder, broker *url.URL, resolver *record.Resolver, will *Will) (*Generator, *Hand) {
	t.Helper()
	g, err := NewGenerator(Config{Recorder: rec, Resolver: resolver, Broker: broker, Run: testRun})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = g.Close() })
	h, err := g.Hand(testContext(t), HandConfig{Name: "hand", Will: will})
	if err != nil {
		t.Fatal(err)
	}
	return g, h
}

func TestHandPublishesWhatItIsTold(t *testing.T) {
	rec := newRecorder(t)
	broker, tap := startBroker(t, nil, "")
	resolver := record.NewResolver(testRun)
	g, h := handed(t, rec, broker, resolver, nil)
	raw := h.Line(record.Stream{Device: "raw", Topic: "a/raw", QoS: 1, Foreign: true})
	own := h.Line(record.Stream{Device: "own", Topic: "a/own", QoS: 1})
	text := []byte("a\x00b")
	raw.Send(Parcel{Raw: text, QoS: 1})
	raw.Send(Parcel{QoS: 1}) // empty
	for i := range 4 {
		own.Send(Parcel{QoS: byte(i % 2), Value: float64(i)})
	}
	if err := h.WaitAcked(testContext(t)); err != nil {
		t.Fatal(err)
	}
	until(t, "six messages reach the broker", func() bool { return len(tap.all()) == 6 })
	if health := g.Health(); health.Sent != 6 || health.Acked != 4 {
		t.Errorf("the generator counts %+v", health)
	}
	got := tap.all()
	if got[0].payload != string(text) || got[1].payload != "" || got[2].qos != 0 || got[3].qos != 1 {
		t.Errorf("the broker got %+v", got)
	}
	if stream, seq, flags := resolver.Resolve("a/own", []byte(got[5].payload)); stream != own.id || seq != 4 || flags != 0 {
		t.Errorf("the last one is stream %d #%d, flags %d", stream, seq, flags)
	}
	if stream, _, flags := resolver.Resolve("", text); stream != raw.id || flags != record.FlagForeign {
		t.Errorf("without its topic it is stream %d, flags %d", stream, flags)
	}
	if err := g.Close(); err != nil {
		t.Fatal(err)
	}
	sent := kinds(logOf(t, rec), record.Sent)
	if len(sent) != 6 || sent[0].Flags&record.FlagForeign == 0 || sent[0].Digest != record.Digest(text) || sent[0].Due == 0 || sent[2].Seq != 1 {
		t.Errorf("records are %+v", sent)
	}
	if _, err := g.Hand(testContext(t), HandConfig{Name: "late"}); err == nil {
		t.Error("a closed generator gave a hand")
	}
}

// A message that ends the connection every time is refused, as a broker of MQTT
// 3.1.1 does that; what comes after it is sent.
func TestHandGivesUpWhatEndsItsConnection(t *testing.T) {
	rec := newRecorder(t)
	broker, tap := startBroker(t, nil, "")
	tap.refuse = "a/ b"
	g, h := handed(t, rec, broker, nil, nil)
	for _, topic := range []string{"a/b", "a/ b", "a/c"} {
		h.Line(record.Stream{Device: topic, Topic: topic, QoS: 1}).Send(Parcel{QoS: 1})
		if err := h.WaitAcked(testContext(t)); err != nil {
			t.Fatal(err)
		}
	}
	if health := g.Health(); health.Sent != 3 || health.Acked != 2 || health.Refused != 1 || health.Blocked != 0 || health.Resent != handTries-1 {
		t.Errorf("the generator counts %+v", health)
	}
	if err := g.Close(); err != nil {
		t.Fatal(err)
	}
	refused := slices.DeleteFunc(logOf(t, rec).Events, func(e record.Event) bool { return e.Kind != record.Refused })
	if len(refused) != 1 || refused[0].Fields["topic"] != "a/ b" || refused[0].Fields["tries"] != "3" || refused[0].Fields["seq"] != "1" {
		t.Errorf("refusals %+v", refused)
	}
}

// Of many messages that are on their way only the one is given up over which the
// connection ends each time, wherever it stands among them.
func TestHandGivesUpNothingInnocent(t *testing.T) {
	for name, qos0 := range map[string]bool{"alone": false, "beside QoS 0": true} {
		t.Run(name, func(t *testing.T) {
			rec := newRecorder(t)
			broker, tap := startBroker(t, nil, "")
			tap.refuse = "a/ b"
			g, h := handed(t, rec, broker, nil, nil)
			const most = 12
			for i := range most {
				topic := fmt.Sprintf("a/%d", i)
				if i == 4 {
					topic = tap.refuse
				}
				line := h.Line(record.Stream{Device: topic, Topic: topic, QoS: 1})
				until(t, "there is a connection to send on", func() bool { return line.Send(Parcel{QoS: 1}) })
				if qos0 {
					h.Line(record.Stream{Device: "q0" + topic, Topic: fmt.Sprintf("q/%d", i), QoS: 0}).Send(Parcel{QoS: 0})
				}
			}
			if err := h.WaitAcked(testContext(t)); err != nil {
				t.Fatal(err)
			}
			health := g.Health()
			if health.Refused != 1 || health.Acked != most-1 {
				t.Errorf("the generator counts %+v", health)
			}
			if err := g.Close(); err != nil {
				t.Fatal(err)
			}
			for _, e := range logOf(t, rec).Events {
				if e.Kind == record.Refused && e.Fields["topic"] != tap.refuse {
					t.Errorf("%q was given up", e.Fields["topic"])
				}
			}
			last := -1
			for _, m := range tap.all() { // each for the first time, in their order
				var n int
				if _, err := fmt.Sscanf(m.topic, "a/%d", &n); err == nil && n > last {
					if n != last+1 && (n != 5 || last != 3) {
						t.Errorf("%s came after a/%d", m.topic, last)
					}
					last = n
				}
			}
			if last != most-1 {
				t.Errorf("the last that came is a/%d", last)
			}
		})
	}
}

// Cuts that meet several messages at once are held against none of them.
func TestCutsAreHeldAgainstNoMessage(t *testing.T) {
	p := &Publisher{cfg: PublisherConfig{Tries: 3}}
	on := func(at int64) *pending { return &pending{Message: Message{QoS: 1}, at: at, written: true} }
	for name, c := range map[string]struct {
		order []*pending
		loose bool
		want  int
	}{
		"alone":                          {[]*pending{on(1)}, false, 1},
		"with another":                   {[]*pending{on(1), on(2)}, false, 0},
		"with one of QoS 0":              {[]*pending{on(1)}, true, 0},
		"not sent on this connection":    {[]*pending{on(0)}, false, 0},
		"before one that waits its turn": {[]*pending{on(1), on(0)}, false, 1},
		"acknowledged already":           {[]*pending{{acked: true, at: 1}}, false, 0},
	} {
		p.order, p.loose = c.order, c.loose
		p.suspect()
		if got := c.order[0].ended; got != c.want {
			t.Errorf("%s: held against it %d times, want %d", name, got, c.want)
		}
	}
}

// A hand that is dropped says no word, so that its will is due; its own goodbye
// takes the will back.
func TestDropMakesTheWillDue(t *testing.T) {
	for name, c := range map[string]struct {
		leave func(*Generator, *Hand) error
		due   bool
	}{
		"dropped": {func(_ *Generator, h *Hand) error { return errors.Join(h.Drop(), h.Drop()) }, true},
		"closed":  {func(g *Generator, _ *Hand) error { return g.Close() }, false},
	} {
		t.Run(name, func(t *testing.T) {
			broker, wills, left := startWillBroker(t)
			g, h := handed(t, newRecorder(t), broker, nil, &Will{Topic: "a/state", Payload: []byte("gone"), QoS: 1, Retain: true})
			if err := c.leave(g, h); err != nil {
				t.Fatal(err)
			}
			until(t, "the broker sees the end", func() bool { return len(left) > 0 })
			until(t, "the will is or is not published", func() bool { return len(wills) > 0 || !c.due })
			if got := len(wills) > 0; got != c.due {
				t.Fatalf("the will was published: %v", got)
			}
			if c.due {
				if w := <-wills; w.topic != "a/state" || w.payload != "gone" || w.qos != 1 {
					t.Errorf("the will is %+v", w)
				}
			}
			if err := g.Close(); err != nil {
				t.Error(err)
			}
		})
	}
}

// startWillBroker starts a broker that tells of wills and of clients that left.
func startWillBroker(t *testing.T) (u *url.URL, wills chan published, left chan string) {
	t.Helper()
	s := mqtt.New(&mqtt.Options{InlineClient: true, Logger: slog.New(slog.DiscardHandler)})
	hook := &leavings{wills: make(chan published, 8), left: make(chan string, 8)}
	for _, h := range []mqtt.Hook{new(auth.AllowHook), hook} {
		if err := s.AddHook(h, nil); err != nil {
			t.Fatal(err)
		}
	}
	l := listeners.NewTCP(listeners.Config{ID: "tcp", Address: "127.0.0.1:0"})
	if err := s.AddListener(l); err != nil {
		t.Fatal(err)
	}
	if err := s.Serve(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { devicetest.CloseSoon(t, "the broker", s.Close) })
	return &url.URL{Scheme: "mqtt", Host: l.Address()}, hook.wills, hook.left
}

// leavings tells of wills that were published and of clients that left.
type leavings struct {
	mqtt.HookBase
	wills chan published
	left  chan string
}

// ID implements mqtt.Hook.
func (*leavings) ID() string { return "leavings" }

// Provides implements mqtt.Hook.
func (*leavings) Provides(b byte) bool {
	return slices.Contains([]byte{mqtt.OnWillSent, mqtt.OnDisconnect}, b)
}

// OnWillSent implements mqtt.Hook.
func (h *leavings) OnWillSent(cl *mqtt.Client, pk packets.Packet) {
	h.wills <- published{client: cl.ID, topic: pk.TopicName, payload: string(pk.Payload), qos: pk.FixedHeader.Qos}
}

// OnDisconnect implements mqtt.Hook.
func (h *leavings) OnDisconnect(cl *mqtt.Client, _ error, _ bool) { h.left <- cl.ID }
