package record

import (
	"bufio"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"testing"
	"time"
)

// originVariable makes the test binary a process that reads a clock of that
// origin whenever it is asked to.
const originVariable = "PLUMBLINE_TEST_ORIGIN"

func TestMain(m *testing.M) {
	if origin := os.Getenv(originVariable); origin != "" {
		if err := tell(origin); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1) //nolint:forbidigo // this is main
		}
		return
	}
	os.Exit(m.Run()) //nolint:forbidigo // this is main
}

// tell answers every line with a reading of the clock.
func tell(origin string) error {
	var o Origin
	if err := json.Unmarshal([]byte(origin), &o); err != nil {
		return err
	}
	clock, err := ClockAt(o)
	if err != nil {
		return err
	}
	for lines := bufio.NewScanner(os.Stdin); lines.Scan(); {
		fmt.Println(clock.Now())
	}
	return nil
}

// A process made from the origin of a clock reads that clock: each of its
// readings lies between the two that enclose it here.
func TestProcessesShareTheClock(t *testing.T) {
	clock := NewClock()
	origin, err := clock.Origin()
	if errors.Is(err, ErrNoOrigin) {
		t.Skip(err)
	}
	if err != nil {
		t.Fatal(err)
	}
	text, err := json.Marshal(origin)
	if err != nil {
		t.Fatal(err)
	}
	other := exec.CommandContext(t.Context(), os.Args[0])
	other.Env, other.Stderr = append(os.Environ(), originVariable+"="+string(text)), os.Stderr
	ask, err := other.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	answers, err := other.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := other.Start(); err != nil {
		t.Fatal(err)
	}
	lines := bufio.NewReader(answers)
	for range 200 {
		before := clock.Now()
		if _, err := ask.Write([]byte("\n")); err != nil {
			t.Fatal(err)
		}
		line, err := lines.ReadString('\n')
		after := clock.Now()
		if err != nil {
			t.Fatal(err)
		}
		there, err := strconv.ParseInt(strings.TrimSpace(line), 10, 64)
		if err != nil {
			t.Fatal(err)
		}
		if there < before || there > after {
			t.Fatalf("the other process reads %d ns between %d and %d here", there, before, after)
		}
	}
	if err := errors.Join(ask.Close(), other.Wait()); err != nil {
		t.Error(err)
	}
}

// The zero may lie before the start of the process, and hours away.
func TestClockAtAnyOrigin(t *testing.T) {
	clock := NewClock()
	origin, err := clock.Origin()
	if errors.Is(err, ErrNoOrigin) {
		t.Skip(err)
	}
	if err != nil {
		t.Fatal(err)
	}
	const near = int64(time.Millisecond) // what is wrong is wrong by the shift
	for _, shift := range []time.Duration{0, time.Hour, -time.Hour, 240 * time.Hour} {
		shifted, err := ClockAt(Origin{Monotonic: origin.Monotonic - int64(shift)})
		if err != nil {
			t.Fatal(err)
		}
		before := clock.Now()
		there := shifted.Now() - int64(shift)
		if after := clock.Now(); there < before-near || there > after+near {
			t.Errorf("shifted by %v the clock reads %d ns between %d and %d", shift, there, before, after)
		}
		back, err := shifted.Origin()
		if err != nil || max(back.Monotonic-origin.Monotonic+int64(shift), origin.Monotonic-int64(shift)-back.Monotonic) > near {
			t.Errorf("the origin comes back as %d, %v; want %d", back.Monotonic, err, origin.Monotonic-int64(shift))
		}
	}
}
