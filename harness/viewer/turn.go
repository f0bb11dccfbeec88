package viewer

import (
	"context"
	"fmt"
)

// Turn lets so many viewers connect at a time as it has places. Without one thousands of a
// process that are cut off at once wait for its processor in the midst of their handshakes,
// until those are too old for the server, and have to begin anew.
type Turn chan struct{}

// NewTurn makes a Turn of n places.
func NewTurn(n int) Turn { return make(Turn, n) }

// take waits for a place until ctx ends, and returns how it is given back.
func (t Turn) take(ctx context.Context) (over func(), err error) {
	if t == nil {
		return func() {}, nil
	}
	select {
	case t <- struct{}{}:
		return func() { <-t }, nil
	case <-ctx.Done():
		return nil, fmt.Errorf("%d others were connecting all the time: %w", cap(t), context.Cause(ctx))
	}
}
