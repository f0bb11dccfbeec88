package agent

import (
	"context"
	"errors"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"plumbline/harness/record"
)

// However many wait for viewers of one agent, it is asked by one at a time, and each
// gets an answer to a question that was put after it came.
func TestManyWaitForViewersOfOneAgent(t *testing.T) {
	const most = 1000 // far more than the calls that an agent serves at once
	a := start(t, nil)
	s, _ := open(t, dial(t, a.target))
	v, err := s.View(t.Context(), newBoard(t).view("viewer-01"), nil)
	if err != nil {
		t.Fatal(err)
	}
	errs := make([]error, most)
	var all sync.WaitGroup
	for i := range errs {
		all.Go(func() { errs[i] = v.WaitReceived(limit(t), v.status().Counters.Received+3) })
	}
	all.Wait()
	if err := errors.Join(errs...); err != nil {
		t.Fatal(err)
	}
	s.mu.Lock()
	before := s.asked
	s.mu.Unlock()
	if err := s.refresh(limit(t), ""); err != nil {
		t.Fatal(err)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.answered <= before {
		t.Errorf("question %d is answered, %d were put before", s.answered, before)
	}
	if err := v.status().Err; err != "" {
		t.Errorf("the viewer has ended: %s", err)
	}
}

// When the run is over, nobody waits for an agent that does not answer, and it is said
// what was waited for.
func TestTheEndOfTheRunHastensClose(t *testing.T) {
	a := start(t, nil)
	line := newLine(t, a.target.Address)
	target := a.target
	target.Address = line.address()
	h := dial(t, target)
	h.patience = time.Hour
	ctx, over := context.WithCancel(t.Context())
	defer over()
	s, err := h.Open(ctx, SessionConfig{
		Run: run, Dir: filepath.Join(t.TempDir(), "agent-1"), Clock: record.NewClock(), Plausible: func() uint64 { return 1_000_000 },
	})
	if err != nil {
		t.Fatal(err)
	}
	s.grace = 10 * time.Millisecond
	_ = line.listener.Close() // nobody comes through any more
	line.cut()
	over()
	closed := make(chan error, 1)
	go func() { closed <- s.Close() }()
	select {
	case err := <-closed:
		if !errors.Is(err, ErrLost) || !strings.Contains(err.Error(), "for its viewers to end") || !strings.Contains(err.Error(), "the run ended") {
			t.Errorf("closing gave %v", err)
		}
	case <-limit(t).Done():
		t.Error("closing waits for an agent that is gone, though the run is over")
	}
}
