package mqttdev_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	mochi "github.com/mochi-mqtt/server/v2"
	"github.com/mochi-mqtt/server/v2/listeners"
	"github.com/mochi-mqtt/server/v2/packets"

	"plumbline/devices"
	"plumbline/devices/devicetest"
	"plumbline/devices/mqttdev"
	"plumbline/devices/simulated"
)

// broker is a real broker on a free port of the loopback that can be restarted.
type broker struct {
	addr   string
	server *mochi.Server
	stop   func() // once: mochi panics at a second Close
}

// allow lets everybody in: the broker is the test's own, on the loopback.
type allow struct{ mochi.HookBase }

func (*allow) ID() string { return "allow" }

func (*allow) Provides(b byte) bool { return b == mochi.OnConnectAuthenticate || b == mochi.OnACLCheck }

func (*allow) OnConnectAuthenticate(*mochi.Client, packets.Packet) bool { return true }

func (*allow) OnACLCheck(*mochi.Client, string, bool) bool { return true }

func startBroker(tb testing.TB, addr string) *broker {
	tb.Helper()
	s := mochi.New(&mochi.Options{Logger: slog.New(slog.DiscardHandler), InlineClient: true})
	if err := s.AddHook(new(allow), nil); err != nil {
		tb.Fatal(err)
	}
	l := listeners.NewTCP(listeners.Config{ID: "t", Address: addr})
	if err := s.AddListener(l); err != nil {
		tb.Fatal(err)
	}
	if err := s.Serve(); err != nil {
		tb.Fatal(err)
	}
	b := &broker{addr: l.Address(), server: s, stop: sync.OnceFunc(func() { devicetest.CloseSoon(tb, "the broker", s.Close) })}
	tb.Cleanup(b.stop)
	return b
}

func (b *broker) url() *url.URL { return &url.URL{Scheme: "mqtt", Host: b.addr} }

func (b *broker) publish(tb testing.TB, topic, payload string, retain bool) {
	tb.Helper()
	if err := b.server.Publish(topic, []byte(payload), retain, 1); err != nil {
		tb.Fatal(err)
	}
}

func open(tb testing.TB, cfg mqttdev.Config) *mqttdev.Device {
	tb.Helper()
	ctx, cancel := context.WithTimeout(tb.Context(), devicetest.Patience)
	defer cancel()
	d, err := mqttdev.Open(ctx, cfg)
	if err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(func() { _ = d.Close() })
	return d
}

func read(tb testing.TB, d devices.Device) devices.Sample {
	tb.Helper()
	ctx, cancel := context.WithTimeout(tb.Context(), devicetest.Patience)
	defer cancel()
	s, err := d.Read(ctx)
	if err != nil {
		tb.Fatalf("read: %v", err)
	}
	return s
}

// both runs a test with either version of MQTT.
func both(t *testing.T, test func(t *testing.T, version string)) {
	t.Helper()
	for _, version := range mqttdev.Versions() {
		t.Run("MQTT "+version, func(t *testing.T) { test(t, version) })
	}
}

func TestConforms(t *testing.T) { both(t, conforms) }

func conforms(t *testing.T, version string) {
	t.Helper()
	b := startBroker(t, "127.0.0.1:0")
	devicetest.Conform(t, devicetest.Subject{Samples: 20, Open: func(tb testing.TB) devices.Device {
		tb.Helper()
		d := open(tb, mqttdev.Config{Broker: b.url(), Version: version, Filter: "s/+", QoS: 1})
		for i := range 25 {
			b.publish(tb, fmt.Sprintf("s/%d", i), fmt.Sprintf(`{"n":%d}`, i), false)
		}
		return d
	}})
}

func TestPayloadsTopicsAndDamage(t *testing.T) { both(t, payloadsTopicsAndDamage) }

func payloadsTopicsAndDamage(t *testing.T, version string) {
	t.Helper()
	b := startBroker(t, "127.0.0.1:0")
	b.publish(t, "s/old", "1", true)
	d := open(t, mqttdev.Config{Broker: b.url(), Version: version, Filter: "s/#", QoS: 1})
	devicetest.Eventually(t, "the retained message", func() bool { return d.Stats().Retained == 1 }) // the broker may send it behind others
	b.publish(t, "s/a", `{"ENERGY":{"Power":12.5}}`, false)
	b.publish(t, "s/a", `{"ENERGY":`, false)
	b.publish(t, "s/b", "21.5", false)
	first, second := read(t, d), read(t, d)
	if first.Topic != "s/a" || first.Values[0].Name != "ENERGY.Power" || first.Values[0].Number != 12.5 {
		t.Errorf("first sample %+v", first)
	}
	if second.Topic != "s/b" || second.Values[0].Number != 21.5 || second.Seq != 2 {
		t.Errorf("second sample %+v", second)
	}
	if c := d.Counters(); c.Damaged != 1 || c.Good != 2 || string(d.Damages()[0].Raw) != `{"ENERGY":` {
		t.Errorf("%+v with %+v, want the cut object as evidence", c, d.Damages())
	}
	if s := d.Stats(); s.Retained != 1 || s.Connects != 1 {
		t.Errorf("%+v, want the retained message left out", s)
	}
}

