package remoteport

import (
	"context"
	"errors"
	"fmt"
	"net"
	"sync"
	"time"

	"go.bug.st/serial"
)

// TwinOptions say what stands at the far end of a Twin. All are optional; they are
// called on reading goroutines and must not call Close.
type TwinOptions struct {
	OnReceive func(p []byte)             // bytes for the device
	OnLine    func(line string, on bool) // "dtr", "rts" or "break" was set
}

// Twin is a server of one port by RFC 2217, on the loopback, with modem lines as no
// pseudo terminal has them: what a driver sees of a real adapter behind such a
// server, ser2net say. It takes every speed and framing. All methods may be called by
// any goroutine.
type Twin struct {
	opts   TwinOptions
	listen net.Listener
	work   sync.WaitGroup

	mu     sync.Mutex
	conns  map[net.Conn]bool // true once the modem lines were asked for; owned by mu
	modem  byte              // owned by mu
	closed bool              // owned by mu
}

// NewTwin begins to serve. ctx bounds the beginning only.
func NewTwin(ctx context.Context, opts TwinOptions) (*Twin, error) {
	l, err := (&net.ListenConfig{}).Listen(ctx, "tcp", "127.0.0.1:0")
	if err != nil {
		return nil, fmt.Errorf("remoteport: twin: %w", err)
	}
	t := &Twin{opts: opts, listen: l, conns: map[net.Conn]bool{}}
	t.work.Go(t.accept)
	return t, nil
}

// Path is the address as serialline and rig files take it.
func (t *Twin) Path() string { return schemeRFC2217 + "://" + t.listen.Addr().String() }

func (t *Twin) accept() {
	for {
		c, err := t.listen.Accept()
		if err != nil {
			return // closed
		}
		t.mu.Lock()
		if t.closed {
			t.mu.Unlock()
			_ = c.Close()
			return
		}
		t.conns[c] = false
		t.mu.Unlock()
		t.work.Go(func() {
			defer t.forget(c)
			t.serve(c)
		})
	}
}

func (t *Twin) forget(c net.Conn) {
	_ = c.Close()
	t.mu.Lock()
	defer t.mu.Unlock()
	delete(t.conns, c)
}

// serve carries out what one client says until it goes.
func (t *Twin) serve(c net.Conn) {
	if t.send(c, []byte{iac, do, optComPort}) != nil {
		return
	}
	var stream telnet
	buf := make([]byte, 4096)
	for {
		n, err := c.Read(buf)
		e := stream.push(buf[:n], nil)
		if len(e.data) > 0 && t.opts.OnReceive != nil {
			t.opts.OnReceive(e.data)
		}
		for _, sub := range e.subs {
			if len(sub) < 3 || sub[0] != optComPort {
				continue
			}
			t.control(c, sub[1], sub[2:])
		}
		if err != nil {
			return
		}
	}
}

// lineOf is what a value of SET-CONTROL does to a line.
var lineOf = map[byte]struct {
	name string
	on   bool
}{breakOn: {"break", true}, breakOff: {"break", false}, dtrOn: {"dtr", true}, dtrOff: {"dtr", false}, rtsOn: {"rts", true}, rtsOff: {"rts", false}}

// control carries out a command and answers it. A client that has gone is found by
// its read.
func (t *Twin) control(c net.Conn, code byte, value []byte) {
	if line, is := lineOf[value[0]]; is && code == setControl && t.opts.OnLine != nil {
		t.opts.OnLine(line.name, line.on)
	}
	_ = t.send(c, command(code+toClient, value...))
	if code != modemMask {
		return
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	t.conns[c] = true
	_ = t.write(c, command(notifyModem+toClient, t.modem))
}

// send writes to one client in one piece.
func (t *Twin) send(c net.Conn, p []byte) error {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.write(c, p)
}

// write is send with mu held. A client that does not read is given up.
func (t *Twin) write(c net.Conn, p []byte) error {
	_ = c.SetWriteDeadline(time.Now().Add(patience))
	_, err := c.Write(p)
	if err != nil {
		_ = c.Close() // half a command may be out
	}
	return err
}

// Write lets the device say something to all who are connected, and to nobody when
// none is.
func (t *Twin) Write(p []byte) (int, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.closed {
		return 0, errClosed
	}
	for c := range t.conns {
		_ = t.write(c, appendEscaped(nil, p))
	}
	return len(p), nil
}

// SetModem puts the device's modem lines into that state and tells who wants to
// know.
func (t *Twin) SetModem(m serial.ModemStatusBits) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.modem = 0
	for _, line := range []struct {
		on  bool
		bit byte
	}{{m.DCD, stateDCD}, {m.RI, stateRI}, {m.DSR, stateDSR}, {m.CTS, stateCTS}} {
		if line.on {
			t.modem |= line.bit
		}
	}
	for c, asked := range t.conns {
		if asked {
			_ = t.write(c, command(notifyModem+toClient, t.modem))
		}
	}
}

// Close ends all connections and waits for the goroutines. It is idempotent.
func (t *Twin) Close() error {
	t.mu.Lock()
	t.closed = true
	for c := range t.conns {
		_ = c.Close()
	}
	t.mu.Unlock()
	err := t.listen.Close()
	t.work.Wait()
	if errors.Is(err, net.ErrClosed) {
		return nil
	}
	return err
}
