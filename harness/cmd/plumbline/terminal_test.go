//go:build unix

package main

import (
	"bytes"
	"io"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/creack/pty"

	"plumbline/harness/cmd/plumbline/internal/terminaltest"
	"plumbline/reports"
	"plumbline/reports/events"
)

// TestARunOnATerminalIsToldToEnd watches a real run on a terminal until a fault
// strikes, tells it to end long before it would, and looks at what is left: on the
// terminal, with a reader of events and with a collector of metrics.
func TestARunOnATerminalIsToldToEnd(t *testing.T) {
	p := newProgram(t).withBridge(t)
	var mu sync.Mutex
	var sent []string
	collector := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		mu.Lock()
		defer mu.Unlock()
		sent = append(sent, r.URL.Path+" "+string(body))
	}))
	defer collector.Close()
	course, dir := filepath.Join(p.tmp, "course.jsonl"), filepath.Join(p.out, "run")
	s := terminaltest.Start(t, p.command(t.Context(), "run", "--profile", "smoke", "--label-filter", "freeze || steady", "--run-dir", dir, "--events", course, "--otlp", collector.URL))
	for _, text := range []string{"0 of 2 scenarios  bridged", "RIG ░░░░░ 0/1  LAT ░░░░░ 0/", "  latency  p50 ", " 1 of 1 viewer connected", "  fault: "} {
		s.Ever(text)
	}
	s.Signal(syscall.SIGTERM)
	if got := s.Exit(); got != reports.ExitInterrupted {
		t.Errorf("exit code %d, want 130", got)
	}
	s.WaitFor("report: " + filepath.Join(dir, "report.html"))
	s.Unchanged()
	shown := s.Shown()
	for _, gone := range []string{"RIG ░", "  latency  ", "  fault: "} {
		if strings.Contains(shown, gone) {
			t.Errorf("%q was left on the terminal:\n%s", gone, shown)
		}
	}
	if !strings.Contains(shown, "plumbline: bridged") || !strings.Contains(shown, "INCONCLUSIVE") || !strings.Contains(shown, "verdict INCONCLUSIVE; exit 130") {
		t.Errorf("the terminal shows\n%s", shown)
	}
	told, kept := courseOf(t, course), courseOf(t, filepath.Join(dir, events.FileName))
	if last := told[len(told)-1]; last.Kind != events.Reported || len(told) != len(kept)+1 {
		t.Errorf("%d events sent, %d kept, the last sent is %+v", len(told), len(kept), last)
	}
	if last := kept[len(kept)-1]; last.Kind != events.RunEnded || *last.Exit != reports.ExitInterrupted || last.Partial == "" {
		t.Errorf("the last event kept is %+v", last)
	}
	within(t, time.Minute, "figures of the end at the collector", func() bool {
		mu.Lock()
		defer mu.Unlock()
		return slices.ContainsFunc(sent, func(r string) bool {
			return strings.HasPrefix(r, "/v1/metrics {") && strings.Contains(r, `"plumbline.run.exit"`)
		})
	})
}

func TestStyleByFlags(t *testing.T) {
	master, slave, err := pty.Open()
	if err != nil {
		t.Fatal(err)
	}
	defer master.Close()
	defer slave.Close()
	getenv := func(name string) string { return map[string]string{"TERM": "xterm"}[name] }
	var pipe bytes.Buffer
	for _, c := range []struct {
		flags          showFlags
		out            io.Writer
		live, colour   bool
		quiet, peopled bool // peopled: people read standard error
	}{
		{showFlags{}, slave, true, true, false, false},
		{showFlags{}, &pipe, false, false, false, false},
		{showFlags{plain: true}, slave, false, false, false, false},
		{showFlags{quiet: true}, slave, false, true, true, false},
		{showFlags{plain: true, quiet: true}, slave, false, false, true, false},
		{showFlags{events: "-"}, &pipe, true, true, false, true},
		{showFlags{events: "-"}, slave, false, true, false, true}, // both on one terminal
		{showFlags{events: "file"}, slave, true, true, false, false},
	} {
		s := streams{out: c.out, err: slave, getenv: getenv}
		style := c.flags.style(s)
		if style.Live != c.live || style.Color != c.colour || style.Quiet != c.quiet {
			t.Errorf("%+v: style %+v", c.flags, style)
		}
		want := c.out
		if c.peopled {
			want = slave
		}
		if got := c.flags.people(s).out; got != want {
			t.Errorf("%+v: people read %v, want %v", c.flags, got, want)
		}
	}
}
