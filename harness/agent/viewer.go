package agent

import (
	"context"
	"fmt"
	"sync"
	"time"

	"plumbline/harness/viewer"
)

// askEvery is how often a wait asks the agent.
const askEvery = 20 * time.Millisecond

// Viewer is a viewer at an agent. Its methods may be called from any goroutine.
type Viewer struct {
	session *Session
	name    string
	token   func(context.Context) (string, error)

	mu     sync.Mutex
	state  viewerStatus
	minted time.Time // the latest token
}

// Name returns what it was opened as.
func (v *Viewer) Name() string { return v.name }

// Session returns that of the agent which it is a part of.
func (v *Viewer) Session() *Session { return v.session }

func (v *Viewer) set(state viewerStatus) {
	v.mu.Lock()
	defer v.mu.Unlock()
	v.state = state
}

func (v *Viewer) status() viewerStatus {
	v.mu.Lock()
	defer v.mu.Unlock()
	return v.state
}

// renewed returns a new token when it is time for one.
func (v *Viewer) renewed(ctx context.Context) (string, bool) {
	v.mu.Lock()
	due := v.token != nil && time.Since(v.minted) > tokenEvery
	if due {
		v.minted = time.Now()
	}
	v.mu.Unlock()
	if !due {
		return "", false
	}
	token, err := v.token(ctx)
	if err != nil {
		v.session.note(fmt.Errorf("token of viewer %q: %w", v.name, err))
	}
	return token, err == nil
}

// ask asks the agent how its viewers are. One that cannot be reached leaves what
// was known; Session.Close tells of it.
func (v *Viewer) ask() (viewerStatus, error) {
	ctx, cancel := context.WithTimeout(context.Background(), keepLimit)
	defer cancel()
	err := v.session.refresh(ctx, v.name)
	return v.status(), err
}

// Counters returns the totals so far. It asks the agent, which takes a round trip.
func (v *Viewer) Counters() viewer.Counters {
	state, _ := v.ask() // the last that is known
	return state.Counters
}

// Connected reports whether all filters are subscribed at this moment; a viewer
// whose agent cannot be reached is not.
func (v *Viewer) Connected() bool {
	state, err := v.ask()
	return err == nil && state.Connected
}

// WaitReceived waits until n live readings were received in total.
func (v *Viewer) WaitReceived(ctx context.Context, n uint64) error {
	return v.wait(ctx, fmt.Sprintf("%d readings", n), func(s viewerStatus) bool { return s.Counters.Received >= n })
}

// WaitDistinct waits until n different messages were received live in total.
func (v *Viewer) WaitDistinct(ctx context.Context, n uint64) error {
	return v.wait(ctx, fmt.Sprintf("%d different messages", n), func(s viewerStatus) bool { return s.Counters.Distinct() >= n })
}

// WaitIdle waits until no live reading has come for the time quiet.
func (v *Viewer) WaitIdle(ctx context.Context, quiet time.Duration) error {
	since, last := time.Now(), v.status().Counters.Received
	return v.wait(ctx, fmt.Sprintf("%v without readings", quiet), func(s viewerStatus) bool {
		if s.Counters.Received != last {
			since, last = time.Now(), s.Counters.Received
		}
		return time.Since(since) >= quiet
	})
}

func (v *Viewer) wait(ctx context.Context, what string, condition func(viewerStatus) bool) error {
	for {
		if err := v.session.refresh(ctx, v.name); err != nil {
			return fmt.Errorf("viewer %q at agent %s waited for %s: %w", v.name, v.session.host.target.Address, what, err)
		}
		state := v.status()
		switch {
		case condition(state):
			return nil
		case state.Err != "":
			return fmt.Errorf("viewer %q at agent %s has ended: %s", v.name, v.session.host.target.Address, state.Err)
		case !pause(ctx, askEvery):
			return fmt.Errorf("viewer %q at agent %s waited for %s: %w", v.name, v.session.host.target.Address, what, context.Cause(ctx))
		}
	}
}

// Close does nothing: a viewer ends with its session.
func (*Viewer) Close() error { return nil }
