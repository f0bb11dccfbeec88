package sut

import (
	"bytes"
	"cmp"
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"time"

	"github.com/goccy/go-yaml"

	"plumbline/harness/fault"
)

// Options configure New. The zero value is a private bridged with default
// settings and its logs in a temporary folder.
type Options struct {
	Binary      string         // bridged executable; "" looks beside the own executable, then in $PATH
	Dir         string         // receives logs and the effective configuration, never a secret; "" is a temporary folder
	Descriptor  *Descriptor    // nil is Default()
	Config      map[string]any // settings of bridged by dotted key, for example "viewers.heartbeat": "1s"
	StopLimit   time.Duration  // how long SIGTERM may take before SIGKILL; 0 means DefaultStopLimit
	LogLimit    int64          // of each log on the disk, bytes; 0 means DefaultLogLimit. See SUT.Omitted
	SampleEvery time.Duration  // how often CPU, memory and files are sampled; 0 means never
	Uptime      time.Duration  // that processes see the machine to have at each of their starts, whole seconds; 0 is the true one. See CanSetUptime
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
// those that start and stop things wait for each other.
type SUT struct {
	opts    Options
	log     *slog.Logger
	source  *Descriptor // as it was given, templates not filled in
	private string      // keys, configuration, state; removed by Close
	dir     string      // logs; kept
	binary  string      // of bridged, "" for others
	ports   *ports
	died    chan struct{} // closed at the first death that nobody asked for
	sampler *sampler
	logs    *logKeeper

	life sync.Mutex // one change of the processes at a time

	once     sync.Once // for Close
	closeErr error

	mu        sync.Mutex // guards what follows
	desc      *Descriptor
	children  []*child // as in desc.Start; nil where nothing was started yet
	trust     trust
	failure   error // the first death that nobody asked for
	lapses    []Lapse
	links     map[string]*fault.Proxy // by node of a cluster
	authority *fault.Authority        // of the certificate of a cluster; nil without one
	closed    bool
}

// New prepares a system under test: it checks the descriptor, finds the
// executable, picks ports and writes keys and configuration. It starts nothing.
// Close must be called, also when Start was not.
func New(opts Options) (*SUT, error) {
	s := &SUT{opts: opts, log: opts.Log, source: opts.Descriptor, ports: newPorts(), died: make(chan struct{})}
	if s.log == nil {
		s.log = slog.New(slog.DiscardHandler)
	}
	if s.source == nil {
		s.source = Default()
	}
	if s.opts.StopLimit <= 0 {
		s.opts.StopLimit = DefaultStopLimit
	}
	if err := s.source.Validate(); err != nil {
		return nil, err
	}
	if len(opts.Config) > 0 && !s.source.builtin {
		return nil, fmt.Errorf("sut: %w: settings of bridged were given for %q, whose configuration is its own affair", ErrUsage, s.source.Name)
	}
	if s.usesBridged() {
		binary, err := FindBridged(opts.Binary)
		if err != nil {
			return nil, err
		}
		s.binary = binary
	}
	if err := s.makeFolders(); err != nil {
		return nil, err
	}
	if err := s.prepare(); err != nil {
		_ = os.RemoveAll(s.private)
		return nil, err
	}
	s.logs = keepLogs(s.dir, cmp.Or(opts.LogLimit, DefaultLogLimit), s.log)
	if opts.SampleEvery > 0 {
		s.sampler = newSampler(s.Usage, opts.SampleEvery)
	}
	return s, nil
}

func (s *SUT) usesBridged() bool {
	for _, p := range s.source.Start {
		for _, word := range p.Command {
			if strings.Contains(word, "{{bridged}}") {
				return true
			}
		}
	}
	return false
}

// makeFolders makes the private folder, which holds secrets and lies outside of
// every run directory, and the folder for logs.
func (s *SUT) makeFolders() error {
	private, err := os.MkdirTemp("", "plumbline-sut-")
	if err != nil {
		return fmt.Errorf("sut: private folder: %w", err)
	}
	s.private, s.dir = private, s.opts.Dir
	if s.dir == "" {
		s.dir = filepath.Join(private, "log")
	}
	if err := os.MkdirAll(s.dir, 0o755); err != nil { //nolint:gosec // artifacts are there to be read by others
		_ = os.RemoveAll(private)
		return fmt.Errorf("sut: folder for logs: %w", err)
	}
	return nil
}

// prepare fills in the templates with the ports of now and writes the
// configuration. It is repeated with new ports when one was taken meanwhile.
func (s *SUT) prepare() error {
	d := s.source.clone()
	here := d.dir
	x := expander{values: map[string]string{"dir": s.private, "here": here, "bridged": s.binary}, port: s.ports.port}
	if err := d.apply(x); err != nil {
		return fmt.Errorf("sut: descriptor %q: %w", d.Name, err)
	}
	resolveFiles(d)
	if d.builtin {
		config, err := writeBridged(d, s.private, s.ports.port, s.opts.Config)
		if err != nil {
			return err
		}
		if err := os.WriteFile(filepath.Join(s.dir, "bridged.yaml"), config, 0o644); err != nil { //nolint:gosec // artifacts are there to be read by others
			return fmt.Errorf("sut: copy of the configuration: %w", err)
		}
	}
	for _, p := range d.Start {
		for _, f := range p.Files {
			if err := os.WriteFile(filepath.Join(s.private, f.Name), []byte(f.Text), 0o600); err != nil {
				return fmt.Errorf("sut: file of process %q: %w", p.Name, err)
			}
		}
	}
	text, err := yaml.Marshal(d.public())
	if err != nil {
		return fmt.Errorf("sut: copy of the descriptor: %w", err)
	}
	if err := os.WriteFile(filepath.Join(s.dir, "descriptor.yaml"), text, 0o644); err != nil { //nolint:gosec // artifacts are there to be read by others
		return fmt.Errorf("sut: copy of the descriptor: %w", err)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.desc, s.children = d, make([]*child, len(d.Start))
	return nil
}

// resolveFiles makes the files of a descriptor absolute.
func resolveFiles(d *Descriptor) {
	files := []*string{&d.Broker.PasswordFile, &d.Broker.CA, &d.Viewer.CA}
	if d.Auth != nil {
		files = append(files, &d.Auth.RevocationFile)
		if d.Auth.JWT != nil {
			files = append(files, &d.Auth.JWT.SecretFile, &d.Auth.JWT.PrivateKeyFile)
		}
	}
	for i := range d.Start {
		if d.Start[i].Dir == "" {
			d.Start[i].Dir = d.dir
		}
		files = append(files, &d.Start[i].Dir)
	}
	for _, f := range files {
		if *f != "" && !filepath.IsAbs(*f) {
			*f = filepath.Join(d.dir, *f)
		}
	}
}

// descriptor returns the filled-in descriptor; it is never changed, only replaced.
func (s *SUT) descriptor() *Descriptor {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.desc
}

// Descriptor returns the descriptor with all templates filled in.
func (s *SUT) Descriptor() Descriptor { return *s.descriptor().clone() }

// Has reports whether the system claims the capability.
func (s *SUT) Has(capability string) bool { return s.source.Has(capability) }

// Broker returns where devices publish. It never holds a password.
func (s *SUT) Broker() *url.URL {
	u, err := url.Parse(s.descriptor().Broker.URL)
	if err != nil {
		return &url.URL{}
	}
	u.User = nil
	return u
}

// BrokerVersion returns the version of MQTT that the broker speaks, "" for 5.
func (s *SUT) BrokerVersion() string { return s.descriptor().Broker.MQTTVersion }

// BrokerAuth returns the user name and password for the broker, "" when none.
// It knows the password after the first Start.
func (s *SUT) BrokerAuth() (username, password string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.desc.Broker.Username, s.trust.password
}

// BrokerTLS returns a copy of the TLS settings for an mqtts broker, nil for
// mqtt and before the first Start.
func (s *SUT) BrokerTLS() *tls.Config {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.trust.broker.Clone()
}

// BrokerCA returns the authorities of an mqtts broker as PEM, nil for those of
// the system, for mqtt and before the first Start.
func (s *SUT) BrokerCA() []byte {
	s.mu.Lock()
	defer s.mu.Unlock()
	return bytes.Clone(s.trust.brokerCA)
}

// TLS returns a copy of the TLS settings for viewers, nil for ws:// and http:// and before
// the first Start, which makes the authority of bridged.
func (s *SUT) TLS() *tls.Config {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.trust.viewer.Clone()
}

// Viewer returns how viewers connect, with all templates filled in.
func (s *SUT) Viewer() Viewer { return s.descriptor().clone().Viewer }

// Mints reports whether the descriptor says how to mint tokens.
func (s *SUT) Mints() bool {
	d := s.descriptor()
	return d.Auth != nil && d.Auth.JWT != nil
}

// ViewerURL returns where viewers connect.
func (s *SUT) ViewerURL() string { return s.descriptor().Viewer.URL }

// Origin returns an Origin that the system accepts, "" when none is needed.
func (s *SUT) Origin() string { return s.descriptor().Viewer.Origin }
