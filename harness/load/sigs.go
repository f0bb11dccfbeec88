package load

import (
	"context"
	"crypto/tls"
	"log/slog"
	"net"
	"net/url"
	"time"

	"plumbline/devices"
	"plumbline/harness/record"
	"plumbline/reports"
)

// Source is one device that the metronome drives.
type Source struct {
	Device  devices.Scheduled
	Topic   string
	QoS     byte
	Retain  bool
	Burst   int           // messages per instant, 0.1 ms or less apart; 0 means 1
	Spacing time.Duration // between the messages of a burst; 0 means 50 µs
}

// Config describes a Generator. Recorder, Broker, Run and Sources are needed.
type Config struct {
	Recorder  *record.Recorder
	Resolver  *record.Resolver // optional: streams are added to it
	Broker    *url.URL         // mqtt:// or mqtts://
	TLS       *tls.Config
	Username  string
	Password  string
	ClientID  string // prefix; "" means "plumbline"
	Run       string // run id, eight hexadecimal digits
	Sources   []Source
	Rate      float64 // messages per second of all sources; 0 keeps each device's own period
	InFlight  int     // QoS 1 window per connection; 0 means 1024
	Seed      uint64
	NoResend  bool // forget unacknowledged messages when a connection is lost
	Sequence  bool // add the plumbline-seq user property
	Reconnect time.Duration
	Dial      func(ctx context.Context, network, address string) (net.Conn, error)
	Log       *slog.Logger
}

// Generator drives its sources from one metronome, one connection each.
type Generator struct{ cfg Config }

func NewGenerator(cfg Config) (*Generator, error)                        { return &Generator{cfg: cfg}, nil }
func (g *Generator) Connect(ctx context.Context) error                   { return nil }
func (g *Generator) Run(ctx context.Context, length time.Duration) error { return nil }
func (g *Generator) WaitAcked(ctx context.Context) error                 { return nil }
func (g *Generator) Close() error                                        { return nil }
func (g *Generator) Health() Health                                      { return Health{} }
func (g *Generator) Streams() []uint32                                   { return nil } // parallel to Sources

// Forward publishes what a streaming device yields until ctx ends or the
// device does; Due is the first byte of each sample.
func (g *Generator) Forward(ctx context.Context, dev devices.Device, topic string) error { return nil }

// Health is what the generator knows about itself.
type Health struct {
	Offered, Achieved, Blocked, Acked, Resent, Reconnects int64
	InFlight                                              int
	Slip                                                  []time.Duration
}

// Hiccup is a locked thread that measures its own 1 ms wake-ups.
type Hiccup struct{}

func StartHiccup(clock *record.Clock, threshold time.Duration) *Hiccup { return &Hiccup{} }
func (h *Hiccup) Stop() HiccupReport                                   { return HiccupReport{} }

type HiccupReport struct {
	P99, Max time.Duration
	Gaps     []Gap
}
type Gap struct {
	At     int64
	Length time.Duration
}

// Quiet keeps the garbage collector out of a window.
func Quiet(limit int64) (restore func() GCReport) { return func() GCReport { return GCReport{} } }

type GCReport struct {
	Cycles                    uint64
	PauseMax, SchedLatencyMax time.Duration
}

// Floor measures the noise floor of the rig with a null bridge.
type FloorConfig struct {
	Rate     float64
	Messages int
	TLS      bool
	Bytes    int
}
type Floor struct {
	N              int
	P50, P99, P999 time.Duration
}

func MeasureFloor(ctx context.Context, cfg FloorConfig) (Floor, error) { return Floor{}, nil }

// Rig folds what the live parts know into a report's rig health.
func (f Floor) Into(r *reports.RigHealth)        {}
func (h HiccupReport) Into(r *reports.RigHealth) {}
func (g GCReport) Into(r *reports.RigHealth)     {}
