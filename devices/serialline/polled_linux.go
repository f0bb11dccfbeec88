package serialline

import (
	"errors"
	"io"
	"os"
	"time"

	"go.bug.st/serial"
	"golang.org/x/sys/unix"
)

// polled is a port whose settings and modem lines go through the serial library
// and whose bytes go through the runtime's poller, by a descriptor of its own.
// The library waits with select(2): one thread for each port, a panic for
// descriptors of 1024 and more, and a Close that frees the number before a
// blocked read knows. The poller has none of that.
type polled struct {
	serial.Port

	file    *os.File
	timeout time.Duration // of a read; serial.NoTimeout until set
}

// openNative opens a port of this machine. The second descriptor is opened
// first, because the library then claims the port for itself (TIOCEXCL).
func openNative(path string, mode *serial.Mode) (serial.Port, error) {
	// O_NONBLOCK: without it, the opening waits for the carrier.
	file, err := os.OpenFile(path, os.O_RDWR|unix.O_NOCTTY|unix.O_NONBLOCK, 0)
	if err != nil {
		return nil, err
	}
	port, err := serial.Open(path, mode)
	if err != nil {
		return nil, errors.Join(err, file.Close())
	}
	return &polled{Port: port, file: file, timeout: serial.NoTimeout}, nil
}

// Read implements serial.Port: (0, nil) after the timeout.
func (p *polled) Read(b []byte) (int, error) {
	if p.timeout == 0 {
		return p.poll(b)
	}
	if p.timeout > 0 {
		if err := p.file.SetReadDeadline(time.Now().Add(p.timeout)); err != nil {
			return 0, err
		}
	}
	n, err := p.file.Read(b)
	if errors.Is(err, os.ErrDeadlineExceeded) {
		err = nil
	}
	return n, err
}

// poll reads what is there and does not wait.
func (p *polled) poll(b []byte) (n int, err error) {
	conn, err := p.file.SyscallConn()
	if err != nil {
		return 0, err
	}
	var inner error
	err = conn.Read(func(fd uintptr) bool {
		n, inner = unix.Read(int(fd), b)
		return true
	})
	switch {
	case err != nil:
		return 0, err
	case errors.Is(inner, unix.EAGAIN), errors.Is(inner, unix.EINTR):
		return 0, nil
	case inner != nil:
		return 0, inner
	case n == 0:
		return 0, io.EOF
	}
	return n, nil
}

// Write implements serial.Port. Close unblocks it.
func (p *polled) Write(b []byte) (int, error) { return p.file.Write(b) }

// SetWriteDeadline bounds the writes that follow, and one that blocks now.
func (p *polled) SetWriteDeadline(t time.Time) error { return p.file.SetWriteDeadline(t) }

// SetReadTimeout implements serial.Port.
func (p *polled) SetReadTimeout(d time.Duration) error {
	p.timeout = d
	if d > 0 {
		return nil
	}
	return p.file.SetReadDeadline(time.Time{})
}

// Unblock ends a read that waits without a timeout, and all that follow.
func (p *polled) Unblock() { _ = p.file.SetReadDeadline(time.Unix(1, 0)) }

// Close implements serial.Port.
func (p *polled) Close() error { return errors.Join(p.file.Close(), p.Port.Close()) }
