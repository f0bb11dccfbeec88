package main

import (
	"slices"
	"testing"
	"time"
)

// under are readings under topics, in their order.
func under(topics ...string) (rs []reading) {
	for i, topic := range topics {
		r := reading{O: uint64(i + 1), Topic: topic}
		r.setText(`{"run":"0a1b2c3d","dev":"wire-001","seq":1,"v":{"id":"525400ABCDEF","seq":7},"crc":"89abcdef"}`)
		rs = append(rs, r)
	}
	return rs
}

func TestATopicThatWasSilentIsForgotten(t *testing.T) {
	s, _ := bench(t, "F75", "1h")
	st := &stream{}
	if rs := s.f.flaw.arrive(s, st, under("a", "b", "a")); len(rs) != 3 || s.f.count.fired != 0 {
		t.Errorf("%d of 3 are shown, fired %d times", len(rs), s.f.count.fired)
	}
	heardOf(st).at["a"] = time.Now().Add(-2 * time.Hour)
	for range 2 {
		if rs := s.f.flaw.arrive(s, st, under("a", "b")); len(rs) != 1 || rs[0].Topic != "b" {
			t.Errorf("after two hours %+v is shown", rs)
		}
	}
	if s.f.count.fired != 2 {
		t.Errorf("fired %d times", s.f.count.fired)
	}
}

// What comes in time takes the place of what would have been shown again.
func TestTheLastValueIsShownAgain(t *testing.T) {
	s, _ := bench(t, "F76", "1h")
	st := &stream{}
	st.waiting = s.f.flaw.arrive(s, st, under("a", "a", "b"))
	var again []uint64
	for _, r := range st.waiting {
		if r.free {
			again = append(again, r.O)
		}
	}
	if len(st.waiting) != 5 || len(again) != 2 || again[0] != 2 || again[1] != 3 || s.f.count.fired != 0 {
		t.Errorf("%d wait, of which %v are to come again; fired %d times", len(st.waiting), again, s.f.count.fired)
	}
	st.waiting = nil // shown again
	if rs := s.f.flaw.arrive(s, st, under("a")); len(rs) != 2 || s.f.count.fired != 1 {
		t.Errorf("%d readings, fired %d times", len(rs), s.f.count.fired)
	}
}

func TestOneBitOfASerialNumberIsFlipped(t *testing.T) {
	s, _ := bench(t, "F77", "1")
	rs := s.f.flaw.arrive(s, &stream{}, under("a"))
	want := `{"run":"0a1b2c3d","dev":"wire-001","seq":1,"v":{"id":"425400ABCDEF","seq":7},"crc":"89abcdef"}`
	if got := rs[0].text(); got != want {
		t.Errorf("%s, want %s", got, want)
	}
	other := reading{}
	other.setText(`{"value":1}`)
	if rs := s.f.flaw.arrive(s, &stream{}, []reading{other}); rs[0].text() != `{"value":1}` || s.f.count.fired != 1 {
		t.Errorf("a line without a serial number became %s; fired %d times", rs[0].text(), s.f.count.fired)
	}
}

func TestTwoThatComeBackExchangeTheirNames(t *testing.T) {
	s, _ := bench(t, "F78", "1h")
	st := &stream{}
	s.f.flaw.arrive(s, st, under("a", "b", "c"))
	for _, topic := range []string{"a", "c"} {
		heardOf(st).at[topic] = time.Now().Add(-2 * time.Hour)
	}
	var names []string
	for _, r := range append(s.f.flaw.arrive(s, st, under("a", "b")), s.f.flaw.arrive(s, st, under("c", "a", "b"))...) {
		names = append(names, r.Topic)
	}
	if want := []string{"a", "b", "a", "c", "b"}; !slices.Equal(names, want) || s.f.count.fired != 2 {
		t.Errorf("shown under %v, want %v; fired %d times", names, want, s.f.count.fired)
	}
}

func TestSomeCommandsAreConfirmedAndSwallowed(t *testing.T) {
	s, viewer := bench(t, "F79", "3")
	answers := make(chan string, 2)
	go func() {
		for range 2 {
			f, _, err := readFrame(viewer)
			if err != nil {
				break // the test has ended
			}
			answers <- string(f.payload)
		}
		close(answers)
	}()
	var passed []string
	for _, text := range []string{`{"type":"pub","id":1}`, `{"type":"sub","id":9}`, `{"type":"pub","id":2}`, `{"type":"pub","id":3}`, "{", `{"type":"pub","id":4}`, `{"type":"pub","id":5}`, `{"type":"pub","id":6}`} {
		if on := s.f.flaw.viewerText(s, []byte(text)); on != nil {
			passed = append(passed, string(on))
		}
	}
	if want := []string{`{"type":"pub","id":1}`, `{"type":"sub","id":9}`, `{"type":"pub","id":2}`, "{", `{"type":"pub","id":4}`, `{"type":"pub","id":5}`}; !slices.Equal(passed, want) || s.f.count.fired != 2 {
		t.Errorf("passed on are %q, want %q; fired %d times", passed, want, s.f.count.fired)
	}
	for _, want := range []string{`{"type":"pubok","id":3}`, `{"type":"pubok","id":6}`} {
		if got := <-answers; got != want {
			t.Errorf("the viewer was told %s, want %s", got, want)
		}
	}
}
