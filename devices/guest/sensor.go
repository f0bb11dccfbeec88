package guest

import (
	"bufio"
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"sync"
	"time"

	"plumbline/devices"
	"plumbline/devices/codec"
	"plumbline/devices/internal/intake"
	"plumbline/devices/usbip"
)

// Dialer connects to the agent of a guest.
type Dialer func(ctx context.Context) (net.Conn, error)

// begin dials and says what the connection is for. The end of ctx closes it until
// release is called.
func (d Dialer) begin(ctx context.Context, r request) (conn net.Conn, release func() bool, err error) {
	if conn, err = d(ctx); err != nil {
		return nil, nil, fmt.Errorf("guest: %w", err)
	}
	release = context.AfterFunc(ctx, func() { _ = conn.Close() })
	if err := writeLine(conn, r); err != nil {
		release()
		return nil, nil, errors.Join(fmt.Errorf("guest: %s: %w", r.Op, err), conn.Close())
	}
	return conn, release, nil
}

// Ask asks the agent for its kernel and ports.
func Ask(ctx context.Context, dial Dialer) (Status, error) {
	conn, release, err := dial.begin(ctx, request{Op: opStatus})
	if err != nil {
		return Status{}, err
	}
	defer func() { _ = conn.Close() }()
	defer release()
	var s Status
	if err := readLine(bufio.NewReader(conn), &s); err != nil {
		return s, fmt.Errorf("guest: status: %w", err)
	}
	if s.Error != "" {
		return s, fmt.Errorf("guest: status: %s", s.Error)
	}
	return s, nil
}

// Plug puts an adapter into a socket of the guest's hub, from 0, and plays it until
// ctx ends: that pulls it out. It returns nil then.
func Plug(ctx context.Context, dial Dialer, slot int, a *usbip.Adapter) error {
	conn, release, err := dial.begin(ctx, request{Op: opAttach, Slot: slot})
	if err != nil {
		return err
	}
	defer release()
	c := &cable{Conn: conn, in: bufio.NewReader(conn)}
	err = a.Serve(ctx, c)
	switch {
	case ctx.Err() != nil:
		return nil
	case c.refused != "":
		return fmt.Errorf("guest: plug %s: %s", a.Select(), c.refused)
	case err != nil:
		return fmt.Errorf("guest: plug %s: %w", a.Select(), err)
	}
	return fmt.Errorf("guest: plug %s: the guest let go of it", a.Select())
}

// cable is a connection that may begin with a refusal of the agent: a line of
// JSON, which no message of a kernel looks like.
type cable struct {
	net.Conn

	in      *bufio.Reader
	begun   bool
	refused string
}

// Read implements io.Reader.
func (c *cable) Read(p []byte) (int, error) {
	if !c.begun {
		c.begun = true
		if first, err := c.in.Peek(1); err == nil && first[0] == '{' {
			var s Status
			if err := readLine(c.in, &s); err != nil {
				return 0, err
			}
			c.refused = s.Error
			return 0, io.EOF
		}
	}
	return c.in.Read(p)
}

// Config describes a sensor on a port of a guest. ID, Port.Select and Codec are
// required.
type Config struct {
	ID    string
	Port  Port
	Codec codec.Codec
	Clock devices.Clock // nil = counts from Open
	// Model, Serial and Note are for reports.
	Model, Serial, Note string
	// OnState is told when the driver in the guest lost the port (path "") and where
	// it found the device again, and by Open where it is. It is called on Open's
	// goroutine, and then on the reading one.
	OnState func(path, seen string)
}

// Sensor is a device whose port is in a guest: the driver there reads it, the
// codec here judges it. Samples are stamped as they come here: the way through the
// guest is part of what is measured, and latencies are those of its tier.
type Sensor struct {
	cfg  Config
	in   *intake.Intake
	conn net.Conn
	done chan struct{}

	framer codec.Framer // owned by the reading goroutine
	fresh  bool         // owned by the reading goroutine: the next frame is the first after an opening

	asking  sync.Mutex  // one command at a time
	results chan result // the answers to commands
	closing func() error
}

var _ devices.Device = (*Sensor)(nil)

// Open lets the guest's driver open a port, and returns when it has. ctx bounds the
// opening only. When the device is pulled out the driver waits for it.
func Open(ctx context.Context, dial Dialer, cfg Config) (*Sensor, error) {
	if cfg.Codec == nil {
		return nil, errors.New("guest: no codec; set Config.Codec")
	}
	if cfg.Clock == nil {
		cfg.Clock = intake.Monotonic()
	}
	conn, release, err := dial.begin(ctx, request{Op: opOpen, Open: &cfg.Port})
	if err != nil {
		return nil, err
	}
	in := bufio.NewReader(conn)
	path, err := opened(in)
	if err == nil && !release() {
		err = context.Cause(ctx)
	}
	if err != nil {
		release()
		return nil, errors.Join(fmt.Errorf("guest: open %q: %w", cfg.Port.Select, err), conn.Close())
	}
	s := &Sensor{cfg: cfg, in: intake.New(cfg.Codec, intake.Options{}), conn: conn, done: make(chan struct{}), framer: cfg.Codec.NewFramer(),
		fresh: true, results: make(chan result, 1), closing: sync.OnceValue(conn.Close)}
	s.state(path, "")
	go s.read(in)
	return s, nil
}

