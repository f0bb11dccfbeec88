package harness

import (
	"context"
	"time"

	"plumbline/devices"
	"plumbline/devices/hostsensor"
	"plumbline/devices/mqttdev"
	"plumbline/devices/ptytwin"
	"plumbline/devices/replay"
	"plumbline/devices/serialline"
	"plumbline/devices/simulated"
)

// opener opens one declared device and adds it to s.
type opener func(ctx context.Context, s *sources, b *Bench, d DeviceSpec) error

var openers = map[string]opener{
	KindTwin:       openTwin,
	KindHost:       openHost,
	KindSerial:     openSerial,
	KindSerialTwin: openSerialTwin,
	KindRecording:  openRecording,
	KindMQTT:       openMQTT,
	KindMQTTTwin:   openMQTTTwin,
}

func openTwin(_ context.Context, s *sources, b *Bench, d DeviceSpec) error {
	kind := simulated.Kind(d.Model)
	if kind == "" {
		kind = simulated.Temperature
	}
	twin, err := simulated.New(kind, d.ID, b.seed(d.ID), simulated.Options{Period: d.period})
	if err == nil {
		s.schedule(twin, nil)
	}
	return err
}

func openHost(ctx context.Context, s *sources, b *Bench, d DeviceSpec) error {
	sensor, err := hostsensor.New(ctx, hostsensor.Options{ID: d.ID, Period: d.period, Log: b.log})
	if err == nil {
		s.schedule(sensor, sensor)
	}
	return err
}

func openSerial(ctx context.Context, s *sources, b *Bench, d DeviceSpec) error {
	chosen, err := codecOf(d.Codec)
	if err != nil {
		return err
	}
	line, err := serialline.Open(ctx, serialline.Config{
		ID: d.ID, Port: d.Port, Model: d.Model, Serial: d.Serial, Baud: d.Baud, Codec: chosen, Clock: b.Clock.Since, Log: b.log,
	})
	if err == nil {
		s.stream(line, d.ID)
	}
	return err
}

// gpsPeriod is how often the serial twin reports a fix: a burst of three
// sentences, about 0.2 s at 9600 baud.
const gpsPeriod = 500 * time.Millisecond

// openSerialTwin puts a device on a pseudo terminal and reads it with the real
// serial driver: a computed receiver, or a recording fed byte by byte.
func openSerialTwin(ctx context.Context, s *sources, b *Bench, d DeviceSpec) error {
	twin, err := ptytwin.NewPair(ctx, ptytwin.Options{})
	if err != nil {
		return err
	}
	s.closers = append(s.closers, twin)
	mode, note := devices.Sim, "pseudo terminal, paced by its baud rate"
	play := func(ctx context.Context) error { return playGPS(ctx, b, twin, d) }
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
		play = func(ctx context.Context) error { return rec.Feed(ctx, twin, replay.Options{Loops: -1}) }
	}
	chosen, err := codecOf(d.Codec)
	if err != nil {
		return err
	}
	line, err := serialline.Open(ctx, serialline.Config{
		ID: d.ID, Port: twin.Path(), Mode: mode, Model: d.Model, Note: note, Baud: d.Baud, Codec: chosen, Clock: b.Clock.Since, Log: b.log,
	})
	if err != nil {
		return err
	}
	s.stream(line, d.ID)
	s.players = append(s.players, play)
	return nil
}

// playGPS lets a computed receiver speak NMEA 0183 until ctx ends.
func playGPS(ctx context.Context, b *Bench, twin *ptytwin.Twin, d DeviceSpec) error {
	gps, err := simulated.New(simulated.GPS, d.ID, b.seed(d.ID), simulated.Options{Period: gpsPeriod, Phase: time.Millisecond})
	if err != nil {
		return err
	}
	return twin.Play(ctx, gps, b.seed(d.ID), nil, func(sample devices.Sample) []byte {
		return simulated.AppendNMEA(nil, sample, time.Now().UTC())
	})
}

func openRecording(_ context.Context, s *sources, b *Bench, d DeviceSpec) error {
	chosen, err := codecOf(d.Codec)
	if err != nil {
		return err
	}
	rec, err := loadRecording(d.Path, chosen, d.Baud)
	if err != nil {
		return err
	}
	// Opening starts the playing, so it waits for the window.
	p := &lateRecording{info: devices.Info{ID: d.ID, Kind: rec.Codec.Name(), Mode: devices.Replay, Model: rec.Device, Path: rec.Path, Note: rec.Note}}
	p.open = func() (devices.Device, error) {
		return rec.Open(replay.Options{ID: d.ID, Speed: d.Speed, Loops: -1, Clock: b.Clock.Since})
	}
	s.stream(p, d.ID)
	return nil
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
		Broker: b.SUT.Broker(), TLS: b.SUT.BrokerTLS(), Username: username, Password: []byte(password),
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
func (b *Bench) seed(id string) uint64 {
	mixed := b.rig.cfg.Seed
	for _, c := range []byte(id) {
		mixed = devices.Mix(mixed, uint64(c))
	}
	return mixed
}
