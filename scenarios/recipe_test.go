package scenarios

// Procedure "slowline": start, delay the line to the viewers, drain and count.

import (
	"context"
	"time"

	"plumbline/harness"
	"plumbline/harness/fault"
	"plumbline/harness/spec"
)

var _ = spec.Describe("Slow line", func(s *spec.Suite) {
	s.Scenario(spec.Scenario{
		ID: "slowline", Title: "loses nothing on a slow line between bridge and viewers",
		Requirements: []string{"DEL-01", "ORD-01"}, Loads: []string{"client"}, Drive: driveSlowLine, Judge: judgeSlowLine,
	})
})

func driveSlowLine(ctx context.Context, t *spec.Trial) { // touches the live system, judges nothing
	t.Step("start the bridge with %d viewers behind a proxy", t.Load("client").Viewers)
	b := t.Open(ctx, harness.Plan{Load: t.Load("client"), ViewerFault: true})
	t.Step("delay the line by 50 ms ± 20 ms for 3 s, drain and count")
	slow := b.ViewerProxy.LatencyFault(fault.Downstream, 50*time.Millisecond, 20*time.Millisecond, t.Rig.Seed())
	t.Check(b.Around(ctx, "slowline", time.Second, time.Second, func(ctx context.Context) error {
		return fault.Apply(ctx, b.Recorder, slow, 3*time.Second)
	}))
	t.Check(b.Finish(ctx))
}

func judgeSlowLine(c *spec.Case) { // sees the run directory and nothing else
	j := newJudged(c)
	j.lost("DEL-01", 1)
	j.ordered("ORD-01", 1)
	j.show("t0i→t4, a slow line", 100*time.Millisecond)
}
