package browser

import (
	"context"
	"errors"
	"strings"
	"testing"
	"time"

	"plumbline/harness/record"
)

// shared is the one browser of this package's tests.
var shared *Browser

func TestMain(m *testing.M) {
	m.Run() // its result is the exit code
	if shared != nil {
		_ = shared.Close() // always nil
	}
}

// chromium returns the browser of the tests, which the first of them starts.
func chromium(t *testing.T) *Browser {
	t.Helper()
	if shared == nil {
		b, err := Start(t.Context(), Options{})
		if errors.Is(err, ErrNone) && !strings.Contains(err.Error(), "apt-get") {
			t.Skip(err) // no sandbox: a matter of the machine
		}
		if err != nil {
			t.Fatalf("%v: make deps-test installs it", err)
		}
		shared = b
	}
	return shared
}

// within a minute or not at all.
func minute(t *testing.T) context.Context {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	t.Cleanup(cancel)
	return ctx
}

// No browser is told apart from one that does not work, with how to get one.
func TestNoBrowserIsSaidByName(t *testing.T) {
	_, err := Start(t.Context(), Options{Path: "no-such-browser"})
	if !errors.Is(err, ErrNone) || !strings.Contains(err.Error(), "apt-get install chromium") {
		t.Errorf("a browser that is not there: %v", err)
	}
	_, err = Start(t.Context(), Options{Path: "true"})
	if err == nil || errors.Is(err, ErrNone) {
		t.Errorf("a program that is no browser: %v", err)
	}
}

// The floor is that of this machine: more than nothing, known to a bound that is
// below it or to half a millisecond, and a frame is not before its message.
func TestFloor(t *testing.T) {
	b := chromium(t)
	if !strings.Contains(b.Version(), "/") {
		t.Errorf("version %q", b.Version())
	}
	f, err := b.MeasureFloor(minute(t), record.NewClock())
	if err != nil {
		t.Fatal(err)
	}
	t.Logf("%+v", *f)
	if f.N != floorMessages || f.Seen50 < -f.Uncertainty || f.Seen50 > f.Seen99 || f.Seen99 > f.SeenMax || f.Uncertainty <= StepIsolated {
		t.Errorf("floor %+v", *f)
	}
	if f.Framed50 < f.Seen50 {
		t.Errorf("frames came before their messages: %+v", *f)
	}
}