func TestRetainedOnRequest(t *testing.T) { both(t, retainedOnRequest) }

func retainedOnRequest(t *testing.T, version string) {
	t.Helper()
	b := startBroker(t, "127.0.0.1:0")
	b.publish(t, "s/old", "1", true)
	d := open(t, mqttdev.Config{Broker: b.url(), Version: version, Filter: "s/#", KeepRetained: true})
	if s := read(t, d); s.Topic != "s/old" {
		t.Errorf("sample %+v, want the retained one", s)
	}
}

func TestResubscribesAfterTheBrokerRestarted(t *testing.T) { both(t, resubscribes) }

func resubscribes(t *testing.T, version string) {
	t.Helper()
	b := startBroker(t, freeAddress(t).String())
	d := open(t, mqttdev.Config{Broker: b.url(), Version: version, Filter: "s/#", QoS: 1, ClientID: "dev", Retry: 10 * time.Millisecond})
	b.publish(t, "s/a", "1", false)
	read(t, d)
	b.stop()
	b2 := startBroker(t, b.addr) // it knows nothing of our session
	devicetest.Eventually(t, "the device to connect again", func() bool { return d.Stats().Connects == 2 })
	devicetest.Eventually(t, "a message through the renewed subscription", func() bool {
		b2.publish(t, "s/a", "2", false)
		ctx, cancel := context.WithTimeout(t.Context(), 20*time.Millisecond)
		defer cancel()
		s, err := d.Read(ctx)
		return err == nil && string(s.Raw) == "2"
	})
}

func TestOpenFailsClearly(t *testing.T) { both(t, openFails) }

func openFails(t *testing.T, version string) {
	t.Helper()
	nobody := &url.URL{Scheme: "mqtt", Host: freeAddress(t).String(), User: url.UserPassword("u", "geheim")}
	ctx, cancel := context.WithTimeout(t.Context(), 200*time.Millisecond)
	defer cancel()
	_, err := mqttdev.Open(ctx, mqttdev.Config{Broker: nobody, Version: version, Filter: "s/#", Retry: 10 * time.Millisecond})
	if !errors.Is(err, context.DeadlineExceeded) || !strings.Contains(err.Error(), "is the broker running") {
		t.Errorf("no broker: %v", err)
	}
	if err != nil && strings.Contains(err.Error(), "geheim") {
		t.Errorf("the password is in the error: %v", err)
	}
	good := &url.URL{Scheme: "mqtt", Host: "127.0.0.1:1"}
	for _, c := range []struct {
		cfg  mqttdev.Config
		want string
	}{
		{mqttdev.Config{Filter: "x"}, "set Config.Broker"},
		{mqttdev.Config{Broker: good}, "set Config.Filter"},
		{mqttdev.Config{Broker: good, Filter: "x", QoS: 3}, "must be 0 or 1"},
		{mqttdev.Config{Broker: good, Filter: "x", QoS: 2, Version: "3.1.1"}, "2 with MQTT 5"},
		{mqttdev.Config{Broker: &url.URL{Scheme: "http", Host: "x"}, Filter: "x"}, "scheme must be"},
		{mqttdev.Config{Broker: good, Filter: strings.Repeat("x", 1<<16)}, "the filter has 65536 bytes"},
		{mqttdev.Config{Broker: good, Version: "4", Filter: "x"}, `MQTT "4" is not spoken; known are 5, 3.1.1`},
	} {
		if _, err := mqttdev.Open(t.Context(), c.cfg); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%+v: %v, want an error that says %q", c.cfg, err, c.want)
		}
	}
}

// TestUserNamesAreSecretsToo: some brokers take a token as the user name.
func TestUserNamesAreSecretsToo(t *testing.T) { both(t, userNamesAreSecrets) }

