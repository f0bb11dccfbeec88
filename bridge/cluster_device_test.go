package bridge

import (
	"context"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/eclipse/paho.golang/paho"
	dto "github.com/prometheus/client_model/go"
	"golang.org/x/crypto/bcrypt"

	"plumbline/bridge/internal/eventually"
	"plumbline/bridge/internal/pathtest"
	"plumbline/bridge/internal/redistest"
)

// gauge is a device that says where it is: "online" is retained when it comes, "offline" is its will.
type gauge struct {
	*paho.Client
	conn net.Conn
	kept bool          // it found a session
	gone chan struct{} // closed when its connection has ended
}

func (r *running) gauge(id string, clean bool, delay, expiry uint32) *gauge {
	r.t.Helper()
	conn, err := net.DialTimeout("tcp", r.b.Addresses().MQTT, patience)
	if err != nil {
		r.t.Fatal(err)
	}
	g := &gauge{conn: conn, gone: make(chan struct{})}
	g.Client = paho.NewClient(paho.ClientConfig{Conn: conn, PacketTimeout: patience, OnClientError: func(error) {}})
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	with := &paho.Connect{
		ClientID: id, CleanStart: clean, KeepAlive: 30, Properties: &paho.ConnectProperties{SessionExpiryInterval: &expiry},
		WillMessage: &paho.WillMessage{Topic: "state/" + id, Payload: []byte("offline"), QoS: 1, Retain: true}, WillProperties: &paho.WillProperties{WillDelayInterval: &delay},
	}
	answer, err := g.Connect(ctx, with)
	if err != nil {
		r.t.Fatalf("mqtt connect: %v", err)
	}
	g.kept = answer.SessionPresent
	go func() {
		defer close(g.gone)
		<-g.Done()
	}()
	r.t.Cleanup(func() { _ = conn.Close(); <-g.gone })
	return g
}

// says publishes the device's state.
func (g *gauge) says(t *testing.T, id, state string) {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	if _, err := g.Publish(ctx, &paho.Publish{Topic: "state/" + id, QoS: 1, Retain: true, Payload: []byte(state)}); err != nil {
		t.Fatal(err)
	}
}

// ends waits until the device's connection has.
func (g *gauge) ends(t *testing.T) {
	t.Helper()
	select {
	case <-g.gone:
	case <-time.After(patience):
		t.Fatal("the device's connection did not end in time")
	}
}

// states collects n messages of states, and returns what each device's were.
func (v *viewer) states(n int, cursor uint64) map[string]string {
	v.t.Helper()
	all := map[string]string{}
	got, _ := v.collect(n, cursor)
	for _, m := range got {
		id := strings.TrimPrefix(m.Topic, "state/")
		all[id] = strings.TrimSpace(all[id] + " " + m.Payload)
	}
	return all
}

// want compares the states of devices.
func want(t *testing.T, got map[string]string, pairs ...string) {
	t.Helper()
	for pair := range slices.Chunk(pairs, 2) {
		if got[pair[0]] != pair[1] {
			t.Errorf("device %s was %q, want %q", pair[0], got[pair[0]], pair[1])
		}
	}
}

// TestClusterDeviceMoves: a device comes to another bridge while the one it left has not noticed yet. That one ends the old connection, and
// what the old connection leaves behind, its will, is in the log before anything of the new one, once: the last state is the device's.
func TestClusterDeviceMoves(t *testing.T) {
	all := cluster(t, redistest.New(t), "one", "two")
	v := all[0].open(nil)
	cursor := v.sub(1, "state/#", nil).Offset
	var old *gauge
	const moves = 6
	for i := range moves {
		g := all[i%2].gauge("press", true, 0, 0)
		g.says(t, "press", fmt.Sprintf("online %d", i))
		if old != nil {
			old.ends(t)
		}
		old = g
	}
	all[0].publish(all[0].publisher("last"), "state/last", "")
	got, _ := v.collect(2*moves, cursor)
	for i, m := range got {
		want := fmt.Sprintf("online %d", i/2)
		if i%2 == 1 {
			want = "offline"
		}
		if i == len(got)-1 {
			want = ""
		}
		if m.Payload != want {
			t.Errorf("message %d is %q, want %q", i, m.Payload, want)
		}
	}
}

