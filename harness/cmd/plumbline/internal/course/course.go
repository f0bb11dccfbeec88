// Package course tells the course of a run to whoever wants it: the file in the run
// directory, another program by way of --events, the terminal, a collector of
// metrics. It turns what the engine tells into reports/events, numbers it and hands
// it on. Nobody who listens can hold up the run: see Outlet.
package course

import (
	"errors"
	"io"
	"sync"
	"time"

	"plumbline/harness/spec"
	"plumbline/reports"
	"plumbline/reports/events"
)

// Listener is told one event after the other. It must not block and not change
// what it is told.
type Listener interface {
	Apply(e events.Event)
}

// Course numbers the events of one run. Its methods may be called by any goroutine.
type Course struct {
	run events.Run // Scenarios and Expected come with the first event
	now func() time.Time

	mu        sync.Mutex
	seq       uint64
	began     time.Time
	file      io.WriteCloser // nil before Keep and after Close
	fileErr   error          // the first of the file: a full disk must be told once, at the end
	outlets   []*Outlet
	listeners []Listener
}

// New starts the course of a run. run holds what is known before the engine begins,
// now is the clock that dates what is not dated.
func New(run events.Run, now func() time.Time) *Course {
	run.Format = events.Format
	return &Course{run: run, now: now}
}

// Identify names the run, which has no name before it has a directory.
func (c *Course) Identify(id string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.run.ID = id
}

// Keep writes what follows to the file of the run directory. It is closed by Close.
func (c *Course) Keep(file io.WriteCloser) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.file = file
}

// Send also sends what follows to o, which the caller closes.
func (c *Course) Send(o *Outlet) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.outlets = append(c.outlets, o)
}

// Listen also tells l what follows.
func (c *Course) Listen(l Listener) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.listeners = append(c.listeners, l)
}

// Tell passes on what the engine told.
func (c *Course) Tell(ev spec.Event) {
	left := ev.Left.Seconds()
	e := events.Event{
		Time: ev.At, Kind: events.Kind(ev.Kind), Scenario: ev.Scenario, Title: ev.Title, Step: events.Cut(ev.Step), Index: ev.Index, Total: ev.Total,
		Attempt: ev.Attempt, Fault: ev.Fault, Figures: ev.Figures, Results: inShort(ev.Results), Left: &left,
	}
	switch ev.Kind {
	case spec.RunBegan:
		e.Run = c.planned(ev.Plan)
	case spec.ScenarioFinished:
		verdict := ev.Verdict
		e.Verdict, e.Headline, e.Took = &verdict, events.Cut(ev.Headline), ev.Elapsed.Seconds()
	case spec.StepBegan:
		e.Title = "" // scenario-began told it
	}
	c.tell(e)
}

// planned is the run with what will be done in it.
func (c *Course) planned(plan []events.Planned) *events.Run {
	c.mu.Lock()
	defer c.mu.Unlock()
	run := c.run
	run.Scenarios = append([]events.Planned{}, plan...)
	for _, sc := range plan {
		run.Expected += sc.Expected
	}
	return &run
}

// End tells the verdict of a run that is over, and closes the file; its first error
// is returned. What follows goes to the others only.
func (c *Course) End(run *reports.Run, exit int) error {
	if run != nil {
		verdict := run.Judge()
		counts := map[string]int{}
		for _, j := range run.Judgements() {
			counts[j.Verdict.String()]++
		}
		c.tell(events.Event{Kind: events.RunEnded, Verdict: &verdict, Exit: &exit, Partial: events.Cut(run.Partial), Counts: counts})
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.file == nil {
		return c.fileErr
	}
	err := errors.Join(c.fileErr, c.file.Close())
	c.file = nil
	return err
}

// Reported tells where the reports are.
func (c *Course) Reported(path string) {
	c.tell(events.Event{Kind: events.Reported, Report: path})
}

// tell numbers an event and hands it to all.
func (c *Course) tell(e events.Event) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if e.Time.IsZero() {
		e.Time = c.now()
	}
	if e.Kind == events.RunBegan || c.began.IsZero() {
		c.began = e.Time
	}
	e.Elapsed = max(e.Time.Sub(c.began), 0).Seconds()
	e.Time = e.Time.UTC().Round(0)
	c.seq++
	e.Seq = c.seq
	line, err := events.Encode(&e)
	if err == nil && c.file != nil && c.fileErr == nil {
		_, err = c.file.Write(line)
	}
	if c.fileErr == nil {
		c.fileErr = err
	}
	for _, o := range c.outlets {
		o.put(e.Seq, line)
	}
	for _, l := range c.listeners {
		l.Apply(e)
	}
}

// inShort shortens results and marks those that decide nothing.
func inShort(results []reports.Result) []events.Result {
	var out []events.Result
	for i := range results {
		r := events.InShort(&results[i])
		known, _ := spec.Requirement(r.Requirement)
		r.Optional = known.Requirement.Class == reports.Optional
		out = append(out, r)
	}
	return out
}
