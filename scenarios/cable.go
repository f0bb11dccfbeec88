package scenarios

// Cable: is a serial device shown rightly after an hour without its cable?
//
// Requirements: HW-08, HW-09.
//
// Procedure "cable":
//  1. Stand up node twins on ports of their own; wait until every viewer shows all.
//  2. Let them fall silent, pull the cables and let an hour of the devices' time pass
//     at once: they say what they would have said, and nobody hears it.
//  3. For a while look whether a viewer is shown anything of them as new.
//  4. Put the cables back, one after another as a hand does and a hub takes them, and
//     wait each time until every viewer shows what its device says then.
//  5. Hold what viewers were shown against what the wires carried: of the hour
//     nothing, before and after it all.

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"plumbline/harness"
	"plumbline/harness/oracle"
	"plumbline/harness/spec"
	"plumbline/harness/stats"
	"plumbline/reports"
)

var _ = spec.Describe("An hour without a cable", func(s *spec.Suite) {
	s.Scenario(spec.Scenario{
		ID: "cable", Title: "shows a serial device again after an hour without its cable, and nothing of that hour",
		Requirements: []string{"HW-08", "HW-09"}, Loads: []string{"cable"},
		Drive: driveCable, Judge: judgeCable,
	})
})

// cableOut is how long a cable is out by the clock of its device.
const cableOut = time.Hour

func driveCable(ctx context.Context, t *spec.Trial) {
	l := t.Load("cable")
	if why := noPorts(); why != "" {
		t.Keep(seamsFacts{wiresFacts: wiresFacts{Absent: why}})
		return
	}
	t.Step("start the system with %d viewers; stand up %d nodes on ports of their own", l.Viewers, l.Devices)
	x := &seams{wires: openWires(ctx, t, l), limit: max(2*t.Limit("HW-08").Time, loopPatience)}
	t.Step("pull the cables for %s of the devices' time, fast-forward, and for %s of ours", cableOut, l.Hold)
	t.Check(x.Around(ctx, "cable", 0, 0, func(ctx context.Context) error {
		if err := x.shown(ctx, l.Drain, func(_ string, total, _ uint64) bool { return total >= 10 }); err != nil {
			return err
		}
		errs := make([]error, len(x.specs))
		var group sync.WaitGroup
		for i, d := range x.specs {
			group.Go(func() { errs[i] = x.one(ctx, d.ID, outForAnHour, l.Hold) })
		}
		group.Wait()
		x.leave()
		if err := errors.Join(errs...); err != nil {
			return err
		}
		return x.settle(ctx, l.Drain)
	}))
	t.Step("drain, end everything and hold the screens against the wires")
	t.Check(x.Finish(ctx))
	x.facts.wiresFacts = x.wires.facts()
	for _, d := range x.specs {
		period, err := time.ParseDuration(d.Period)
		if err != nil { // left out
			period = harness.NodePeriod
		}
		x.facts.Periods = append(x.facts.Periods, period)
	}
	t.Keep(x.facts)
}

// outForAnHour is what befalls the devices.
var outForAnHour = befall{name: "without its cable for an hour", inTurn: true, begin: func(ctx context.Context, d *befallen) error {
	if err := d.Unplug(ctx); err != nil {
		return err
	}
	// It speaks again before its time goes on: who is frozen says nothing.
	return errors.Join(d.Impair(ctx, harness.Impairment{}), d.Advance(ctx, cableOut))
}, end: func(ctx context.Context, d *befallen) error { return d.Plug(ctx) }}

func judgeCable(c *spec.Case) {
	facts := spec.Facts[seamsFacts](c)
	if absent(c, facts.Absent) {
		return
	}
	j := newJudged(c)
	j.back("HW-08", facts.Back)
	j.untouched("HW-09", facts)
	j.show("t0i→t4, an hour without a cable", time.Second)
}

// untouched judges that an hour that nobody heard left no trace on a screen: what
// was said before and after it is shown once and in order, and nothing meanwhile.
func (j *judged) untouched(id string, facts seamsFacts) {
	h := oracle.Carried(j.options(id), facts.Wires, facts.screens(), passedName)
	shown, late, found := j.broken(id, facts.Silences)
	j.unmet = append(j.unmet, hours(facts)...)
	j.none(id, fmt.Sprintf("line/lines missing, doubled, out of order, made up or shown of %s without a cable", cableOut), "lines owed to screens",
		h.Owed, h.Harm+shown, h.Unpublished+late, append(h.Findings, found...), j.samples(id))
}

// hours are the gates of devices of which no hour passed: what they said without a
// cable, a line each period, does not come to one.
func hours(facts seamsFacts) (open []stats.Gate) {
	for i, w := range facts.Wires {
		lines, period := uint64(0), time.Duration(0) // which is no hour
		if i < len(facts.Periods) {
			period = facts.Periods[i]
		}
		for _, s := range w.Spoken {
			if !s.Whole {
				lines += s.Last - s.First + 1
			}
		}
		unheard := time.Duration(lines) * period
		if unheard < cableOut*9/10 { // their clocks drift
			open = append(open, stats.Gate{
				Reason: reports.ReasonRig, Cure: "a twin whose time can be skipped",
				Detail: fmt.Sprintf("%q said for %s what nobody heard, it was to be %s", w.Device, unheard.Round(time.Second), cableOut),
			})
		}
	}
	return open
}
