package virtual_test

import (
	"context"
	"errors"
	"io"
	"testing"
	"time"

	"plumbline/devices"
	"plumbline/devices/devicetest"
	"plumbline/devices/firmware"
	"plumbline/devices/serialline"
	"plumbline/devices/virtual"
)

// node powers a node up and opens its port with the serial driver.
func node(tb testing.TB, opts virtual.NodeOptions) (*virtual.Node, *serialline.Line) {
	tb.Helper()
	if opts.Period == 0 {
		opts.Period = 20 * time.Millisecond
	}
	n, err := virtual.OpenNode(tb.Context(), opts)
	if err != nil {
		tb.Fatal(err)
	}
	line, err := serialline.Open(tb.Context(), serialline.Config{
		ID: "node", Port: n.Path(), Baud: firmware.Baud, Codec: firmware.Codec(), Mode: devices.Sim, RetryEvery: 5 * time.Millisecond,
	})
	if err != nil {
		tb.Fatal(errors.Join(err, n.Close()))
	}
	tb.Cleanup(func() {
		if err := errors.Join(line.Close(), n.Close(), n.Close()); err != nil {
			tb.Error(err)
		}
	})
	return n, line
}

func TestANodeIsADeviceLikeAnyOther(t *testing.T) {
	devicetest.Conform(t, devicetest.Subject{Open: func(tb testing.TB) devices.Device {
		tb.Helper()
		_, line := node(tb, virtual.NodeOptions{})
		return line
	}})
}

func TestANodeIsStimulatedAndObserved(t *testing.T) {
	n, line := node(t, virtual.NodeOptions{Machine: virtual.Options{ID: "n1", Number: 7}})
	if err := n.Stimulate(t.Context(), firmware.Temperature, 42.25); err != nil {
		t.Fatal(err)
	}
	until(t, line, "42.25 °C", says(firmware.Temperature, 42.25))
	tell(t, line, 5, "out 3 1")
	until(t, line, "the command", says(firmware.Done, 5))
	if v, err := n.Observe(t.Context(), "out3"); err != nil || v != 1 {
		t.Errorf("output 3 is %v: %v", v, err)
	}
	for _, err := range []error{
		n.Stimulate(t.Context(), "humidity", 1), second(n.Observe(t.Context(), "out4")), second(n.Observe(t.Context(), "fan")), second(n.Observe(t.Context(), "out")),
	} {
		if !errors.Is(err, devices.ErrUnable) {
			t.Errorf("error %v, want ErrUnable", err)
		}
	}
	info := n.Info()
	if info.Tier != devices.FirmwareTier || info.Time != devices.Live || info.Serial != virtual.SerialNumber(7) || info.Note == "" {
		t.Errorf("evidence %+v", info)
	}
}

func second[T any](_ T, err error) error { return err }

func TestANodeIsUnpluggedLosesItsPowerAndComesBack(t *testing.T) {
	n, line := node(t, virtual.NodeOptions{Machine: virtual.Options{Temperature: 30}})
	until(t, line, "30 °C", says(firmware.Temperature, 30))
	if err := n.Unplug(t.Context()); err != nil {
		t.Fatal(err)
	}
	devicetest.Eventually(t, "the driver to lose the port", func() bool { return line.Stats().Unplugs == 1 })
	if err := n.Plug(t.Context()); err != nil {
		t.Fatal(err)
	}
	devicetest.Eventually(t, "the driver to have the port again", func() bool { return line.Stats().Replugs == 1 })
	tell(t, line, 1, "ping")
	if boots := firmware.Number(until(t, line, "an answer", says(firmware.Done, 1)), firmware.Boots); boots != 1 {
		t.Errorf("the board started %v times; pulling its cable takes no power away here", boots)
	}
	if err := n.Power(t.Context(), false); err != nil {
		t.Fatal(err)
	}
	if _, err := n.Write(firmware.Command(2, "ping")); !errors.Is(err, virtual.ErrNoPower) {
		t.Errorf("write without power: %v", err)
	}
	if v, err := n.Observe(t.Context(), "out0"); v != 0 || err != nil {
		t.Errorf("output without power: %v, %v", v, err)
	}
	if err := n.Stimulate(t.Context(), firmware.Temperature, 31); err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(n.Power(t.Context(), true), n.Power(t.Context(), true)); err != nil {
		t.Fatal(err)
	}
	until(t, line, "31 °C after the return of power", says(firmware.Temperature, 31))
	if s := n.Stats(); s.Starts != 2 || s.Refused != 1 {
		t.Errorf("%+v, want two starts and one refused write", s)
	}
}

