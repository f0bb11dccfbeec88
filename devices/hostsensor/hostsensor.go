// Package hostsensor reads this machine's own sensors: processor load, memory,
// temperature where there is a sensor for it, and network traffic. It is real
// data that every bench has, without any hardware.
//
// Reading the system costs 0.13 ms on a 2-core Linux machine (BenchmarkReading),
// more where there are many sensors, and may hang on a sick driver. So it is done
// in the background; Sample only copies the last reading and says how old it is.
package hostsensor

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math"
	"runtime"
	"sync"
	"time"

	"github.com/shirou/gopsutil/v4/cpu"
	"github.com/shirou/gopsutil/v4/host"
	"github.com/shirou/gopsutil/v4/mem"
	"github.com/shirou/gopsutil/v4/net"
	"github.com/shirou/gopsutil/v4/sensors"

	"plumbline/devices"
)

// Defaults of Options.
const (
	DefaultPeriod   = time.Second
	DefaultInterval = 500 * time.Millisecond
)

// Options of the sensor; the zero value is useful.
type Options struct {
	ID       string        // "" = "host"
	Period   time.Duration // of the schedule; 0 = DefaultPeriod
	Phase    time.Duration
	Dither   time.Duration // 0 = Period/10; negative = none
	Interval time.Duration // between background readings; 0 = DefaultInterval
	Log      *slog.Logger  // nil = discard

	source source // nil = gopsutil; tests of failing sensors give their own
}

// source is where readings come from.
type source interface {
	// read returns what the machine says. Values it cannot give are NaN.
	read(ctx context.Context) (reading, error)
}

// reading is one look at the machine. Counters only ever grow.
type reading struct {
	busy, total float64 // processor seconds since boot, over all cores
	memUsed     float64 // bytes
	memPercent  float64
	celsius     float64 // hottest sensor
	received    float64 // bytes over all interfaces but the loopback
	sent        float64
}

// Sensor is this machine as a device. It reads in one background goroutine from
// New to Close. All methods may be called by any goroutine.
type Sensor struct {
	opts     Options
	info     devices.Info
	schedule devices.Schedule
	cancel   context.CancelFunc
	done     chan struct{}

	mu     sync.Mutex
	values []devices.Value // of the last reading; replaced, never changed
	at     time.Time       // when it was taken
	err    error           // of the last reading
}

var _ devices.Scheduled = (*Sensor)(nil)

// New takes a first reading, which tells what this machine can say, and starts
// the background readings. It blocks for that first reading, bounded by ctx. A
// machine that can say nothing at all is an error; one without a temperature
// sensor is not, Info().Note says it.
func New(ctx context.Context, opts Options) (*Sensor, error) {
	opts, err := opts.withDefaults()
	if err != nil {
		return nil, err
	}
	first, err := opts.source.read(ctx)
	if err != nil {
		return nil, fmt.Errorf("hostsensor: first reading: %w", err)
	}
	run, cancel := context.WithCancel(context.Background())
	s := &Sensor{opts: opts, cancel: cancel, done: make(chan struct{}), info: describe(ctx, opts.ID, first),
		schedule: devices.Schedule{Period: opts.Period, Phase: opts.Phase, Dither: opts.Dither}}
	now := time.Now()
	s.store(now, first.values(first, 0))
	go func() {
		defer close(s.done)
		s.watch(run, first, now)
	}()
	return s, nil
}

func (o Options) withDefaults() (Options, error) {
	if o.ID == "" {
		o.ID = "host"
	}
	if o.Period == 0 {
		o.Period = DefaultPeriod
	}
	if o.Interval == 0 {
		o.Interval = DefaultInterval
	}
	if o.Period < 0 || o.Interval < 0 || o.Phase < 0 {
		return o, fmt.Errorf("hostsensor: period %v, interval %v and phase %v must not be negative", o.Period, o.Interval, o.Phase)
	}
	switch {
	case o.Dither == 0:
		o.Dither = o.Period / 10
	case o.Dither < 0:
		o.Dither = 0
	}
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	if o.source == nil {
		o.source = machine{}
	}
	return o, nil
}

// describe names the machine for reports, without its host name: a report may
// be published.
func describe(ctx context.Context, id string, first reading) devices.Info {
	info := devices.Info{ID: id, Kind: "host", Mode: devices.Real, Model: runtime.GOOS + "/" + runtime.GOARCH}
	if platform, _, version, err := host.PlatformInformationWithContext(ctx); err == nil {
		info.Model += " " + platform + " " + version
	}
	info.Note = "this machine's own sensors, read in the background"
	if math.IsNaN(first.celsius) {
		info.Note += "; no temperature sensor was found on this machine, so there is no temperature"
	}
	return info
}

