package devicetest

import (
	"errors"
	"fmt"
	"reflect"
	"sync"
	"testing"
	"time"

	"plumbline/devices"
)

// ScheduledCheck is one rule of the contract of devices.Scheduled.
type ScheduledCheck struct {
	Name string
	Run  func(s devices.Scheduled) error
}

// ScheduledChecks returns the rules of devices.Scheduled.
func ScheduledChecks() []ScheduledCheck {
	return []ScheduledCheck{
		{"says what it is", func(s devices.Scheduled) error { return validInfo(s.Info()) }},
		{"has a usable schedule", checkSchedule},
		{"stamps a sample as it was asked", checkStamps},
		{"computes the same sample again", checkPure},
		{"may be sampled from several goroutines", checkParallel},
	}
}

// ConformScheduled runs all checks on a source, which the caller made and closes.
func ConformScheduled(t *testing.T, s devices.Scheduled) {
	t.Helper()
	for _, c := range ScheduledChecks() {
		t.Run(c.Name, func(t *testing.T) {
			if err := c.Run(s); err != nil {
				t.Error(err)
			}
		})
	}
}

func checkSchedule(s devices.Scheduled) error {
	sc := s.Schedule()
	switch {
	case sc.Period <= 0:
		return fmt.Errorf("schedule: period %v must be positive", sc.Period)
	case sc.Phase < 0:
		return fmt.Errorf("schedule: phase %v must not be negative", sc.Phase)
	case sc.Dither < 0 || 2*sc.Dither >= sc.Period:
		return fmt.Errorf("schedule: dither ±%v must be less than half the period %v, or samples change places", sc.Dither, sc.Period)
	}
	return nil
}

func checkStamps(s devices.Scheduled) error {
	due := s.Schedule().Phase
	for seq := uint64(1); seq <= 100; seq++ {
		got := s.Sample(seq, due)
		switch {
		case got.Seq != seq:
			return fmt.Errorf("sample %d has Seq %d", seq, got.Seq)
		case got.First != due || got.Last != due:
			return fmt.Errorf("sample %d due %v is stamped %v to %v", seq, due, got.First, got.Last)
		case len(got.Values) == 0:
			return fmt.Errorf("sample %d has no values", seq)
		}
		if err := validValues(got); err != nil {
			return err
		}
		names := map[string]bool{}
		for _, v := range got.Values {
			if names[v.Name] {
				return fmt.Errorf("sample %d has two values called %q", seq, v.Name)
			}
			names[v.Name] = true
		}
		due += s.Schedule().Period
	}
	return nil
}

// checkPure holds for twins only: the machine's own sensors change.
func checkPure(s devices.Scheduled) error {
	if s.Info().Mode != devices.Sim {
		return nil
	}
	at := func(seq uint64) devices.Sample { return s.Sample(seq, time.Duration(seq)*s.Schedule().Period) }
	forward := make([]devices.Sample, 200)
	for i := range forward {
		forward[i] = at(uint64(i + 1))
	}
	for i := len(forward) - 1; i >= 0; i-- {
		if again := at(uint64(i + 1)); !reflect.DeepEqual(again, forward[i]) {
			return fmt.Errorf("sample %d asked twice: %+v, then %+v", i+1, forward[i], again)
		}
	}
	if len(forward) > 1 && reflect.DeepEqual(forward[0].Values, forward[len(forward)-1].Values) &&
		reflect.DeepEqual(forward[0].Values, forward[len(forward)/2].Values) && s.Info().Kind != "door" {
		return errors.New("200 samples say the same: nothing is measured")
	}
	return nil
}

// checkParallel lets the race detector look, and overwrites what it was given.
func checkParallel(s devices.Scheduled) error {
	var all sync.WaitGroup
	for range 4 {
		all.Go(func() {
			for seq := uint64(1); seq <= 100; seq++ {
				got := s.Sample(seq, time.Duration(seq)*time.Millisecond)
				for i := range got.Values {
					got.Values[i].Number = -1
				}
			}
		})
	}
	all.Wait()
	return validValues(s.Sample(1, 0))
}
