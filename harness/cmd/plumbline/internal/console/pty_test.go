//go:build unix

package console

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"os/signal"
	"strings"
	"syscall"
	"testing"
	"time"

	"plumbline/harness/cmd/plumbline/internal/terminaltest"
	"plumbline/reports"
)

// showVariable makes this test binary a program that shows a run on its terminal.
// Its value says how the program ends.
const showVariable = "PLUMBLINE_TEST_SHOW"

func TestMain(m *testing.M) {
	if how := os.Getenv(showVariable); how != "" {
		os.Exit(show(how))
	}
	os.Exit(m.Run())
}

// show shows a run that goes on until SIGINT or SIGTERM, adding a line now and then.
// With SIGUSR1 it ends as how says.
func show(how string) (code int) {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	now := make(chan os.Signal, 1)
	signal.Notify(now, syscall.SIGUSR1)
	style := StyleOf(os.Stdout, os.Getenv)
	p := NewProgress(os.Stdout, style, time.Now)
	defer func() {
		if e := recover(); e != nil { // as the command does
			_ = p.Close()
			fmt.Printf("fault: %v\n", e)
			code = reports.ExitFault
		}
	}()
	p.Head(Head{SUT: "shown", Profile: "test", Scenarios: 3})
	for _, e := range course() {
		e.Time = time.Now()
		p.Apply(e)
	}
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for i := 0; ; i++ {
		select {
		case <-ctx.Done():
			p.Interrupted()
			_ = p.Close()
			fmt.Println("totals: interrupted")
			return reports.ExitInterrupted
		case <-now:
			switch how {
			case "panic":
				panic("a nil map, say")
			case "crash":
				go panic("nobody recovers this")
			default:
				_ = p.Close()
				fmt.Println("totals: done")
				return 0
			}
		case <-tick.C:
			p.Note(fmt.Sprintf("line %d", i))
		}
	}
}

func self(t *testing.T) string {
	t.Helper()
	path, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	return path
}

// start starts the program that shows a run, or what args say, on a terminal.
func start(t *testing.T, how string, args ...string) *terminaltest.Session {
	t.Helper()
	if len(args) == 0 {
		args = []string{self(t)}
	}
	cmd := exec.Command(args[0], args[1:]...)
	cmd.Env = append(os.Environ(), showVariable+"="+how, "LC_ALL=C", "HISTFILE=") // a shell speaks English and keeps no history
	return terminaltest.Start(t, cmd)
}

const inBlock = "of 3 scenarios"

func TestTheTerminalAfterEachWayToEnd(t *testing.T) {
	for _, c := range []struct {
		how   string
		by    syscall.Signal
		code  int    // -1: killed
		last  string // shown at the end
		block bool   // stays on the screen
	}{
		{how: "end", by: syscall.SIGUSR1, code: 0, last: "totals: done"},
		{how: "signal", by: syscall.SIGTERM, code: reports.ExitInterrupted, last: "totals: interrupted"},
		{how: "signal", by: syscall.SIGINT, code: reports.ExitInterrupted, last: "totals: interrupted"},
		{how: "panic", by: syscall.SIGUSR1, code: reports.ExitFault, last: "fault: a nil map, say"},
		{how: "crash", by: syscall.SIGUSR1, code: 2, last: "nobody recovers this", block: true},
		{how: "signal", by: syscall.SIGKILL, code: -1, block: true},
	} {
		t.Run(c.how+" "+c.by.String(), func(t *testing.T) {
			t.Parallel()
			s := start(t, c.how)
			s.WaitFor(inBlock)
			s.WaitFor("line 3\n") // and what comes after it
			s.Signal(c.by)
			if got := s.Exit(); got != c.code {
				t.Errorf("exit code %d, want %d", got, c.code)
			}
			if c.last != "" {
				s.WaitFor(c.last)
			}
			s.Unchanged()
			if got := strings.Contains(s.Shown(), inBlock); !c.block && got {
				t.Errorf("the block was left on the screen:\n%s", s.Shown())
			}
			if !strings.Contains(s.Shown(), "plumbline: shown") || !strings.Contains(s.Shown(), "line 3\n") {
				t.Errorf("the scrollback lacks lines of the run:\n%s", s.Shown())
			}
		})
	}
}

// TestAWindowThatChangesItsSize makes the window narrow, tiny and large again.
func TestAWindowThatChangesItsSize(t *testing.T) {
	s := start(t, "signal")
	s.WaitFor(inBlock)
	lastRow := func(text string) string { return text[strings.LastIndexByte(text, '\n')+1:] }
	s.Resize(30, 30)
	s.Wait("one line in a narrow window", func(text string) bool { return strings.HasPrefix(lastRow(text), "1/3 steady") })
	s.Resize(10, 2)
	s.Wait("no block in a tiny window", func(text string) bool { return strings.HasPrefix(lastRow(text), "line ") })
	s.Resize(100, 30)
	s.WaitFor("about 2 min left")
	s.Signal(syscall.SIGTERM)
	s.WaitFor("totals: interrupted")
	s.Exit()
	s.Unchanged()
}

// TestStopAndContinueUnderAShell stops the program with Ctrl-Z, lets it go on in the
// background and in the foreground, and ends it with Ctrl-C.
func TestStopAndContinueUnderAShell(t *testing.T) {
	shell, err := exec.LookPath("bash")
	if err != nil {
		t.Skip("needs a shell with job control: apt-get install bash")
	}
	s := start(t, "signal", shell, "--norc", "--noprofile", "--noediting", "-i")
	mark := 0 // what follows it is new
	since := func() string {
		shown := s.Shown()
		return shown[min(mark, len(shown)):]
	}
	s.Type(self(t) + "\n")
	s.WaitFor(inBlock)
	s.Type("\x1a")
	s.WaitFor("Stopped")
	s.Unchanged()
	mark = strings.LastIndex(s.Shown(), "Stopped")
	s.Type("bg\n")
	s.Wait("three lines in the background", func(string) bool { return strings.Count(since(), "\nline ") >= 3 })
	if strings.Contains(since(), inBlock) {
		t.Errorf("a job in the background drew its block:\n%s", since())
	}
	s.Type("fg\n")
	s.Wait("the block in the foreground", func(string) bool { return strings.Contains(since(), inBlock) })
	s.Type("\x03")
	s.WaitFor("totals: interrupted")
	if strings.Contains(since(), inBlock) {
		t.Errorf("the block was left on the screen:\n%s", since())
	}
	s.Type("exit 7\n")
	if got := s.Exit(); got != 7 {
		t.Errorf("the shell ended with %d", got)
	}
	s.Unchanged()
}

func TestATerminalThatIsDumbOrColourless(t *testing.T) {
	for name, env := range map[string][]string{"dumb": {"TERM=dumb"}, "no colour": {"NO_COLOR=1"}} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := start(t, "end", append(append([]string{"/usr/bin/env"}, env...), self(t))...)
			s.WaitFor("line 3")
			s.Signal(syscall.SIGUSR1)
			if got := s.Exit(); got != 0 {
				t.Errorf("exit code %d", got)
			}
			s.WaitFor("totals: done")
			s.Unchanged()
			raw := s.Sent()
			if name == "dumb" && strings.ContainsRune(raw, 0x1b) {
				t.Errorf("a dumb terminal was sent %q", raw)
			}
			if strings.Contains(raw, "m\x1b[0m") || strings.Contains(raw, "\x1b[1m") {
				t.Errorf("colours in %q", raw)
			}
			if name == "no colour" && !strings.Contains(raw, inBlock) {
				t.Errorf("no block in %q", raw)
			}
		})
	}
}
