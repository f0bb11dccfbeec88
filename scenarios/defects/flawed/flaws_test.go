package main

import (
	"bufio"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"
)

// batchOf is a message of the bridge with one reading a topic, from an offset on.
func batchOf(from uint64, topics ...string) string {
	var all []string
	for i, topic := range topics {
		all = append(all, message(from+uint64(i)+1, topic, strconv.Itoa(i)))
	}
	return fmt.Sprintf(`{"type":"batch","id":1,"epoch":"e","from":%d,"to":%d,"readings":[%s]}`, from, from+uint64(len(topics)), strings.Join(all, ","))
}

// A flush by size sends whole lots, however the messages come, and keeps the
// rest back.
func TestAFlushBySizeSendsWholeLots(t *testing.T) {
	s, in := bench(t, "F21", "3")
	go func() {
		give(t, s, confirmed)
		give(t, s, batchOf(10, "a"))
		give(t, s, batchOf(11, "a"))
		give(t, s, batchOf(12, "a", "b", "b"))
		give(t, s, batchOf(15, "a"))
	}()
	var ok subok
	var first, second batch
	read(t, in, "subok", &ok)
	read(t, in, "batch", &first)
	read(t, in, "batch", &second)
	if len(first.Readings) != 3 || first.To != 13 || len(second.Readings) != 3 || second.To != 16 {
		t.Errorf("lots of %d to %d and of %d to %d", len(first.Readings), first.To, len(second.Readings), second.To)
	}
	if fired := s.f.count.fired; fired != 4 {
		t.Errorf("%d readings were counted as held back, 4 were", fired)
	}
}

// Each viewer waits for all that came before it.
func TestFanOutDelaysTheLaterViewersMore(t *testing.T) {
	s, _ := bench(t, "F26", "1h")
	now := time.Now()
	for i := range 3 {
		st := &stream{}
		s.f.flaw.subscribed(s, st)
		rs := s.f.flaw.arrive(s, st, []reading{{Topic: "a"}})
		if hours := rs[0].due.Sub(now).Round(time.Hour).Hours(); hours != float64(i) {
			t.Errorf("viewer %d waits %v h", i+1, hours)
		}
	}
	s.streams = map[uint64]*stream{1: {}, 2: {}}
	s.f.flaw.ended(s)
	st := &stream{}
	if s.f.flaw.subscribed(s, st); st.state != 1 {
		t.Errorf("after two have left %v are before the next", st.state)
	}
}

// A full queue keeps what it has, says good-bye to what is newer, and passes on
// what is no batch.
func TestAQueueThatKeepsTheOldest(t *testing.T) {
	s, in := bench(t, "F19", "2/1ms")
	put := func(text string) { s.f.flaw.bridgeFrame(s, textFrame([]byte(text))) }
	put(batchOf(1, "a")) // is being written: nobody reads yet
	for i := range uint64(4) {
		put(batchOf(2+i, "a"))
	}
	put(`{"type":"heartbeat"}`)
	var got []uint64 // two, and one more when the writer took the first out in time
	for {
		f, _, err := readFrame(in)
		if err != nil {
			t.Fatal(err)
		}
		var b batch
		if json.Unmarshal(f.payload, &b) != nil || b.Type == "heartbeat" {
			break
		}
		got = append(got, b.To)
	}
	s.f.tasks.Wait()
	dropped := s.f.count.fired
	if len(got) < 2 || !slices.Equal(got[:2], []uint64{2, 3}) || !slices.IsSorted(got) || dropped < 2 || dropped != uint64(5-len(got)) {
		t.Errorf("the viewer got %v, %d were dropped", got, dropped)
	}
}

