package ingest

import (
	"fmt"
	"os"
	"strings"
	"testing"
	"time"

	"plumbline/bridge/internal/eventually"
)

// slowly is a session that has one QoS 1 message under way at a time.
var slowly = login{id: "s", props: cat(kept1h, []byte{0x21, 0, 1})}

func sessionOf(b *Broker, id string) *session {
	b.sessions.mu.Lock()
	defer b.sessions.mu.Unlock()
	return b.sessions.byID[id]
}

// dispatched waits until the sessions were offered n messages.
func dispatched(t *testing.T, b *Broker, n int) {
	t.Helper()
	eventually.Must(t, fmt.Sprintf("message %d to be offered", n), func() bool { return b.sessions.position.Load() >= uint64(n) })
}

// wantOnce takes the messages from..to, acknowledging each, and then the one that is published last.
func (c *client) wantOnce(p *client, from, to int) {
	c.t.Helper()
	for i := from; i <= to; i++ {
		g := c.next()
		if n, _, _ := strings.Cut(g.payload, " "); n != fmt.Sprint(i) {
			c.t.Fatalf("got %.20q, want %d", g.payload, i)
		}
		c.send(ackOf(0x40, g.id))
	}
	p.storm("x", to+1, 1)
	g := c.next()
	if g.payload != fmt.Sprint(to+1) {
		c.t.Fatalf("got %.20q, want only %d", g.payload, to+1)
	}
	c.send(ackOf(0x40, g.id))
}

// TestWaitingIsSentOnce: what waited in memory when its client went is read from the journal when it is back, and is not there twice.
func TestWaitingIsSentOnce(t *testing.T) {
	b, _ := start(t, nil)
	s := dial(t, b, 5).ok(slowly)
	s.sub("x", 1, nil)
	eventually.Must(t, "the session to keep up", func() bool { return !sessionOf(b, "s").lags() })
	p := dial(t, b, 5).ok(login{id: "p", clean: true})
	p.storm("x", 0, 5)
	dispatched(t, b, 5)
	s.next()
	leave(t, b, s, "s")
	s = dial(t, b, 5).ok(slowly)
	s.wantOnce(p, 0, 4)
}

// TestQueueIsBounded: a client that does not keep up costs maxQueue messages of memory, or maxQueueBytes, and loses nothing.
func TestQueueIsBounded(t *testing.T) {
	for what, n := range map[string]int{"messages": maxQueue + 50, "bytes": 20} {
		t.Run(what, func(t *testing.T) {
			b, _ := start(t, nil)
			s := dial(t, b, 5).ok(slowly)
			s.sub("x", 1, nil)
			p := dial(t, b, 5).ok(login{id: "p", clean: true})
			filler := ""
			if what == "bytes" {
				filler = " " + strings.Repeat("x", maxQueueBytes/8)
			}
			for i := range n {
				p.publish("x", fmt.Sprint(i)+filler, 1, uint16(i+1), 0, nil)
				p.want(4)
			}
			dispatched(t, b, n)
			of := sessionOf(b, "s")
			of.mu.Lock()
			queue, bytes, behind := len(of.queue), of.queued, of.behind
			of.mu.Unlock()
			if queue > maxQueue || bytes > maxQueueBytes+len(filler)+10 || !behind {
				t.Errorf("%d messages of %d bytes wait in memory, behind %v", queue, bytes, behind)
			}
			s.wantOnce(p, 0, n-1)
		})
	}
}

// TestFailedSaveIsTriedAgain: what a client acknowledged while the disk refused is saved when it does not any more, be nothing else
// to save.
func TestFailedSaveIsTriedAgain(t *testing.T) {
	dir := t.TempDir() + "/sessions"
	b, _ := start(t, func(o *Options) { o.SessionDir = dir })
	s := dial(t, b, 5).ok(slowly)
	s.sub("x", 1, nil)
	dial(t, b, 5).ok(login{id: "p", clean: true}).storm("x", 0, 1)
	g := s.next()
	if err := os.Rename(dir, dir+".away"); err != nil {
		t.Fatal(err)
	}
	s.send(ackOf(0x40, g.id))
	of := sessionOf(b, "s")
	eventually.Must(t, "a save that fails", func() bool {
		b.sessions.upkeep(time.Now())
		of.saving.Lock()
		defer of.saving.Unlock()
		return !of.appendable
	})
	if err := os.Rename(dir+".away", dir); err != nil {
		t.Fatal(err)
	}
	eventually.Must(t, "the next", func() bool {
		b.sessions.upkeep(time.Now())
		k, err := b.sessions.store.read(b.sessions.store.path("s"))
		return err == nil && len(k.Flights) == 0
	})
}
