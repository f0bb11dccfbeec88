//go:build unix

package bridge

import (
	"fmt"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/eclipse/paho.golang/paho"

	"plumbline/bridge/internal/eventually"
	"plumbline/bridge/internal/redistest"
	"plumbline/bridge/journal"
)

// taken is the next message that a device gets.
func taken(t *testing.T, got <-chan *paho.Publish) *paho.Publish {
	t.Helper()
	select {
	case p := <-got:
		return p
	case <-time.After(patience):
		t.Fatal("the device got nothing in time")
		return nil
	}
}

// TestClusterCommand: a viewer at one bridge sends a command to a device at another. The device gets it as it would at the viewer's
// own bridge, and what it answers reaches the viewer. What the token does not allow is refused where the viewer is, and no bridge stores it.
func TestClusterCommand(t *testing.T) {
	all := cluster(t, redistest.New(t), "one", "two")
	here, there := all[0], all[1]
	got := there.device("press-7", "command/press-7/#")
	v := here.open(operator())
	ok := v.sub(1, "answer/#", nil)
	const sent = 10
	for i := range sent {
		v.send(map[string]any{"type": "pub", "id": i, "topic": "command/press-7/speed", "payload": fmt.Sprint(i), "qos": i % 2})
		v.answer("pubok", fmt.Sprint(i))
	}
	for i := range sent {
		if p := taken(t, got); p.Topic != "command/press-7/speed" || string(p.Payload) != fmt.Sprint(i) || p.QoS != byte(i%2) {
			t.Fatalf("the device got %s %q with QoS %d, want command %d", p.Topic, p.Payload, p.QoS, i)
		}
	}
	there.publish(there.publisher("press-7-answers"), "answer/press-7", "19 done")
	if seen, _ := v.collect(1, ok.Offset); seen[0].Payload != "19 done" {
		t.Errorf("the viewer got %+v", seen)
	}
	heads := func() [2]journal.Cursor { return [2]journal.Cursor{here.b.journal.Head(), there.b.journal.Head()} }
	eventually.Must(t, "the bridges to stand at one place", func() bool { h := heads(); return h[0] == h[1] })
	before := heads()
	v.send(map[string]any{"type": "pub", "id": 20, "topic": "plant/press-7", "payload": "on", "qos": 1})
	if m := v.answer("puberr", "20"); m.Reason != "forbidden" {
		t.Errorf("%s, want forbidden", m.Reason)
	}
	if heads() != before {
		t.Error("a forbidden command is in the journal")
	}
}

// TestClusterCommandRates: each bridge counts the commands of a subject by itself.
func TestClusterCommandRates(t *testing.T) {
	redis := redistest.New(t)
	few := func(c *Config) { c.Viewers.Commands.Rate, c.Viewers.Commands.Burst = 1, 3 }
	for _, r := range clusterWith(t, redis, few, "one", "two") {
		v, sent := r.open(operator()), 0
		for i := range 20 {
			v.send(map[string]any{"type": "pub", "id": i, "topic": "command/1", "payload": "on", "qos": 1})
			switch m, err := v.next(); {
			case err != nil:
				t.Fatal(err)
			case m.Type == "pubok":
				sent++
			case m.Reason == "refused": // Redis was late; it counts all the same
				sent++
			case m.Reason != "rate":
				t.Fatalf("%+v, want puberr rate", m)
			}
		}
		if sent < 3 {
			t.Errorf("bridge %s took %d commands, want a burst of 3 of its own", r.cfg.Node, sent)
		}
	}
}

// TestClusterCommandInDoubt: a command whose storing is not answered in time may be stored all the same. The viewer is told so, and
// sends it again at another bridge under its number: the device gets it once. It is tried again where the command had not left yet.
func TestClusterCommandInDoubt(t *testing.T) {
	redis := redistest.New(t)
	all := clusterWith(t, redis, func(c *Config) { c.Viewers.Commands.Rate, c.Viewers.Commands.Burst = 1000, 1000 }, "one", "two")
	got := all[1].device("press-7", "command/press-7/#")
	v, w := all[0].open(operator()), all[1].open(operator())
	pub := func(v *viewer, seq int) message {
		t.Helper()
		v.send(map[string]any{"type": "pub", "id": seq, "topic": "command/press-7/speed", "payload": fmt.Sprint(seq), "qos": 1, "producer": "wall-3", "seq": seq})
		m, err := v.next()
		if err != nil {
			t.Fatal(err)
		}
		return m
	}
	doubt := false
	for seq := 1; !doubt; seq++ {
		if seq > 10 {
			t.Fatal("no command was in doubt")
		}
		redis.Signal(syscall.SIGSTOP)
		m := pub(v, seq)
		redis.Signal(syscall.SIGCONT)
		if m.Type != "puberr" || m.Reason != "refused" {
			t.Fatalf("while Redis stands still: %+v, want refused", m)
		}
		doubt = strings.Contains(m.Detail, "may have been sent")
		eventually.Must(t, "the command to be taken again", func() bool { return pub(w, seq).Type == "pubok" })
		if m := pub(v, seq); m.Type == "pubok" && !m.Duplicate {
			t.Errorf("at the first bridge it was stored once more")
		}
		if p := taken(t, got); string(p.Payload) != fmt.Sprint(seq) {
			t.Errorf("the device got %s, want %d once", p.Payload, seq)
		}
	}
	eventually.Must(t, "the end", func() bool { return pub(w, 1000).Type == "pubok" })
	if p := taken(t, got); string(p.Payload) != "1000" {
		t.Errorf("the device got %s again", p.Payload)
	}
}
