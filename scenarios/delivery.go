package scenarios

// Delivery: does everything arrive, once?
//
// Requirements: DEL-01, DEL-05, ORD-01 confirmed under full load; DEL-02 with
// ORD-02 and REC-01 (recovery.go); DEL-04 with DEL-05, DEL-07 and ORD-02.
//
// Procedure "load":
//  1. Start the bridge with many devices and many viewers over TLS.
//  2. Warm up, then publish in an open loop.
//  3. Drain and count: lost, duplicated, reordered.
//
// Procedure "kill":
//  1. Start the bridge and publish QoS 1 messages with a producer sequence.
//  2. Again and again: kill the bridge with SIGKILL at an arbitrary instant and
//     start it again; devices and viewers come back by themselves and resume.
//  3. Drain and count every acknowledged message at every viewer.

import (
	"cmp"
	"context"
	"fmt"
	"math/rand/v2"
	"time"

	"plumbline/harness"
	"plumbline/harness/fault"
	"plumbline/harness/profile"
	"plumbline/harness/spec"
	"plumbline/harness/viewer"
)

var _ = spec.Describe("Delivery", func(s *spec.Suite) {
	s.Scenario(spec.Scenario{
		ID: "load", Title: "loses, doubles and reorders nothing with many devices and many viewers",
		Requirements: []string{"DEL-01", "DEL-05", "ORD-01"}, Loads: []string{"load"}, Apart: harness.OtherHosts,
		Drive: driveLoad, Judge: judgeLoad,
	})
	s.Scenario(spec.Scenario{
		ID: "kill", Title: "brings every acknowledged message to the viewer, once and in order, over SIGKILLs of the bridge",
		Requirements: []string{"DEL-04", "DEL-05", "DEL-07", "ORD-02"}, Loads: []string{"kill"}, Apart: harness.OwnProcesses,
		Drive: driveKill, Judge: judgeKill,
	})
})

func driveLoad(ctx context.Context, t *spec.Trial) {
	l := t.Load("load")
	t.Step("start the bridge with %d viewers over TLS and %d devices", l.Viewers, l.Devices)
	b := t.Open(ctx, harness.Plan{Load: l})
	t.Step("warm up for %s, then publish %.0f messages/s for %s in an open loop", l.WarmUp, l.Rate, l.Window)
	t.Check(b.Window(ctx, "load", l.WarmUp, l.Window))
	t.Step("drain, end everything and count")
	t.Check(b.Finish(ctx))
}

func judgeLoad(c *spec.Case) {
	l, j := c.Load("load"), newJudged(c)
	j.lost("DEL-01", 1)
	j.duplicated("DEL-05", 1)
	j.ordered("ORD-01", 1)
	j.show(fmt.Sprintf("t0i→t4, %d devices, %d viewers", l.Devices, l.Viewers), slotOf(l.WarmUp+l.Window))
}

func driveKill(ctx context.Context, t *spec.Trial) {
	l := t.Load("kill")
	t.Step("start the bridge with %d viewers, journal policy os; publish %.0f QoS 1 messages/s from %d devices", l.Viewers, l.Rate, l.Devices)
	b := t.Open(ctx, harness.Plan{Load: l, Config: map[string]any{"journal.sync": "os"}})
	t.Step("%d times: SIGKILL the bridge, start it again, let devices and viewers resume", l.Cycles)
	t.Check(b.Around(ctx, "kill", 500*time.Millisecond, time.Second, func(ctx context.Context) error {
		return kills(ctx, b, l, t.Rig.Seed())
	}))
	t.Step("drain, end everything and count")
	t.Check(b.Finish(ctx))
}

func judgeKill(c *spec.Case) {
	l, j := c.Load("kill"), newJudged(c)
	j.exercised(l.Cycles * l.Viewers)
	j.lost("DEL-04", j.samples("DEL-04"))
	j.duplicated("DEL-05", 1)
	j.honest("DEL-07", 1)
	j.seam("ORD-02", 1)
	j.show(fmt.Sprintf("t0i→t4, %d SIGKILLs (what could not be sent meanwhile counts as missing)", l.Cycles), slotOf(time.Duration(l.Cycles)*2*time.Second))
}

// kills kills and restarts the bridge at instants drawn from the seed.
func kills(ctx context.Context, b *harness.Bench, l profile.Load, seed uint64) error {
	draw := rand.New(rand.NewPCG(seed, 1)) //nolint:gosec // reproducible instants, not secrets
	for i := range l.Cycles {
		if err := fault.Apply(ctx, b.Recorder, fault.Kill(fmt.Sprintf("SIGKILL %d", i+1), b.SUT), absence(b)); err != nil {
			return err
		}
		if came, err := back(ctx, b, patience); !came {
			return err
		}
		if err := harness.Wait(ctx, 200*time.Millisecond+time.Duration(draw.Int64N(int64(400*time.Millisecond)))); err != nil {
			return err
		}
	}
	return nil
}

// absence is how long a killed system stays away. Where viewers poll it is long enough for each of them to ask in it: a system that
// is back between two questions was never missed, and nothing is learned of the way back.
func absence(b *harness.Bench) time.Duration {
	if v := b.SUT.Viewer(); v.Protocol == viewer.Poll {
		return 3 * cmp.Or(v.Interval, viewer.DefaultInterval)
	}
	return 0
}
