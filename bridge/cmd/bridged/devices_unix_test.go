//go:build unix

package main

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

// states is what an MQTT subscriber to state/# gets.
type states struct {
	t   *testing.T
	got chan *paho.Publish
}

func (s *states) watch(addr, id string) {
	s.t.Helper()
	c, _ := meter(s.t, addr, id, 0)
	c.AddOnPublishReceived(func(p paho.PublishReceived) (bool, error) {
		s.got <- p.Packet
		return true, nil
	})
	ctx, cancel := context.WithTimeout(s.t.Context(), eventually.Patience)
	defer cancel()
	if _, err := c.Subscribe(ctx, &paho.Subscribe{Subscriptions: []paho.SubscribeOptions{{Topic: "state/#", QoS: 1}}}); err != nil {
		s.t.Fatal(err)
	}
}

// until returns the next messages, by device, up to when there are enough.
func (s *states) until(what string, enough func(n int, all map[string]string) bool) map[string]string {
	s.t.Helper()
	all := map[string]string{}
	for n := 0; !enough(n, all); n++ {
		select {
		case p := <-s.got:
			id := strings.TrimPrefix(p.Topic, "state/")
			all[id] = strings.TrimSpace(all[id] + " " + string(p.Payload))
		case <-time.After(eventually.Patience):
			s.t.Fatalf("waiting for %s: only %v came", what, all)
		}
	}
	return all
}

// TestKilledBridgeSendsWills: a bridged is killed and started again on its data. An MQTT subscriber at another is told by the wills that the
// devices are gone, of each once, and a retained message says so to who comes later. Devices that come back to their kept sessions
// when their bridge has Redis again are told to be gone before they say that they are there. One for which Redis is not there is not
// (relay/README.md): on a busy machine it may answer one of them too late, and the bridge says so.
func TestKilledBridgeSendsWills(t *testing.T) {
	redis, dir := redistest.New(t), t.TempDir()
	run := func(name string) *child {
		return begin(t, filepath.Join(dir, name), bridge.Addresses{}, "node="+name, "relay.url="+redis.URL(), "relay.lease=2s", "history.store=off", "log.level=debug")
	}
	one, two := run("one"), run("two")
	seen := &states{t, make(chan *paho.Publish, 1000)}
	seen.watch(one.addrs.MQTT, "watch")
	back := []string{"back-1", "back-2", "back-3"}
	for i, id := range append([]string{"dies"}, back...) {
		c, _ := meter(t, two.addrs.MQTT, id, uint32(min(i, 1)*3600))
		say(t, c, "state/"+id, "online")
	}
	two.signal(os.Kill)
	_ = two.awaitEnd()
	two = run("two")
	scout, _ := meter(t, two.addrs.MQTT, "scout", 0)
	eventually.Must(t, "the bridge that is back to have Redis", func() bool { // nothing is acknowledged that Redis does not have
		ctx, cancel := context.WithTimeout(t.Context(), eventually.Patience)
		defer cancel()
		answer, err := scout.Publish(ctx, &paho.Publish{Topic: "scout", QoS: 1, Payload: []byte("here")})
		return err == nil && answer.ReasonCode == 0
	})
	for _, id := range back {
		c, kept := meter(t, two.addrs.MQTT, id, 3600)
		if !kept {
			t.Errorf("%s: the session that was kept is gone", id)
		}
		say(t, c, "state/"+id, "back")
	}
	all := seen.until("one gone and three back", func(_ int, all map[string]string) bool {
		return strings.HasSuffix(all["dies"], "offline") && !slices.ContainsFunc(back, func(id string) bool { return !strings.HasSuffix(all[id], "back") })
	})
	told := len(back)
	for _, id := range back {
		if all[id] == "online back" {
			told--
			late := fmt.Sprintf(`"msg":"mqtt client is not known to the other bridges yet","client":%q`, id)
			eventually.Must(t, "the bridge to say that Redis was late for "+id, func() bool { return strings.Contains(two.log.String(), late) })
		} else if all[id] != "online offline back" {
			t.Errorf("the subscriber at the other bridge got %q of %s", all[id], id)
		}
	}
	if all["dies"] != "online offline" || told == 0 {
		t.Errorf("the subscriber at the other bridge got %v", all)
	}
	say(t, scout, "state/end", "x")
	seen.watch(one.addrs.MQTT, "late")
	all = seen.until("what is retained, and the end at both", func(n int, _ map[string]string) bool { return n == 6 })
	if all["dies"] != "offline" || slices.ContainsFunc(back, func(id string) bool { return all[id] != "back" }) || !strings.HasPrefix(all["end"], "x") { // the end comes to both
		t.Errorf("then came %v, want what is retained and nothing again", all)
	}
}
