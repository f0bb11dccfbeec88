package generator

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/url"
	"time"

	"plumbline/devices"
	"plumbline/harness/load"
	"plumbline/harness/record"
	"plumbline/harness/remote"
)

// Config says what a generator is to be. Recorder, Resolver, Broker and Run are
// needed.
type Config struct {
	Recorder  *record.Recorder
	Resolver  *record.Resolver // streams are added to it
	Broker    *url.URL         // mqtt:// or mqtts://
	Via       string           // host:port to go to in place of the broker's; TLS names stay the broker's
	Hosts     []string         // host:port of several brokers that are one: devices go to them in turn, in place of Broker's and Via; each to the next one while its own refuses connections
	Local     string           // address from which devices connect to brokers of 127.0.0.0/8, of which each has some 28,000 ports; "" leaves it to the kernel, as all systems but Linux do
	Version   string           // of MQTT, see load.PublisherConfig
	CA        []byte           // authorities of the broker as PEM; nil means those of the system
	Username  string
	Password  string
	Run       string        // run id, eight hexadecimal digits
	Seed      uint64        // of phases, dither and computed devices
	Sequence  bool          // add the plumbline-seq user property
	Reconnect time.Duration // see load.PublisherConfig
	Fleet     *Fleet        // nil for none
	Devices   []any         // orders for the Opener, sent as JSON
}

// ErrDevice marks a device of Config.Devices that could not be opened.
var ErrDevice = errors.New("a device cannot be opened")

// closeLimit bounds how long the generator may take to end everything.
const closeLimit = time.Minute

// runGrace is how much longer than asked for a run may take.
const runGrace = 30 * time.Second

// Open makes the generator what cfg says: devices are opened, streams and
// publishers registered with the recorder, the collector of garbage switched off
// and the hiccup thread started in its process. Nothing is connected yet. It
// blocks until the process is up, and refuses one whose clock is not that of the
// recorder. The descriptions of cfg.Devices come back in their order; one that
// cannot be opened is ErrDevice.
func (g *Generator) Open(ctx context.Context, cfg Config) ([]devices.Info, error) {
	o := settings{
		ByMeaning: cfg.Recorder.ByMeaning(), Process: g.cmd != nil, Broker: cfg.Broker.String(), Via: cfg.Via, Hosts: cfg.Hosts, Local: cfg.Local, Version: cfg.Version,
		CA: cfg.CA, Username: cfg.Username, Password: cfg.Password, Run: cfg.Run, Seed: cfg.Seed, Sequence: cfg.Sequence,
		Reconnect: cfg.Reconnect, Fleet: cfg.Fleet,
	}
	clock := cfg.Recorder.Clock()
	if g.cmd != nil {
		origin, err := clock.Origin()
		if err != nil {
			return nil, fmt.Errorf("generator: %w; run it within the harness", err)
		}
		o.Origin = &origin
	} else {
		g.inside.clock = clock
	}
	for _, order := range cfg.Devices {
		text, err := json.Marshal(order)
		if err != nil {
			return nil, fmt.Errorf("generator: order of a device: %w", err)
		}
		o.Devices = append(o.Devices, text)
	}
	if !g.taking.CompareAndSwap(nil, newDesk(cfg.Recorder, cfg.Resolver)) {
		return nil, errors.New("generator: it is open already")
	}
	var answer opened
	if err := g.call(ctx, verbOpen, o, &answer); err != nil {
		if told, ok := errors.AsType[*remote.Error](err); ok && told.Code == codeDevice {
			return nil, fmt.Errorf("%w: %w", ErrDevice, err)
		}
		return nil, err
	}
	if err := g.sameClock(ctx, clock); err != nil {
		return nil, err
	}
	return answer.Infos, g.taking.Load().driven(answer.Streams)
}

// clockTries is how often the clocks are compared.
const clockTries = 5

// sameClock proves that the generator reads the clock of the run: each of its
// readings lies between the two that enclose it here.
func (g *Generator) sameClock(ctx context.Context, clock *record.Clock) error {
	for range clockTries {
		var there int64
		before := clock.Now()
		if err := g.call(ctx, verbClock, nil, &there); err != nil {
			return err
		}
		if after := clock.Now(); there < before || there > after {
			return fmt.Errorf("generator: its clock reads %v when that of the harness reads between %v and %v; are both in one time namespace?",
				time.Duration(there), time.Duration(before), time.Duration(after))
		}
	}
	return nil
}

