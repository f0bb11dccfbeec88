package viewer

import (
	"fmt"
	"net/http"
	"slices"
	"sync"
	"testing"
	"time"

	"plumbline/harness/record"
)

// A viewer that polls is put off by 429 for as long as the server says, and goes on
// in the same session.
func TestPollKeepsTheWaitThatItIsToldInASession(t *testing.T) {
	var mu sync.Mutex
	var rested, early time.Time
	s := newScript(t, func(n int, w http.ResponseWriter, _ *http.Request) {
		mu.Lock()
		defer mu.Unlock()
		if now := time.Now(); now.Before(rested) {
			early = now
		}
		if n == 3 {
			rested = time.Now().Add(time.Second)
			w.Header().Set("Retry-After", "1")
			w.WriteHeader(http.StatusTooManyRequests)
			return
		}
		fmt.Fprint(w, item(uint64(n)))
	})
	r := newRecording(t)
	v := open(t, s.config(r, Poll, Pointers{Topic: "/topic", Payload: "/data"}))
	until(t, "requests after the one that was put off", func() bool { return len(s.asked(func(*http.Request) string { return "" })) > 5 })
	must(t, v.Close())
	mu.Lock()
	defer mu.Unlock()
	if !early.IsZero() {
		t.Error("the viewer asked before the second was over")
	}
	if c := v.Counters(); c.Connects != 1 {
		t.Errorf("counters %+v", c)
	}
	for _, e := range r.log().Events {
		if e.Kind == record.Disconnected && e.Fields["reason"] != record.ReasonClosed {
			t.Errorf("event %+v", e)
		}
	}
}

// However many filters a viewer has, it asks once in an interval, and for all in turn.
func TestPollAsksForAllFiltersInTurn(t *testing.T) {
	const filters, interval = 40, 10 * time.Millisecond
	s := newScript(t, func(_ int, w http.ResponseWriter, _ *http.Request) { fmt.Fprint(w, "{}") })
	cfg := s.config(newRecording(t), Poll, Pointers{Topic: "/topic", Payload: "/data"})
	cfg.Interval, cfg.Filters = interval, nil
	for i := range filters {
		cfg.Filters = append(cfg.Filters, fmt.Sprintf("bench/%d", i))
	}
	began := time.Now()
	v := open(t, cfg)
	most, seen := 0, 0
	until(t, "three requests for each filter", func() bool {
		asked := map[string]int{}
		all := s.asked(func(r *http.Request) string { return r.URL.Query().Get("filter") })
		for _, filter := range all {
			asked[filter]++
		}
		seen = len(all)
		most = filters + int(time.Since(began)/interval) + 1 // those of the opening are one after the other
		least := seen
		for _, filter := range cfg.Filters {
			least = min(least, asked[filter])
		}
		return seen > most || least >= 3
	})
	must(t, v.Close())
	if seen > most {
		t.Errorf("%d requests, at most %d have a turn", seen, most)
	}
}

// Filters that are open are not asked for again because another one was put off.
func TestPollOpensWhatWasPutOff(t *testing.T) {
	s := newScript(t, func(n int, w http.ResponseWriter, _ *http.Request) {
		if n == 2 {
			w.Header().Set("Retry-After", "1")
			w.WriteHeader(http.StatusTooManyRequests)
			return
		}
		fmt.Fprint(w, "{}")
	})
	cfg := s.config(newRecording(t), Poll, Pointers{Topic: "/topic", Payload: "/data"})
	cfg.Filters = []string{"a", "b"}
	v := open(t, cfg)
	filter := func(r *http.Request) string { return r.URL.Query().Get("filter") }
	must(t, v.Close())
	if got := s.asked(filter)[:3]; !slices.Equal(got, []string{"a", "b", "b"}) {
		t.Errorf("requests for %q", got)
	}
}

func TestRetryAfterIsReadInBothForms(t *testing.T) {
	now := time.Date(2026, 11, 26, 10, 0, 0, 0, time.UTC)
	for header, want := range map[string]time.Duration{
		"": 0, "soon": 0, "0": 0, "-3": 0, "120": 2 * time.Minute, "9999999": maxRetrySeconds * time.Second,
		now.Add(90 * time.Second).Format(http.TimeFormat): 90 * time.Second, now.Add(-time.Hour).Format(http.TimeFormat): 0,
	} {
		if got := retryIn(header, now); got != want {
			t.Errorf("%q: %s, want %s", header, got, want)
		}
	}
}

// Turns that somebody waited for who has gone are given to whoever comes next; a
// server's word to wait holds on.
func TestTurnsOfWhoHasGoneAreNobodys(t *testing.T) {
	var turns turns
	for range 40 {
		turns.reserve(time.Hour)
	}
	turns.anew()
	if at, free := turns.reserve(time.Hour); !free {
		t.Errorf("the first turn after that is in %s", time.Until(at))
	}
	turns.rest(time.Minute)
	turns.anew()
	if _, free := turns.reserve(time.Hour); free {
		t.Error("the server's word is forgotten")
	}
}
