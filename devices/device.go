package devices

import (
	"context"
	"errors"
	"time"
)

// ErrClosed is returned by Device.Read after Close.
var ErrClosed = errors.New("devices: device is closed")

// ErrUnplugged is returned by Device.Read when the device vanished and its
// driver was told not to wait for it to come back.
var ErrUnplugged = errors.New("devices: device was unplugged")

// Mode says what a device really is.
type Mode string

// The modes of a device, as they are printed in reports.
const (
	Sim    Mode = "sim"    // a twin: computed values
	Replay Mode = "replay" // a recording of a real device
	Real   Mode = "real"   // the device itself
)

// Clock returns monotonic time since an epoch the caller chose. Drivers stamp
// with nothing else.
type Clock func() time.Duration

// Info identifies a device for reports and evidence.
type Info struct {
	ID     string // unique in a rig; also the last part of the topic
	Kind   string // driver, for example "nmea0183"
	Mode   Mode
	Model  string   // maker and model, when known
	Serial string   // serial number, when known
	Path   string   // port, file or topic
	Note   string   // anything a reader of the report should know
	Tier   Tier     // of the virtual bench; 0 for a device that is not of it
	Time   TimeMode // how its time passes, for a device of the virtual bench
}

// Value is one reading of a sample. Either Number or Text is meaningful.
type Value struct {
	Name   string
	Unit   string // UCUM symbol, for example "Cel", "m/s2", "W"; "" when dimensionless
	Number float64
	Text   string
	IsText bool
}

// Sample is one frame from a device.
type Sample struct {
	Seq    uint64        // the driver's own count of good frames, from 1
	First  time.Duration // first byte at the host, on the driver's Clock
	Last   time.Duration // last byte at the host
	Topic  string        // for sensors that publish themselves; else ""
	Raw    []byte        // the frame as it came, owned by the receiver; nil for twins
	Values []Value
}

// Counters are totals since Open. Good + Damaged + Unchecked + Partial + Control
// is every frame that came; only Good ones are published.
type Counters struct {
	Good      uint64 // frames that passed their check
	Damaged   uint64 // frames that failed it
	Unchecked uint64 // lines without the check their protocol asks for, or of another protocol
	Partial   uint64 // frames cut by opening, unplugging or closing
	Control   uint64 // whole frames without a reading, such as a table's header; no fault
	Missing   uint64 // answers that a device was asked for and that did not come in time; messages that a sequence number lacks
	Bytes     uint64 // bytes in frames and parts of frames
	Dropped   uint64 // good frames nobody read in time
}

// Rejected is the number of frames that came, or should have come, and could not
// be published. Each left a Damage; messages that lack in one place left one.
func (c Counters) Rejected() uint64 { return c.Damaged + c.Unchecked + c.Partial + c.Missing }

// Damage is a frame that was rejected (damaged, unchecked or partial), kept as
// evidence, or one that is missing. A long frame is kept up to a bound; Reason
// then says so.
type Damage struct {
	At     time.Duration
	Offset int64 // where the frame begins in the stream, in bytes; 0 for messages
	Raw    []byte
	Reason string // for example "checksum 4B, computed 4A"
}

// Device is a source that produces samples in its own time.
//
// Read blocks until a sample, the end of ctx, Close (ErrClosed) or the end of
// the source (io.EOF). It is called by one goroutine; the other methods may be
// called by any. Close is idempotent and returns when the driver's goroutines
// have ended.
type Device interface {
	Info() Info
	Read(ctx context.Context) (Sample, error)
	Counters() Counters
	Damages() []Damage // the most recent, bounded; oldest first
	Close() error
}

// Schedule says when a twin is sampled: at Phase + k·Period, each instant moved
// by a seeded uniform dither of ±Dither. Dither keeps the schedule from locking
// to a flush timer of the system under test.
type Schedule struct {
	Period time.Duration
	Phase  time.Duration
	Dither time.Duration
}

// Scheduled is a source that is sampled when a metronome says so: a twin or
// the host's own sensors. Sample must not block longer than a few microseconds
// for twins; for host sensors the cost of the reading is documented there.
type Scheduled interface {
	Info() Info
	Schedule() Schedule
	// Sample computes sample seq (from 1) for the instant due after the epoch.
	Sample(seq uint64, due time.Duration) Sample
}