// opened waits for the first record, or the line that refuses.
func opened(in *bufio.Reader) (path string, err error) {
	first, err := in.Peek(1)
	if err != nil {
		return "", cutShort(err)
	}
	if first[0] == '{' {
		var refused Status
		if err := readLine(in, &refused); err != nil {
			return "", err
		}
		return "", errors.New(refused.Error)
	}
	kind, text, err := readRecord(in)
	if err == nil && kind != kindPlugged {
		err = fmt.Errorf("%w: it begins with record %q", ErrProtocol, kind)
	}
	return string(text), err
}

func (s *Sensor) state(path, seen string) {
	if s.cfg.OnState != nil {
		s.cfg.OnState(path, seen)
	}
}

// read takes records until the connection ends.
func (s *Sensor) read(in *bufio.Reader) {
	defer close(s.done)
	defer close(s.results)
	err := s.records(in)
	s.cut()
	s.in.End(fmt.Errorf("guest: read %q: %w", s.cfg.ID, err))
}

func (s *Sensor) records(in *bufio.Reader) error {
	for {
		kind, text, err := readRecord(in)
		if err != nil {
			return err
		}
		switch kind {
		case kindData:
			s.framer.Push(s.cfg.Clock(), text, s.accept)
		case kindUnplugged:
			s.cut()
			s.state("", string(text))
		case kindPlugged:
			s.fresh = true
			s.state(string(text), "")
		case kindResult:
			var r result
			if err := json.Unmarshal(text, &r); err != nil {
				return fmt.Errorf("%w: %w", ErrProtocol, err)
			}
			select {
			case s.results <- r:
			default:
				return fmt.Errorf("%w: an answer that nobody asked for", ErrProtocol)
			}
		default:
			return fmt.Errorf("%w: record %q", ErrProtocol, kind)
		}
	}
}

// accept passes a frame on; the first after an opening may have lost its head.
func (s *Sensor) accept(f codec.Frame) {
	if s.fresh {
		s.fresh = false
		s.in.AcceptOrCut(f, "cut by the opening of the port")
		return
	}
	s.in.Accept(f, "")
}

// cut gives up the unfinished frame.
func (s *Sensor) cut() {
	if f, ok := s.framer.Rest(); ok {
		s.in.Cut(f, "cut by the end of the stream")
	}
}

// commandLimit is how long the agent may take for a command: a break lasts 5 s.
const commandLimit = 30 * time.Second

// ask sends a command and waits for its answer. One that did not come in time
// ends the sensor: the next would be taken for it.
func (s *Sensor) ask(kind byte, text []byte) (Report, error) {
	s.asking.Lock()
	defer s.asking.Unlock()
	if len(text) > maxRecord {
		return Report{}, fmt.Errorf("guest: %d bytes to %q at once; at most %d", len(text), s.cfg.ID, maxRecord)
	}
	select { // an answer that nobody asked for is not that of this command
	case _, ok := <-s.results:
		if !ok {
			return Report{}, fmt.Errorf("guest: command to %q: %w", s.cfg.ID, devices.ErrClosed)
		}
	default:
	}
	err := s.conn.SetWriteDeadline(time.Now().Add(commandLimit))
	if err == nil {
		_, err = s.conn.Write(appendRecord(nil, kind, text))
	}
	if err != nil {
		return Report{}, fmt.Errorf("guest: command to %q: %w", s.cfg.ID, err)
	}
	late := time.NewTimer(commandLimit)
	defer late.Stop()
	select {
	case r, ok := <-s.results:
		switch {
		case !ok:
			return Report{}, fmt.Errorf("guest: command to %q: %w", s.cfg.ID, devices.ErrClosed)
		case r.Error != "":
			return r.Report, fmt.Errorf("guest: command to %q: %s", s.cfg.ID, r.Error)
		}
		return r.Report, nil
	case <-late.C:
		return Report{}, errors.Join(fmt.Errorf("guest: command to %q: no answer in %v", s.cfg.ID, commandLimit), s.closing())
	}
}

// Write sends bytes to the device.
func (s *Sensor) Write(p []byte) (int, error) {
	if _, err := s.ask(kindWrite, bytes.Clone(p)); err != nil {
		return 0, err
	}
	return len(p), nil
}

// Control changes the port and returns what it is like then.
func (s *Sensor) Control(c Control) (Report, error) {
	text, err := json.Marshal(c)
	if err != nil {
		return Report{}, err
	}
	return s.ask(kindControl, text)
}

// Info implements devices.Device.
func (s *Sensor) Info() devices.Info {
	return devices.Info{ID: s.cfg.ID, Kind: s.cfg.Codec.Name(), Mode: devices.Sim, Path: s.cfg.Port.Select, Tier: devices.KernelTier, Time: devices.Live,
		Model: s.cfg.Model, Serial: s.cfg.Serial, Note: cmp.Or(s.cfg.Note, "port of a Linux guest, read by its own kernel's driver")}
}

// Read implements devices.Device.
func (s *Sensor) Read(ctx context.Context) (devices.Sample, error) { return s.in.Read(ctx) }

// Counters implements devices.Device.
func (s *Sensor) Counters() devices.Counters { return s.in.Counters() }

// Damages implements devices.Device.
func (s *Sensor) Damages() []devices.Damage { return s.in.Damages() }

// Close implements devices.Device: the guest closes the port.
func (s *Sensor) Close() error {
	s.in.Discard(devices.ErrClosed)
	_ = s.closing()
	<-s.done
	return nil
}
