package main

import (
	"context"
	"errors"
	"io"
	"log/slog"
	"os/signal"
	"syscall"

	"github.com/spf13/cobra"

	"plumbline/harness"
	"plumbline/harness/agent"
	"plumbline/harness/record"
)

// generateVerb is the hidden verb that turns this program into the load generator
// of a run.
const generateVerb = "generate"

// newGenerate makes the verb that serves a generator over the standard streams.
// A first signal does not end it: the harness does, when its own turn has come.
func newGenerate(s streams) *cobra.Command {
	return &cobra.Command{
		Use: generateVerb, Short: "Make the load of a run, as the harness calls for over the standard streams", Args: noArgs, Hidden: true,
		RunE: func(cmd *cobra.Command, _ []string) error {
			signal.Ignore(syscall.SIGPIPE) // the end of its input ends it in good order, also when nobody reads its output any more
			log := slog.New(slog.NewTextHandler(s.err, &slog.HandlerOptions{Level: slog.LevelWarn}))
			return harness.ServeGenerator(context.WithoutCancel(cmd.Context()), closable(s.in), closableOut(s.out), log)
		},
	}
}

// viewVerb is the hidden verb that turns this program into one of the processes that hold
// the viewers of a run.
const viewVerb = "view"

// newView makes the verb that serves viewers over the standard streams.
func newView(s streams) *cobra.Command {
	return &cobra.Command{
		Use: viewVerb, Short: "Hold viewers of a run, as the harness calls for over the standard streams", Args: noArgs, Hidden: true,
		RunE: func(cmd *cobra.Command, _ []string) error {
			signal.Ignore(syscall.SIGPIPE) // as for generate
			log := slog.New(slog.NewTextHandler(s.err, &slog.HandlerOptions{Level: slog.LevelWarn}))
			return agent.ServeHere(context.WithoutCancel(cmd.Context()), closable(s.in), closableOut(s.out), agent.Config{Version: thisBuild().Version, Log: log})
		},
	}
}

// viewingCommand is how this program starts a process that holds viewers, nil where
// processes share no clock.
func viewingCommand() []string {
	if generatorCommand() == nil {
		return nil
	}
	return []string{self, viewVerb}
}

// closable gives a stream that cannot be closed a Close that does nothing.
func closable(r io.Reader) io.ReadCloser {
	if c, ok := r.(io.ReadCloser); ok {
		return c
	}
	return io.NopCloser(r)
}

type openEnded struct{ io.Writer }

// Close implements io.Closer.
func (openEnded) Close() error { return nil }

// closableOut is closable for what is written to.
func closableOut(w io.Writer) io.WriteCloser {
	if c, ok := w.(io.WriteCloser); ok {
		return c
	}
	return openEnded{w}
}

// self is this very program, also when its file has been replaced since: both
// sides of a run are of one build (proc(5)).
const self = "/proc/self/exe"

// generatorCommand is how this program starts the generator of a run, nil where
// processes share no clock: the load comes from this process there.
func generatorCommand() []string {
	if _, err := record.NewClock().Origin(); errors.Is(err, record.ErrNoOrigin) {
		return nil
	}
	return []string{self, generateVerb}
}
