package harness

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net"
	"regexp"
	"time"

	"plumbline/devices"
	"plumbline/devices/firmware"
	"plumbline/devices/guest"
	"plumbline/devices/serialline"
	"plumbline/devices/usbip"
	"plumbline/devices/virtual"
	"plumbline/harness/generator"
)

// guestAvailable says what of the third tier of the virtual bench is missing here,
// and how to get it.
func guestAvailable() error {
	if err := virtual.GuestAvailable(); err != nil {
		return err
	}
	_, err := virtual.GuestAgent()
	return err
}

// adapterSerial is what the serial number of an adapter may be.
var adapterSerial = regexp.MustCompile(`^[A-Za-z0-9._-]{1,64}$`)

// checkAdapter says what is wrong with the adapter of a guest twin.
func (d *DeviceSpec) checkAdapter() (key, problem string) {
	switch {
	case d.Model != "" && d.Model != string(usbip.FTDI) && d.Model != string(usbip.ACM):
		return "model", fmt.Sprintf("%q is no adapter; choose %s or %s", d.Model, usbip.FTDI, usbip.ACM)
	case d.Serial != "" && !adapterSerial.MatchString(d.Serial):
		return "serial", fmt.Sprintf("%q is no serial number of an adapter: 1 to 64 letters, digits, '.', '_' and '-'", d.Serial)
	}
	return "", ""
}

// openGuestTwin stands a computed node on a USB adapter of the bench's guest, one
// for all of them, and lets the driver there read its port for the generator.
func openGuestTwin(ctx context.Context, s *sources, b *Bench, d DeviceSpec) error {
	if err := s.startGuest(ctx, b); err != nil {
		return err
	}
	model := usbip.Model(cmp.Or(d.Model, string(usbip.FTDI)))
	socket, err := s.guest.Socket(usbip.Options{
		Model: model, Serial: cmp.Or(d.Serial, virtual.SerialNumber(uint32(b.seed(d.ID)))), Manufacturer: "Plumbline", Product: "node " + d.ID,
	})
	if err != nil {
		return err
	}
	return standNode(ctx, s, b, d, place{
		at: stand{devices.KernelTier, devices.Live}, open: socket.Open,
		order: func(node devices.Info) order {
			return order{Mode: node.Mode, Guest: s.guest.Address(), Note: fmt.Sprintf("%s, read by %s of a Linux guest, %s", node.Note, model, s.guest.Kernel()), Device: DeviceSpec{
				ID: d.ID, Kind: KindGuestTwin, Model: node.Model, Serial: node.Serial, Port: node.Path, Baud: d.Baud, LineSettings: d.LineSettings,
			}}
		},
		tell: func(ctx context.Context, port string, command []byte) error {
			return tellGuest(ctx, s.guest.Dial, port, command)
		},
	})
}

// tellPatience is how long a command waits for a port that is not open: what cannot
// be handed over for so long would not come to a real device either.
const tellPatience = 5 * time.Second

// tellGuest lets the guest's driver say a command, behind an empty line: the line
// discipline echoes what comes while the port is opened, and what the device heard
// of that must not be the head of a command. It tries again until tellPatience is
// over or ctx ends: a device does a command twice as it does it once.
func tellGuest(ctx context.Context, dial guest.Dialer, port string, command []byte) error {
	ctx, cancel := context.WithTimeout(ctx, tellPatience)
	defer cancel()
	again := time.NewTicker(20 * time.Millisecond)
	defer again.Stop()
	for {
		err := tellOnce(ctx, dial, port, command)
		if err == nil {
			return nil
		}
		select {
		case <-ctx.Done():
			return err
		case <-again.C:
		}
	}
}

func tellOnce(ctx context.Context, dial guest.Dialer, port string, command []byte) error {
	to, err := guest.Tell(ctx, dial, port)
	if err != nil {
		return err
	}
	stop := context.AfterFunc(ctx, func() { _ = to.Close() })
	defer stop()
	_, err = to.Write(append([]byte("\n"), command...))
	return errors.Join(err, to.Close())
}

// startGuest starts the guest of the bench unless it runs.
func (s *sources) startGuest(ctx context.Context, b *Bench) error {
	if s.guest != nil {
		return nil
	}
	agent := b.rig.cfg.GuestAgent
	if agent == "" {
		var err error
		if agent, err = virtual.GuestAgent(); err != nil {
			return err
		}
	}
	g, err := virtual.ResumeGuest(ctx, virtual.GuestOptions{Agent: agent, Log: b.log})
	if err != nil {
		return err
	}
	s.guest = g
	s.closers = append(s.closers, g) // closed after what stands in it
	return nil
}

// openInGuest opens the port of a device in the generator.
func openInGuest(ctx context.Context, env generator.Env, o order, d DeviceSpec) (generator.Device, error) {
	var dialer net.Dialer
	sensor, err := guest.Open(ctx, func(ctx context.Context) (net.Conn, error) { return dialer.DialContext(ctx, "tcp4", o.Guest) }, guest.Config{
		ID: d.ID, Codec: firmware.Codec(), Clock: env.Clock.Since, Model: d.Model, Serial: d.Serial, Note: o.Note,
		Port: guest.Port{Select: d.Port, Baud: d.Baud, DataBits: d.DataBits, Parity: serialline.Parity(d.Parity), StopBits: d.StopBits},
	})
	return generator.Device{Stream: sensor, Closer: sensor}, err
}
