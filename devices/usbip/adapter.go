package usbip

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"plumbline/devices"
)

// Model is the make of an adapter.
type Model string

// The models, named by what drives them in Linux.
const (
	FTDI Model = "ftdi_sio" // FT232R: errors of the line are in the bytes' own packets
	ACM  Model = "cdc_acm"  // a board whose own controller speaks USB: errors are counted only
)

// Options of an adapter; only Model has no default.
type Options struct {
	Model    Model
	VID, PID uint16 // 0 = 0403:6001 of FTDI, 2341:0043 of ACM
	// Serial is the serial number; "" = none, as cheap adapters have. Texts longer
	// than 126 characters are cut.
	Serial, Manufacturer, Product string
	// Buffer is how many bytes wait for the kernel; what comes then is lost, and the
	// next packet says so (overrun). 0 = 64 KiB.
	Buffer int
	// OnReceive is told what the host sends, OnChange what it asks of the line. Both
	// are called one after the other on a goroutine of Serve and must not block.
	OnReceive func(p []byte)
	OnChange  func(Settings)
}

// Settings are what the host asked of the line.
type Settings struct {
	Baud     float64 // bits per second as the adapter makes them of its clock; 0 = not asked yet
	DataBits int
	Parity   string // "none", "odd", "even", "mark", "space"; "" = not asked yet
	StopBits float64
	DTR, RTS bool
	Break    bool          // the line is held at zero
	Breaks   uint64        // times that it was, since New
	Latency  time.Duration // how long the adapter waits for a packet to fill; 0 for ACM
}

// Modem is what the adapter tells of the modem lines.
type Modem struct{ CTS, DSR, DCD, RI bool }

// LineError is what went wrong on the line before the adapter.
type LineError uint8

// The errors of a line; they can be combined.
const (
	Parity LineError = 1 << iota
	Framing
	Overrun
	BreakSeen
)

// Stats are totals since New.
type Stats struct {
	Plugs    uint64 // times that it was put into a socket, whatever the kernel there made of it
	Sent     uint64 // bytes that the kernel took
	Received uint64 // bytes that the host sent
	Dropped  uint64 // bytes lost: unplugged, purged by the driver at an opening, or no room
	Damaged  uint64 // bytes sent with an error of the line
}

// chip is what models differ in. Its methods are called with Adapter.mu held.
type chip interface {
	device(Options) []byte
	config() []byte
	// control answers a class or vendor request; false is a stall.
	control(a *Adapter, s Setup, data []byte) (reply []byte, ok bool)
	// input and output are the endpoints of the bytes, notice that of events; 0 = none.
	input() uint8
	output() uint8
	notice() uint8
	// fill takes of what waits as much as fits one transfer of room bytes; nil =
	// nothing is ready, and more than 0 when it will be.
	fill(a *Adapter, room int, now time.Time) (transfer []byte, wait time.Duration)
	// event returns the next notice that waits; nil = none.
	event(a *Adapter) []byte
}

// segment is a run of bytes of one state of the line.
type segment struct {
	data   []byte
	errors LineError
	since  time.Time // when the first of its bytes came
}

// Adapter is one USB serial adapter with what hangs on it. Its methods may be
// called by any goroutine.
type Adapter struct {
	opts Options
	chip chip

	mu         sync.Mutex // guards what follows
	settings   Settings
	modem      Modem
	told       bool // the modem lines are as the kernel was told
	configured byte
	waiting    []segment
	size       int // bytes in waiting
	lost       bool
	notices    []LineError
	stats      Stats
	link       *link // nil while unplugged
}

const defaultBuffer = 64 << 10

// New returns an adapter that lies on the table: Serve plugs it in. CTS, DSR and
// DCD are on.
func New(o Options) (*Adapter, error) {
	a := &Adapter{opts: o, modem: Modem{CTS: true, DSR: true, DCD: true}}
	vid, pid := uint16(0x0403), uint16(0x6001)
	switch o.Model {
	case FTDI:
		a.chip = ftdi{}
		a.settings.Latency = ftdiLatency
	case ACM:
		a.chip = acm{}
		vid, pid = 0x2341, 0x0043
	default:
		return nil, fmt.Errorf("usbip: model %q: it is %q or %q", o.Model, FTDI, ACM)
	}
	if a.opts.VID == 0 {
		a.opts.VID = vid
	}
	if a.opts.PID == 0 {
		a.opts.PID = pid
	}
	if a.opts.Buffer <= 0 {
		a.opts.Buffer = defaultBuffer
	}
	return a, nil
}

// Select returns the selector of the adapter, as package inventory reads it.
func (a *Adapter) Select() string {
	text := fmt.Sprintf("usb:%04x:%04x", a.opts.VID, a.opts.PID)
	if a.opts.Serial != "" {
		text += ":" + a.opts.Serial
	}
	return text
}

