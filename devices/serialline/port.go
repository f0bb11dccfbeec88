package serialline

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
	"time"

	"go.bug.st/serial"

	"plumbline/devices/inventory"
	"plumbline/devices/lock"
	"plumbline/devices/remoteport"
)

// readSlice is how long one read of the port waits where only the library can
// read. It bounds how long Close takes: the library closes the descriptor before it wakes a blocked read, and
// in that moment another part of the process may get the same number, so the
// driver lets the read end by itself before it closes.
const readSlice = 50 * time.Millisecond

// ErrDescriptor says that a port got a descriptor the serial library cannot
// wait for.
var ErrDescriptor = errors.New("serialline: file descriptor of 1024 or more")

// errLost marks every error that means the port is gone.
var errLost = errors.New("port lost")

// place is where the port of a line is looked for.
type place struct {
	inv     inventory.Inventory
	sel     inventory.Selector
	fixed   bool     // sel is a path behind which no USB device stands: it is not looked up again
	awaited []string // what is locked while the port is away
}

// newPlace reads Config.Port.
func newPlace(c Config) (*place, error) {
	if remoteport.Is(c.Port) {
		if err := remoteport.Check(c.Port); err != nil {
			return nil, fmt.Errorf("serialline: port: %w", err)
		}
		return &place{sel: inventory.Selector{Path: c.Port}, fixed: true}, nil
	}
	sel, err := inventory.ParseSelector(c.Port)
	if err != nil {
		return nil, fmt.Errorf("serialline: port: %w", err)
	}
	return &place{inv: c.Inventory, sel: sel}, nil
}

// find returns the port that is meant.
func (p *place) find() (inventory.Port, error) {
	if p.fixed {
		return inventory.Port{Path: p.sel.Path, Select: p.sel.Path}, nil
	}
	return p.inv.Find(p.sel)
}

// hold keeps to the device that was found first: after an unplug the line waits
// for it, whatever stands under its old name then. A USB place that was asked
// for stays a place, but for this kind of device only.
func (p *place) hold(found inventory.Port) {
	switch {
	case !found.USB:
		p.fixed = p.sel.Path != ""
	case p.sel.USBPath != "":
		p.sel.VID, p.sel.PID, p.sel.Unit = found.VID, found.PID, found.Unit
	default:
		if sel, err := inventory.ParseSelector(found.Select); err == nil {
			p.sel = sel
			if sel.Path == "" { // the other ports of the adapter may just not be there yet
				p.sel.Unit = found.Unit
			}
		}
	}
	p.await(found)
}

// await says what stays locked while the port that was found is away: what the
// line waits for. The socket of a device that is waited for by its identity is
// free for others, and so is the identity where a socket is waited for.
func (p *place) await(found inventory.Port) {
	switch id := found.IdentityKey(); {
	case p.fixed:
		p.awaited = []string{p.sel.Path}
	case p.sel.Serial != "" && p.sel.USBPath == "" && id != "":
		p.awaited = []string{id}
	default:
		p.awaited = []string{found.PlaceKey()}
	}
}

// claim locks the device that was found; nil when no locks are wanted.
func claim(ctx context.Context, c Config, found inventory.Port) (*lock.Lock, error) {
	if c.Locks == nil {
		return nil, nil
	}
	held, err := c.Locks.AcquireAll(ctx, found.Keys(), c.Owner, c.Purpose)
	if err != nil {
		return nil, fmt.Errorf("serialline: open %q: %w", c.Port, err)
	}
	return held, nil
}

// find is place.find with the name of the port in its errors.
func (c Config) find(where *place) (inventory.Port, error) {
	found, err := where.find()
	if err != nil {
		err = fmt.Errorf("serialline: open %q: %w", c.Port, err)
	}
	return found, err
}

// openPort opens and prepares the port once.
func openPort(ctx context.Context, c Config, found inventory.Port, stats *Stats) (serial.Port, error) {
	mode, err := c.portMode()
	if err != nil {
		return nil, err
	}
	var port serial.Port
	if remoteport.Is(found.Path) {
		port, err = remoteport.Dial(ctx, found.Path, mode)
	} else {
		port, err = openNative(found.Path, mode)
	}
	if err != nil {
		return nil, openError(c, err)
	}
	if err := prepare(port, c, stats); err != nil {
		return nil, errors.Join(fmt.Errorf("serialline: prepare %q: %w", c.Port, err), port.Close())
	}
	return port, nil
}

// unblocker is a port whose blocked read can be ended without closing it.
type unblocker interface{ Unblock() }

