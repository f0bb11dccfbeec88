package client

import (
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"github.com/gorilla/websocket"
)

// ErrClosed is what everything returns after Close.
var ErrClosed = errors.New("client: closed")

// ErrBroken is wrapped by errors about something undeclared that is missing or does not add up.
var ErrBroken = errors.New("the bridge's account does not add up")

// errSilent ends a connection on which nothing came for too long.
var errSilent = errors.New("client: nothing was heard for longer than the heartbeat allows")

// errLate ends a connection whose welcome does not come.
var errLate = errors.New("client: no welcome in time")

// CloseError is the bridge's reason to end a session (PROTOCOL.md section 4).
type CloseError struct {
	Code   int
	Reason string
	Retry  time.Duration // asked for; negative = not said
}

// Error implements error.
func (e *CloseError) Error() string {
	return fmt.Sprintf("client: closed by the bridge: %d %s", e.Code, e.Reason)
}

// HandshakeError is a refusal before the session (PROTOCOL.md section 1).
type HandshakeError struct {
	Status int
	Reason string
	Retry  time.Duration // of Retry-After; negative = not said
}

// Error implements error.
func (e *HandshakeError) Error() string {
	return fmt.Sprintf("client: handshake refused: %d %s", e.Status, e.Reason)
}

// SubscribeError ends one Subscription; the Client goes on.
type SubscribeError struct {
	Filter, Reason, Detail string // Reason as in PROTOCOL.md section 2.3
}

// Error implements error.
func (e *SubscribeError) Error() string {
	return fmt.Sprintf("client: subscription %q ended by the bridge: %s: %s", e.Filter, e.Reason, e.Detail)
}

// maxRetry bounds the wait that the bridge may ask for, so that a mistake there is not for ever.
const maxRetry = 10 * time.Minute

// closeError reads the reason of a close frame.
func closeError(ce *websocket.CloseError) *CloseError {
	out := &CloseError{Code: ce.Code, Reason: ce.Text, Retry: -1}
	var m message
	if json.Unmarshal([]byte(ce.Text), &m) != nil {
		return out
	}
	if reason, ok := m.text("reason"); ok {
		out.Reason = reason
	}
	if ms, ok := m.whole("retry_ms"); ok {
		out.Retry = retryAfter(ms)
	}
	return out
}

func retryAfter(ms uint64) time.Duration {
	return time.Duration(min(ms, uint64(maxRetry.Milliseconds()))) * time.Millisecond
}

// advice is what to do after the end of a session.
type advice int

const (
	again   advice = iota // connect anew after a wait
	atOnce                // connect anew without one
	grow                  // connect anew after a wait that grows, welcome or not
	retoken               // connect anew if there is another token
	stop                  // connecting unchanged would end the same way
)

// advise says what to do after err. For codes: PROTOCOL.md section 4; for statuses: section 1 and RFC 9110.
func advise(err error) advice {
	var closed *CloseError
	var refused *HandshakeError
	switch {
	case errors.As(err, &closed):
		return adviseCode(closed.Code)
	case errors.As(err, &refused):
		switch s := refused.Status; {
		case s == 408 || s == 425 || s == 429 || s >= 500:
			return again
		default:
			return stop
		}
	case errors.Is(err, errTooBig):
		return stop
	case errors.Is(err, ErrBroken):
		return grow
	}
	return again
}

func adviseCode(code int) advice {
	switch {
	case code == 1002 || code == 1003 || code == 1007 || code == 1009:
		return stop
	case code == 1008 || code == 1011 || code == 1013:
		return grow
	case code == 4002:
		return retoken
	case code >= 4000 && code < 4100:
		return stop
	case code >= 4100 && code < 4200:
		return grow
	case code >= 4200 && code < 4300:
		return atOnce
	}
	return again
}

// retryOf returns the wait that the bridge asked for, negative when it did not.
func retryOf(err error) time.Duration {
	var closed *CloseError
	if errors.As(err, &closed) {
		return closed.Retry
	}
	var refused *HandshakeError
	if errors.As(err, &refused) {
		return refused.Retry
	}
	return -1
}