// Connect opens all connections and returns when the broker has accepted them,
// or with the first error.
func (g *Generator) Connect(ctx context.Context) error { return g.call(ctx, verbConnect, nil, nil) }

// Run lets the devices speak for length and returns when all have stopped. It
// returns early with the error of ctx; nothing more is sent then.
func (g *Generator) Run(ctx context.Context, length time.Duration) error {
	limited, cancel := context.WithTimeout(ctx, length+runGrace)
	defer cancel()
	err := g.call(limited, verbRun, runOrder{Length: length}, nil)
	if err != nil && ctx.Err() == nil && limited.Err() != nil {
		// Not wrapped: who ends his devices by a deadline must not take this for one of those.
		return fmt.Errorf("generator: a run of %v did not end within %v: %s", length, length+runGrace, err.Error())
	}
	return err
}

// Act does something to a device that can take it, the one at that place of
// Config.Devices, and reads the answer into answer unless that is nil. It blocks
// until it is done.
func (g *Generator) Act(ctx context.Context, device int, do, answer any) error {
	text, err := json.Marshal(do)
	if err != nil {
		return fmt.Errorf("generator: what is to be done to a device: %w", err)
	}
	return g.call(ctx, verbAct, actOrder{Device: device, Do: text}, answer)
}

// WaitAcked returns when every QoS 1 message is acknowledged, or with an error
// that wraps that of ctx and names a publisher that still waits.
func (g *Generator) WaitAcked(ctx context.Context) error { return g.call(ctx, verbSettle, nil, nil) }

// Health returns the totals so far. Everything that they count is in the
// recording when it returns.
func (g *Generator) Health(ctx context.Context) (load.Health, error) {
	var h load.Health
	err := g.call(ctx, verbHealth, nil, &h)
	return h, err
}

// Taken returns how many messages were sent and acknowledged so far as far as
// the generator has told: what it does not tell at once it tells within 100 ms.
// It asks nobody. Messages of hands that stand aside count too.
func (g *Generator) Taken() (sent, acked int64) {
	d := g.taking.Load()
	if d == nil {
		return 0, 0
	}
	return d.sent.Load(), d.acked.Load()
}

// Port returns what the driver of a device said last of its port, as far as the
// generator has told; see Taken. It is the zero event while it said nothing.
func (g *Generator) Port(device string) record.Event {
	if d := g.taking.Load(); d != nil {
		return d.port(device)
	}
	return record.Event{}
}

// Streams returns the stream numbers of what the metronome drives, in its order.
func (g *Generator) Streams() []uint32 {
	d := g.taking.Load()
	if d == nil {
		return nil
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	return append([]uint32(nil), d.metronome...)
}

// Report says how the process of the generator fared.
type Report struct {
	Own     bool               // it was a process of its own
	PID     int                // of that, else 0
	Hiccup  *load.HiccupReport // of its hiccup thread; nil within the harness and when it died
	GC      *load.GCReport     // likewise
	Damaged []uint64           // damaged frames of Config.Devices, in their order; nil when it died
	Counted []devices.Counters // all counters of Config.Devices that are streams, likewise; zero for others
}

// Report returns what Close has learned; before, only what kind of process it is.
func (g *Generator) Report() Report {
	r := Report{Own: g.cmd != nil}
	if g.cmd != nil {
		r.PID = g.cmd.Process.Pid
	}
	if f := g.final.Load(); f != nil {
		r.Hiccup, r.GC, r.Damaged, r.Counted = f.Hiccup, f.GC, f.Damaged, f.Counted
	}
	return r
}

// Close ends all connections and devices, takes what was recorded, ends the
// process and returns when it has ended, after two minutes at most. It is idempotent. A
// generator that had died before says so.
func (g *Generator) Close() error {
	g.closing.Do(func() {
		var failed error
		if g.taking.Load() != nil && g.Err() == nil {
			ctx, cancel := context.WithTimeout(context.Background(), closeLimit)
			var f ended
			if failed = g.call(ctx, verbClose, nil, &f); failed == nil {
				g.final.Store(&f)
			}
			cancel()
		}
		g.leave()
		<-g.done
		g.failed = failed
	})
	if err := g.Err(); err != nil {
		return err
	}
	return g.failed
}
