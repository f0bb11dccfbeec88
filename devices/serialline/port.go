package serialline

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"runtime"
	"strings"
	"time"

	"go.bug.st/serial"
)

// readSlice is how long one read of the port waits. It bounds how long Close
// takes: the library closes the descriptor before it wakes a blocked read, and
// in that moment another part of the process may get the same number, so the
// driver lets the read end by itself before it closes.
const readSlice = 50 * time.Millisecond

// ErrDescriptor says that a port got a descriptor the serial library cannot
// wait for.
var ErrDescriptor = errors.New("serialline: file descriptor of 1024 or more")

// errLost marks every error that means the port is gone.
var errLost = errors.New("port lost")

// openPort opens and prepares the port once.
func openPort(c Config, stats *Stats) (serial.Port, error) {
	mode, err := c.portMode()
	if err != nil {
		return nil, err
	}
	if err := guardDescriptors(); err != nil {
		return nil, fmt.Errorf("serialline: open %q: %w", c.Port, err)
	}
	port, err := serial.Open(c.Port, mode)
	if err != nil {
		return nil, openError(c, err)
	}
	if err := prepare(port, c, stats); err != nil {
		return nil, errors.Join(fmt.Errorf("serialline: prepare %q: %w", c.Port, err), port.Close())
	}
	return port, nil
}

// prepare sets modem lines, drops what lay in the port and sends the prelude.
func prepare(port serial.Port, c Config, stats *Stats) error {
	for _, line := range []struct {
		want *bool
		set  func(bool) error
	}{{c.DTR, port.SetDTR}, {c.RTS, port.SetRTS}} {
		if line.want == nil {
			continue
		}
		if err := line.set(*line.want); noModemLines(err) {
			stats.NoModem = true
		} else if err != nil {
			return fmt.Errorf("set a modem line: %w", err)
		}
	}
	if !c.KeepBacklog {
		stale, err := dropBacklog(port)
		stats.Stale += uint64(stale)
		if err != nil {
			return fmt.Errorf("drop what lay in the port: %w", err)
		}
	}
	if err := port.SetReadTimeout(readSlice); err != nil {
		return err
	}
	if len(c.Prelude) > 0 {
		if _, err := port.Write(c.Prelude); err != nil {
			return fmt.Errorf("send the prelude: %w", err)
		}
	}
	return nil
}

// dropBacklog empties the port. A flush alone is not enough: the kernel flushes
// the line discipline's 4 KiB and then moves up what waited behind them. So the
// rest is read until a poll finds nothing, bounded in time because a fast
// device never pauses.
func dropBacklog(port serial.Port) (int, error) {
	if err := port.SetReadTimeout(0); err != nil {
		return 0, err
	}
	dropped := 0
	buf := make([]byte, 4096)
	for end := time.Now().Add(200 * time.Millisecond); time.Now().Before(end); {
		n, err := safeRead(port, buf)
		dropped += n
		if err != nil {
			return dropped, err
		}
		if n == 0 {
			return dropped, nil
		}
	}
	return dropped, port.ResetInputBuffer()
}

// safeRead is port.Read with the library's panic turned into an error.
func safeRead(r io.Reader, p []byte) (n int, err error) {
	defer func() {
		if v := recover(); v != nil {
			n, err = 0, fmt.Errorf("%w (the serial library said: %v)", ErrDescriptor, v)
		}
	}()
	return r.Read(p)
}

// guardDescriptors refuses to open a port when the next descriptors would be
// too high for select(2). The library needs three: the port and a pipe.
func guardDescriptors() error {
	if runtime.GOOS == "windows" {
		return nil // handles are waited for in another way
	}
	const needed, limit = 3, 1024
	for range needed {
		f, err := os.Open(os.DevNull)
		if err != nil {
			return err
		}
		defer func() { _ = f.Close() }()
		if fd := f.Fd(); fd >= limit {
			return fmt.Errorf("%w: the next is %d and the serial library waits with select(2), which ends at %d; "+
				"open serial ports before the many connections, or keep them in a process of their own", ErrDescriptor, fd, limit-1)
		}
	}
	return nil
}

// openError adds the mend to an error of serial.Open.
func openError(c Config, err error) error {
	hint := ""
	var pe *serial.PortError
	if errors.As(err, &pe) {
		switch pe.Code() {
		case serial.PermissionDenied:
			hint = "; add yourself to the group that owns it (often dialout): sudo usermod -aG dialout $USER, then log in again"
		case serial.PortBusy:
			hint = "; another program holds it: close it, or see who with: fuser " + c.Port
		case serial.InvalidSpeed:
			hint = fmt.Sprintf("; the port cannot do %d baud", c.Baud)
		case serial.PortNotFound:
			hint = "; no such port: see what is plugged in with: plumbline devices"
		case serial.InvalidSerialPort:
			hint = "; it is no serial port"
		}
	}
	if errors.Is(err, os.ErrNotExist) {
		hint = "; no such port: see what is plugged in with: plumbline devices"
	}
	return fmt.Errorf("serialline: open %q at %d baud: %w%s", c.Port, c.Baud, err, hint)
}

// noModemLines tells "this port has no DTR and RTS" from other errors. The
// library's PortError has no Unwrap, so its text is the only way in.
func noModemLines(err error) bool {
	if err == nil {
		return false
	}
	return errors.Is(err, errNoTTY) || strings.Contains(strings.ToLower(err.Error()), "inappropriate ioctl")
}

// reopen tries the path until it opens, ctx ends or stop is closed.
func reopen(ctx context.Context, c Config, stats *Stats) (serial.Port, error) {
	tick := time.NewTicker(c.RetryEvery)
	defer tick.Stop()
	logged := ""
	for {
		select {
		case <-ctx.Done():
			return nil, ctx.Err()
		case <-tick.C:
		}
		port, err := openPort(c, stats)
		if err == nil {
			return port, nil
		}
		if text := err.Error(); text != logged {
			logged = text
			c.Log.Warn("port is not back", "port", c.Port, "error", text)
		}
	}
}
