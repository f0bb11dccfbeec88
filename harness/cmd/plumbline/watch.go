package main

import (
	"context"
	"errors"
	"fmt"
	"math"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"plumbline/harness/cmd/plumbline/internal/exit"
	"plumbline/harness/cmd/plumbline/internal/source"
	"plumbline/harness/cmd/plumbline/internal/watch"
	"plumbline/reports"
)

// openLimit is how long a device may take to open: a broker that is not there
// must not be waited for without end.
const openLimit = 15 * time.Second

func newWatch(s streams) *cobra.Command {
	var opts watch.Options
	var ends time.Duration
	cmd := &cobra.Command{
		Use: "watch DEVICE", Short: "Print what a device says while it says it, and count what is damaged",
		Example: "plumbline watch " + source.Examples()[0],
		Long: `Prints every decoded sample, and every frame that failed its check, until Ctrl-C, which is the usual end
and no failure. DEVICE is one of:
  ` + strings.Join(source.Examples(), "\n  "),
		Args: oneArg("a device"),
		RunE: func(cmd *cobra.Command, args []string) error {
			want, err := source.Parse(args[0])
			if err != nil {
				return exit.Usage(err, "")
			}
			ctx, cancel := watch.Limit(cmd.Context(), ends)
			defer cancel()
			opening, opened := context.WithTimeout(ctx, openLimit)
			dev, err := source.Open(opening, want)
			opened()
			if err != nil {
				return unusable(cmd.Context(), want.Kind, err)
			}
			err = watch.Watch(ctx, s.out, dev, opts)
			if closed := dev.Close(); err == nil && closed != nil {
				err = fmt.Errorf("close %q: %w", args[0], closed)
			}
			return unusable(cmd.Context(), want.Kind, err)
		},
	}
	limit(cmd.Flags(), &opts.Count, "count", 0, 0, math.MaxUint64, "end after so many samples; 0 goes on")
	limit(cmd.Flags(), &ends, "for", 0, 0, longest, "end after this time, for example 10s; 0 goes on")
	cmd.Flags().BoolVar(&opts.JSON, "json", false, "print one JSON object a line")
	return cmd
}

// unusable classifies why a device did not open or stopped: a wrong word is
// the user's, a part of the bench that is not there, or a file, is 4 as in a run.
func unusable(ctx context.Context, kind string, err error) error {
	switch {
	case err == nil:
		return nil
	case ctx.Err() != nil:
		return exit.ErrInterrupted
	case errors.Is(err, source.ErrSpec):
		return exit.Usage(err, "plumbline watch --help shows the forms")
	case kind == "replay":
		return exit.With(reports.ExitUnavailable, err, "name a recording that is there and whole")
	case kind == "mqtt":
		return exit.With(reports.ExitUnavailable, err, "check that the broker runs and is reachable from here")
	default:
		return exit.With(reports.ExitUnavailable, err, "")
	}
}
