package sut

import (
	"bytes"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"testing"
	"time"
)

// Processes see the uptime that they are given, at each start, and nobody else
// does.
func TestProcessesSeeTheUptimeTheyAreGiven(t *testing.T) {
	const up = 2_147_000 * time.Second
	if err := CanSetUptime(up); err != nil {
		t.Skipf("not on this machine: %v", err)
	}
	before, err := os.ReadFile("/proc/uptime")
	if err != nil {
		t.Fatal(err)
	}
	for run := range 2 {
		dir := t.TempDir()
		c, err := launch(Process{Name: "clock", Command: []string{"cat", "/proc/uptime"}}, dir, up, slog.New(slog.DiscardHandler), func(*child) {})
		if err != nil {
			t.Fatal(err)
		}
		<-c.done
		text, err := os.ReadFile(filepath.Join(dir, "clock.log"))
		if err != nil {
			t.Fatal(err)
		}
		var seen float64
		if _, err := fmt.Fscan(bytes.NewReader(text), &seen); err != nil || seen < up.Seconds()-2 || seen > up.Seconds()+60 {
			t.Errorf("run %d: the process saw %q, %v; it was to see %.0f s", run, text, err, up.Seconds())
		}
	}
	var was, now float64
	after, err := os.ReadFile("/proc/uptime")
	if err != nil {
		t.Fatal(err)
	}
	_, _ = fmt.Fscan(bytes.NewReader(before), &was) // both are numbers, or the next line says so
	_, _ = fmt.Fscan(bytes.NewReader(after), &now)
	if now < was || now > was+600 {
		t.Errorf("our own uptime went from %s to %s", before, after)
	}
}

// A machine that is up for longer than it is to seem sets its clock back, and
// never by too little.
func TestAnUptimeIsRoundedTowardsThePast(t *testing.T) {
	for d, want := range map[time.Duration]int64{
		0: 0, time.Second: 1, 1999 * time.Millisecond: 1, -time.Second: -1, -1001 * time.Millisecond: -2, -time.Nanosecond: -1,
	} {
		if got := wholeSeconds(d); got != want {
			t.Errorf("%s: %d s, want %d", d, got, want)
		}
	}
}
