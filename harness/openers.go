package harness

import (
	"context"
	"io"
	"time"

	"plumbline/devices"
	"plumbline/devices/mqttdev"
	"plumbline/devices/ptytwin"
	"plumbline/devices/replay"
	"plumbline/devices/simulated"
	"plumbline/harness/fault"
)

// opener prepares one declared device and adds it to s: with an order for the
// generator, or with what it needs here.
type opener func(ctx context.Context, s *sources, b *Bench, d DeviceSpec) error

var openers = map[string]opener{
	KindTwin:       orderDevice,
	KindHost:       orderDevice,
	KindSerial:     orderDevice,
	KindSerialTwin: openSerialTwin,
	KindRecording:  orderDevice,
	KindMQTT:       openMQTT,
	KindMQTTTwin:   openMQTTTwin,
	KindFirmware:   openFirmware,
}

// orderDevice leaves a device to the generator.
func orderDevice(_ context.Context, s *sources, _ *Bench, d DeviceSpec) error {
	s.order(order{Device: d, Mode: devices.Real})
	return nil
}

// gpsPeriod is how often the serial twin reports a fix: a burst of three
// sentences, about 0.2 s at 9600 baud.
const gpsPeriod = 500 * time.Millisecond

// SerialLine is what lies between a serial twin of the bench and its driver, to
// be broken: Line disturbs what goes over it, Port can be pulled out (see
// fault.Unplug).
type SerialLine struct {
	Line *fault.Serial
	Port *ptytwin.Twin
}

// lineTo puts a line before a new twin.
func (b *Bench) lineTo(ctx context.Context, s *sources, id string) (SerialLine, error) {
	var l SerialLine
	l.Line = fault.NewSerial(writer(func(p []byte) (int, error) { return l.Port.Write(p) }), fault.SerialOptions{Recorder: b.Recorder})
	twin, err := ptytwin.NewPair(ctx, ptytwin.Options{OnReceive: l.Line.Heard})
	if err != nil {
		return l, err
	}
	l.Port = twin
	s.closers = append(s.closers, twin, l.Line)
	b.bind(id, l, nil)
	s.stand(id, stand{devices.PortTier, devices.Live})
	return l, nil
}

type writer func(p []byte) (int, error)

// Write implements io.Writer.
func (w writer) Write(p []byte) (int, error) { return w(p) }

// openSerialTwin puts a device on a pseudo terminal and reads it with the real
// serial driver: a computed receiver, or a recording fed byte by byte.
func openSerialTwin(ctx context.Context, s *sources, b *Bench, d DeviceSpec) error {
	serial, err := b.lineTo(ctx, s, d.ID)
	if err != nil {
		return err
	}
	twin := serial.Port
	mode, note := devices.Sim, "pseudo terminal, paced by its baud rate"
	play := func(ctx context.Context) error { return playGPS(ctx, b, serial.Line, d) }
	if d.Path != "" {
		chosen, err := codecOf(d.Codec)
		if err != nil {
			return err
		}
		rec, err := loadRecording(d.Path, chosen, d.Baud)
		if err != nil {
			return err
		}
		mode, note = devices.Replay, "recording "+d.Path+" over a pseudo terminal"
		play = func(ctx context.Context) error { return rec.Feed(ctx, serial.Line, replay.Options{Loops: -1}) }
	}
	d.Port = twin.Path()
	s.order(order{Device: d, Mode: mode, Note: note})
	s.players = append(s.players, play)
	return nil
}

// playGPS lets a computed receiver speak NMEA 0183 until ctx ends.
func playGPS(ctx context.Context, b *Bench, line io.Writer, d DeviceSpec) error {
	gps, err := simulated.New(simulated.GPS, d.ID, b.seed(d.ID), simulated.Options{Period: gpsPeriod, Phase: time.Millisecond})
	if err != nil {
		return err
	}
	return ptytwin.PlayTo(ctx, line, gps, b.seed(d.ID), nil, func(sample devices.Sample) []byte {
		return simulated.AppendNMEA(nil, sample, time.Now().UTC())
	})
}

func openMQTT(_ context.Context, s *sources, b *Bench, d DeviceSpec) error {
	s.watchTopic(b, devices.Info{ID: d.ID, Kind: KindMQTT, Mode: devices.Real, Model: d.Model, Serial: d.Serial, Path: d.Topic}, d.Topic, 1)
	return nil
}

func openMQTTTwin(_ context.Context, s *sources, b *Bench, d DeviceSpec) error {
	twin, err := simulated.New(simulated.Power, d.ID, b.seed(d.ID), simulated.Options{Period: d.period})
	if err != nil {
		return err
	}
	username, password := b.SUT.BrokerAuth()
	sensor, err := mqttdev.NewTwin(mqttdev.TwinConfig{
		Broker: b.SUT.Broker(), Version: b.SUT.BrokerVersion(), TLS: b.SUT.BrokerTLS(), Username: username, Password: []byte(password),
		Name: d.ID, Source: twin, Seed: b.seed(d.ID), QoS: 1, Clock: b.Clock.Since,
	})
	if err != nil {
		return err
	}
	info := twin.Info()
	info.Kind, info.Path, info.Note = KindMQTTTwin, sensor.Topic(), "publishes by itself, as a Tasmota plug does"
	s.watchTopic(b, info, sensor.Topic(), 1)
	s.players = append(s.players, sensor.Run)
	return nil
}

// seed derives the seed of one device from the seed of the run.
func (b *Bench) seed(id string) uint64 { return seedOf(b.rig.cfg.Seed, id) }

func seedOf(run uint64, id string) uint64 {
	for _, c := range []byte(id) {
		run = devices.Mix(run, uint64(c))
	}
	return run
}
