package virtual

import (
	"bytes"
	"errors"
	"io"
	"math"
	"sync"
	"testing"
	"time"

	"plumbline/devices/firmware"
)

// atOnce lets two callers run into each other.
func atOnce(a, b func()) {
	var both sync.WaitGroup
	start := make(chan struct{})
	for _, f := range []func(){a, b} {
		both.Go(func() { <-start; f() })
	}
	close(start)
	both.Wait()
}

// TestPowerAndResetAtOnce: whatever two goroutines ask of a twin, one after the
// other would have given the same.
func TestPowerAndResetAtOnce(t *testing.T) {
	for round := range 3000 {
		n := &Twin{opts: TwinOptions{Period: time.Second}, toPort: io.Discard, changed: make(chan struct{})}
		power := func(on bool) func() {
			return func() {
				if err := n.Power(t.Context(), on); err != nil {
					t.Error(err)
				}
			}
		}
		atOnce(power(true), power(true))
		if n.boots != 1 {
			t.Fatalf("round %d: power on by two at once: %d starts", round, n.boots)
		}
		var reset error
		atOnce(power(false), func() { reset = n.Reset(t.Context()) })
		if n.on || reset != nil && !errors.Is(reset, ErrNoPower) {
			t.Fatalf("round %d: power off and a reset at once: power %v, %v", round, n.on, reset)
		}
		power(true)()
		n.hear(firmware.Command(1, "reset"))
		atOnce(power(false), n.obeyAll)
		if n.on {
			t.Fatalf("round %d: power off and a command to reset at once leave the power on", round)
		}
	}
}

// TestATwinThatWasHeldUpSkipsLines: it says one line and not all that it missed.
func TestATwinThatWasHeldUpSkipsLines(t *testing.T) {
	var said bytes.Buffer
	now := time.Now()
	n := &Twin{opts: TwinOptions{Period: time.Hour}, toPort: &said, changed: make(chan struct{}), on: true, period: time.Hour,
		start: now.Add(-100 * time.Hour), due: now.Add(-99*time.Hour - time.Minute)}
	n.turn()
	n.turn()
	if lines := bytes.Count(said.Bytes(), []byte("\n")); lines != 1 {
		t.Errorf("it said %d lines", lines)
	}
	if next := now.Add(59 * time.Minute); !n.due.Equal(next) {
		t.Errorf("the next line is due at %v, want %v", n.due, next)
	}
}

func TestATwinMeasuresWhatItsSensorCan(t *testing.T) {
	n := &Twin{}
	for _, celsius := range []float64{math.NaN(), -41, 500, math.Inf(1)} {
		if err := n.Stimulate(t.Context(), firmware.Temperature, celsius); err == nil {
			t.Errorf("%v °C was taken", celsius)
		}
		if twin, err := OpenTwin(t.Context(), TwinOptions{Temperature: celsius}); err == nil {
			t.Errorf("a twin at %v °C was opened", celsius)
			_ = twin.Close()
		}
	}
}
