package calibrate

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// asReference makes this test binary a reference bridge.
const asReference = "PLUMBLINE_TEST_REFERENCE_BRIDGE"

func TestMain(m *testing.M) {
	os.Exit(be(os.Getenv(asReference), m.Run)) //nolint:forbidigo // the main of a test binary
}

// be plays a part and returns the exit code; without a part it runs the tests.
func be(part string, tests func() int) int {
	switch part {
	case "serve":
		if err := Serve(context.Background(), os.Stdout); err != nil {
			fmt.Fprintln(os.Stderr, err)
			return 1
		}
		return 0
	case "babble":
		fmt.Println("good morning")
		fmt.Fprintln(os.Stderr, "out of order today")
		return 3
	case "nobody":
		fmt.Println(announcement + "127.0.0.1:1")
		return 0
	}
	return tests()
}

// reference returns the command of a reference bridge that behaves in that way.
func reference(t *testing.T, how string) []string {
	t.Helper()
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	t.Setenv(asReference, how)
	return []string{self}
}

func limit(t *testing.T) context.Context {
	t.Helper()
	ctx, cancel := context.WithTimeoutCause(t.Context(), time.Minute, fmt.Errorf("the calibration was not over after a minute"))
	t.Cleanup(cancel)
	return ctx
}

// TestRun calibrates through a real process. How late frames are is measured
// and not asserted: that is the rig's affair. That the delay was inserted, and
// nothing came before it, is R0's.
func TestRun(t *testing.T) {
	delays := []time.Duration{0, time.Millisecond, 20 * time.Millisecond}
	r, err := Run(limit(t), Options{Command: reference(t, "serve"), Delays: delays, Frames: 200})
	if err != nil {
		t.Fatal(err)
	}
	if len(r.Levels) != len(delays) {
		t.Fatalf("%d levels for %d delays", len(r.Levels), len(delays))
	}
	for i, l := range r.Levels {
		if l.Delay != delays[i] || l.N != 200 || l.P50 <= 0 {
			t.Errorf("level %d: %+v", i, l)
		}
	}
	name := filepath.Join(t.TempDir(), "calibration.json")
	if err := r.WriteFile(name); err != nil {
		t.Fatal(err)
	}
	text, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	again, err := decode(text)
	if err != nil || again.Started != r.Started || again.Rig != r.Rig || len(again.Levels) != 3 || again.Levels[2] != r.Levels[2] {
		t.Errorf("read back: %+v, %v", again, err)
	}
}

// TestRunWithoutABridge: whatever stands in the place of R0, the error says what
// it was and nothing hangs.
func TestRunWithoutABridge(t *testing.T) {
	for how, want := range map[string]string{
		"babble": `it said "good morning\n" in place of where it listens`,
		"nobody": "connection refused",
	} {
		_, err := Run(limit(t), Options{Command: reference(t, how), Frames: 10})
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v", how, err)
		}
	}
	if _, err := Run(limit(t), Options{Command: []string{"/no/such/program"}}); err == nil || !strings.Contains(err.Error(), "/no/such/program") {
		t.Errorf("no program: %v", err)
	}
	if _, err := Run(limit(t), Options{}); err == nil {
		t.Error("no command was taken")
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := Run(ctx, Options{Command: reference(t, "serve")}); err == nil {
		t.Error("a calibration that was cancelled has a result")
	}
}

func TestLevelOf(t *testing.T) {
	beyond := make([]time.Duration, 1000)
	for i := range beyond {
		beyond[i] = time.Duration(len(beyond)-i) * time.Microsecond
	}
	l, err := levelOf(time.Millisecond, beyond)
	want := Level{Delay: time.Millisecond, N: 1000, P50: 500 * time.Microsecond, P99: 990 * time.Microsecond, P999: 999 * time.Microsecond, Max: time.Millisecond}
	if err != nil || l != want {
		t.Errorf("%+v, %v", l, err)
	}
	beyond[7] = -time.Microsecond
	if _, err := levelOf(time.Millisecond, beyond); err == nil || !strings.Contains(err.Error(), "clock") {
		t.Errorf("a frame before its time: %v", err)
	}
}

// BenchmarkCalibration prints what a whole calibration says of this machine.
func BenchmarkCalibration(b *testing.B) {
	self, err := os.Executable()
	if err != nil {
		b.Fatal(err)
	}
	b.Setenv(asReference, "serve")
	for range b.N {
		r, err := Run(b.Context(), Options{Command: []string{self}})
		if err != nil {
			b.Fatal(err)
		}
		for _, l := range r.Levels {
			b.Logf("%+v", l)
		}
	}
}
