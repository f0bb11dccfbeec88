package scenarios

// Clock: does a step of the wall clock break anything?
//
// Requirement: RES-06.
//
// Procedure "clockstep":
//  1. Start the bridge with viewers and devices.
//  2. Set the clock of the system an hour ahead, and after a while back again: by
//     the descriptor's hook stepClock, else by fault.ClockStep for the process of
//     the bridge alone.
//  3. No session may end by that, and nothing may be lost or doubled. The Date of
//     the system's answers to HTTP must show each step, or nothing was tried.
//
// The harness measures on a monotonic clock of its own.

import (
	"context"
	"errors"
	"fmt"
	"time"

	"plumbline/harness"
	"plumbline/harness/fault"
	"plumbline/harness/record"
	"plumbline/harness/spec"
	"plumbline/harness/stats"
	"plumbline/harness/sut"
	"plumbline/reports"
)

// clockStep is how far the clock goes ahead and back.
const clockStep = time.Hour

var _ = spec.Describe("Clock", func(s *spec.Suite) {
	s.Scenario(spec.Scenario{
		ID: "clockstep", Title: "keeps sessions and messages when the wall clock steps ahead and back",
		Requirements: []string{"RES-06"}, Loads: []string{"clockstep"},
		Drive: driveClockStep, Judge: judgeClockStep,
	})
})

func driveClockStep(ctx context.Context, t *spec.Trial) {
	l := t.Load("clockstep")
	t.Step("start the bridge with %d devices and %d viewers whose tokens outlast the step", l.Devices, l.Viewers)
	fleet := l
	fleet.Viewers = 0
	b := t.Open(ctx, harness.Plan{Load: fleet, Config: map[string]any{"viewers.heartbeat": heartbeat.String()}})
	for i := range l.Viewers {
		cfg := harness.ViewerConfig(b, fmt.Sprintf("viewer-%02d", i+1))
		if b.SUT.Mints() {
			cfg.Token = func(context.Context) (string, error) {
				return b.SUT.Token(sut.TokenSpec{Subject: cfg.Name, Grants: []string{harness.AllTopics}, TTL: 24 * clockStep})
			}
		}
		_, err := b.AddViewer(ctx, cfg)
		t.Check(err)
	}
	t.Step("%d times: set the clock %s ahead for %s, and back", l.Cycles, clockStep, l.Hold)
	var seen clockFacts
	t.Check(b.Around(ctx, "clockstep", clockLead, 0, func(ctx context.Context) error {
		if seen.look(ctx, b); seen.Unknown != "" {
			return nil // a step that nobody can see proves nothing
		}
		for range l.Cycles {
			err := fault.During(ctx, b.Recorder, clockFault(b), func(ctx context.Context) error { return seen.after(ctx, b, l.Hold) })
			if err != nil {
				return seen.failed(ctx, err, hooked(b), b.SUT.Exited(), b.SUT.Err)
			}
			if err := seen.after(ctx, b, l.Hold); err != nil {
				return err
			}
		}
		return nil
	}))
	t.Step("drain, end everything and judge sessions, losses and duplicates")
	t.Check(b.Finish(ctx))
	t.Keep(seen)
}

// clockFacts is what the system said about the time of day.
type clockFacts struct {
	Offsets []time.Duration `json:"offsets_ns"` // of its clock from ours, before the first step and after each
	Unknown string          `json:"unknown"`    // why it said nothing, "" when it did
	Refused string          `json:"refused"`    // why the clock was not stepped, "" when it was
	Hook    bool            `json:"hook"`       // it was the descriptor's hook that did not
}

// hooked reports whether the clock is stepped by a hook of the descriptor.
func hooked(b *harness.Bench) bool { return len(b.SUT.Descriptor().Hooks.StepClock) > 0 }

// beyond says why the harness cannot step the clock of this system, which gives no
// hook for it, on this machine: its processes let themselves not be changed. "" when
// it can. What was tried on a child of the harness (fault.NoClockStep) is known of
// the system itself only here. A step that was made and could not be taken back is
// no reason.
func (f clockFacts) beyond() string {
	if f.Refused == "" || f.Hook || len(f.Offsets) > 1 {
		return ""
	}
	return "the clock of its processes cannot be stepped here, and it names no hook stepClock: " + f.Refused
}

// lastWord is how long the news of a death may take after what first shows it.
const lastWord = time.Second

// failed keeps why the clock was not stepped, and returns no error then. Who is no
// more lets nobody step its clock either: of that it returns gone, and any other
// error as it is.
func (f *clockFacts) failed(ctx context.Context, err error, hook bool, exited <-chan struct{}, gone func() error) error {
	timer := time.NewTimer(lastWord)
	defer timer.Stop()
	select {
	case <-exited:
		return gone()
	case <-ctx.Done():
		return context.Cause(ctx)
	case <-timer.C:
	}
	if errors.Is(err, fault.ErrUnavailable) {
		f.Refused, f.Hook = err.Error(), hook
		return nil
	}
	return err
}

