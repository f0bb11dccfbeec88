package harness

import (
	"context"
	"fmt"
	"io"
	"slices"
	"time"

	"plumbline/devices"
	"plumbline/devices/firmware"
	"plumbline/devices/ptytwin"
	"plumbline/devices/virtual"
	"plumbline/harness/fault"
)

// openNodeTwin stands a computed node on a pseudo terminal and lets the generator
// read its port as that of any serial device.
func openNodeTwin(ctx context.Context, s *sources, b *Bench, d DeviceSpec) error {
	return standNode(ctx, s, b, d, place{at: stand{devices.PortTier, devices.Live}, order: func(node devices.Info) order {
		return order{Mode: node.Mode, Note: node.Note, Device: DeviceSpec{
			ID: d.ID, Kind: KindSerialTwin, Model: node.Model, Serial: node.Serial, Port: node.Path, Baud: d.Baud, Codec: firmware.Codec().Name(),
		}}
	}})
}

// place is where a computed node stands.
type place struct {
	at    stand
	open  func() (ptytwin.Port, error)                                 // nil = a pty
	order func(node devices.Info) order                                // for who reads the port
	tell  func(ctx context.Context, port string, command []byte) error // nil = commands go to the device's own end of the line
}

// standNode stands a computed node somewhere, keeps a ledger of its lines and
// passes commands on to it.
func standNode(ctx context.Context, s *sources, b *Bench, d DeviceSpec, p place) error {
	var wire *fault.Serial
	ledger := &Ledger{fate: Whole}
	period := d.period
	if period == 0 {
		period = NodePeriod
	}
	seed := b.seed(d.ID)
	node, err := virtual.OpenTwin(ctx, virtual.TwinOptions{
		ID: d.ID, Number: uint32(seed), Temperature: nodeTemperature, Period: period, Drift: d.Drift,
		Phase: time.Duration(seed % uint64(period)), Open: p.open,
		Wire: func(port, board io.Writer) (io.Writer, func([]byte)) {
			wire = fault.NewSerial(port, fault.SerialOptions{Recorder: b.Recorder, ToDevice: board})
			ledger.to = wire
			return ledger, wire.Heard
		},
	})
	if err != nil {
		return err
	}
	ledger.mu.Lock() // against what is being said already
	ledger.port = node.Port()
	ledger.mu.Unlock()
	s.closers = append(s.closers, node, wire) // as in openFirmware
	info := node.Info()
	own := &ledgered{Starter: node, ledger: ledger}
	fixture, read := Starter(own), p.order(info)
	if a, behind := b.plan.Adapters[d.ID]; behind {
		usb, err := s.hub()
		if err != nil {
			return err
		}
		if fixture, err = usb.plugged(own, node.Path(), a); err != nil {
			return err
		}
		read.Device.Port, read.Root = d.Port, usb.root
	}
	s.order(read)
	s.stand(d.ID, p.at)
	b.bind(d.ID, SerialLine{Line: wire, Port: node.Port(), Ledger: ledger, Serial: info.Serial}, fixture)
	if !slices.ContainsFunc(b.rig.cfg.Devices, func(own DeviceSpec) bool { return own.ID == d.ID && own.Kind == d.Kind }) {
		return nil // of a scenario's own fleet, to which nobody sends commands
	}
	commands, err := openCommands(ctx, b, d.ID)
	if err != nil {
		return err
	}
	s.closers = append(s.closers, commands)
	s.players = append(s.players, func(ctx context.Context) error {
		return passCommands(ctx, commands, framed(func(command []byte) {
			if p.tell == nil {
				wire.Heard(command)
				return
			}
			if err := p.tell(ctx, info.Path, command); err != nil {
				b.log.Warn("command did not come to the device", "device", d.ID, "error", err)
			}
		}))
	})
	return nil
}

// ledgered is a fixture whose ledger knows what is done to it: nothing happens
// within a line.
type ledgered struct {
	Starter
	ledger *Ledger
}

// Impairment is what is done to a device's line; scenarios know devices through
// this package only.
type Impairment = devices.Impairment

// Starter is a fixture that can be started anew, as by a reset button.
type Starter interface {
	devices.Fixture
	Reset(ctx context.Context) error
}

// Unplug implements devices.Fixture.
func (f *ledgered) Unplug(ctx context.Context) error {
	return f.ledger.Between(ctx, Gone, func() error { return f.Starter.Unplug(ctx) })
}

// Plug implements devices.Fixture.
func (f *ledgered) Plug(ctx context.Context) error {
	return f.ledger.Between(ctx, Whole, func() error { return f.Starter.Plug(ctx) })
}

// Impair implements devices.Fixture: the ledger makes the noise.
func (f *ledgered) Impair(ctx context.Context, i devices.Impairment) error {
	if !(i.Noise >= 0 && i.Noise <= 1) {
		return fmt.Errorf("harness: noise %v is not between 0 and 1", i.Noise)
	}
	f.ledger.Noise(i.Noise, i.Seed)
	i.Noise = 0
	return f.Starter.Impair(ctx, i)
}
