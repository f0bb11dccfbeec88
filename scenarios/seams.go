package scenarios

// Seams: does what befalls a serial device end where it ends?
//
// Requirements: HW-03, HW-04, HW-05.
//
// Procedure "seams":
//  1. Stand up node twins on ports of their own; wait until every viewer shows all.
//  2. Again and again something befalls each, another thing each time: it is
//     unplugged, its firmware hangs, it loses its power and babbles when it has it
//     back, its line is read at half its speed, it starts anew within a line.
//  3. While that lasts no viewer may be shown anything of it as new.
//  4. When it is over wait until every viewer shows what it says then.
//  5. Hold what viewers were shown against what the wires carried.

import (
	"context"
	"errors"
	"fmt"
	"math"
	"slices"
	"sync"
	"time"

	"plumbline/harness"
	"plumbline/harness/fault"
	"plumbline/harness/oracle"
	"plumbline/harness/spec"
	"plumbline/harness/stats"
	"plumbline/reports"
)

var _ = spec.Describe("Seams of serial devices", func(s *spec.Suite) {
	s.Scenario(spec.Scenario{
		ID: "seams", Title: "is fresh again after what befalls a serial device, with nothing damaged, doubled or made up over the seam",
		Requirements: []string{"HW-03", "HW-04", "HW-05"}, Loads: []string{"seams"},
		Drive: driveSeams, Judge: judgeSeams,
	})
})

// befall is what happens to a device that is silent: what begins it, before the
// device speaks again unless it is mute, and what ends it. In between nothing that
// it says can be read.
type befall struct {
	name       string
	mute       bool
	begin, end func(ctx context.Context, d *befallen) error
	inTurn     bool // it ends for one device after another, each when the one before is shown again
}

var befalls = []befall{
	{name: "unplugged", begin: func(ctx context.Context, d *befallen) error { return d.Unplug(ctx) }, end: func(ctx context.Context, d *befallen) error { return d.Plug(ctx) }},
	{name: "hung", mute: true, begin: nothing, end: func(ctx context.Context, d *befallen) error { return d.Impair(ctx, harness.Impairment{}) }},
	{name: "without power", begin: func(ctx context.Context, d *befallen) error { return d.Power(ctx, false) }, end: func(ctx context.Context, d *befallen) error {
		return d.anew(ctx, func() error { return d.Power(ctx, true) })
	}},
	{name: "read at half its speed", begin: func(ctx context.Context, d *befallen) error {
		d.misread = d.line.Line.BaudFault(wireBaud, wireBaud/2)
		return d.line.Ledger.Between(ctx, harness.Gone, func() error { return d.misread.Inject(ctx) })
	}, end: func(ctx context.Context, d *befallen) error {
		return d.line.Ledger.Between(ctx, harness.Whole, func() error { return d.misread.Revert(ctx) })
	}},
	{name: "started anew within a line", mute: true, begin: nothing, end: func(ctx context.Context, d *befallen) error {
		return d.anew(ctx, func() error { return errors.Join(d.Reset(ctx), d.Impair(ctx, harness.Impairment{})) })
	}},
}

func nothing(context.Context, *befallen) error { return nil }

// befallen is one device that something befalls.
type befallen struct {
	harness.Starter
	line    harness.SerialLine
	misread fault.Fault // while it is read at another speed
}

// anew lets a device start behind the half of a line.
func (d *befallen) anew(ctx context.Context, start func() error) error {
	if err := d.line.Ledger.Between(ctx, harness.Whole, d.line.Ledger.Torn); err != nil {
		return err
	}
	return start()
}

// seamsFacts is what befell devices and what screens showed.
type seamsFacts struct {
	wiresFacts
	Back     []oracle.Stimulus `json:"back"`                 // the end of each, and the message that showed it
	Silences []silence         `json:"silences"`             // while each lasted
	Periods  []time.Duration   `json:"periods_ns,omitempty"` // of the wires' lines, in their order
}

