package serialline

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"sync"
	"time"

	"go.bug.st/serial"

	"plumbline/devices"
	"plumbline/devices/codec"
	"plumbline/devices/internal/intake"
	"plumbline/devices/lock"
)

// Line is a sensor on a serial line. It reads on one goroutine from Open to
// Close; where the runtime's poller cannot wait for ports (all but Linux) it
// holds one operating-system thread while it waits.
type Line struct {
	cfg    Config
	in     *intake.Intake
	framer codec.Framer // owned by the reading goroutine
	fresh  bool         // owned by the reading goroutine: the next frame is the first after an opening

	cancel context.CancelFunc
	done   chan struct{} // closed when the reading goroutine has ended

	where *place     // owned by the reading goroutine
	held  *lock.Lock // nil = none

	ctl  sync.Mutex  // held while the port's settings are used, and while it is taken away
	port serial.Port // the port while it is plugged; nil for a stream of New; owned by ctl
	baud int         // what SetBaud said last; 0 = Config.Baud; owned by ctl

	mu     sync.Mutex
	stats  Stats     // owned by mu
	stream io.Writer // the port while it is plugged; owned by mu
}

var _ devices.Device = (*Line)(nil)

// ErrLockLost is returned by Read after this process did not renew its lock in
// time, for example because it was stopped, and another took the device over.
var ErrLockLost = errors.New("the lock was lost")

// Open opens the port and starts reading. It returns within about 0.3 s, for a
// remote port within the time its server takes to answer, each at most 5 s; ctx
// bounds the opening only, not the device's life. Errors name the port and what
// mends them; a selector that fits no port or several gives the errors of
// inventory.Inventory.Find, a device that another has locked lock.ErrHeld. Where ports are waited for with select(2), one whose
// descriptor would be too high gives ErrDescriptor.
func Open(ctx context.Context, cfg Config) (*Line, error) {
	cfg, err := cfg.withDefaults()
	if err != nil {
		return nil, err
	}
	if cfg.Port == "" {
		return nil, errors.New("serialline: no port; set Config.Port, see what is plugged in with: plumbline devices")
	}
	if err := ctx.Err(); err != nil {
		return nil, fmt.Errorf("serialline: open %q: %w", cfg.Port, err)
	}
	where, err := newPlace(cfg)
	if err != nil {
		return nil, err
	}
	found, err := cfg.find(where)
	if err != nil {
		return nil, err
	}
	held, err := claim(ctx, cfg, found)
	if err != nil {
		return nil, err
	}
	var stats Stats
	port, err := openPort(ctx, cfg, found, &stats)
	if err != nil {
		return nil, errors.Join(err, release(held))
	}
	where.hold(found)
	cfg.Model, cfg.Serial = cmp.Or(cfg.Model, found.Product), cmp.Or(cfg.Serial, found.Serial)
	l, run := newLine(cfg, stats)
	l.where, l.held, l.port, l.stream, l.fresh = where, held, port, port, !cfg.KeepBacklog
	go func() {
		defer close(l.done)
		if held != nil {
			stop := l.watch(run, held)
			defer stop()
		}
		l.serve(run, port)
	}()
	return l, nil
}

// watch ends the line when its lock is lost; stop gives the lock back.
func (l *Line) watch(run context.Context, held *lock.Lock) (stop func()) {
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		select {
		case <-held.Lost():
			l.in.End(fmt.Errorf("serialline: read %q: %w: another program took the device over", l.cfg.Port, ErrLockLost))
			l.cancel()
		case <-run.Done():
		}
	}()
	return func() {
		l.cancel()
		<-ended
		if err := release(held); err != nil {
			l.cfg.Log.Warn("lock not released", "port", l.cfg.Port, "error", err)
		}
	}
}

// release gives a lock back; nil is none.
func release(held *lock.Lock) error {
	if held == nil {
		return nil
	}
	return held.Release()
}

// New reads from a stream that is open already: a TCP serial server, a pipe, a
// test. The stream belongs to the Line from then on. Read returns io.EOF at its
// end. Close closes the stream to unblock its Read.
func New(stream io.ReadWriteCloser, cfg Config) (*Line, error) {
	cfg, err := cfg.withDefaults()
	if err != nil {
		return nil, err
	}
	l, run := newLine(cfg, Stats{})
	l.stream = stream
	closed := sync.OnceValue(stream.Close)
	unblock := context.AfterFunc(run, func() { _ = closed() })
	go func() {
		defer close(l.done)
		err := l.pump(run, stream)
		unblock()
		l.cut()
		closeErr := closed() // waits for a close that is under way
		if errors.Is(err, io.EOF) {
			err = io.EOF
		} else {
			err = fmt.Errorf("serialline: read %q: %w", cfg.ID, errors.Join(err, closeErr))
		}
		l.in.End(err)
	}()
	return l, nil
}