// clockFault sets the clock ahead, and back when it is reverted.
func clockFault(b *harness.Bench) fault.Fault {
	const name = "wall clock an hour ahead"
	if !hooked(b) {
		return fault.ClockStep(name, b.SUT, clockStep)
	}
	by := func(step time.Duration) func(context.Context) error {
		return func(ctx context.Context) error { return b.SUT.StepClock(ctx, step) }
	}
	return restart{name, by(clockStep), by(-clockStep)}
}

// after looks at the clock some time after a step, for hold in all at least.
func (f *clockFacts) after(ctx context.Context, b *harness.Bench, hold time.Duration) error {
	if err := harness.Wait(ctx, max(hold, dateKept)); err != nil {
		return err
	}
	f.look(ctx, b)
	return ctx.Err()
}

// look notes how far the clock is from ours.
func (f *clockFacts) look(ctx context.Context, b *harness.Bench) {
	date, err := b.SUT.Date(ctx)
	if err != nil {
		f.Unknown = err.Error()
		return
	}
	f.Offsets = append(f.Offsets, time.Until(date))
}

const (
	// clockSlack is how far a step that was seen may be from the one that was asked
	// for: a Date has whole seconds, and answers take time.
	clockSlack = time.Minute
	// dateKept is how long a server may give the same Date: Node.js keeps it for a
	// second.
	dateKept = 1100 * time.Millisecond
	// clockLead is how long messages flow before the first step.
	clockLead = 300 * time.Millisecond
)

// unseen returns the gate of steps that could not be made, or that the system's
// clock did not show; nil when it showed all.
func (f clockFacts) unseen(cycles int) []stats.Gate {
	if f.Refused != "" {
		return []stats.Gate{{
			Reason: reports.ReasonRig, Detail: "the clock was not stepped: " + f.Refused,
			Cure: "a hook stepClock in the descriptor that steps the clock of the system, or a harness with the rights of a debugger over its processes",
		}}
	}
	why := f.Unknown
	if want := 2*cycles + 1; why == "" && len(f.Offsets) != want {
		why = fmt.Sprintf("its clock was seen %d times, not %d", len(f.Offsets), want)
	}
	for i := 1; why == "" && i < len(f.Offsets); i++ {
		by, want := f.Offsets[i]-f.Offsets[i-1], clockStep
		if i%2 == 0 {
			want = -clockStep
		}
		if (by - want).Abs() > clockSlack {
			why = fmt.Sprintf("its clock went by %s when it was to step by %s", by.Round(time.Second), want)
		}
	}
	if why == "" {
		return nil
	}
	return []stats.Gate{{
		Reason: reports.ReasonSamples, Cure: "a hook stepClock that steps the clock of the system, and a page of it with a Date",
		Detail: "nothing shows that the clock stepped: " + why,
	}}
}

func judgeClockStep(c *spec.Case) {
	seen := spec.Facts[clockFacts](c)
	if why := seen.beyond(); why != "" {
		notAsked(c, "RES-06", why)
		return
	}
	l, j := c.Load("clockstep"), newJudged(c)
	j.unmet = append(j.unmet, seen.unseen(l.Cycles)...)
	j.steady("RES-06", "effect of the step/effects of the step")
	j.show("t0i→t4, the clock steps ahead and back", slotOf(time.Duration(2*l.Cycles+1)*l.Hold))
}

// steady judges that no session of a viewer ended and nothing was lost or
// doubled.
func (j *judged) steady(id, noun string) {
	d, found := j.history.Delivery(j.options(id))
	found = ofKind(found, "lost", "duplicate")
	events, suspicions := d.Lost+d.Duplicated, int64(0)
	for _, e := range j.history.Log().Events {
		if e.Kind == record.DrainEnd {
			break
		}
		if e.Kind != record.Disconnected || !j.isViewer(e.Subject) {
			continue
		}
		// Whoever is still for some heartbeats is left alone, or leaves.
		stood := j.stood.Still(sessionPatience, e.At-int64(sessionPatience), e.At)
		if stood {
			suspicions++
		} else {
			events++
		}
		found = append(found, reports.Finding{
			Requirement: id, Kind: "session-ended", Subject: e.Subject, Confirmed: !stood, At: time.Duration(e.At),
			Detail: fmt.Sprintf("the session ended: code %s, %s", e.Fields["code"], e.Fields["reason"]),
		})
	}
	j.unmet = append(j.unmet, rigAway(suspicions, j.stood.Untold(sessionPatience))...)
	j.none(id, noun, "deliveries of acknowledged messages", d.Owed, events, d.Unconfirmed+suspicions, found, j.samples(id))
}

// sessionPatience is before the end of a session what a standstill of the rig has to
// do with it: heartbeats were missed then, by either side.
const sessionPatience = 8 * heartbeat

func (j *judged) isViewer(name string) bool {
	for _, n := range j.history.Log().Index.Nodes {
		if n.Name == name {
			return n.Role == "viewer"
		}
	}
	return false
}
