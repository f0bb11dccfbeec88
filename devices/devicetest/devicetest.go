// Package devicetest holds the checks that every driver must pass: one suite for
// devices that produce samples in their own time, one for scheduled sources.
//
// The checks return errors, so that they are tested themselves on drivers that
// break the contract; Conform and ConformScheduled run them as subtests.
package devicetest

import (
	"context"
	"errors"
	"fmt"
	"io"
	"math"
	"testing"
	"time"

	"plumbline/devices"
)

// Patience is how long a check waits for what a driver must do: long, for a busy
// machine, since what happens costs no more than its own time.
const Patience = time.Minute

// Opener makes a fresh device that yields samples by itself.
type Opener func(t testing.TB) devices.Device

// Subject is a driver under test.
type Subject struct {
	// Open makes a fresh device each time. The suite closes it.
	Open Opener
	// Samples is how many samples an opened device yields at least; 0 = 3.
	Samples int
}

// Check is one rule of the contract of devices.Device.
type Check struct {
	Name string
	// Run gets a fresh device, which it may close, and how many samples it yields.
	Run func(ctx context.Context, d devices.Device, samples int) error
}

// Checks returns the rules of devices.Device.
func Checks() []Check {
	return []Check{
		{"says what it is", checkInfo},
		{"numbers and stamps its samples", checkSamples},
		{"gives each sample's bytes away", checkOwnership},
		{"counts what it delivers", checkCounters},
		{"lets a context end Read", checkContext},
		{"lets Close end Read", checkClose},
		{"closes twice and stays closed", checkClosed},
		{"may be asked from several goroutines", checkConcurrency},
	}
}

// Conform runs all checks on fresh devices.
func Conform(t *testing.T, s Subject) {
	t.Helper()
	if s.Samples == 0 {
		s.Samples = 3
	}
	for _, c := range Checks() {
		t.Run(c.Name, func(t *testing.T) {
			ctx, cancel := context.WithTimeout(t.Context(), Patience)
			defer cancel()
			d := s.Open(t)
			defer func() {
				if err := d.Close(); err != nil {
					t.Errorf("close: %v", err)
				}
			}()
			if err := c.Run(ctx, d, s.Samples); err != nil {
				t.Error(err)
			}
		})
	}
}

func checkInfo(_ context.Context, d devices.Device, _ int) error { return validInfo(d.Info()) }

// validInfo holds for every kind of device.
func validInfo(info devices.Info) error {
	switch {
	case info.ID == "":
		return errors.New("info: no ID")
	case info.Kind == "":
		return errors.New("info: no kind")
	case info.Mode != devices.Sim && info.Mode != devices.Replay && info.Mode != devices.Real:
		return fmt.Errorf("info: mode %q is none of sim, replay, real", info.Mode)
	}
	return nil
}

func checkSamples(ctx context.Context, d devices.Device, samples int) error {
	last := devices.Sample{}
	for i := range samples {
		s, err := d.Read(ctx)
		if err != nil {
			return fmt.Errorf("read sample %d of %d: %w", i+1, samples, err)
		}
		switch {
		case s.Seq <= last.Seq:
			return fmt.Errorf("sample %d follows %d: Seq must rise", s.Seq, last.Seq)
		case i == 0 && s.Seq != 1 && d.Counters().Dropped == 0:
			return fmt.Errorf("the first sample has Seq %d, want 1", s.Seq)
		case s.First > s.Last:
			return fmt.Errorf("sample %d: first byte at %v, last at %v", s.Seq, s.First, s.Last)
		case s.Last < last.Last:
			return fmt.Errorf("sample %d at %v, the one before at %v: stamps must not fall", s.Seq, s.Last, last.Last)
		case len(s.Raw) == 0:
			return fmt.Errorf("sample %d has no raw bytes", s.Seq)
		}
		if err := validValues(s); err != nil {
			return err
		}
		last = s
	}
	return nil
}

// validValues holds for every sample of every driver.
func validValues(s devices.Sample) error {
	for _, v := range s.Values {
		switch {
		case v.Name == "":
			return fmt.Errorf("sample %d: a value without name", s.Seq)
		case !v.IsText && (math.IsNaN(v.Number) || math.IsInf(v.Number, 0)):
			return fmt.Errorf("sample %d: value %q is %v: leave out what is not known", s.Seq, v.Name, v.Number)
		case v.IsText && v.Number != 0:
			return fmt.Errorf("sample %d: value %q is text and number at once", s.Seq, v.Name)
		}
	}
	return nil
}

