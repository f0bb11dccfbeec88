package serialline

import (
	"cmp"
	"errors"
	"fmt"
	"log/slog"
	"time"

	"go.bug.st/serial"

	"plumbline/devices"
	"plumbline/devices/codec"
	"plumbline/devices/internal/intake"
	"plumbline/devices/inventory"
	"plumbline/devices/lock"
)

// DefaultBaud is used when Config.Baud is 0.
const DefaultBaud = 9600

// Parity of the port; the zero value is none.
type Parity string

// The parities that Config knows. Mark and space are a constant bit; not every
// driver can make them.
const (
	NoParity    Parity = "none"
	EvenParity  Parity = "even"
	OddParity   Parity = "odd"
	MarkParity  Parity = "mark"
	SpaceParity Parity = "space"
)

// Bounds of a speed, in bits per second. Any number between them is asked for
// as it is; what a driver cannot make it refuses or rounds.
const (
	MinBaud = 50
	MaxBaud = 4_000_000
)

// Config describes the port and the sensor on it. Port (for Open) and Codec are
// required.
type Config struct {
	ID     string       // unique in a rig
	Port   string       // selector (see inventory.Selector), path, rfc2217:// or tcp:// address; a path of a USB device is held to that device
	Model  string       // for reports; optional
	Serial string       // serial number of the sensor or its adapter; optional
	Note   string       // for reports; optional
	Mode   devices.Mode // "" = Real; a port of a pty twin is Sim, a replayed one Replay

	Baud     int    // bits per second; 0 = DefaultBaud
	DataBits int    // 5 … 8; 0 = 8
	Parity   Parity // "" = none
	StopBits int    // 1 or 2; 0 = 1
	DTR, RTS *bool  // modem lines to set at opening; nil = left alone
	RS485    *RS485 // turnaround by the kernel; nil = left alone
	// Break holds the line at zero for so long at each opening, which wakes some
	// instruments and resets some boards; at most 5 s, for which Open and Close then
	// wait. 0 = no break.
	Break time.Duration
	// ModemReadings adds what the device puts on the modem lines to each sample, as
	// modem_cts, modem_dsr, modem_dcd and modem_ri, 1 or 0. A port without modem
	// lines adds nothing and counts as Stats.NoModem.
	ModemReadings bool

	Inventory inventory.Inventory // where selectors are looked up; the zero value is this machine

	Locks   *lock.Dir // where the device is locked from Open to Close; nil = not at all
	Owner   string    // said to others by the lock: program and user
	Purpose string    // and what for

	Codec   codec.Codec
	Clock   devices.Clock // nil = counts from Open
	Prelude []byte        // sent once after each opening; nil = nothing

	KeepBacklog bool          // publish what lay in the port before opening, too
	NoReconnect bool          // after an unplug Read returns ErrUnplugged instead of waiting
	RetryEvery  time.Duration // how often the path is tried after an unplug; 0 = 100 ms
	Queue       int           // samples kept for a late reader; 0 = 1024
	Damages     int           // rejected frames kept as evidence; 0 = 64

	// OnState is told when the port was lost and when it came back; optional.
	// It is called on the reading goroutine and must not block or call Close.
	OnState func(State)
	// OnAway is told why a port that was lost is not back, each time that the reason
	// changes; optional. It is called as OnState is.
	OnAway func(at time.Duration, why error)
	Log    *slog.Logger // nil = discard
}

// State is one change of the port.
type State struct {
	At      time.Duration // on the driver's Clock
	Plugged bool
	Err     error // what was seen at an unplug
}

// Stats are totals of the port beside devices.Counters.
type Stats struct {
	Unplugs  uint64 // times the port was lost
	Replugs  uint64 // times it came back
	Stale    uint64 // bytes dropped because they lay in the port at an opening
	NoModem  bool   // DTR, RTS, a break or readings were asked for and the port has no modem lines
	NoRS485  bool   // RS-485 was asked for and the driver of the port has no such setting
	Bytes    uint64 // read from the port, without stale ones
	Timeouts uint64 // reads that returned nothing
}

// withDefaults checks the config and fills in what was left out.
func (c Config) withDefaults() (Config, error) {
	if c.Codec == nil {
		return c, errors.New(`serialline: no codec; set Config.Codec, for example codec.NMEA0183{}`)
	}
	if c.Baud == 0 {
		c.Baud = DefaultBaud
	}
	if c.DataBits == 0 {
		c.DataBits = 8
	}
	if c.StopBits == 0 {
		c.StopBits = 1
	}
	if c.Mode == "" {
		c.Mode = devices.Real
	}
	if c.RetryEvery <= 0 {
		c.RetryEvery = 100 * time.Millisecond
	}
	if c.Clock == nil {
		c.Clock = intake.Monotonic()
	}
	if c.Log == nil {
		c.Log = slog.New(slog.DiscardHandler)
	}
	if c.ID == "" {
		c.ID = c.Port
	}
	return c, c.Check()
}

// Check says what is wrong with the settings of the line, baud to Break, and how
// to mend it. It looks at no port. Zero values mean the defaults.
func (c Config) Check() error {
	c.Baud, c.DataBits, c.StopBits = cmp.Or(c.Baud, DefaultBaud), cmp.Or(c.DataBits, 8), cmp.Or(c.StopBits, 1)
	if _, err := c.portMode(); err != nil {
		return err
	}
	if c.Break < 0 || c.Break > maxBreak {
		return fmt.Errorf("serialline: break of %v on %q: must be up to %v", c.Break, c.Port, maxBreak)
	}
	return c.RS485.check(c.Port)
}

// portMode translates the framing for the library.
func (c Config) portMode() (*serial.Mode, error) {
	m := &serial.Mode{BaudRate: c.Baud, DataBits: c.DataBits}
	if c.Baud < MinBaud || c.Baud > MaxBaud {
		return nil, fmt.Errorf("serialline: baud %d of %q: must be %d to %d", c.Baud, c.Port, MinBaud, MaxBaud)
	}
	if c.DataBits < 5 || c.DataBits > 8 {
		return nil, fmt.Errorf("serialline: data bits %d of %q: must be 5 to 8", c.DataBits, c.Port)
	}
	switch c.Parity {
	case "", NoParity:
		m.Parity = serial.NoParity
	case EvenParity:
		m.Parity = serial.EvenParity
	case OddParity:
		m.Parity = serial.OddParity
	case MarkParity:
		m.Parity = serial.MarkParity
	case SpaceParity:
		m.Parity = serial.SpaceParity
	default:
		return nil, fmt.Errorf("serialline: parity %q of %q: must be none, even, odd, mark or space", c.Parity, c.Port)
	}
	switch c.StopBits {
	case 1:
		m.StopBits = serial.OneStopBit
	case 2:
		m.StopBits = serial.TwoStopBits
	default:
		return nil, fmt.Errorf("serialline: stop bits %d of %q: must be 1 or 2", c.StopBits, c.Port)
	}
	return m, nil
}
