//go:build linux || darwin

package ptytwin

import (
	"errors"
	"fmt"
	"os"

	"github.com/creack/pty"
	"golang.org/x/sys/unix"
)

// ptyPair is a pair of the kernel. The master is non-blocking and its number is
// only used inside SyscallConn: (*os.File).Fd would make it blocking again, and
// then Close could not end a Read.
type ptyPair struct {
	master *os.File
	slave  *os.File
	name   string
}

var _ pair = (*ptyPair)(nil)

// openPair makes a pty; raw sets the slave raw before anybody can open it, as
// echo is on by default and would send the first bytes back.
func openPair(raw bool) (pair, error) {
	master, slave, err := pty.Open()
	if err != nil {
		return nil, fmt.Errorf("ptytwin: make a pty: %w", err)
	}
	p := &ptyPair{slave: slave, name: slave.Name()}
	// pty.Open has called Fd, so the master blocks: take a fresh, polled file.
	p.master, err = polled(master)
	if err != nil {
		return nil, errors.Join(fmt.Errorf("ptytwin: prepare %s: %w", p.name, err), master.Close(), slave.Close())
	}
	if err := master.Close(); err != nil {
		return nil, errors.Join(err, p.close())
	}
	if raw {
		if err := p.control(p.slave, setRaw); err != nil {
			return nil, errors.Join(fmt.Errorf("ptytwin: set %s raw: %w", p.name, err), p.close())
		}
	}
	return p, nil
}

// polled duplicates f as a non-blocking file on the runtime's poller.
func polled(f *os.File) (*os.File, error) {
	fd, err := unix.FcntlInt(f.Fd(), unix.F_DUPFD_CLOEXEC, 0)
	if err != nil {
		return nil, err
	}
	if err := unix.SetNonblock(fd, true); err != nil {
		return nil, errors.Join(err, unix.Close(fd))
	}
	return os.NewFile(uintptr(fd), f.Name()), nil
}

// control runs act on the file's descriptor.
func (p *ptyPair) control(f *os.File, act func(fd int) error) error {
	conn, err := f.SyscallConn()
	if err != nil {
		return err
	}
	var inner error
	if err := conn.Control(func(fd uintptr) { inner = act(int(fd)) }); err != nil {
		return err
	}
	return inner
}

func (p *ptyPair) path() string { return p.name }

func (p *ptyPair) framing() (bits, baud int) {
	bits, baud = 10, 9600
	_ = p.control(p.master, func(fd int) error { // a port that cannot tell is taken for 9600 8N1
		b, s, err := framingOf(fd)
		if err == nil && s > 0 {
			bits, baud = b, s
		}
		return err
	})
	return bits, baud
}

func (p *ptyPair) write(b []byte) (n int, err error) {
	err = p.control(p.master, func(fd int) error {
		for {
			var e error
			if n, e = unix.Write(fd, b); e != unix.EINTR {
				n = max(n, 0)
				return e
			}
		}
	})
	return n, err
}

func (p *ptyPair) unread() int {
	n := -1
	_ = p.control(p.slave, func(fd int) error {
		v, err := unix.IoctlGetInt(fd, inputQueue)
		if err == nil {
			n = v
		}
		return err
	})
	return n
}

// settle asks the slave's end whether there is anything to read: Linux moves what
// was written to the master there by a work queue, and waits for that before it
// answers that there is nothing (n_tty_poll).
func (p *ptyPair) settle() {
	_ = p.control(p.slave, func(fd int) error {
		_, err := unix.Poll([]unix.PollFd{{Fd: int32(fd), Events: unix.POLLIN}}, 0)
		return err
	})
}

func (p *ptyPair) read(b []byte) (int, error) { return p.master.Read(b) }

// close hangs the slave up: the master first, then our own slave.
func (p *ptyPair) close() error { return errors.Join(p.master.Close(), p.slave.Close()) }
