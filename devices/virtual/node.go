package virtual

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"strconv"
	"strings"
	"sync"
	"time"

	"plumbline/devices"
	"plumbline/devices/firmware"
	"plumbline/devices/ptytwin"
)

// writeLimit is how long a board may refuse what it is told before it is lost: a
// hung one takes what its UART holds and no more.
const writeLimit = 500 * time.Millisecond

// NodeOptions of a node; the zero value is useful.
type NodeOptions struct {
	Machine Options // its Time must be Live: a port has no other
	// Period between two lines; 0 = 1 s, at least 10 ms, at most a minute.
	Period time.Duration
	// Link is the path of the port, see ptytwin.Options.
	Link string
	// Wire puts something into the line from the board to the port, to disturb it;
	// nil = nothing. What the host sends goes to toDevice; who puts nothing in its
	// way writes it to board.
	Wire func(port, board io.Writer) (toPort io.Writer, toDevice func(p []byte))
}

// Node is a sensor node whose UART is a serial port: an emulated board, a
// pseudo terminal and what lies between them. It is a devices.Fixture. Its
// methods may be called by any goroutine.
type Node struct {
	opts     NodeOptions
	port     *ptytwin.Twin
	toPort   io.Writer
	toDevice func(p []byte)

	powering sync.Mutex // held while the board comes or goes; guards closed
	closed   bool

	mu          sync.Mutex // guards what follows
	board       *Machine   // nil without power
	living      *Machine   // whose counts are not in stats yet: the board until it has ended
	relay       *relay     // of living
	temperature float64
	stats       NodeStats
}

var _ devices.Fixture = (*Node)(nil)

// OpenNode powers a node up. It speaks when it returns.
func OpenNode(ctx context.Context, opts NodeOptions) (*Node, error) {
	switch {
	case opts.Machine.Time != "" && opts.Machine.Time != devices.Live:
		return nil, fmt.Errorf("virtual: node %q: a port has live time only, not %q; use Soak", opts.Machine.ID, opts.Machine.Time)
	case opts.Period != 0 && (opts.Period < 10*time.Millisecond || opts.Period > time.Minute):
		return nil, fmt.Errorf("virtual: node %q: period %v is not between 10ms and 1m", opts.Machine.ID, opts.Period)
	}
	if opts.Machine.Log == nil {
		opts.Machine.Log = slog.New(slog.DiscardHandler)
	}
	n := &Node{opts: opts, temperature: opts.Machine.Temperature}
	port, board := writer(func(p []byte) (int, error) { return n.port.Write(p) }), writer(n.Write)
	n.toPort, n.toDevice = port, func(p []byte) { _, _ = board.Write(p) } // what is lost is counted
	if opts.Wire != nil {
		n.toPort, n.toDevice = opts.Wire(port, board)
	}
	twin, err := ptytwin.NewPair(ctx, ptytwin.Options{Link: opts.Link, OnReceive: n.toDevice})
	if err != nil {
		return nil, fmt.Errorf("virtual: node %q: %w", opts.Machine.ID, err)
	}
	n.port = twin
	if err := n.Power(ctx, true); err != nil {
		return nil, errors.Join(err, n.Close())
	}
	return n, nil
}

type writer func(p []byte) (int, error)

// Write implements io.Writer.
func (w writer) Write(p []byte) (int, error) { return w(p) }

// NodeStats are totals of a node, over all its times of power.
type NodeStats struct {
	Starts  uint64 // times that power came
	Resets  uint64 // of the board, the watchdog's included
	Barks   uint64 // resets by the watchdog
	Dropped uint64 // lines that the port did not take
	Refused uint64 // writes of the host that the board did not take
}

// ErrNoPower says that the board has no power.
var ErrNoPower = errors.New("virtual: the board has no power")

// Path is where a driver opens the port. It stays the same over plugging and power.
func (n *Node) Path() string { return n.port.Path() }

// Port is the pseudo terminal, for its counters.
func (n *Node) Port() *ptytwin.Twin { return n.port }

// Info says what the node is, for reports.
func (n *Node) Info() devices.Info {
	return devices.Info{
		ID: n.opts.Machine.ID, Kind: firmware.Codec().Name(), Mode: devices.Sim, Tier: devices.FirmwareTier, Time: devices.Live,
		Model: "TMP105 and PCA9552 on an emulated LM3S6965", Serial: SerialNumber(n.opts.Machine.Number), Path: n.Path(),
		Note: "firmware " + firmware.Digest()[:12],
	}
}

// SerialNumber returns what firmware.Serial of a part with that number says.
func SerialNumber(number uint32) string { return fmt.Sprintf("525400%06X", number&0xFFFFFF) }

// Stats returns the totals so far.
func (n *Node) Stats() NodeStats {
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.total()
}

// total adds what has not ended yet; mu is held.
func (n *Node) total() NodeStats {
	s := n.stats
	if n.living != nil {
		s.Resets += n.living.Resets()
		s.Barks += n.living.Barks()
		s.Dropped += n.relay.dropped.Load()
	}
	return s
}

// Write tells the board something, as the host does through the port. A board
// that takes nothing, because it hangs or has no power, loses it.
func (n *Node) Write(p []byte) (int, error) {
	board := n.powered()
	err := ErrNoPower
	if board != nil {
		if err = board.Serial().SetWriteDeadline(time.Now().Add(writeLimit)); err == nil {
			_, err = board.Serial().Write(p)
		}
	}
	if err != nil {
		n.mu.Lock()
		defer n.mu.Unlock()
		n.stats.Refused++
		return 0, fmt.Errorf("virtual: write to %q: %w", n.opts.Machine.ID, err)
	}
	return len(p), nil
}

