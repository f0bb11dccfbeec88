package harness

import (
	"runtime"
	"testing"
	"time"
)

func TestBusyOf(t *testing.T) {
	for line, want := range map[string]time.Duration{
		"cpu  10 20 30 40000 5000 1 2 3 4 5\n": 660 * time.Millisecond,
		"cpu  0 0 0 1 1 0 0 0\n":               0,
		"cpu0 10 20 30 40 50 1 2 3 4 5\n":      -1,
		"cpu  10 20 30\n":                      -1,
		"cpu  10 20 x 40 50 1 2 3 4 5\n":       -1,
		"cpu  10 20 -3 40 50 1 2 3 4 5\n":      -1,
		"":                                     -1,
	} {
		if got, told := busyOf(line); told != (want >= 0) || told && got != want {
			t.Errorf("%q: %v, %v", line, got, told)
		}
	}
	if busy, told := MachineBusy(); told != (runtime.GOOS == "linux") || told && busy <= 0 {
		t.Errorf("this machine worked for %v, %v", busy, told)
	}
}
