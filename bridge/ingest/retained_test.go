package ingest

import (
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"testing"

	"plumbline/bridge/journal"
)

// TestManyRetainedMessages: more than wait in memory at once, over a connection that is lost between, come all, in order; only those
// that were under way come twice.
func TestManyRetainedMessages(t *testing.T) {
	const n, window = 2 * retainedChunk, 10
	b, _ := start(t, func(o *Options) {
		for i := range n {
			if _, _, err := o.Journal.Append(t.Context(), journal.Message{Topic: fmt.Sprintf("r/%05d", i), Payload: fmt.Append(nil, i), QoS: 1, Retain: true}); err != nil {
				t.Fatal(err)
			}
		}
	})
	in := login{id: "s", props: cat(kept1h, []byte{0x21, 0, window})}
	s := dial(t, b, 5).ok(in)
	s.sub("r/+", 1, nil)
	next := 0
	take := func(until int) {
		t.Helper()
		for next < until {
			g := s.next()
			s.send(ackOf(0x40, g.id))
			switch i, err := strconv.Atoi(g.payload); {
			case err == nil && i == next && g.retain:
				next++
			case err != nil || i > next || !g.dup: // what was acknowledged just before the cut may come again
				t.Fatalf("after %d: %+v", next, g)
			}
		}
	}
	for _, pause := range []int{100, retainedChunk + 1000} {
		take(pause)
		leave(t, b, s, "s")
		s = dial(t, b, 5).ok(in)
	}
	take(n)
	s.quiet()
}

// TestSubscriptionBeginsWithItself: what the journal held before is not for a new subscription, although the session reads it.
func TestSubscriptionBeginsWithItself(t *testing.T) {
	b, _ := start(t, nil)
	s := newSession(b.sessions, "s", "")
	s.subs["b"] = &subscription{s: s, filter: "b", since: 5}
	var entries []journal.Entry
	for i := range uint64(8) {
		entries = append(entries, journal.Entry{Offset: i + 1, Message: journal.Message{Topic: "b", QoS: 1}})
	}
	s.takeIn(entries)
	if len(s.queue) != 3 || s.queue[0].Offset != 6 || s.seen != 8 {
		t.Errorf("%d in the queue, seen %d", len(s.queue), s.seen)
	}
}

// TestIdentifierUnderWayIsNotGivenAgain [MQTT-2.2.1-4]: after 65,535 messages too.
func TestIdentifierUnderWayIsNotGivenAgain(t *testing.T) {
	b, _ := start(t, nil)
	s := dial(t, b, 5).ok(login{id: "s", clean: true})
	s.sub("x", 1, nil)
	p := dial(t, b, 5).ok(login{id: "p", clean: true})
	p.storm("x", 0, 1)
	first := s.next()
	in := b.sessions.byID["s"]
	in.mu.Lock()
	in.lastID = 65_534
	in.mu.Unlock()
	p.storm("x", 1, 3)
	for i, want := range []uint16{65_535, 2, 3} { // neither 0 nor 1, which is under way
		if g := s.next(); first.id != 1 || g.id != want {
			t.Errorf("message %d has identifier %d, want %d", i+1, g.id, want)
		}
	}
}

// TestRefusedSubscriptionIsNone: one that cannot be saved is refused, and delivers nothing.
func TestRefusedSubscriptionIsNone(t *testing.T) {
	r := &restartable{t: t, dir: t.TempDir()}
	b := r.start()
	defer r.stop()
	c := dial(t, b, 5).ok(login{id: "s", props: kept1h})
	c.quiet() // its session is saved
	path := b.sessions.store.path("s")
	if err := os.Remove(path); err != nil {
		t.Fatal(err)
	}
	if err := os.MkdirAll(filepath.Join(path, "in the way"), 0o700); err != nil {
		t.Fatal(err)
	}
	if code := c.sub("x", 0, nil); code != 0x97 {
		t.Errorf("SUBACK %#x, want 0x97", code)
	}
	p := dial(t, b, 5).ok(login{id: "p", clean: true})
	p.publish("x", "y", 1, 1, 0, nil)
	p.want(4)
	c.quiet()
	if err := os.RemoveAll(path); err != nil {
		t.Fatal(err)
	}
	if code := c.sub("x", 0, nil); code != 0 {
		t.Errorf("SUBACK %#x after the mend", code)
	}
}
