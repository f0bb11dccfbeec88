package virtual_test

import (
	"context"
	"errors"
	"testing"
	"time"

	"plumbline/devices"
	"plumbline/devices/firmware"
	"plumbline/devices/virtual"
)

func soak(tb testing.TB) *virtual.Soak {
	tb.Helper()
	s, err := virtual.OpenSoak(tb.Context(), virtual.Options{Temperature: 20})
	if err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(func() {
		if err := errors.Join(s.Close(), s.Close()); err != nil {
			tb.Error(err)
		}
	})
	return s
}

// In fast-forward no line is lost or damaged, and the board's clock never goes
// back. How many lines a minute has is the emulator's: it serves some of the
// board's timer interrupts late, and on a busy machine others than on an idle one.
func TestFastForwardLosesNoLine(t *testing.T) {
	s := soak(t)
	last, lines := -1.0, uint64(0)
	err := s.Advance(t.Context(), 2*time.Minute, func(values []devices.Value, line []byte) error {
		now := firmware.Number(values, firmware.Micros)
		if now <= last {
			t.Errorf("the clock shows %.0f µs after %.0f: %s", now, last, line)
		}
		last, lines = now, lines+1
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	if c := s.Counters(); c.Damaged != 0 || c.Missing != 0 || c.Starts != 1 || c.Good != lines || s.Now() < 2*time.Minute {
		t.Errorf("%+v at %v, %d lines were handed over", c, s.Now(), lines)
	}
}

func TestTimeStandsStillBetweenTwoAdvances(t *testing.T) {
	s := soak(t)
	for minute, celsius := range []float64{20, 21.5, -7.0625} {
		if err := s.Board().SetTemperature(t.Context(), celsius); err != nil {
			t.Fatal(err)
		}
		// What was printed before the board stood still is handed over first: on a busy machine that is many a minute.
		told := false
		for tries := 0; !told && tries < 1000; tries++ {
			before := s.Now()
			err := s.Advance(t.Context(), time.Minute, func(values []devices.Value, _ []byte) error {
				told = told || firmware.Number(values, firmware.Temperature) == celsius
				return nil
			})
			if err != nil {
				t.Fatal(err)
			}
			if passed := s.Now() - before; passed < time.Minute || passed > time.Minute+10*time.Second {
				t.Errorf("minute %d took %v", minute, passed)
			}
		}
		if !told {
			t.Errorf("%v °C was never told", celsius)
		}
	}
}

func TestTheClockOfASoakGoesOnOverAReset(t *testing.T) {
	s := soak(t)
	if err := s.Advance(t.Context(), 10*time.Second, nil); err != nil {
		t.Fatal(err)
	}
	if err := s.Board().Reset(t.Context()); err != nil {
		t.Fatal(err)
	}
	least := 10 * time.Second
	for tries := 0; s.Counters().Starts < 2 && tries < 1000; tries++ { // what was printed before the reset comes first
		if err := s.Advance(t.Context(), 10*time.Second, nil); err != nil {
			t.Fatal(err)
		}
		least += 10 * time.Second
	}
	if c := s.Counters(); c.Starts != 2 || c.Damaged > 1 || s.Now() < least {
		t.Errorf("%+v at %v, want two starts in %v", c, s.Now(), least)
	}
}

func TestASoakEndsWithItsContextAndWithItsBoard(t *testing.T) {
	s := soak(t)
	ctx, cancel := context.WithCancel(t.Context())
	err := s.Advance(ctx, time.Hour, func([]devices.Value, []byte) error { cancel(); return nil })
	if !errors.Is(err, context.Canceled) {
		t.Errorf("error %v, want context.Canceled", err)
	}
	enough := errors.New("enough")
	if err := s.Advance(t.Context(), time.Hour, func([]devices.Value, []byte) error { return enough }); !errors.Is(err, enough) {
		t.Errorf("error %v, want that of the caller", err)
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	if err := s.Advance(t.Context(), time.Hour, nil); !errors.Is(err, virtual.ErrGone) {
		t.Errorf("error %v, want ErrGone", err)
	}
}

// BenchmarkHour is an hour of the board's time, at a line a second.
func BenchmarkHour(b *testing.B) {
	for b.Loop() {
		s := soak(b)
		if err := s.Advance(b.Context(), time.Hour, nil); err != nil {
			b.Fatal(err)
		}
		if c := s.Counters(); c.Damaged != 0 || c.Missing != 0 || c.Good < 3600 {
			b.Fatalf("%+v", c)
		}
		_ = s.Close()
	}
}
