package scenarios

// Order over quality: does a topic keep its order when some of its messages
// are acknowledged and others are not?
//
// Requirement: ORD-03.
//
// Procedure "mixed":
//  1. Start the bridge.
//  2. Again and again one device publishes a micro-burst to one topic, QoS 0 and
//     QoS 1 in turn, back to back.
//  3. Judge the order in which the messages of the topic arrived.

import (
	"context"
	"errors"
	"fmt"
	"time"

	"plumbline/harness"
	"plumbline/harness/load"
	"plumbline/harness/record"
	"plumbline/harness/spec"
	"plumbline/reports"
)

var _ = spec.Describe("Order", func(s *spec.Suite) {
	s.Scenario(spec.Scenario{
		ID: "mixed", Title: "keeps the order of a topic over QoS 0 and QoS 1",
		Requirements: []string{"ORD-03"}, Loads: []string{"mixed"},
		Drive: driveMixed, Judge: judgeMixed,
	})
})

// mixedDevice publishes with both qualities.
const mixedDevice = "mixed"

func driveMixed(ctx context.Context, t *spec.Trial) {
	l := t.Load("mixed")
	t.Step("start the bridge with %d viewers", l.Viewers)
	b := t.Open(ctx, harness.Plan{Load: l})
	hand, err := b.Hand(ctx, mixedDevice, nil)
	t.Check(err)
	line, err := hand.Line(ctx, record.Stream{Device: mixedDevice, Topic: harness.Topic(mixedDevice), Mode: string(reports.ModeSim), QoS: 1})
	t.Check(err)
	t.Step("%d times: publish %d messages to one topic back to back, QoS 0 and QoS 1 in turn", l.Cycles, l.Burst)
	t.Check(b.Around(ctx, "mixed", 0, 50*time.Millisecond, func(ctx context.Context) error {
		burst := make([]load.Parcel, l.Burst)
		for i := range burst {
			burst[i] = load.Parcel{QoS: byte(i % 2), Value: float64(i)}
		}
		for range l.Cycles {
			if _, err := line.Send(ctx, burst...); err != nil {
				return err
			}
			if err := acked(ctx, hand); errors.Is(err, errStuck) {
				return nil // the recording shows how far it came
			} else if err != nil {
				return err
			}
		}
		return nil
	}))
	t.Step("drain, end everything and judge the order")
	t.Check(b.Finish(ctx))
}

func judgeMixed(c *spec.Case) {
	l, j := c.Load("mixed"), newJudged(c)
	j.base.Devices = []string{mixedDevice}
	j.ordered("ORD-03", j.samples("ORD-03"))
	j.show(fmt.Sprintf("t0i→t4, %d micro-bursts of both qualities", l.Cycles), 100*time.Millisecond)
}
