package virtual_test

import (
	"context"
	"errors"
	"fmt"
	"math"
	"strings"
	"testing"
	"time"

	"plumbline/devices"
	"plumbline/devices/devicetest"
	"plumbline/devices/firmware"
	"plumbline/devices/serialline"
	"plumbline/devices/virtual"
)

// board powers a machine up whose UART is read by the serial driver, and waits for
// its first line.
func board(t *testing.T, opts virtual.Options) (*virtual.Machine, *serialline.Line, []devices.Value) {
	t.Helper()
	m, err := virtual.Start(t.Context(), opts)
	if err != nil {
		t.Fatal(err)
	}
	line, err := serialline.New(m.Serial(), serialline.Config{ID: "board", Codec: firmware.Codec(), Mode: devices.Sim})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := errors.Join(line.Close(), m.Close()); err != nil {
			t.Error(err)
		}
	})
	return m, line, until(t, line, "the first line", func([]devices.Value) bool { return true })
}

// reader is what a board is read with.
type reader interface {
	Read(ctx context.Context) (devices.Sample, error)
}

// until reads until a line is what is waited for.
func until(t *testing.T, from reader, what string, found func(values []devices.Value) bool) []devices.Value {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), devicetest.Patience)
	defer cancel()
	for {
		s, err := from.Read(ctx)
		if err != nil {
			t.Fatalf("waited for %s: %v", what, err)
		}
		if found(s.Values) {
			return s.Values
		}
	}
}

// says finds a line with a number.
func says(name string, want float64) func([]devices.Value) bool {
	return func(values []devices.Value) bool { return firmware.Number(values, name) == want }
}

func tell(t *testing.T, w interface{ Write([]byte) (int, error) }, number uint32, text string) {
	t.Helper()
	if _, err := w.Write(firmware.Command(number, text)); err != nil {
		t.Fatal(err)
	}
}

func TestATemperatureOnTheBusComesOutOfTheUART(t *testing.T) {
	m, line, first := board(t, virtual.Options{Number: 0xC0FFEE, Temperature: 21.5})
	if got := firmware.Number(first, firmware.Temperature); got != 21.5 {
		t.Errorf("temperature %v at power-on, want 21.5", got)
	}
	if first[0].Name != firmware.Serial || first[0].Text != virtual.SerialNumber(0xC0FFEE) {
		t.Errorf("the part is %q, want %q", first[0].Text, virtual.SerialNumber(0xC0FFEE))
	}
	tell(t, line, 1, "rate 10")
	for _, celsius := range []float64{-40, -0.0625, 0, 36.6875, 127.875} {
		if err := m.SetTemperature(t.Context(), celsius); err != nil {
			t.Fatal(err)
		}
		until(t, line, fmt.Sprintf("%v °C", celsius), says(firmware.Temperature, celsius))
	}
	for _, celsius := range []float64{-40.1, 128, math.NaN(), math.Inf(1)} {
		if err := m.SetTemperature(t.Context(), celsius); err == nil || !strings.Contains(err.Error(), "−40 to 127.9") {
			t.Errorf("%v °C: error %v", celsius, err)
		}
	}
	if c := line.Counters(); c.Rejected() != 0 {
		t.Errorf("%+v: every line carries its CRC", c)
	}
}

func TestACommandEndsAtThePinsOfAChip(t *testing.T) {
	m, line, _ := board(t, virtual.Options{})
	for i, want := range []struct {
		text string
		out  float64
		on   [firmware.Outputs]bool
	}{
		{"out 2 1", 4, [4]bool{2: true}}, {"out 0 1", 5, [4]bool{0: true, 2: true}}, {"out 2 0", 1, [4]bool{0: true}}, {"ping", 1, [4]bool{0: true}},
	} {
		number := float64(i + 1)
		tell(t, line, uint32(i+1), want.text)
		values := until(t, line, want.text, says(firmware.Done, number))
		if got := firmware.Number(values, firmware.Output); got != want.out {
			t.Errorf("after %q the line says outputs %v, want %v", want.text, got, want.out)
		}
		for pin, on := range want.on {
			if got, err := m.Output(t.Context(), pin); err != nil || got != on {
				t.Errorf("after %q output %d is %v (%v), want %v", want.text, pin, got, err, on)
			}
		}
	}
	if _, err := m.Output(t.Context(), 4); err == nil {
		t.Error("a fifth output was read")
	}
}

