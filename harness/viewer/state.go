package viewer

import (
	"context"
	"errors"
	"fmt"
	"sync/atomic"
	"time"
)

// Errors that callers branch on.
var (
	// ErrClosed is returned by waits on a viewer that was closed.
	ErrClosed = errors.New("viewer: closed")
	// ErrFlood says that a server sent more than can have been published.
	ErrFlood = errors.New("more came than can have been published")
	// ErrNoOffsets says that the protocol of a viewer numbers nothing.
	ErrNoOffsets = errors.New("its protocol tells no offsets")
	// ErrNoReauthorise says that a protocol takes a new token with a new connection only.
	ErrNoReauthorise = errors.New("its protocol takes no new token in a live session")
)

// Cursor is a position in the journal of the system under test.
type Cursor struct {
	Epoch  string
	Offset uint64
}

// Counters are totals since Open.
type Counters struct {
	Received    uint64 // live readings
	Again       uint64 // of those: came before in this recording, or belong to none of its devices
	Restored    uint64 // snapshot readings
	Batches     uint64
	Heartbeats  uint64
	Gaps        uint64 // gaps declared by the server
	Missed      uint64 // journal entries that those gaps declared missing
	Broken      uint64 // breaks of the chain that nobody declared
	Malformed   uint64 // frames that could not be decoded
	Messages    uint64 // frames, events or answers that came
	Bytes       uint64 // of those, without their headers, as they are when nothing is compressed
	Squeezed    uint64 // messages that came compressed
	Saved       uint64 // bytes that this saved
	Conflated   uint64 // readings that the server counts as left out for newer ones of their topic
	Requests    uint64 // HTTP requests that were made, handshakes of WebSockets among them
	Sent        uint64 // messages that were sent over a WebSocket, without control frames
	SentBytes   uint64 // of those, without their headers
	Connects    uint64 // sessions welcomed
	Disconnects uint64
	LastClose   int // close code of the last disconnection, 0 when there was none
}

// Distinct is how many different messages of the recording were received live. What
// is known by its payload only cannot be told from another: each counts.
func (c Counters) Distinct() uint64 { return c.Received - min(c.Again, c.Received) }

// Counters returns the totals so far.
func (v *Viewer) Counters() Counters {
	v.mu.Lock()
	defer v.mu.Unlock()
	c := v.counters
	c.Requests, c.Sent, c.SentBytes = v.said.requests.Load(), v.said.messages.Load(), v.said.bytes.Load()
	return c
}

// said counts what a viewer says; its goroutines do so without the viewer's lock.
type said struct{ requests, messages, bytes atomic.Uint64 }

// Cursor returns how far the subscription has got, the zero Cursor for a
// filter that was not asked for and for a protocol that numbers nothing.
func (v *Viewer) Cursor(filter string) Cursor {
	v.mu.Lock()
	defer v.mu.Unlock()
	if d, ok := v.dialect.(positioned); ok {
		return d.cursor(filter)
	}
	return Cursor{}
}

// Done is closed when the viewer has ended: by Close, or because the server
// refused it for good (Err says why).
func (v *Viewer) Done() <-chan struct{} { return v.done }

// Err says why the viewer ended; nil while it works and after Close.
func (v *Viewer) Err() error {
	v.mu.Lock()
	defer v.mu.Unlock()
	return v.err
}

// Connected reports whether all filters are subscribed at this moment.
func (v *Viewer) Connected() bool {
	v.mu.Lock()
	defer v.mu.Unlock()
	return v.subscribedLocked()
}

func (v *Viewer) subscribedLocked() bool { return v.session != nil && v.dialect.subscribed() }

// WaitOffset waits until every subscription has got to offset. A filter that
// leaves nothing gets there too, with the server's next sign of progress. The
// error wraps ErrNoOffsets at once when the protocol numbers nothing.
func (v *Viewer) WaitOffset(ctx context.Context, offset uint64) error {
	d, ok := v.dialect.(positioned)
	if !ok {
		return fmt.Errorf("viewer: %q waits for offset %d: %w", v.cfg.Name, offset, ErrNoOffsets)
	}
	return v.wait(ctx, fmt.Sprintf("offset %d", offset), func() bool { return d.reached(offset) })
}

// WaitReceived waits until n live readings were received in total.
func (v *Viewer) WaitReceived(ctx context.Context, n uint64) error {
	return v.wait(ctx, fmt.Sprintf("%d readings", n), func() bool { return v.counters.Received >= n })
}

// WaitDistinct waits until n different messages were received live in total.
func (v *Viewer) WaitDistinct(ctx context.Context, n uint64) error {
	return v.wait(ctx, fmt.Sprintf("%d different messages", n), func() bool { return v.counters.Distinct() >= n })
}

// WaitConnected waits until all filters are subscribed in session n or a later
// one, counted from 1.
func (v *Viewer) WaitConnected(ctx context.Context, n uint64) error {
	return v.wait(ctx, fmt.Sprintf("session %d", n), func() bool { return v.counters.Connects >= n && v.subscribedLocked() })
}

// WaitIdle waits until no live reading has come for the time quiet, counted
// from the last one or from the call.
func (v *Viewer) WaitIdle(ctx context.Context, quiet time.Duration) error {
	since := time.Now()
	for {
		v.mu.Lock()
		if v.last.After(since) {
			since = v.last
		}
		over := v.endedLocked()
		v.mu.Unlock()
		rest := quiet - time.Since(since)
		switch {
		case rest <= 0:
			return nil
		case over != nil:
			return over
		case !pause(ctx, rest):
			return fmt.Errorf("viewer: %q waited for %v without readings: %w", v.cfg.Name, quiet, context.Cause(ctx))
		}
	}
}

// wait blocks until condition, called under the lock, holds.
func (v *Viewer) wait(ctx context.Context, what string, condition func() bool) error {
	for {
		v.mu.Lock()
		if condition() {
			v.mu.Unlock()
			return nil
		}
		over, changed := v.endedLocked(), v.changed
		v.waiting = true
		v.mu.Unlock()
		if over != nil {
			return over
		}
		select {
		case <-changed:
		case <-ctx.Done():
			return fmt.Errorf("viewer: %q waited for %s: %w", v.cfg.Name, what, context.Cause(ctx))
		}
	}
}

// endedLocked says why nothing will come any more, nil when something may.
func (v *Viewer) endedLocked() error {
	if v.closing {
		return ErrClosed
	}
	if v.err != nil {
		return fmt.Errorf("viewer: %q has ended: %w", v.cfg.Name, v.err)
	}
	return nil
}

// wakeLocked lets those who wait look again.
func (v *Viewer) wakeLocked() {
	if v.waiting {
		close(v.changed)
		v.changed, v.waiting = make(chan struct{}), false
	}
}
