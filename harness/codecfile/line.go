package codecfile

import (
	"context"
	"fmt"
	"strconv"
	"strings"

	"plumbline/devices"
	"plumbline/devices/codec"
	"plumbline/devices/modbus"
	"plumbline/devices/polled"
	"plumbline/devices/scpi"
	"plumbline/devices/serialline"
)

// OnALine says why a device with this protocol cannot be on a serial line, nil if
// it can.
func (p Protocol) OnALine() error {
	if p.Codec != nil && codec.Whole(p.Codec) {
		return fmt.Errorf("%w: %s takes messages that come whole, as over MQTT; on a serial line nothing says where one ends: choose for example cobs+crc16", ErrCodec, p.Name)
	}
	return nil
}

// Played returns the codec of a recording; what must be asked cannot be played.
func (p Protocol) Played() (codec.Codec, error) {
	if p.Codec == nil {
		return nil, fmt.Errorf("%w: %s must be asked, so a recording of it cannot be played; use kind serial or serial-twin", ErrCodec, p.Name)
	}
	return p.Codec, nil
}

// Open opens the port of cfg and reads the device on it by the protocol, asking
// when it must be asked. Cfg.Codec is not used.
func (p Protocol) Open(ctx context.Context, cfg serialline.Config) (devices.Device, error) {
	if err := p.OnALine(); err != nil {
		return nil, err
	}
	cfg.Codec = p.Codec
	if p.Poll == nil {
		line, err := serialline.Open(ctx, cfg)
		if err != nil {
			return nil, err
		}
		return line, nil
	}
	baud := cfg.Baud
	if baud == 0 {
		baud = serialline.DefaultBaud
	}
	conversation, opts, err := p.Poll(baud)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrCodec, err)
	}
	cfg.Codec = codec.Chunks{}
	line, err := serialline.Open(ctx, cfg)
	if err != nil {
		return nil, err
	}
	opts.Clock, opts.Queue, opts.Damages = cfg.Clock, cfg.Queue, cfg.Damages
	asked, err := polled.New(line, conversation, opts)
	if err != nil {
		return nil, err
	}
	return asked, nil
}

// Answering returns what a twin of a device that must be asked says to the bytes
// that it hears; false when the device speaks by itself.
func (p Protocol) Answering(seed uint64) (hear func(said []byte) []byte, ok bool) {
	switch {
	case p.modbus != nil:
		_, hear = modbus.NewTwin(*p.modbus, seed)
		return hear, true
	case p.scpi != nil:
		return instrument(*p.scpi, seed).Hear, true
	}
	return nil, false
}

// instrument is a twin that knows all that is asked of it; its numbers wander.
func instrument(i scpi.Instrument, seed uint64) *scpi.Twin {
	twin := &scpi.Twin{Identity: "PLUMBLINE,TWIN," + strconv.FormatUint(seed, 16) + ",1.0", Answers: map[string]func() string{}}
	for n, q := range i.Queries {
		turn := uint64(0)
		twin.Answers[strings.ToUpper(q.Ask)] = func() string {
			turn++
			return strconv.FormatFloat(float64(devices.Mix(seed+uint64(n), turn/4)%10000)/1000, 'E', 4, 64)
		}
	}
	for _, command := range i.Start {
		word, _, _ := strings.Cut(strings.ToUpper(command), " ")
		twin.Commands = append(twin.Commands, word)
	}
	return twin
}
