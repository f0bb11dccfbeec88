package wire

import (
	"bytes"
	"log/slog"
	"strings"
	"testing"
	"testing/synctest"

	"plumbline/bridge/hub"
	"plumbline/bridge/journal"
	"plumbline/bridge/metrics"
)

// following is a session with one subscription that has a reading to write; whatever writes is called by hand.
func following(t *testing.T) (*session, *sub) {
	t.Helper()
	j, err := journal.Open(journal.Options{Dir: t.TempDir(), Sync: journal.SyncMemory})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = j.Close() })
	if _, _, err := j.Append(t.Context(), journal.Message{Topic: "a", Payload: []byte("kept")}); err != nil {
		t.Fatal(err)
	}
	h := hub.New(j, hub.Options{})
	b := &sub{id: 1, filter: "a", prefix: dialect{}.batchPrefix(1), release: func() {}}
	b.stream, _, err = h.Subscribe(hub.SubscribeOptions{Filter: "a", Since: &journal.Cursor{Epoch: j.Epoch()}})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(b.stream.Close)
	b.ready.Store(true)
	s := quiet(&lateClose{})
	s.srv.opts.Journal, s.srv.log, s.srv.m = j, slog.New(slog.DiscardHandler), metrics.New()
	s.live, s.writing, s.subs = true, true, []*sub{b}
	return s, b
}

// TestAnEndInOrderBringsWhatIsThere: a session that ends with the bridge gets what its subscriptions hold, and then its close frame; one
// that ends for another reason gets nothing more.
func TestAnEndInOrderBringsWhatIsThere(t *testing.T) {
	for code, more := range map[CloseCode]bool{CloseDrain: true, CloseGoingAway: true, CloseRevoked: false, CloseMisuse: false} {
		synctest.Test(t, func(t *testing.T) { // there is a limit of time, which a busy machine must not reach
			s, _ := following(t)
			s.shut(code, "x", 0)
			var sent []byte
			for w := (turn{s: s}); !w.last; {
				w.fill()
				sent = append(sent, w.buf...)
			}
			rest, whole := bytes.CutSuffix(sent, s.closeMsg)
			if !whole || strings.Contains(string(rest), `"kept"`) != more {
				t.Errorf("%d: sent %q", code, sent)
			}
		})
	}
}

// TestUnsubIsToldBeforeAHeartbeat: a heartbeat that comes while a subscription is being ended names it, or comes after the answer.
func TestUnsubIsToldBeforeAHeartbeat(t *testing.T) {
	s, b := following(t)
	s.beat = true
	w := turn{s: s}
	b.release = w.fill // between the first step and the last
	s.unsubscribe(&command{id: raw{json: []byte("1")}})
	sent := string(w.buf)
	if end, beat := strings.Index(sent, `"unsubok"`), strings.Index(sent, `"heartbeat"`); beat < 0 || !strings.Contains(sent, `"cursors":{}`) || end < 0 || beat < end {
		t.Errorf("sent %q, want unsubok, then a heartbeat without it", sent)
	}
}