func newLine(cfg Config, stats Stats) (*Line, context.Context) {
	run, cancel := context.WithCancel(context.Background())
	l := &Line{cfg: cfg, stats: stats, cancel: cancel, done: make(chan struct{}), framer: cfg.Codec.NewFramer()}
	speaks := cfg.Codec
	if cfg.ModemReadings {
		speaks = withModem{cfg.Codec, l}
	}
	l.in = intake.New(speaks, intake.Options{Queue: cfg.Queue, Damages: cfg.Damages})
	return l, run
}

// serve reads the port, and after each unplug waits for it to come back.
func (l *Line) serve(run context.Context, port serial.Port) {
	for {
		err := l.pumpPort(run, port)
		l.setPort(nil)
		closeErr := port.Close()
		l.cut()
		if run.Err() != nil {
			return
		}
		if !errors.Is(err, errLost) {
			l.in.End(errors.Join(fmt.Errorf("serialline: read %q: %w", l.cfg.Port, err), closeErr))
			return
		}
		l.count(func(s *Stats) { s.Unplugs++ })
		l.tell(State{At: l.cfg.Clock(), Err: err})
		if l.cfg.NoReconnect {
			l.in.End(fmt.Errorf("serialline: read %q: %w (%w)", l.cfg.Port, devices.ErrUnplugged, err))
			return
		}
		if err := l.relock(run, l.where.awaited); err != nil {
			l.cfg.Log.Warn("lock not changed", "port", l.cfg.Port, "error", err)
		}
		stats := Stats{}
		if port, err = l.reopen(run, &stats); err != nil {
			return // closed while waiting
		}
		l.count(func(s *Stats) {
			s.Replugs++
			s.Stale += stats.Stale
			s.NoModem = s.NoModem || stats.NoModem
			s.NoRS485 = s.NoRS485 || stats.NoRS485
		})
		l.setPort(port)
		l.catchUp()
		l.fresh = !l.cfg.KeepBacklog
		l.tell(State{At: l.cfg.Clock(), Plugged: true})
	}
}

// pumpPort is pump for a port, whose blocked read ends with run.
func (l *Line) pumpPort(run context.Context, port serial.Port) error {
	if u, can := port.(unblocker); can {
		stop := context.AfterFunc(run, u.Unblock)
		defer stop()
	}
	return l.pump(run, port)
}

// pump moves bytes from the stream to the framer until run ends or the stream
// fails. A stream that is gone gives an error that wraps errLost.
func (l *Line) pump(run context.Context, stream io.Reader) error {
	buf := make([]byte, 4096)
	for run.Err() == nil {
		n, err := safeRead(stream, buf)
		if n > 0 {
			l.framer.Push(l.cfg.Clock(), buf[:n], l.accept)
			l.count(func(s *Stats) { s.Bytes += uint64(n) })
		}
		switch {
		case errors.Is(err, ErrDescriptor):
			return err
		case errors.Is(err, io.EOF):
			return fmt.Errorf("%w: %w", errLost, io.EOF)
		case err != nil:
			// PortClosed, EIO, ENXIO: run has not ended, so it was not us.
			return fmt.Errorf("%w: %w", errLost, err)
		case n == 0:
			l.count(func(s *Stats) { s.Timeouts++ })
		}
	}
	return run.Err()
}

// accept passes a frame on. The first one after an opening may have lost its
// head: if it does not pass, it was cut by us and is not held against the line.
func (l *Line) accept(f codec.Frame) {
	if l.fresh {
		l.fresh = false
		l.in.AcceptOrCut(f, "cut by the opening of the port")
		return
	}
	l.in.Accept(f, "")
}

// cut gives up the unfinished frame.
func (l *Line) cut() {
	if f, ok := l.framer.Rest(); ok {
		l.in.Cut(f, "cut by the end of the stream")
	}
}

func (l *Line) tell(s State) {
	l.cfg.Log.Info("port changed", "port", l.cfg.Port, "plugged", s.Plugged, "error", s.Err)
	if l.cfg.OnState != nil {
		l.cfg.OnState(s)
	}
}

