package wire

import (
	"fmt"
	"testing"
	"time"
)

// TestGate: a burst of twice the rate passes, then the rate, and those turned away are spread over the time that letting all
// of them in takes.
func TestGate(t *testing.T) {
	now := time.Unix(0, 0)
	g := newTurnstile(100, now)
	count := func(n int) (passed int, spread time.Duration) {
		for range n {
			if wait, ok := g.pass(now); ok {
				passed++
			} else {
				spread = wait
			}
		}
		return passed, spread
	}
	if passed, spread := count(10_000); passed != 200 || spread != 98*time.Second {
		t.Errorf("burst: %d passed, spread %s", passed, spread)
	}
	now = now.Add(time.Second)
	if passed, spread := count(10_000); passed != 100 || spread != longestReturn {
		t.Errorf("a second later: %d passed, spread %s", passed, spread)
	}
	now = now.Add(time.Hour)
	if passed, spread := count(201); passed != 200 || spread != time.Second {
		t.Errorf("an hour later: %d passed, spread %s", passed, spread)
	}
	if _, ok := newTurnstile(0, now).pass(now); !ok {
		t.Error("no limit, and not passed")
	}
}

func TestFaults(t *testing.T) {
	now := time.Unix(0, 0)
	var f faults
	for range faultBurst {
		if wait := f.wait("anna", now); wait != 0 {
			t.Fatalf("turned away for %s within the burst", wait)
		}
		f.note("anna", now)
	}
	if wait := f.wait("anna", now); wait != time.Second {
		t.Errorf("after the burst: %s", wait)
	}
	if wait := f.wait("ben", now); wait != 0 {
		t.Errorf("another subject waits %s", wait)
	}
	if wait := f.wait("anna", now.Add(time.Second)); wait != 0 {
		t.Errorf("a second later: %s", wait)
	}
	for i := range 3 * maxFaulty {
		f.note(fmt.Sprint(i), now)
	}
	if len(f.seen) > maxFaulty {
		t.Errorf("%d subjects are remembered", len(f.seen))
	}
	if wait := f.wait("anna", now); wait == 0 {
		t.Error("the worst one was forgotten for the sake of many with one fault")
	}
}

func TestIDSet(t *testing.T) {
	var s idSet
	for _, id := range []uint32{1, 63, 64, 511, 512, 1 << 20, 700_000} {
		if !s.add(id) || s.add(id) {
			t.Errorf("%d", id)
		}
	}
	if s.add(1) || !s.add(2) {
		t.Error("the set forgot or invented")
	}
}

// TestClock rings each session at its time, in order, and not one that no longer asks for it.
func TestClock(t *testing.T) {
	srv := &Server{opts: Options{Heartbeat: time.Hour}, clock: newClock()}
	open := func() *session {
		return &session{srv: srv, nc: &viewerConn{clock: srv.clock}, live: true, last: make(chan struct{}), writing: true}
	}
	const sessions = 50
	var all []*session
	for i := range sessions {
		s := open()
		s.mu.Lock()
		s.times.beat = s.after(time.Duration(i%7) * time.Millisecond)
		s.wind()
		s.mu.Unlock()
		all = append(all, s)
	}
	never := open()
	never.mu.Lock()
	never.times.beat = never.after(20 * time.Millisecond)
	never.wind()
	never.finished = true
	never.wind()
	never.mu.Unlock()
	beats := func(s *session) bool {
		s.mu.Lock()
		defer s.mu.Unlock()
		return s.beat
	}
	deadline := time.After(time.Minute)
	look := time.NewTicker(time.Millisecond)
	defer look.Stop()
	for _, s := range all {
		for !beats(s) {
			select {
			case <-look.C:
			case <-deadline:
				t.Fatal("still waiting for a heartbeat")
			}
		}
	}
	srv.clock.mu.Lock()
	queued := len(srv.clock.queue)
	srv.clock.mu.Unlock()
	if queued != sessions {
		t.Errorf("%d in the queue, want each once, for its next heartbeat", queued)
	}
	for _, s := range all {
		s.mu.Lock()
		s.finished = true
		s.wind()
		s.mu.Unlock()
	}
	if beats(never) || len(srv.clock.queue) != 0 {
		t.Error("one that has finished was rung, or stays")
	}
}

// TestOneHostIsOneAddress: a host that takes another address of its /64 for each connection has no more places for it.
func TestOneHostIsOneAddress(t *testing.T) {
	s := &Server{opts: Options{MaxConnections: 10, MaxPerAddress: 2}, perAddr: map[string]int{}}
	for _, tc := range []struct{ addr, want string }{
		{"2001:db8::1", ""}, {"2001:db8::2", ""}, {"2001:db8::3", "address-limit"}, {"2001:db8:0:1::1", ""},
		{"192.0.2.1", ""}, {"192.0.2.1", ""}, {"192.0.2.1", "address-limit"}, {"192.0.2.2", ""},
	} {
		if got := s.admit(tc.addr); got != tc.want {
			t.Errorf("%s: %q, want %q", tc.addr, got, tc.want)
		}
	}
	for _, addr := range []string{"2001:db8::2", "2001:db8::1", "2001:db8:0:1::1", "192.0.2.1", "192.0.2.1", "192.0.2.2"} {
		s.release(addr)
	}
	if len(s.perAddr) != 0 || s.places != 0 {
		t.Errorf("%d places are taken, by %v", s.places, s.perAddr)
	}
}
