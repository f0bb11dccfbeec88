//go:build !linux

package hub

import "time"

// pause sleeps by the runtime's timers; Linux has finer ones.
type pause struct{}

func newPause() pause { return pause{} }

func (pause) sleep(d time.Duration) { <-time.After(d) }

func (pause) close() {}
