package main

import (
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"golang.org/x/crypto/bcrypt"
	"golang.org/x/sys/unix"

	"plumbline/bridge/internal/eventually"
)

// terminal is a pseudo-terminal with a bridged that has it for its own.
type terminal struct {
	keys  *os.File // what somebody types and reads
	tty   *os.File
	child *child
}

func atTerminal(t *testing.T, args ...string) *terminal {
	t.Helper()
	keys, err := os.OpenFile("/dev/ptmx", os.O_RDWR|syscall.O_NOCTTY, 0)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = keys.Close() })
	n, err := unix.IoctlGetInt(int(keys.Fd()), unix.TIOCGPTN)
	if err == nil {
		err = unix.IoctlSetPointerInt(int(keys.Fd()), unix.TIOCSPTLCK, 0)
	}
	if err != nil {
		t.Fatal(err)
	}
	tty, err := os.OpenFile(fmt.Sprintf("/dev/pts/%d", n), os.O_RDWR|syscall.O_NOCTTY, 0)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = tty.Close() })
	p := &child{t: t, log: &lockedBuffer{}, ended: make(chan error, 1)}
	p.cmd = exec.CommandContext(t.Context(), os.Args[0], args...)
	p.cmd.Env = append(os.Environ(), "BRIDGED_AS_TEST=1")
	p.cmd.Stdin, p.cmd.Stderr = tty, p.log
	p.cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true, Setctty: true}
	if err := p.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	go func() { p.ended <- p.cmd.Wait() }()
	return &terminal{keys, tty, p}
}

// echoes reports whether the terminal shows what is typed.
func (w *terminal) echoes(t *testing.T) bool {
	t.Helper()
	state, err := unix.IoctlGetTermios(int(w.tty.Fd()), unix.TCGETS)
	if err != nil {
		t.Fatal(err)
	}
	return state.Lflag&unix.ECHO != 0
}

func (w *terminal) answer(t *testing.T, prompt, text string) {
	t.Helper()
	eventually.Must(t, "the question "+prompt, func() bool { return strings.HasSuffix(w.child.log.String(), prompt) && !w.echoes(t) })
	if _, err := io.WriteString(w.keys, text); err != nil {
		t.Fatal(err)
	}
}

// TestPasswordAtTheTerminal: it is asked for twice and not shown.
func TestPasswordAtTheTerminal(t *testing.T) {
	path := write(t, "users.yaml", "users: []\n")
	w := atTerminal(t, "user", "add", "anna", "--file", path)
	w.answer(t, "Password: ", "sesame\n")
	w.answer(t, "Once more: ", "sesame\n")
	if err := w.child.awaitEnd(); err != nil {
		t.Fatalf("%v: %s", err, w.child.log)
	}
	if bcrypt.CompareHashAndPassword([]byte(hashOf(t, readFile(t, path), "anna")), []byte("sesame")) != nil {
		t.Error("the hash is not that of the password")
	}
	if !w.echoes(t) || strings.Contains(w.child.log.String(), "sesame") {
		t.Errorf("echo %v, shown %q", w.echoes(t), w.child.log)
	}
}

// TestInterruptAtThePassword: who gives up with Ctrl-C has a terminal that shows what is typed, and nothing was changed or is left behind.
func TestInterruptAtThePassword(t *testing.T) {
	path := write(t, "users.yaml", "users: []\n")
	w := atTerminal(t, "user", "add", "anna", "--file", path)
	w.answer(t, "Password: ", "\x03")
	if err := w.child.awaitEnd(); err == nil || w.child.cmd.ProcessState.ExitCode() != exitInterrupted {
		t.Errorf("ended with %v, want exit code %d", err, exitInterrupted)
	}
	if !w.echoes(t) {
		t.Error("the terminal does not show what is typed")
	}
	if left, _ := filepath.Glob(filepath.Join(filepath.Dir(path), "*")); len(left) != 1 || readFile(t, path) != "users: []\n" {
		t.Errorf("left behind: %v", left)
	}
}
