package remoteport

import (
	"encoding/binary"
	"errors"
	"fmt"
	"math"
	"net"
	"sync"
	"time"

	"go.bug.st/serial"
)

// Commands of RFC 2217 section 3; the server answers with the code + 100.
const (
	setBaud     = 1
	setDataSize = 2
	setParity   = 3
	setStopSize = 4
	setControl  = 5
	notifyModem = 7
	modemMask   = 11
	purge       = 12
	toClient    = 100
)

// Values of SET-CONTROL.
const (
	noFlowControl = 1
	breakOn       = 5
	breakOff      = 6
	dtrOn         = 8
	dtrOff        = 9
	rtsOn         = 11
	rtsOff        = 12
)

// Bounds of what is kept for a late reader, in bytes. At the first the server
// has to wait, unless an answer of it is waited for, which lies behind the
// data; at the second it is given up.
const (
	bufferLimit = 256 << 10
	floodLimit  = 8 << 20
)

// errFlood says why a connection was given up.
var errFlood = errors.New("remoteport: the server sends without end and does not answer")

// telnetPort is a port behind RFC 2217. One goroutine takes the stream apart,
// from newTelnetPort to Close.
type telnetPort struct {
	conn net.Conn
	done chan struct{} // closed when the reading goroutine has ended

	asking  sync.Mutex // one command at a time
	writing sync.Mutex // one writer of the connection

	mu      sync.Mutex
	data    []byte               // owned by mu
	err     error                // why the stream ended; owned by mu
	opts    options              // owned by mu
	answers map[byte]chan []byte // by code of the answer; owned by mu
	modem   byte                 // the last NOTIFY-MODEMSTATE; owned by mu
	known   bool                 // modem was told; owned by mu
	timeout time.Duration        // owned by mu
	open    bool                 // greeted: what came before is dropped; owned by mu
	ended   bool                 // Unblock was called; owned by mu
	change  *sync.Cond           // any of the above
}

var _ serial.Port = (*telnetPort)(nil)

func newTelnetPort(conn net.Conn) *telnetPort {
	p := &telnetPort{conn: conn, done: make(chan struct{}), answers: map[byte]chan []byte{}, timeout: serial.NoTimeout}
	p.change = sync.NewCond(&p.mu)
	go p.receive()
	return p
}

// receive takes the stream apart until it ends.
func (p *telnetPort) receive() {
	defer close(p.done)
	var t telnet
	buf := make([]byte, 4096)
	for {
		n, err := p.conn.Read(buf)
		p.mu.Lock()
		e := t.push(buf[:n], p.data)
		p.data = e.data
		if !p.open {
			p.data = p.data[:0] // of unknown age, and the server's banner
		}
		var answer []byte
		for _, a := range e.asks {
			answer = append(answer, p.opts.take(a)...)
		}
		for _, s := range e.subs {
			p.told(s)
		}
		if p.err == nil {
			p.err = err
		}
		p.change.Broadcast()
		for len(p.data) >= bufferLimit && len(p.answers) == 0 && p.err == nil {
			p.change.Wait()
		}
		if len(p.data) >= floodLimit && p.err == nil {
			p.err = errFlood
			p.change.Broadcast()
		}
		err = p.err
		p.mu.Unlock()
		if err != nil {
			return
		}
		if len(answer) > 0 {
			_ = p.send(answer) // a failure shows at the next read
		}
	}
}

// told takes a subnegotiation of the server; the caller holds mu.
func (p *telnetPort) told(s []byte) {
	if len(s) < 3 || s[0] != optComPort {
		return
	}
	code, value := s[1], s[2:]
	if code == notifyModem+toClient {
		p.modem, p.known = value[0], true
		return
	}
	if waiting := p.answers[code]; waiting != nil {
		select {
		case waiting <- value:
		default: // a second answer to one question
		}
	}
}

// send writes to the connection, in at most 5 s.
func (p *telnetPort) send(b []byte) error {
	p.writing.Lock()
	defer p.writing.Unlock()
	if err := p.conn.SetWriteDeadline(time.Now().Add(patience)); err != nil {
		return err
	}
	_, err := p.conn.Write(b)
	return err
}

