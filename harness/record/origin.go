package record

import (
	"errors"
	"time"
)

// Origin is the zero of a Clock in a form from which another process of the same
// host makes the same clock.
type Origin struct {
	Monotonic int64 `json:"monotonic_ns"` // CLOCK_MONOTONIC at the zero
}

// ErrNoOrigin says that this system has no monotonic clock that two processes
// can be sure to share.
var ErrNoOrigin = errors.New("record: processes of this system share no monotonic clock that both can name")

// ClockAt returns the clock whose zero is o, taken from a Clock of any process of
// this host by Origin. Its readings are those of that clock, to some 100 ns; its
// Epoch is only as good as the wall clock of now.
func ClockAt(o Origin) (*Clock, error) {
	c := NewClock()
	own, err := c.Origin()
	if err != nil {
		return nil, err
	}
	c.epoch = c.epoch.Add(time.Duration(o.Monotonic - own.Monotonic))
	return c, nil
}
