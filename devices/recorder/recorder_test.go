package recorder_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/url"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	mochi "github.com/mochi-mqtt/server/v2"
	"github.com/mochi-mqtt/server/v2/listeners"
	"github.com/mochi-mqtt/server/v2/packets"

	"plumbline/devices/anonymise"
	"plumbline/devices/codec"
	"plumbline/devices/devicetest"
	"plumbline/devices/mqttdev"
	"plumbline/devices/ptytwin"
	"plumbline/devices/recorder"
	"plumbline/devices/replay"
	"plumbline/devices/serialline"
)

func bounded(t *testing.T) context.Context {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), devicetest.Patience)
	t.Cleanup(cancel)
	return ctx
}

func load(t *testing.T, path string) *replay.Recording {
	t.Helper()
	rec, err := replay.Load(path, replay.LoadOptions{})
	if err != nil || rec.Fault != nil {
		t.Fatalf("the recording: %v, %v", err, rec.Fault)
	}
	return rec
}

func said(rec *replay.Recording) []byte {
	var out []byte
	for _, e := range rec.Entries {
		out = append(out, e.Raw...)
	}
	return out
}

// onAPty returns a device on a port; it says text over and over until the test ends.
func onAPty(ctx context.Context, t *testing.T, text []byte) *ptytwin.Twin {
	t.Helper()
	twin, err := ptytwin.NewPair(ctx, ptytwin.Options{Unpaced: true})
	if errors.Is(err, ptytwin.ErrUnsupported) {
		t.Skip("no pseudo terminals on this system")
	}
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(ctx)
	var talk sync.WaitGroup
	talk.Go(func() {
		for ctx.Err() == nil {
			if _, err := twin.Write(text); err != nil {
				return
			}
			_ = twin.Flush(ctx)
		}
	})
	t.Cleanup(func() {
		cancel()
		_ = twin.Close()
		talk.Wait()
	})
	return twin
}

// TestSerialIsKeptByteByByte records a device that talks without end, and plays
// the recording into a pty for the driver and the recorder again.
func TestSerialIsKeptByteByByte(t *testing.T) {
	ctx := bounded(t)
	text := codec.AppendNMEA(codec.AppendNMEA(nil, "GPHDT,274.07,T"), "GPGLL,5230.12345,N,01322.54321,E,120000,A,A")
	twin := onAPty(ctx, t, text)
	path := filepath.Join(t.TempDir(), "a.rec")
	sum, err := recorder.Serial(ctx, serialline.Config{Port: twin.Path(), Codec: codec.NMEA0183{}, Model: "M", Serial: "S7"},
		recorder.Options{Path: path, Until: 20})
	if err != nil {
		t.Fatal(err)
	}
	if sum.Counters.Good < 20 || sum.Lost != 0 || !strings.Contains(sum.Why, "20 frames") {
		t.Errorf("%+v", sum)
	}
	rec := load(t, path)
	if h := rec.Header; h.Codec != "nmea0183" || h.Serial != "S7" || h.Settings.Baud != serialline.DefaultBaud || h.Started.IsZero() || h.Source != twin.Path() {
		t.Errorf("the header is %+v", h)
	}
	// It begins somewhere in what is said over and over, and goes on from there.
	got := said(rec)
	start := -1
	for i := range text {
		if bytes.HasPrefix(bytes.Repeat(text, len(got)/len(text)+2)[i:], got) {
			start = i
			break
		}
	}
	if start < 0 || uint64(len(got)) != sum.Bytes {
		t.Fatalf("%d bytes were kept, not as they came: %q …", len(got), got[:min(len(got), 200)])
	}
	if _, err := recorder.Serial(ctx, serialline.Config{Port: twin.Path()}, recorder.Options{Path: path}); err == nil || !strings.Contains(err.Error(), "exists already") {
		t.Errorf("a recording over another: %v", err)
	}
	hidden := filepath.Join(t.TempDir(), "b.rec")
	if _, err := recorder.Serial(ctx, serialline.Config{Port: twin.Path(), Codec: codec.NMEA0183{}, Serial: "SN-4711-2288-ABCD"},
		recorder.Options{Path: hidden, Until: 20, Anonymise: anonymise.NewKey()}); err != nil {
		t.Fatal(err)
	}
	rec = load(t, hidden)
	if got := said(rec); bytes.Contains(got, []byte("5230.12")) || !bytes.Contains(got, []byte("274.07")) || !rec.Header.Anonymised || strings.Contains(rec.Header.Serial, "4711-2288") || rec.Header.Source != "" {
		t.Errorf("the header is %+v, and it says %q", rec.Header, got[:min(len(got), 200)])
	}
	p, err := rec.Open(replay.Options{Speed: 1000})
	if err != nil {
		t.Fatal(err)
	}
	defer p.Close()
	for err == nil {
		_, err = p.Read(ctx)
	}
	if n := p.Counters(); n.Good < 18 || n.Damaged > 1 {
		t.Errorf("what was anonymised is %+v", n)
	}
}