// powered returns the board, nil without power.
func (n *Node) powered() *Machine {
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.board
}

// Power implements devices.Fixture. Without power the port is still there, as
// the adapter of a board is that has a supply of its own.
func (n *Node) Power(ctx context.Context, on bool) error {
	n.powering.Lock()
	defer n.powering.Unlock()
	switch board := n.powered(); {
	case n.closed:
		return fmt.Errorf("virtual: power of %q: %w", n.opts.Machine.ID, devices.ErrClosed)
	case on == (board != nil):
		return nil
	case on:
		return n.powerUp(ctx)
	default:
		return n.powerDown(board)
	}
}

func (n *Node) powerUp(ctx context.Context) error {
	opts := n.opts.Machine
	n.mu.Lock()
	opts.Temperature = n.temperature
	n.mu.Unlock()
	board, err := Start(ctx, opts)
	if err != nil {
		return err
	}
	relay := newRelay(board.Serial(), n.toPort)
	n.mu.Lock()
	n.board, n.living, n.relay = board, board, relay
	n.stats.Starts++
	n.mu.Unlock()
	// What is said to a board before it has prepared its UART is lost.
	if err := board.await(ctx, relay.spoke); err != nil {
		return errors.Join(err, n.powerDown(board))
	}
	if n.opts.Period == 0 {
		return nil
	}
	_, err = n.Write(firmware.Command(0, "rate "+strconv.FormatInt(n.opts.Period.Milliseconds(), 10)))
	return err
}

func (n *Node) powerDown(board *Machine) error {
	n.mu.Lock()
	n.board = nil
	relay := n.relay
	n.mu.Unlock()
	err := board.Close()
	relay.done.Wait()
	n.mu.Lock()
	defer n.mu.Unlock()
	n.stats, n.living = n.total(), nil
	return err
}

// Unplug implements devices.Fixture: the port goes, the board runs on.
func (n *Node) Unplug(context.Context) error { return n.port.Unplug() }

// Plug implements devices.Fixture.
func (n *Node) Plug(context.Context) error { return n.port.Replug() }

// Stimulate implements devices.Fixture: firmware.Temperature can be set. It
// outlasts a loss of power, as a room's temperature does.
func (n *Node) Stimulate(ctx context.Context, quantity string, value float64) error {
	if quantity != firmware.Temperature {
		return fmt.Errorf("virtual: stimulate %q of %q: %w; it measures %q", quantity, n.opts.Machine.ID, devices.ErrUnable, firmware.Temperature)
	}
	err := measurable(n.opts.Machine.ID, value) // without power, too: it is set when power comes
	if board := n.powered(); err == nil && board != nil {
		err = board.SetTemperature(ctx, value)
	}
	if err != nil {
		return err
	}
	n.mu.Lock()
	defer n.mu.Unlock()
	n.temperature = value
	return nil
}

// Observe implements devices.Fixture: "out0" … "out3" are 0 (off) or 1 (on), as
// the chip says that drives them. Without power they are off.
func (n *Node) Observe(ctx context.Context, actuator string) (float64, error) {
	pin, err := pinOf(n.opts.Machine.ID, actuator)
	if err != nil {
		return 0, err
	}
	board := n.powered()
	if board == nil {
		return 0, nil
	}
	on, err := board.Output(ctx, pin)
	if on {
		return 1, err
	}
	return 0, err
}

// pinOf returns the number of an output by its name.
func pinOf(device, actuator string) (int, error) {
	text, found := strings.CutPrefix(actuator, firmware.Output)
	pin, err := strconv.Atoi(text)
	if !found || err != nil || pin < 0 || pin >= firmware.Outputs {
		return 0, fmt.Errorf("virtual: observe %q of %q: %w; it has %s0 to %s%d", actuator, device, devices.ErrUnable,
			firmware.Output, firmware.Output, firmware.Outputs-1)
	}
	return pin, nil
}

// Impair implements devices.Fixture.
func (n *Node) Impair(ctx context.Context, i devices.Impairment) error {
	if !(i.Noise >= 0 && i.Noise <= 1) || i.Stall < 0 {
		return fmt.Errorf("virtual: impair %q: noise %v is not between 0 and 1, or stall %v is negative", n.opts.Machine.ID, i.Noise, i.Stall)
	}
	n.port.Noise(i.Noise, i.Seed)
	if i.Stall > 0 {
		n.port.Stall(i.Stall)
	}
	board := n.powered()
	switch {
	case board == nil:
		return nil
	case i.Frozen:
		return board.Freeze(ctx)
	default:
		return board.Thaw(ctx)
	}
}

// Advance implements devices.Fixture: it waits.
func (n *Node) Advance(ctx context.Context, d time.Duration) error { return pass(ctx, d) }

// pass waits for d or the end of ctx, whose error it returns.
func pass(ctx context.Context, d time.Duration) error {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// Reset presses the board's reset button.
func (n *Node) Reset(ctx context.Context) error {
	board := n.powered()
	if board == nil {
		return fmt.Errorf("virtual: reset %q: %w", n.opts.Machine.ID, ErrNoPower)
	}
	return board.Reset(ctx)
}

// Close takes power and port away and waits for everything. It is idempotent.
func (n *Node) Close() error {
	n.powering.Lock()
	defer n.powering.Unlock()
	if n.closed {
		return nil
	}
	n.closed = true
	var err error
	if board := n.powered(); board != nil {
		err = n.powerDown(board)
	}
	return errors.Join(err, n.port.Close())
}
