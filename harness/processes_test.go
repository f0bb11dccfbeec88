package harness_test

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"plumbline/harness"
	"plumbline/harness/agent"
	"plumbline/harness/oracle"
	"plumbline/harness/record"
)

// TestViewersInProcessesComeBack: after a restart of the system all viewers, wherever they are, are waited for, and for what each
// has not had; while it is gone none counts as settled.
func TestViewersInProcessesComeBack(t *testing.T) {
	if _, err := record.NewClock().Origin(); errors.Is(err, record.ErrNoOrigin) {
		t.Skip(err)
	}
	rig := newRig(t, func(c *harness.Config) {
		c.Processes, c.Viewing = 2, []string{"env", viewVariable + "=1", os.Args[0]}
	})
	load := small
	load.Viewers = 5
	b := open(t, rig, harness.Plan{Name: "back", Load: load, Apart: harness.OwnProcesses})
	near, err := b.AddViewer(t.Context(), harness.ViewerConfig(b, "near"))
	if err != nil {
		t.Fatal(err)
	}
	err = b.Around(t.Context(), "w", 100*time.Millisecond, 0, func(ctx context.Context) error {
		if err := b.SUT.Kill(); err != nil {
			return err
		}
		if err := b.Settled(ctx, 300*time.Millisecond); !errors.Is(err, harness.ErrAway) {
			t.Errorf("with nothing to connect to they are settled: %v", err)
		}
		if err := b.SUT.Start(ctx); err != nil {
			return err
		}
		if err := b.Settled(ctx, time.Minute); err != nil {
			return err
		}
		had := map[harness.Viewer]uint64{}
		for _, v := range b.Viewers {
			had[v] = v.Counters().Received
		}
		if err := b.Fresh(ctx, time.Minute); err != nil {
			return err
		}
		for _, v := range b.Viewers {
			if c := v.Counters(); c.Received <= had[v] || c.Disconnects == 0 {
				t.Errorf("a viewer that had %d readings is %+v", had[v], c)
			}
		}
		return nil
	})
	if err != nil || !slices.Contains(b.Viewers, harness.Viewer(near)) {
		t.Fatal(err)
	}
}

// TestProcessesHoldTheViewers: what viewers saw in processes of their own, of what several
// others published, is one recording with one clock; those that only wait are there and owe
// nobody anything.
func TestProcessesHoldTheViewers(t *testing.T) {
	if _, err := record.NewClock().Origin(); errors.Is(err, record.ErrNoOrigin) {
		t.Skip(err)
	}
	rig := newRig(t, func(c *harness.Config) {
		c.Processes, c.Viewing = 2, []string{"env", viewVariable + "=1", os.Args[0]}
		c.Generators, c.Generator = 3, []string{"env", generatorVariable + "=1", os.Args[0]}
	})
	load := small
	load.Viewers = 5
	b := open(t, rig, harness.Plan{Name: "crowd", Load: load, Apart: harness.OwnProcesses, Idle: 4})
	until := b.Burdens(t.Context())
	if err := b.Window(t.Context(), "w", 100*time.Millisecond, 500*time.Millisecond); err != nil {
		t.Fatal(err)
	}
	var parts []string
	for _, one := range until(t.Context()) {
		parts = append(parts, one.Part)
		if one.RSS == 0 || one.CPU <= 0 {
			t.Errorf("%+v", one)
		}
	}
	if !slices.Contains(parts, "viewers-1") || !slices.Contains(parts, "viewers-2") || !slices.Contains(parts, "generator-3") || len(parts) != 7 {
		t.Errorf("looked at %v", parts)
	}
	if n, err := b.Dropped(t.Context()); err != nil || n != 0 {
		t.Errorf("%d of those that wait were cut, %v", n, err)
	}
	if h, err := b.Peek(t.Context()); err != nil || len(h.Log().Records) == 0 {
		t.Errorf("what was recorded so far: %v", err)
	}
	r, h := finish(t, b)
	d, _ := h.Delivery(oracle.Options{Window: "w"})
	if d.Owed < 250 || d.Lost+d.Unconfirmed+d.Duplicated != 0 || d.Delivered != d.Owed {
		t.Errorf("delivery is %+v", d)
	}
	if len(r.Processes) != 4 || r.Processes[3].Name != "generator-3" || r.Processes[3].Hiccup == nil || r.Generator != harness.OwnProcess {
		t.Errorf("the evidence tells of %+v", r.Processes)
	}
	viewers, waiting := 0, 0
	for _, n := range h.Log().Index.Nodes {
		if n.Clock != "" || n.Uncertainty != 0 {
			t.Errorf("node %+v has another clock", n)
		}
		switch {
		case strings.HasPrefix(n.Name, "viewer-"):
			viewers++
		case strings.HasPrefix(n.Name, "idle-"):
			waiting++
		}
	}
	if viewers != 5 || waiting != 4 || h.Log().Partial {
		t.Errorf("%d viewers and %d that wait, partial %v", viewers, waiting, h.Log().Partial)
	}
	if use := h.Clocks(r.Options("")); len(use.Names) != 0 || use.Uncertainty != 0 {
		t.Errorf("clocks %+v", use)
	}
	about, err := harness.Agents(rig.Dir())
	if err != nil || len(about) != 2 || !strings.Contains(about["crowd_agent-1"], "kept the clock of the run") {
		t.Errorf("agents are %v, %v", about, err)
	}
}

// TestWhatProcessesNeed: bad declarations are refused, and nothing is left of a bench whose
// processes are none.
func TestWhatProcessesNeed(t *testing.T) {
	for _, change := range []func(*harness.Config){
		func(c *harness.Config) { c.Processes = 1 },
		func(c *harness.Config) { c.Generators = 2 },
		func(c *harness.Config) { c.Processes, c.Viewing, c.Agents = 1, []string{"x"}, []*agent.Host{{}} },
	} {
		cfg := newRig(t, nil).Profile()
		c := harness.Config{Profile: cfg, Dir: t.TempDir()}
		change(&c)
		if _, err := harness.NewRig(c); err == nil {
			t.Errorf("%+v is a rig", c)
		}
	}
	rig := newRig(t, func(c *harness.Config) { c.Processes, c.Viewing = 1, []string{filepath.Join(t.TempDir(), "none")} })
	if _, err := rig.Open(t.Context(), harness.Plan{Name: "none", Load: small, Apart: harness.OwnProcesses}); !errors.Is(err, harness.ErrBench) {
		t.Errorf("a program that is not there gives %v", err)
	}
	if _, err := newRig(t, nil).Open(t.Context(), harness.Plan{Name: "none", Load: small, Apart: harness.OwnProcesses, Idle: 1}); err == nil || !strings.Contains(fmt.Sprint(err), "no processes") {
		t.Errorf("viewers that only wait, in no process: %v", err)
	}
}
