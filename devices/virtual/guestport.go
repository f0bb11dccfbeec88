package virtual

import (
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"sync/atomic"
	"time"

	"plumbline/devices"
	"plumbline/devices/guest"
	"plumbline/devices/inventory"
	"plumbline/devices/ptytwin"
	"plumbline/devices/usbip"
)

// GuestSockets is how many adapters a guest's hub takes: those of a virtual hub at
// full speed (kernel source, drivers/usb/usbip/Kconfig, as Debian sets it).
const GuestSockets = 15

// plugLimit bounds how long a guest's kernel may take to know an adapter: half a
// second, several on a busy machine.
const plugLimit = 30 * time.Second

// maxHeard bounds how many transfers of the host a device has not taken yet.
const maxHeard = 1024

// GuestPort is a socket of a guest with an adapter for it: where a twin stands
// whose port is read by a driver of the guest's kernel.
type GuestPort struct {
	guest   *Guest
	slot    int
	adapter *usbip.Adapter
	in      atomic.Pointer[plugged] // nil while unplugged
}

// Socket takes a socket of the guest's hub that was never used for an adapter, which
// must have a serial number to be found by; its OnReceive is the port's own. Sockets
// are not given back. Open of the port plugs the adapter in.
func (g *Guest) Socket(opts usbip.Options) (*GuestPort, error) {
	if opts.Serial == "" {
		return nil, fmt.Errorf("virtual: adapter of %q: it needs a serial number, or nobody finds it again after a replug", g.opts.ID)
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	slot := 0
	for g.taken[slot] {
		slot++
	}
	if slot >= GuestSockets {
		return nil, fmt.Errorf("virtual: the %d sockets of %q are taken", GuestSockets, g.opts.ID)
	}
	p := &GuestPort{guest: g, slot: slot}
	opts.OnReceive = p.heard
	var err error
	if p.adapter, err = usbip.New(opts); err != nil {
		return nil, fmt.Errorf("virtual: %w", err)
	}
	g.taken[slot] = true
	return p, nil
}

// heard takes what the host sends; what the device does not take is lost.
func (p *GuestPort) heard(text []byte) {
	if in := p.in.Load(); in != nil {
		select {
		case in.heard <- text:
		default:
		}
	}
}

// Adapter is what the guest's kernel sees.
func (p *GuestPort) Adapter() *usbip.Adapter { return p.adapter }

// Open plugs the adapter in and returns when a driver of the guest's kernel has
// it, half a second later, at most half a minute. See ptytwin.Options.Open.
func (p *GuestPort) Open() (ptytwin.Port, error) {
	in := &plugged{GuestPort: p, heard: make(chan []byte, maxHeard), gone: make(chan struct{})}
	p.in.Store(in)
	came, err := p.guest.plug(p.slot, p.adapter)
	if err == nil {
		err = p.await(came)
	}
	if err != nil {
		_ = in.Close()
		return nil, err
	}
	return in, nil
}

// await waits until the guest's kernel lists the port of this plugging.
func (p *GuestPort) await(came *cable) error {
	ctx, cancel := context.WithTimeout(context.Background(), plugLimit)
	defer cancel()
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	var unseen error // a look at ports that come and go may fail
	for {
		select {
		case <-p.guest.process.exited:
			return ErrGone
		case <-came.done:
			if came.err == nil { // pulled out by another, or with the guest
				return fmt.Errorf("virtual: plug %s: %w", p.adapter.Select(), devices.ErrUnplugged)
			}
			return came.err
		case <-ctx.Done():
			return fmt.Errorf("virtual: plug %s: the guest's kernel has no port of it after %v: %w", p.adapter.Select(), plugLimit, errors.Join(ctx.Err(), unseen))
		case <-tick.C:
		}
		if !p.adapter.Configured() {
			continue
		}
		var status guest.Status
		status, unseen = guest.Ask(ctx, p.guest.Dial)
		if slices.ContainsFunc(status.Ports, func(q inventory.Port) bool { return q.Select == p.adapter.Select() }) {
			return nil
		}
	}
}

// plugged is one plugging of a GuestPort, as its twin sees it.
type plugged struct {
	*GuestPort

	heard chan []byte
	rest  []byte // of what was heard; owned by who reads
	gone  chan struct{}
	ended atomic.Bool
}

var _ ptytwin.Port = (*plugged)(nil)

// Path implements ptytwin.Port: the selector by which the guest finds it.
func (p *plugged) Path() string { return p.adapter.Select() }

// Framing implements ptytwin.Port.
func (p *plugged) Framing() (bits, baud int) {
	s := p.adapter.Settings()
	if s.Baud < 1 || s.DataBits == 0 {
		return 10, 9600 // nobody has asked for another
	}
	bits = 1 + s.DataBits + int(s.StopBits)
	if s.Parity != "none" {
		bits++
	}
	return bits, int(s.Baud)
}

// Write implements ptytwin.Port. While no driver has the port open (DTR is off)
// the bytes go nowhere, as those of a UART that nobody listens to: the adapter
// would keep them, and the line discipline echo them at the next opening. The error
// is devices.ErrUnplugged then, as when the kernel has let go of the adapter.
func (p *plugged) Write(b []byte) (int, error) {
	if !p.adapter.Settings().DTR {
		return 0, devices.ErrUnplugged
	}
	return p.adapter.Write(b)
}

// Unread implements ptytwin.Port: what the guest's kernel has not taken.
func (p *plugged) Unread() int { return p.adapter.Waiting() }

// Read implements ptytwin.Port.
func (p *plugged) Read(b []byte) (int, error) {
	if len(p.rest) == 0 {
		select {
		case p.rest = <-p.heard:
		case <-p.gone:
			return 0, io.EOF
		}
	}
	n := copy(b, p.rest)
	p.rest = p.rest[n:]
	return n, nil
}

// Close implements ptytwin.Port: the cable is pulled out.
func (p *plugged) Close() error {
	if p.ended.Swap(true) {
		return nil
	}
	p.in.CompareAndSwap(p, nil)
	close(p.gone)
	return p.guest.Unplug(p.adapter)
}
