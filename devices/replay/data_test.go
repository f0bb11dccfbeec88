package replay_test

import (
	"context"
	"errors"
	"io"
	"math"
	"testing"

	"plumbline/devices"
	"plumbline/devices/codec"
	"plumbline/devices/devicetest"
	"plumbline/devices/ptytwin"
	"plumbline/devices/replay"
	"plumbline/devices/serialline"
)

// recordings of real receivers with the counts that their provenance states:
// valid, invalid, and lines without checksum or of another kind.
var recordings = []struct {
	file                      string
	valid, invalid, unchecked uint64
}{
	{"gpsd-neo-m8n.log", 293, 0, 0},
	{"gpsd-ublox-neo-m9n-nmea.log", 1403, 0, 0},
	{"gpsd-ublox-zed-f9p-nmea.log", 1015, 0, 0},
	{"gpsd-ublox-8.log", 1007, 0, 2},
	{"gpsd-sirfstarv-nmea.log", 367, 0, 0},
	{"gpsd-bu303-nofix.log", 0, 0, 8},
	{"gpsd-quectel-l76k-nmea.log", 2280, 0, 0},
	{"gpsd-mt3339.log", 138, 0, 0},
	{"gpsd-mtk-3301.log", 56, 0, 3},
	{"gpsd-skytraq.log", 158, 0, 0},
	{"gpsd-telit-he910.log", 1558, 0, 0},
	{"gpsd-ericsson-gru04-02-70sec.log", 976, 0, 0},
	{"gpsd-garmin-geko201.log", 212, 0, 1},
	{"gpsd-st-teseo-liv4f.log", 0, 330, 0},
	{"gpsd-navisys-gr8013.log", 0, 0, 189},
	{"gpsd-hemi.log", 753, 0, 0},
	{"gpsd-nmea-rtk.log", 244, 0, 0},
	{"gpsd-nmea-fuzzy-cases.log", 28, 0, 0},
	{"gpsd-gp-320fw-2019-04-07-coldboot.log", 86, 41, 7},
	{"gpsd-sounder.log", 244, 0, 0},
	{"gpsd-humminbird-M37.log", 98, 0, 0},
	{"gpsd-bundg_zeus_9.log", 4999, 0, 0},
	{"gpsd-ais-nmea.log", 1496, 0, 0},
	{"gpsd-et-332.log", 106, 0, 35},
	{"pynmeagps-pygpsdata-nmeabadck.log", 1, 2, 0},
	{"pynmeagps-pygpsdata-nmeabadck2.log", 7, 0, 1},
	{"pynmeagps-pygpsdata-badeof.log", 4, 0, 1},
	{"pynmeagps-pygpsdata-BADHDR.log", 15, 1, 0},
	{"pynmeagps-pygpsdata-nmeafoo1.log", 8, 0, 0},
	{"pynmeagps-pygpsdata-nmeafoo2.log", 8, 0, 0},
	{"pynmeagps-pygpsdata-nmeastartup.log", 12, 0, 0},
	{"pynmeagps-pygpsdata-maritime.log", 15, 0, 0},
	{"pynmeagps-pygpsdata-nmea4.log", 57, 0, 0},
	{"pynmeagps-trimble_nmea.log", 21, 0, 0},
	{"pynmeagps-quectel_nmea_response.log", 100, 0, 0},
}

func TestRealRecordingsMatchTheirProvenance(t *testing.T) {
	for _, r := range recordings {
		t.Run(r.file, func(t *testing.T) {
			p, err := replay.Open(devicetest.Recording(t, "nmea", r.file), replay.Options{Speed: math.Inf(1)})
			if err != nil {
				t.Fatal(err)
			}
			defer p.Close()
			samples, err := drain(t, p)
			var corrupt *replay.CorruptError
			if !errors.Is(err, io.EOF) && !errors.As(err, &corrupt) {
				t.Fatal(err)
			}
			if r.valid+r.invalid == 0 && corrupt == nil {
				t.Error("a recording without any frame ends as if it were a good one")
			}
			c := p.Counters()
			if c.Good != r.valid || uint64(len(samples)) != r.valid || c.Damaged != r.invalid || c.Unchecked+c.Partial != r.unchecked {
				t.Errorf("%+v, %d samples; provenance says %d valid, %d invalid, %d without checksum or other",
					c, len(samples), r.valid, r.invalid, r.unchecked)
			}
		})
	}
}

// TestRealBytesThroughTheSerialDriver plays a recording into a pty and lets the
// real driver count.
func TestRealBytesThroughTheSerialDriver(t *testing.T) {
	for _, r := range recordings {
		if r.file != "gpsd-gp-320fw-2019-04-07-coldboot.log" && r.file != "gpsd-neo-m8n.log" {
			continue
		}
		t.Run(r.file, func(t *testing.T) {
			rec, err := replay.Load(devicetest.Recording(t, "nmea", r.file), replay.LoadOptions{})
			if err != nil {
				t.Fatal(err)
			}
			c := throughPty(t, rec, r.valid+r.invalid+r.unchecked, ptytwin.Options{Unpaced: true})
			if c.Good != r.valid || c.Damaged != r.invalid || c.Unchecked != r.unchecked {
				t.Errorf("%+v; provenance says %d valid, %d invalid, %d other", c, r.valid, r.invalid, r.unchecked)
			}
		})
	}
}

// TestEmbeddedThroughTheSerialDriver goes at the port's pace. What is sent fits
// into the port's buffer, so that no pause of this machine can make an overrun.
func TestEmbeddedThroughTheSerialDriver(t *testing.T) {
	rec, err := replay.Embedded()
	if err != nil {
		t.Fatal(err)
	}
	rec.Entries = rec.Entries[:45]
	if c := throughPty(t, rec, 45, ptytwin.Options{}); c.Good != 45 || c.Rejected() != 0 {
		t.Errorf("%+v, want 45 good lines", c)
	}
}

// throughPty feeds the recording to a twin and returns what the driver counted
// once it has judged all frames.
func throughPty(t *testing.T, rec *replay.Recording, frames uint64, opts ptytwin.Options) devices.Counters {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), devicetest.Patience)
	defer cancel()
	twin, err := ptytwin.NewPair(ctx, opts)
	if errors.Is(err, ptytwin.ErrUnsupported) {
		t.Skip("no pseudo terminals on this system")
	}
	if err != nil {
		t.Fatal(err)
	}
	defer twin.Close()
	line, err := serialline.Open(ctx, serialline.Config{Port: twin.Path(), Baud: 115200, Codec: codec.NMEA0183{},
		Mode: devices.Replay, Queue: 10_000})
	if err != nil {
		t.Fatal(err)
	}
	defer line.Close()
	if err := rec.Feed(ctx, twin, replay.Options{Speed: math.Inf(1)}); err != nil {
		t.Fatal(err)
	}
	devicetest.Eventually(t, "all frames to be judged", func() bool {
		c := line.Counters()
		if s := twin.Stats(); s.Overrun > 0 {
			t.Fatalf("the driver did not read in time: %+v", s)
		}
		return c.Good+c.Rejected() == frames
	})
	if s := twin.Stats(); s.Overrun+s.Cut+s.Lost != 0 {
		t.Fatalf("the driver did not read in time: %+v", s)
	}
	return line.Counters()
}