// silence is a time in which a device could say nothing, as one viewer saw it.
type silence struct {
	Device string `json:"device"`
	Viewer string `json:"viewer"`
	What   string `json:"what"`
	At     int64  `json:"at_ns"`
	Shown  uint64 `json:"shown"`  // of its lines, in that time
	Passed uint64 `json:"passed"` // that passed the broker in that time: late, or once more
}

// seams is the scenario at work.
type seams struct {
	*wires
	limit time.Duration
	turn  sync.Mutex // held from the end of what befalls one device until it is shown again, where that goes in turn
	mu    sync.Mutex
	facts seamsFacts // Back and Silences, owned by mu
}

func driveSeams(ctx context.Context, t *spec.Trial) {
	l := t.Load("seams")
	if why := noPorts(); why != "" {
		t.Keep(seamsFacts{wiresFacts: wiresFacts{Absent: why}})
		return
	}
	t.Step("start the system with %d viewers; stand up %d nodes on ports of their own", l.Viewers, l.Devices)
	x := &seams{wires: openWires(ctx, t, l), limit: max(2*t.Limit("HW-03").Time, loopPatience)}
	t.Step("%d times let one of %d things befall each for %s, another each time, and wait until every viewer shows it again", l.Cycles, len(befalls), l.Hold)
	t.Check(x.Around(ctx, "seams", 0, 0, func(ctx context.Context) error {
		if err := x.shown(ctx, l.Drain, func(_ string, total, _ uint64) bool { return total > 0 }); err != nil {
			return err
		}
		for cycle := range l.Cycles {
			if err := x.all(ctx, cycle, l.Hold); err != nil {
				return err
			}
		}
		return x.settle(ctx, l.Drain)
	}))
	t.Step("drain, end everything and hold the screens against the wires")
	t.Check(x.Finish(ctx))
	x.facts.wiresFacts = x.wires.facts()
	t.Keep(x.facts)
}

// all lets something befall every device at the same time. One that a viewer was
// not shown again in time is left alone from then on: of it all is known, and to
// wait for it each time would take the run minutes.
func (x *seams) all(ctx context.Context, cycle int, hold time.Duration) error {
	errs := make([]error, len(x.specs))
	var group sync.WaitGroup
	for i, d := range x.specs {
		if !x.lost[d.ID] {
			group.Go(func() { errs[i] = x.one(ctx, d.ID, befalls[(cycle+i)%len(befalls)], hold) })
		}
	}
	group.Wait()
	x.leave()
	return errors.Join(errs...)
}

// leave leaves those alone that a viewer was not shown again.
func (x *seams) leave() {
	for _, b := range x.facts.Back {
		if b.Seq == 0 {
			x.lost[b.Device] = true
		}
	}
}

// one lets something befall a device, and keeps what screens showed meanwhile and
// when they showed it again.
func (x *seams) one(ctx context.Context, device string, b befall, hold time.Duration) error {
	fixture, err := x.Fixture(device)
	if err != nil {
		return err
	}
	starter, able := fixture.(harness.Starter)
	if !able {
		return fmt.Errorf("%w: device %q cannot be started anew", harness.ErrBench, device)
	}
	d := &befallen{Starter: starter, line: x.Serial[device]}
	// What is on its way between reader and screen must not count as shown while the
	// device can say nothing: it falls silent first, until every screen shows its
	// last line.
	if err := d.Impair(ctx, harness.Impairment{Frozen: true}); err != nil {
		return err
	}
	screens := append(append([]*harness.Screen{}, x.screens...), x.passed)
	before := make([]uint64, len(screens))
	settling, cancel := context.WithTimeout(ctx, x.limit)
	defer cancel()
	for i, s := range screens {
		s.Rolled(settling, device, func(_, last uint64) bool { return last >= d.line.Ledger.Last() })
		before[i] = s.Roll(device).Total
	}
	err = b.begin(ctx, d)
	if err == nil && !b.mute {
		err = d.Impair(ctx, harness.Impairment{})
	}
	if err != nil {
		return fmt.Errorf("%w: %q %s: %w", harness.ErrBench, device, b.name, err)
	}
	since := x.Clock.Now()
	if err := harness.Wait(ctx, hold); err != nil {
		return err
	}
	if b.inTurn {
		x.turn.Lock()
		defer x.turn.Unlock()
	}
	shown := x.since(ctx, device, before)
	var quiet []silence
	for i, name := range x.names {
		quiet = append(quiet, silence{device, name, b.name, since, shown[i], shown[len(x.names)]})
	}
	for i := range before {
		before[i] += shown[i]
	}
	at := x.Clock.Now()
	if err := b.end(ctx, d); err != nil {
		return fmt.Errorf("%w: %q no longer %s: %w", harness.ErrBench, device, b.name, err)
	}
	limited, done := context.WithTimeout(ctx, x.limit)
	defer done()
	var back []oracle.Stimulus
	for i, name := range x.names {
		s := oracle.Stimulus{Device: device, Viewer: name, What: "no longer " + b.name, At: at}
		s.Seq, s.Passed = screens[i].Beyond(limited, device, before[i])
		s.Passed = s.Passed || x.passed.Roll(device).Total > before[len(x.names)]
		back = append(back, s)
	}
	x.mu.Lock()
	defer x.mu.Unlock()
	x.facts.Back, x.facts.Silences = append(x.facts.Back, back...), append(x.facts.Silences, quiet...)
	return ctx.Err()
}

