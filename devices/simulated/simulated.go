// Package simulated computes sensors: seeded twins whose every sample is a pure
// function of (kind, seed, seq, due). The same seed gives the same run again,
// in whatever order and on whatever machine the samples are asked for.
//
// The models are simple physics, not white noise: a room warms and cools with
// the day, a motor's vibration follows its speed and wear, a receiver drives
// round a course with the wander of a real fix, a meter's energy is the exact
// integral of its power, a door opens now and then.
package simulated

import (
	"fmt"
	"math"
	"time"

	"plumbline/devices"
)

// Kind names a model.
type Kind string

// The kinds of twins.
const (
	Temperature Kind = "temperature" // room climate: temperature, humidity
	Vibration   Kind = "vibration"   // motor: RMS and peak acceleration, frequency
	GPS         Kind = "gps"         // receiver on a closed course
	Power       Kind = "power"       // one-phase meter with energy register
	Door        Kind = "door"        // contact: open or closed, and for how long
	Dust        Kind = "dust"        // particulate matter in a room
)

// Kinds lists the kinds, those of Fleet's rotation first.
func Kinds() []Kind { return append(rotation(), Dust) }

// rotation is what a fleet is made of unless it is told otherwise.
func rotation() []Kind { return []Kind{Temperature, Vibration, GPS, Power, Door} }

// Options of a twin; the zero value means the kind's usual period, a phase
// drawn from the seed and a dither of a tenth of the period.
type Options struct {
	Period time.Duration // 0 = usual for the kind
	Phase  time.Duration // 0 = drawn from the seed, within one period
	Dither time.Duration // 0 = Period/10; negative = none
	Model  string        // for reports; "" = "twin"
	Note   string        // for reports; optional
}

// Twin is a computed sensor. It has no state and is safe for concurrent use.
type Twin struct {
	info     devices.Info
	schedule devices.Schedule
	seed     uint64
	model    func(seq uint64, due time.Duration) []devices.Value
}

var _ devices.Scheduled = (*Twin)(nil)

// New returns a twin of the kind. Twins of one rig should have different seeds,
// or they say the same. An unknown kind or a period that is not positive is an
// error that names what is known.
func New(kind Kind, id string, seed uint64, opts Options) (*Twin, error) {
	t := &Twin{seed: seed}
	period := time.Second
	switch kind {
	case Temperature:
		t.model = newClimate(seed).values
	case Vibration:
		t.model, period = newMotor(seed).values, 100*time.Millisecond
	case GPS:
		t.model = newCourse(seed).values
	case Power:
		t.model = newMeter(seed).values
	case Door:
		t.model, period = newDoor(seed).values, 2*time.Second
	case Dust:
		t.model = newHaze(seed).values
	default:
		return nil, fmt.Errorf("simulated: twin %q: no kind is called %q; known are %v", id, kind, Kinds())
	}
	if opts.Period < 0 || opts.Phase < 0 {
		return nil, fmt.Errorf("simulated: twin %q: period %v and phase %v must not be negative", id, opts.Period, opts.Phase)
	}
	if opts.Period == 0 {
		opts.Period = period
	}
	if opts.Phase == 0 {
		opts.Phase = time.Duration(unit(seed, saltPhase) * float64(opts.Period))
	}
	switch {
	case opts.Dither == 0:
		opts.Dither = opts.Period / 10
	case opts.Dither < 0:
		opts.Dither = 0
	}
	if opts.Model == "" {
		opts.Model = "twin"
	}
	t.schedule = devices.Schedule{Period: opts.Period, Phase: opts.Phase, Dither: opts.Dither}
	t.info = devices.Info{ID: id, Kind: string(kind), Mode: devices.Sim, Model: opts.Model,
		Serial: fmt.Sprintf("seed-%016x", seed), Note: opts.Note}
	return t, nil
}

// Info implements devices.Scheduled. Serial holds the seed.
func (t *Twin) Info() devices.Info { return t.info }

// Schedule implements devices.Scheduled.
func (t *Twin) Schedule() devices.Schedule { return t.schedule }

// Seed returns the seed, which also moves the instants of the schedule.
func (t *Twin) Seed() uint64 { return t.seed }

// Sample implements devices.Scheduled. It costs about a microsecond. Values
// change with due; a due before the epoch is computed as if at it.
func (t *Twin) Sample(seq uint64, due time.Duration) devices.Sample {
	return devices.Sample{Seq: seq, First: due, Last: due, Values: t.model(seq, max(due, 0))}
}

// Salts keep the draws for different purposes apart.
const (
	saltPhase = iota + 1
	saltModel
	saltNoise
)

// unit draws a number in [0,1) for a purpose.
func unit(seed uint64, salt uint64) float64 {
	return float64(devices.Mix(seed^salt<<56, salt)>>11) / (1 << 53)
}

// draws hands out numbers for a model's parameters, in a fixed order.
type draws struct{ seed, next uint64 }

func newDraws(seed uint64) *draws { return &draws{seed: devices.Mix(seed, saltModel)} }

// between draws a number in [low, high).
func (d *draws) between(low, high float64) float64 {
	d.next++
	return low + (high-low)*float64(devices.Mix(d.seed, d.next)>>11)/(1<<53)
}

// noise is approximately normal with deviation 1 and bounded by ±3.5: the sum
// of four uniform draws, which a real sensor's noise is close enough to.
func noise(seed, seq, channel uint64) float64 {
	z := devices.Mix(devices.Mix(seed, saltNoise+channel<<8), seq)
	sum := 0.0
	for i := range 4 {
		sum += float64(z >> (16 * i) & 0xffff)
	}
	return (sum/0xffff - 2) * math.Sqrt(3)
}

// drift is a smooth wander with deviation near 1 and correlation time tau:
// noise at whole multiples of tau, joined by a smooth step.
func drift(seed, channel uint64, due, tau time.Duration) float64 {
	k := uint64(due / tau)
	x := float64(due%tau) / float64(tau)
	x = x * x * (3 - 2*x)
	a, b := noise(seed, k, channel), noise(seed, k+1, channel)
	return a + (b-a)*x
}

// round keeps the resolution that the sensor would send.
func round(x float64, digits int) float64 {
	p := math.Pow10(digits)
	return math.Round(x*p) / p
}

func value(name, unit string, number float64) devices.Value {
	return devices.Value{Name: name, Unit: unit, Number: number}
}
