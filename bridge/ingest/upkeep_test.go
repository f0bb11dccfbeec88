package ingest

import (
	"os"
	"testing"
	"time"

	"golang.org/x/crypto/bcrypt"

	"plumbline/bridge/internal/eventually"
	"plumbline/bridge/journal"
)

// TestCloseDoesNotWaitForAWill: a disk that hangs under a will that is being stored does not hold up the end.
func TestCloseDoesNotWaitForAWill(t *testing.T) {
	b, _, h := startHeld(t)
	c := dial(t, b, 5).ok(login{id: "c", props: kept1h, will: &willSpec{topic: "w", payload: "gone", props: u32(0x18, 1)}})
	defer h.hold()()
	_ = c.Close()
	h.await(t, 1)
	closesInTime(t, b)
}

// TestSessionOfNobodyIsFree: a session whose user is not in the file any more, or is from before there was one, goes to who comes
// with its client id: nobody else could have it, and its device would be shut out until it expires.
func TestSessionOfNobodyIsFree(t *testing.T) {
	r := &restartable{t: t, dir: t.TempDir()}
	b := r.start()
	s := dial(t, b, 5).ok(login{id: "s", props: kept1h})
	s.sub("cmd/dev/+", 1, nil)
	s.sub("cmd/other/+", 1, nil) // beyond what dev may
	p := dial(t, b, 5).ok(login{id: "p", clean: true})
	leave(t, b, s, "s")
	p.storm("cmd/other/1", 0, 1)
	p.storm("cmd/dev/1", 1, 1)
	r.stop()

	u := users(t)
	r.change = func(o *Options) { o.Users = u }
	b = r.start()
	defer r.stop()
	s = dial(t, b, 5)
	if body := s.connect(login{id: "s", user: "dev", password: "pw", props: kept1h}); body[0] != 1 || body[1] != 0 {
		t.Fatalf("CONNACK %x, want the session from before there were users", body)
	}
	if g := s.next(); g.topic != "cmd/dev/1" {
		t.Errorf("%+v, want only what dev may have", g)
	}
	leave(t, b, s, "s")
	if body := dial(t, b, 5).connect(login{id: "s", user: "all", password: "pw", props: kept1h}); body[1] != 0x85 {
		t.Errorf("dev's session for all: %#x, want 0x85", body[1])
	}
	hash, err := bcrypt.GenerateFromPassword([]byte("pw"), bcrypt.MinCost)
	if err != nil {
		t.Fatal(err)
	}
	if err := u.set([]User{{Name: "renamed", Hash: string(hash), Subscribe: []string{"cmd/dev/#"}}}); err != nil {
		t.Fatal(err)
	}
	if body := dial(t, b, 5).connect(login{id: "s", user: "renamed", password: "pw", props: kept1h}); body[0] != 1 || body[1] != 0 {
		t.Errorf("CONNACK %x, want the session of the user who is gone", body)
	}
}

// TestSessionLimit: beyond MaxSessions nobody gets a session that outlives its connection; who has one may come back, and a place
// that is free again is given.
func TestSessionLimit(t *testing.T) {
	b, _ := start(t, func(o *Options) { o.MaxSessions = 2 })
	dial(t, b, 5).ok(login{id: "one", props: kept1h})
	dial(t, b, 4).ok(login{id: "two"})
	if body := dial(t, b, 5).connect(login{id: "three", props: kept1h}); body[1] != 0x97 {
		t.Errorf("a third session: %#x, want 0x97", body[1])
	}
	if body := dial(t, b, 4).connect(login{id: "three"}); body[1] != 3 {
		t.Errorf("a third session, 3.1.1: %d, want 3 (server unavailable)", body[1])
	}
	dial(t, b, 5).ok(login{id: "three"}) // which ends with its connection
	dial(t, b, 5).ok(login{id: "one", props: kept1h})
	dial(t, b, 5).ok(login{id: "one", clean: true})
	dial(t, b, 5).ok(login{id: "four", props: kept1h})
}

