package harness

import (
	"context"
	"io"
	"time"

	"plumbline/devices"
	"plumbline/devices/codec"
	"plumbline/devices/ptytwin"
	"plumbline/devices/replay"
	"plumbline/devices/simulated"
	"plumbline/harness/codecfile"
	"plumbline/harness/fault"
)

// opener prepares one declared device and adds it to s: with an order for the
// generator, or with what it needs here.
type opener func(ctx context.Context, s *sources, b *Bench, d DeviceSpec) error

var openers = map[string]opener{
	KindTwin:       orderDevice,
	KindHost:       orderDevice,
	KindSerial:     openSerialDevice,
	KindSerialTwin: openSerialTwin,
	KindRecording:  orderDevice,
	KindMQTT:       openMQTT,
	KindMQTTTwin:   openMQTTTwin,
	KindFirmware:   openFirmware,
	KindNodeTwin:   openNodeTwin,
	KindGuestTwin:  openGuestTwin,
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
	Line   *fault.Serial
	Port   *ptytwin.Twin
	Ledger *Ledger // of a node twin; nil for all others
	Serial string  // likewise: the serial number that its lines say
}

// lineTo puts a line before a new twin, which answers what answer returns for the
// bytes that it hears; nil = nothing.
func (b *Bench) lineTo(ctx context.Context, s *sources, id string, answer func([]byte) []byte) (SerialLine, error) {
	var l SerialLine
	var heard []byte // what reached the device; owned by the twin's reading goroutine
	l.Line = fault.NewSerial(writer(func(p []byte) (int, error) { return l.Port.Write(p) }), fault.SerialOptions{Recorder: b.Recorder,
		ToDevice: writer(func(p []byte) (int, error) {
			heard = append(heard, p...)
			return len(p), nil
		})})
	ready := make(chan struct{}) // closed when l is whole
	twin, err := ptytwin.NewPair(ctx, ptytwin.Options{OnReceive: func(p []byte) {
		<-ready
		heard = heard[:0]
		l.Line.Heard(p)
		if answer == nil || len(heard) == 0 {
			return
		}
		if said := answer(heard); len(said) > 0 {
			_, _ = l.Line.Write(said) // what cannot be said is an answer that does not come: the driver counts it
		}
	}})
	if err != nil {
		return l, err
	}
	l.Port = twin
	close(ready)
	s.closers = append(s.closers, twin, l.Line)
	b.bind(id, l, nil)
	s.stand(id, stand{devices.PortTier, devices.Live})
	return l, nil
}

type writer func(p []byte) (int, error)

// Write implements io.Writer.
func (w writer) Write(p []byte) (int, error) { return w(p) }

// openSerialTwin puts a device on a pseudo terminal and reads it with the real
// serial driver: a computed device that speaks by itself or answers, or a
// recording fed byte by byte.
func openSerialTwin(ctx context.Context, s *sources, b *Bench, d DeviceSpec) error {
	chosen, err := protocolOf(d.Codec)
	if err != nil {
		return err
	}
	answer, asked := chosen.Answering(b.seed(d.ID))
	serial, err := b.lineTo(ctx, s, d.ID, answer)
	if err != nil {
		return err
	}
	mode, note := devices.Sim, "pseudo terminal, paced by its baud rate"
	var play player
	switch {
	case d.Path != "":
		rec, err := loadRecording(d.Path, chosen, d.Baud)
		if err != nil {
			return err
		}
		mode, note = devices.Replay, "recording "+d.Path+" over a pseudo terminal"
		play = func(ctx context.Context) error { return rec.Feed(ctx, serial.Line, replay.Options{Loops: -1}) }
	case !asked:
		if play, err = speak(b, serial.Line, chosen, d); err != nil {
			return err
		}
	}
	d.Port = serial.Port.Path()
	s.order(order{Device: d, Mode: mode, Note: note})
	if play != nil {
		s.players = append(s.players, play)
	}
	return nil
}

// speak lets a computed device speak its protocol until ctx ends.
func speak(b *Bench, line io.Writer, p codecfile.Protocol, d DeviceSpec) (player, error) {
	opts := simulated.Options{Phase: time.Millisecond}
	if _, gps := p.Codec.(codec.NMEA0183); gps {
		opts.Period = gpsPeriod
	}
	twin, voice, err := simulated.Speak(p.Codec, d.ID, b.seed(d.ID), opts, time.Now)
	if err != nil {
		return nil, err
	}
	return func(ctx context.Context) error { return ptytwin.PlayTo(ctx, line, twin, b.seed(d.ID), nil, voice) }, nil
}

func openMQTT(_ context.Context, s *sources, b *Bench, d DeviceSpec) error {
	s.watchTopics(b, devices.Info{ID: d.ID, Kind: KindMQTT, Mode: devices.Real, Model: d.Model, Serial: d.Serial, Path: d.Topic}, []string{d.Topic}, 1)
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
