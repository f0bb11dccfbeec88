package external

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"sync"
	"time"

	"plumbline/bridge/journal"
	"plumbline/bridge/metrics"
)

// Journal is the journal as seen from here.
type Journal interface {
	AppendAll(ctx context.Context, ms []journal.Message) ([]journal.Result, error)
	memory
}

// Options configures a Source. Name, Address, ClientID, Filters, StateFile, Journal, Metrics and Log are required, and every
// number; config.DefaultExternal has good ones.
type Options struct {
	Name            string // in logs, metrics and errors
	Node            string // which of the bridges that share the journal this is; "" = it is alone
	Address         string // host:port
	TLS             bool   // TLS 1.2 or newer, never anything else
	ServerName      string // "" = the host of Address
	CAFile          string // PEM; "" = the system's authorities
	CertFile        string // PEM, with KeyFile; "" = no client certificate
	KeyFile         string
	ClientID        string // names the session; the upstream client appends "-pub"
	CredentialsFile string // "" = none
	Prefix          string // before every topic; "" or ends in a slash
	Filters         []string
	SessionExpiry   time.Duration
	ReceiveMaximum  int // 1 to 4096
	MaxPacketBytes  int
	Keepalive       time.Duration // whole seconds
	ConnectTimeout  time.Duration
	ReconnectMin    time.Duration
	ReconnectMax    time.Duration
	StateFile       string // remembers the session and its filters
	Journal         Journal
	Metrics         *metrics.Set
	Log             *slog.Logger

	Now    func() time.Time                       // nil = time.Now
	After  func(d time.Duration) <-chan time.Time // nil = time.After; pauses between attempts
	Jitter func() float64                         // nil = rand.Float64; from 0 to below 1
}

// Source is one external broker. Run it once; Close ends the upstream connection too.
type Source struct {
	opts   Options
	log    *slog.Logger
	window *window // of the goroutine in Run, as batch
	batch  batch
	gauges gauges
	up     upstream

	mu     sync.Mutex
	status Status
}

// Status is how a source stands.
type Status struct {
	Name      string `json:"name"`
	Connected bool   `json:"connected"` // subscribed, messages flow
	Error     string `json:"error,omitempty"`
}

// New checks the files that the options name and recalls from the journal what was received before. It connects to nobody.
func New(o Options) (*Source, error) {
	if o.Now == nil {
		o.Now = time.Now
	}
	if o.After == nil {
		o.After = time.After
	}
	if o.Jitter == nil {
		o.Jitter = rand.Float64
	}
	s := &Source{opts: o, log: o.Log.With("broker", o.Name), status: Status{Name: o.Name, Error: "not connected yet"}}
	if err := Check(o); err != nil {
		return nil, err
	}
	s.gauges = newGauges(s)
	s.window = s.recallWindow(s.recall())
	s.up.init()
	return s, nil
}

// Check reads the files that the options name, which a running source reads anew at each connection. The error says what is wrong
// with each of them.
func Check(o Options) error {
	s := &Source{opts: o}
	_, _, err := s.credentials()
	if o.TLS {
		_, terr := s.tlsConfig()
		err = errors.Join(err, terr)
	}
	if err != nil {
		return fmt.Errorf("external: %w", err)
	}
	return nil
}

// key is where the source stands in the configuration.
func (s *Source) key() string { return "external." + s.opts.Name }

// Prefix returns what stands before every topic of this broker.
func (s *Source) Prefix() string { return s.opts.Prefix }

// Status returns how the source stands now.
func (s *Source) Status() Status {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.status
}

func (s *Source) set(connected bool, err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.status.Connected, s.status.Error = connected, ""
	if err != nil {
		s.status.Error = err.Error()
	}
	s.gauges.connected(connected)
}

// Run keeps the session with the broker until ctx ends, then takes leave of it: what was stored is acknowledged, what was not
// the broker keeps for SessionExpiry. A broker that is away or refuses is tried again with growing pauses.
func (s *Source) Run(ctx context.Context) {
	pause := s.opts.ReconnectMin
	for ctx.Err() == nil {
		began := s.opts.Now()
		err := s.session(ctx)
		if ctx.Err() != nil {
			break
		}
		s.set(false, err)
		if s.opts.Now().Sub(began) > s.opts.ReconnectMax {
			pause = s.opts.ReconnectMin // it was good for a while: not one of the refusals that follow each other
		}
		if errors.Is(err, errTakenOver) {
			pause = s.opts.ReconnectMax // or two bridges would cut each other without end
		}
		wait := time.Duration((0.5 + s.opts.Jitter()/2) * float64(pause))
		s.log.Warn("external broker is not connected", "error", err, "retry_in", wait.String())
		select {
		case <-ctx.Done():
		case <-s.opts.After(wait):
		}
		pause = min(2*pause, s.opts.ReconnectMax)
	}
	s.set(false, errStopped)
}

var (
	errStopped   = errors.New("stopped")
	errTakenOver = errors.New("another client has connected with our client id: give each bridge a clientId of its own")
)

// Close ends the upstream connection and waits for its goroutines. It is idempotent. Run ends by its context.
func (s *Source) Close() error {
	s.up.close()
	return nil
}
