package profile_test

import (
	"testing"
	"time"

	"plumbline/harness/profile"
)

func TestQuantities(t *testing.T) {
	for text, want := range map[string]time.Duration{
		"25 ms": 25 * time.Millisecond, "25ms": 25 * time.Millisecond, "0.3 ms": 300 * time.Microsecond, "1.5 min": 90 * time.Second,
		"2 s": 2 * time.Second, "100 µs": 100 * time.Microsecond, "100 us": 100 * time.Microsecond, "1e3 ns": time.Microsecond, "1 h": time.Hour,
		"2.01 s": 2010 * time.Millisecond, // 2.01e9 is not whole in binary
	} {
		q, err := profile.ParseQuantity(text)
		if err != nil {
			t.Errorf("%q: %v", text, err)
			continue
		}
		if got, err := q.Duration(); err != nil || got != want {
			t.Errorf("%q is %v, %v, want %v", text, got, err, want)
		}
	}
	for text, want := range map[string]float64{"500 /s": 500, "500/s": 500, "60 msg/min": 1, "7 messages/s": 7} {
		q, err := profile.ParseQuantity(text)
		if err != nil {
			t.Errorf("%q: %v", text, err)
			continue
		}
		if got, err := q.Rate(); err != nil || got != want {
			t.Errorf("%q is %v, %v, want %v", text, got, err, want)
		}
	}
	for text, want := range map[string]float64{"99.9 %": 0.999, "0 %": 0, "100%": 1} {
		q, err := profile.ParseQuantity(text)
		if err != nil {
			t.Errorf("%q: %v", text, err)
			continue
		}
		if got, err := q.Share(); err != nil || got != want {
			t.Errorf("%q is %v, %v, want %v", text, got, err, want)
		}
	}
}

func TestQuantitiesRefuse(t *testing.T) {
	for _, text := range []string{"", "25", "ms", "1..2 ms", "e ms", "- ms"} {
		if q, err := profile.ParseQuantity(text); err == nil {
			t.Errorf("%q was read as %+v", text, q)
		}
	}
	wrong := profile.Quantity{Number: 5, Unit: "kg"}
	if _, err := wrong.Duration(); err == nil {
		t.Error("kilograms are no time")
	}
	if _, err := wrong.Rate(); err == nil {
		t.Error("kilograms are no rate")
	}
	if _, err := wrong.Share(); err == nil {
		t.Error("kilograms are no share")
	}
	if _, err := wrong.Count("messages"); err == nil {
		t.Error("kilograms are no messages")
	}
	if _, err := (profile.Quantity{Number: 1e300, Unit: "h"}).Duration(); err == nil {
		t.Error("a time beyond all times was taken")
	}
	if _, err := (profile.Quantity{Number: -1, Unit: "messages"}).Count("messages"); err == nil {
		t.Error("a negative count was taken")
	}
	if n, err := (profile.Quantity{Number: 3, Unit: "message"}).Count("messages", "message"); err != nil || n != 3 {
		t.Errorf("3 messages are %d, %v", n, err)
	}
}
