package agent

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"time"

	"plumbline/harness/remote"
)

// ErrLost says that an agent is gone, or that what it recorded did not arrive
// whole: what a system under test did there is not known.
var ErrLost = errors.New("the agent is lost")

// comeBack is the patience of a Host.
const comeBack = 15 * time.Second

// Host is an agent as the harness has it. Its methods may be called from any
// goroutine.
type Host struct {
	target Target
	secret []byte
	about  About
	log    *slog.Logger
	// patience is how long an agent that cannot be reached is dialled again.
	patience time.Duration
	own      *process // that Launch started; nil for an agent that was dialled

	mu     sync.Mutex
	link   *remote.Link // nil while there is none
	closed bool
}

// Dial connects to an agent, once. Close ends it. Errors wrap ErrCertificate or
// ErrRefused, or are those of the network.
func Dial(ctx context.Context, target Target, secret []byte, log *slog.Logger) (*Host, error) {
	if log == nil {
		log = slog.New(slog.DiscardHandler)
	}
	h := &Host{target: target, secret: secret, log: log, patience: comeBack}
	link, err := h.connected(ctx)
	if err != nil {
		return nil, fmt.Errorf("agent %s: %w", target.Address, err)
	}
	if err := link.Call(ctx, callAbout, struct{}{}, &h.about); err != nil {
		return nil, errors.Join(fmt.Errorf("agent %s: %w", target.Address, err), h.Close())
	}
	return h, nil
}

// Target returns where the agent is.
func (h *Host) Target() Target { return h.target }

// About returns what the agent says of its host.
func (h *Host) About() About { return h.about }

// Close ends the connection, and the process of an agent that Launch started. Sessions end by
// themselves when they were not closed.
func (h *Host) Close() error {
	h.mu.Lock()
	link, first := h.link, !h.closed
	h.closed = true
	h.mu.Unlock()
	if link != nil {
		_ = link.Close() // always nil
	}
	if h.own != nil && first {
		h.own.end()
	}
	return nil
}

// connected returns the link, made anew when it has ended.
func (h *Host) connected(ctx context.Context) (*remote.Link, error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	switch {
	case h.closed:
		return nil, remote.ErrClosed
	case h.link != nil && h.link.Err() == nil:
		return h.link, nil
	case h.own != nil:
		return nil, fmt.Errorf("%w: %w%s", errEnded, h.link.Err(), h.own.said.Last())
	case h.link != nil:
		h.log.Warn("connection to the agent was lost", "agent", h.target.Address, "reason", h.link.Err())
		_ = h.link.Close() // it has ended
		h.link = nil
	}
	conn, err := connect(ctx, h.target, h.secret, forControl)
	if err != nil {
		return nil, err
	}
	link, err := remote.Open(ctx, conn, conn, remote.Config{})
	if err != nil {
		return nil, err
	}
	h.link = link
	return link, nil
}

// call makes the agent do something that may be done twice: over a new
// connection when the old one is lost, until comeBack is over. Its error is a
// *remote.Error that the agent told, that of ctx, or wraps ErrLost.
func (h *Host) call(ctx context.Context, verb string, argument, answer any) error {
	for since := (time.Time{}); ; { // when it was lost: the call itself may take long
		link, err := h.connected(ctx)
		if err == nil {
			err = link.Call(ctx, verb, argument, answer)
		}
		var told *remote.Error
		switch {
		case err == nil:
			return nil
		case errors.As(err, &told):
			if told.Code == codeUnknown {
				return fmt.Errorf("%w: agent %s: %s", ErrLost, h.target.Address, told.Text)
			}
			return told
		case ctx.Err() != nil:
			return ctx.Err()
		case !since.IsZero() && time.Since(since) > h.patience, errors.Is(err, remote.ErrClosed) && h.ended(), errors.Is(err, ErrCertificate), errors.Is(err, ErrRefused), errors.Is(err, errEnded):
			return fmt.Errorf("%w: agent %s: %w", ErrLost, h.target.Address, err)
		}
		if since.IsZero() {
			since = time.Now()
		}
		pause(ctx, 100*time.Millisecond)
	}
}

func (h *Host) ended() bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.closed
}