// TestSessionExpires [MQTT-3.1.2-23]: a session left alone for its interval is gone, with its file, and its place is free.
func TestSessionExpires(t *testing.T) {
	r := &restartable{t: t, dir: t.TempDir()}
	b := r.start()
	defer r.stop()
	c := dial(t, b, 5).ok(login{id: "s", props: u32(0x11, 1)})
	c.sub("x", 1, nil)
	begin := time.Now()
	leave(t, b, c, "s")
	eventually.Must(t, "the end of the session", func() bool {
		_, err := os.Stat(b.sessions.store.path("s"))
		return os.IsNotExist(err)
	})
	if took := time.Since(begin); took < time.Second {
		t.Errorf("gone after %s, its interval is 1 s", took)
	}
	if body := dial(t, b, 5).connect(login{id: "s", props: kept1h}); body[0] != 0 || body[1] != 0 {
		t.Errorf("CONNACK %x, want a new session", body)
	}
}

// TestRetainedOfAnotherJournal: what a new subscription had still to get is counted in the new journal's offsets.
func TestRetainedOfAnotherJournal(t *testing.T) {
	b, _ := start(t, nil)
	k := &kept{ID: "s", Epoch: "gone", Cursor: 90, Subs: []keptSub{{Filter: "a", Since: 90, RetainedFrom: 50, RetainedTo: 90}, {Filter: "b", Since: 5, RetainedFrom: 5, RetainedTo: 5}}}
	s := restore(b.sessions, k, journal.Cursor{Epoch: "new", Offset: 7})
	for filter, want := range map[string][3]uint64{"a": {7, 0, 7}, "b": {5, 5, 5}} {
		if sub := s.subs[filter]; [3]uint64{sub.since, sub.retainedFrom, sub.retainedTo} != want {
			t.Errorf("%s: since %d, retained after %d to %d; want %d", filter, sub.since, sub.retainedFrom, sub.retainedTo, want)
		}
	}
}

// TestDelayedWillSurvivesARestart: the will of a device that died before the restart is due after it, unless the device is back;
// session and will belong together (MQTT 5 section 4.1).
func TestDelayedWillSurvivesARestart(t *testing.T) {
	r := &restartable{t: t, dir: t.TempDir()}
	b := r.start()
	for id, delay := range map[string]uint32{"dead": 1, "back": 1, "later": 3600} {
		props := cat(u32(0x18, delay), []byte{0x03}, str("text/plain"))
		_ = dial(t, b, 5).ok(login{id: id, props: kept1h, will: &willSpec{topic: "w/" + id, payload: id, qos: 1, retain: true, props: props}}).Close()
	}
	waitWill(t, b, "delayed", 3)
	for _, id := range []string{"dead", "back", "later"} {
		leave(t, b, dial(t, b, 5), id) // saved
	}
	r.stop()

	b = r.start()
	dial(t, b, 5).ok(login{id: "back", props: kept1h})
	e := waitStored(t, r.j, 1)
	if e[0].Topic != "w/dead" || string(e[0].Payload) != "dead" || e[0].QoS != 1 || !e[0].Retain || len(e[0].Meta) == 0 {
		t.Errorf("stored %+v", e[0])
	}
	waitWill(t, b, "cancelled", 1)
	eventually.Must(t, "the will to be settled in the file", func() bool {
		k, err := b.sessions.store.read(b.sessions.store.path("dead"))
		return err == nil && k.Will == nil
	})
	r.stop()

	b = r.start() // what was sent, or settled, is not sent once more; what is due later still is
	defer r.stop()
	dial(t, b, 5).ok(login{id: "later", clean: true})
	if e := waitStored(t, r.j, 2); e[1].Topic != "w/later" || len(e) != 2 {
		t.Errorf("stored %d, the second to %s", len(e), e[1].Topic)
	}
	waitWill(t, b, "sent", 1)
	if got := counted(t, b, "sent"); got != 1 {
		t.Errorf("%v wills sent after the second restart, want one", got)
	}
}
