package fault

import (
	"context"
	"fmt"
)

// Killable is a process that can be killed and started again; *sut.SUT is one.
type Killable interface {
	Kill() error
	Restart(ctx context.Context) error
}

// Freezable is a process that can be frozen; *sut.SUT is one.
type Freezable interface {
	Pause() error
	Resume() error
}

// Stoppable is a process that can be stopped in good order; *sut.SUT is one.
type Stoppable interface {
	Stop(ctx context.Context) error
	Start(ctx context.Context) error
}

// Kill is SIGKILL; reverting starts the process again and waits until it is ready.
func Kill(name string, p Killable) Fault {
	return &action{name: name, inject: func(context.Context) error { return p.Kill() }, revert: p.Restart}
}

// Freeze is SIGSTOP; reverting is SIGCONT.
func Freeze(name string, p Freezable) Fault {
	return &action{
		name:   name,
		inject: func(context.Context) error { return p.Pause() },
		revert: func(context.Context) error { return p.Resume() },
	}
}

// Stop is SIGTERM, waited for; reverting starts the process again and waits
// until it is ready.
func Stop(name string, p Stoppable) Fault {
	return &action{name: name, inject: p.Stop, revert: p.Start}
}

// Pluggable is a serial line that can be pulled out; *ptytwin.Twin is one.
type Pluggable interface {
	Unplug() error
	Replug() error
}

// Noisy is a serial line that can be disturbed; *ptytwin.Twin is one. rate is
// the share of lines that are damaged, 0 ends it.
type Noisy interface {
	Noise(rate float64, seed uint64)
}

// Unplug pulls the line out; reverting plugs it in again.
func Unplug(name string, p Pluggable) Fault {
	return &action{
		name:   name,
		inject: func(context.Context) error { return p.Unplug() },
		revert: func(context.Context) error { return p.Replug() },
	}
}

// Noise damages a share of what the line carries, chosen by the seed; reverting
// ends it. A rate outside of (0, 1] cannot be injected.
func Noise(name string, p Noisy, rate float64, seed uint64) Fault {
	return &action{
		name: fmt.Sprintf("%s (rate %g, seed %d)", name, rate, seed),
		inject: func(context.Context) error {
			if !(rate > 0 && rate <= 1) {
				return fmt.Errorf("rate %g is not within (0, 1]", rate)
			}
			p.Noise(rate, seed)
			return nil
		},
		revert: func(context.Context) error { p.Noise(0, seed); return nil },
	}
}
