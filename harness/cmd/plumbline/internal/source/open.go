package source

import (
	"context"
	"errors"
	"fmt"
	"io"

	"plumbline/devices"
	"plumbline/devices/hostsensor"
	"plumbline/devices/lock"
	"plumbline/devices/mqttdev"
	"plumbline/devices/mqttrule"
	"plumbline/devices/replay"
	"plumbline/devices/serialline"
	"plumbline/devices/simulated"
	"plumbline/harness/codecfile"
)

// Open opens what s names as one stream of samples. Twins and the host's own
// sensors speak by their own schedule from now on. The caller closes it.
func Open(ctx context.Context, s Spec) (devices.Device, error) {
	switch s.Kind {
	case "sim":
		id := s.ID
		if id == "" {
			id = "sim-" + s.What
		}
		twin, err := simulated.New(simulated.Kind(s.What), id, s.Seed, simulated.Options{})
		if err != nil {
			return nil, fmt.Errorf("%w: %w", ErrSpec, err)
		}
		return pace(twin, s.Seed), nil
	case "serial":
		return openSerial(ctx, s)
	case "replay":
		p, err := protocol(s.Codec, "nmea0183")
		if err != nil {
			return nil, err
		}
		c, err := p.Played()
		if err != nil {
			return nil, fmt.Errorf("%w: %w", ErrSpec, err)
		}
		return replay.Open(s.What, replay.Options{ID: s.ID, Speed: s.Speed, Load: replay.LoadOptions{Codec: c}})
	case "host":
		sensor, err := hostsensor.New(ctx, hostsensor.Options{ID: s.ID})
		if err != nil {
			return nil, err
		}
		return &closing{Device: pace(sensor, s.Seed), behind: sensor}, nil
	case "mqtt":
		return openMQTT(ctx, s)
	default:
		return nil, fmt.Errorf("%w: kind %q cannot be opened", ErrSpec, s.Kind)
	}
}

// closing closes the sensor behind a paced device with it.
type closing struct {
	devices.Device
	behind io.Closer
}

// Close implements devices.Device.
func (c *closing) Close() error { return errors.Join(c.Device.Close(), c.behind.Close()) }

func openSerial(ctx context.Context, s Spec) (devices.Device, error) {
	p, err := protocol(s.Codec, "linejson")
	if err != nil {
		return nil, err
	}
	cfg := serialline.Config{ID: s.ID, Port: s.What, Baud: s.Baud, Locks: &lock.Dir{}, Owner: "plumbline", Purpose: "watch"}
	s.Line.Configure(&cfg)
	return p.Open(ctx, cfg)
}

func openMQTT(ctx context.Context, s Spec) (devices.Device, error) {
	cfg := mqttdev.Config{ID: s.ID, Broker: s.URL, Filter: s.What, QoS: 1, KeepRetained: true}
	if s.Rule != "" {
		rule, err := mqttrule.ByName(s.Rule)
		if err != nil {
			return nil, fmt.Errorf("%w: %w", ErrSpec, err)
		}
		cfg.Rule = rule
	}
	return mqttdev.Open(ctx, cfg)
}

// protocol returns what the device speaks, by name or from a file.
func protocol(name, fallback string) (codecfile.Protocol, error) {
	if name == "" {
		name = fallback
	}
	p, err := codecfile.Choose(name)
	if err != nil {
		return p, fmt.Errorf("%w: %w", ErrSpec, err)
	}
	return p, nil
}
