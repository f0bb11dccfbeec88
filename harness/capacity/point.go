// Package capacity asks how much of something one system carries on this machine:
// it raises a load step by step until something gives way, and says what that was,
// what each delivery cost until then, and where that leads.
//
// All figures of a step are taken from what its bench recorded, but for processor
// time and memory, which the kernel counts.
package capacity

import (
	"context"
	"errors"
	"math"
	"slices"
	"time"

	"plumbline/harness"
	"plumbline/harness/oracle"
	"plumbline/harness/profile"
	"plumbline/harness/record"
	"plumbline/harness/stats"
)

// Load is what a system is asked for at one point.
type Load struct {
	Devices int           `json:"devices"`
	Rate    float64       `json:"rate_per_s"` // over all devices
	Viewers int           `json:"viewers"`    // each watches all devices
	Idle    int           `json:"idle"`       // viewers beside them, each of which watches what is never published
	Payload int           `json:"payload"`    // bytes that each payload is longer by
	WarmUp  time.Duration `json:"warm_up_ns"`
	Window  time.Duration `json:"window_ns"`
}

// Point is what a system did under a load.
type Point struct {
	Version    string
	Offered    int64   // messages that were due within the window
	Achieved   int64   // of those: written
	Deliveries int64   // that came within the window
	Lost       int64   // deliveries that were due and never came
	P50, P99   float64 // ms, from the intended instant; +Inf when so many never came
	System     time.Duration
	Bench      time.Duration // processor time of viewers and load, which share the machine
	Over       time.Duration // for which that was counted; 0 where it cannot be
	RSS        uint64        // of the system, at the end of the window
	BenchRSS   uint64        // of viewers and load
	Others     time.Duration // processor time of all else on the machine, the kernel's own work among it; less than 0 where that is not known
	Blocked    int64         // messages that were due within the window and found as many unacknowledged as may be
	Dropped    int           // of the viewers that only wait: cut by the end of the window
	Hiccup     float64       // ms, the longest in which the bench itself did not run
}

// Drain is how long what is on its way is waited for.
const Drain = 10 * time.Second

// window names the judged window of a bench.
const window = "steady"

// Measure starts the system of a rig afresh, holds it under a load and ends it. Errors
// of a system that does not carry it wrap sut.ErrUnavailable.
func Measure(ctx context.Context, rig *harness.Rig, name string, l Load) (Point, error) {
	b, err := rig.Open(ctx, harness.Plan{Name: name, Sample: time.Hour, Payload: l.Payload, Config: room(rig, l), Apart: harness.OtherHosts, Idle: l.Idle, Load: profile.Load{
		Devices: l.Devices, Rate: l.Rate, Viewers: l.Viewers, Burst: 1, Drain: Drain,
	}})
	if err != nil {
		return Point{}, err
	}
	var opened, closed int64
	worked := time.Duration(-1) // by the machine; less than 0 where it is not known
	var burdens []harness.Burden
	var dropped int
	err = b.Drive(ctx, 0, func(ctx context.Context) error {
		if err := harness.Wait(ctx, l.WarmUp); err != nil {
			return err
		}
		before, _ := harness.MachineBusy()
		until := b.Burdens(ctx)
		opened = b.Clock.Now()
		err := harness.Wait(ctx, l.Window)
		closed, burdens = b.Clock.Now(), until(ctx)
		if after, told := harness.MachineBusy(); told {
			worked = after - before
		}
		b.Mark(window, opened, closed)
		if err != nil {
			return err
		}
		dropped, err = b.Dropped(ctx)
		return err
	})
	if err == nil {
		err = b.Finish(ctx)
	}
	if err != nil {
		return Point{}, errors.Join(err, b.Close())
	}
	r, err := b.Recorded()
	if err != nil {
		return Point{}, err
	}
	h, err := r.History()
	if err != nil {
		return Point{}, err
	}
	p := pointOf(h, r.Options(""), opened, closed)
	p.Version, p.Hiccup, p.Dropped = r.SUT.Version, float64(r.Rig.HiccupMax), dropped
	for _, one := range burdens {
		if one.Part == "bridge" {
			p.System, p.Over, p.RSS = one.CPU, one.Over, one.RSS
		} else {
			p.Bench += one.CPU
			p.BenchRSS += one.RSS
		}
	}
	if p.Others = worked; worked >= 0 {
		p.Others = max(worked-p.System-p.Bench, 0)
	}
	return p, nil
}

// room lets the bridge of this project in as many viewers and devices as there are, and
// takes packets as large as they publish, which its administrator would set; what it makes
// of that is measured, and not what its defaults allow.
func room(rig *harness.Rig, l Load) map[string]any {
	const (
		usual, spare = 9000, 100          // below what it lets in by itself; descriptors that it need not keep for others
		packet, head = 192 << 10, 4 << 10 // below what it takes by itself; topic and what devices say anyhow
	)
	if !rig.Bundled() {
		return nil
	}
	config := map[string]any{}
	if n := l.Viewers + l.Idle; max(n, l.Devices) > usual {
		config = map[string]any{"viewers.maxConnections": n + spare, "viewers.maxStreams": spare, "mqtt.maxClients": l.Devices + spare, "mqtt.sessions.max": l.Devices + spare}
	}
	if l.Payload > packet {
		config["mqtt.maxPacketBytes"] = l.Payload + head
	}
	return config
}

// pointOf reads what the records tell of a window.
func pointOf(h *oracle.History, o oracle.Options, opened, closed int64) Point {
	o.Window = window
	l := h.Latencies(o)
	health := h.RigHealth(o)
	p := Point{Offered: health.Offered, Achieved: health.Achieved, Lost: l.Lost}
	p.Deliveries, p.Blocked = arrived(h.Log(), opened, closed)
	values := slices.Sorted(slices.Values(l.Series.Value))
	p.P50, p.P99 = stats.Quantile(values, 0.5), stats.Quantile(values, 0.99)
	return p
}

// arrived counts the live readings that came to viewers in a time, and the messages that
// could not be written then.
func arrived(log *record.Log, from, to int64) (came, blocked int64) {
	for i := range log.Records {
		switch r := &log.Records[i]; {
		case r.Kind == record.Received && r.At >= from && r.At < to:
			came++
		case r.Kind == record.Blocked && r.Due >= from && r.Due < to:
			blocked++
		}
	}
	return came, blocked
}

// PerDelivery is the processor time of the system for each delivery, in µs; NaN where it is not known.
func (p Point) PerDelivery() float64 {
	if p.Over <= 0 || p.Deliveries == 0 {
		return math.NaN()
	}
	return float64(p.System.Microseconds()) / float64(p.Deliveries)
}