func userNamesAreSecrets(t *testing.T, version string) {
	t.Helper()
	b := startBroker(t, "127.0.0.1:0")
	with := b.url()
	with.User, with.RawQuery = url.User("t0k3n"), "token=t0k3n"
	var log bytes.Buffer
	d := open(t, mqttdev.Config{Broker: with, Version: version, Filter: "s/#", Log: slog.New(slog.NewTextHandler(&log, nil))})
	if path := d.Info().Path; path != "mqtt://"+b.addr+" s/#" {
		t.Errorf("path %q", path)
	}
	if err := d.Close(); err != nil {
		t.Error(err)
	}
	with.Host = "127.0.0.1:1"
	ctx, cancel := context.WithTimeout(t.Context(), 200*time.Millisecond)
	defer cancel()
	if _, err := mqttdev.Open(ctx, mqttdev.Config{Broker: with, Version: version, Filter: "s/#"}); err == nil || strings.Contains(err.Error(), "t0k3n") {
		t.Errorf("the token is in the error: %v", err)
	}
	if strings.Contains(log.String(), "t0k3n") {
		t.Errorf("the token is in the log: %s", log.String())
	}
}

// runTwin starts a sensor program that the test ends; stop ends it earlier.
func runTwin(t *testing.T, cfg mqttdev.TwinConfig) (twin *mqttdev.Twin, stop func()) {
	t.Helper()
	twin, err := mqttdev.NewTwin(cfg)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- twin.Run(ctx) }()
	stop = sync.OnceFunc(func() {
		cancel()
		if err := <-ended; err != nil {
			t.Errorf("twin: %v", err)
		}
	})
	t.Cleanup(stop)
	return twin, stop
}

func power(t *testing.T, period time.Duration) devices.Scheduled {
	t.Helper()
	src, err := simulated.New(simulated.Power, "plug", 1, simulated.Options{Period: period})
	if err != nil {
		t.Fatal(err)
	}
	return src
}

// follow reads a twin's messages through a broker and compares them.
func follow(t *testing.T, broker *url.URL, version string) {
	t.Helper()
	d := open(t, mqttdev.Config{Broker: broker, Version: version, Filter: "tele/+/SENSOR", QoS: 1, Mode: devices.Sim})
	var mu sync.Mutex
	sent := map[string]bool{}
	wall := time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
	twin, stop := runTwin(t, mqttdev.TwinConfig{Broker: broker, Version: version, Name: "tasmota_A1B2C3", Source: power(t, 5*time.Millisecond), QoS: 1,
		Retry: 10 * time.Millisecond, Now: func() time.Time { return wall },
		OnPublish: func(p mqttdev.Published) {
			mu.Lock()
			defer mu.Unlock()
			sent[string(p.Payload)] = p.Due <= p.At && p.Topic == "tele/tasmota_A1B2C3/SENSOR"
		}})
	for range 10 {
		s := read(t, d)
		var got struct {
			Time   string
			ENERGY map[string]float64
		}
		if err := json.Unmarshal(s.Raw, &got); err != nil {
			t.Fatalf("%q: %v", s.Raw, err)
		}
		if s.Topic != twin.Topics()[0] || got.Time != "2026-01-02T03:04:05" || got.ENERGY["Voltage"] < 200 || got.ENERGY["Total"] < 1000 {
			t.Errorf("%s: %s", s.Topic, s.Raw)
		}
		devicetest.Eventually(t, "the twin to tell of this message", func() bool {
			mu.Lock()
			defer mu.Unlock()
			return sent[string(s.Raw)]
		})
	}
	offline := open(t, mqttdev.Config{Broker: broker, Version: version, Filter: "tele/+/LWT", KeepRetained: true})
	if s := read(t, offline); string(s.Raw) != "Online" {
		t.Errorf("LWT is %q while the twin runs", s.Raw)
	}
	stop()
	if s := read(t, offline); string(s.Raw) != "Offline" {
		t.Errorf("LWT is %q after the twin ended", s.Raw)
	}
	if s := twin.Stats(); s.Published < 10 || s.Connects != 1 {
		t.Errorf("%+v", s)
	}
}

func TestTwinThroughMochi(t *testing.T) {
	both(t, func(t *testing.T, version string) {
		t.Helper()
		follow(t, startBroker(t, "127.0.0.1:0").url(), version)
	})
}

func TestTwinThroughMosquitto(t *testing.T) {
	both(t, func(t *testing.T, version string) {
		t.Helper()
		addr := freeAddress(t)
		// With -p and no file, this broker listens on the loopback only.
		follow(t, launch(t, addr, "mosquitto", "-p", fmt.Sprint(addr.Port)), version)
	})
}

// TestTwinThroughNATS: a broker that speaks nothing newer than 3.1.1.
func TestTwinThroughNATS(t *testing.T) {
	addr, own, dir := freeAddress(t), freeAddress(t), t.TempDir()
	file := filepath.Join(dir, "nats.conf")
	config := fmt.Sprintf("listen: %q\nserver_name: test\njetstream {store_dir: %q}\nmqtt {listen: %q}\n", own, dir, addr)
	if err := os.WriteFile(file, []byte(config), 0o600); err != nil {
		t.Fatal(err)
	}
	follow(t, launch(t, addr, "nats-server", "-c", file), "3.1.1")
}

