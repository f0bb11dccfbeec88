package harness

import (
	"cmp"
	"context"
	"fmt"
	"io"
	"net"
	"regexp"

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
		tell: func(ctx context.Context, port string) (io.WriteCloser, error) {
			to, err := guest.Tell(ctx, s.guest.Dial, port)
			return greeting{to}, err
		},
	})
}

// greeting says an empty line before each command: the line discipline echoes what
// comes while the port is opened, and what the device heard of it must not be the
// head of a command.
type greeting struct{ *guest.Teller }

// Write implements io.Writer.
func (g greeting) Write(p []byte) (int, error) { return g.Teller.Write(append([]byte("\n"), p...)) }

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