func TestRawBytesNeedNoCodec(t *testing.T) {
	ctx := bounded(t)
	twin := onAPty(ctx, t, []byte{0, 0xff, 0x80, '\n'})
	path := filepath.Join(t.TempDir(), "a.rec")
	if _, err := recorder.Serial(ctx, serialline.Config{Port: twin.Path()}, recorder.Options{Path: path, Until: 3}); err == nil {
		t.Error("frames are counted, and nobody knows what one is")
	}
	const limit = 64 << 10 // several reads, however much one brings
	sum, err := recorder.Serial(ctx, serialline.Config{Port: twin.Path()}, recorder.Options{Path: path, Limit: limit})
	if err != nil || !strings.Contains(sum.Why, "bound") || sum.Size > limit {
		t.Fatalf("%+v, %v", sum, err)
	}
	if got := said(load(t, path)); !bytes.Contains(got, []byte{0, 0xff, 0x80, '\n', 0}) {
		t.Errorf("%q", got)
	}
	over, cancel := context.WithCancel(ctx)
	cancel()
	if _, err := recorder.Serial(over, serialline.Config{Port: twin.Path()}, recorder.Options{Path: path + "2"}); err == nil {
		t.Error("a port that was not opened is no error")
	}
}

// allow lets everybody in: the broker is the test's own, on the loopback. Acked
// is full once a subscriber has acknowledged a message: its subscription is over
// then, with all retained messages that belong to it.
type allow struct {
	mochi.HookBase
	acked chan struct{}
}

func (*allow) ID() string { return "allow" }

func (*allow) Provides(b byte) bool {
	return b == mochi.OnConnectAuthenticate || b == mochi.OnACLCheck || b == mochi.OnQosComplete
}

func (*allow) OnConnectAuthenticate(*mochi.Client, packets.Packet) bool { return true }

func (*allow) OnACLCheck(*mochi.Client, string, bool) bool { return true }

func (a *allow) OnQosComplete(c *mochi.Client, _ packets.Packet) {
	if c.State.Subscriptions.Len() == 0 {
		return
	}
	select {
	case a.acked <- struct{}{}:
	default: // it is known
	}
}

func broker(t *testing.T) (at *url.URL, acked <-chan struct{}) {
	t.Helper()
	at, acked, _ = brokerAt(t, "127.0.0.1:0")
	return at, acked
}

func brokerAt(t *testing.T, address string) (at *url.URL, acked <-chan struct{}, stop func()) {
	t.Helper()
	s := mochi.New(&mochi.Options{Logger: slog.New(slog.DiscardHandler)})
	hook := &allow{acked: make(chan struct{}, 1)}
	l := listeners.NewTCP(listeners.Config{ID: "t", Address: address})
	if err := errors.Join(s.AddHook(hook, nil), s.AddListener(l), s.Serve()); err != nil {
		t.Fatal(err)
	}
	stop = sync.OnceFunc(func() { devicetest.CloseSoon(t, "the broker", s.Close) })
	t.Cleanup(stop)
	return &url.URL{Scheme: "mqtt", Host: l.Address()}, hook.acked, stop
}

// TestALostConnectionIsInTheRecording stops the broker and starts it again: the gap
// stands in the recording from its beginning to its end.
func TestALostConnectionIsInTheRecording(t *testing.T) {
	for _, version := range mqttdev.Versions() {
		t.Run("MQTT "+version, func(t *testing.T) {
			ctx := bounded(t)
			at, _, stop := brokerAt(t, fmt.Sprintf("127.0.0.1:%d", devicetest.FreePort(t)))
			path := filepath.Join(t.TempDir(), "mqtt.rec")
			sums, errs := make(chan recorder.Summary, 1), make(chan error, 1)
			ready := make(chan struct{})
			go func() {
				sum, err := recorder.MQTT(ctx, mqttdev.Config{Broker: at, Version: version, Filter: "#", Retry: 10 * time.Millisecond},
					recorder.Options{Path: path, Until: 1, Started: func() { close(ready) }})
				sums <- sum
				errs <- err
			}()
			select {
			case <-ready:
			case err := <-errs:
				t.Fatal(err)
			}
			stop()
			brokerAt(t, at.Host)
			p, err := mqttdev.NewPublisher(ctx, mqttdev.PublisherConfig{Broker: at})
			if err != nil {
				t.Fatal(err)
			}
			defer p.Close()
			if err := p.Publish(ctx, mqttdev.Message{Topic: "a", Payload: []byte("1"), QoS: 1, Retain: true}); err != nil {
				t.Fatal(err)
			}
			if sum, err := <-sums, <-errs; err != nil || sum.Breaks != 1 {
				t.Errorf("%+v, %v", sum, err)
			}
			rec := load(t, path)
			if e := rec.Events; len(e) != 2 || e[0].Port != "unplugged" || e[1].Port != "plugged" || len(rec.Entries) != 1 || rec.Entries[0].Position < e[1].Position {
				t.Errorf("%+v and then %+v", e, rec.Entries)
			}
		})
	}
}

