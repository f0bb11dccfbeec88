package harness

import (
	"errors"
	"math"
	"testing"

	"plumbline/devices"
	"plumbline/devices/devicetest"
	"plumbline/devices/replay"
)

func late(tb testing.TB) devices.Device {
	tb.Helper()
	rec, err := replay.Embedded()
	if err != nil {
		tb.Fatal(err)
	}
	return &lateRecording{
		info: devices.Info{ID: "late", Kind: rec.Codec.Name(), Mode: devices.Replay, Path: rec.Path},
		open: func() (devices.Device, error) {
			return rec.Open(replay.Options{ID: "late", Speed: math.Inf(1), Loops: 1})
		},
	}
}

func TestLateRecordingConforms(t *testing.T) {
	devicetest.Conform(t, devicetest.Subject{Open: late})
}

func TestLateRecordingWaitsForItsReader(t *testing.T) {
	opened := 0
	l := &lateRecording{open: func() (devices.Device, error) {
		opened++
		return nil, errors.New("no such tape")
	}}
	if l.Counters() != (devices.Counters{}) || l.Damages() != nil || opened != 0 {
		t.Error("it was opened before anyone read")
	}
	if _, err := l.Read(t.Context()); err == nil || opened != 1 {
		t.Errorf("reading gives %v after %d openings", err, opened)
	}
	if err := l.Close(); err != nil {
		t.Error(err)
	}
	if _, err := l.Read(t.Context()); !errors.Is(err, devices.ErrClosed) {
		t.Errorf("reading after Close gives %v", err)
	}
}
