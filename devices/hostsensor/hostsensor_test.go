package hostsensor

import (
	"context"
	"errors"
	"math"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"plumbline/devices"
	"plumbline/devices/devicetest"
)

// value returns a number of the sample, NaN when it is not there.
func value(s devices.Sample, name string) float64 {
	for _, v := range s.Values {
		if v.Name == name {
			return v.Number
		}
	}
	return math.NaN()
}

// open makes a sensor that the test closes.
func open(t *testing.T, opts Options) *Sensor {
	t.Helper()
	s, err := New(t.Context(), opts)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		for range 2 {
			if err := s.Close(); err != nil {
				t.Errorf("close: %v", err)
			}
		}
	})
	return s
}

func TestThisMachineConforms(t *testing.T) {
	s := open(t, Options{})
	devicetest.ConformScheduled(t, s)
	got := s.Sample(1, time.Second)
	for name, limit := range map[string]float64{"cpu": 100, "mem": 100, "mem_used": 1 << 50} {
		if v := value(got, name); !(v >= 0 && v <= limit) {
			t.Errorf("%s is %v, want 0 to %v", name, v, limit)
		}
	}
	info := s.Info()
	if info.Mode != devices.Real {
		t.Errorf("mode %q, want real", info.Mode)
	}
	// Either there is a temperature, or the note says that there is none.
	if math.IsNaN(value(got, "temperature")) != strings.Contains(info.Note, "no temperature sensor") {
		t.Errorf("temperature %v, note %q", value(got, "temperature"), info.Note)
	}
}

func TestThisMachineIsReadAgainAndAgain(t *testing.T) {
	s := open(t, Options{Interval: time.Millisecond})
	first := value(s.Sample(1, 0), "mem_used")
	busy := 0.0
	devicetest.Eventually(t, "memory or load to change", func() bool {
		busy += math.Sqrt(float64(len(s.Info().ID))) // some work, so that there is load
		now := s.Sample(2, 0)
		return value(now, "mem_used") != first || value(now, "cpu") > 0
	})
	if busy == 0 {
		t.Error("no work was done")
	}
}

// script gives prepared readings and then repeats the last.
type script struct {
	readings []reading
	errs     []error
	calls    atomic.Int64
	block    chan struct{} // when set, readings after the first wait for it
}

func (s *script) read(ctx context.Context) (reading, error) {
	n := int(s.calls.Add(1)) - 1
	if s.block != nil && n > 0 {
		select {
		case <-s.block:
		case <-ctx.Done():
			return reading{}, ctx.Err()
		}
	}
	i := min(n, len(s.readings)-1)
	var err error
	if n < len(s.errs) {
		err = s.errs[n]
	}
	return s.readings[i], err
}

func TestRatesAndLoad(t *testing.T) {
	nan := math.NaN()
	a := reading{busy: 10, total: 100, memUsed: 5e9, memPercent: 50.04, celsius: nan, received: 1000, sent: nan}
	b := reading{busy: 25, total: 120, memUsed: 5e9, memPercent: 50, celsius: 41.26, received: 3000, sent: 7}
	c := reading{busy: nan, total: nan, memUsed: 5e9, memPercent: 50, celsius: nan, received: nan, sent: nan}
	for _, c := range []struct {
		name    string
		now     reading
		last    reading
		elapsed time.Duration
		want    map[string]float64
	}{
		{"first reading", a, a, 0, map[string]float64{"cpu": 10, "mem": 50, "mem_used": 5e9, "temperature": nan, "net_rx": 0, "net_tx": nan}},
		{"two seconds later", b, a, 2 * time.Second, map[string]float64{"cpu": 75, "temperature": 41.3, "net_rx": 1000, "net_tx": nan}},
		{"processor unknown", c, b, time.Second, map[string]float64{"cpu": nan, "net_rx": nan}},
		{"processor known again", b, c, time.Second, map[string]float64{"cpu": 20.8, "net_rx": nan}},
		{"network unknown at first", c, c, 0, map[string]float64{"cpu": nan, "net_rx": nan}},
		{"counters started again", a, b, time.Second, map[string]float64{"net_rx": 0, "cpu": 10}},
	} {
		t.Run(c.name, func(t *testing.T) {
			s := devices.Sample{Values: c.now.values(c.last, c.elapsed)}
			for name, want := range c.want {
				if got := value(s, name); got != want && !(math.IsNaN(got) && math.IsNaN(want)) {
					t.Errorf("%s is %v, want %v", name, got, want)
				}
			}
		})
	}
}

func TestFailingReadingsKeepTheLastValues(t *testing.T) {
	broken := errors.New("sensor is gone")
	src := &script{readings: []reading{{busy: 1, total: 2, celsius: 40}}, errs: []error{nil, broken, broken}}
	s := open(t, Options{Interval: time.Millisecond, source: src})
	devicetest.Eventually(t, "a failed reading to be told", func() bool { return src.calls.Load() > 4 || errors.Is(s.Err(), broken) })
	if v := value(s.Sample(1, 0), "temperature"); v != 40 {
		t.Errorf("temperature %v after a failed reading, want the last one", v)
	}
	devicetest.Eventually(t, "a good reading to clear the error", func() bool { return s.Err() == nil && src.calls.Load() > 3 })
}

func TestFirstReadingMustWork(t *testing.T) {
	broken := errors.New("no /proc")
	if _, err := New(t.Context(), Options{source: &script{readings: make([]reading, 1), errs: []error{broken}}}); !errors.Is(err, broken) {
		t.Errorf("a machine that says nothing: %v", err)
	}
	for _, o := range []Options{{Period: -1}, {Interval: -1}, {Phase: -1}} {
		if _, err := New(t.Context(), o); err == nil {
			t.Errorf("%+v is no error", o)
		}
	}
}

// TestSampleNeverWaits: a reading that hangs does not hold Sample or Close up.
func TestSampleNeverWaits(t *testing.T) {
	src := &script{readings: []reading{{busy: 1, total: 2, memUsed: 3}}, block: make(chan struct{})}
	s := open(t, Options{Interval: time.Millisecond, source: src})
	devicetest.Eventually(t, "a reading to hang", func() bool { return src.calls.Load() >= 2 })
	for seq := uint64(1); seq <= 1000; seq++ {
		if got := s.Sample(seq, 0); value(got, "mem_used") != 3 || math.IsNaN(value(got, "age")) {
			t.Fatalf("sample %+v", got)
		}
	}
}

func BenchmarkReading(b *testing.B) {
	for b.Loop() {
		if _, err := (machine{}).read(b.Context()); err != nil {
			b.Fatal(err)
		}
	}
}
