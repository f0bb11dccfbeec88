package fault

import "context"

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

// Kill is SIGKILL; reverting starts the process again.
func Kill(name string, p Killable) Fault { return nil }

// Freeze is SIGSTOP; reverting is SIGCONT.
func Freeze(name string, p Freezable) Fault { return nil }

// Stop is SIGTERM, waited for; reverting starts the process again.
func Stop(name string, p Stoppable) Fault { return nil }

// Pluggable is a serial line that can be pulled out.
type Pluggable interface {
	Unplug() error
	Replug() error
}

// Noisy is a serial line that can be disturbed: rate is the share of bytes
// that are damaged, 0 ends it.
type Noisy interface {
	Noise(rate float64, seed uint64)
}

// Unplug pulls the line out; reverting plugs it in again.
func Unplug(name string, p Pluggable) Fault { return nil }

// Noise damages a share of the bytes; reverting ends it.
func Noise(name string, p Noisy, rate float64, seed uint64) Fault { return nil }
