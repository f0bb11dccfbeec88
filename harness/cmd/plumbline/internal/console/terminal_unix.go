//go:build unix

package console

import (
	"io"
	"os"
	"os/signal"
	"syscall"

	"golang.org/x/sys/unix"
	"golang.org/x/term"
)

// terminal is the window that a block is drawn in. The nil terminal is no window:
// its size is that of the style, and it is always ours.
//
// SIGTSTP is left to its default, which stops the program at once: there is nothing
// to bring back, and a Go program that has once asked for that signal keeps its
// handler and never stops by it again (runtime.sigdisable).
type terminal struct {
	fd     int
	caught chan os.Signal
}

// watchTerminal looks at the terminal behind out from now on; nil when there is
// none. The caller must close it.
func watchTerminal(out io.Writer) *terminal {
	f, ok := out.(*os.File)
	if !ok {
		return nil
	}
	t := &terminal{fd: int(f.Fd()), caught: make(chan os.Signal, 4)}
	signal.Notify(t.caught, syscall.SIGWINCH, syscall.SIGCONT)
	return t
}

func (t *terminal) close() {
	if t != nil {
		signal.Stop(t.caught)
	}
}

// signals tells of a window that changed its size and of a program that goes on
// after it was stopped.
func (t *terminal) signals() <-chan os.Signal {
	if t == nil {
		return nil
	}
	return t.caught
}

// resumed reports whether the signal says that the program was stopped.
func resumed(sig os.Signal) bool { return sig == syscall.SIGCONT }

// size returns columns and rows, those of the style when they cannot be had.
func (t *terminal) size(style Style) (width, height int) {
	if t != nil {
		if width, height, err := term.GetSize(t.fd); err == nil && width > 0 && height > 0 {
			return width, height
		}
	}
	return style.Width, style.Height
}

// foreground reports whether the terminal is ours to draw on: a job in the
// background only adds lines. One that is not our controlling terminal is.
func (t *terminal) foreground() bool {
	if t == nil {
		return true
	}
	group, err := unix.IoctlGetInt(t.fd, unix.TIOCGPGRP)
	return err != nil || group == unix.Getpgrp()
}
