package main

import (
	"context"
	"fmt"
	"io"
	"os"
	"time"

	"github.com/spf13/pflag"

	"plumbline/harness/cmd/plumbline/internal/console"
	"plumbline/harness/cmd/plumbline/internal/course"
	"plumbline/harness/cmd/plumbline/internal/exit"
	"plumbline/harness/cmd/plumbline/internal/otlp"
	"plumbline/harness/spec"
	"plumbline/reports/events"
)

// showFlags say who sees a campaign while it goes on.
type showFlags struct {
	plain, quiet bool
	events       string
	otlp         string

	out *os.File // of events, once it is open; several runs share it
}

func (f *showFlags) add(flags *pflag.FlagSet) {
	flags.BoolVar(&f.plain, "plain", false, "lines only, on a terminal too: nothing is redrawn, no colours")
	flags.BoolVar(&f.quiet, "quiet", false, "print only warnings and, at the end, what did not pass, the totals and where the report is")
	flags.StringVar(&f.events, "events", "", "also write the course of the run as JSON lines: to a file, to a descriptor by its number, or to - for standard output, and all for people to standard error then")
	flags.StringVar(&f.otlp, "otlp", "", "also send figures to this collector of OpenTelemetry, for example http://127.0.0.1:4318; by default what OTEL_EXPORTER_OTLP_ENDPOINT says, when that is on this machine")
}

// style is how to write to the people's stream. Events on the same terminal would
// run into a block there.
func (f *showFlags) style(s streams) console.Style {
	style := f.people(s).style()
	if f.events == "-" && s.style().Live {
		style.Live = false
	}
	if f.plain || f.quiet {
		style = console.Style{Quiet: f.quiet, Color: style.Color && !f.plain}
	}
	return style
}

// showing is a campaign that is shown: on the console, as events, as metrics.
type showing struct {
	streams  streams // where people read
	style    console.Style
	progress *console.Progress
	course   *course.Course
	ends     []func() // what close does, the last first
}

// farewellLimit is how long a program that leaves at once waits for its terminal.
const farewellLimit = 200 * time.Millisecond

// start opens everything that the flags name; all its errors are the user's. The
// caller must close what it returns.
func (f *showFlags) start(ctx context.Context, s streams, run events.Run) (*showing, error) {
	collector, err := otlp.Find(f.otlp, s.getenv)
	if err != nil && f.otlp != "" {
		return nil, exit.Usage(err, "")
	}
	if err := f.open(); err != nil {
		return nil, err
	}
	w := &showing{streams: f.people(s), course: course.New(run, time.Now)}
	w.style = f.style(s)
	w.progress = console.NewProgress(w.streams.out, w.style, time.Now)
	w.course.Listen(w.progress)
	stop := context.AfterFunc(ctx, w.progress.Interrupted)
	s.last.set(func() { w.progress.Leave(farewellLimit) })
	w.ends = append(w.ends, func() {
		stop()
		s.last.set(nil)
		_ = w.progress.Close() // a reader that went away; the summary meets it again
	})
	w.sendEvents(f, s)
	if err != nil { // in the environment, where it may be meant for others
		w.progress.Note("plumbline: " + err.Error())
	}
	if collector != nil {
		exporter := otlp.Start(otlp.Options{Endpoint: collector, Version: thisBuild().Version, Warn: w.warn})
		w.course.Listen(exporter)
		w.ends = append(w.ends, exporter.Close)
	}
	return w, nil
}

// open opens what --events names, when it names something to open.
func (f *showFlags) open() error {
	if f.out != nil || f.events == "" || f.events == "-" {
		return nil
	}
	var err error
	if f.out, err = course.Open(f.events); err != nil {
		return exit.Usage(fmt.Errorf("--events: %w", err), "name a file in a folder that you may write to, the number of an open descriptor, or -")
	}
	return nil
}

// end closes it, when all runs are over.
func (f *showFlags) end() {
	if f.out != nil {
		_ = f.out.Close() // what could not be written was warned of
		f.out = nil
	}
}

// people returns the streams with that for people as the first: standard output may
// be for events.
func (f *showFlags) people(s streams) streams {
	if f.events == "-" {
		s.out = s.err
	}
	return s
}

// sendEvents sends the events to where --events says.
func (w *showing) sendEvents(f *showFlags, s streams) {
	var to io.Writer = f.out
	switch f.events {
	case "":
		return
	case "-":
		to = s.out
	}
	outlet := course.NewOutlet(to, w.warn)
	w.course.Send(outlet)
	w.ends = append(w.ends, outlet.Close)
}

// warn tells people something beside the run.
func (w *showing) warn(text string) { w.progress.Note("plumbline: " + text) }

// tell passes on what the engine tells.
func (w *showing) tell(ev spec.Event) {
	w.course.Tell(ev)
	if ev.Kind == spec.ScenarioFinished {
		w.progress.Done(ev.Scenario, ev.Elapsed, ev.Results)
	}
}

// close ends all of it. It may be called again.
func (w *showing) close() {
	for len(w.ends) > 0 {
		last := len(w.ends) - 1
		w.ends[last]()
		w.ends = w.ends[:last]
	}
}
