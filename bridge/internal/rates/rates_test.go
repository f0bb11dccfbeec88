package rates

import (
	"strconv"
	"testing"
	"time"
)

func TestRates(t *testing.T) {
	now := time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
	r := New(2, 3)
	take := func(subject string, want ...bool) {
		t.Helper()
		for i, w := range want {
			if got := r.Take(subject, now); got != w {
				t.Errorf("%s, number %d: %v, want %v", subject, i, got, w)
			}
		}
	}
	take("anna", true, true, true, false, false)
	take("ben", true)
	now = now.Add(499 * time.Millisecond)
	take("anna", false)
	now = now.Add(time.Millisecond)
	take("anna", true, false)
	now = now.Add(-time.Hour) // a step back refills nothing and takes nothing
	take("anna", false)
	now = now.Add(2 * time.Hour)
	take("anna", true, true, true, false)
	if len(r.buckets) != 1 {
		t.Errorf("%d buckets are kept, want only the one that says something", len(r.buckets))
	}
	none := New(0, 1)
	for range 10 {
		if !none.Take("anna", now) {
			t.Error("0 is no limit")
		}
	}
}

// TestManyKeys: keys that come once each leave no more behind than what says something yet.
func TestManyKeys(t *testing.T) {
	now := time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
	r := New(1, 2)
	for i := range 5 * some {
		now = now.Add(100 * time.Microsecond)
		r.Take(strconv.Itoa(i), now)
	}
	if n := len(r.buckets); n > some+2*10_000 {
		t.Errorf("%d buckets are kept, and 10,000 say something", n)
	}
}
