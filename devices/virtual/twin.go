package virtual

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strconv"
	"strings"
	"sync"
	"time"

	"plumbline/devices"
	"plumbline/devices/codec"
	"plumbline/devices/firmware"
	"plumbline/devices/internal/exact"
	"plumbline/devices/ptytwin"
)

// TwinOptions of a Twin; the zero value is useful.
type TwinOptions struct {
	ID          string
	Number      uint32        // of the part: its serial number is SerialNumber of it
	Period      time.Duration // between two lines by the clock of the twin; 0 = 1 s, at least 10 ms, at most a minute
	Phase       time.Duration // of the first line: fleets do not speak all at once
	Drift       float64       // how much faster than the host's its clock runs: 0.01 is 1 %; within ±0.5
	Temperature float64       // degrees Celsius, until it is stimulated
	Link        string        // path of the port, see ptytwin.Options
	// Open plugs the twin into something else than a pty, see ptytwin.Options and
	// GuestPort; nil = a pty.
	Open func() (ptytwin.Port, error)
	// Wire puts something into the line, see NodeOptions.
	Wire func(port, board io.Writer) (toPort io.Writer, toDevice func(p []byte))
}

// maxDrift bounds the drift of a twin's clock, maxCommand what it takes of a
// command, maxOrders how many commands wait.
const (
	maxDrift   = 0.5
	maxCommand = 47
	maxOrders  = 64
)

// Twin is a Node without an emulator: a computed sensor node on a pseudo
// terminal, the first tier of the virtual bench. It speaks and obeys as the
// firmware does, so that one scenario serves both; it has no watchdog. It is a
// devices.Fixture. It costs two goroutines (see ptytwin). Its methods may be called by any goroutine.
type Twin struct {
	opts     TwinOptions
	port     *ptytwin.Twin
	toPort   io.Writer
	toDevice func(p []byte)
	cancel   context.CancelFunc
	done     sync.WaitGroup

	speaking sync.Mutex // held while a line is written: lines do not mix

	mu            sync.Mutex // guards what follows
	changed       chan struct{}
	on            bool
	frozen        bool // by Impair
	hung          bool // by the command; power or a reset ends it
	stall         time.Duration
	period        time.Duration
	start         time.Time // of the clock
	due           time.Time // of the next line
	seq, boots    uint64
	lastDone, bad uint64 // number of the last command; lines that were none
	out           int
	temperature   float64
	held          []byte   // of a command that has not ended
	orders        [][]byte // commands that have come and were not looked at yet, at most maxOrders
}

var _ devices.Fixture = (*Twin)(nil)

// OpenTwin makes the port and powers the twin up. It speaks when it returns. ctx
// bounds the making only.
func OpenTwin(ctx context.Context, opts TwinOptions) (*Twin, error) {
	switch {
	case opts.Period != 0 && (opts.Period < 10*time.Millisecond || opts.Period > time.Minute):
		return nil, fmt.Errorf("virtual: twin %q: period %v is not between 10ms and 1m", opts.ID, opts.Period)
	case !(opts.Drift >= -maxDrift && opts.Drift <= maxDrift):
		return nil, fmt.Errorf("virtual: twin %q: drift %v is not within ±%v", opts.ID, opts.Drift, maxDrift)
	case opts.Phase < 0:
		return nil, fmt.Errorf("virtual: twin %q: phase %v is negative", opts.ID, opts.Phase)
	case opts.Period == 0:
		opts.Period = time.Second
	}
	if err := measurable(opts.ID, opts.Temperature); err != nil {
		return nil, err
	}
	t := &Twin{opts: opts, temperature: opts.Temperature, period: opts.Period, changed: make(chan struct{})}
	port := writer(func(p []byte) (int, error) { return t.port.Write(p) })
	t.toPort, t.toDevice = port, t.hear
	if opts.Wire != nil {
		t.toPort, t.toDevice = opts.Wire(port, writer(func(p []byte) (int, error) { t.hear(p); return len(p), nil }))
	}
	ready := make(chan struct{}) // closed when t.port is set
	twin, err := ptytwin.NewPair(ctx, ptytwin.Options{Link: opts.Link, Open: opts.Open, FIFO: opts.fifo(), OnReceive: func(p []byte) { <-ready; t.toDevice(p) }})
	if err != nil {
		return nil, fmt.Errorf("virtual: twin %q: %w", opts.ID, err)
	}
	t.port = twin
	close(ready)
	t.mu.Lock()
	t.boot(opts.Phase)
	t.mu.Unlock()
	run, cancel := context.WithCancel(context.Background())
	t.cancel = cancel
	t.done.Go(func() { t.speak(run) })
	return t, nil
}

// outsideFIFO is what a twin holds for a port of another kind than a pty: seconds of
// lines, for an emulated PC on a busy machine takes nothing for so long.
const outsideFIFO = 48 << 10

func (o TwinOptions) fifo() int {
	if o.Open != nil {
		return outsideFIFO
	}
	return 0
}

