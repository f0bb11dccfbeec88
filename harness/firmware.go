package harness

import (
	"context"
	"errors"
	"fmt"
	"io"
	"time"

	"plumbline/devices"
	"plumbline/devices/firmware"
	"plumbline/devices/mqttdev"
	"plumbline/devices/virtual"
	"plumbline/harness/fault"
)

const (
	// NodePeriod is how often a node of the virtual bench speaks where its
	// declaration does not say: 20 Hz.
	NodePeriod = 50 * time.Millisecond
	// nodeTemperature is what its sensor measures until somebody sets it.
	nodeTemperature = 21
)

// CommandRoot is the first level of the topics of commands to devices. It is not
// below TopicRoot: no viewer of the bench has to see them.
const CommandRoot = "command"

// CommandTopic returns where a device of the bench takes commands: the text of one
// with its number, for example "out 2 1 17" (see package firmware).
func CommandTopic(device string) string { return CommandRoot + "/" + device }

// openFirmware powers a node of the virtual bench up, lets the generator read its
// port as that of any serial device, and passes on to it what is published under
// its CommandTopic.
func openFirmware(ctx context.Context, s *sources, b *Bench, d DeviceSpec) error {
	var wire *fault.Serial
	period := d.period
	if period == 0 {
		period = NodePeriod
	}
	node, err := virtual.OpenNode(ctx, virtual.NodeOptions{
		Machine: virtual.Options{ID: d.ID, Number: uint32(b.seed(d.ID)), Temperature: nodeTemperature, Log: b.log}, Period: period,
		Wire: func(port, board io.Writer) (io.Writer, func([]byte)) {
			wire = fault.NewSerial(port, fault.SerialOptions{Recorder: b.Recorder, ToDevice: board})
			return wire, wire.Heard
		},
	})
	if err != nil {
		return err
	}
	s.closers = append(s.closers, node, wire) // closed in reverse: what the wire holds goes before its ends
	info := node.Info()
	s.order(order{Mode: info.Mode, Note: info.Note, Device: DeviceSpec{
		ID: d.ID, Kind: KindSerialTwin, Model: info.Model, Serial: info.Serial, Port: node.Path(), Baud: firmware.Baud, Codec: firmware.Codec().Name(),
	}})
	s.stand(d.ID, stand{info.Tier, info.Time})
	b.bind(d.ID, SerialLine{Line: wire, Port: node.Port()}, node)
	commands, err := openCommands(ctx, b, d.ID)
	if err != nil {
		return err
	}
	s.closers = append(s.closers, commands)
	s.players = append(s.players, func(ctx context.Context) error { return passCommands(ctx, commands, framed(wire.Heard)) })
	return nil
}

// openCommands subscribes to the commands of a device.
func openCommands(ctx context.Context, b *Bench, id string) (*mqttdev.Device, error) {
	username, password := b.SUT.BrokerAuth()
	return mqttdev.Open(ctx, mqttdev.Config{
		ID: id + " commands", Broker: b.SUT.Broker(), Version: b.SUT.BrokerVersion(), TLS: b.SUT.BrokerTLS(), Username: username, Password: []byte(password),
		Filter: CommandTopic(id), QoS: 1, Clock: b.Clock.Since, Log: b.log,
	})
}

// framed passes commands on as a node takes them. What cannot be one is dropped: the
// node would only count it.
func framed(to func([]byte)) func([]byte) {
	return func(text []byte) {
		if line, ok := firmware.Frame(text); ok {
			to(line)
		}
	}
}

// passCommands passes commands on as they come, until ctx ends.
func passCommands(ctx context.Context, commands *mqttdev.Device, to func([]byte)) error {
	for {
		sample, err := commands.Read(ctx)
		switch {
		case errors.Is(err, devices.ErrClosed):
			return nil
		case err != nil:
			return err
		}
		to(sample.Raw)
	}
}

// bind makes what scenarios do to a device known under its id.
func (b *Bench) bind(id string, line SerialLine, fixture devices.Fixture) {
	if b.Serial == nil {
		b.Serial = map[string]SerialLine{}
	}
	b.Serial[id] = line
	if fixture == nil {
		return
	}
	if b.Fixtures == nil {
		b.Fixtures = map[string]devices.Fixture{}
	}
	b.Fixtures[id] = fixture
}

// Stimulable returns the declared devices whose physical value a scenario can set
// or whose actuators it can move: nodes of the virtual bench, and real ones that say
// how.
func (r *Rig) Stimulable() []DeviceSpec {
	var list []DeviceSpec
	for _, d := range r.cfg.Devices {
		if d.IsNode() || d.Acts() {
			list = append(list, d)
		}
	}
	return list
}

// IsNode reports whether the device is a node of the virtual bench.
func (d *DeviceSpec) IsNode() bool {
	return d.Kind == KindFirmware || d.Kind == KindNodeTwin || d.Kind == KindGuestTwin
}

// Wired returns the declared devices of the third tier of the virtual bench, on
// which the scenarios of wires run in place of node twins that they stand up.
func (r *Rig) Wired() []DeviceSpec {
	var list []DeviceSpec
	for _, d := range r.cfg.Devices {
		if d.Kind == KindGuestTwin {
			list = append(list, d)
		}
	}
	return list
}

// Fixture returns what can be done to a device of the bench; the error wraps
// ErrBench when it is none of those that Rig.Stimulable names.
func (b *Bench) Fixture(id string) (devices.Fixture, error) {
	if f, ok := b.Fixtures[id]; ok {
		return f, nil
	}
	return nil, fmt.Errorf("harness: device %q: %w: nothing can be done to it but reading", id, ErrBench)
}
