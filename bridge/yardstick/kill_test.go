//go:build linux

package yardstick

import (
	"bufio"
	"encoding/binary"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

var kills = flag.Int("kills", 6, "how often TestN102KilledAtRandomPoints kills bridged under each sync policy") //nolint:gochecknoglobals // a flag

// TestN102KilledAtRandomPoints: bridged is killed at random points, also while it starts, under QoS 1 publishes from four clients. Whatever it
// acknowledged is there after the restart, once and in order, and the epoch goes on: the viewer's cursor holds over all kills.
func TestN102KilledAtRandomPoints(t *testing.T) {
	for _, policy := range []string{"os", "durable"} {
		t.Run(policy, func(t *testing.T) {
			c := &crash{t: t, dir: t.TempDir(), policy: policy, random: rand.New(rand.NewPCG(7, uint64(len(policy))))}
			for n := range *kills {
				c.once()
				if n%10 == 9 || n == *kills-1 {
					c.verify()
				}
			}
			acked := 0
			for i := range c.writers {
				acked += len(c.writers[i].acked)
			}
			t.Logf("sync %s: %d kills, %d of them while starting; %d messages sent, %d acknowledged, %d stored; 0 acknowledged missing, 0 twice, 0 out of order",
				policy, *kills, c.early, c.sent(), acked, c.stored)
			if acked == 0 {
				t.Error("nothing was acknowledged")
			}
		})
	}
}

type crash struct {
	t       *testing.T
	dir     string
	policy  string
	random  *rand.Rand
	writers [4]writer
	early   int
	stored  int
	epoch   string
	offset  uint64
}

// writer is one publisher. It numbers its messages from 1 and never sends one again.
type writer struct {
	sent  atomic.Int64
	acked map[int]bool
	seen  int // the last number that the viewer got
}

func (c *crash) sent() (n int64) {
	for i := range c.writers {
		n += c.writers[i].sent.Load()
	}
	return n
}

// once starts bridged, loads it, and kills it at a random point.
func (c *crash) once() {
	c.t.Helper()
	if c.random.IntN(8) == 0 {
		s := beginBridged(c.t, c.dir, "journal.sync="+c.policy, "journal.segmentBytes=1MiB")
		<-time.After(time.Duration(c.random.IntN(60)) * time.Millisecond) // the stimulus: somewhere in the start
		s.kill()
		c.early++
		return
	}
	s := startBridgedIn(c.t, c.dir, "journal.sync="+c.policy, "journal.segmentBytes=1MiB")
	limit := int64(1 + c.random.IntN(1500))
	var acks atomic.Int64
	kill := sync.OnceFunc(s.kill)
	var wg sync.WaitGroup
	for i := range c.writers {
		wg.Go(func() {
			c.writers[i].publish(s.mqtt, i, func() {
				if acks.Add(1) == limit {
					go kill()
				}
			})
		})
	}
	wg.Wait()
	kill()
	if acks.Load() < limit {
		c.t.Fatalf("bridged left after %d acknowledgements, it was to be killed after %d", acks.Load(), limit)
	}
}

// publish sends until the connection breaks, with at most 32 messages unacknowledged.
func (w *writer) publish(address string, id int, acked func()) {
	if w.acked == nil {
		w.acked = map[int]bool{}
	}
	conn, err := net.DialTimeout("tcp", address, dialLimit)
	if err != nil {
		return // killed already
	}
	defer func() { _ = conn.Close() }()
	r := bufio.NewReader(conn)
	var ack [4]byte
	if _, err := io.WriteString(conn, mqttConnect(fmt.Sprint("writer-", id))); err != nil {
		return
	}
	if _, err := io.ReadFull(r, ack[:]); err != nil {
		return
	}
	const window = 32
	places := make(chan struct{}, window)
	ended := make(chan struct{})
	flying := map[uint16]int{}
	var mu sync.Mutex
	go func() {
		defer close(ended)
		for {
			var ack [4]byte
			if _, err := io.ReadFull(r, ack[:]); err != nil {
				return
			}
			packet := binary.BigEndian.Uint16(ack[2:])
			mu.Lock()
			w.acked[flying[packet]] = true
			delete(flying, packet)
			mu.Unlock()
			acked()
			<-places
		}
	}()
	for packet := uint16(1); ; packet = packet%60_000 + 1 {
		select {
		case places <- struct{}{}:
		case <-ended:
			return
		}
		number := int(w.sent.Add(1))
		mu.Lock()
		flying[packet] = number
		mu.Unlock()
		topic := fmt.Sprint("yard/kill/", id)
		body := mqttString(topic) + string([]byte{byte(packet >> 8), byte(packet)}) + fmt.Sprint(number) + " " + strings.Repeat("x", 100)
		if _, err := io.WriteString(conn, "\x32"+mqttLength(len(body))+body); err != nil {
			<-ended
			return
		}
	}
}

// verify starts bridged once more and reads on from where the last look ended.
func (c *crash) verify() {
	c.t.Helper()
	s := startBridgedIn(c.t, c.dir, "journal.sync="+c.policy, "journal.segmentBytes=1MiB")
	defer s.kill()
	v, err := s.viewer.dial()
	must(c.t, err)
	defer func() { _ = v.Close() }()
	var welcome struct {
		Epoch string
		Head  uint64
	}
	c.ask(v, fmt.Sprintf(`{"type":"hello","token":%q}`, s.viewer.Token), &welcome)
	if c.epoch == "" {
		c.epoch = welcome.Epoch
	}
	var ok struct {
		Recovered bool
		Reason    string
	}
	c.ask(v, fmt.Sprintf(`{"type":"sub","id":1,"filter":"#","since":{"epoch":%q,"offset":%d}}`, c.epoch, c.offset), &ok)
	if !ok.Recovered {
		c.t.Fatalf("the cursor of epoch %s, offset %d does not hold: %s", c.epoch, c.offset, ok.Reason)
	}
	for c.offset < welcome.Head {
		c.batch(v)
	}
	for i := range c.writers {
		w := &c.writers[i]
		for number := range w.acked {
			if number > w.seen {
				c.t.Errorf("writer %d: message %d was acknowledged and is gone; the last there is %d", i, number, w.seen)
			}
		}
	}
}

func (c *crash) ask(v *socket, text string, answer any) {
	c.t.Helper()
	must(c.t, v.send(1, []byte(text)))
	raw, err := v.message()
	must(c.t, err)
	must(c.t, json.Unmarshal(raw, answer))
}

// batch reads one batch: it must continue the chain, and each writer's numbers must rise without leaving out an acknowledged one.
func (c *crash) batch(v *socket) {
	c.t.Helper()
	raw, err := v.message()
	must(c.t, err)
	var b struct {
		Type     string
		From, To uint64
		Readings []struct{ Topic, Payload string }
	}
	must(c.t, json.Unmarshal(raw, &b))
	if b.Type != "batch" {
		return
	}
	if b.From != c.offset {
		c.t.Fatalf("a batch begins at %d, want %d", b.From, c.offset)
	}
	c.offset = b.To
	for _, r := range b.Readings {
		var id, number int
		if _, err := fmt.Sscanf(r.Topic+" "+r.Payload, "yard/kill/%d %d", &id, &number); err != nil {
			must(c.t, errors.Join(err, errors.New(r.Topic)))
		}
		w := &c.writers[id]
		for n := w.seen + 1; n < number; n++ {
			if w.acked[n] {
				c.t.Errorf("writer %d: message %d was acknowledged and is missing before %d", id, n, number)
			}
		}
		if number <= w.seen {
			c.t.Errorf("writer %d: message %d after %d", id, number, w.seen)
		}
		w.seen = number
		c.stored++
	}
}