// boot starts the firmware anew, with power; the first line is due after phase. The
// caller holds mu from before it asked whether to.
func (t *Twin) boot(phase time.Duration) {
	if !t.on {
		t.on, t.boots, t.period, t.out = true, 0, t.opts.Period, 0
	}
	t.hung, t.seq, t.lastDone, t.bad, t.held = false, 0, 0, 0, nil
	t.boots++
	t.orders = nil
	t.start = time.Now()
	t.due = t.start.Add(phase)
	t.wake()
}

// wake lets speak look again. The caller holds mu.
func (t *Twin) wake() {
	close(t.changed)
	t.changed = make(chan struct{})
}

// silent reports whether nothing is said now. The caller holds mu.
func (t *Twin) silent() bool { return !t.on || t.frozen || t.hung }

// speak says a line whenever one is due, until ctx ends.
func (t *Twin) speak(ctx context.Context) {
	alarm := exact.NewAlarm()
	defer alarm.Stop()
	for {
		t.obeyAll()
		t.mu.Lock()
		due, changed := exact.Now()+int64(time.Until(t.due)), t.changed
		switch {
		case len(t.orders) > 0: // came since
			alarm.At(1)
		case !t.silent():
			alarm.At(due)
		}
		t.mu.Unlock()
		select {
		case <-ctx.Done():
			return
		case <-changed:
		case <-alarm.C:
			t.turn()
		}
	}
}

// turn says the line that is due, if it still is.
func (t *Twin) turn() {
	t.speaking.Lock()
	defer t.speaking.Unlock()
	t.mu.Lock()
	now := time.Now()
	if t.silent() || now.Before(t.due) {
		t.mu.Unlock()
		return
	}
	if t.stall > 0 {
		t.due, t.stall = now.Add(t.stall), 0
		t.mu.Unlock()
		return
	}
	for !t.due.After(now) { // held up for longer than a period it skips lines, as the firmware does
		t.due = t.next()
	}
	line := t.line(now)
	t.mu.Unlock()
	_, _ = t.toPort.Write(line) // a port that is crowded loses it, as a UART does
}

// next is when the line after the one that is due will be. The caller holds mu.
func (t *Twin) next() time.Time {
	return t.due.Add(time.Duration(float64(t.period) / (1 + t.opts.Drift)))
}

// line is the next line, as it is said at an instant. The caller holds mu.
func (t *Twin) line(at time.Time) []byte {
	t.seq++
	micros := float64(at.Sub(t.start).Microseconds()) * (1 + t.opts.Drift)
	return codec.AppendLineJSON(nil, SerialNumber(t.opts.Number), t.seq, []devices.Value{
		{Name: firmware.Micros, Number: float64(int64(micros))}, {Name: firmware.Temperature, Number: t.temperature},
		{Name: firmware.Output, Number: float64(t.out)}, {Name: firmware.Done, Number: float64(t.lastDone)},
		{Name: firmware.Refused, Number: float64(t.bad)}, {Name: firmware.Boots, Number: float64(t.boots)},
	})
}

// hear takes what the host sent.
func (t *Twin) hear(p []byte) {
	for _, c := range p {
		t.mu.Lock()
		if t.silent() {
			t.held = nil
			t.mu.Unlock()
			continue
		}
		switch {
		case c == '\n':
			if len(t.held) > 0 && len(t.orders) < maxOrders {
				t.orders = append(t.orders, t.held)
				t.wake()
			}
			t.held = nil
		case c != '\r' && len(t.held) <= maxCommand:
			t.held = append(t.held, c)
		}
		t.mu.Unlock()
	}
}

// obeyAll looks at the commands that have come: not while they are heard, because
// who lets the twin hear may hold the line until it has.
func (t *Twin) obeyAll() {
	for t.obey() {
	}
}

// obey carries out the command that has waited longest and answers with a line, as
// the firmware does; false when none waits. A start forgets those that came before.
func (t *Twin) obey() bool {
	t.speaking.Lock()
	defer t.speaking.Unlock()
	t.mu.Lock()
	if len(t.orders) == 0 {
		t.mu.Unlock()
		return false
	}
	command := t.orders[0]
	t.orders = t.orders[1:]
	var answer []byte
	if !t.silent() { // else it hung over the command before
		answer = t.answer(command)
	}
	t.mu.Unlock()
	if answer != nil {
		_, _ = t.toPort.Write(answer) // as in turn
	}
	return true
}

// answer carries a command out and returns what the twin says then, nil for
// nothing. The caller holds mu.
func (t *Twin) answer(command []byte) []byte {
	words, number, ok := parse(command)
	switch {
	case !ok || !t.carryOut(words):
		t.bad++
	case words[0] == "hang":
		t.hung = true
		t.wake()
	case words[0] == "reset":
		t.boot(0)
	default:
		t.lastDone = number
		return t.line(time.Now())
	}
	return nil
}

