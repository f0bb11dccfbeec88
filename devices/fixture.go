package devices

import (
	"context"
	"errors"
	"time"
)

// TimeMode says how time passes for an emulated device.
type TimeMode string

// The time modes, as reports print them.
const (
	Live        TimeMode = "live"         // with the clock of the host, so that latencies mean something
	FastForward TimeMode = "fast-forward" // as fast as it can be computed: for what takes hours
)

// Tier says what stands behind a device of the virtual bench; 0 is a device that
// is not of it. Latencies are compared within one tier only.
type Tier int

// The tiers of the virtual bench.
const (
	PortTier     Tier = 1 // a computed device on a pseudo terminal
	FirmwareTier Tier = 2 // firmware on an emulated board
	KernelTier   Tier = 3 // the real drivers of a kernel in an emulated machine
)

// ErrUnable says that a fixture has no means for what was asked of it.
var ErrUnable = errors.New("devices: the fixture cannot do that")

// Impairment is what is wrong with a device or its line; the zero value is nothing.
type Impairment struct {
	Noise  float64       // share of the lines in which one bit is flipped, 0 … 1
	Seed   uint64        // of the noise
	Stall  time.Duration // silence before the next line, once; what it has to say follows
	Frozen bool          // the device is there and does nothing
}

// Fixture is what a bench can do to one device beside reading it, alike for
// emulated and for real ones. What a fixture has no means for is ErrUnable.
// Calls block until the thing is done, at most for some seconds or until ctx
// ends. One goroutine at a time calls them.
type Fixture interface {
	// Unplug pulls the device out of its port and Plug puts it back.
	Unplug(ctx context.Context) error
	Plug(ctx context.Context) error
	// Power takes the device's power away or gives it back; it starts anew then.
	Power(ctx context.Context, on bool) error
	// Stimulate sets the physical value that the device measures under that name,
	// in the unit in which the device tells it.
	Stimulate(ctx context.Context, quantity string, value float64) error
	// Observe measures what the device does: its actuator of that name.
	Observe(ctx context.Context, actuator string) (float64, error)
	// Impair replaces what was wrong with the device by i.
	Impair(ctx context.Context, i Impairment) error
	// Advance lets d pass for the device: in Live time it waits, in FastForward
	// it computes.
	Advance(ctx context.Context, d time.Duration) error
}
