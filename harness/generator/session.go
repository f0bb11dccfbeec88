package generator

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net"
	"net/url"
	"runtime"
	"slices"
	"strings"
	"sync/atomic"
	"time"

	"plumbline/devices"
	"plumbline/devices/simulated"
	"plumbline/harness/load"
	"plumbline/harness/local"
	"plumbline/harness/record"
	"plumbline/harness/remote"
)

// gapLeast is the least lateness of a wake-up that is logged as a gap.
const gapLeast = time.Millisecond

// begin opens devices and makes the generator.
func (s *server) begin(ctx context.Context, o settings) (any, error) {
	s.opening.Lock()
	defer s.opening.Unlock()
	if s.tape != nil {
		return nil, errors.New("generator: it is open already")
	}
	clock, err := s.clockOf(o)
	if err != nil {
		return nil, err
	}
	cfg, err := configOf(o)
	if err != nil {
		return nil, err
	}
	recorder := newTape(clock, o.ByMeaning, s.link.Cast)
	s.mu.Lock()
	s.tape = recorder
	s.mu.Unlock()
	cfg.Recorder, cfg.Log = recorder, s.log
	answer := opened{Infos: []devices.Info{}}
	if cfg.Sources, err = fleet(o.Fleet, o.Seed); err != nil {
		return nil, err
	}
	for i, order := range o.Devices {
		device, err := s.openDevice(ctx, Env{Seed: o.Seed, Clock: clock, Log: s.log, Event: recorder.Event}, order)
		if err != nil {
			return nil, &remote.Error{Code: codeDevice, Text: fmt.Sprintf("generator: device %d: %v", i+1, err)}
		}
		answer.Infos = append(answer.Infos, device.info())
		if device.Stream != nil {
			s.forwarded = append(s.forwarded, device)
			continue
		}
		cfg.Sources = append(cfg.Sources, load.Source{Device: device.Scheduled, Topic: device.Topic, QoS: 1})
	}
	if o.Process {
		s.hiccup, s.quiet = load.StartHiccup(clock, gapLeast), load.Quiet(memoryLimit)
	}
	g, err := load.NewGenerator(cfg)
	if err != nil {
		return nil, err
	}
	for _, d := range s.forwarded {
		// Before the answer: the harness knows the streams before their first message.
		if err := g.Announce(d.info(), d.Topic, load.ForwardOptions{QoS: 1}); err != nil {
			return nil, errors.Join(err, g.Close())
		}
	}
	answer.Streams = g.Streams()
	s.mu.Lock()
	defer s.mu.Unlock()
	s.generator, s.scheduled = g, len(cfg.Sources) > 0
	return answer, nil
}

// openDevice opens one device and keeps it for the end.
func (s *server) openDevice(ctx context.Context, env Env, order []byte) (Device, error) {
	if s.open == nil {
		return Device{}, errors.New("this generator opens no devices")
	}
	d, err := s.open(ctx, env, order)
	if err != nil {
		return Device{}, err
	}
	s.devices = append(s.devices, d)
	return d, nil
}

// clockOf returns the clock of the run.
func (s *server) clockOf(o settings) (*record.Clock, error) {
	switch {
	case o.Origin != nil:
		return record.ClockAt(*o.Origin)
	case s.clock != nil:
		return s.clock, nil
	default:
		return nil, errors.New("generator: no clock was named")
	}
}

// configOf reads the broker's part of the settings.
func configOf(o settings) (load.Config, error) {
	broker, err := url.Parse(o.Broker)
	if err != nil {
		return load.Config{}, errors.New("generator: the address of the broker is none") // it may hold a password
	}
	cfg := load.Config{
		Broker: broker, Version: o.Version, Username: o.Username, Password: o.Password, Run: o.Run, Seed: o.Seed,
		Sequence: o.Sequence, Reconnect: o.Reconnect,
	}
	if f := o.Fleet; f != nil {
		cfg.Rate = f.Rate
		if f.Count > 0 {
			cfg.Rate *= float64(f.Count) / float64(f.Devices)
		}
		if f.First > 0 {
			cfg.Seed = devices.Mix(o.Seed, uint64(f.First)) // of phases: no share speaks in time with another
		}
	}
	if len(o.CA) > 0 {
		cfg.TLS = &tls.Config{MinVersion: tls.VersionTLS12, RootCAs: x509.NewCertPool()}
		if !cfg.TLS.RootCAs.AppendCertsFromPEM(o.CA) {
			return cfg, errors.New("generator: the authority of the broker is no PEM certificate")
		}
	}
	cfg.Dial = dialOf(o)
	return cfg, nil
}

