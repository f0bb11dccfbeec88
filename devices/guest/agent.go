package guest

import (
	"bufio"
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
	"plumbline/devices/inventory"
	"plumbline/devices/serialline"
)

// System is what the agent needs of its machine beside serial ports.
type System struct {
	Kernel    string
	Inventory inventory.Inventory
	// Attach gives the descriptor of a stream to the virtual hub's socket slot.
	Attach func(ctx context.Context, slot int, fd uintptr) error
}

// agent is Serve at work.
type agent struct {
	System

	mu   sync.Mutex
	open map[string]*serialline.Line // by selector: the ports that hosts have open
}

// hostPatience is how long the host may leave what the agent sends; then the
// connection is given up.
const hostPatience = 30 * time.Second

// Serve answers connections until ctx ends or door fails, and waits for them.
func Serve(ctx context.Context, door net.Listener, s System) error {
	ctx, cancel := context.WithCancel(ctx)
	var serving sync.WaitGroup
	defer serving.Wait()
	defer cancel()
	stop := context.AfterFunc(ctx, func() { _ = door.Close() })
	defer stop()
	a := &agent{System: s, open: map[string]*serialline.Line{}}
	for {
		conn, err := door.Accept()
		if err != nil {
			if ctx.Err() != nil {
				return nil
			}
			return fmt.Errorf("guest: %w", err)
		}
		serving.Go(func() {
			defer func() { _ = conn.Close() }()
			stop := context.AfterFunc(ctx, func() { _ = conn.Close() })
			defer stop()
			if err := a.serve(ctx, conn); err != nil {
				_ = writeLine(conn, Status{Error: err.Error()})
			}
		})
	}
}

// serve does what the first line says. An error is told to the host.
func (s *agent) serve(ctx context.Context, conn net.Conn) error {
	in := bufio.NewReader(conn)
	var asked request
	if err := readLine(in, &asked); err != nil {
		return err
	}
	switch {
	case asked.Op == opStatus:
		ports, err := s.Inventory.Scan()
		if err != nil {
			return err
		}
		return writeLine(conn, Status{Kernel: s.Kernel, Ports: ports})
	case asked.Op == opAttach:
		return s.attach(ctx, conn, asked.Slot)
	case asked.Op == opOpen && asked.Open != nil:
		return s.openPort(ctx, conn, in, *asked.Open)
	case asked.Op == opTell:
		return s.tell(conn, in, asked.Tell)
	}
	return fmt.Errorf("guest: request %q is not known", asked.Op)
}

// attach gives the connection away: what is read and written then is the kernel's.
func (s *agent) attach(ctx context.Context, conn net.Conn, slot int) error {
	tcp, is := conn.(*net.TCPConn)
	if !is {
		return errors.New("guest: a cable must be a TCP connection")
	}
	raw, err := tcp.SyscallConn()
	if err != nil {
		return err
	}
	if control := raw.Control(func(fd uintptr) { err = s.Attach(ctx, slot, fd) }); control != nil {
		return control
	}
	return err
}

// tap is a codec that passes on what the driver reads, as it reads it, and has no
// frames.
type tap struct{ pass func([]byte) }

// Name implements codec.Codec.
func (tap) Name() string { return "bytes" }

// NewFramer implements codec.Codec.
func (t tap) NewFramer() codec.Framer { return t }

// Decode implements codec.Codec; there is nothing to decode.
func (tap) Decode([]byte) ([]devices.Value, error) { return nil, nil }

// Push implements codec.Framer.
func (t tap) Push(_ time.Duration, p []byte, _ func(codec.Frame)) { t.pass(p) }

// Rest implements codec.Framer.
func (tap) Rest() (codec.Frame, bool) { return codec.Frame{}, false }

// port is an open port and its connection.
type port struct {
	system System
	sel    inventory.Selector
	line   *serialline.Line

	sending sync.Mutex
	conn    net.Conn
}

