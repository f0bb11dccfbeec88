package source

import (
	"context"
	"fmt"

	"plumbline/devices"
	"plumbline/devices/codec"
	"plumbline/devices/replay"
	"plumbline/devices/serialline"
	"plumbline/devices/simulated"
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
		c, err := lineCodec(s.Codec, "nmea0183")
		if err != nil {
			return nil, err
		}
		return replay.Open(s.What, replay.Options{ID: s.ID, Speed: s.Speed, Load: replay.LoadOptions{Codec: c}})
	default:
		return nil, fmt.Errorf("%w: kind %q cannot be opened", ErrSpec, s.Kind)
	}
}

func openSerial(ctx context.Context, s Spec) (devices.Device, error) {
	c, err := lineCodec(s.Codec, "linejson")
	if err != nil {
		return nil, err
	}
	return serialline.Open(ctx, serialline.Config{ID: s.ID, Port: s.What, Baud: s.Baud, Codec: c})
}

func lineCodec(name, fallback string) (codec.Codec, error) {
	if name == "" {
		name = fallback
	}
	c, err := codec.ByName(name)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrSpec, err)
	}
	return c, nil
}
