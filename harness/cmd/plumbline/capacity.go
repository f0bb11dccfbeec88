package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"runtime"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"plumbline/harness/capacity"
	"plumbline/harness/cmd/plumbline/internal/console"
	"plumbline/harness/cmd/plumbline/internal/exit"
	"plumbline/harness/spec"
	"plumbline/harness/sut"
	"plumbline/reports"
	"plumbline/reports/render"
)

// capacityFlags are the flags of capacity.
type capacityFlags struct {
	sut, bridged, seed, from string
	place                    place
	climb                    capacity.Options
}

func newCapacity(s streams) *cobra.Command {
	f := capacityFlags{place: place{kind: "capacity"}}
	cmd := &cobra.Command{
		Use: "capacity", Short: "Raise the load on a system until something gives way, and say what", Args: noArgs,
		Example: "plumbline capacity --axis viewers",
		Long: `Raises one thing, the number of viewers or of such that only wait, the rate, the number of devices or the size of payloads, from step to step until the
system does not carry it: what was due was not written, something was lost, or p99 is above --latency. Then it looks
between the last two. Each step is a fresh start. Prints the steps, what gave way and whose the processor was, how each cost
grew, and where a line through the steps leads for 100,000 and 1,000,000 viewers, with what any two of them would give.

Exit code 0: measured. 4: the system is not there.`,
		RunE: func(cmd *cobra.Command, _ []string) error { return f.run(cmd.Context(), s) },
	}
	flags, o := cmd.Flags(), &f.climb
	flags.StringVar(&f.sut, "sut", "", "descriptor of the system; without it the bridge of this project")
	flags.StringVar(&f.bridged, "bridged", "", "bridged executable; by default beside plumbline, then in $PATH")
	flags.StringVar(&f.seed, "seed", "random", "seed of twins and dither")
	flags.StringVar(&f.from, "show", "", "run directory of a capacity that was measured: print it again")
	f.place.add(flags)
	flags.StringVar(&o.Axis, "axis", "viewers", "what is raised: "+strings.Join(capacity.Axes, ", "))
	flags.Float64Var(&o.From, "from", 10, "the first step")
	flags.Float64Var(&o.To, "to", 2000, "the largest")
	flags.Float64Var(&o.Factor, "factor", 2, "from one step to the next")
	flags.IntVar(&o.Refine, "refine", 2, "further steps between the last that held and the first that did not")
	flags.IntVar(&o.Load.Devices, "devices", 20, "devices that publish, along another axis")
	flags.Float64Var(&o.Load.Rate, "rate", 100, "messages a second over all devices, along another axis")
	flags.IntVar(&o.Load.Viewers, "viewers", 20, "viewers, each of which watches all devices, along another axis")
	flags.IntVar(&o.Load.Idle, "idle", 0, "viewers beside them that watch what is never published, along another axis")
	flags.IntVar(&o.Processes, "processes", 0, "processes that hold the viewers; by default as many as their number takes descriptors for")
	flags.IntVar(&o.Load.Payload, "payload", 0, "bytes by which payloads are longer, along another axis")
	flags.DurationVar(&o.Load.WarmUp, "warm-up", time.Second, "before each step is measured")
	flags.DurationVar(&o.Load.Window, "window", 5*time.Second, "for which each step is measured")
	flags.DurationVar(&o.LatencyMost, "latency", 500*time.Millisecond, "p99 that a step may have")
	return cmd
}

// run measures or reads, and shows.
func (f *capacityFlags) run(ctx context.Context, s streams) error {
	c, dir, err := f.measured(ctx, s)
	if err != nil {
		return err
	}
	var text bytes.Buffer
	if err := render.Capacity(&text, c); err != nil {
		return err
	}
	if _, err := s.out.Write(text.Bytes()); err != nil {
		return err
	}
	_, err = fmt.Fprintf(s.out, "capacity: %s\n", console.Clean(filepath.Join(dir, capacity.File)))
	return err
}

// measured is the capacity and the folder that it lies in.
func (f *capacityFlags) measured(ctx context.Context, s streams) (*reports.Capacity, string, error) {
	if f.from != "" {
		c, err := capacity.Read(f.from)
		return c, f.from, exit.Usage(err, "name a run directory of plumbline capacity, one that holds "+capacity.File)
	}
	o := f.climb
	o.Cores, o.Generator, o.Viewing, o.Tool, o.Environment = runtime.NumCPU(), generatorCommand(), viewingCommand(), tool(), spec.Environment(ctx)
	var err error
	if o.Seed, err = parseSeed(f.seed); err != nil {
		return nil, "", err
	}
	if err := o.Check(); err != nil {
		return nil, "", exit.Usage(err, "plumbline capacity --help shows the flags")
	}
	if o.System, err = (&campaignFlags{sut: f.sut, bridged: f.bridged}).system(); err != nil {
		return nil, "", err
	}
	if o.Dir, err = f.place.make(); err != nil {
		return nil, "", err
	}
	o.Told = func(step reports.CapacityStep) {
		ended := "held"
		if !step.Held() {
			ended = console.Clean(step.Limit)
		}
		fmt.Fprintf(s.out, "%s %s: p99 %s, CPU %s a delivery: %s\n", o.Axis, render.Number(step.Value),
			render.Quantity(float64(step.LatencyP99), "ms"), render.Quantity(float64(step.CPU), "µs"), ended)
	}
	c, err := capacity.Climb(ctx, o)
	if errors.Is(err, sut.ErrUnavailable) {
		return nil, "", exit.With(reports.ExitUnavailable, err, "make build, or mend the descriptor of the system")
	}
	return c, o.Dir, classify(err)
}
