package wire

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"
	"time"

	"plumbline/bridge/hub"
	"plumbline/bridge/internal/eventually"
	"plumbline/bridge/journal"
)

func TestSnapshotParts(t *testing.T) {
	entry := func(o, size int) journal.Entry {
		return journal.Entry{Offset: uint64(o), Message: journal.Message{Topic: fmt.Sprint("t/", o), Payload: []byte(strings.Repeat("x", size)), Time: time.UnixMicro(7)}}
	}
	var many []journal.Entry
	for i := range 2000 {
		many = append(many, entry(i+1, 50))
	}
	for _, tc := range []struct {
		name    string
		entries []journal.Entry
		min     int
	}{
		{"none", nil, 1},
		{"one", []journal.Entry{entry(1, 10)}, 1},
		{"many", many, 3},
		{"large ones alone", []journal.Entry{entry(1, 100_000), entry(2, 10), entry(3, 100_000)}, 3},
	} {
		t.Run(tc.name, func(t *testing.T) {
			n := len(tc.entries)
			s := newSnapshot(7, dialect{}, new(hub.Printer), append([]journal.Entry(nil), tc.entries...), nil)
			var got [][]byte
			for !s.done() {
				part, _ := s.next()
				got = append(got, part)
				if len(part) > partBytes+100_200 {
					t.Errorf("a part of %d bytes", len(part))
				}
			}
			if len(got) < tc.min {
				t.Errorf("%d parts, want at least %d", len(got), tc.min)
			}
			next := uint64(1)
			for i, p := range got {
				var m struct {
					Type        string
					ID          int64
					Part, Parts int
					Readings    []struct{ O uint64 }
				}
				if err := json.Unmarshal(p, &m); err != nil {
					t.Fatalf("part %d: %v", i+1, err)
				}
				if m.Type != "snapshot" || m.ID != 7 || m.Part != i+1 || m.Parts != len(got) {
					t.Errorf("part %d: %+v", i+1, m)
				}
				for _, r := range m.Readings {
					if r.O != next {
						t.Fatalf("offset %d, want %d", r.O, next)
					}
					next++
				}
			}
			if int(next-1) != n {
				t.Errorf("%d readings, want %d", next-1, n)
			}
		})
	}
}

func TestSnapshotFollowsTheAccessList(t *testing.T) { // N45, N48
	entries := []journal.Entry{
		{Offset: 1, Message: journal.Message{Topic: "hidden", Payload: []byte("x")}},
		{Offset: 2, Message: journal.Message{Topic: "seen", Payload: []byte("x")}},
		{Offset: 3, Message: journal.Message{Topic: "hidden", Payload: []byte("x")}},
	}
	s := newSnapshot(1, dialect{}, new(hub.Printer), entries, nil)
	s.allow = func(topic string) bool { return topic != "hidden" }
	var m struct{ Readings []struct{ Topic string } }
	part, _ := s.next()
	if err := json.Unmarshal(part, &m); err != nil {
		t.Fatal(err)
	}
	if len(m.Readings) != 1 || m.Readings[0].Topic != "seen" {
		t.Errorf("handed out %+v", m.Readings)
	}
}

// TestSnapshotPlaces: few snapshots at once, one of a session, and none held for ever by a viewer that does not read.
func TestSnapshotPlaces(t *testing.T) {
	srv := &Server{opts: Options{WriteTimeout: time.Hour}, snapshots: make(chan struct{}, 1)}
	open := func() *session {
		return &session{srv: srv, nc: &viewerConn{Conn: &lateClose{}, clock: newClock()}, own: make(chan struct{}, 1), last: make(chan struct{})}
	}
	got := make(chan bool, 1)
	ask := func(s *session) { _, ok := s.place(); got <- ok }
	first, second := open(), open()
	release, ok := first.place()
	if !ok {
		t.Fatal("no first place")
	}
	go ask(second)
	eventually.Must(t, "the second session to ask", func() bool { return len(second.own) == 1 })
	select {
	case <-got:
		t.Fatal("two snapshots under way, one allowed")
	default:
	}
	release()
	release() // what ends twice gives back once
	if !<-got {
		t.Error("no place after one was given back")
	}
	go ask(second) // its first one is still under way
	close(second.last)
	if <-got {
		t.Error("a place for a session that has ended")
	}
	srv.opts.WriteTimeout = time.Millisecond
	<-srv.snapshots // second's
	if _, ok := first.place(); !ok {
		t.Fatal("no place")
	}
	eventually.Must(t, "the place of a slow viewer", func() bool { return len(srv.snapshots) == 0 })
}