// The clock that a hook steps is the one that the flaw goes by.
func TestAStepOfTheWallClockEndsViewers(t *testing.T) {
	path := filepath.Join(t.TempDir(), "wall")
	if code := run([]string{"--step", path, "3600"}); code != 0 {
		t.Fatalf("the hook ended with %d", code)
	}
	if code := run([]string{"--step", path, "-60"}); code != 0 {
		t.Fatalf("the hook ended with %d", code)
	}
	if seconds, err := readStep(path); err != nil || seconds != 3540 {
		t.Fatalf("stepped by %d s, %v", seconds, err)
	}
	if err := stepClock([]string{path, "soon"}); !errors.Is(err, errUsage) {
		t.Errorf("a step by a word gave %v", err)
	}
	head := []byte("HTTP/1.1 404 Not Found\r\nDate: Thu, 26 Nov 2026 03:00:00 GMT\r\n\r\n")
	told := string((&wall{path: path}).date(head))
	at, err := time.Parse("Mon, 02 Jan 2006 15:04:05 GMT", told[len("HTTP/1.1 404 Not Found\r\nDate: "):len(told)-4])
	if ahead := time.Until(at); err != nil || ahead < 58*time.Minute || ahead > 59*time.Minute {
		t.Errorf("an answer tells %q: %v ahead, %v", told, ahead, err)
	}
	if (&wall{}).date(head)[40] != head[40] {
		t.Error("a clock that nobody steps changed an answer")
	}
	s, _ := bench(t, "F68", "5m")
	s.bridge = s.client
	for range 2 {
		if !s.f.flaw.bridgeFrame(s, textFrame(nil)) {
			t.Error("a viewer was ended while the clock went as it should")
		}
	}
	s.f.wall.path = path
	if s.f.flaw.bridgeFrame(s, textFrame(nil)) || s.f.count.fired != 1 {
		t.Error("a step of an hour ended nobody")
	}
	select {
	case <-s.done:
	default:
		t.Error("the session goes on")
	}
}

func TestTimesAreWrittenAnew(t *testing.T) {
	s, _ := bench(t, "F36", "")
	for text, want := range map[string]string{
		`{"time":"2026-03-29T01:59:59.123456789+01:00"}`: `{"time":"2026-03-29T00:59:59Z"}`,
		`{"time":"2026-03-29T01:59:59Z"}`:                `{"time":"2026-03-29T01:59:59Z"}`,
		`{"time":"2026-13-29T01:59:59Z"}`:                `{"time":"2026-13-29T01:59:59Z"}`,
		`{"value":1}`:                                    `{"value":1}`,
	} {
		r := reading{}
		r.setText(text)
		if got := s.f.flaw.arrive(s, &stream{}, []reading{r})[0].text(); got != want {
			t.Errorf("%s became %s, want %s", text, got, want)
		}
	}
	if s.f.count.fired != 1 {
		t.Errorf("%d times were counted, 1 was changed", s.f.count.fired)
	}
}

// Conflation leaves the newest of each topic, and no defect.
func TestConflationKeepsTheNewest(t *testing.T) {
	s, _ := bench(t, "C-conflate", "24h")
	st := &stream{waiting: []reading{{O: 1, Topic: "a"}, {O: 2, Topic: "b"}}}
	rs := s.f.flaw.arrive(s, st, []reading{{O: 3, Topic: "a"}, {O: 4, Topic: "c"}, {O: 5, Topic: "a"}})
	var left []uint64
	for _, r := range append(st.waiting, rs...) {
		left = append(left, r.O)
	}
	if !slices.Equal(left, []uint64{2, 4, 5}) || s.f.count.fired != 2 {
		t.Errorf("left are %v, %d were left out", left, s.f.count.fired)
	}
}

// A device that said good-bye needs no defect to keep its will.
func TestOnlyADeviceThatVanishedLosesItsWill(t *testing.T) {
	s, _ := bench(t, "F16", "")
	for _, said := range []bool{true, false} {
		broker, far := net.Pipe()
		l := &link{f: s.f, broker: broker}
		if said {
			s.f.flaw.fromDevice(l, packet{first: mqttDisconnect})
		}
		var all sync.WaitGroup
		all.Go(func() { s.f.flaw.deviceLost(l); _ = broker.Close() })
		p, err := readPacket(bufio.NewReader(far))
		all.Wait()
		if forged := err == nil && p.kind() == mqttDisconnect; forged == said {
			t.Errorf("it said DISCONNECT %v, another was sent %v", said, forged)
		}
	}
	if s.f.count.fired != 1 {
		t.Errorf("fired %d times", s.f.count.fired)
	}
}

func TestOnlyMessagesOfQoS0AreLostByTheControl(t *testing.T) {
	s, _ := bench(t, "C-qos0", "2")
	l := &link{f: s.f}
	kept := 0
	for range 4 {
		if s.f.flaw.fromDevice(l, packet{first: mqttPublish, body: []byte("\x00\x01ax")}) {
			kept++
		}
		if !s.f.flaw.fromDevice(l, packet{first: mqttPublish | 2, body: []byte("\x00\x01a\x00\x07x")}) || !s.f.flaw.fromDevice(l, packet{first: mqttDisconnect}) {
			t.Error("something else was lost")
		}
	}
	if kept != 2 {
		t.Errorf("%d of 4 were kept, want 2", kept)
	}
}