// dialOf is how devices reach the broker, nil for by its address.
func dialOf(o settings) func(device string) load.Dial {
	switch {
	case len(o.Hosts) > 0:
		var dealt atomic.Uint64 // hands come from several goroutines
		if o.Fleet != nil {
			dealt.Store(uint64(o.Fleet.First)) // so that shares do not all begin with the same host
		}
		return func(string) load.Dial {
			own := (dealt.Add(1) - 1) % uint64(len(o.Hosts))
			return toFirstOf(o.Local, slices.Concat(o.Hosts[own:], o.Hosts[:own]))
		}
	case o.Via != "":
		return func(string) load.Dial { return toFirstOf(o.Local, []string{o.Via}) }
	case o.Local != "":
		return func(string) load.Dial {
			return func(ctx context.Context, network, address string) (net.Conn, error) {
				return dialFrom(ctx, o.Local, network, address)
			}
		}
	}
	return nil
}

// toFirstOf goes to the first of some hosts that takes a connection, whatever is asked for.
func toFirstOf(from string, hosts []string) load.Dial {
	return func(ctx context.Context, network, _ string) (conn net.Conn, err error) {
		for _, host := range hosts {
			if conn, err = dialFrom(ctx, from, network, host); err == nil || ctx.Err() != nil {
				return conn, err
			}
		}
		return nil, err
	}
}

// dialFrom goes to an address, from a local one where both are of loopback. Linux has all of
// 127.0.0.0/8; other systems have 127.0.0.1 alone.
func dialFrom(ctx context.Context, from, network, address string) (net.Conn, error) {
	if runtime.GOOS != "linux" || !strings.HasPrefix(address, "127.") {
		from = ""
	}
	return local.Dialer(from).DialContext(ctx, network, address)
}

// fleet makes the computed devices.
func fleet(f *Fleet, seed uint64) ([]load.Source, error) {
	if f == nil {
		return nil, nil
	}
	twins, err := simulated.Fleet(f.Devices, seed, simulated.FleetOptions{})
	if err != nil {
		return nil, err
	}
	first, end := f.First, len(twins)
	if f.Count > 0 {
		end = first + f.Count
	}
	if first < 0 || first > end || end > len(twins) {
		return nil, fmt.Errorf("generator: devices %d to %d of %d", first+1, end, len(twins))
	}
	var sources []load.Source
	for i := first; i < end; i++ {
		twin := twins[i]
		if f.Pad > 0 {
			twin = padded{twin, strings.Repeat("x", f.Pad)}
		}
		source := load.Source{Device: twin, Topic: f.Root + "/" + twin.Info().ID, QoS: f.QoS, Retain: f.Retain}
		if f.BurstEvery > 0 && i%f.BurstEvery == 0 {
			source.Burst = f.Burst
		}
		sources = append(sources, source)
	}
	return sources, nil
}

// padded is a device whose samples hold a text beside their values.
type padded struct {
	devices.Scheduled
	text string
}

// Sample implements devices.Scheduled.
func (p padded) Sample(seq uint64, due time.Duration) devices.Sample {
	s := p.Scheduled.Sample(seq, due)
	s.Values = append(slices.Clip(s.Values), devices.Value{Name: "pad", Text: p.text, IsText: true})
	return s
}

// end ends everything, devices first, and says how the process fared. Called
// again it says the same.
func (s *server) end() (*ended, error) {
	s.opening.Lock()
	defer s.opening.Unlock()
	s.mu.Lock()
	if s.final != nil {
		defer s.mu.Unlock()
		return s.final, nil
	}
	s.final = &ended{Damaged: []uint64{}}
	g, t := s.generator, s.tape
	s.mu.Unlock()
	var errs []error
	for _, d := range slices.Backward(s.devices) {
		if d.Closer != nil {
			errs = append(errs, d.Closer.Close())
		}
	}
	if g != nil {
		errs = append(errs, g.Close())
	}
	for _, d := range s.devices {
		var c devices.Counters
		if d.Stream != nil {
			c = d.Stream.Counters()
		}
		s.final.Damaged, s.final.Counted = append(s.final.Damaged, c.Damaged), append(s.final.Counted, c)
	}
	if t != nil {
		t.end()
	}
	if s.hiccup != nil {
		report, gc := s.hiccup.Stop(), s.quiet()
		s.final.Hiccup, s.final.GC = &report, &gc
	}
	return s.final, errors.Join(errs...)
}
