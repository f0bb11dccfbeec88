//go:build unix

package main

import (
	"context"
	"crypto/tls"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/eclipse/paho.golang/paho"
	"github.com/gorilla/websocket"

	"plumbline/bridge"
	"plumbline/bridge/auth"
	"plumbline/bridge/internal/eventually"
	"plumbline/bridge/internal/pathtest"
	"plumbline/bridge/internal/redistest"
)

// commander is a viewer that sends commands to press-7 by number.
type commander struct {
	t       *testing.T
	ws      *websocket.Conn
	session string // as the bridge's log names it
}

// answered is what a bridge answers.
type answered struct {
	Type, Reason, Detail, Session string
	Duplicate                     bool
}

func newCommander(t *testing.T, addr, token string) *commander {
	t.Helper()
	d := websocket.Dialer{TLSClientConfig: &tls.Config{InsecureSkipVerify: true}, Subprotocols: []string{"plumbline.v1.json"}, HandshakeTimeout: eventually.Patience}
	ws, _, err := d.Dial("wss://"+addr+"/ws", nil)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = ws.Close() })
	if err := ws.WriteJSON(map[string]string{"type": "hello", "token": token}); err != nil {
		t.Fatal(err)
	}
	c := &commander{t: t, ws: ws}
	welcome, err := c.next()
	if err != nil || welcome.Type != "welcome" {
		t.Fatalf("%+v, %v; want welcome", welcome, err)
	}
	c.session = welcome.Session
	return c
}

func (c *commander) next() (got answered, err error) {
	_ = c.ws.SetReadDeadline(time.Now().Add(eventually.Patience))
	err = c.ws.ReadJSON(&got)
	return got, err
}

func (c *commander) send(seq int) {
	c.t.Helper()
	text := commandText(seq)
	if err := c.ws.WriteJSON(map[string]any{"type": "pub", "id": seq, "topic": "command/press-7/speed", "payload": text, "qos": 1, "producer": "wall-3", "seq": seq}); err != nil {
		c.t.Fatal(err)
	}
}

// taken sends a command until it is taken.
func (c *commander) taken(seq int) (got answered) {
	c.t.Helper()
	eventually.Must(c.t, commandText(seq)+" to be taken", func() bool {
		c.send(seq)
		var err error
		if got, err = c.next(); err != nil {
			c.t.Fatal(err)
		}
		if got.Type != "pubok" && got.Reason != "refused" { // Redis was late, or is not there yet
			c.t.Fatalf("%s: %+v", commandText(seq), got)
		}
		return got.Type == "pubok"
	})
	return got
}

func commandText(seq int) string { return "command number " + strconv.Itoa(seq) + "." }

// actuator subscribes to its commands.
func actuator(t *testing.T, addr string) <-chan string {
	t.Helper()
	c, _ := meter(t, addr, "press-7", 0)
	got := make(chan string, 100)
	c.AddOnPublishReceived(func(p paho.PublishReceived) (bool, error) {
		got <- string(p.Packet.Payload)
		return true, nil
	})
	ctx, cancel := context.WithTimeout(t.Context(), eventually.Patience)
	defer cancel()
	if _, err := c.Subscribe(ctx, &paho.Subscribe{Subscriptions: []paho.SubscribeOptions{{Topic: "command/press-7/#", QoS: 1}}}); err != nil {
		t.Fatal(err)
	}
	return got
}

// TestKilledBetweenCommandAndAnswer: a bridge is killed when the cluster's log has a viewer's command and the viewer no answer: because
// Redis' answer did not reach the bridge, or the bridge's did not reach the viewer. The viewer sends it again, under its number, at another
// bridge, and later at the one that is back, and is told each time that it was stored already: the device gets it once.
func TestKilledBetweenCommandAndAnswer(t *testing.T) {
	redis, dir := redistest.New(t), t.TempDir()
	secret := filepath.Join(dir, "jwt.key")
	if _, err := auth.EnsureSecret(secret, nil); err != nil {
		t.Fatal(err)
	}
	run := func(name, relay string) *child {
		return begin(t, filepath.Join(dir, name), bridge.Addresses{}, "node="+name, "relay.url="+relay, "relay.lease=2s", "history.store=off",
			"auth.jwt.secretFile="+secret, "viewers.commands.rate=1000", "viewers.commands.burst=1000", "viewers.authTimeout=1m", "viewers.dashboard=false")
	}
	toRedis, addr := pathtest.New(t, redis.Addr)
	relay := "redis://" + addr + "/0"
	one, two := run("one", relay), run("two", redis.URL())
	code, token, errs := invoke(t, "", "token", "--set", "data="+one.data, "--set", "auth.jwt.secretFile="+secret, "--sub", "anna", "--grants", "#", "--publish", "command/#")
	if code != exitOK {
		t.Fatalf("token: exit %d, %s", code, errs)
	}
	token = strings.TrimSpace(token)
	got := actuator(t, two.addrs.MQTT)
	gets := func(seq int) { // and nothing before it
		t.Helper()
		select {
		case text := <-got:
			if text != commandText(seq) {
				t.Fatalf("the device got %q, want %q once, after the ones before", text, commandText(seq))
			}
		case <-time.After(eventually.Patience):
			t.Fatalf("waited in vain for the device to get %q", commandText(seq))
		}
	}
	elsewhere, seq := newCommander(t, two.addrs.Viewers, token), 0
	for _, lost := range []struct {
		what string
		to   string // the bridge
		sent int    // commands that it knows to be in the log, when it dies
	}{{"Redis' answer", "bridge", 1}, {"the bridge's answer", "viewer", 2}} {
		toViewer, front := pathtest.New(t, one.addrs.Viewers)
		v := newCommander(t, front, token)
		sent := func() (n int) {
			for line := range strings.Lines(one.log.String()) {
				if strings.Contains(line, `"msg":"command sent"`) && strings.Contains(line, v.session) {
					n++
				}
			}
			return n
		}
		seq++
		v.taken(seq)
		gets(seq)
		seq++
		toViewer.Mute(true) // also the answer that a bridge without one of Redis gives in the end
		if lost.to == "bridge" {
			toRedis.MuteAfter(commandText(seq))
		}
		v.send(seq)
		gets(seq)
		eventually.Must(t, "the bridge to be where it is killed", func() bool { return sent() >= lost.sent })
		one.signal(os.Kill)
		_ = one.awaitEnd()
		if sent() != lost.sent {
			t.Errorf("%s was to be lost: the bridge knew of %d commands, want %d", lost.what, sent(), lost.sent)
		}
		if a, err := v.next(); err == nil {
			t.Errorf("%s was to be lost: the viewer got %+v", lost.what, a)
		}
		if a := elsewhere.taken(seq); !a.Duplicate {
			t.Errorf("%s was lost, and the command sent again at the other bridge: %+v, want duplicate", lost.what, a)
		}
		toRedis.Mute(false)
		one = run("one", relay)
		back := newCommander(t, one.addrs.Viewers, token)
		if a := back.taken(seq); !a.Duplicate {
			t.Errorf("%s was lost, and the command sent again at the bridge that is back: %+v, want duplicate", lost.what, a)
		}
		seq++
		back.taken(seq)
		gets(seq)
	}
}
