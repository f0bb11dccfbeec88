package ptytwin

import (
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"path/filepath"
	"sync"
	"time"

	"plumbline/devices"
	"plumbline/devices/internal/exact"
	"plumbline/devices/internal/intake"
)

// Errors of this package.
var (
	// ErrUnsupported is returned by NewPair on systems without ptys.
	ErrUnsupported = errors.New("ptytwin: no pseudo terminals on this system; use a real port or a recording")
	// ErrBacklog is returned by Write when more waits to be sent than Options.Queue.
	ErrBacklog = errors.New("ptytwin: too much waits to be sent")
	// ErrClosed is returned after Close.
	ErrClosed = errors.New("ptytwin: twin is closed")
)

// Options of a twin; the zero value is useful.
type Options struct {
	// Link is the path under which the port appears, a symbolic link to the
	// pty, so that it stays the same over a replug; an older link there is
	// replaced, anything else refused. "" = made in a new folder
	// under the system's temporary folder, which Close removes.
	Link string
	// FIFO is how many bytes may lie unread at the host before further bytes
	// are lost, as a UART with a full buffer loses them; counted. 0 = 4095, the
	// size of the kernel's line discipline; more cannot be seen from
	// outside, but at a port of another kind (Open).
	FIFO int
	// Queue bounds what waits to be sent, in bytes; 0 = 1 MiB.
	Queue int
	// Unpaced sends as fast as the host reads, and waits for it instead of
	// overrunning it: for tests of contents, not of time.
	Unpaced bool
	// Frames makes each Write one frame, whatever bytes are in it, instead of
	// one or more lines; noise may then change any bit of it.
	Frames bool
	// Cooked leaves the port as the kernel makes it, with echo, until the host
	// sets it: as a real tty behaves between open and configuration.
	Cooked bool
	// OnReceive is called with what the host wrote to the device, on the twin's
	// reading goroutine; optional. It may call Write; it must not call Close.
	OnReceive func(p []byte)
	// Open plugs the twin into something else than a pty, at the beginning and at each
	// replug; nil = a pty. There is no Link then: Path is that of the port.
	Open func() (Port, error)
}

// Stats say exactly what a twin did. Every line given to Write ends up in one
// of Lines, Noisy, Overrun, Cut and Lost.
type Stats struct {
	Lines        uint64 // sent whole and intact
	Noisy        uint64 // sent whole with exactly one bit flipped
	Overrun      uint64 // lost bytes because the host did not read
	Cut          uint64 // begun, then cut by an unplug
	Lost         uint64 // not begun: written while the device was unplugged, or waiting when it was
	Bytes        uint64 // bytes that reached the host's kernel
	OverrunBytes uint64 // bytes lost to overruns
	Unread       uint64 // bytes lying unread at the host when it was unplugged: lost
	Unplugs      uint64
	Replugs      uint64
	Stalls       uint64
	Received     uint64 // bytes the host wrote to the device
}

// Twin is a device on a pty. All methods may be called by any goroutine.
type Twin struct {
	opts Options
	link string
	dir  string // folder to remove at Close; "" when the caller chose Link
	done sync.WaitGroup
	task *exact.Task // sends

	plugging sync.Mutex // held while pair or closed are changed; taken before mu

	mu       sync.Mutex
	change   *sync.Cond // queue, sending, pair or closed changed
	pair     pair       // nil while unplugged; owned by mu
	queue    []line     // lines waiting for pair, empty without one; owned by mu
	queued   int        // bytes in queue
	sending  *outcome   // the line that is being sent; nil without a port
	free     int64      // instant of exact.Now() from which the wire is free
	silent   int64      // instant until which the device says nothing, 0 = it may speak
	closed   bool
	noise    *rand.Rand // nil = no noise
	rate     float64
	stall    time.Duration // pause before the next line
	stats    Stats
	received []byte // the last bytes from the host, bounded
}

// maxReceived bounds what Received keeps, in bytes.
const maxReceived = 64 << 10

