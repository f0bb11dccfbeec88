package fault_test

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"testing"
	"time"

	"plumbline/harness/fault"
)

// available skips where the machine cannot make a fault, and says why.
func available(t *testing.T, err error) {
	t.Helper()
	if errors.Is(err, fault.ErrUnavailable) {
		t.Skip(err)
	}
	must(t, err)
}

// asks sends a command to the stand-in and returns its answer.
func asks(conn net.Conn, command string) (string, error) {
	if _, err := io.WriteString(conn, command+"\n"); err != nil {
		return "", err
	}
	line, err := bufio.NewReader(conn).ReadString('\n')
	return strings.TrimSpace(line), err
}

func TestDescriptorPressure(t *testing.T) {
	s := process(t)
	address := s.Broker().Host
	before := dial(t, address)
	hears(t, before, "before")
	f := fault.DescriptorPressure("no descriptors", s, 1)
	available(t, f.Inject(t.Context()))
	hears(t, before, "it lives")
	// The kernel takes every connection. The process can take one, and a few more
	// where it gave up others meanwhile; then it cannot.
	var waiting net.Conn
	for taken := 0; ; taken++ {
		waiting = dial(t, address)
		if taken > 0 { // the first one will be
			must(t, waiting.SetReadDeadline(time.Now().Add(300*time.Millisecond)))
		}
		_, err := ask(waiting, "one too many")
		if errors.Is(err, os.ErrDeadlineExceeded) {
			if taken == 0 {
				t.Error("not even the one was taken")
			}
			break
		}
		must(t, err)
		if taken == 10 {
			t.Fatal("ten connections were taken")
		}
	}
	must(t, f.Revert(t.Context()))
	must(t, waiting.SetReadDeadline(time.Now().Add(patience)))
	reads(t, waiting, "one too many\n")
}

func TestMemoryPressure(t *testing.T) {
	s := process(t)
	conn := dial(t, s.Broker().Host)
	f := fault.MemoryPressure("no memory", s, 128<<20)
	available(t, f.Inject(t.Context()))
	hears(t, conn, "it lives on what it has")
	if got, err := asks(conn, askMemory); err == nil || errors.Is(err, os.ErrDeadlineExceeded) {
		t.Errorf("it got %s bytes", got)
	}
	<-s.Exited() // a program in Go does not survive that
	must(t, f.Revert(t.Context()))

	s = process(t)
	conn = dial(t, s.Broker().Host)
	f = fault.MemoryPressure("no memory", s, 128<<20)
	must(t, f.Inject(t.Context()))
	must(t, f.Revert(t.Context()))
	if got, err := asks(conn, askMemory); got != strconv.Itoa(256<<20) {
		t.Errorf("after the fault it got %q, %v", got, err)
	}
}

// However often it was injected, a revert gives back what the process had before
// the first time.
func TestPressureInjectedTwiceIsRevertedWhole(t *testing.T) {
	s := process(t)
	limits := func() string {
		t.Helper()
		text, err := os.ReadFile(fmt.Sprintf("/proc/%d/limits", s.Pid()))
		if err != nil {
			t.Skip(err)
		}
		return string(text)
	}
	before := limits()
	f := fault.DescriptorPressure("no descriptors", s, 1)
	available(t, f.Inject(t.Context()))
	if limits() == before {
		t.Fatal("the limit is as it was")
	}
	must(t, f.Inject(t.Context()))
	must(t, f.Revert(t.Context()))
	if after := limits(); after != before {
		t.Errorf("after the revert:\n%s\nbefore:\n%s", after, before)
	}
}

// clocks asks the stand-in for its clocks.
func clocks(t *testing.T, conn net.Conn) (wall time.Time, mono time.Duration) {
	t.Helper()
	text, err := asks(conn, askTime)
	must(t, err)
	var nanos int64
	if _, err := fmt.Sscan(text, &nanos, &mono); err != nil {
		t.Fatalf("%q: %v", text, err)
	}
	return time.Unix(0, nanos), mono
}