// open lets the driver read a port and passes on what it sees, and commands to it,
// until the host hangs up.
func (s *agent) openPort(ctx context.Context, conn net.Conn, in *bufio.Reader, asked Port) error {
	sel, err := inventory.ParseSelector(asked.Select)
	if err != nil {
		return err
	}
	p := &port{system: s.System, sel: sel, conn: conn}
	p.sending.Lock() // what is read waits until the host was told that the port is open
	line, err := serialline.Open(ctx, serialline.Config{
		Port: asked.Select, Inventory: s.Inventory, Baud: asked.Baud, DataBits: asked.DataBits, Parity: asked.Parity, StopBits: asked.StopBits,
		Codec: tap{pass: func(b []byte) { p.send(kindData, b) }}, OnState: p.tell, RetryEvery: 20 * time.Millisecond,
	})
	if err != nil {
		p.sending.Unlock()
		return err
	}
	defer func() { _ = line.Close() }()
	p.line = line
	s.keep(asked.Select, line)
	defer s.keep(asked.Select, nil)
	p.write(kindPlugged, p.path())
	p.sending.Unlock()
	for {
		kind, text, err := readRecord(in)
		if err != nil {
			return nil // the host hung up
		}
		p.obey(kind, text)
	}
}

// keep makes an open port known to tell, nil forgets it.
func (s *agent) keep(sel string, line *serialline.Line) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if line == nil {
		delete(s.open, sel)
		return
	}
	s.open[sel] = line
}

// tell writes to a port that another connection has open, until the host hangs up.
func (s *agent) tell(conn net.Conn, in *bufio.Reader, sel string) error {
	p := &port{conn: conn}
	for {
		kind, text, err := readRecord(in)
		if errors.Is(err, io.EOF) {
			return nil // the host hung up
		}
		if err != nil {
			return err
		}
		s.mu.Lock()
		p.line = s.open[sel]
		s.mu.Unlock()
		if p.line == nil || kind != kindWrite {
			p.answer(result{Error: fmt.Sprintf("guest: nobody has %q open, or command %q is none for it", sel, kind)})
			continue
		}
		p.obey(kind, text)
	}
}

// tell passes on that the port came or went.
func (p *port) tell(s serialline.State) {
	if s.Plugged {
		p.send(kindPlugged, p.path())
		return
	}
	p.send(kindUnplugged, []byte(fmt.Sprint(s.Err)))
}

// path is the name that the port has now.
func (p *port) path() []byte {
	found, err := p.system.Inventory.Find(p.sel)
	if err != nil {
		return nil // it has just gone; the driver tells so next
	}
	return []byte(found.Path)
}

// send gives the connection up when the host does not take what is sent.
func (p *port) send(kind byte, text []byte) {
	p.sending.Lock()
	defer p.sending.Unlock()
	p.write(kind, text)
}

// write is send with sending held.
func (p *port) write(kind byte, text []byte) {
	err := p.conn.SetWriteDeadline(time.Now().Add(hostPatience))
	if err == nil {
		_, err = p.conn.Write(appendRecord(nil, kind, text))
	}
	if err != nil {
		_ = p.conn.Close()
	}
}

// obey does what a record asks and answers it.
func (p *port) obey(kind byte, text []byte) {
	var err error
	var answer result
	switch kind {
	case kindWrite:
		_, err = p.line.Write(text)
	case kindControl:
		var c Control
		if err = json.Unmarshal(text, &c); err == nil {
			answer.Report, err = p.control(c)
		}
	default:
		err = fmt.Errorf("%w: command %q", ErrProtocol, kind)
	}
	if err != nil {
		answer.Error = err.Error()
	}
	p.answer(answer)
}

func (p *port) answer(r result) {
	said, err := json.Marshal(r)
	if err != nil {
		said = []byte(`{"error":"guest: the answer cannot be told"}`)
	}
	p.send(kindResult, said)
}

func (p *port) control(c Control) (r Report, err error) {
	if c.Baud != 0 {
		err = errors.Join(err, p.line.SetBaud(c.Baud))
	}
	if c.DTR != nil {
		err = errors.Join(err, p.line.SetDTR(*c.DTR))
	}
	if c.RTS != nil {
		err = errors.Join(err, p.line.SetRTS(*c.RTS))
	}
	if c.BreakMS != 0 {
		err = errors.Join(err, p.line.Break(time.Duration(c.BreakMS)*time.Millisecond))
	}
	if err != nil {
		return r, err
	}
	r.Stats = p.line.Stats()
	if r.Modem, err = p.line.Modem(); err != nil && !errors.Is(err, serialline.ErrNoModem) {
		return r, err
	}
	if r.Errors, err = p.line.LineErrors(); errors.Is(err, serialline.ErrNoCounts) {
		err = nil
	}
	return r, err
}
