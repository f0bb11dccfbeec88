package calibrate

import (
	"context"
	"errors"
	"fmt"
	"math"
	"slices"
	"time"

	"plumbline/harness/load"
	"plumbline/harness/stats"
)

// Defaults of Options.
const (
	DefaultRate   = 1000 // frames per second
	DefaultFrames = 2000 // at each level
)

// quietBytes is the memory up to which the collector stays out of the way.
const quietBytes = 256 << 20

// DefaultDelays are the delays of a whole calibration: none, for the noise floor
// of the way itself, and those round which profiles have their limits.
func DefaultDelays() []time.Duration {
	return []time.Duration{0, time.Millisecond, 5 * time.Millisecond, 20 * time.Millisecond, 50 * time.Millisecond}
}

// Options describe a calibration. Command is required.
type Options struct {
	Command []string        // that runs Serve on its standard output
	Delays  []time.Duration // nil means DefaultDelays
	Rate    float64         // 0 means DefaultRate
	Frames  int             // at each delay; 0 means DefaultFrames
	Now     func() time.Time
}

// Run starts R0, measures every delay through it over the loopback interface
// and ends it. It blocks for Frames/Rate and a little more for each delay, and
// keeps the garbage collector of this process out of the way meanwhile.
func Run(ctx context.Context, o Options) (record *Record, err error) {
	if o.Delays == nil {
		o.Delays = DefaultDelays()
	}
	if o.Rate == 0 {
		o.Rate = DefaultRate
	}
	if o.Frames == 0 {
		o.Frames = DefaultFrames
	}
	if o.Now == nil {
		o.Now = time.Now
	}
	r0, err := start(ctx, o.Command)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, r0.close()) }()
	defer load.Quiet(quietBytes)()
	record = &Record{Schema: Schema, Started: o.Now().UTC().Round(0), Rig: ThisRig(), Rate: o.Rate}
	for _, delay := range o.Delays {
		beyond, err := load.MeasureReference(ctx, load.ReferenceConfig{To: r0.to, From: r0.from, Delay: delay, Rate: o.Rate, Frames: o.Frames})
		if err != nil {
			return nil, r0.blame(fmt.Errorf("calibrate: delay of %v: %w", delay, err))
		}
		level, err := levelOf(delay, beyond)
		if err != nil {
			return nil, err
		}
		record.Levels = append(record.Levels, level)
	}
	return record, nil
}

// levelOf sums up one delay. What came sooner than it can have is a clock that
// is not to be trusted.
func levelOf(delay time.Duration, beyond []time.Duration) (Level, error) {
	values := make([]float64, len(beyond))
	for i, d := range beyond {
		values[i] = float64(d)
	}
	slices.Sort(values)
	if values[0] < 0 {
		return Level{}, fmt.Errorf("calibrate: a frame came %v sooner than R0 let it go; the clock of this machine is not to be trusted: see plumbline doctor", time.Duration(-values[0]))
	}
	at := func(q float64) time.Duration { return time.Duration(math.Round(stats.Quantile(values, q))) }
	return Level{
		Delay: delay, N: len(values), P50: at(0.5), P99: at(0.99), P999: at(0.999), Max: at(1),
	}, nil
}
