package mqttdev

import (
	"context"
	"errors"
	"fmt"
	"net/url"
	"strings"
	"sync"
	"sync/atomic"
	"time"
	"unicode"
	"unicode/utf8"

	"plumbline/devices"
)

// Group is a part of a fleet whose devices behave alike. Share and Period are
// required; the zero value of the rest is a device that publishes with QoS 0, stays
// connected and has no will.
type Group struct {
	Share     float64       // of the devices, above 0 to 1; those of all groups sum to 1
	Period    time.Duration // between two messages of a device
	QoS       byte          // 0 or 1
	Least     int           // payload in bytes, at least; what a message must say may be more
	Most      int           // and at most, drawn for each message; 0 = Least
	Retain    bool          // messages are retained
	Reconnect int           // a device connects anew after so many messages; 0 = never
	Abrupt    bool          // it then goes without DISCONNECT, so that its will is published
	Will      bool          // it has a last will and says at each connection that it is online
}

// FleetConfig describes a fleet. Broker, Devices and Groups are required.
type FleetConfig struct {
	Broker   *url.URL // mqtt:// only: a fleet measures the far end, not our TLS
	Username string
	Password []byte
	Prefix   string // of topics and client ids; "" = "fleet"
	Run      string // marks the messages, to tell them from those that an earlier run left retained; optional
	Devices  int    // up to MaxFleet
	Groups   []Group
	Seed     uint64
	Dialling int // connections that are made at the same time; 0 = 64
	// Patience is how long Run waits for a further device to be connected; 0 = 30 s.
	Patience time.Duration
}

// MaxFleet bounds a fleet: each device has a connection of its own.
const MaxFleet = 100_000

// FleetStats are totals of a fleet.
type FleetStats struct {
	Connected  int64  // devices with a connection now
	Connects   uint64 // connections made
	Reconnects uint64 // of which a device's habit, not the network, was the reason
	Refused    uint64 // attempts that failed
	Broken     uint64 // connections lost that were not to be
	Published  uint64 // messages that went out whole and, with QoS 1, were acknowledged
	Again      uint64 // messages sent again because nobody knew whether they had come
	Bytes      uint64 // of payloads published
	Wills      uint64 // wills that the broker was left to publish
}

// Fleet is many devices that publish by schedule, each over a connection of its
// own and with one goroutine: connect, wait, publish, wait for the
// acknowledgement. It speaks MQTT 3.1.1 without keep-alive, and is safe for
// concurrent use.
type Fleet struct {
	cfg     FleetConfig
	devices []fleetDevice
	dialing chan struct{}
	start   time.Time
	ready   sync.WaitGroup // until each device has been connected once
	arrived atomic.Int64   // devices that have been connected once

	mu      sync.Mutex
	refusal error // the last

	connected                                                                atomic.Int64
	connects, reconnects, refused, broken, published, again, bytes, leftWill atomic.Uint64
}

// NewFleet checks the configuration; Run starts the devices.
func NewFleet(cfg FleetConfig) (*Fleet, error) {
	switch {
	case cfg.Broker == nil || cfg.Broker.Host == "":
		return nil, errors.New("mqttdev: fleet: no broker; set FleetConfig.Broker, for example mqtt://127.0.0.1:1883")
	case cfg.Broker.Scheme != "mqtt" && cfg.Broker.Scheme != "tcp":
		return nil, fmt.Errorf("mqttdev: fleet: broker %q: scheme must be mqtt", address(cfg.Broker))
	case strings.ContainsAny(cfg.Prefix, "+#") || strings.ContainsFunc(cfg.Prefix, unicode.IsControl) || !utf8.ValidString(cfg.Prefix):
		return nil, fmt.Errorf("mqttdev: fleet: prefix %q: devices publish under it, so no wildcard and no control character", cfg.Prefix)
	case strings.Trim(cfg.Run, runLetters) != "" || len(cfg.Run) > 64:
		return nil, fmt.Errorf("mqttdev: fleet: run %q must be up to 64 letters and digits", cfg.Run)
	case cfg.Devices < 1 || cfg.Devices > MaxFleet:
		return nil, fmt.Errorf("mqttdev: fleet of %d devices: must be 1 to %d", cfg.Devices, MaxFleet)
	}
	if cfg.Prefix == "" {
		cfg.Prefix = "fleet"
	}
	if cfg.Dialling <= 0 {
		cfg.Dialling = 64
	}
	if cfg.Patience <= 0 {
		cfg.Patience = fleetPatience
	}
	if err := errors.Join(checkGroups(cfg.Groups), checkTexts(map[string]int{
		"prefix": len(cfg.Prefix) + 32, "user name": len(cfg.Username), "password": len(cfg.Password)})); err != nil {
		return nil, err
	}
	f := &Fleet{cfg: cfg, devices: make([]fleetDevice, cfg.Devices), dialing: make(chan struct{}, cfg.Dialling)}
	next, through := 0, cfg.Groups[0].Share
	for i := range f.devices {
		for next+1 < len(cfg.Groups) && float64(i) >= through*float64(cfg.Devices)-1e-9 {
			next++
			through += cfg.Groups[next].Share
		}
		f.devices[i] = fleetDevice{fleet: f, group: &cfg.Groups[next], number: i, seed: devices.Mix(cfg.Seed, uint64(i)+1)}
	}
	return f, nil
}