func judgeSeams(c *spec.Case) {
	facts := spec.Facts[seamsFacts](c)
	if absent(c, facts.Absent) {
		return
	}
	j := newJudged(c)
	j.back("HW-03", facts.Back)
	j.carried("HW-04", facts.wiresFacts)
	j.quiet("HW-05", facts.Silences)
	j.show("t0i→t4, seams", time.Second)
}

// back judges how soon devices were shown again. One whose driver had nothing of it
// for so long that the system kept the limit from then on is not held against it.
func (j *judged) back(id string, ends []oracle.Stimulus) {
	l, found := j.history.Responses(j.options(id), ends)
	var times []stretch
	var slow int64
	limit := j.Limit(id).Time
	for i, ms := range l.Series.Value {
		took := time.Duration(ms * 1e6)
		switch before := time.Duration(l.Heard(i) - l.Series.Due[i]); {
		case math.IsInf(ms, 1):
		case took > limit && before > 0 && took-before <= limit:
			slow++
		default:
			times = append(times, stretch{l.Series.Due[i], took})
		}
	}
	was := j.unmet
	j.unmet = append(slices.Clone(was), astray(found, "ends of what befell devices")...)
	if slow > 0 {
		j.unmet = append(j.unmet, stats.Gate{
			Reason: reports.ReasonRig, Cure: "a quieter machine", Detail: fmt.Sprintf("%d devices were back so late that nothing can be said of the system", slow),
		})
	}
	j.within(id, "shown again", times, ofKind(found, "not-shown"), j.samples(id))
	j.unmet = was
}

// quiet judges that nothing was shown as new of devices that could say nothing.
func (j *judged) quiet(id string, silences []silence) {
	shown, late, found := j.broken(id, silences)
	j.none(id, "silence/silences broken", "silences of devices at viewers", int64(len(silences)), shown, late, found, j.samples(id))
}

// broken tells silences in which something was shown, and those of them in which as
// much was published, which is held against nobody.
func (j *judged) broken(id string, silences []silence) (shown, late int64, found []reports.Finding) {
	for _, s := range silences {
		switch {
		case s.Shown > 0 && s.Shown <= s.Passed:
			late++
			found = append(found, reports.Finding{
				Requirement: id, Kind: "published-late", Subject: s.Device, At: time.Duration(s.At), Evidence: j.base.Evidence,
				Detail: fmt.Sprintf("%d lines passed the broker while it was %s: they were published late, or again", s.Passed, s.What),
			})
		case s.Shown > 0:
			shown++
			found = append(found, reports.Finding{
				Requirement: id, Kind: "not-silent", Subject: s.Viewer + " ← " + s.Device, At: time.Duration(s.At), Confirmed: true, Evidence: j.base.Evidence,
				Detail: fmt.Sprintf("%d lines were shown as new while it was %s", s.Shown, s.What),
			})
		}
	}
	return shown, late, found
}
