package bridge

import (
	"bytes"
	"log/slog"
	"strings"
	"sync"
	"syscall"
	"testing"

	"github.com/gorilla/websocket"

	"plumbline/bridge/internal/brokertest"
	"plumbline/bridge/internal/eventually"
)

// TestCommandReachesExternalBroker: what its prefix owns goes there, and comes to viewers once, as that broker hands it back.
func TestCommandReachesExternalBroker(t *testing.T) {
	broker := brokertest.New(t, brokertest.Lines)
	r := run(t, externalOnly(broker.Addr))
	eventually.Must(t, "the broker to be connected", r.b.externallyConnected)
	may := map[string]any{"grants": map[string]any{"live": []string{"#"}, "publish": []string{"site-a/command/#"}}}
	v := r.open(may)
	ok := v.sub(1, "#", nil)
	v.sendText(`{"type":"pub","id":1,"topic":"site-a/command/1","payload":"on","qos":1}`)
	v.answer("pubok", "1")
	seen, cursor := v.collect(1, ok.Offset)
	if seen[0].Topic != "site-a/command/1" || seen[0].Payload != "on" {
		t.Errorf("viewers got %+v", seen)
	}
	brokertest.Retain(t, broker.Addr, "end", "")
	if seen, _ = v.collect(1, cursor); seen[0].Topic != "site-a/end" {
		t.Errorf("after the command came %+v", seen)
	}
	head := r.b.journal.Head()
	broker.Stop(syscall.SIGKILL)
	eventually.Must(t, "the broker to be missed", func() bool { return !r.b.externallyConnected() })
	v = r.open(may)
	v.sendText(`{"type":"pub","id":2,"topic":"site-a/command/1","payload":"off","qos":1}`)
	if m := v.answer("puberr", "2"); m.Reason != "refused" {
		t.Errorf("%+v, want refused", m)
	}
	if r.b.journal.Head() != head {
		t.Error("what the broker did not get is in the journal")
	}
}

// kept is a log that may be read while it is written.
type kept struct {
	mu  sync.Mutex
	buf bytes.Buffer
}

func (k *kept) Write(p []byte) (int, error) {
	k.mu.Lock()
	defer k.mu.Unlock()
	return k.buf.Write(p)
}

// TestCommandsAreOnRecord: who sent what where, done or refused, and never the payload.
func TestCommandsAreOnRecord(t *testing.T) {
	var log kept
	c := testConfig(t.TempDir())
	b, err := New(Options{Config: c, Log: slog.New(slog.NewTextHandler(&log, &slog.HandlerOptions{Level: slog.LevelDebug}))})
	if err != nil {
		t.Fatal(err)
	}
	r := runMade(t, c, b)
	v := r.open(operator())
	v.sendText(`{"type":"pub","id":1,"topic":"command/1","payload":"pin 4711"}`)
	v.answer("pubok", "1")
	v.sendText(`{"type":"pub","id":2,"topic":"plant/1","payload":"pin 4711"}`)
	v.answer("puberr", "2")
	v.sendText(`{"type":"pub","id":3,"topic":"` + strings.Repeat("x", 40_000) + `/+","payload":"pin 4711"}`)
	v.answer("puberr", "3")
	if status, got := r.follower(operator()).command(map[string]any{"topic": "command/2", "payload": "pin 4711"}); status != 200 {
		t.Fatalf("%d %+v", status, got)
	}
	r.drain()
	var sent, refused int
	for line := range strings.Lines(log.buf.String()) {
		switch {
		case len(line) > 1000:
			t.Errorf("a line of %d bytes: %.200s", len(line), line)
		case strings.Contains(line, "4711"):
			t.Errorf("a payload is in the log: %s", line)
		case !strings.Contains(line, "subject=anna") || !strings.Contains(line, "remote=127.0.0.1"):
		case strings.Contains(line, `msg="command sent"`):
			sent++
		case strings.Contains(line, "msg=refused") && strings.Contains(line, "action=pub") && strings.Contains(line, "reason=forbidden") && strings.Contains(line, `detail="topic plant/1"`):
			refused++
		}
	}
	if sent != 2 || refused != 1 {
		t.Errorf("%d sent and %d refused on record, want 2 and 1:\n%s", sent, refused, log.buf.String())
	}
}

// TestCommandsEndWithTheDrain: a bridge that is about to end takes no more.
func TestCommandsEndWithTheDrain(t *testing.T) {
	r := run(t, func(c *Config) { c.Drain.Spread = 2_000_000_000 })
	v := r.open(operator())
	r.stop()
	v.want("draining")
	v.sendText(`{"type":"pub","id":1,"topic":"command/1","payload":"on"}`)
	for {
		m, err := v.next()
		if err != nil {
			return // its moment to be closed came first
		}
		if m.Type == "pubok" {
			t.Fatal("a command was taken while draining")
		}
		if m.Type == "puberr" {
			if m.Reason != "refused" {
				t.Errorf("%+v, want refused", m)
			}
			return
		}
	}
}

// TestCommandInCBOR: its payload is bytes, and only bytes.
func TestCommandInCBOR(t *testing.T) {
	r := run(t, nil)
	got := r.device("press-7", "command/#")
	s := r.speak(tongue{cbor: true})
	s.send(map[string]any{"type": "auth", "token": r.token(operator())})
	s.want("authok")
	s.send(map[string]any{"type": "pub", "id": 9, "topic": "command/raw", "payload": []byte{0, 1, 0xff}, "qos": 1})
	if m := s.want("pubok"); string(m.ID) != "9" {
		t.Errorf("pubok for %s", m.ID)
	}
	if p := <-got; p.Topic != "command/raw" || string(p.Payload) != "\x00\x01\xff" || p.QoS != 1 {
		t.Errorf("the device got %+v", p)
	}
	head := r.b.journal.Head()
	s.send(map[string]any{"type": "pub", "id": 10, "topic": "command/raw", "payload": "text"})
	for {
		m, err := s.next()
		if websocket.IsCloseError(err, 4005) {
			break
		}
		if err != nil || m.Type == "pubok" {
			t.Fatalf("%+v %v, want 4005", m, err)
		}
	}
	if r.b.journal.Head() != head {
		t.Error("text was taken for bytes")
	}
}
