package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"os/signal"
	"runtime"
	"sync"
	"syscall"
	"time"

	"plumbline/bridge"
	"plumbline/bridge/config"
)

// daemon runs the bridge until a signal ends it.
func daemon(c call) int {
	f := newFlags(c, "")
	f.Init("bridged", f.ErrorHandling())
	versionOnly := f.Bool("version", false, "print the version and exit")
	takeover := f.Duration("takeover", 0, "how long to wait for another bridge to leave the data folder and the ports, such as `30s`: start the new one first, then end the old one")
	f.Usage = func() {
		_, _ = fmt.Fprintln(c.stderr, "bridged [flags] runs the bridge. Flags:")
		f.PrintDefaults()
		_, _ = fmt.Fprintln(c.stderr, "Commands:")
		usage(c.stderr)
	}
	switch code, ok := f.parse(c.args, 0); {
	case !ok:
		return code
	case *versionOnly:
		_, _ = fmt.Fprintln(c.stdout, versionText())
		return exitOK
	case *takeover < 0:
		return f.bad("--takeover %s: want a time span such as 30s", *takeover)
	}
	cfg, err := f.load()
	if err != nil {
		return fail(c.stderr, err)
	}
	return newService(f, cfg).run(*takeover)
}

// service is one run of the daemon.
type service struct {
	f       *flags
	cfg     config.Config
	stderr  io.Writer
	level   *slog.LevelVar
	log     *slog.Logger
	systemd notifier
	ends    chan os.Signal // SIGINT and SIGTERM; there is room for the two that count
	hangups chan os.Signal // SIGHUP, apart, so that many of them never take the place of an end
	reloads sync.WaitGroup
}

func newService(f *flags, cfg config.Config) *service {
	s := &service{f: f, cfg: cfg, stderr: f.c.stderr, level: new(slog.LevelVar), ends: make(chan os.Signal, 2), hangups: make(chan os.Signal, 1)}
	s.setLevel(cfg.Log.Level)
	s.log = slog.New(handler(cfg.Log.Format, s.stderr, s.level))
	s.systemd = newNotifier(f.c.environ, os.Getpid())
	return s
}

func handler(format string, w io.Writer, level slog.Leveler) slog.Handler {
	o := &slog.HandlerOptions{Level: level}
	if format == "text" {
		return slog.NewTextHandler(w, o)
	}
	return slog.NewJSONHandler(w, o)
}

func (s *service) setLevel(text string) {
	var level slog.Level
	_ = level.UnmarshalText([]byte(text)) // Validate has seen it
	s.level.Set(level)
}

func (s *service) run(takeover time.Duration) int {
	signal.Notify(s.ends, os.Interrupt, syscall.SIGTERM)
	defer signal.Stop(s.ends)
	signal.Notify(s.hangups, syscall.SIGHUP)
	defer signal.Stop(s.hangups)
	s.log.Info("starting", "version", versionText(), "go", runtime.Version())
	for _, advice := range bridge.CheckLimits(s.cfg) {
		s.log.Warn("operating system limit", "advice", advice)
	}
	b, err := s.open(takeover)
	switch {
	case errors.Is(err, errSignal):
		return exitOK
	case err != nil:
		return fail(s.stderr, err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	ended := make(chan error, 1)
	go func() { ended <- b.Run(ctx) }()
	stopWatch := s.systemd.watch(b)
	defer stopWatch()
	return s.follow(b, ended, cancel)
}

// follow waits for the bridge's end and does what signals ask for.
func (s *service) follow(b *bridge.Bridge, ended <-chan error, cancel func()) int {
	ready := b.Ready()
	for asked := false; ; {
		select {
		case <-ready:
			ready = nil
			s.tell("READY=1\nSTATUS=serving")
		case err := <-ended:
			s.reloads.Wait()
			if err != nil {
				return fail(s.stderr, err)
			}
			return exitOK
		case <-s.hangups:
			s.log.Info("signal, looking for new certificates, keys and users", "signal", "SIGHUP")
			s.reload()
			s.reloads.Go(b.Reload) // it may take a while, and the next signal may be the end
		case sig := <-s.ends:
			if asked {
				s.log.Warn("second signal, leaving at once", "signal", sig.String())
				return exitInterrupted
			}
			asked = true
			s.log.Info("signal", "signal", sig.String())
			s.tell("STOPPING=1\nSTATUS=draining")
			cancel()
		}
	}
}

// tell passes the state on to systemd.
func (s *service) tell(state string) {
	if err := s.systemd.tell(state); err != nil {
		s.log.Warn("systemd not told", "error", err)
	}
}

// reload takes log.level from the configuration as it is now. Its other settings need a restart, which loses nothing.
func (s *service) reload() {
	cfg, err := s.f.load()
	if err != nil {
		s.log.Error("configuration not reloaded, the old one stays in force", "error", err)
		return
	}
	s.setLevel(cfg.Log.Level)
	s.log.Info("log level set", "level", cfg.Log.Level)
}

// errSignal says that a signal came before the bridge began.
var errSignal = errors.New("signal")

// errCut says that a second signal cut the start.
var errCut = errors.New("a second signal cut the start: what it left behind is what a kill leaves, and the next start goes on from there")

// takeoverPoll is how often a bridge that waits for another one's end looks.
const takeoverPoll = 20 * time.Millisecond

// open makes the bridge; while another one holds what it needs it waits up to takeover for that one's end.
func (s *service) open(takeover time.Duration) (*bridge.Bridge, error) {
	deadline := time.Now().Add(takeover)
	tick := time.NewTicker(takeoverPoll)
	defer tick.Stop()
	for waiting := false; ; waiting = true {
		b, err := s.build()
		if !errors.Is(err, bridge.ErrUnavailable) || !time.Now().Before(deadline) {
			return b, err
		}
		if !waiting {
			s.log.Info("waiting for another bridge to end", "limit", takeover.String(), "error", err)
		}
		select {
		case <-s.hangups:
			s.reload()
		case sig := <-s.ends:
			s.log.Info("signal", "signal", sig.String())
			return nil, errSignal
		case <-tick.C:
		}
	}
}

// build makes the bridge, which takes long when the journal is large or something that is asked does not answer. A signal counts when
// it is done, a second one at once: what is left behind then is what a kill leaves.
func (s *service) build() (*bridge.Bridge, error) {
	var b *bridge.Bridge
	var err error
	made := make(chan struct{})
	go func() {
		defer close(made)
		b, err = bridge.New(bridge.Options{Config: s.cfg, Log: s.log, Version: versionText()})
	}()
	for asked := false; ; {
		select {
		case <-made:
			if asked { // nobody has been served, so that no fault matters any more
				if err == nil {
					_ = b.Close()
				}
				return nil, errSignal
			}
			return b, err
		case sig := <-s.ends:
			if asked {
				s.log.Warn("second signal, leaving at once", "signal", sig.String())
				return nil, errCut
			}
			asked = true
			s.log.Info("signal", "signal", sig.String())
		}
	}
}
