package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"math"
	"os"
	"path/filepath"
	"time"

	"github.com/spf13/cobra"

	"plumbline/harness/bench"
	"plumbline/harness/calibrate"
	"plumbline/harness/cmd/plumbline/internal/exit"
	"plumbline/harness/spec"
	"plumbline/reports"
)

// referenceVerb is the hidden verb that turns this program into the reference
// bridge of a calibration.
const referenceVerb = "reference-bridge"

func newReferenceBridge(s streams) *cobra.Command {
	return &cobra.Command{
		Use: referenceVerb, Short: "Be the bridge of known delay that a calibration measures", Args: noArgs, Hidden: true,
		RunE: func(cmd *cobra.Command, _ []string) error { return calibrate.Serve(cmd.Context(), s.out) },
	}
}

// calibration is what the flags say about calibrating.
type calibration struct {
	history string // file of the control chart; "" for none
	record  string // file to write the calibration to; "" for none
}

func (c *calibration) addHistory(cmd *cobra.Command) {
	cmd.Flags().StringVar(&c.history, "calibration-history", "", "file of the control chart of this rig: calibrations are held against it and added to it")
}

// check refuses a history that cannot be read before anything is measured.
func (c *calibration) check() error {
	if c.history == "" {
		return nil
	}
	_, err := calibrate.ReadHistory(c.history)
	return exit.Usage(err, "mend the file named by --calibration-history, or name one that does not exist yet")
}

// measure calibrates this rig at those delays, nil for all of them, and keeps
// the outcome. known is how many calibrations the chart rests on.
func (c *calibration) measure(ctx context.Context, delays []time.Duration) (r *calibrate.Record, known int, err error) {
	self, err := os.Executable()
	if err != nil {
		return nil, 0, exit.With(reports.ExitUnavailable, fmt.Errorf("where this program lies: %w", err), "start it by its path")
	}
	r, err = calibrate.Run(ctx, calibrate.Options{Command: []string{self, referenceVerb}, Delays: delays})
	if err != nil {
		return nil, 0, exit.With(reports.ExitUnavailable, err, "plumbline doctor shows what this machine lacks")
	}
	if c.history != "" {
		past, err := calibrate.ReadHistory(c.history)
		if err == nil {
			known = past.Check(r)
			err = calibrate.AppendHistory(c.history, r)
		}
		if err != nil {
			return nil, 0, exit.Usage(err, "mend the file named by --calibration-history, or name one that does not exist yet")
		}
	}
	if c.record != "" {
		if err := r.WriteFile(c.record); err != nil {
			return nil, 0, exit.Usage(fmt.Errorf("write the calibration: %w", err), "name a file in a folder that you may write to")
		}
	}
	return r, known, nil
}

// reference is the delay at which a campaign is calibrated whose profile names
// none, when a chart is given.
const reference = 20 * time.Millisecond

// prepare lets a campaign calibrate before and after, where its profile or a
// chart asks for that.
func (c *calibration) prepare(opts *spec.Options) error {
	if c.history != "" && opts.Profile.Gates.Reference == 0 {
		opts.Reference = reference
	}
	opts.Calibrate = func(ctx context.Context, delay time.Duration) (*calibrate.Record, error) {
		r, _, err := c.measure(ctx, []time.Duration{delay})
		return r, err
	}
	return c.check()
}

// plausible is how far the median may be from the delay that was inserted.
const plausible = 200 * time.Microsecond

// show prints the calibration and returns what Doctor says of it.
func (c *calibration) show(w io.Writer, r *calibrate.Record, known int) []bench.Check {
	fmt.Fprintf(w, "\nwhat this rig adds to a delay (reference bridge in a process of its own, loopback, %g frames/s):\n", r.Rate)
	fmt.Fprintf(w, "  %10s %7s %11s %11s %11s %11s\n", "delay", "n", "p50", "p99", "p99.9", "max")
	worst := time.Duration(0)
	for _, l := range r.Levels {
		fmt.Fprintf(w, "  %10s %7d %11s %11s %11s %11s\n", l.Delay, l.N, inMillis(l.P50), inMillis(l.P99), inMillis(l.P999), inMillis(l.Max))
		worst = max(worst, l.P50)
	}
	fmt.Fprintf(w, "the noise floor at p99.9 lets limits from %s on be judged\n\n", inMillis(limitFrom(r)))
	median := bench.Check{Name: "calibration", Status: bench.OK, Detail: fmt.Sprintf("the median is within %s of every delay", inMillis(worst))}
	if worst > plausible {
		median.Status, median.Mend = bench.Warn, fmt.Sprintf("end other programs: %s is what a quiet machine keeps to", inMillis(plausible))
	}
	checks := []bench.Check{median}
	if c.history == "" {
		return checks
	}
	chart := bench.Check{Name: "control chart", Status: bench.OK, Detail: fmt.Sprintf("in control; %d calibrations before this one", known)}
	switch {
	case r.Outside != "":
		chart.Status, chart.Detail = bench.Bad, r.Outside
		chart.Mend = "find what changed and calibrate again; after a change on purpose name another --calibration-history"
	case known < calibrate.ChartLeast:
		chart.Status, chart.Detail = bench.Unknown, fmt.Sprintf("%d calibrations before this one; limits take %d", known, calibrate.ChartLeast)
	}
	return append(checks, chart)
}

// limitFrom is the smallest limit at p99.9 that the rig can judge: ten times what
// it adds (metrology 0).
func limitFrom(r *calibrate.Record) time.Duration {
	worst := time.Duration(0)
	for _, l := range r.Levels {
		worst = max(worst, l.P999)
	}
	return 10 * worst
}

// inMillis prints microseconds as a part of a millisecond.
func inMillis(d time.Duration) string {
	return fmt.Sprintf("%.3f ms", math.Round(float64(d)/1e3)/1e3)
}

// errRecordFolder says that a record would go nowhere.
var errRecordFolder = errors.New("its folder does not exist")

// checkRecord refuses a file that cannot be written before anything is measured.
func (c *calibration) checkRecord() error {
	if c.record == "" {
		return nil
	}
	if info, err := os.Stat(filepath.Dir(c.record)); err != nil || !info.IsDir() {
		return exit.Usage(fmt.Errorf("--calibration-record %q: %w", c.record, errRecordFolder), "make the folder, or name a file in another one")
	}
	return nil
}
