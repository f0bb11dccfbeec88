package simulated_test

import (
	"context"
	"errors"
	"strings"
	"testing"
	"time"

	"plumbline/devices"
	"plumbline/devices/codec"
	"plumbline/devices/devicetest"
	"plumbline/devices/ptytwin"
	"plumbline/devices/serialline"
	"plumbline/devices/simulated"
)

// voices are the protocols that twins speak.
func voices() []codec.Codec {
	var out []codec.Codec
	for _, c := range codec.All() {
		if !codec.Whole(c) {
			out = append(out, c)
		}
	}
	return out
}

// framesIn counts the good frames in what a voice said for one sample.
func framesIn(c codec.Codec, said []byte) (good int) {
	framer, decoder := c.NewFramer(), codec.NewDecoder(c)
	framer.Push(0, said, func(f codec.Frame) {
		if _, err := decoder.Decode(f.Raw); err == nil && f.Fault == "" {
			good++
		}
	})
	return good
}

// TestTwinsMeetTheirCodecsOverAPty lets the twin of each protocol speak into a
// pty that the serial driver reads, whole first and then with noise on the line.
func TestTwinsMeetTheirCodecsOverAPty(t *testing.T) {
	for _, c := range voices() {
		t.Run(c.Name(), func(t *testing.T) {
			t.Parallel()
			source, say, err := simulated.Speak(c, "twin-1", 5, simulated.Options{}, func() time.Time { return time.Unix(1_700_000_000, 0) })
			if err != nil {
				t.Fatal(err)
			}
			twin, line := onAPty(t, c)
			sent := uint64(0)
			send := func(seq uint64) {
				said := say(source.Sample(seq, time.Duration(seq)*time.Second))
				good := framesIn(c, said)
				if c.Name() == "csv" || c.Name() == "tsv" {
					good = 1 // the header of another sample names the columns
				}
				if good == 0 {
					t.Fatalf("the voice says %q, of which nothing is a frame", said)
				}
				sent += uint64(good)
				if _, err := twin.Write(said); err != nil {
					t.Fatal(err)
				}
			}
			for seq := uint64(1); seq <= 30; seq++ {
				send(seq)
			}
			settled(t, twin)
			devicetest.Eventually(t, "all frames to be read", func() bool { return line.Counters().Good == sent })
			if n := line.Counters(); n.Rejected() != 0 {
				t.Fatalf("%d frames sent: %+v %+v", sent, n, line.Damages())
			}
			noisy(t, c, twin, line, send)
		})
	}
}

// noisy flips a bit in every third write. No frame that was hit may be read where
// the protocol has a check.
func noisy(t *testing.T, c codec.Codec, twin *ptytwin.Twin, line *serialline.Line, send func(seq uint64)) {
	t.Helper()
	before := line.Counters()
	twin.Noise(0.33, 6)
	for seq := uint64(31); seq <= 90; seq++ {
		send(seq)
	}
	settled(t, twin)
	twin.Noise(0, 0)
	for seq := uint64(91); seq <= 93; seq++ { // what a damaged frame is, the next good one tells
		send(seq)
	}
	settled(t, twin)
	hit := twin.Stats().Noisy
	devicetest.Eventually(t, "the frames to be judged", func() bool {
		n := line.Counters()
		return n.Good >= before.Good+3 && (!checked(c) || n.Damaged+n.Unchecked >= hit)
	})
	if n := line.Counters(); exact(c) && n.Damaged+n.Unchecked != hit {
		t.Errorf("%d frames were hit, %+v counted, evidence %+v", hit, n, line.Damages())
	}
}

// checked are the protocols that carry a check; exact those in which one write of
// the twin is one frame whatever bit of it flips.
func checked(c codec.Codec) bool {
	switch c.Name() {
	case "csv", "tsv", "keyvalue", "linejson", "senml+json", "candump", "nmea0183":
		return false // none, or a write is more than one frame
	}
	return true
}

func exact(c codec.Codec) bool {
	switch c.Name() {
	case "sds011", "pms5003", "pms5003t", "pms3003":
		return true
	}
	return false
}

func settled(t *testing.T, twin *ptytwin.Twin) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), devicetest.Patience)
	defer cancel()
	if err := twin.Flush(ctx); err != nil {
		t.Fatal(err)
	}
}

func onAPty(t *testing.T, c codec.Codec) (*ptytwin.Twin, *serialline.Line) {
	t.Helper()
	twin, err := ptytwin.NewPair(t.Context(), ptytwin.Options{Unpaced: true, Frames: true})
	if errors.Is(err, ptytwin.ErrUnsupported) {
		t.Skip("no pseudo terminals on this system")
	}
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = twin.Close() })
	line, err := serialline.Open(t.Context(), serialline.Config{ID: "twin-1", Port: twin.Path(), Baud: 115200, Codec: c, Mode: devices.Sim, Damages: 256})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = line.Close() })
	return twin, line
}

func TestSpeakRefusesWhatNoTwinSpeaks(t *testing.T) {
	for _, c := range []codec.Codec{codec.Payload{}, codec.SenML{CBOR: true}, codec.Chunks{}} {
		if _, _, err := simulated.Speak(c, "x", 1, simulated.Options{}, nil); err == nil || !strings.Contains(err.Error(), "give it a recording") {
			t.Errorf("%s: %v", c.Name(), err)
		}
	}
}