// NewPair makes the pty and its link and starts the twin, which is silent until
// Write or Play. ctx bounds the making only; Close ends the twin. It costs one
// goroutine; all twins share one thread that keeps their pace.
func NewPair(ctx context.Context, opts Options) (*Twin, error) {
	if err := ctx.Err(); err != nil {
		return nil, fmt.Errorf("ptytwin: make a pty: %w", err)
	}
	if opts.FIFO <= 0 || opts.FIFO > maxFIFO && opts.Open == nil {
		opts.FIFO = maxFIFO
	}
	if opts.Queue <= 0 {
		opts.Queue = 1 << 20
	}
	t := &Twin{opts: opts, link: opts.Link}
	t.change = sync.NewCond(&t.mu)
	if t.link == "" && opts.Open == nil {
		dir, err := os.MkdirTemp("", "plumbline-tty-")
		if err != nil {
			return nil, fmt.Errorf("ptytwin: make a folder for the port's link: %w", err)
		}
		t.dir, t.link = dir, filepath.Join(dir, "ttyTWIN0")
	}
	t.task = exact.NewTask(t.transmit)
	if err := t.plug(); err != nil {
		t.task.Stop()
		if t.dir != "" {
			err = errors.Join(err, os.RemoveAll(t.dir))
		}
		return nil, err
	}
	return t, nil
}

// maxFIFO is the largest count of unread bytes that the kernel reports.
const maxFIFO = 4095

// Path is where a driver opens the port. It is the same after a replug.
func (t *Twin) Path() string { return t.link }

// plug makes a pty, puts the link in place and starts reading what the host
// sends. The caller holds plugging, so that pair and closed can only be changed
// by itself.
func (t *Twin) plug() error {
	t.mu.Lock()
	closed, plugged := t.closed, t.pair != nil
	t.mu.Unlock()
	switch {
	case closed:
		return ErrClosed
	case plugged:
		return errors.New("ptytwin: replug: the device is plugged in already")
	}
	p, err := t.open()
	if err != nil {
		return err
	}
	t.mu.Lock()
	t.pair = p
	t.change.Broadcast()
	t.mu.Unlock()
	t.done.Go(func() { t.receive(p) })
	return nil
}

// open makes a port that can be found under t.link.
func (t *Twin) open() (pair, error) {
	if t.opts.Open != nil {
		p, err := t.opts.Open()
		if err != nil {
			return nil, err
		}
		if t.link == "" { // once: Path reads it
			t.link = p.Path()
		}
		return outside{p}, nil
	}
	p, err := openPair(!t.opts.Cooked)
	if err != nil {
		return nil, err
	}
	if err := relink(p.path(), t.link); err != nil {
		return nil, errors.Join(err, p.close())
	}
	return p, nil
}

// unlink removes what open left in the file system.
func (t *Twin) unlink() error {
	if t.opts.Open != nil {
		return nil
	}
	return os.Remove(t.link)
}

// relink points link at target in one step, so that no opener finds it missing.
// Only an older link is replaced.
func relink(target, link string) error {
	if info, err := os.Lstat(link); err == nil && info.Mode()&os.ModeSymlink == 0 {
		return fmt.Errorf("ptytwin: link %q: it exists and is not a symbolic link; choose another path", link)
	}
	fresh := fmt.Sprintf("%s.%d", link, os.Getpid())
	if err := os.Symlink(target, fresh); err != nil {
		return fmt.Errorf("ptytwin: link %q: %w", link, err)
	}
	if err := os.Rename(fresh, link); err != nil {
		return errors.Join(fmt.Errorf("ptytwin: link %q: %w", link, err), os.Remove(fresh))
	}
	return nil
}

// Unplug hangs the port up, as pulling a USB plug does: a blocked read of the
// host ends with an error and what lay unread is lost. The path is removed.
func (t *Twin) Unplug() error {
	t.plugging.Lock()
	defer t.plugging.Unlock()
	t.mu.Lock()
	p := t.drop()
	if p == nil {
		t.mu.Unlock()
		return errors.New("ptytwin: unplug: the device is not plugged in")
	}
	t.stats.Unplugs++
	t.stats.Unread += uint64(max(p.unread(), 0))
	t.mu.Unlock()
	// Without mu: what a port takes to close would hold up all twins, which share a
	// thread.
	return errors.Join(p.close(), t.unlink())
}

// drop takes the port away, with what is being sent and what waits to be, and
// returns it; nil when there was none. The caller holds mu.
func (t *Twin) drop() pair {
	if t.sending != nil {
		t.sending.gone = true
		t.settle()
	}
	t.stats.Lost += uint64(len(t.queue))
	t.queue, t.queued = nil, 0
	p := t.pair
	t.pair = nil
	t.change.Broadcast()
	return p
}

