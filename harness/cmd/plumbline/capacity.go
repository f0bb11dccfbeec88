package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"plumbline/harness"
	"plumbline/harness/capacity"
	"plumbline/harness/cmd/plumbline/internal/console"
	"plumbline/harness/cmd/plumbline/internal/exit"
	"plumbline/harness/profile"
	"plumbline/harness/spec"
	"plumbline/harness/sut"
	"plumbline/reports"
	"plumbline/reports/render"
)

// capacityFlags are the flags of capacity.
type capacityFlags struct {
	sut, bridged, seed, from, into, plot string
	axis                                 string // or allAxes
	place                                place
	climb                                capacity.Options
	given                                func(name string) bool // whether a flag was
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
	flags.StringVar(&f.into, "into", "", "Markdown file that holds the marks of each axis: put steps and costs there")
	flags.StringVar(&f.plot, "plot", "", "SVG file to be written, or folder for a capacity-AXIS.svg of each axis: latency and processor along it, with the knee")
	f.place.add(flags)
	flags.StringVar(&f.axis, "axis", "viewers", "what is raised: "+strings.Join(capacity.Axes, ", ")+", or "+allAxes+" one after the other")
	limit(flags, &o.From, "from", 0, 1, profile.MaxRate, "the first step; by default, as for the flags that follow, what suits the axis")
	limit(flags, &o.To, "to", 0, 1, capacity.MaxPayload, "the largest")
	limit(flags, &o.Factor, "factor", 0, 1.1, 100, "from one step to the next")
	limit(flags, &o.Refine, "refine", 0, 0, capacity.MaxSteps, "further steps between the last that held and the first that did not")
	limit(flags, &o.Load.Devices, "devices", 0, 1, capacity.MaxDevices, "devices that publish, along another axis")
	limit(flags, &o.Load.Rate, "rate", 0, leastHz, profile.MaxRate, "messages a second over all devices, along another axis")
	limit(flags, &o.Load.Viewers, "viewers", 0, 1, capacity.MaxViewers, "viewers, each of which watches all devices, along another axis")
	limit(flags, &o.Load.Idle, "idle", 0, 0, capacity.MaxViewers, "viewers beside them that watch what is never published, along another axis")
	limit(flags, &o.Processes, "processes", 0, 1, harness.MaxProcesses, "processes that hold the viewers; by default as many as their number takes descriptors for")
	limit(flags, &o.Generators, "generators", 0, 1, harness.MaxProcesses, "processes that publish, a share of the devices each; by default as many as their number takes descriptors for")
	limit(flags, &o.Load.Payload, "payload", 0, 0, capacity.MaxPayload, "bytes by which payloads are longer, along another axis")
	limit(flags, &o.Load.WarmUp, "warm-up", 0, 0, longest, "before each step is measured")
	limit(flags, &o.Load.Window, "window", 0, capacity.LeastWindow, longest, "for which each step is measured")
	limit(flags, &o.LatencyMost, "latency", 0, time.Microsecond, time.Hour, "p99 that a step may have")
	f.given = flags.Changed
	return cmd
}

// allAxes asks for every axis.
const allAxes = "all"

// along is the climb along an axis: what was given, else what suits it.
func (f *capacityFlags) along(axis string) capacity.Options {
	o := f.climb
	o.Axis = axis
	usual := capacity.Usual(axis)
	for name, suit := range map[string]func(){
		"from": func() { o.From = usual.From }, "to": func() { o.To = usual.To }, "factor": func() { o.Factor = usual.Factor }, "refine": func() { o.Refine = usual.Refine },
		"devices": func() { o.Load.Devices = usual.Load.Devices }, "rate": func() { o.Load.Rate = usual.Load.Rate }, "viewers": func() { o.Load.Viewers = usual.Load.Viewers },
		"warm-up": func() { o.Load.WarmUp = usual.Load.WarmUp }, "window": func() { o.Load.Window = usual.Load.Window }, "latency": func() { o.LatencyMost = usual.LatencyMost },
	} {
		if !f.given(name) {
			suit()
		}
	}
	return o
}