// parse takes CRC and number off a command.
func parse(command []byte) (words []string, number uint64, ok bool) {
	body, sum, found := strings.Cut(string(command), "*")
	if !found || len(command) > maxCommand || fmt.Sprintf("%04X", codec.CRC16([]byte(body))) != sum {
		return nil, 0, false
	}
	words = strings.Split(body, " ")
	number, err := strconv.ParseUint(words[len(words)-1], 10, 32)
	return words[:len(words)-1], number, err == nil && len(words) > 1
}

// carryOut changes what a command changes; the caller holds mu.
func (t *Twin) carryOut(words []string) bool {
	args := []int{}
	for _, w := range words[1:] {
		n, err := strconv.Atoi(w)
		if err != nil || n < 0 {
			return false
		}
		args = append(args, n)
	}
	switch n := len(args); {
	case words[0] == "rate" && n == 1 && args[0] >= 10 && args[0] <= 60_000:
		t.period = time.Duration(args[0]) * time.Millisecond
		t.due = time.Now().Add(t.period)
		t.wake()
	case words[0] == "out" && n == 2 && args[0] < firmware.Outputs && args[1] <= 1:
		t.out = t.out&^(1<<args[0]) | args[1]<<args[0]
	case (words[0] == "ping" || words[0] == "hang" || words[0] == "reset") && n == 0:
	default:
		return false
	}
	return true
}

// Path is where a driver opens the port. It stays the same over plugging and power.
func (t *Twin) Path() string { return t.port.Path() }

// Port is the pseudo terminal.
func (t *Twin) Port() *ptytwin.Twin { return t.port }

// Info says what the twin is, for reports.
func (t *Twin) Info() devices.Info {
	note := "computed, paced by its baud rate"
	if t.opts.Drift != 0 {
		note += fmt.Sprintf(", clock off by %+.3g %%", 100*t.opts.Drift)
	}
	return devices.Info{
		ID: t.opts.ID, Kind: firmware.Codec().Name(), Mode: devices.Sim, Tier: devices.PortTier, Time: devices.Live,
		Model: "twin of the sensor node", Serial: SerialNumber(t.opts.Number), Path: t.Path(), Note: note,
	}
}

// Unplug implements devices.Fixture: the port goes, the twin runs on.
func (t *Twin) Unplug(context.Context) error { return t.port.Unplug() }

// Plug implements devices.Fixture.
func (t *Twin) Plug(context.Context) error { return t.port.Replug() }

// Power implements devices.Fixture. Without power the port is still there. What
// was being said has been said when it returns.
func (t *Twin) Power(_ context.Context, on bool) error {
	t.mu.Lock()
	switch {
	case on && !t.on:
		t.boot(0)
	case !on:
		t.on = false
		t.wake()
	}
	t.mu.Unlock()
	t.speaking.Lock()
	defer t.speaking.Unlock()
	return nil
}

// Stimulate implements devices.Fixture: firmware.Temperature can be set.
func (t *Twin) Stimulate(_ context.Context, quantity string, value float64) error {
	if quantity != firmware.Temperature {
		return fmt.Errorf("virtual: stimulate %q of %q: %w; it measures %q", quantity, t.opts.ID, devices.ErrUnable, firmware.Temperature)
	}
	if err := measurable(t.opts.ID, value); err != nil {
		return err
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	t.temperature = value
	return nil
}

// Observe implements devices.Fixture, as Node does.
func (t *Twin) Observe(_ context.Context, actuator string) (float64, error) {
	pin, err := pinOf(t.opts.ID, actuator)
	if err != nil {
		return 0, err
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	if !t.on {
		return 0, nil
	}
	return float64(t.out >> pin & 1), nil
}

// Impair implements devices.Fixture. A frozen twin says and hears nothing; what
// it was saying has been said when Impair returns.
func (t *Twin) Impair(_ context.Context, i devices.Impairment) error {
	if !(i.Noise >= 0 && i.Noise <= 1) || i.Stall < 0 {
		return fmt.Errorf("virtual: impair %q: noise %v is not between 0 and 1, or stall %v is negative", t.opts.ID, i.Noise, i.Stall)
	}
	t.port.Noise(i.Noise, i.Seed)
	t.mu.Lock()
	t.stall = i.Stall
	if t.frozen && !i.Frozen {
		t.due = time.Now()
	}
	t.frozen = i.Frozen
	t.wake()
	t.mu.Unlock()
	t.speaking.Lock()
	defer t.speaking.Unlock()
	return nil
}

// Reset presses the reset button: the twin starts anew. Without power it is
// ErrNoPower.
func (t *Twin) Reset(context.Context) error {
	t.mu.Lock()
	defer t.mu.Unlock()
	if !t.on {
		return fmt.Errorf("virtual: reset %q: %w", t.opts.ID, ErrNoPower)
	}
	t.boot(0)
	return nil
}

// Close ends the twin, takes its port away and waits for everything. It is
// idempotent.
func (t *Twin) Close() error {
	t.cancel()
	err := t.port.Close() // what waits for the port ends
	t.done.Wait()
	if errors.Is(err, ptytwin.ErrClosed) {
		return nil
	}
	return err
}
