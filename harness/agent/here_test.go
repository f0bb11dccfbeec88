package agent

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"runtime/debug"
	"strings"
	"syscall"
	"testing"
	"time"

	"plumbline/harness/record"
)

// hereVariable makes the test binary an agent of a process of its own.
const hereVariable = "PLUMBLINE_TEST_VIEW"

func TestMain(m *testing.M) {
	if os.Getenv(hereVariable) == "" {
		m.Run()
		return
	}
	if err := ServeHere(context.Background(), os.Stdin, os.Stdout, Config{Version: "test"}); err != nil {
		panic(err)
	}
}

// launch starts an agent in a process of its own.
func launch(t *testing.T) *Host {
	t.Helper()
	t.Setenv(hereVariable, "1")
	h, err := Launch(limit(t), "process 1", []string{"/proc/self/exe"}, nil)
	if errors.Is(err, os.ErrNotExist) {
		t.Skip("this system does not name the program that runs")
	}
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = h.Close() })
	return h
}

// A process of this host records into the folder of the bench, by its clock: nothing is
// mapped and nothing uncertain.
func TestAProcessOfThisHostKeepsTheClockOfTheBench(t *testing.T) {
	h := launch(t)
	if h.PID() <= 0 || h.PID() == os.Getpid() || h.About().Version != "test" {
		t.Errorf("it is process %d: %+v", h.PID(), h.About())
	}
	s, dir := open(t, h)
	began := s.cfg.Clock.Now()
	v, err := s.View(t.Context(), newBoard(t).view("viewer-01"), nil)
	if err != nil {
		t.Fatal(err)
	}
	if !v.status().Connected {
		t.Error("it is not known to be connected once it is open")
	}
	if err := s.Arrived(limit(t), map[string]uint64{"viewer-01": 20}, 0); err != nil {
		t.Fatal(err)
	}
	ended := s.cfg.Clock.Now()
	log := bench()
	if _, err := Load(dir, log); err != nil || !log.Partial {
		t.Errorf("while it runs: partial %v, %v", log.Partial, err)
	}
	if err := errors.Join(s.Close(), h.Close()); err != nil {
		t.Fatal(err)
	}
	log = bench()
	m, err := Load(dir, log)
	if err != nil {
		t.Fatal(err)
	}
	if node := log.Index.Nodes[1]; !m.Shared() || node.Clock != "" || node.Uncertainty != 0 || node.Name != "viewer-01" {
		t.Errorf("shared %v, node %+v", m.Shared(), node)
	}
	if log.Partial || len(log.Records) < 20 {
		t.Fatalf("partial %v, %d records", log.Partial, len(log.Records))
	}
	for i, r := range log.Records[:20] {
		if r.Stream != 1 || r.Seq != uint64(i)+1 || r.At < began || r.At > ended {
			t.Fatalf("record %d between %d and %d is %+v", i, began, ended, r)
		}
	}
	if e, err := ReadEvidence(dir); err != nil || e.Lost != "" || e.Address != "process 1" {
		t.Errorf("the evidence says %+v, %v", e, err)
	}
}

// A process that dies takes what it knew with it, and the recording is partial.
func TestAProcessThatIsKilledIsLost(t *testing.T) {
	h := launch(t)
	s, dir := open(t, h)
	v, err := s.View(t.Context(), newBoard(t).view("viewer-01"), nil)
	if err != nil {
		t.Fatal(err)
	}
	if err := syscall.Kill(h.PID(), syscall.SIGKILL); err != nil {
		t.Fatal(err)
	}
	if err := v.WaitReceived(limit(t), 1_000_000); !errors.Is(err, ErrLost) || !strings.Contains(err.Error(), "its process has ended or") {
		t.Errorf("waiting ended with %v", err)
	}
	if v.Connected() {
		t.Error("its viewer is still connected")
	}
	if err := s.Close(); !errors.Is(err, ErrLost) {
		t.Errorf("closing gave %v", err)
	}
	log := bench()
	if _, err := Load(dir, log); err != nil || !log.Partial {
		t.Errorf("partial %v, %v", log.Partial, err)
	}
}

// A program that is none tells so, with what it said.
func TestLaunchTellsWhatAProgramSaid(t *testing.T) {
	if _, err := Launch(limit(t), "process 1", []string{"/bin/sh", "-c", "echo no such thing >&2; echo 0123456789abcdef"}, nil); err == nil || !strings.Contains(err.Error(), "no such thing") {
		t.Errorf("a shell gives %v", err)
	}
	if _, err := Launch(limit(t), "process 1", []string{filepath.Join(t.TempDir(), "none")}, nil); err == nil {
		t.Error("what is not there was started")
	}
}

