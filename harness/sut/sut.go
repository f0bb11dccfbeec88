package sut

import (
	"context"
	"crypto/tls"
	"errors"
	"log/slog"
	"net/url"
	"time"

	"plumbline/reports"
)

// Options configure New. The zero value is a private bridged with default
// settings and its logs in a temporary folder.
type Options struct {
	Binary      string         // bridged executable; "" looks beside the own executable, then in $PATH
	Dir         string         // receives logs, usage figures and the effective configuration, never a secret; "" is a temporary folder
	Descriptor  *Descriptor    // nil is Default()
	Config      map[string]any // settings of bridged by dotted key, for example "viewers.heartbeat": "1s"
	StopLimit   time.Duration  // how long SIGTERM may take before SIGKILL; 0 means DefaultStopLimit
	SampleEvery time.Duration  // how often CPU, memory and files are sampled; 0 means never
	Log         *slog.Logger   // nil discards
}

// DefaultStopLimit is the patience of Stop.
const DefaultStopLimit = 15 * time.Second

// Errors that callers branch on.
var (
	// ErrUsage marks a mistake in the descriptor or the options (exit code 2).
	ErrUsage = errors.New("wrong descriptor or options")
	// ErrUnavailable marks a system that did not start, died or cannot be reached (exit code 4).
	ErrUnavailable = errors.New("system under test is not available")
	// ErrNoControl marks an action that the harness cannot do to this system.
	ErrNoControl = errors.New("no control over this system")
)

// SUT is one system under test. Methods may be called from any goroutine;
// Start, Stop, Restart, Kill and Close wait for each other.
type SUT struct{}

// New prepares a system under test: it checks the descriptor, finds the
// executable, picks ports and writes keys and configuration. It starts nothing.
func New(opts Options) (*SUT, error) { return nil, ErrUsage }

// Start starts every process and returns when all are ready.
func (s *SUT) Start(ctx context.Context) error { return nil }

// Stop ends every process: SIGTERM, then SIGKILL when StopLimit is over.
func (s *SUT) Stop(ctx context.Context) error { return nil }

// Kill ends the bridge at once with SIGKILL and returns when it is gone.
func (s *SUT) Kill() error { return nil }

// Restart stops what still runs and starts it again on the same ports and data.
func (s *SUT) Restart(ctx context.Context) error { return nil }

// RestartBroker restarts the broker alone where it is a process or hook of its own.
func (s *SUT) RestartBroker(ctx context.Context) error { return nil }

// Pause freezes the bridge with SIGSTOP.
func (s *SUT) Pause() error { return nil }

// Resume thaws it with SIGCONT.
func (s *SUT) Resume() error { return nil }

// Close stops everything and removes keys and state. It is idempotent.
func (s *SUT) Close() error { return nil }

// Exited returns a channel that is closed when a process of the present
// incarnation has ended, wanted or not.
func (s *SUT) Exited() <-chan struct{} { return nil }

// Err tells of a process that ended unasked, with its last log lines; else nil.
func (s *SUT) Err() error { return nil }

// LastLog returns up to n of the last log lines of all processes.
func (s *SUT) LastLog(n int) []string { return nil }

// Broker returns where devices publish. It never holds a password.
func (s *SUT) Broker() *url.URL { return nil }

// BrokerAuth returns the user name and password for the broker, "" when none.
func (s *SUT) BrokerAuth() (username, password string) { return "", "" }

// BrokerTLS returns the TLS settings for an mqtts broker, nil for mqtt.
func (s *SUT) BrokerTLS() *tls.Config { return nil }

// ViewerURL returns where viewers connect.
func (s *SUT) ViewerURL() string { return "" }

// TLS returns a fresh copy of the TLS settings for viewers, nil for ws://.
func (s *SUT) TLS() *tls.Config { return nil }

// Origin returns an Origin that the system accepts, "" when none is needed.
func (s *SUT) Origin() string { return "" }

// Has reports whether the system claims the capability.
func (s *SUT) Has(capability string) bool { return false }

// Pid returns the process id of the bridge, 0 when it does not run.
func (s *SUT) Pid() int { return 0 }

// Descriptor returns the descriptor with all templates filled in.
func (s *SUT) Descriptor() Descriptor { return Descriptor{} }

// Info describes the system for the report, with digests of its files.
func (s *SUT) Info() reports.SUT { return reports.SUT{} }

// Metrics scrapes the metrics page: one figure per series, keyed by name and labels as printed there.
func (s *SUT) Metrics(ctx context.Context) (map[string]float64, error) { return nil, nil }

// Usage is what the processes use of the machine at one moment, summed.
type Usage struct {
	At      time.Time
	CPU     time.Duration // user and system time since start
	RSS     uint64        // bytes
	Files   int           // open file descriptors
	Threads int
}

// Usage samples now.
func (s *SUT) Usage(ctx context.Context) (Usage, error) { return Usage{}, nil }

// Usages returns the samples taken so far, oldest first.
func (s *SUT) Usages() []Usage { return nil }

// Token mints a token as the spec says.
func (s *SUT) Token(spec TokenSpec) (string, error) { return "", nil }

// Revoke cuts off the subject through the revocation file.
func (s *SUT) Revoke(subject string) error { return nil }
