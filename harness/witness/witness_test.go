package witness_test

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/url"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	mqtt "github.com/mochi-mqtt/server/v2"
	"github.com/mochi-mqtt/server/v2/listeners"
	"github.com/mochi-mqtt/server/v2/packets"

	"plumbline/devices/devicetest"
	"plumbline/harness/record"
	"plumbline/harness/witness"
)

const patience = time.Minute

func limit(t *testing.T) context.Context {
	t.Helper()
	ctx, cancel := context.WithTimeoutCause(t.Context(), patience, fmt.Errorf("waited %v", patience))
	t.Cleanup(cancel)
	return ctx
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// doorman knows one user.
type doorman struct{ mqtt.HookBase }

func (*doorman) ID() string { return "doorman" }

func (*doorman) Provides(b byte) bool { return b == mqtt.OnConnectAuthenticate || b == mqtt.OnACLCheck }

func (*doorman) OnConnectAuthenticate(_ *mqtt.Client, pk packets.Packet) bool {
	return string(pk.Connect.Username) == "dev" && string(pk.Connect.Password) == "pw"
}

func (*doorman) OnACLCheck(*mqtt.Client, string, bool) bool { return true }

// broker starts a real broker that lets in the user "dev" with password "pw".
func broker(t *testing.T, address string) (s *mqtt.Server, u *url.URL, stop func()) {
	t.Helper()
	s = mqtt.New(&mqtt.Options{InlineClient: true, Logger: slog.New(slog.DiscardHandler)})
	must(t, s.AddHook(new(doorman), nil))
	l := listeners.NewTCP(listeners.Config{ID: "tcp", Address: address})
	must(t, s.AddListener(l))
	must(t, s.Serve())
	stop = sync.OnceFunc(func() { devicetest.CloseSoon(t, "the broker", s.Close) }) // a second Close panics
	t.Cleanup(stop)
	u, err := url.Parse("mqtt://" + l.Address())
	must(t, err)
	return s, u, stop
}

func recorder(t *testing.T) *record.Recorder {
	t.Helper()
	r, err := record.NewRecorder(t.TempDir(), record.NewClock())
	must(t, err)
	t.Cleanup(func() { _ = r.Close() })
	return r
}

func logOf(t *testing.T, r *record.Recorder) *record.Log {
	t.Helper()
	must(t, r.Close())
	log, err := r.Log()
	must(t, err)
	return log
}

func open(t *testing.T, cfg witness.Config) *witness.Witness {
	t.Helper()
	w, err := witness.Open(limit(t), cfg)
	must(t, err)
	t.Cleanup(func() { _ = w.Close() })
	return w
}

func TestWitnessRecordsWhatTheBrokerAccepted(t *testing.T) {
	for _, qos := range []byte{0, 1} {
		s, u, _ := broker(t, "127.0.0.1:0")
		must(t, s.Publish("a/old", []byte("retained before"), true, 0))
		r := recorder(t)
		w := open(t, witness.Config{
			Broker: u, Username: "dev", Password: "pw", QoS: qos, Recorder: r, Filters: []string{"a/#"},
			Resolve: func(topic string, payload []byte) (uint32, uint64, uint8) { return 3, uint64(len(payload)), 0 },
		})
		for i := range 50 {
			must(t, s.Publish("a/x", []byte(strings.Repeat("x", i+1)), false, qos))
			must(t, s.Publish("b/x", []byte("not asked for"), false, qos))
		}
		must(t, w.WaitCount(limit(t), 50))
		must(t, w.Close())
		log := logOf(t, r)
		if len(log.Records) != 50 || log.Index.Nodes[0].Role != "witness" {
			t.Fatalf("%d records, nodes %+v", len(log.Records), log.Index.Nodes)
		}
		for i, rec := range log.Records {
			want := strings.Repeat("x", i+1)
			if rec.Kind != record.Witnessed || rec.Seq != uint64(i+1) || rec.Stream != 3 || rec.Digest != record.Digest([]byte(want)) || rec.At <= 0 || rec.Flags != 0 {
				t.Fatalf("record %d is %+v", i, rec)
			}
		}
	}
}

func TestMoreThanTheBrokersQueueIsAcknowledged(t *testing.T) {
	s, u, _ := broker(t, "127.0.0.1:0")
	r := recorder(t)
	w := open(t, witness.Config{Broker: u, Username: "dev", Password: "pw", QoS: 1, Recorder: r})
	for batch := range uint64(30) {
		for range 100 {
			must(t, s.Publish("a/x", []byte("x"), false, 1))
		}
		must(t, w.WaitCount(limit(t), (batch+1)*100))
	}
	ctx := limit(t) // what was counted is acknowledged next
	for n := int64(201); n > 200; n = atomic.LoadInt64(&s.Info.Inflight) {
		select {
		case <-ctx.Done():
			t.Fatalf("waited for acknowledgements: of 3000 messages %d have none", n)
		case <-time.After(time.Millisecond):
		}
	}
}

func TestWitnessReconnects(t *testing.T) {
	_, u, stop := broker(t, fmt.Sprintf("127.0.0.1:%d", devicetest.FreePort(t)))
	r := recorder(t)
	w := open(t, witness.Config{Broker: u, Username: "dev", Password: "pw", Recorder: r, Backoff: time.Millisecond})
	stop()
	next, _, _ := broker(t, u.Host)
	must(t, w.WaitConnected(limit(t), 2))
	must(t, next.Publish("a/x", []byte("after"), false, 0))
	must(t, w.WaitCount(limit(t), 1))
	if c := w.Counters(); c.Connects != 2 || c.Disconnects != 1 {
		t.Fatalf("counters are %+v", c)
	}
	must(t, w.Close())
	kinds := map[record.EventKind]int{}
	for _, e := range logOf(t, r).Events {
		kinds[e.Kind]++
	}
	if kinds[record.Connected] != 2 || kinds[record.Subscribed] != 2 || kinds[record.Disconnected] != 2 {
		t.Fatalf("events are %v", kinds)
	}
}

func TestWitnessRefused(t *testing.T) {
	_, u, _ := broker(t, "127.0.0.1:0")
	for name, c := range map[string]struct {
		cfg    witness.Config
		filter string
	}{
		"password": {witness.Config{Broker: u, Username: "dev", Password: "wrong"}, ""},
		"filter":   {witness.Config{Broker: u, Username: "dev", Password: "pw", Filters: []string{"a/#/b"}}, "a/#/b"},
	} {
		c.cfg.Recorder = recorder(t)
		_, err := witness.Open(limit(t), c.cfg)
		var refused *witness.RefusedError
		if !errors.As(err, &refused) || refused.Code < 0x80 || refused.Filter != c.filter {
			t.Errorf("%s: Open gave %v", name, err)
		}
		if err != nil && strings.Contains(err.Error(), "wrong") {
			t.Errorf("%s: the error shows the password: %v", name, err)
		}
	}
}

func TestOpenEndsWithItsContext(t *testing.T) {
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	u := &url.URL{Scheme: "mqtt", Host: "127.0.0.1:1"}
	if _, err := witness.Open(ctx, witness.Config{Broker: u, Recorder: recorder(t)}); !errors.Is(err, context.DeadlineExceeded) || !strings.Contains(err.Error(), "127.0.0.1:1") {
		t.Fatalf("Open gave %v", err)
	}
	plain := &url.URL{Scheme: "tls", Host: "127.0.0.1:1"}
	if _, err := witness.Open(ctx, witness.Config{Broker: plain, Password: "pw", Recorder: recorder(t)}); err == nil || !strings.Contains(err.Error(), "mqtts") {
		t.Fatalf("scheme tls, which would be taken for plain text, gave %v", err)
	}
	if _, err := witness.Open(ctx, witness.Config{}); err == nil {
		t.Fatal("an empty configuration was accepted")
	}
}

func TestWaitsEndWithTheWitness(t *testing.T) {
	_, u, _ := broker(t, "127.0.0.1:0")
	w := open(t, witness.Config{Broker: u, Username: "dev", Password: "pw", Recorder: recorder(t)})
	result := make(chan error)
	go func() { result <- w.WaitCount(limit(t), 1) }()
	must(t, w.Close())
	must(t, w.Close())
	if err := <-result; !errors.Is(err, witness.ErrClosed) {
		t.Fatalf("wait gave %v", err)
	}
}

func TestSilentBrokerIsNoticed(t *testing.T) {
	_, u, _ := broker(t, "127.0.0.1:0")
	w := open(t, witness.Config{Broker: u, Username: "dev", Password: "pw", Recorder: recorder(t), KeepAlive: time.Second})
	ctx, cancel := context.WithTimeout(t.Context(), 2*time.Second)
	defer cancel()
	if err := w.WaitConnected(ctx, 2); !errors.Is(err, context.DeadlineExceeded) {
		t.Fatalf("an idle but living connection was given up: %v", err)
	}
}