// await blocks until cond holds, the stream ends or 5 s have passed.
func (p *telnetPort) await(what string, cond func() bool) error {
	late := false
	timer := time.AfterFunc(patience, func() {
		p.mu.Lock()
		defer p.mu.Unlock()
		late = true
		p.change.Broadcast()
	})
	defer timer.Stop()
	p.mu.Lock()
	defer p.mu.Unlock()
	for !cond() && p.err == nil && !late {
		p.change.Wait()
	}
	switch {
	case cond():
		return nil
	case p.err != nil:
		return fmt.Errorf("wait for %s: %w", what, p.err)
	}
	return fmt.Errorf("%s did not come in %v", what, patience)
}

// greet agrees on the option, sets the mode and empties the server's buffer.
func (p *telnetPort) greet(mode *serial.Mode) error {
	if err := p.send(opening); err != nil {
		return err
	}
	err := p.await("the server's consent to RFC 2217", func() bool { return p.opts.agreed || p.opts.refusal != "" })
	p.mu.Lock()
	refusal := p.opts.refusal
	p.mu.Unlock()
	switch {
	case refusal != "":
		return fmt.Errorf("%w (%s)", ErrRefused, refusal)
	case err != nil:
		return fmt.Errorf("%w (%w)", ErrRefused, err)
	}
	if err := p.SetMode(mode); err != nil {
		return err
	}
	if err := p.send(append(command(setControl, noFlowControl), command(modemMask, 0xff)...)); err != nil {
		return err
	}
	if err := p.ResetInputBuffer(); err != nil {
		return err
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	p.open = true
	return nil
}

// ask sends a command and returns the server's answer.
func (p *telnetPort) ask(what string, code byte, value ...byte) ([]byte, error) {
	p.asking.Lock()
	defer p.asking.Unlock()
	waiting := make(chan []byte, 1)
	p.mu.Lock()
	p.answers[code+toClient] = waiting
	p.change.Broadcast() // the reader may wait for room, and the answer behind it
	p.mu.Unlock()
	defer func() {
		p.mu.Lock()
		defer p.mu.Unlock()
		delete(p.answers, code+toClient)
	}()
	if err := p.send(command(code, value...)); err != nil {
		return nil, fmt.Errorf("remoteport: set %s: %w", what, err)
	}
	if err := p.await("the server's answer", func() bool { return len(waiting) > 0 }); err != nil {
		return nil, fmt.Errorf("remoteport: set %s: %w", what, err)
	}
	return <-waiting, nil
}

// set is ask for a value of one byte, which the server must take.
func (p *telnetPort) set(what string, code, value byte) error {
	got, err := p.ask(what, code, value)
	if err == nil && got[0] != value {
		err = fmt.Errorf("remoteport: set %s: the server answers %d to %d: it cannot", what, got[0], value)
	}
	return err
}

// Parities and stop bits of RFC 2217 by those of the library.
var (
	parities = map[serial.Parity]byte{serial.NoParity: 1, serial.OddParity: 2, serial.EvenParity: 3, serial.MarkParity: 4, serial.SpaceParity: 5}
	stops    = map[serial.StopBits]byte{serial.OneStopBit: 1, serial.TwoStopBits: 2, serial.OnePointFiveStopBits: 3}
)

// maxDeviation is how far the server's speed may be from what was asked for:
// a UART reads through 3 %.
const maxDeviation = 0.03

// SetMode implements serial.Port. It is an error when the server sets anything else.
func (p *telnetPort) SetMode(mode *serial.Mode) error {
	if mode.BaudRate <= 0 || mode.BaudRate > math.MaxInt32 {
		return fmt.Errorf("remoteport: set baud: %d is no speed", mode.BaudRate)
	}
	got, err := p.ask("baud", setBaud, binary.BigEndian.AppendUint32(nil, uint32(mode.BaudRate))...)
	if err != nil {
		return err
	}
	if len(got) != 4 {
		return fmt.Errorf("remoteport: set baud: the server's answer has %d bytes, not 4", len(got))
	}
	is := float64(binary.BigEndian.Uint32(got))
	if math.Abs(is-float64(mode.BaudRate)) > maxDeviation*float64(mode.BaudRate) {
		return fmt.Errorf("remoteport: set baud: the server sets %.0f when asked for %d; choose a speed that its port can", is, mode.BaudRate)
	}
	parity, known := parities[mode.Parity]
	if !known {
		return fmt.Errorf("remoteport: set parity: %d is none", mode.Parity)
	}
	bits := mode.DataBits
	if bits == 0 {
		bits = 8
	}
	return errors.Join(p.set("data bits", setDataSize, byte(bits)), p.set("parity", setParity, parity), p.set("stop bits", setStopSize, stops[mode.StopBits]))
}