// An agent on another host is told neither where it records nor by which clock.
func TestOnlyAnAgentOnThisHostIsToldWhereToRecord(t *testing.T) {
	h := dial(t, start(t, nil).target)
	origin, err := record.NewClock().Origin()
	if err != nil {
		t.Skip(err)
	}
	dir := filepath.Join(t.TempDir(), "there")
	if err := h.call(limit(t), callOpen, openArgs{Run: run, Dir: dir, Origin: &origin}, nil); err == nil {
		t.Error("it records where it was told to")
	}
	if _, err := os.Stat(dir); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("the folder: %v", err)
	}
	if err := launch(t).call(limit(t), callOpen, openArgs{Run: run}, nil); err == nil {
		t.Error("one of this host records without having been told where")
	}
}

// A question about one viewer is answered with one, however many there are: else all who
// open viewers, or wait for them, would ask for the square of their number.
func TestAnAnswerHoldsWhatWasAskedFor(t *testing.T) {
	const most = 5
	a := start(t, nil)
	h := dial(t, a.target)
	s, _ := open(t, h)
	b := newBoard(t)
	var names []string
	for i := range most {
		names = append(names, fmt.Sprintf("viewer-%02d", i+1))
		if _, err := s.View(t.Context(), b.view(names[i]), nil); err != nil {
			t.Fatal(err)
		}
	}
	for _, want := range [][]string{nil, names[:1], {names[1], "nobody"}, names} {
		var answer statusAnswer
		if err := h.call(limit(t), callStatus, statusArgs{Session: s.id, Viewers: want}, &answer); err != nil {
			t.Fatal(err)
		}
		for _, name := range want {
			if _, there := answer.Viewers[name]; there != (name != "nobody") {
				t.Errorf("asked for %v it tells of %v", want, answer.Viewers)
			}
		}
		if len(answer.Viewers) > len(want) {
			t.Errorf("asked for %v it tells of %v", want, answer.Viewers)
		}
	}
	if lost, err := s.Lost(limit(t), append(names, "nobody")); err != nil || lost != 1 {
		t.Errorf("%d are lost, %v", lost, err)
	}
}

// The more viewers there are the more memory they may have before the collector works, and
// it is as before when they are gone: with one limit for any number it would collect all the time.
func TestViewersBringRoomForThemselves(t *testing.T) {
	before := debug.SetMemoryLimit(-1)
	h := dial(t, start(t, nil).target)
	s, _ := open(t, h)
	if _, err := s.View(t.Context(), newBoard(t).view("viewer-01"), nil); err != nil {
		t.Fatal(err)
	}
	if got := debug.SetMemoryLimit(-1); got != gcLimit+roomStep*perViewer {
		t.Errorf("the first viewer has room of %d bytes", got)
	}
	makeRoom(15_000)
	if got := debug.SetMemoryLimit(-1); got != gcLimit+roomStep*perViewer {
		t.Errorf("room was made between two steps: %d bytes", got)
	}
	makeRoom(60 * roomStep)
	if got := debug.SetMemoryLimit(-1); got != gcLimit+61*roomStep*perViewer {
		t.Errorf("many viewers have room of %d bytes", got)
	}
	makeRoom(1)
	if got := debug.SetMemoryLimit(-1); got < gcLimit+61*roomStep*perViewer {
		t.Errorf("a second session takes the room of the first: %d bytes", got)
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	if got := debug.SetMemoryLimit(-1); got != before {
		t.Errorf("the limit is %d bytes, and was %d", got, before)
	}
}

// Arrived ends when its time is over, and when what it waits for will never be.
func TestArrivedEnds(t *testing.T) {
	a := start(t, nil)
	s, _ := open(t, dial(t, a.target))
	if _, err := s.View(t.Context(), newBoard(t).view("viewer-01"), nil); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	if err := s.Arrived(ctx, map[string]uint64{"viewer-01": 1_000_000}, 0); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("waiting in vain gives %v", err)
	}
	if err := s.Arrived(limit(t), map[string]uint64{"nobody": 1}, 0); err != nil {
		t.Errorf("waiting for nobody gives %v", err)
	}
}