func freeAddress(t *testing.T) *net.TCPAddr {
	t.Helper()
	return &net.TCPAddr{IP: net.IPv4(127, 0, 0, 1), Port: devicetest.FreePort(t)}
}

// launch starts a broker that listens on addr.
func launch(t *testing.T, addr *net.TCPAddr, name string, args ...string) *url.URL {
	t.Helper()
	path, err := exec.LookPath(name)
	if err != nil {
		if path, err = exec.LookPath(filepath.Join("/usr/sbin", name)); err != nil {
			t.Fatalf("%s is not installed; run: make deps-test", name)
		}
	}
	cmd := exec.Command(path, args...)
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = cmd.Process.Kill()
		_ = cmd.Wait()
	})
	devicetest.Eventually(t, "the broker to listen", func() bool {
		c, err := net.Dial("tcp", addr.String())
		if err == nil {
			_ = c.Close()
		}
		return err == nil
	})
	return &url.URL{Scheme: "mqtt", Host: addr.String()}
}

func TestTwinKeepsItsScheduleWithoutABroker(t *testing.T) { both(t, keepsItsSchedule) }

func keepsItsSchedule(t *testing.T, version string) {
	t.Helper()
	b := startBroker(t, freeAddress(t).String())
	twin, _ := runTwin(t, mqttdev.TwinConfig{Broker: b.url(), Version: version, Name: "p", Source: power(t, 5*time.Millisecond), Retry: 10 * time.Millisecond})
	devicetest.Eventually(t, "the first messages", func() bool { return twin.Stats().Published > 3 })
	b.stop()
	devicetest.Eventually(t, "messages to be missed", func() bool { return twin.Stats().Missed > 3 })
	startBroker(t, b.addr)
	devicetest.Eventually(t, "the twin to connect again", func() bool { return twin.Stats().Connects == 2 })
	before := twin.Stats().Published
	devicetest.Eventually(t, "messages after the restart", func() bool { return twin.Stats().Published > before+3 })
}

func TestNewTwinRefuses(t *testing.T) {
	good := &url.URL{Scheme: "mqtt", Host: "127.0.0.1:1"}
	for _, c := range []struct {
		cfg  mqttdev.TwinConfig
		want string
	}{
		{mqttdev.TwinConfig{}, "no broker"},
		{mqttdev.TwinConfig{Broker: good}, "no name"},
		{mqttdev.TwinConfig{Broker: good, Name: "x"}, "no source"},
		{mqttdev.TwinConfig{Broker: good, Name: "x", Source: power(t, time.Second), QoS: 2}, "must be 0 or 1"},
		{mqttdev.TwinConfig{Broker: good, Name: "x", Source: power(t, time.Second), Version: "3.1"}, "is not spoken"},
		{mqttdev.TwinConfig{Broker: good, Name: strings.Repeat("x", 1<<16), Source: power(t, time.Second)}, "MQTT can carry 65535"},
		{mqttdev.TwinConfig{Broker: good, Name: "x", Source: power(t, time.Second), Family: "morse"}, "known are json, plain"},
	} {
		if _, err := mqttdev.NewTwin(c.cfg); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%+v: %v, want an error that says %q", c.cfg, err, c.want)
		}
	}
}

// TestDurableSession: what comes while the link is down is brought after it.
func TestDurableSession(t *testing.T) { both(t, durable) }

func durable(t *testing.T, version string) {
	t.Helper()
	b := startBroker(t, "127.0.0.1:0")
	cfg := mqttdev.Config{Broker: b.url(), Version: version, Filter: "s/#", QoS: 1, ClientID: "dev", Retry: 10 * time.Millisecond}
	d := open(t, cfg)
	b.publish(t, "s/a", "1", false)
	read(t, d)
	// A sample is handed over before it is acknowledged: who leaves between the
	// two is brought it again.
	devicetest.Eventually(t, "the broker to have its acknowledgement", func() bool {
		c, known := b.server.Clients.Get("dev")
		return known && c.State.Inflight.Len() == 0
	})
	if err := d.Close(); err != nil {
		t.Fatal(err)
	}
	devicetest.Eventually(t, "the broker to see the device go", func() bool {
		c, known := b.server.Clients.Get("dev")
		return known && c.Closed()
	})
	b.publish(t, "s/a", "missed", false)
	if s := read(t, open(t, cfg)); string(s.Raw) != "missed" {
		t.Errorf("the first sample of the next life is %q", s.Raw)
	}
}
