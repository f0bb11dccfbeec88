package virtual_test

import (
	"errors"
	"io"
	"strings"
	"sync"
	"testing"
	"time"

	"plumbline/devices"
	"plumbline/devices/devicetest"
	"plumbline/devices/firmware"
	"plumbline/devices/serialline"
	"plumbline/devices/virtual"
)

// twin powers a computed node up and opens its port with the serial driver.
func twin(tb testing.TB, opts virtual.TwinOptions) (*virtual.Twin, *serialline.Line) {
	tb.Helper()
	if opts.Period == 0 {
		opts.Period = 20 * time.Millisecond
	}
	n, err := virtual.OpenTwin(tb.Context(), opts)
	if err != nil {
		tb.Fatal(err)
	}
	line, err := serialline.Open(tb.Context(), serialline.Config{
		ID: "twin", Port: n.Path(), Baud: firmware.Baud, Codec: firmware.Codec(), Mode: devices.Sim, RetryEvery: 5 * time.Millisecond,
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

func TestATwinOfANodeIsADeviceLikeAnyOther(t *testing.T) {
	devicetest.Conform(t, devicetest.Subject{Open: func(tb testing.TB) devices.Device {
		tb.Helper()
		_, line := twin(tb, virtual.TwinOptions{})
		return line
	}})
}

// A scenario cannot tell a twin from a node by what it does to it.
func TestATwinIsAFixtureAsANodeIs(t *testing.T) {
	n, line := twin(t, virtual.TwinOptions{ID: "n1", Number: 7, Temperature: 30})
	until(t, line, "30 °C", says(firmware.Temperature, 30))
	if err := n.Stimulate(t.Context(), firmware.Temperature, 42.25); err != nil {
		t.Fatal(err)
	}
	until(t, line, "42.25 °C", says(firmware.Temperature, 42.25))
	tell(t, line, 5, "out 3 1")
	until(t, line, "the command", says(firmware.Done, 5))
	if v, err := n.Observe(t.Context(), "out3"); err != nil || v != 1 {
		t.Errorf("output 3 is %v: %v", v, err)
	}
	tell(t, line, 6, "out 4 1") // there is none
	until(t, line, "a refusal", says(firmware.Refused, 1))
	for _, err := range []error{n.Stimulate(t.Context(), "humidity", 1), second(n.Observe(t.Context(), "out4")), second(n.Observe(t.Context(), "fan"))} {
		if !errors.Is(err, devices.ErrUnable) {
			t.Errorf("error %v, want ErrUnable", err)
		}
	}
	if err := errors.Join(n.Power(t.Context(), false), n.Power(t.Context(), false)); err != nil {
		t.Fatal(err)
	}
	if v, err := n.Observe(t.Context(), "out3"); v != 0 || err != nil {
		t.Errorf("output without power: %v, %v", v, err)
	}
	if err := n.Reset(t.Context()); !errors.Is(err, virtual.ErrNoPower) {
		t.Errorf("reset without power: %v", err)
	}
	if err := n.Power(t.Context(), true); err != nil {
		t.Fatal(err)
	}
	until(t, line, "the first line after the return of power", says(firmware.Sequence, 1))
	if err := n.Reset(t.Context()); err != nil {
		t.Fatal(err)
	}
	until(t, line, "a second start", says(firmware.Boots, 2))
	info := n.Info()
	if info.Tier != devices.PortTier || info.Time != devices.Live || info.Serial != virtual.SerialNumber(7) || info.Note == "" {
		t.Errorf("evidence %+v", info)
	}
}

func TestATwinIsUnpluggedFreezesAndStartsAnew(t *testing.T) {
	n, line := twin(t, virtual.TwinOptions{})
	until(t, line, "a line", func([]devices.Value) bool { return true })
	if err := n.Unplug(t.Context()); err != nil {
		t.Fatal(err)
	}
	devicetest.Eventually(t, "the driver to lose the port", func() bool { return line.Stats().Unplugs == 1 })
	if err := n.Plug(t.Context()); err != nil {
		t.Fatal(err)
	}
	until(t, line, "a line after the replug", func([]devices.Value) bool { return line.Stats().Replugs == 1 })
	if err := n.Impair(t.Context(), devices.Impairment{Frozen: true}); err != nil {
		t.Fatal(err)
	}
	if err := n.Port().Flush(t.Context()); err != nil {
		t.Fatal(err)
	}
	said := n.Port().Stats().Bytes
	tell(t, line, 1, "ping") // nobody hears it
	devicetest.Eventually(t, "the command at the twin", func() bool { return n.Port().Stats().Received > 0 })
	if err := n.Port().Flush(t.Context()); err != nil || n.Port().Stats().Bytes != said {
		t.Errorf("a frozen twin spoke: %d bytes, %d before (%v)", n.Port().Stats().Bytes, said, err)
	}
	if err := n.Impair(t.Context(), devices.Impairment{}); err != nil {
		t.Fatal(err)
	}
	tell(t, line, 2, "rate 30")
	until(t, line, "an answer", says(firmware.Done, 2))
	tell(t, line, 3, "reset")
	until(t, line, "the start after the reset", says(firmware.Boots, 2))
	if err := n.Impair(t.Context(), devices.Impairment{Noise: 2}); err == nil {
		t.Error("noise of 200 % was taken")
	}
}

// What a twin says of its time is by its own clock, which drifts.
func TestTheClockOfATwinDrifts(t *testing.T) {
	before := time.Now()
	n, line := twin(t, virtual.TwinOptions{Drift: 0.5})
	opened := time.Now()
	until(t, line, "some lines", func(v []devices.Value) bool { return firmware.Number(v, firmware.Sequence) >= 20 })
	asked := time.Now()
	tell(t, line, 1, "ping")
	told := firmware.Number(until(t, line, "the answer", says(firmware.Done, 1)), firmware.Micros)
	// It answered after it was asked and before now, whatever else the machine did.
	least, most := 1.5*float64(asked.Sub(opened).Microseconds()), 1.5*float64(time.Since(before).Microseconds())
	if told < least-2 || told > most+2 {
		t.Errorf("it tells %v µs, which lies not between %v and %v", told, least, most)
	}
	if note := n.Info().Note; !strings.Contains(note, "+50 %") {
		t.Errorf("the report says of the drift: %q", note)
	}
}

func TestOptionsThatNoTwinCanHaveAreRefused(t *testing.T) {
	for name, opts := range map[string]virtual.TwinOptions{
		"too fast": {Period: time.Millisecond}, "too slow": {Period: time.Hour}, "a clock of nobody": {Drift: 1}, "before it began": {Phase: -1},
	} {
		if n, err := virtual.OpenTwin(t.Context(), opts); err == nil {
			t.Errorf("%s: taken", name)
			_ = n.Close()
		}
	}
}

// A line may be held by who lets the twin hear: the answer must not wait for it
// within the hearing.
func TestATwinAnswersOverALineThatIsHeldWhileItHears(t *testing.T) {
	var held sync.Mutex
	_, line := twin(t, virtual.TwinOptions{Wire: func(port, board io.Writer) (io.Writer, func([]byte)) {
		say := func(p []byte) (int, error) {
			held.Lock()
			defer held.Unlock()
			return port.Write(p)
		}
		return sayer(say), func(p []byte) {
			held.Lock()
			defer held.Unlock()
			_, _ = board.Write(p)
		}
	}})
	tell(t, line, 3, "ping")
	until(t, line, "an answer", says(firmware.Done, 3))
}

type sayer func(p []byte) (int, error)

// Write implements io.Writer.
func (s sayer) Write(p []byte) (int, error) { return s(p) }