// TestClusterWillDelay: a delayed will is cancelled by a device that comes to another bridge, and is due when it begins anew there
// [MQTT-3.1.3-9]. What a session had at one bridge is not known at the other, and the device is told so, also when it comes back.
func TestClusterWillDelay(t *testing.T) {
	all := cluster(t, redistest.New(t), "one", "two")
	v := all[0].open(nil)
	cursor := v.sub(1, "state/#", nil).Offset
	for i, clean := range []bool{true, false, false, true} {
		g := all[i%2].gauge("press", clean, 3600, 3600)
		if g.kept {
			t.Errorf("connection %d found a session, which has been at the other bridge since", i)
		}
		g.says(t, "press", fmt.Sprintf("online-%d", i))
	}
	want(t, v.states(5, cursor), "press", "online-0 online-1 online-2 offline online-3")
	for i, r := range all {
		eventually.Must(t, "the session to be at the bridge where the device is, and there alone", func() bool {
			var m dto.Metric
			return r.b.m.MQTTSessions.Write(&m) == nil && m.GetGauge().GetValue() == float64(i)
		})
	}
}

// TestClusterDeviceOfAnotherUser: nobody takes the client id of another user's device by connecting elsewhere, nor keeps it out of there by a
// session that would outlive the attempt.
func TestClusterDeviceOfAnotherUser(t *testing.T) { // N40
	hash, err := bcrypt.GenerateFromPassword([]byte("geheim"), bcrypt.MinCost)
	if err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(t.TempDir(), "users.yaml")
	text := fmt.Sprintf("users:\n  - {name: anna, hash: %q, publish: [\"#\"]}\n  - {name: ben, hash: %q, publish: [\"#\"]}\n", hash, hash)
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	all := clusterWith(t, redistest.New(t), func(c *Config) { c.MQTT.UsersFile = file }, "one", "two")
	if _, err := all[0].login("press", "anna", "geheim"); err != nil {
		t.Fatal(err)
	}
	if _, err := all[1].loginFor("press", "ben", "geheim", 3600); err == nil || !strings.Contains(err.Error(), "client identifier not valid") { // 0x85
		t.Errorf("another user with the same client id: %v, want it refused", err)
	}
	if _, err := all[1].login("press", "anna", "geheim"); err != nil {
		t.Errorf("the user itself: %v", err)
	}
}

// TestClusterBridgeGone: a bridge that is cut off from Redis for longer than it may be silent counts as gone. Another one sends the wills of
// its devices, each once; a device that has come there meanwhile is not taken for gone, nor one that had left in order. When the bridge is
// back it cuts its devices, so that they say again that they are there.
func TestClusterBridgeGone(t *testing.T) {
	redis := redistest.New(t)
	way, addr := pathtest.New(t, redis.Addr)
	all := clusterWith(t, redis, func(c *Config) {
		if c.Node == "two" {
			c.Relay.URL = "redis://" + addr + "/0"
		}
	}, "one", "two")
	v := all[0].open(nil)
	cursor := v.sub(1, "state/#", nil).Offset
	var there []*gauge
	for _, id := range []string{"stays", "moves"} {
		g := all[1].gauge(id, true, 0, 0)
		g.says(t, id, "online")
		there = append(there, g)
	}
	leaves := all[1].gauge("leaves", true, 0, 0)
	leaves.says(t, "leaves", "left")
	known := func(yes bool) func() bool {
		return func() bool {
			got, err := redis.Client.HExists(context.Background(), "plumbline:{"+all[0].cfg.Relay.Cluster+"}:clients", "leaves").Result()
			return err == nil && got == yes
		}
	}
	eventually.Must(t, "Redis to know of a device", known(true))
	if err := leaves.Disconnect(&paho.Disconnect{}); err != nil {
		t.Fatal(err)
	}
	eventually.Must(t, "Redis to be told that it has left", known(false))
	way.Shut(true)
	all[0].gauge("moves", true, 0, 0).says(t, "moves", "moved")
	want(t, v.states(6, cursor), "stays", "online offline", "moves", "online offline moved", "leaves", "left")
	way.Shut(false)
	for _, g := range there {
		g.ends(t)
	}
	w := all[0].open(nil)
	cursor = w.sub(1, "state/#", nil).Offset
	all[1].gauge("stays", true, 0, 0).says(t, "stays", "back")
	all[1].publish(all[1].publisher("end"), "state/end", "")
	want(t, w.states(2, cursor), "stays", "back")
	if _, e := all[0].b.journal.RetainedOf("state/leaves"); e == nil || string(e.Payload) != "left" {
		t.Errorf("the last state of the device that left in order is %+v", e)
	}
}

// TestClusterDrainedBridge: the devices of a bridge that ends in order go to another, and nobody says that they are gone; of one that does
// not come back it is said.
func TestClusterDrainedBridge(t *testing.T) {
	all := cluster(t, redistest.New(t), "one", "two")
	v := all[0].open(nil)
	cursor := v.sub(1, "state/#", nil).Offset
	for _, id := range []string{"stays", "moves"} {
		all[1].gauge(id, true, 0, 0).says(t, id, "online")
	}
	all[1].drain()
	all[0].gauge("moves", true, 0, 0).says(t, "moves", "moved")
	want(t, v.states(4, cursor), "stays", "online offline", "moves", "online moved")
}