// run measures or reads, and shows.
func (f *capacityFlags) run(ctx context.Context, s streams) error {
	if f.from != "" {
		c, err := capacity.Read(f.from)
		if err != nil {
			return exit.Usage(err, "name a run directory of plumbline capacity, one that holds "+capacity.File)
		}
		return f.tell(s, c, f.from)
	}
	if f.given(f.axis) {
		return exit.Usage(fmt.Errorf("--%s beside --axis %s: that is what is raised", f.axis, f.axis), "give the first step with --from and the largest with --to")
	}
	axes := []string{f.axis}
	if f.axis == allAxes {
		axes = capacity.Axes
		if f.place.runDir != "" {
			return exit.Usage(errors.New("--run-dir is one folder, and every axis has its own"), "name the folder that is to hold them with --output-dir")
		}
		if f.plot != "" && f.plotOf("x") == f.plot {
			return exit.Usage(fmt.Errorf("--plot %q is no folder, and every axis has a file of its own", f.plot), "name a folder that is there")
		}
	}
	for _, axis := range axes { // before anything is measured
		if f.into == "" {
			continue
		}
		begin, end := capacityMarks(axis)
		if err := marked(f.into, begin, end); err != nil {
			return err
		}
	}
	for _, axis := range axes {
		c, dir, err := f.measured(ctx, s, axis)
		if err != nil {
			return err
		}
		if err := f.tell(s, c, dir); err != nil {
			return err
		}
	}
	return nil
}

// tell shows what was measured, and puts it where it was asked for.
func (f *capacityFlags) tell(s streams, c *reports.Capacity, dir string) error {
	plot := f.plotOf(c.Axis)
	if plot != "" {
		if err := draw(s, c, plot); err != nil {
			return err
		}
	}
	var text bytes.Buffer
	if err := render.Capacity(&text, c); err != nil {
		return err
	}
	var err error
	if f.into == "" {
		_, err = s.out.Write(text.Bytes())
	} else {
		begin, end := capacityMarks(c.Axis)
		err = put(s.out, f.into, begin, end, f.shown(c, plot)+text.String())
	}
	if err != nil {
		return err
	}
	_, err = fmt.Fprintf(s.out, "capacity: %s\n", console.Clean(filepath.Join(dir, capacity.File)))
	return err
}

// plotOf is the file of the plot of an axis, "" for none.
func (f *capacityFlags) plotOf(axis string) string {
	if info, err := os.Stat(f.plot); f.plot != "" && err == nil && info.IsDir() {
		return filepath.Join(f.plot, "capacity-"+axis+".svg")
	}
	return f.plot
}

// capacityMarks are the marks in a Markdown file between which stands what was carried along
// an axis.
func capacityMarks(axis string) (begin, end string) {
	return fmt.Sprintf("<!-- capacity along %s: generated by plumbline capacity --axis %s --into README.md -->", axis, axis), fmt.Sprintf("<!-- /capacity along %s -->", axis)
}

// draw writes the plot.
func draw(s streams, c *reports.Capacity, path string) error {
	var text bytes.Buffer
	if err := render.PlotCapacity(&text, c); err != nil {
		return err
	}
	if err := os.WriteFile(path, text.Bytes(), 0o644); err != nil { //nolint:gosec // G306: a plot is for others to look at
		return exit.Usage(fmt.Errorf("--plot: %w", err), "name a file in a folder that is there and may be written to")
	}
	_, err := fmt.Fprintf(s.out, "written: %s\n", console.Clean(path))
	return err
}

// shown is how the Markdown file shows the plot, "" where it is not beside or below it.
func (f *capacityFlags) shown(c *reports.Capacity, plot string) string {
	place, err := filepath.Rel(filepath.Dir(f.into), plot)
	if plot == "" || err != nil || !filepath.IsLocal(place) || strings.ContainsAny(place, " ()<>") {
		return ""
	}
	return fmt.Sprintf("![Latency and processor along %s](%s)\n\n", c.Axis, filepath.ToSlash(place))
}

// measured is the capacity along an axis and the folder that it lies in.
func (f *capacityFlags) measured(ctx context.Context, s streams, axis string) (*reports.Capacity, string, error) {
	o := f.along(axis)
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
	place := f.place
	if place.kind += "-" + axis; f.axis != allAxes {
		place = f.place
	}
	if o.Dir, err = place.make(); err != nil {
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
