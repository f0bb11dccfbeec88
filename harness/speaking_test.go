package harness

import (
	"context"
	"fmt"
	"log/slog"
	"sync"
	"testing"
	"time"

	"plumbline/devices"
	"plumbline/devices/polled"
	"plumbline/harness/generator"
	"plumbline/harness/record"
)

// TestSerialTwinsSpeakTheirProtocols puts a twin of each protocol on a pseudo
// terminal, two of which must be asked, and reads it by the real driver.
func TestSerialTwinsSpeakTheirProtocols(t *testing.T) {
	text := "apiVersion: plumbline/v1\nkind: Rig\nname: r\ndevices:\n"
	codecs := []string{"nmea0183", "sds011", "pms5003", "dsmr-p1", "csv", "keyvalue", "cobs+crc16", "slip+crc32", "senml+json", "candump",
		"codecfile/testdata/semicolons.yaml", "codecfile/testdata/weather.yaml", "codecfile/testdata/scale.yaml", "codecfile/testdata/mh-z19b.yaml", "codecfile/testdata/mcu680.yaml",
		"codecfile/testdata/heat-pump.yaml", "codecfile/testdata/supply.yaml"}
	for i, c := range codecs {
		text += fmt.Sprintf("  - {id: twin-%d, kind: serial-twin, baud: 115200, codec: %s}\n", i, c)
	}
	specs, err := ParseDevices("rig.yaml", []byte(text))
	if err != nil {
		t.Fatal(err)
	}
	b := &Bench{rig: &Rig{cfg: Config{Seed: 3}}, Clock: record.NewClock(), log: slog.New(slog.DiscardHandler)}
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	s, err := openSources(ctx, b, specs)
	defer func() {
		if err := s.close(); err != nil {
			t.Error(err)
		}
	}()
	if err != nil {
		t.Fatal(err)
	}
	env := generator.Env{Clock: b.Clock, Log: b.log, Seed: 3}
	var opened []devices.Device
	for _, o := range s.orders {
		d, err := openHere(ctx, env, o, o.Device)
		if err != nil {
			t.Fatal(err)
		}
		defer func() { _ = d.Closer.Close() }()
		opened = append(opened, d.Stream)
	}
	run, stop := context.WithCancel(ctx)
	var playing sync.WaitGroup
	for _, play := range s.players {
		playing.Go(func() { _ = play(run) })
	}
	defer playing.Wait()
	defer stop()
	for i, d := range opened {
		for range 2 {
			sample, err := d.Read(ctx)
			if err != nil || len(sample.Values) == 0 {
				t.Fatalf("the twin that speaks %s: %+v, %v; %+v %+v", codecs[i], sample, err, d.Counters(), d.Damages())
			}
		}
		// On a machine that stands still an answer comes too late, and counts so.
		_, asks := d.(*polled.Device)
		if c := d.Counters(); c.Damaged != 0 && !asks {
			t.Errorf("%s: %+v %+v", codecs[i], c, d.Damages())
		}
	}
}
