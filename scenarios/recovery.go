package scenarios

// Recovery: how fast, and how completely, does everything come back?
//
// Requirements: REC-01 with DEL-02, DEL-05, DEL-07 and ORD-02; REC-02; REC-03.
//
// Procedure "client":
//  1. Start the bridge; viewers connect through a proxy.
//  2. Again and again cut every viewer's connection, by FIN and by RST in turn,
//     refuse new ones for a while, then let them come back, under load.
//  3. Judge the time to fresh data, losses, duplicates and the seam.
//
// Procedure "broker":
//  1. Start the bridge; devices connect through a proxy.
//  2. Cut the devices' connections, then black-hole them, then stop the broker's
//     process with SIGSTOP, each for a while, under load.
//  3. Judge the time from the end of each outage to fresh data at every viewer.
//
// Procedure "halfopen":
//  1. Start the bridge with a short heartbeat; viewers, with a keep alive as short
//     where they speak MQTT, connect through a proxy.
//  2. Swallow everything viewers send, pongs above all, without closing anything.
//  3. Judge the time until the bridge has dropped the silent viewers.

import (
	"context"
	"fmt"
	"time"

	"plumbline/harness"
	"plumbline/harness/fault"
	"plumbline/harness/spec"
)

// freshPatience is how long the next fault waits at least for the data that shall follow the one before.
const freshPatience = 10 * time.Second

// heartbeat of the bridge where a scenario waits for it.
const heartbeat = time.Second

var _ = spec.Describe("Recovery", func(s *spec.Suite) {
	s.Scenario(spec.Scenario{
		ID: "client", Title: "gives a viewer that was cut off everything it missed, fast, once and in order",
		Requirements: []string{"REC-01", "DEL-02", "DEL-05", "DEL-07", "ORD-02"}, Loads: []string{"client"},
		Drive: driveCut, Judge: judgeCut,
	})
	s.Scenario(spec.Scenario{
		ID: "broker", Title: "shows fresh data soon after an outage between devices and broker",
		Requirements: []string{"REC-02"}, Loads: []string{"broker"}, Apart: harness.OwnProcesses, Faults: 3,
		Drive: driveOutage, Judge: judgeOutage,
	})
	s.Scenario(spec.Scenario{
		ID: "halfopen", Title: "drops a viewer that has gone silent",
		Requirements: []string{"REC-03"}, Loads: []string{"halfopen"},
		Drive: driveHalfOpen, Judge: judgeHalfOpen,
	})
})

func driveCut(ctx context.Context, t *spec.Trial) {
	l := t.Load("client")
	t.Step("start the bridge; %d viewers behind a proxy, %d devices with %.0f messages/s", l.Viewers, l.Devices, l.Rate)
	b := t.Open(ctx, harness.Plan{Load: l, ViewerFault: true})
	t.Step("%d times: cut every viewer for %s, by FIN and RST in turn, and let them resume", l.Cycles, l.Hold)
	t.Check(b.Around(ctx, "client", 500*time.Millisecond, time.Second, func(ctx context.Context) error {
		for i := range l.Cycles {
			if err := fault.Apply(ctx, b.Recorder, b.ViewerProxy.CutFault(i%2 == 1), l.Hold); err != nil {
				return err
			}
			if came, err := back(ctx, b, patient(t.Limit("REC-01"), patience)); !came {
				return err
			}
			// The next cut must not come before fresh data could: that would be a fault of the cut, not of the bridge.
			if err := b.Fresh(ctx, patient(t.Limit("REC-01"), freshPatience)); err != nil {
				return err
			}
			if err := harness.Wait(ctx, 300*time.Millisecond); err != nil {
				return err
			}
		}
		return nil
	}))
	t.Step("drain, end everything and judge the way back of every viewer")
	t.Check(b.Finish(ctx))
}