// Settings returns what the host asked of the line so far.
func (a *Adapter) Settings() Settings {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.settings
}

// Stats returns the totals so far.
func (a *Adapter) Stats() Stats {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.stats
}

// Waiting returns how many bytes the kernel has not taken yet.
func (a *Adapter) Waiting() int {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.size
}

// SetModem puts the modem lines.
func (a *Adapter) SetModem(m Modem) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.told = a.told && m == a.modem
	a.modem = m
	a.wake()
}

// Write is what comes in on the line. It never blocks; it returns
// devices.ErrUnplugged while no kernel has the adapter. What there is no room for
// is lost and counted, as on a real line.
func (a *Adapter) Write(p []byte) (int, error) {
	if err := a.write(p, 0); err != nil {
		return 0, err
	}
	return len(p), nil
}

// WriteDamaged is Write for bytes that were damaged on the line. The adapter says
// so of every packet that holds one of them.
func (a *Adapter) WriteDamaged(p []byte, e LineError) error { return a.write(p, e) }

func (a *Adapter) write(p []byte, e LineError) error {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.link == nil {
		a.stats.Dropped += uint64(len(p))
		return fmt.Errorf("usbip: write to %q: %w", a.Select(), devices.ErrUnplugged)
	}
	if room := a.opts.Buffer - a.size; len(p) > room {
		a.stats.Dropped += uint64(len(p) - room)
		p = p[:room]
		a.lost = true
		a.note(Overrun)
	}
	if e != 0 {
		a.stats.Damaged += uint64(len(p))
		a.note(e)
	}
	if len(p) > 0 {
		if last := len(a.waiting) - 1; last >= 0 && a.waiting[last].errors == 0 && e == 0 {
			a.waiting[last].data = append(a.waiting[last].data, p...)
		} else {
			a.waiting = append(a.waiting, segment{data: append([]byte(nil), p...), errors: e, since: time.Now()})
		}
		a.size += len(p)
	}
	a.wake()
	return nil
}

// maxNotices bounds the events that wait for the kernel.
const maxNotices = 64

// note keeps an error for the endpoint of events, where the model has one. The
// caller holds mu.
func (a *Adapter) note(e LineError) {
	if a.chip.notice() != 0 && len(a.notices) < maxNotices {
		a.notices = append(a.notices, e)
	}
}

// take removes n bytes of the first segment. The caller holds mu.
func (a *Adapter) take(n int) []byte {
	first := &a.waiting[0]
	out := first.data[:n]
	first.data = first.data[n:]
	first.since = time.Now()
	a.size -= n
	a.stats.Sent += uint64(n)
	if len(first.data) == 0 {
		a.waiting = a.waiting[1:]
	}
	return out
}

// purge drops what waits. The caller holds mu.
func (a *Adapter) purge() {
	a.stats.Dropped += uint64(a.size)
	a.waiting, a.size, a.lost = nil, 0, false
}

// setBreak counts the beginning of a break. The caller holds mu.
func (a *Adapter) setBreak(on bool) {
	if on && !a.settings.Break {
		a.settings.Breaks++
	}
	a.settings.Break = on
}

// wake lets the link look for what is to be sent. The caller holds mu.
func (a *Adapter) wake() {
	if a.link == nil {
		return
	}
	select {
	case a.link.woken <- struct{}{}:
	default:
	}
}

// ErrPlugged says that the adapter is plugged in already.
var ErrPlugged = errors.New("usbip: the adapter is plugged in already")

// plug puts the link in place.
func (a *Adapter) plug(l *link) error {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.link != nil {
		return ErrPlugged
	}
	a.link, a.told, a.configured = l, false, 0
	a.stats.Plugs++
	return nil
}

// unplug takes it away: power is gone, and with it what the adapter was told.
func (a *Adapter) unplug() {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.purge()
	breaks := a.settings.Breaks
	a.settings = Settings{Breaks: breaks}
	if a.opts.Model == FTDI {
		a.settings.Latency = ftdiLatency
	}
	a.notices, a.link = nil, nil
}

// Plugged reports whether a kernel has the adapter.
func (a *Adapter) Plugged() bool {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.link != nil
}

// Configured reports whether the kernel has taken the adapter into use since it was
// plugged in: a driver is bound to it then, or about to be.
func (a *Adapter) Configured() bool {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.link != nil && a.configured != 0
}

// Serve plugs the adapter into the kernel at the other end of conn and plays it
// until conn or ctx ends: that is the unplugging. It closes conn, waits for its
// goroutines and returns nil when the end was ctx's or the kernel's, between two
// messages; otherwise the error says what was wrong with the stream.
func (a *Adapter) Serve(ctx context.Context, conn Conn) error {
	l := &link{adapter: a, conn: conn, woken: make(chan struct{}, 1)}
	if err := a.plug(l); err != nil {
		return errors.Join(err, conn.Close())
	}
	defer a.unplug()
	return l.run(ctx)
}