// runLetters may mark a run.
const runLetters = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789"

func checkGroups(groups []Group) error {
	sum := 0.0
	for i, g := range groups {
		switch {
		case !(g.Share > 0 && g.Share <= 1):
			return fmt.Errorf("mqttdev: fleet: group %d: share %v must be above 0 and at most 1", i+1, g.Share)
		case g.Period < time.Millisecond || g.Period > 24*time.Hour:
			return fmt.Errorf("mqttdev: fleet: group %d: period %v must be 1ms to 24h", i+1, g.Period)
		case g.QoS > 1:
			return fmt.Errorf("mqttdev: fleet: group %d: QoS %d must be 0 or 1", i+1, g.QoS)
		case g.Least < 0 || g.Most != 0 && g.Most < g.Least || max(g.Least, g.Most) > 1<<20:
			return fmt.Errorf("mqttdev: fleet: group %d: payload of %d to %d bytes must grow and be at most 1 MiB", i+1, g.Least, g.Most)
		case g.Reconnect < 0 || g.Abrupt && g.Reconnect == 0:
			return fmt.Errorf("mqttdev: fleet: group %d: reconnect after %d messages (abrupt: %v): abrupt needs a number", i+1, g.Reconnect, g.Abrupt)
		}
		sum += g.Share
	}
	if sum < 0.999 || sum > 1.001 {
		return fmt.Errorf("mqttdev: fleet: the shares of %d groups sum to %v, not to 1", len(groups), sum)
	}
	return nil
}

// Run lets the devices publish from the moment they are all connected until ctx
// ends, finishes what is under way, disconnects and returns when all goroutines
// have ended. Connected, which may be nil, is called at that moment. The error is
// ctx's if that does not come, or what was refused last when no further device could
// connect for FleetConfig.Patience.
func (f *Fleet) Run(ctx context.Context, connected func()) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	var all sync.WaitGroup
	begin := make(chan struct{})
	f.ready.Add(len(f.devices))
	for i := range f.devices {
		all.Go(func() { f.devices[i].run(ctx, begin) })
	}
	there := make(chan struct{})
	go func() { f.ready.Wait(); close(there) }()
	err := f.assemble(ctx, there)
	if err == nil {
		f.start = time.Now()
		if connected != nil {
			connected()
		}
		close(begin)
	} else {
		cancel()
	}
	all.Wait()
	<-there
	return err
}

// assemble waits until all devices are there, or none comes any more.
func (f *Fleet) assemble(ctx context.Context, there <-chan struct{}) error {
	tick := time.NewTicker(f.cfg.Patience)
	defer tick.Stop()
	for before := int64(0); ; {
		select {
		case <-there:
			if ctx.Err() == nil { // else they have given up
				return nil
			}
		case <-ctx.Done():
		case <-tick.C:
			if now := f.arrived.Load(); now > before {
				before = now
				continue
			}
			f.mu.Lock()
			defer f.mu.Unlock()
			if f.refusal == nil {
				f.refusal = errors.New("none: the broker does not answer")
			}
			return fmt.Errorf("mqttdev: fleet: %d of %d devices are connected, and no further one was in %v; the last refusal: %w",
				f.arrived.Load(), len(f.devices), f.cfg.Patience, f.refusal)
		}
		if err := ctx.Err(); err != nil {
			f.mu.Lock()
			defer f.mu.Unlock()
			return fmt.Errorf("mqttdev: fleet: %d of %d devices are connected: %w", f.arrived.Load(), len(f.devices), errors.Join(err, f.refusal))
		}
	}
}

// Stats returns the totals so far.
func (f *Fleet) Stats() FleetStats {
	return FleetStats{Connected: f.connected.Load(), Connects: f.connects.Load(), Reconnects: f.reconnects.Load(), Refused: f.refused.Load(),
		Broken: f.broken.Load(), Published: f.published.Load(), Again: f.again.Load(), Bytes: f.bytes.Load(), Wills: f.leftWill.Load()}
}

// Sent returns, for each device, how many messages it has published: its messages
// count from 1 to there. It is called when Run has returned.
func (f *Fleet) Sent() []uint32 {
	out := make([]uint32, len(f.devices))
	for i := range f.devices {
		out[i] = f.devices[i].sent
	}
	return out
}

// wait waits for d or the end of ctx.
func wait(ctx context.Context, d time.Duration) bool {
	if d <= 0 {
		return ctx.Err() == nil
	}
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-ctx.Done():
		return false
	case <-timer.C:
		return true
	}
}