// checkOwnership writes over every sample it gets; a driver that gives out its
// own buffer then yields damaged frames.
func checkOwnership(ctx context.Context, d devices.Device, samples int) error {
	var kept []byte
	var before string
	for i := range samples {
		s, err := d.Read(ctx)
		if err != nil {
			return fmt.Errorf("read: %w", err)
		}
		if i > 0 && string(kept) != before {
			return fmt.Errorf("sample %d changed the bytes of the one before", s.Seq)
		}
		for j := range s.Raw {
			s.Raw[j] = 0xff
		}
		kept, before = s.Raw, string(s.Raw)
	}
	for _, dmg := range d.Damages() {
		if len(dmg.Raw) > 0 {
			dmg.Raw[0] ^= 0xff
		}
	}
	for i, dmg := range d.Damages() {
		if dmg.Reason == "" {
			return fmt.Errorf("damage %d has no reason", i)
		}
	}
	return nil
}

func checkCounters(ctx context.Context, d devices.Device, samples int) error {
	var bytes uint64
	for range samples {
		s, err := d.Read(ctx)
		if err != nil {
			return fmt.Errorf("read: %w", err)
		}
		bytes += uint64(len(s.Raw))
	}
	c := d.Counters()
	if c.Good < uint64(samples) {
		return fmt.Errorf("%d samples delivered, counters say %d good", samples, c.Good)
	}
	if c.Bytes < bytes {
		return fmt.Errorf("%d bytes delivered, counters say %d", bytes, c.Bytes)
	}
	if c.Rejected() > 0 && len(d.Damages()) == 0 {
		return fmt.Errorf("%d frames rejected and no evidence kept", c.Rejected())
	}
	return nil
}

func checkContext(_ context.Context, d devices.Device, _ int) error {
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	return within("a cancelled context to end Read", func() error {
		_, err := d.Read(ctx)
		if !errors.Is(err, context.Canceled) {
			return fmt.Errorf("read with a cancelled context: %w, want context.Canceled", err)
		}
		return nil
	})
}

// checkClose closes while a goroutine reads on and on.
func checkClose(ctx context.Context, d devices.Device, _ int) error {
	if _, err := d.Read(ctx); err != nil {
		return fmt.Errorf("read: %w", err)
	}
	ended := make(chan error, 1)
	reading := make(chan struct{})
	go func() {
		close(reading)
		for {
			if _, err := d.Read(ctx); err != nil {
				ended <- err
				return
			}
		}
	}()
	<-reading
	if err := within("Close to return", d.Close); err != nil {
		return err
	}
	return within("Close to end Read", func() error {
		err := <-ended
		if !errors.Is(err, devices.ErrClosed) && !errors.Is(err, io.EOF) {
			return fmt.Errorf("read ended by Close: %w, want devices.ErrClosed", err)
		}
		return nil
	})
}

func checkClosed(ctx context.Context, d devices.Device, _ int) error {
	for i := range 2 {
		if err := within("Close to return", d.Close); err != nil {
			return fmt.Errorf("close number %d: %w", i+1, err)
		}
	}
	if _, err := d.Read(ctx); !errors.Is(err, devices.ErrClosed) {
		return fmt.Errorf("read after Close: %w, want devices.ErrClosed", err)
	}
	return validInfo(d.Info())
}

// checkConcurrency lets the race detector look at the other methods.
func checkConcurrency(ctx context.Context, d devices.Device, samples int) error {
	ctx, cancel := context.WithCancel(ctx)
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		for ctx.Err() == nil {
			_ = d.Info()
			_ = d.Damages()
			_ = d.Counters()
		}
	}()
	defer func() {
		cancel()
		<-ended
	}()
	for range samples {
		if _, err := d.Read(ctx); err != nil {
			return fmt.Errorf("read: %w", err)
		}
	}
	return nil
}

// within runs do with a deadline; what says what was waited for.
func within(what string, do func() error) error {
	ended := make(chan error, 1)
	go func() { ended <- do() }()
	timer := time.NewTimer(Patience)
	defer timer.Stop()
	select {
	case err := <-ended:
		return err
	case <-timer.C:
		return fmt.Errorf("waited %v for %s", Patience, what)
	}
}
