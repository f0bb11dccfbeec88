package board

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"strconv"
	"strings"
	"sync"
	"time"

	"go.bug.st/serial"

	"plumbline/devices/ptytwin"
	"plumbline/devices/remoteport"
)

// TwinOptions of a Twin; the zero value is useful.
type TwinOptions struct {
	Period time.Duration // between two lines; 0 = 20 ms
	// Modem stands it behind a server by RFC 2217, with modem lines, in the place of a
	// pseudo terminal, which has none.
	Modem bool
}

// Twin is a computed board with a heater, a lamp, a door and a relay. It says a line
// of JSON each period: temperature, lamp, door and relay. "T 21.5" sets the
// temperature and "R 1" the relay, each answered with OK and the same; anything else
// is answered with ERR. DTR switches the lamp, 12 when it is off and 800 when it is
// on; each break turns the door over, and the contact of the relay lies on CTS.
type Twin struct {
	port interface {
		io.WriteCloser
		Path() string
	}
	remote *remoteport.Twin // nil for a pty
	stop   context.CancelFunc
	work   sync.WaitGroup

	mu                             sync.Mutex
	line                           []byte // what was heard of the next one; owned by mu
	temperature, lamp, door, relay float64
	deaf                           bool
}

// What the lamp measures.
const (
	LampOff = 12
	LampOn  = 800
)

// NewTwin starts the board. ctx bounds the start only; Close ends it. On systems
// without pseudo terminals the error is ptytwin.ErrUnsupported unless Modem is set.
func NewTwin(ctx context.Context, opts TwinOptions) (*Twin, error) {
	t := &Twin{temperature: 20, lamp: LampOff}
	ready := make(chan struct{}) // closed when t is whole
	if opts.Modem {
		remote, err := remoteport.NewTwin(ctx, remoteport.TwinOptions{
			OnReceive: func(p []byte) { <-ready; t.hear(p) }, OnLine: func(line string, on bool) { <-ready; t.wired(Wire(line), on) },
		})
		if err != nil {
			return nil, err
		}
		t.port, t.remote = remote, remote
	} else {
		pty, err := ptytwin.NewPair(ctx, ptytwin.Options{OnReceive: func(p []byte) { <-ready; t.hear(p) }})
		if err != nil {
			return nil, err
		}
		t.port = pty
	}
	close(ready)
	period := opts.Period
	if period <= 0 {
		period = 20 * time.Millisecond
	}
	var run context.Context
	run, t.stop = context.WithCancel(context.Background())
	t.work.Go(func() {
		tick := time.NewTicker(period)
		defer tick.Stop()
		for {
			select {
			case <-run.Done():
				return
			case <-tick.C:
				t.say("")
			}
		}
	})
	return t, nil
}

// Path is its port as serialline and rig files take it.
func (t *Twin) Path() string { return t.port.Path() }

// Deafen lets it hear commands and do nothing, or ends that.
func (t *Twin) Deafen(on bool) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.deaf = on
}

// say says a line; "" is what it measures. What cannot be said is lost.
func (t *Twin) say(line string) {
	if line == "" {
		t.mu.Lock()
		line = fmt.Sprintf(`{"temperature":%s,"lamp":%v,"door":%v,"relay":%v}`, Number(t.temperature), t.lamp, t.door, t.relay)
		t.mu.Unlock()
	}
	_, _ = io.WriteString(t.port, line+"\r\n")
}

// maxHeard bounds a command, in bytes.
const maxHeard = 256

// hear takes what the host wrote.
func (t *Twin) hear(p []byte) {
	t.mu.Lock()
	var commands []string
	for t.line = append(t.line, p...); ; {
		command, rest, whole := bytes.Cut(t.line, []byte("\n"))
		if !whole {
			break
		}
		commands, t.line = append(commands, strings.TrimSpace(string(command))), rest
	}
	if len(t.line) > maxHeard {
		t.line = nil
	}
	deaf := t.deaf
	t.mu.Unlock()
	for _, command := range commands {
		if !deaf && command != "" {
			t.say(t.obey(command))
		}
	}
}

// obey carries a command out and returns the answer.
func (t *Twin) obey(command string) string {
	verb, text, _ := strings.Cut(command, " ")
	value, err := strconv.ParseFloat(text, 64)
	t.mu.Lock()
	defer t.mu.Unlock()
	switch {
	case err != nil:
		return "ERR " + command
	case verb == "T" && value >= -40 && value <= 125:
		t.temperature = value
	case verb == "R" && (value == 0 || value == 1):
		t.relay = value
		if t.remote != nil {
			t.remote.SetModem(serial.ModemStatusBits{CTS: value == 1})
		}
	default:
		return "ERR " + command
	}
	return "OK " + command
}

// wired takes what happens on a line of the port.
func (t *Twin) wired(line Wire, on bool) {
	t.mu.Lock()
	defer t.mu.Unlock()
	switch {
	case line == DTR && on:
		t.lamp = LampOn
	case line == DTR:
		t.lamp = LampOff
	case line == Break && on:
		t.door = 1 - t.door
	}
}

// Close ends it. It is idempotent and waits.
func (t *Twin) Close() error {
	t.stop()
	t.work.Wait()
	return t.port.Close()
}
