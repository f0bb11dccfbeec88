package viewer

import (
	"context"
	"errors"
	"fmt"
	"net"
	"strconv"
	"time"

	"plumbline/harness/record"
)

// connectLimit bounds making a connection, and again all from there to the last
// confirmed subscription.
const connectLimit = 10 * time.Second

// dialect speaks one protocol for one viewer. It keeps what outlives a
// connection, for example how far a subscription has got. What is the same in
// every protocol is the viewer's: reconnecting, waits, counters, events.
type dialect interface {
	// dial makes a connection and does what comes before the first message of
	// the protocol. A server that says no is a *RefusedError. ctx ends after
	// dial has returned: a session must not hang on it.
	dial(ctx context.Context, token string) (session, error)
	// subscribed reports whether every filter is subscribed in the present
	// session. It is called with the viewer's lock held.
	subscribed() bool
}

// positioned is a dialect whose server numbers what it sends. Both methods are
// called with the viewer's lock held.
type positioned interface {
	cursor(filter string) Cursor
	reached(offset uint64) bool // by every subscription
}

// session is one connection. enter and step are called by one goroutine, the
// other methods by any.
type session interface {
	// enter shows the token where that is part of the protocol, subscribes to
	// every filter and returns when all are confirmed. It calls admitLocked as
	// soon as the server has accepted the viewer. A refused subscription is a
	// *RefusedError, whose event enter has written. close ends it.
	enter() error
	// step reads and handles one frame. Its error ends the session; that of
	// tookLocked is among them.
	step() error
	// ending tells what the error of enter or step means.
	ending(err error) ending
	// goodbye says that the viewer leaves. After nil the server's answer ends step.
	goodbye() error
	// close drops the connection. It is idempotent.
	close()
}

// ending is how a session ended, in words that all protocols share. The zero
// value is a connection that merely broke.
type ending struct {
	code   int           // of the close frame, or of the packet; 0 when there was none
	packet string        // see RefusedError
	reason string        // as the server put it
	retry  time.Duration // how long it asked to wait
}

// refusal turns an ending into the error that says so.
func (v *Viewer) refusal(e ending) *RefusedError {
	return &RefusedError{Code: e.code, Packet: e.packet, Reason: v.tokens.excerpt(e.reason, textLimit), Retry: e.retry}
}

// newDialect returns the dialect that the settings name.
func newDialect(v *Viewer) (dialect, error) {
	switch v.cfg.Protocol {
	case "", Plumbline:
		return newPlumbline(v), nil
	case MQTT:
		return newMQTT(v)
	case JSON:
		return newJSON(v)
	case SSE:
		return newSSE(v)
	case Poll:
		return newPoll(v)
	default:
		return nil, fmt.Errorf("protocol %q is not spoken", v.cfg.Protocol)
	}
}

// connect makes a session and returns when every filter is subscribed. Tokens
// are kept out of its errors.
func (v *Viewer) connect(ctx context.Context) (session, error) {
	over, err := v.cfg.Turn.take(ctx)
	if err != nil {
		return nil, err
	}
	defer over()
	token := ""
	if v.cfg.Token != nil && v.cfg.Place.In != InNone {
		if token, err = v.cfg.Token(ctx); err != nil {
			return nil, fmt.Errorf("token: %w", err)
		}
	}
	s, err := v.dial(ctx, v.tokens.add(token))
	if err != nil {
		return nil, v.tokens.conceal(err)
	}
	ctx, cancel := context.WithTimeoutCause(ctx, v.cfg.connectLimit, fmt.Errorf("not subscribed within %v", v.cfg.connectLimit))
	defer cancel()
	unwatch := context.AfterFunc(ctx, s.close)
	err = s.enter()
	if !unwatch() && (err == nil || errors.Is(err, net.ErrClosed)) {
		err = context.Cause(ctx) // the connection was closed under us
	}
	if err != nil {
		s.close()
		return nil, v.tokens.conceal(v.failed(s, err))
	}
	return s, nil
}

// dial bounds the dialect's dial and writes a refusal down.
func (v *Viewer) dial(ctx context.Context, token string) (session, error) {
	ctx, cancel := context.WithTimeoutCause(ctx, connectLimit, fmt.Errorf("no connection within %v", connectLimit))
	defer cancel()
	s, err := v.dialect.dial(ctx, token)
	var refused *RefusedError
	if errors.As(err, &refused) && refused.Status != 0 {
		v.event(record.Refused, "", "status", strconv.Itoa(refused.Status))
	}
	return s, err
}

// admitLocked notes that the server has accepted a session, which begins to
// count from here on; fields are those of the event.
func (v *Viewer) admitLocked(s session, at int64, fields ...string) {
	v.session = s
	v.counters.Connects++
	v.eventAt(at, record.Connected, "", fields...)
}

// failed turns the end of a session that never got going into its reason.
func (v *Viewer) failed(s session, err error) error {
	v.mu.Lock()
	admitted := v.session != nil
	v.session = nil
	v.mu.Unlock()
	e := s.ending(err)
	var refused *RefusedError
	switch {
	case errors.As(err, &refused):
		return err
	case e.code != 0 && !admitted:
		v.event(record.Refused, e.reason, "code", strconv.Itoa(e.code), "packet", e.packet)
	case admitted:
		v.noteDisconnect(e, err)
	}
	if e.code != 0 {
		return v.refusal(e)
	}
	return err
}

// serve handles frames until the connection ends.
func (v *Viewer) serve(s session) error {
	unwatch := context.AfterFunc(v.ctx, s.close)
	defer unwatch()
	for {
		if err := s.step(); err != nil {
			return err
		}
	}
}

// disconnected writes the end of a session down. ended is true when the viewer
// is over; otherwise hint is how long the server asked to wait.
func (v *Viewer) disconnected(s session, err error) (hint time.Duration, ended bool) {
	e := s.ending(err)
	v.mu.Lock()
	v.session = nil
	closing := v.closing
	v.mu.Unlock()
	if closing {
		e.reason = record.ReasonClosed
	}
	v.noteDisconnect(e, err)
	if closing {
		return 0, true
	}
	refused := v.refusal(e)
	if final(refused) || final(err) || v.cfg.Reconnect.Off {
		if e.code != 0 {
			refused.Retry = 0 // nobody will try
			err = refused
		}
		v.end(v.tokens.conceal(err))
		return 0, true
	}
	return max(min(e.retry, time.Minute), retryAfter(err)), false
}

func (v *Viewer) noteDisconnect(e ending, err error) {
	fields := []string{"code", strconv.Itoa(e.code), "packet", e.packet, "reason", e.reason}
	var timeout net.Error
	switch {
	case errors.As(err, &timeout) && timeout.Timeout():
		fields = append(fields, "error", "silence")
	case e.code == 0 && err != nil:
		fields = append(fields, "error", err.Error())
	}
	v.mu.Lock()
	v.counters.Disconnects++
	v.counters.LastClose = e.code
	v.mu.Unlock()
	v.keep(v.clock.Now(), record.Disconnected, "", fields...)
}