// prepare sets modem lines, sends a break, drops what lay in the port and sends the prelude.
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
	if c.Break > 0 {
		if err := port.Break(c.Break); noModemLines(err) {
			stats.NoModem = true
		} else if err != nil {
			return fmt.Errorf("send a break: %w", err)
		}
	}
	if c.RS485 != nil {
		if err := setRS485(port, *c.RS485); errors.Is(err, errNoRS485) {
			stats.NoRS485 = true
		} else if err != nil {
			return fmt.Errorf("set RS-485: %w", err)
		}
	}
	if !c.KeepBacklog {
		stale, err := dropBacklog(port)
		stats.Stale += uint64(stale)
		if err != nil {
			return fmt.Errorf("drop what lay in the port: %w", err)
		}
	}
	slice := readSlice
	if _, can := port.(unblocker); can {
		slice = serial.NoTimeout
	}
	if err := port.SetReadTimeout(slice); err != nil {
		return err
	}
	if len(c.Prelude) > 0 {
		if _, err := writeWithin(port, c.Prelude, WritePatience); err != nil {
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

// openError adds the mend to an error of serial.Open.
func openError(c Config, err error) error {
	hint := ""
	var pe *serial.PortError
	if errors.As(err, &pe) {
		switch pe.Code() {
		case serial.PermissionDenied:
			hint = "; plumbline devices says how to get the permission"
		case serial.PortBusy:
			hint = "; another program holds it: plumbline devices says which"
		case serial.InvalidSpeed:
			hint = fmt.Sprintf("; the port cannot do %d baud", c.Baud)
		case serial.PortNotFound:
			hint = "; no such port: see what is plugged in with: plumbline devices"
		case serial.InvalidSerialPort:
			hint = "; it is no serial port"
		}
	}
	switch {
	case errors.Is(err, os.ErrNotExist):
		hint = "; no such port: see what is plugged in with: plumbline devices"
	case errors.Is(err, os.ErrPermission):
		hint = "; plumbline devices says how to get the permission"
	case errors.Is(err, errBusy):
		hint = "; another program holds it: plumbline devices says which"
	}
	return fmt.Errorf("serialline: open %q at %d baud: %w%s", c.Port, c.Baud, err, hint)
}

// noModemLines tells "this port has no DTR and RTS" from other errors. The
// library's PortError has no Unwrap, so its text is the only way in.
func noModemLines(err error) bool {
	if err == nil {
		return false
	}
	return errors.Is(err, errNoTTY) || errors.Is(err, remoteport.ErrNoControl) || errors.Is(err, remoteport.ErrNoLines) || strings.Contains(strings.ToLower(err.Error()), "inappropriate ioctl")
}

// reopen tries until the port opens or run ends. What is found somewhere else is
// locked there before it is opened.
func (l *Line) reopen(run context.Context, stats *Stats) (serial.Port, error) {
	c := l.current()
	tick := time.NewTicker(c.RetryEvery)
	defer tick.Stop()
	var hints <-chan string // nil where only the path is known: the clock alone
	if !l.where.fixed {
		waiting, cancel := context.WithCancel(run)
		hints = l.where.inv.Hints(waiting)
		defer func() {
			cancel()
			for range hints { // until its goroutines have ended
				continue
			}
		}()
	}
	logged := ""
	for {
		select {
		case <-run.Done():
			return nil, run.Err()
		case <-tick.C:
		case <-hints:
		}
		port, err := l.retry(run, stats)
		if err == nil {
			return port, nil
		}
		if text := err.Error(); text != logged {
			logged = text
			c.Log.Warn("port is not back", "port", c.Port, "error", text)
			if c.OnAway != nil {
				c.OnAway(c.Clock(), err)
			}
		}
	}
}

// retry looks for the port, locks and opens it, once.
func (l *Line) retry(run context.Context, stats *Stats) (serial.Port, error) {
	c := l.current()
	found, err := c.find(l.where)
	if err != nil {
		return nil, err
	}
	if err := l.relock(run, found.Keys()); err != nil {
		return nil, err
	}
	port, err := openPort(run, c, found, stats)
	if err != nil {
		return nil, errors.Join(err, l.relock(run, l.where.awaited))
	}
	l.where.await(found)
	return port, nil
}

// relock changes what the line has locked; nothing where it locks nothing.
func (l *Line) relock(run context.Context, names []string) error {
	if l.held == nil {
		return nil
	}
	if err := l.held.Rename(run, names); err != nil {
		return fmt.Errorf("serialline: open %q: %w", l.cfg.Port, err)
	}
	return nil
}
