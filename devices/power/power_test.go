package power_test

import (
	"context"
	"errors"
	"path/filepath"
	"runtime"
	"strings"
	"testing"

	"plumbline/devices/devicetest"
	"plumbline/devices/lock"
	"plumbline/devices/power"
	"plumbline/devices/ptytwin"
)

// board is a relay board on a pseudo terminal.
func board(t *testing.T) *ptytwin.Twin {
	t.Helper()
	twin, err := ptytwin.NewPair(t.Context(), ptytwin.Options{})
	if errors.Is(err, ptytwin.ErrUnsupported) {
		t.Skip("no pseudo terminals on this system")
	}
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = twin.Close() })
	return twin
}

// Each protocol's bytes come to the board as its maker prints them.
func TestARelayIsSwitched(t *testing.T) {
	for name, c := range map[string]struct {
		relay power.Relay
		want  string // on, off, on
	}{
		"LCUS-1":                {power.Relay{}, "\xa0\x01\x01\xa2\xa0\x01\x00\xa1\xa0\x01\x01\xa2"},
		"relay 3 of LCUS-4":     {power.Relay{Protocol: power.LCUS, Channel: 3}, "\xa0\x03\x01\xa4\xa0\x03\x00\xa3\xa0\x03\x01\xa4"},
		"FF":                    {power.Relay{Protocol: power.FF, Channel: 2, Baud: 115200}, "\xff\x02\x01\xff\x02\x00\xff\x02\x01"},
		"bytes of the user own": {power.Relay{On: "41 54 0d", Off: "4154 0A"}, "AT\rAT\nAT\r"},
	} {
		t.Run(name, func(t *testing.T) {
			twin := board(t)
			c.relay.Port = twin.Path()
			if err := c.relay.Check(); err != nil {
				t.Fatal(err)
			}
			var bank power.Bank
			defer func() { _ = bank.Close() }()
			s, err := bank.Open(t.Context(), c.relay)
			if err != nil {
				t.Fatal(err)
			}
			for _, on := range []bool{true, false, true} {
				if err := s.Set(t.Context(), on); err != nil {
					t.Fatal(err)
				}
			}
			devicetest.Eventually(t, "the bytes", func() bool { return len(twin.Received()) >= len(c.want) })
			if got := string(twin.Received()); got != c.want {
				t.Errorf("the board heard %x, want %x", got, c.want)
			}
			if err := errors.Join(bank.Close(), bank.Close()); err != nil {
				t.Error(err)
			}
			if err := s.Set(t.Context(), true); err == nil {
				t.Error("a switch that was let go of switched")
			}
		})
	}
}

// A board is opened once, whoever has a relay on it, and is nobody else's meanwhile.
func TestABoardIsSharedAndLocked(t *testing.T) {
	twin, locks := board(t), &lock.Dir{Path: filepath.Join(t.TempDir(), "locks")}
	var ours, theirs power.Bank
	defer func() { _, _ = ours.Close(), theirs.Close() }()
	first := power.Relay{Port: twin.Path(), Locks: locks, Purpose: "power of board"}
	second, faster := first, first
	second.Channel, faster.Baud = 2, 115200
	for _, r := range []power.Relay{first, second} {
		s, err := ours.Open(t.Context(), r)
		if err == nil {
			err = s.Set(t.Context(), true)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	const want = "\xa0\x01\x01\xa2\xa0\x02\x01\xa3"
	devicetest.Eventually(t, "the bytes", func() bool { return string(twin.Received()) == want })
	if _, err := ours.Open(t.Context(), faster); !errors.Is(err, power.ErrSettings) {
		t.Errorf("at another speed: %v", err)
	}
	if _, err := theirs.Open(t.Context(), first); !errors.Is(err, lock.ErrHeld) || !strings.Contains(err.Error(), "power of board") {
		t.Errorf("for another: %v", err)
	}
	if err := ours.Close(); err != nil {
		t.Fatal(err)
	}
	if _, err := theirs.Open(t.Context(), first); err != nil {
		t.Errorf("after the first: %v", err)
	}
	if err := errors.Join(theirs.Close(), twin.Close()); err != nil {
		t.Fatal(err)
	}
	if _, err := theirs.Open(t.Context(), first); err == nil || errors.Is(err, lock.ErrHeld) {
		t.Errorf("a board that is not there: %v", err)
	}
}

func TestSettingsThatCannotBe(t *testing.T) {
	const port = "usb:1a86:7523:R"
	for want, err := range map[string]error{
		"no port of the relay board":              power.Relay{}.Check(),
		"after the next replug":                   power.Relay{Port: "/dev/ttyUSB0"}.Check(),
		"belong together":                         power.Relay{Port: port, On: "01"}.Check(),
		"need neither protocol nor channel":       power.Relay{Port: port, On: "01", Off: "02", Channel: 1}.Check(),
		"relay 33 is not between 1 and 32":        power.Relay{Port: port, Channel: 33}.Check(),
		"relay -1 is not":                         power.Relay{Port: port, Channel: -1}.Check(),
		`on is "0x01"`:                            power.Relay{Port: port, On: "0x01", Off: "02"}.Check(),
		`off is "  "`:                             power.Relay{Port: port, On: "01", Off: "  "}.Check(),
		"the same bytes":                          power.Relay{Port: port, On: "01", Off: "0 1"}.Check(),
		`protocol "x10" is not known`:             power.Relay{Port: port, Protocol: "x10"}.Check(),
		"baud 3":                                  power.Relay{Port: port, Baud: 3}.Check(),
		`"" is no place of a USB hub`:             power.Hub{Port: 1}.Check(),
		`"1-1; reboot" is no place`:               power.Hub{Location: "1-1; reboot", Port: 1}.Check(),
		"port 0 of hub 1-1 is not between 1 and ": power.Hub{Location: "1-1"}.Check(),
	} {
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%v, want %q", err, want)
		}
	}
	for _, good := range []power.Hub{{Location: "2", Port: 1}, {Location: "1-1", Port: 4}, {Location: "20-1.4.3", Port: 7}} {
		if err := good.Check(); err != nil {
			t.Error(err)
		}
	}
}

// The program itself refuses a hub that is not there, and what it says is passed on.
func TestUhubctlRefuses(t *testing.T) {
	if runtime.GOOS != "linux" {
		t.Skip("uhubctl is tried on Linux")
	}
	s, err := power.OpenHub(power.Hub{Location: "99-7.3", Port: 2})
	if err != nil {
		t.Fatalf("%v (make deps-test)", err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), devicetest.Patience)
	defer cancel()
	for on, want := range map[bool]string{true: "uhubctl -l 99-7.3 -p 2 -a on: exit status", false: "uhubctl -l 99-7.3 -p 2 -a off: exit status"} {
		err := s.Set(ctx, on)
		if err == nil || !strings.Contains(err.Error(), want) || !strings.Contains(err.Error(), "it said ") {
			t.Errorf("%v: %v, want %q", on, err, want)
		}
	}
}