func TestNoiseIsCountedByBothEndsAlike(t *testing.T) {
	n, line := node(t, virtual.NodeOptions{Period: 50 * time.Millisecond})
	until(t, line, "the first line", func([]devices.Value) bool { return true })
	if err := n.Impair(t.Context(), devices.Impairment{Noise: 0.5, Seed: 1}); err != nil {
		t.Fatal(err)
	}
	devicetest.Eventually(t, "20 noisy lines", func() bool { return n.Port().Stats().Noisy >= 20 })
	if err := n.Impair(t.Context(), devices.Impairment{}); err != nil {
		t.Fatal(err)
	}
	tell(t, line, 1, "ping") // behind the noise
	until(t, line, "an answer", says(firmware.Done, 1))
	// The first line may have been cut by the opening of the port: that is no noise.
	if c, s := line.Counters(), n.Port().Stats(); c.Damaged+c.Unchecked != s.Noisy && s.Overrun == 0 { // else this machine was too busy to read
		t.Errorf("%+v, %d lines were made noisy", c, s.Noisy)
	}
	if err := n.Impair(t.Context(), devices.Impairment{Noise: 2}); err == nil {
		t.Error("noise of 200 % was taken")
	}
}

func TestTheWireOfANodeCanBeTakenOver(t *testing.T) {
	heard := make(chan string, 16)
	n, line := node(t, virtual.NodeOptions{Wire: func(port, board io.Writer) (io.Writer, func([]byte)) {
		return port, func(p []byte) {
			heard <- string(p)
			_, _ = board.Write(p)
		}
	}})
	tell(t, line, 3, "ping")
	until(t, line, "an answer", says(firmware.Done, 3))
	if got := <-heard; got != string(firmware.Command(3, "ping")) {
		t.Errorf("on the wire: %q", got)
	}
	if n.Stats().Dropped != 0 {
		t.Errorf("%+v", n.Stats())
	}
}

// full is a port that takes nothing.
type full struct{}

func (full) Write([]byte) (int, error) { return 0, errors.New("full") }

func TestLinesThatThePortDoesNotTakeAreCountedWhilePowerIsOn(t *testing.T) {
	n, err := virtual.OpenNode(t.Context(), virtual.NodeOptions{Period: 10 * time.Millisecond,
		Wire: func(_, board io.Writer) (io.Writer, func([]byte)) {
			return full{}, func(p []byte) { _, _ = board.Write(p) }
		}})
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = n.Close() }()
	devicetest.Eventually(t, "lines to be dropped", func() bool { return n.Stats().Dropped >= 3 })
	before := n.Stats()
	if err := errors.Join(n.Power(t.Context(), false), n.Power(t.Context(), true)); err != nil {
		t.Fatal(err)
	}
	if after := n.Stats(); after.Dropped < before.Dropped || after.Starts != 2 {
		t.Errorf("%+v after %+v", after, before)
	}
	if err := n.Power(t.Context(), false); err != nil {
		t.Fatal(err)
	}
	if err := n.Stimulate(t.Context(), firmware.Temperature, 1000); err == nil {
		t.Error("a board without power took 1000 °C, with which it cannot start")
	}
}

func TestTwentyNodesSpeakAtOnce(t *testing.T) {
	const nodes = 20
	lines, bench := make([]*serialline.Line, nodes), make([]*virtual.Node, nodes)
	for i := range lines {
		bench[i], lines[i] = node(t, virtual.NodeOptions{Machine: virtual.Options{Number: uint32(i)}, Period: 100 * time.Millisecond})
	}
	for i, line := range lines {
		for last, n := 0.0, 0; n < 5; n++ {
			values := until(t, line, "a line", func([]devices.Value) bool { return true })
			if values[0].Text != virtual.SerialNumber(uint32(i)) {
				t.Fatalf("node %d calls itself %q", i, values[0].Text)
			}
			if seq := firmware.Number(values, firmware.Sequence); last != 0 && seq != last+1 && bench[i].Port().Stats().Overrun == 0 { // else this machine was too busy to read
				t.Errorf("node %d: line %v after line %v", i, seq, last)
			} else {
				last = seq
			}
		}
	}
}

func TestOptionsThatNoNodeCanHaveAreRefused(t *testing.T) {
	for name, opts := range map[string]virtual.NodeOptions{
		"too fast": {Period: time.Millisecond}, "too slow": {Period: time.Hour}, "no live time": {Machine: virtual.Options{Time: devices.FastForward}},
		"too hot": {Machine: virtual.Options{Temperature: 1000}},
	} {
		if n, err := virtual.OpenNode(t.Context(), opts); err == nil {
			t.Errorf("%s: taken", name)
			_ = n.Close()
		}
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := virtual.OpenNode(ctx, virtual.NodeOptions{}); !errors.Is(err, context.Canceled) {
		t.Errorf("a context that has ended: %v", err)
	}
}