// watch reads until run ends. A reading that fails keeps the last values, whose
// age tells, and is logged once until the next good one.
func (s *Sensor) watch(run context.Context, last reading, at time.Time) {
	tick := time.NewTicker(s.opts.Interval)
	defer tick.Stop()
	for {
		select {
		case <-run.Done():
			return
		case <-tick.C:
		}
		next, err := s.opts.source.read(run)
		now := time.Now()
		if err != nil {
			s.fail(err)
			continue
		}
		s.store(now, next.values(last, now.Sub(at)))
		last, at = next, now
	}
}

func (s *Sensor) store(at time.Time, values []devices.Value) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.values, s.at, s.err = values, at, nil
}

func (s *Sensor) fail(err error) {
	s.mu.Lock()
	known := s.err != nil
	s.err = err
	s.mu.Unlock()
	if !known && !errors.Is(err, context.Canceled) {
		s.opts.Log.Warn("host sensor cannot be read", "error", err)
	}
}

// Info implements devices.Scheduled.
func (s *Sensor) Info() devices.Info { return s.info }

// Schedule implements devices.Scheduled.
func (s *Sensor) Schedule() devices.Schedule { return s.schedule }

// Sample implements devices.Scheduled: the last reading and, as "age", how old
// it is. It costs less than a microsecond and never waits for the system.
func (s *Sensor) Sample(seq uint64, due time.Duration) devices.Sample {
	s.mu.Lock()
	values, at := s.values, s.at
	s.mu.Unlock()
	out := make([]devices.Value, 0, len(values)+1)
	out = append(out, values...)
	out = append(out, devices.Value{Name: "age", Unit: "ms", Number: float64(time.Since(at).Milliseconds())})
	return devices.Sample{Seq: seq, First: due, Last: due, Values: out}
}

// Err returns why the last background reading failed, nil if it did not.
func (s *Sensor) Err() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.err
}

// Close ends the background readings and waits for them. Sample goes on giving
// the last one.
func (s *Sensor) Close() error {
	s.cancel()
	<-s.done
	return nil
}

// values turns a reading into values; rates are over the time since last.
func (r reading) values(last reading, elapsed time.Duration) []devices.Value {
	v := make([]devices.Value, 0, 6)
	add := func(name, unit string, number float64, digits int) {
		if !math.IsNaN(number) && !math.IsInf(number, 0) {
			p := math.Pow10(digits)
			v = append(v, devices.Value{Name: name, Unit: unit, Number: math.Round(number*p) / p})
		}
	}
	load := math.NaN()
	if total := r.total - last.total; total > 0 {
		load = 100 * (r.busy - last.busy) / total
	} else if r.total > 0 {
		load = 100 * r.busy / r.total // first reading: since boot
	}
	add("cpu", "%", min(max(load, 0), 100), 1)
	add("mem_used", "By", r.memUsed, 0)
	add("mem", "%", r.memPercent, 1)
	add("temperature", "Cel", r.celsius, 1)
	rate := func(now, before float64) float64 {
		if elapsed <= 0 {
			before, elapsed = now, time.Second // nothing to compare with yet
		}
		return max(now-before, 0) / elapsed.Seconds() // NaN stays NaN
	}
	add("net_rx", "By/s", rate(r.received, last.received), 0)
	add("net_tx", "By/s", rate(r.sent, last.sent), 0)
	return v
}

// machine reads through gopsutil.
type machine struct{}

// read implements source. It fails only if neither processor nor memory can be
// read; the rest is left out.
func (machine) read(ctx context.Context) (reading, error) {
	nan := math.NaN()
	r := reading{busy: nan, total: nan, memUsed: nan, memPercent: nan, celsius: nan, received: nan, sent: nan}
	times, cpuErr := cpu.TimesWithContext(ctx, false)
	if cpuErr == nil && len(times) > 0 {
		t := times[0]
		idle := t.Idle + t.Iowait
		r.busy = t.User + t.System + t.Nice + t.Irq + t.Softirq + t.Steal
		r.total = r.busy + idle
	}
	memory, memErr := mem.VirtualMemoryWithContext(ctx)
	if memErr == nil {
		r.memUsed, r.memPercent = float64(memory.Used), memory.UsedPercent
	}
	if cpuErr != nil && memErr != nil {
		return r, errors.Join(cpuErr, memErr)
	}
	r.celsius = hottest(ctx)
	if counters, err := net.IOCountersWithContext(ctx, true); err == nil {
		r.received, r.sent = 0, 0
		for _, c := range counters {
			if c.Name != "lo" && c.Name != "lo0" {
				r.received += float64(c.BytesRecv)
				r.sent += float64(c.BytesSent)
			}
		}
	}
	return r, nil
}

// hottest returns the highest plausible temperature, NaN without a sensor.
// gopsutil returns warnings beside good values, so the values decide.
func hottest(ctx context.Context) float64 {
	found, _ := sensors.TemperaturesWithContext(ctx)
	celsius := math.NaN()
	for _, t := range found {
		if t.Temperature > 0 && t.Temperature < 150 && !(t.Temperature <= celsius) {
			celsius = t.Temperature
		}
	}
	return celsius
}
