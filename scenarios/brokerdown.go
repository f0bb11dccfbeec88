package scenarios

// Delivery over a restart of the broker, where that is a part of its own.
//
// Requirement: DEL-03.
//
// Procedure "brokerdown":
//  1. Start the system and publish QoS 1 messages.
//  2. Again and again restart the broker; devices, bridge and witness come back
//     by themselves.
//  3. Drain and count every message that the witness saw the broker pass on. What
//     it did not see is the broker's or the witness's and is not counted.

import (
	"context"
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

var _ = spec.Describe("Delivery over the broker", func(s *spec.Suite) {
	s.Scenario(spec.Scenario{
		ID: "brokerdown", Title: "loses nothing that the broker passed on over restarts of it",
		Requirements: []string{"DEL-03"}, Loads: []string{"brokerdown"}, Apart: harness.OwnProcesses,
		Drive: driveBrokerDown, Judge: judgeBrokerDown,
	})
})

func driveBrokerDown(ctx context.Context, t *spec.Trial) {
	l := t.Load("brokerdown")
	t.Step("start the system with %d viewers; publish %.0f QoS 1 messages/s from %d devices", l.Viewers, l.Rate, l.Devices)
	b := t.Open(ctx, harness.Plan{Load: l})
	t.Step("%d times: restart the broker and let everybody come back", l.Cycles)
	t.Check(b.Around(ctx, "brokerdown", 500*time.Millisecond, time.Second, func(ctx context.Context) error {
		for i := range l.Cycles {
			if err := fault.Apply(ctx, b.Recorder, brokerRestart{SUT: b.SUT, number: i + 1}, 0); err != nil {
				return err
			}
			if came, err := back(ctx, b, patient(t.Limit("REC-02"), patience)); !came {
				return err
			}
			if err := b.Fresh(ctx, patient(t.Limit("REC-02"), freshPatience)); err != nil {
				return err
			}
			if err := harness.Wait(ctx, 500*time.Millisecond); err != nil {
				return err
			}
		}
		return nil
	}))
	t.Step("drain, end everything and count")
	t.Check(b.Finish(ctx))
}

func judgeBrokerDown(c *spec.Case) {
	l, j := c.Load("brokerdown"), newJudged(c)
	j.restarted(l.Cycles)
	j.passedOn("DEL-03", j.samples("DEL-03"))
	j.show(fmt.Sprintf("t0i→t4, %d restarts of the broker (what could not be sent meanwhile counts as missing)", l.Cycles), slotOf(10*time.Second))
}

// brokerRestart is a restart of the broker as a fault.
type brokerRestart struct {
	*sut.SUT
	number int
}

var _ fault.Fault = brokerRestart{}

// Name implements fault.Fault.
func (r brokerRestart) Name() string { return fmt.Sprintf("restart %d of the broker", r.number) }

// Inject implements fault.Fault: it returns when the broker is ready again.
func (r brokerRestart) Inject(ctx context.Context) error { return r.RestartBroker(ctx) }

// Revert implements fault.Fault; there is nothing left to do.
func (brokerRestart) Revert(context.Context) error { return nil }

// restarted demands that the witness lost its connection as often as the broker
// was to be restarted: else it was not.
func (j *judged) restarted(cycles int) {
	lost := 0
	log := j.history.Log()
	for _, e := range log.Events {
		for _, n := range log.Index.Nodes {
			if e.Kind == record.Disconnected && n.Role == "witness" && e.Subject == n.Name && e.Fields["error"] != "" {
				lost++
			}
		}
	}
	if lost < cycles {
		j.unmet = append(j.unmet, stats.Gate{
			Reason: reports.ReasonRig, Cure: "a hook restartBroker that restarts the broker",
			Detail: fmt.Sprintf("the broker was restarted %d times, and the witness lost its connection to it %d times", cycles, lost),
		})
	}
}

// passedOn judges that everything that the witness saw the broker pass on
// reached every viewer. A message that the witness missed decides nothing.
func (j *judged) passedOn(id string, least int64) {
	d, found := j.history.Delivery(j.options(id))
	var lost []reports.Finding
	for _, f := range ofKind(found, "lost") {
		if f.Confirmed {
			lost = append(lost, f)
		}
	}
	j.none(id, "loss/losses", "deliveries of messages that the broker passed on", d.Delivered+d.Lost, d.Lost, 0, lost, least)
}