// Replug makes the port appear again under the same path, with a new pty behind
// it and, like a real device, at the baud rate of a port nobody has opened yet.
func (t *Twin) Replug() error {
	t.plugging.Lock()
	defer t.plugging.Unlock()
	if err := t.plug(); err != nil {
		return err
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	t.stats.Replugs++
	return nil
}

// Noise flips one bit in a line with probability rate, by a generator started
// with seed; rate 0 ends it. The bit is chosen so that the line ends stay and a
// checksum digit does not only change its case: each noisy line is exactly one
// frame that must fail its check. Stats count them.
func (t *Twin) Noise(rate float64, seed uint64) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.rate, t.noise = rate, rand.New(rand.NewPCG(seed, 0)) //nolint:gosec // seeded: the noise must come out the same again
	if rate <= 0 {
		t.noise = nil
	}
}

// Stall keeps the device silent for d before its next line. What it has to say
// waits in its queue and follows at line speed.
func (t *Twin) Stall(d time.Duration) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.stall += d
	t.stats.Stalls++
}

// Received returns the last bytes that the host sent to the device, at most 64 KiB.
func (t *Twin) Received() []byte {
	t.mu.Lock()
	defer t.mu.Unlock()
	return append([]byte(nil), t.received...)
}

// Stats returns the totals so far.
func (t *Twin) Stats() Stats {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.stats
}

// Framing returns the bits of one character on the wire (start, data, parity,
// stop) and the speed in bits per second, as the host set them; 10 and 9600
// while the device is unplugged.
func (t *Twin) Framing() (bits, baud int) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.pair == nil {
		return 10, 9600
	}
	return t.pair.framing()
}

// Plugged reports whether the port exists.
func (t *Twin) Plugged() bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.pair != nil
}

// Close unplugs the device for good, removes its link and waits for its
// goroutines. Lines not yet sent are lost, and counted as by an unplug.
func (t *Twin) Close() error {
	err := t.end()
	t.task.Stop()
	t.done.Wait()
	if t.dir != "" {
		err = errors.Join(err, os.RemoveAll(t.dir))
	}
	return err
}

// end marks the twin closed and takes its port away.
func (t *Twin) end() error {
	t.plugging.Lock()
	defer t.plugging.Unlock()
	t.mu.Lock()
	t.closed = true
	p := t.drop()
	t.mu.Unlock()
	if p == nil {
		return nil
	}
	return errors.Join(p.close(), t.unlink())
}

// receive keeps what the host sends until the pair is closed.
func (t *Twin) receive(p pair) {
	buf := make([]byte, 4096)
	for {
		n, err := p.read(buf)
		if n > 0 {
			t.mu.Lock()
			t.stats.Received += uint64(n)
			t.received = append(t.received, buf[:n]...)
			if over := len(t.received) - maxReceived; over > 0 {
				t.received = append(t.received[:0], t.received[over:]...)
			}
			t.change.Broadcast()
			t.mu.Unlock()
			if t.opts.OnReceive != nil {
				t.opts.OnReceive(append([]byte(nil), buf[:n]...))
			}
		}
		if err != nil {
			return // closed by Unplug or Close
		}
	}
}

// Play lets the twin sample src by its schedule and send what encode makes of
// each sample, until ctx ends; it returns nil then. Instants count from the
// call on clock (nil = one of its own); seed moves them by the dither.
func (t *Twin) Play(ctx context.Context, src devices.Scheduled, seed uint64, clock devices.Clock, encode func(devices.Sample) []byte) error {
	return PlayTo(ctx, t, src, seed, clock, encode)
}

// PlayTo is Play into w, which stands before a twin: a line that is disturbed.
func PlayTo(ctx context.Context, w io.Writer, src devices.Scheduled, seed uint64, clock devices.Clock, encode func(devices.Sample) []byte) error {
	if clock == nil {
		clock = intake.Monotonic()
	}
	schedule, start := src.Schedule(), clock()
	if schedule.Period <= 0 {
		return fmt.Errorf("ptytwin: play %q: period %v must be positive", src.Info().ID, schedule.Period)
	}
	alarm := exact.NewAlarm()
	defer alarm.Stop()
	for seq := uint64(1); ; seq++ {
		due := start + schedule.Instant(seq, seed)
		if alarm.Wait(ctx, exact.Now()+int64(due-clock())) != nil {
			return nil
		}
		if _, err := w.Write(encode(src.Sample(seq, due))); err != nil {
			return err
		}
	}
}