// TestMessagesComeBackAsTheyWere records messages, publishes the recording at
// another broker and records them there: order, QoS and retained flags are the same.
func TestMessagesComeBackAsTheyWere(t *testing.T) {
	ctx := bounded(t)
	want := []mqttdev.Message{
		{Topic: "first", Payload: []byte("1"), QoS: 1},
		{Topic: "tele/plug/LWT", Payload: []byte("Online"), QoS: 1, Retain: true},
		{Topic: "tele/plug/SENSOR", Payload: []byte(`{"ENERGY":{"Power":12}}`)},
		{Topic: "raw", Payload: []byte{0, 0xff}, QoS: 2},
		{Topic: "tele/plug/SENSOR", Payload: []byte("13"), QoS: 1},
		{Topic: "tele/plug/LWT", Payload: []byte("Offline"), QoS: 2, Retain: true},
		{Topic: "gone", Retain: true},
	}
	first := recorded(ctx, t, uint64(len(want)), func(send func(mqttdev.Message) error) error {
		var failed error
		for _, m := range want {
			failed = errors.Join(failed, send(m))
		}
		return failed
	})
	again := recorded(ctx, t, uint64(len(want)), func(send func(mqttdev.Message) error) error {
		return first.Publish(ctx, func(m replay.Message, payload []byte) error {
			return send(mqttdev.Message{Topic: m.Topic, Payload: payload, QoS: m.QoS, Retain: m.Retain})
		}, replay.Options{Speed: 100})
	})
	for i, m := range want {
		for name, rec := range map[string]*replay.Recording{"recorded": first, "recorded again": again} {
			e := rec.Entries[i]
			if *e.Message != (replay.Message{Topic: m.Topic, QoS: m.QoS, Retain: m.Retain}) || !bytes.Equal(e.Raw, m.Payload) {
				t.Errorf("%s message %d: %+v %q, want %+v", name, i, e.Message, e.Raw, m)
			}
		}
	}
}

// recorded records n messages of a fresh broker, to which talk publishes.
func recorded(ctx context.Context, t *testing.T, n uint64, talk func(send func(mqttdev.Message) error) error) *replay.Recording {
	t.Helper()
	at, acked := broker(t)
	path := filepath.Join(t.TempDir(), "mqtt.rec")
	type outcome struct {
		sum recorder.Summary
		err error
	}
	done := make(chan outcome, 1)
	ready := make(chan struct{})
	go func() {
		sum, err := recorder.MQTT(ctx, mqttdev.Config{Broker: at, Filter: "#", Log: slog.New(slog.DiscardHandler)},
			recorder.Options{Path: path, Until: n, Started: func() { close(ready) }})
		done <- outcome{sum, err}
	}()
	select {
	case <-ready:
	case o := <-done:
		t.Fatalf("%+v", o)
	}
	p, err := mqttdev.NewPublisher(ctx, mqttdev.PublisherConfig{Broker: at})
	if err != nil {
		t.Fatal(err)
	}
	defer p.Close()
	first := sync.OnceFunc(func() {
		select {
		case <-acked:
		case <-ctx.Done():
			t.Error("the recorder acknowledged nothing")
		}
	})
	if err := talk(func(m mqttdev.Message) error {
		defer first()
		return p.Publish(ctx, m)
	}); err != nil {
		t.Fatal(err)
	}
	o := <-done
	if o.err != nil || o.sum.Pieces != n || o.sum.Lost != 0 {
		t.Fatalf("%+v", o)
	}
	return load(t, path)
}

func TestBrokerThatIsNotThereLeavesNoFile(t *testing.T) {
	ctx, cancel := context.WithTimeout(t.Context(), 200*time.Millisecond)
	defer cancel()
	path := filepath.Join(t.TempDir(), "mqtt.rec")
	if _, err := recorder.MQTT(ctx, mqttdev.Config{Broker: &url.URL{Scheme: "mqtt", Host: "127.0.0.1:1"}, Filter: "a"}, recorder.Options{Path: path}); err == nil {
		t.Error("no error")
	}
	if found, _ := filepath.Glob(path); len(found) != 0 {
		t.Error("an empty recording is left")
	}
}