func judgeCut(c *spec.Case) {
	l, j := c.Load("client"), newJudged(c)
	j.exercised(l.Cycles * l.Viewers)
	j.resumed("REC-01", j.samples("REC-01"))
	j.lost("DEL-02", j.samples("DEL-02"))
	j.duplicated("DEL-05", 1)
	j.honest("DEL-07", j.samples("DEL-07"))
	j.seam("ORD-02", j.samples("ORD-02"))
	j.show(fmt.Sprintf("t0i→t4, %d cuts of %s", l.Cycles, l.Hold), slotOf(time.Duration(l.Cycles)*time.Second))
}

func driveOutage(ctx context.Context, t *spec.Trial) {
	l := t.Load("broker")
	t.Step("start the bridge; %d devices behind a proxy with %.0f messages/s, %d viewers", l.Devices, l.Rate, l.Viewers)
	b := t.Open(ctx, harness.Plan{Load: l, BrokerFault: true})
	outages := []fault.Fault{b.BrokerProxy.CutFault(true), b.BrokerProxy.BlackHoleFault(fault.Both), fault.Freeze("SIGSTOP of the broker's process", b.SUT)}
	t.Step("%d times: cut the devices, black-hole them, stop the broker's process, %s each", l.Cycles, l.Hold)
	t.Check(b.Around(ctx, "broker", 500*time.Millisecond, time.Second, func(ctx context.Context) error {
		for range l.Cycles {
			for _, outage := range outages {
				if err := fault.Apply(ctx, b.Recorder, outage, l.Hold); err != nil {
					return err
				}
				// The next outage must not come before fresh data could, see driveCut.
				if err := b.Fresh(ctx, patient(t.Limit("REC-02"), freshPatience)); err != nil {
					return err
				}
				if err := harness.Wait(ctx, 300*time.Millisecond); err != nil {
					return err
				}
			}
		}
		return nil
	}))
	t.Step("drain, end everything and judge how fast fresh data came after each outage")
	t.Check(b.Finish(ctx))
}

func judgeOutage(c *spec.Case) {
	l, j := c.Load("broker"), newJudged(c)
	times, found := freshAfterFaults(j.history.Log(), "REC-02")
	j.interrupted()
	j.within("REC-02", "end of outage to fresh data", times, found, j.samples("REC-02"))
	j.show(fmt.Sprintf("t0i→t4, outages of %s between devices and broker (what could not be sent meanwhile counts as missing)", l.Hold), slotOf(10*time.Second))
}

func driveHalfOpen(ctx context.Context, t *spec.Trial) {
	l := t.Load("halfopen")
	t.Step("start the bridge with a heartbeat of %s; %d viewers behind a proxy", heartbeat, l.Viewers)
	b := t.Open(ctx, harness.Plan{
		Load: l, ViewerFault: true, Silence: time.Minute, // so that the bridge, not the viewer, ends it
		// Of it MQTT grants 1.5 [MQTT-3.1.2-22]. What a broker takes beyond that is its own affair: Mosquitto 2.0
		// looks at its clients every six seconds (src/keepalive.c).
		KeepAlive: heartbeat,
		Config:    map[string]any{"viewers.heartbeat": heartbeat.String()},
	})
	limit := t.Limit("REC-03").Time
	var seen silences
	t.Step("%d times: swallow everything the viewers send, without closing anything, until the bridge drops them", l.Cycles)
	t.Check(b.Around(ctx, "halfopen", 500*time.Millisecond, time.Second, func(ctx context.Context) error {
		for range l.Cycles {
			if err := seen.silence(ctx, b, 2*limit); err != nil {
				return err
			}
			if came, err := back(ctx, b, patience); !came {
				return err
			}
		}
		return nil
	}))
	t.Step("drain, end everything and judge the times until the connections were dropped")
	t.Check(b.Finish(ctx))
	t.Keep(seen)
}

func judgeHalfOpen(c *spec.Case) {
	j, seen := newJudged(c), spec.Facts[silences](c)
	found := j.watchedFor("REC-03", seen.Found, 2*j.Limit("REC-03").Time)
	j.within("REC-03", "onset of silence to the connection's end", seen.Times, found, j.samples("REC-03"))
	j.show("t0i→t4, half-open viewers", slotOf(10*time.Second))
}