func TestClockStep(t *testing.T) {
	s := process(t)
	conn := dial(t, s.Broker().Host)
	const slack = time.Minute // of a busy machine
	off := func(want time.Duration, monoBefore time.Duration) time.Duration {
		t.Helper()
		wall, mono := clocks(t, conn)
		if d := time.Until(wall) - want; d < -slack || d > slack {
			t.Errorf("its clock is off by %v, want %v", time.Until(wall), want)
		}
		if mono < monoBefore || mono > monoBefore+slack {
			t.Errorf("its monotonic clock went from %v to %v", monoBefore, mono)
		}
		return mono
	}
	mono := off(0, 0)
	for _, by := range []time.Duration{time.Hour, -time.Hour, 20 * 365 * 24 * time.Hour} {
		f := fault.ClockStep("wall clock", s, by)
		err := f.Inject(t.Context())
		if here := fault.NoClockStep(); errors.Is(here, fault.ErrUnavailable) != errors.Is(err, fault.ErrUnavailable) {
			t.Errorf("beforehand: %v, then: %v", here, err)
		}
		available(t, err)
		mono = off(by, mono)
		must(t, f.Revert(t.Context()))
		mono = off(0, mono)
	}
	frozen := fault.Freeze("SIGSTOP", s)
	f := fault.ClockStep("wall clock", s, time.Hour)
	must(t, frozen.Inject(t.Context()))
	must(t, f.Inject(t.Context())) // it stays frozen
	must(t, conn.SetReadDeadline(time.Now().Add(50*time.Millisecond)))
	if got, err := asks(conn, askTime); !errors.Is(err, os.ErrDeadlineExceeded) {
		t.Errorf("frozen it said %q, %v", got, err)
	}
	must(t, frozen.Revert(t.Context()))
	must(t, conn.SetReadDeadline(time.Now().Add(patience)))
	if _, err := bufio.NewReader(conn).ReadString('\n'); err != nil {
		t.Fatal(err)
	}
	off(time.Hour, mono)
	must(t, s.Kill())
	must(t, f.Revert(t.Context()))
	for _, by := range []time.Duration{0, time.Millisecond, -1500 * time.Millisecond} {
		if err := fault.ClockStep("wall clock", s, by).Inject(t.Context()); err == nil || errors.Is(err, fault.ErrUnavailable) {
			t.Errorf("a step of %v: %v", by, err)
		}
	}
	if err := fault.ClockStep("wall clock", s, time.Hour).Inject(t.Context()); !errors.Is(err, fault.ErrUnavailable) {
		t.Errorf("a process that does not run: %v", err)
	}
}

// shell is a running bash, which asks the C library for the time.
type shell struct{ pid int }

func (s shell) Pid() int { return s.pid }

// TestClockStepOfAProgramInC steps the clock of a program that is no Go and
// reads the time in other ways.
func TestClockStepOfAProgramInC(t *testing.T) {
	bash, err := exec.LookPath("bash")
	if err != nil {
		t.Skip("bash is not installed")
	}
	cmd := exec.CommandContext(t.Context(), bash, "-c", `while read -r; do printf '%(%s)T %s\n' -1 "$EPOCHSECONDS"; done`)
	in, err := cmd.StdinPipe()
	must(t, err)
	out, err := cmd.StdoutPipe()
	must(t, err)
	must(t, cmd.Start())
	t.Cleanup(func() { _ = cmd.Wait() })
	t.Cleanup(func() { _ = in.Close() })
	lines := bufio.NewReader(out)
	off := func() (hours [2]int64) {
		write(t, in, "\n")
		line, err := lines.ReadString('\n')
		must(t, err)
		if _, err := fmt.Sscan(line, &hours[0], &hours[1]); err != nil {
			t.Fatalf("%q: %v", line, err)
		}
		now := time.Now().Unix()
		for i := range hours {
			hours[i] = (hours[i] - now + 1800) / 3600
		}
		return hours
	}
	if got := off(); got != [2]int64{} {
		t.Fatalf("before the fault it is off by %v hours", got)
	}
	f := fault.ClockStep("wall clock", shell{cmd.Process.Pid}, 5*time.Hour)
	available(t, f.Inject(t.Context()))
	if got := off(); got != [2]int64{5, 5} {
		t.Errorf("it is off by %v hours, want 5", got)
	}
	must(t, f.Revert(t.Context()))
	if got := off(); got != [2]int64{} {
		t.Errorf("after the fault it is off by %v hours", got)
	}
}
