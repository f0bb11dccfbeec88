package main

import (
	"context"
	"os"
	"os/signal"
	"sync"
	"syscall"

	"plumbline/harness/cmd/plumbline/internal/exit"
	"plumbline/reports"
)

// signals returns a context that the first SIGINT or SIGTERM ends, so that a
// run writes what it has; the second leaves at once through quit. stop ends
// the listening and returns when its goroutine has ended.
func signals(parent context.Context, quit func(code int)) (ctx context.Context, stop func()) {
	ctx, cancel := context.WithCancelCause(parent)
	caught := make(chan os.Signal, 2)
	signal.Notify(caught, os.Interrupt, syscall.SIGTERM)
	finished, ended := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(ended)
		select {
		case <-caught:
			cancel(exit.ErrInterrupted)
		case <-finished:
			return
		}
		select {
		case <-caught:
			quit(reports.ExitInterrupted)
		case <-finished:
		}
	}()
	return ctx, func() {
		signal.Stop(caught)
		close(finished)
		<-ended
		cancel(nil)
	}
}

// farewell is what is still to be done when the program is told to leave at once.
// The nil farewell is nothing.
type farewell struct {
	mu sync.Mutex
	do func()
}

// set puts do in the place of what was to be done before.
func (f *farewell) set(do func()) {
	if f == nil {
		return
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	f.do = do
}

// say does it.
func (f *farewell) say() {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.do != nil {
		f.do()
	}
}