// TestClusterDeviceWithoutRedis: devices come and go while Redis is away. When it is back, empty, the wills of those that are gone are stored, and
// the others are known to the other bridge again, which takes them over.
func TestClusterDeviceWithoutRedis(t *testing.T) {
	redis := redistest.New(t)
	all := cluster(t, redis, "one", "two")
	v := all[0].open(nil)
	cursor := v.sub(1, "state/#", nil).Offset
	before, goes := all[1].gauge("before", true, 0, 0), all[1].gauge("goes", true, 0, 0)
	before.says(t, "before", "online")
	goes.says(t, "goes", "online")
	redis.Kill()
	meanwhile := all[1].gauge("meanwhile", true, 0, 0)
	_ = goes.conn.Close()
	goes.ends(t)
	redis.Start()
	want(t, v.states(3, cursor), "before", "online", "goes", "online offline")
	for id, old := range map[string]*gauge{"before": before, "meanwhile": meanwhile} {
		eventually.Must(t, id+" to be known again", func() bool {
			all[0].gauge(id, true, 0, 0).says(t, id, "moved")
			select {
			case <-old.gone:
				return true
			default:
				return false
			}
		})
	}
}

// TestClusterWillNotBehind: a device loses its connection while Redis is away, and is back at the same bridge, with a clean start,
// before Redis is. What it says then is the last that is known of it.
func TestClusterWillNotBehind(t *testing.T) {
	redis := redistest.New(t)
	all := cluster(t, redis, "one", "two")
	g := all[1].gauge("press", true, 0, 0)
	g.says(t, "press", "online")
	redis.Kill()
	_ = g.conn.Close()
	g.ends(t)
	g = all[1].gauge("press", true, 0, 0)
	redis.Start()
	eventually.Must(t, "the device to be heard", func() bool {
		ctx, cancel := context.WithTimeout(context.Background(), time.Second)
		defer cancel()
		answer, err := g.Publish(ctx, &paho.Publish{Topic: "state/press", QoS: 1, Retain: true, Payload: []byte("back")})
		return err == nil && answer.ReasonCode == 0
	})
	for range 20 { // longer than a will is tried again after
		select {
		case <-g.gone:
			t.Fatal("cut")
		case <-time.After(100 * time.Millisecond):
		}
		if _, e := all[0].b.journal.RetainedOf("state/press"); e != nil && string(e.Payload) == "offline" {
			if head := all[0].b.journal.Head(); e.Offset > 3 {
				t.Fatalf("the device is connected, and its last state is %q at %d (head %v)", e.Payload, e.Offset, head)
			}
		}
	}
	if _, e := all[0].b.journal.RetainedOf("state/press"); string(e.Payload) != "back" {
		t.Errorf("the last state is %q", e.Payload)
	}
}

// TestClusterDeviceInDoubt: a device whose message was on its way when Redis went away, and is stored without an answer, comes back meanwhile as any
// other. When Redis is back the message is in the log once, before what the device says then, and the will of the lost connection is not behind that.
func TestClusterDeviceInDoubt(t *testing.T) {
	redis := redistest.New(t)
	way, addr := pathtest.New(t, redis.Addr)
	one := clusterWith(t, redis, func(c *Config) { c.Relay.URL = "redis://" + addr + "/0" }, "one")[0]
	v := one.open(nil)
	cursor := v.sub(1, "state/#", nil).Offset
	g := one.gauge("press", true, 0, 0)
	g.says(t, "press", "online")
	way.MuteAfter("doubt")
	ctx, cancel := context.WithCancel(t.Context())
	published := make(chan error, 1)
	go func() {
		_, err := g.Publish(ctx, &paho.Publish{Topic: "state/press", QoS: 1, Retain: true, Payload: []byte("doubt")})
		published <- err
	}()
	eventually.Must(t, "the bridge to know that Redis is away", func() bool { return len(one.b.relay.Alarms()) > 0 })
	_ = g.conn.Close()
	g.ends(t)
	cancel()
	if err := <-published; err == nil {
		t.Fatal("the message was acknowledged, and Redis had not answered")
	}
	g = one.gauge("press", false, 0, 0)
	way.Mute(false)
	eventually.Must(t, "the device to be heard", func() bool {
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		answer, err := g.Publish(ctx, &paho.Publish{Topic: "state/press", QoS: 1, Retain: true, Payload: []byte("back")})
		return err == nil && answer.ReasonCode == 0
	})
	want(t, v.states(3, cursor), "press", "online doubt back")
}
