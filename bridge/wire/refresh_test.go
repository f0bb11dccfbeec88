package wire

import (
	"strings"
	"testing"

	"plumbline/bridge/auth"
	"plumbline/bridge/journal"
)

// TestRefreshTellsAnEndBeforeAHeartbeat: a heartbeat that comes just after a new token has ended a subscription leaves it out, which a
// viewer may take only after the subscription's end.
func TestRefreshTellsAnEndBeforeAHeartbeat(t *testing.T) {
	j, err := journal.Open(journal.Options{Dir: t.TempDir(), Sync: journal.SyncMemory})
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = j.Close() }()
	s := quiet(nil)
	s.srv.opts.Journal = j
	s.live, s.beat = true, true
	s.subs = []*sub{{id: 1, filter: "a"}, {id: 2, filter: "b"}}
	id := auth.Identity{Grants: auth.Viewing("a")}
	if dropped, full := s.regrant(id, false); len(dropped) != 1 || dropped[0].id != 2 || full {
		t.Fatalf("dropped %v, full %v", dropped, full)
	}
	w := turn{s: s}
	w.fill()
	sent := string(w.buf)
	ok, end, beat := strings.Index(sent, `"authok"`), strings.Index(sent, `"suberr","id":2,`), strings.Index(sent, `"heartbeat"`)
	if ok < 0 || end < ok || beat < end || !strings.Contains(sent, `"cursors":{"1":0}`) {
		t.Errorf("sent %q, want authok, suberr for 2, a heartbeat for 1", sent)
	}
	s.control = make([]byte, maxControl)
	if _, full := s.regrant(id, false); !full {
		t.Error("answers are queued that have no room")
	}
}

// TestRefreshThatEndsMany: a new token may end more subscriptions than there is room for answers that a viewer does not read; a viewer that
// has read all so far is told of each.
func TestRefreshThatEndsMany(t *testing.T) {
	s := quiet(nil)
	s.live = true
	const many = 3000
	for i := range int64(many) {
		s.subs = append(s.subs, &sub{id: i, filter: "b"})
	}
	dropped, full := s.regrant(auth.Identity{}, false)
	if len(dropped) != many || full || strings.Count(string(s.control), `"suberr"`) != many {
		t.Fatalf("%d dropped, full %v, %d answers", len(dropped), full, strings.Count(string(s.control), `"suberr"`))
	}
	if s.queue([]byte("x")) {
		t.Error("more is queued behind them before they are read")
	}
}
