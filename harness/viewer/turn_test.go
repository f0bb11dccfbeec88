package viewer

import (
	"context"
	"errors"
	"testing"
	"time"
)

// A viewer connects in its turn, also when it comes back, and leaves its place to others once it is subscribed.
func TestTurn(t *testing.T) {
	s, r := newServer(t), newRecording(t)
	cfg := s.config(r)
	cfg.Turn = NewTurn(1)
	v, err := Open(limit(t), cfg)
	must(t, err)
	defer v.Close()
	cfg.Name = "second"
	cfg.Turn <- struct{}{}
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	if w, err := Open(ctx, cfg); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("it did not wait for its turn: %v, %v", w, err)
	}
	v.Cut()
	<-cfg.Turn
	until := time.Now().Add(time.Minute)
	for c := v.Counters(); c.Connects < 2; c = v.Counters() {
		if time.Now().After(until) {
			t.Fatalf("the first is not back: %+v", c)
		}
		pause(t.Context(), time.Millisecond)
	}
	w, err := Open(limit(t), cfg)
	must(t, err)
	must(t, w.Close())
}
