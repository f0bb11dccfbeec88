package mqttdev_test

import (
	"context"
	"fmt"
	"log/slog"
	"net"
	"net/url"
	"strings"
	"testing"
	"time"

	"plumbline/devices/devicetest"
	"plumbline/devices/mqttdev"
)

// TestFleetIsCountedToTheMessage lets a mixed fleet talk to a real broker, ends it
// and finds everything that it published: once, and with a will for each device
// that left without a word.
func TestFleetIsCountedToTheMessage(t *testing.T) {
	b := startBroker(t, "127.0.0.1:0")
	const size = 60
	fleet, err := mqttdev.NewFleet(mqttdev.FleetConfig{Broker: b.url(), Devices: size, Seed: 3, Run: "b2", Groups: []mqttdev.Group{
		{Share: 0.4, Period: 20 * time.Millisecond, Least: 10, Most: 300},
		{Share: 0.3, Period: 30 * time.Millisecond, QoS: 1, Will: true},
		{Share: 0.2, Period: 10 * time.Millisecond, QoS: 1, Reconnect: 2, Abrupt: true, Will: true},
		{Share: 0.1, Period: 10 * time.Millisecond, Reconnect: 3},
	}})
	if err != nil {
		t.Fatal(err)
	}
	audit := mqttdev.NewFleetAudit("", "b2", size)
	// What an earlier run has left retained is none of this one's.
	b.publish(t, "fleet/00001/data", `{"device":1,"n":1,"run":"a1"}`, true)
	b.publish(t, "fleet/00003/status", "offline a1", true)
	ctx, cancel := context.WithTimeout(t.Context(), devicetest.Patience)
	defer cancel()
	dev, err := mqttdev.Open(ctx, mqttdev.Config{Broker: b.url(), Filter: audit.Filter(), QoS: 1, Tap: audit.Take, KeepRetained: true, Log: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = dev.Close() }()
	run, stop := context.WithCancel(ctx)
	done := make(chan error, 1)
	go func() { done <- fleet.Run(run, nil) }()
	devicetest.Eventually(t, "a thousand messages", func() bool {
		s := fleet.Stats()
		return s.Published > 1000 && s.Wills > 20 && s.Reconnects > s.Wills
	})
	stop()
	if err := <-done; err != nil {
		t.Fatal(err)
	}
	s, sent := fleet.Stats(), fleet.Sent()
	devicetest.Eventually(t, "everything to come", func() bool {
		r := audit.Received()
		return r.Messages == s.Published && r.Offline == s.Wills
	})
	if lost, first := audit.Lost(sent); lost != 0 {
		t.Errorf("%d lost: %v", lost, first)
	}
	r := audit.Received()
	if r.Foreign != 2 || r.Older != 0 || s.Broken != 0 || s.Connected != 0 || s.Connects > size+s.Reconnects {
		t.Errorf("received %+v of %+v", r, s)
	}
	sent[7]++
	if lost, first := audit.Lost(sent); lost != 1 || first[0] != fmt.Sprintf("fleet/00007/data message %d", sent[7]) {
		t.Errorf("one more that did not come: %d, %v", lost, first)
	}
}

// TestFleetSendsAgainWhatNobodyAcknowledged breaks all connections.
func TestFleetSendsAgainWhatNobodyAcknowledged(t *testing.T) {
	b := startBroker(t, freeAddress(t).String())
	fleet, err := mqttdev.NewFleet(mqttdev.FleetConfig{Broker: b.url(), Devices: 5, Groups: []mqttdev.Group{{Share: 1, Period: 5 * time.Millisecond, QoS: 1}}})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), devicetest.Patience)
	defer cancel()
	run, stop := context.WithCancel(ctx)
	done := make(chan error, 1)
	go func() { done <- fleet.Run(run, nil) }()
	devicetest.Eventually(t, "the first messages", func() bool { return fleet.Stats().Published > 20 })
	addr := b.addr
	b.stop()
	devicetest.Eventually(t, "the loss to be seen", func() bool { return fleet.Stats().Broken >= 5 })
	startBroker(t, addr)
	before := fleet.Stats().Published
	devicetest.Eventually(t, "all devices to be back", func() bool {
		s := fleet.Stats()
		return s.Connected == 5 && s.Published > before+20 && s.Again >= 5
	})
	stop()
	if err := <-done; err != nil {
		t.Fatal(err)
	}
}

