package history

import (
	"context"
	"time"
)

// Hasten makes the sink's pauses short.
func Hasten(s *Sink) {
	s.pause = func(ctx context.Context, d time.Duration) { sleep(ctx, min(d, 2*time.Millisecond)) }
}

// ShortenLook makes the sink give up soon when it looks for the begin of a gap.
func ShortenLook(s *Sink) { s.look = 10 * time.Millisecond }
