// Command bridged is the bridge as a daemon.
//
//	bridged [--config FILE] [--set key=value]... [--version]
//	bridged check-config [--config FILE] [--set key=value]...
//
// SIGTERM or SIGINT drains and exits 0, a second one exits at once; SIGHUP looks for new certificates, token keys and MQTT users. Exit codes: 0 good end, 2 usage or configuration,
// 4 something needed is not available (a port in use, a data folder held by another bridge), 5 internal fault, 130 second signal.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"log/slog"
	"os"
	"os/signal"
	"runtime"
	"runtime/debug"
	"strings"
	"sync"
	"syscall"

	"plumbline/bridge"
	"plumbline/bridge/config"
)

// Exit codes.
const (
	exitOK          = 0
	exitUsage       = 2
	exitUnavailable = 4
	exitInternal    = 5
	exitInterrupted = 130
)

func main() {
	os.Exit(run(os.Args[1:], os.Environ(), os.Stdout, os.Stderr))
}

// settings is the repeatable --set flag.
type settings []string

func (s *settings) String() string     { return strings.Join(*s, " ") }
func (s *settings) Set(v string) error { *s = append(*s, v); return nil }

func run(args, environ []string, stdout, stderr io.Writer) int {
	check := len(args) > 0 && args[0] == "check-config"
	if check {
		args = args[1:]
	}
	flags := flag.NewFlagSet("bridged", flag.ContinueOnError)
	flags.SetOutput(stderr)
	file := flags.String("config", "", "configuration `file`; without one the defaults hold")
	version := flags.Bool("version", false, "print the version and exit")
	var sets settings
	flags.Var(&sets, "set", "override one setting, as `key=value`; repeatable")
	switch err := flags.Parse(args); {
	case errors.Is(err, flag.ErrHelp):
		return exitOK
	case err != nil:
		return exitUsage
	case flags.NArg() > 0:
		_, _ = fmt.Fprintf(stderr, "bridged: unexpected argument %q: known is check-config, before the flags\n", flags.Arg(0))
		return exitUsage
	case *version:
		_, _ = fmt.Fprintln(stdout, versionText())
		return exitOK
	}
	cfg, err := config.Load(*file, environ, sets)
	if err != nil {
		return fail(stderr, err)
	}
	if check {
		_, _ = fmt.Fprintln(stdout, "configuration is good")
		return exitOK
	}
	return serve(cfg, stderr)
}

func serve(cfg config.Config, stderr io.Writer) int {
	log := logger(cfg.Log, stderr)
	log.Info("starting", "version", versionText(), "go", runtime.Version())
	for _, advice := range bridge.CheckLimits(cfg) {
		log.Warn("operating system limit", "advice", advice)
	}
	b, err := bridge.New(bridge.Options{Config: cfg, Log: log})
	if err != nil {
		return fail(stderr, err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	signals := make(chan os.Signal, 2)
	signal.Notify(signals, os.Interrupt, syscall.SIGTERM)
	defer signal.Stop(signals)
	hangup := make(chan os.Signal, 1)
	signal.Notify(hangup, syscall.SIGHUP)
	defer signal.Stop(hangup)
	var reloads sync.WaitGroup
	ended := make(chan error, 1)
	go func() { ended <- b.Run(ctx) }()
	for n := 0; ; {
		select {
		case err := <-ended:
			reloads.Wait()
			if err != nil {
				return fail(stderr, err)
			}
			return exitOK
		case <-hangup:
			log.Info("signal, looking for new certificates, keys and users", "signal", "SIGHUP")
			reloads.Go(b.Reload) // it may take a while, and the next signal may be the end
		case sig := <-signals:
			if n++; n > 1 {
				log.Warn("second signal, leaving at once", "signal", sig.String())
				return exitInterrupted
			}
			log.Info("signal", "signal", sig.String())
			cancel()
		}
	}
}

// fail prints the error and returns its exit code.
func fail(stderr io.Writer, err error) int {
	_, _ = fmt.Fprintf(stderr, "bridged: %v\n", err)
	switch {
	case errors.Is(err, bridge.ErrConfig):
		return exitUsage
	case errors.Is(err, bridge.ErrUnavailable):
		return exitUnavailable
	}
	return exitInternal
}

func logger(c config.Log, w io.Writer) *slog.Logger {
	level := slog.LevelInfo
	_ = level.UnmarshalText([]byte(c.Level)) // Validate has seen it
	o := &slog.HandlerOptions{Level: level}
	if c.Format == "text" {
		return slog.New(slog.NewTextHandler(w, o))
	}
	return slog.New(slog.NewJSONHandler(w, o))
}

func versionText() string {
	version, revision := "devel", ""
	if info, ok := debug.ReadBuildInfo(); ok {
		if info.Main.Version != "" {
			version = info.Main.Version
		}
		for _, s := range info.Settings {
			if s.Key == "vcs.revision" {
				revision = " " + s.Value
			}
		}
	}
	return "bridged " + version + revision
}