func (l *Line) count(change func(*Stats)) {
	l.mu.Lock()
	defer l.mu.Unlock()
	change(&l.stats)
}

// setPort puts the port in place, or takes it away once nobody uses it.
func (l *Line) setPort(p serial.Port) {
	l.ctl.Lock()
	defer l.ctl.Unlock()
	l.port = p
	l.mu.Lock()
	defer l.mu.Unlock()
	l.stream = nil
	if p != nil {
		l.stream = p
	}
}

// catchUp sets the speed that SetBaud asked for while the port was being opened.
// An error means that the port is gone again, which the next read tells.
func (l *Line) catchUp() {
	l.ctl.Lock()
	baud := l.baud
	l.ctl.Unlock()
	if baud != 0 {
		_ = l.SetBaud(baud)
	}
}

// current is the config with what was changed since.
func (l *Line) current() Config {
	l.ctl.Lock()
	defer l.ctl.Unlock()
	c := l.cfg
	c.Baud = cmp.Or(l.baud, c.Baud)
	return c
}

// WritePatience is how long a Write waits for a device that takes no bytes, beside the
// time that the bytes need at the speed of the line.
const WritePatience = 2 * time.Second

// Write sends a command to the device. It blocks while the line is slow, as long as the
// bytes need at its speed and WritePatience; then the error wraps
// os.ErrDeadlineExceeded, and what was not sent yet is dropped. It returns
// ErrUnplugged while the port is away. A port may be written by one goroutine at a
// time. A stream of New without deadlines, and a port where the runtime's poller cannot
// wait for it, block as long as they do.
func (l *Line) Write(p []byte) (int, error) {
	l.mu.Lock()
	w := l.stream
	l.mu.Unlock()
	if w == nil {
		return 0, fmt.Errorf("serialline: write %q: %w", l.cfg.ID, devices.ErrUnplugged)
	}
	limit := WritePatience + time.Duration(len(p))*12*time.Second/time.Duration(l.current().Baud) // a byte has 12 bits at the most
	n, err := writeWithin(w, p, limit)
	switch {
	case errors.Is(err, os.ErrDeadlineExceeded):
		// It comes no more, and closing the port does not wait for it.
		if dropped := l.control("dropping what was not sent", serial.Port.ResetOutputBuffer); !errors.Is(dropped, devices.ErrUnplugged) {
			err = errors.Join(err, dropped)
		}
		err = fmt.Errorf("serialline: write %q: %d of %d bytes were taken within %s: %w; does the device hang, hold up the line by flow control, or have no power?", l.cfg.ID, n, len(p), limit, err)
	case err != nil:
		err = fmt.Errorf("serialline: write %q: %w", l.cfg.ID, err)
	}
	return n, err
}

// writeWithin writes with a deadline where the stream knows one.
func writeWithin(w io.Writer, p []byte, limit time.Duration) (int, error) {
	if timed, can := w.(interface{ SetWriteDeadline(time.Time) error }); can {
		if err := timed.SetWriteDeadline(time.Now().Add(limit)); err != nil {
			return 0, err
		}
	}
	return w.Write(p)
}

// Info implements devices.Device.
func (l *Line) Info() devices.Info {
	return devices.Info{ID: l.cfg.ID, Kind: l.cfg.Codec.Name(), Mode: l.cfg.Mode, Model: l.cfg.Model,
		Serial: l.cfg.Serial, Path: l.cfg.Port, Note: l.cfg.Note}
}

// Read implements devices.Device. After an unplug it goes on blocking until the
// device is back, unless Config.NoReconnect is set; then it returns an error
// that wraps devices.ErrUnplugged.
func (l *Line) Read(ctx context.Context) (devices.Sample, error) { return l.in.Read(ctx) }

// Counters implements devices.Device.
func (l *Line) Counters() devices.Counters { return l.in.Counters() }

// Damages implements devices.Device.
func (l *Line) Damages() []devices.Damage { return l.in.Damages() }

// Stats returns what happened to the port.
func (l *Line) Stats() Stats {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.stats
}

// Close stops reading and closes the port; a blocked Read returns ErrClosed at
// once. Where the library reads the port it takes up to 50 ms, the time of one read.
func (l *Line) Close() error {
	l.in.Discard(devices.ErrClosed)
	l.cancel()
	<-l.done
	return nil
}
