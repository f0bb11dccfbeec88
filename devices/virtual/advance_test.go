package virtual_test

import (
	"bytes"
	"context"
	"errors"
	"io"
	"sync"
	"testing"
	"time"

	"plumbline/devices"
	"plumbline/devices/firmware"
	"plumbline/devices/virtual"
)

// TestAnHourWithoutACableIsSkipped: a twin says into a line that nobody hears what it
// would have said, and its clock shows the hour.
func TestAnHourWithoutACableIsSkipped(t *testing.T) {
	const period = 500 * time.Millisecond
	var said []map[string]float64 // each line in its order; one at a time is written
	n, line := twin(t, virtual.TwinOptions{Period: period, Wire: func(port, board io.Writer) (io.Writer, func([]byte)) {
		return sayer(func(p []byte) (int, error) {
			values, err := firmware.Codec().Decode(bytes.TrimSpace(p))
			if err != nil {
				t.Errorf("%q: %v", p, err)
			}
			said = append(said, numbers(values))
			return port.Write(p)
		}), func(p []byte) { _, _ = board.Write(p) }
	}})
	until(t, line, "a line", func([]devices.Value) bool { return true })
	if err := n.Unplug(t.Context()); err != nil {
		t.Fatal(err)
	}
	for range 2 {
		if err := n.Advance(t.Context(), 30*time.Minute); err != nil {
			t.Fatal(err)
		}
	}
	lost := n.Port().Stats().Lost
	if want := uint64(time.Hour / period); lost < want-1 {
		t.Errorf("%d lines were lost, want %d", lost, want)
	}
	if err := n.Plug(t.Context()); err != nil {
		t.Fatal(err)
	}
	values := until(t, line, "a line after the replug", func(v []devices.Value) bool { return firmware.Number(v, firmware.Sequence) > float64(lost) })
	if us := firmware.Number(values, firmware.Micros); us < float64(time.Hour.Microseconds()) {
		t.Errorf("its clock shows %v µs after an hour", us)
	}
	if err := n.Port().Close(); err != nil { // it falls silent before what it said is looked at
		t.Fatal(err)
	}
	if err := n.Close(); err != nil {
		t.Fatal(err)
	}
	for i, s := range said {
		if s[firmware.Sequence] != float64(i+1) {
			t.Fatalf("line %d has the number %v", i+1, s[firmware.Sequence])
		}
		if due := float64(i) * float64(period.Microseconds()); s[firmware.Micros] < due {
			t.Fatalf("line %d was said at %v µs, before it was due at %v", i+1, s[firmware.Micros], due)
		}
	}
}

func numbers(values []devices.Value) map[string]float64 {
	m := map[string]float64{}
	for _, v := range values {
		m[v.Name] = v.Number
	}
	return m
}

// TestAPlugMayComeWhileTimeIsSkipped: whoever plugs may hold the line that the twin
// speaks into, as the ledger of a bench does.
func TestAPlugMayComeWhileTimeIsSkipped(t *testing.T) {
	var held sync.Mutex
	said := make(chan struct{}, 1)
	n, _ := twin(t, virtual.TwinOptions{Period: time.Minute, Wire: func(port, board io.Writer) (io.Writer, func([]byte)) {
		return sayer(func(p []byte) (int, error) {
			select {
			case said <- struct{}{}:
			default:
			}
			held.Lock()
			defer held.Unlock()
			return port.Write(p)
		}), func(p []byte) { _, _ = board.Write(p) }
	}})
	for range 5 {
		if err := n.Unplug(t.Context()); err != nil {
			t.Fatal(err)
		}
		gone, cancel := context.WithCancel(t.Context())
		skipped := make(chan error, 1)
		go func() {
			err := n.Advance(gone, 24*time.Hour)
			for ; err == nil; err = n.Advance(gone, 24*time.Hour) { // until the plug
			}
			skipped <- err
		}()
		<-said
		held.Lock()
		err := n.Plug(t.Context())
		held.Unlock()
		cancel()
		if err != nil {
			t.Fatal(err)
		}
		if err := <-skipped; !errors.Is(err, context.Canceled) {
			t.Errorf("advance over a plug: %v", err)
		}
	}
}

// TestWhatPassesNoTime: a twin that is plugged in, or cannot speak, says nothing of
// a time that is skipped, and neither does one whose caller has gone.
func TestWhatPassesNoTime(t *testing.T) {
	n, _ := twin(t, virtual.TwinOptions{Period: time.Minute, Phase: time.Minute, Temperature: 127})
	gone, cancel := context.WithCancel(t.Context())
	cancel()
	if err := n.Advance(gone, time.Hour); !errors.Is(err, context.Canceled) {
		t.Errorf("advance for a caller who has gone, plugged in: %v", err)
	}
	for _, d := range []time.Duration{-1, 25 * time.Hour} {
		if err := n.Advance(t.Context(), d); err == nil {
			t.Errorf("%v were taken", d)
		}
	}
	if err := errors.Join(n.Unplug(t.Context()), n.Impair(t.Context(), devices.Impairment{Frozen: true}), n.Advance(t.Context(), time.Hour)); err != nil {
		t.Fatal(err)
	}
	if err := n.Advance(gone, time.Hour); !errors.Is(err, context.Canceled) {
		t.Errorf("advance for a caller who has gone, unplugged: %v", err)
	}
	if lost := n.Port().Stats().Lost; lost != 0 {
		t.Errorf("a frozen twin said %d lines", lost)
	}
	if err := errors.Join(n.Impair(t.Context(), devices.Impairment{}), n.Advance(t.Context(), 10*time.Minute)); err != nil {
		t.Fatal(err)
	}
	if lost := n.Port().Stats().Lost; lost < 10 {
		t.Errorf("%d lines in 10 min, want one a minute", lost)
	}
}