// What is no command must change nothing: a port that echoes sends a node its own lines.
func TestWhatIsNoCommandIsCountedAndChangesNothing(t *testing.T) {
	_, line, _ := board(t, virtual.Options{})
	good := string(firmware.Command(9, "out 0 1"))
	junk := []string{
		`{"id":"525400000000","seq":1}*0000` + "\r\n", strings.Replace(good, "out 0", "out 1", 1), strings.ToLower(good), "out 0 1 9\n", "*0000\n",
		strings.Repeat("y", 200) + "\n", string(firmware.Command(9, "out 4 1")), string(firmware.Command(9, "out 0 2")), string(firmware.Command(9, "out 0")),
		string(firmware.Command(9, "rate 9")), string(firmware.Command(9, "rate 60001")), string(firmware.Command(9, "dog 499")), string(firmware.Command(9, "jump")),
	}
	for i, j := range junk {
		if _, err := line.Write([]byte("\n" + j)); err != nil {
			t.Fatal(err)
		}
		tell(t, line, uint32(100+i), "ping") // one after the other: more than 255 bytes at once overrun the node's buffer
		values := until(t, line, fmt.Sprintf("an answer after %q", j), says(firmware.Done, float64(100+i)))
		if bad, out := firmware.Number(values, firmware.Refused), firmware.Number(values, firmware.Output); bad != float64(i+1) || out != 0 {
			t.Fatalf("after %q: %v bad lines, outputs %v; want %d and 0", j, bad, out, i+1)
		}
	}
}

func TestAHungBoardIsResetByItsWatchdogAndByTheButton(t *testing.T) {
	m, line, _ := board(t, virtual.Options{})
	tell(t, line, 1, "dog 500")
	until(t, line, "the watchdog to be on", says(firmware.Done, 1))
	tell(t, line, 2, "hang")
	until(t, line, "the watchdog to bark", says(firmware.Boots, 2))
	devicetest.Eventually(t, "the word of the watchdog", func() bool { return m.Barks() == 1 })
	tell(t, line, 3, "hang") // nothing watches after a reset
	revived := revive(t, m, line)
	tell(t, line, 1000, "reset")
	until(t, line, "the reset by itself", says(firmware.Boots, revived+1))
	devicetest.Eventually(t, "the word of three resets", func() bool { return m.Resets() >= 3 })
}

// revive presses the button until the board answers: it may have been pressed before
// the board heard that it is to hang.
func revive(t *testing.T, m *virtual.Machine, line *serialline.Line) (boots float64) {
	t.Helper()
	for number := uint32(100); number < 120; number++ {
		if err := m.Reset(t.Context()); err != nil {
			t.Fatal(err)
		}
		until(t, line, "the line of a start", says(firmware.Sequence, 1))
		tell(t, line, number, "ping")
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		for {
			s, err := line.Read(ctx)
			if err != nil {
				break // it hangs
			}
			if says(firmware.Done, float64(number))(s.Values) {
				cancel()
				return firmware.Number(s.Values, firmware.Boots)
			}
		}
		cancel()
	}
	t.Fatal("the button brought no life back")
	return 0
}

func TestNoTimePassesForAFrozenBoard(t *testing.T) {
	m, line, _ := board(t, virtual.Options{})
	asked := time.Now() // before what is compared began, however long the answers take
	tell(t, line, 1, "rate 10")
	before := firmware.Number(until(t, line, "the rate", says(firmware.Done, 1)), firmware.Micros)
	if err := m.Freeze(t.Context()); err != nil {
		t.Fatal(err)
	}
	frozen := time.Now()
	devicetest.Eventually(t, "half a second to pass", func() bool { return time.Since(frozen) > 500*time.Millisecond })
	thawed := time.Now()
	if err := m.Thaw(t.Context()); err != nil {
		t.Fatal(err)
	}
	tell(t, line, 2, "ping")
	after := firmware.Number(until(t, line, "an answer", says(firmware.Done, 2)), firmware.Micros)
	passed := time.Duration(after-before) * time.Microsecond
	if ran := thawed.Sub(frozen); passed > time.Since(asked)-ran/2 {
		t.Errorf("%v passed for the board, which stood still for %v", passed, ran)
	}
}

func TestWithoutAnEmulatorTheTierIsNotThere(t *testing.T) {
	t.Setenv("PATH", t.TempDir())
	if err := virtual.Available(); !errors.Is(err, virtual.ErrNoEmulator) {
		t.Errorf("available: %v", err)
	}
	if _, err := virtual.Start(t.Context(), virtual.Options{}); !errors.Is(err, virtual.ErrNoEmulator) || !strings.Contains(err.Error(), "apt-get install") {
		t.Errorf("start: %v", err)
	}
}

func TestTheEndOfTheEmulatorIsSeen(t *testing.T) {
	m, _, _ := board(t, virtual.Options{})
	if err := m.Close(); err != nil {
		t.Fatal(err)
	}
	<-m.Exited()
	if err := m.Reset(t.Context()); !errors.Is(err, virtual.ErrGone) {
		t.Errorf("reset of a machine that is gone: %v", err)
	}
}
