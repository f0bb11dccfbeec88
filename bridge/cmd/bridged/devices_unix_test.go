//go:build unix

package main

import (
	"context"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/eclipse/paho.golang/paho"

	"plumbline/bridge"
	"plumbline/bridge/internal/eventually"
	"plumbline/bridge/internal/redistest"
)

// meter is a device that says where it is: what it says is retained, "offline" is its will.
func meter(t *testing.T, addr, id string, expiry uint32) (c *paho.Client, kept bool) {
	t.Helper()
	conn, err := net.Dial("tcp", addr)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.Close() })
	c = paho.NewClient(paho.ClientConfig{Conn: conn, PacketTimeout: eventually.Patience, OnClientError: func(error) {}})
	ctx, cancel := context.WithTimeout(t.Context(), eventually.Patience)
	defer cancel()
	answer, err := c.Connect(ctx, &paho.Connect{
		ClientID: id, CleanStart: expiry == 0, KeepAlive: 30, Properties: &paho.ConnectProperties{SessionExpiryInterval: &expiry},
		WillMessage: &paho.WillMessage{Topic: "state/" + id, Payload: []byte("offline"), QoS: 1, Retain: true},
	})
	if err != nil {
		t.Fatal(err)
	}
	return c, answer.SessionPresent
}

func say(t *testing.T, c *paho.Client, topic, text string) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), eventually.Patience)
	defer cancel()
	if _, err := c.Publish(ctx, &paho.Publish{Topic: topic, QoS: 1, Retain: true, Payload: []byte(text)}); err != nil {
		t.Fatal(err)
	}
}

// TestKilledBridgeSendsWills: a bridged is killed and started again on its data. An MQTT subscriber at another is told by the wills that the
// devices are gone, of each once, and a retained message says so to who comes later. A device that comes back to its kept session is
// told to be gone before it says that it is there, or not at all: it may come before its bridge has Redis again.
func TestKilledBridgeSendsWills(t *testing.T) {
	redis, dir := redistest.New(t), t.TempDir()
	run := func(name string) *child {
		return begin(t, filepath.Join(dir, name), bridge.Addresses{}, "node="+name, "relay.url="+redis.URL(), "relay.lease=2s", "history.store=off", "ops.listen=127.0.0.1:0", "viewers.listen=127.0.0.1:0", "mqtt.listen=127.0.0.1:0")
	}
	one, two := run("one"), run("two")
	got := make(chan *paho.Publish, 1000)
	watch := func(id string) {
		t.Helper()
		c, _ := meter(t, one.addrs.MQTT, id, 0)
		c.AddOnPublishReceived(func(p paho.PublishReceived) (bool, error) {
			got <- p.Packet
			return true, nil
		})
		ctx, cancel := context.WithTimeout(t.Context(), eventually.Patience)
		defer cancel()
		if _, err := c.Subscribe(ctx, &paho.Subscribe{Subscriptions: []paho.SubscribeOptions{{Topic: "state/#", QoS: 1}}}); err != nil {
			t.Fatal(err)
		}
	}
	// until returns the next messages, by device, up to when there are enough.
	until := func(what string, enough func(n int, all map[string]string) bool) map[string]string {
		t.Helper()
		all := map[string]string{}
		for n := 0; !enough(n, all); n++ {
			select {
			case p := <-got:
				id := strings.TrimPrefix(p.Topic, "state/")
				all[id] = strings.TrimSpace(all[id] + " " + string(p.Payload))
			case <-time.After(eventually.Patience):
				t.Fatalf("waiting for %s: only %v came", what, all)
			}
		}
		return all
	}
	watch("watch")
	for id, expiry := range map[string]uint32{"dies": 0, "returns": 3600} {
		c, _ := meter(t, two.addrs.MQTT, id, expiry)
		say(t, c, "state/"+id, "online")
	}
	two.signal(os.Kill)
	_ = two.awaitEnd()
	two = run("two")
	c, kept := meter(t, two.addrs.MQTT, "returns", 3600)
	if !kept {
		t.Error("the session that was kept is gone")
	}
	say(t, c, "state/returns", "back")
	all := until("one gone and one back", func(_ int, all map[string]string) bool {
		return strings.HasSuffix(all["dies"], "offline") && strings.HasSuffix(all["returns"], "back")
	})
	if all["dies"] != "online offline" || all["returns"] != "online offline back" && all["returns"] != "online back" {
		t.Errorf("the subscriber at the other bridge got %v", all)
	}
	say(t, c, "state/end", "x")
	watch("late")
	all = until("what is retained, and the end at both", func(n int, _ map[string]string) bool { return n == 4 })
	if all["dies"] != "offline" || all["returns"] != "back" || !strings.HasPrefix(all["end"], "x") { // the end comes to both
		t.Errorf("then came %v, want what is retained and nothing again", all)
	}
}
