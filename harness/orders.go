package harness

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"

	"plumbline/devices"
	"plumbline/devices/hostsensor"
	"plumbline/devices/inventory"
	"plumbline/devices/lock"
	"plumbline/devices/replay"
	"plumbline/devices/serialline"
	"plumbline/devices/simulated"
	"plumbline/harness/generator"
)

// order says which device the generator is to open. A serial twin has the port at
// which its driver finds it.
type order struct {
	Device DeviceSpec
	Mode   devices.Mode // of a serial line
	Note   string       // likewise
	Guest  string       // host:port of the agent of the guest that has the device's port; "" = the port is here
	Root   string       // where its port is looked for; "" is this machine
}

// ServeGenerator is the process that Config.Generator names: it makes load over
// in and out as the harness calls for, until that ends them. It blocks so long.
// What it logs says nothing secret.
func ServeGenerator(ctx context.Context, in io.ReadCloser, out io.WriteCloser, log *slog.Logger) error {
	return generator.Serve(ctx, in, out, openOrder, log)
}

// openOrder opens a device in the generator.
func openOrder(ctx context.Context, env generator.Env, text json.RawMessage) (generator.Device, error) {
	var o order
	if err := json.Unmarshal(text, &o); err != nil {
		return generator.Device{}, fmt.Errorf("harness: order of a device: %w", err)
	}
	d := o.Device
	if _, problem := d.check(); problem != "" && d.Kind != KindSerialTwin && o.Guest == "" { // which have a port here
		return generator.Device{}, fmt.Errorf("harness: device %q: %s", d.ID, problem)
	}
	opened, err := openHere(ctx, env, o, d)
	if err != nil {
		return generator.Device{}, fmt.Errorf("harness: device %q: %w", d.ID, err)
	}
	opened.Topic = Topic(d.ID)
	return opened, nil
}

func openHere(ctx context.Context, env generator.Env, o order, d DeviceSpec) (generator.Device, error) {
	switch d.Kind {
	case KindGuestTwin:
		return openInGuest(ctx, env, o, d)
	case KindTwin:
		return openTwin(env, d)
	case KindHost:
		sensor, err := hostsensor.New(ctx, hostsensor.Options{ID: d.ID, Period: d.period, Log: env.Log})
		return generator.Device{Scheduled: sensor, Closer: sensor}, err
	case KindSerial, KindSerialTwin:
		return openSerial(ctx, env, o, d)
	case KindRecording:
		return openRecording(env, d)
	default:
		return generator.Device{}, errors.New("its kind is none that the generator opens")
	}
}

func openTwin(env generator.Env, d DeviceSpec) (generator.Device, error) {
	kind := simulated.Kind(d.Model)
	if kind == "" {
		kind = simulated.Temperature
	}
	twin, err := simulated.New(kind, d.ID, seedOf(env.Seed, d.ID), simulated.Options{Period: d.period})
	return generator.Device{Scheduled: twin}, err
}

func openSerial(ctx context.Context, env generator.Env, o order, d DeviceSpec) (generator.Device, error) {
	chosen, err := protocolOf(d.Codec)
	if err != nil {
		return generator.Device{}, err
	}
	cfg := serialline.Config{
		ID: d.ID, Port: d.Port, Mode: o.Mode, Model: d.Model, Serial: d.Serial, Note: o.Note, Baud: d.Baud,
		Clock: env.Clock.Since, Log: env.Log, Inventory: inventory.Inventory{Root: o.Root},
	}
	d.Configure(&cfg)
	followPort(&cfg, env.Event)
	if d.Kind == KindSerial { // a twin's port is nobody else's
		cfg.Locks, cfg.Owner, cfg.Purpose = &lock.Dir{}, "plumbline", "device "+d.ID+" of a run"
		if d.Acts() {
			return openBoardLine(ctx, cfg, d)
		}
	}
	line, err := chosen.Open(ctx, cfg)
	return generator.Device{Stream: line, Closer: line}, err
}

func openRecording(env generator.Env, d DeviceSpec) (generator.Device, error) {
	chosen, err := protocolOf(d.Codec)
	if err != nil {
		return generator.Device{}, err
	}
	rec, err := loadRecording(d.Path, chosen, d.Baud)
	if err != nil {
		return generator.Device{}, err
	}
	// Opening starts the playing, so it waits for the window.
	p := &lateRecording{info: devices.Info{ID: d.ID, Kind: rec.Codec.Name(), Mode: devices.Replay, Model: rec.Device, Path: rec.Path, Note: rec.Note}}
	p.open = func() (devices.Device, error) {
		return rec.Open(replay.Options{ID: d.ID, Speed: d.Speed, Loops: -1, Clock: env.Clock.Since})
	}
	return generator.Device{Stream: p, Closer: p}, nil
}