func TestFleetRefuses(t *testing.T) {
	good := mqttdev.Group{Share: 1, Period: time.Second}
	at := &url.URL{Scheme: "mqtt", Host: "127.0.0.1:1"}
	change := func(f func(*mqttdev.Group)) []mqttdev.Group { g := good; f(&g); return []mqttdev.Group{g} }
	for name, cfg := range map[string]mqttdev.FleetConfig{
		"no broker":          {Devices: 1, Groups: []mqttdev.Group{good}},
		"TLS":                {Broker: &url.URL{Scheme: "mqtts", Host: "a"}, Devices: 1, Groups: []mqttdev.Group{good}},
		"no devices":         {Broker: at, Groups: []mqttdev.Group{good}},
		"too many devices":   {Broker: at, Devices: mqttdev.MaxFleet + 1, Groups: []mqttdev.Group{good}},
		"no groups":          {Broker: at, Devices: 1},
		"half a fleet":       {Broker: at, Devices: 1, Groups: change(func(g *mqttdev.Group) { g.Share = 0.5 })},
		"QoS 2":              {Broker: at, Devices: 1, Groups: change(func(g *mqttdev.Group) { g.QoS = 2 })},
		"no period":          {Broker: at, Devices: 1, Groups: change(func(g *mqttdev.Group) { g.Period = 0 })},
		"shrinking payload":  {Broker: at, Devices: 1, Groups: change(func(g *mqttdev.Group) { g.Least, g.Most = 9, 3 })},
		"wildcards":          {Broker: at, Prefix: "x/#", Devices: 1, Groups: []mqttdev.Group{good}},
		"control characters": {Broker: at, Prefix: "a\x00", Devices: 1, Groups: []mqttdev.Group{good}},
		"a mark like JSON":   {Broker: at, Run: "a\"", Devices: 1, Groups: []mqttdev.Group{good}},
		"abrupt without end": {Broker: at, Devices: 1, Groups: change(func(g *mqttdev.Group) { g.Abrupt = true })},
	} {
		if _, err := mqttdev.NewFleet(cfg); err == nil {
			t.Errorf("%s is no error", name)
		}
	}
	f, err := mqttdev.NewFleet(mqttdev.FleetConfig{Broker: at, Devices: 3, Groups: []mqttdev.Group{good}})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	if err := f.Run(ctx, nil); err == nil {
		t.Error("a broker that is not there is no error")
	}
}

// TestFleetGivesUp: a broker that lets nobody in is named, and not waited for without end.
func TestFleetGivesUp(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	at := &url.URL{Scheme: "mqtt", Host: l.Addr().String()}
	_ = l.Close()
	f, err := mqttdev.NewFleet(mqttdev.FleetConfig{Broker: at, Devices: 3, Patience: 20 * time.Millisecond, Groups: []mqttdev.Group{{Share: 1, Period: time.Second}}})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), devicetest.Patience)
	defer cancel()
	if err := f.Run(ctx, nil); err == nil || ctx.Err() != nil || !strings.Contains(err.Error(), "0 of 3 devices are connected, and no further one was in 20ms") {
		t.Errorf("it ends with %v", err)
	}
}

func TestFleetAuditTakesNothingForItsOwn(t *testing.T) {
	a := mqttdev.NewFleetAudit("f", "", 2)
	for _, m := range []mqttdev.Message{
		{Topic: "x/0/data"}, {Topic: "f/2/data"}, {Topic: "f/-1/data"}, {Topic: "f/zz/data"}, {Topic: "f/1abc/data", Payload: []byte(`{"device":1,"n":1}`)}, {Topic: "f/00001/other"}, {Topic: "f/00001/data", Payload: []byte(`{"device":1,"n":1,"run":"a1"}`)}, {Topic: "f/00001/status", Payload: []byte("offline a1")},
		{Topic: "f/00001/data", Payload: []byte(`{"device":0,"n":1}`)}, {Topic: "f/00001/data", Payload: []byte(`{"device":1,"n":4000000000}`)}, {Topic: "f/00001/data", Payload: []byte("x")},
	} {
		a.Take(m)
	}
	if r := a.Received(); r.Foreign != 11 || r.Messages != 0 {
		t.Errorf("%+v", r)
	}
	for _, n := range []int{2, 1, 2} {
		a.Take(mqttdev.Message{Topic: "f/00001/data", Payload: fmt.Appendf(nil, `{"device":1,"n":%d}`, n)})
	}
	if r := a.Received(); r.Messages != 2 || r.Again != 1 || r.Older != 1 {
		t.Errorf("%+v", r)
	}
}
