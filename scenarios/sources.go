package scenarios

// Real input: does everything that a bench can be fed from run through?
//
// Requirements: DEL-01, DEL-05, DEL-06 and ORD-01, confirmed with other sources.
//
// Procedure "sources":
//  1. Open the devices of the rig file; without one: this machine's own sensors,
//     an NMEA 0183 receiver on a pseudo terminal, a recording, and a sensor that
//     publishes to the broker by itself.
//  2. Let all of them speak; the harness publishes what has to be published.
//  3. Drain, count, and name each source in the report as simulated, replayed or
//     real, with what it damaged.

import (
	"context"
	"fmt"
	"strings"

	"plumbline/harness"
	"plumbline/harness/spec"
)

var _ = spec.Describe("Real input", func(s *spec.Suite) {
	s.Scenario(spec.Scenario{
		ID: "sources", Title: "carries host sensors, a serial line, a recording and a sensor of its own alike",
		Requirements: []string{"DEL-01", "DEL-05", "DEL-06", "ORD-01"}, Loads: []string{"sources"}, Declared: true,
		Drive: driveSources, Judge: judgeSources,
	})
})

func driveSources(ctx context.Context, t *spec.Trial) {
	l := t.Load("sources")
	var names []string
	for _, d := range t.Rig.Devices() {
		names = append(names, d.ID+" ("+d.Kind+")")
	}
	t.Step("start the bridge with %d viewers; open %s", l.Viewers, strings.Join(names, ", "))
	b := t.Open(ctx, harness.Plan{Load: l, Sources: t.Rig.Devices(), Filters: t.Rig.Filters()})
	t.Step("let all sources speak for %s", l.Window)
	t.Check(b.Window(ctx, "sources", l.WarmUp, l.Window))
	t.Step("drain, end everything and count")
	t.Check(b.Finish(ctx))
}

func judgeSources(c *spec.Case) {
	l, j := c.Load("sources"), newJudged(c)
	if silent := j.silent(); len(silent) > 0 {
		c.Check(fmt.Errorf("%w: nothing came from %s in %s", harness.ErrBench, strings.Join(silent, ", "), l.Window))
	}
	j.lost("DEL-01", 1)
	j.duplicated("DEL-05", 1)
	j.genuine("DEL-06", 1)
	j.ordered("ORD-01", 1)
	j.show("t0i→t4, all sources", slotOf(l.Window))
}

// silent returns the devices that never said anything: a run that did not hear
// them says nothing about them.
func (j *judged) silent() (names []string) {
	for _, row := range j.history.Integrity(j.Scenario.ID, j.options("")) {
		if row.Sent == 0 && row.Witnessed == 0 {
			names = append(names, row.Device)
		}
	}
	return names
}
