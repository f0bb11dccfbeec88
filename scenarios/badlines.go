package scenarios

// Bad lines: does anything get lost, doubled or mixed up that lines only delay,
// tear, repeat or break off?
//
// Requirement: REC-07.
//
// Procedure "badlines":
//  1. Start the system; devices, one of them on a serial line, connect through a
//     proxy that looks at MQTT packets, viewers through one that looks at
//     WebSocket frames where they speak it.
//  2. Apply faults drawn by the seed, one after the other, each once all viewers are
//     there and until it has done something, for two heartbeats at most: serial
//     noise, tears and stalls; late PUBLISH, swallowed PUBACK and resets between
//     devices and broker; late and torn messages, jitter and a narrow line to the
//     viewers. Where a viewer gets back what it missed also half-open connections,
//     swallowed pings and resets there.
//  3. Cut the devices once more, so that they send again what was not
//     acknowledged; drain and count every acknowledged message at every viewer.
//
// Nothing is asked that such a line could not carry: no PUBLISH is lost without
// its connection, and a repetition that the broker passed on is nobody's fault
// unless the system claims to deliver once.

import (
	"context"
	"fmt"
	"strings"
	"time"

	"plumbline/harness"
	"plumbline/harness/fault"
	"plumbline/harness/record"
	"plumbline/harness/spec"
	"plumbline/harness/stats"
	"plumbline/harness/sut"
	"plumbline/harness/viewer"
	"plumbline/reports"
)

const (
	// badDevices publish every badPeriod, besides the one on the serial line.
	badDevices = 10
	badPeriod  = 20 * time.Millisecond
	serialLine = "wire"
	// serialPeriod is how often that one says a line: each fault of its line, however
	// short, has some to act on.
	serialPeriod = 25 * time.Millisecond
)

var _ = spec.Describe("Bad lines", func(s *spec.Suite) {
	s.Scenario(spec.Scenario{
		ID: "badlines", Title: "loses, doubles and mixes up nothing on lines that delay, tear, repeat and break off",
		Requirements: []string{"REC-07"}, Loads: []string{"badlines"},
		Drive: driveBadLines, Judge: judgeBadLines,
	})
})

// badLinesFacts is what no record holds.
type badLinesFacts struct {
	Once bool `json:"once"` // the system claims to deliver once what is sent twice
}

func driveBadLines(ctx context.Context, t *spec.Trial) {
	l := t.Load("badlines")
	sources := badSources()
	specs, err := harness.ParseDevices("bad lines", []byte(sources))
	t.Check(err)
	t.Step("start the system; %d devices behind a proxy, %d viewers behind another", len(specs), l.Viewers)
	plan := harness.Plan{
		Load: l, Sources: specs, Packets: true, ViewerFault: true, Frames: framed(t.Rig.ViewerProtocol()),
		Config: map[string]any{"viewers.heartbeat": heartbeat.String()},
	}
	b := t.Open(ctx, plan)
	faults := badLines(b, plan.Frames, t.Rig.Has(sut.CapResume), t.Rig.Seed())
	steps, err := fault.Plan(t.Rig.Seed(), faults, l.Cycles, time.Duration(l.Cycles)*l.Hold*3/2, l.Hold)
	t.Check(err)
	for i := range steps {
		steps[i].Most = 2 * heartbeat                      // a ping comes once in a heartbeat only
		steps[i].Ready = func(ctx context.Context) error { // a connection is halved while it is there
			_, err := back(ctx, b, patience) // who stays away is in the recording
			return err
		}
	}
	t.Step("%d times: apply one of %d faults of the lines for up to %s, drawn by the seed, and longer until it has done something", l.Cycles, len(faults), l.Hold)
	t.Check(b.Around(ctx, "badlines", 300*time.Millisecond, 300*time.Millisecond, func(ctx context.Context) error {
		if err := fault.Run(ctx, b.Recorder, steps); err != nil {
			return err
		}
		// The devices send again what was not acknowledged.
		if err := fault.Apply(ctx, b.Recorder, b.BrokerProxy.CutFault(true), 0); err != nil {
			return err
		}
		_, err := back(ctx, b, patience)
		return err
	}))
	t.Keep(badLinesFacts{Once: t.Rig.Has(sut.CapExactlyOnce)})
	t.Step("drain, end everything and count")
	t.Check(b.Finish(ctx))
}

// framed reports whether viewers of that protocol speak WebSocket.
func framed(protocol string) bool { return protocol != viewer.SSE && protocol != viewer.Poll }

// badSources declares the devices: computed ones, and a node on a serial line where
// there are pseudo terminals.
func badSources() string {
	var text strings.Builder
	text.WriteString("apiVersion: plumbline/v1\nkind: Rig\nname: bad-lines\ndevices:\n")
	for i := range badDevices {
		fmt.Fprintf(&text, "  - {id: twin-%02d, kind: %s, period: %s}\n", i+1, harness.KindTwin, badPeriod)
	}
	if noPorts() == "" {
		fmt.Fprintf(&text, "  - {id: %s, kind: %s, period: %s, baud: %d}\n", serialLine, harness.KindNodeTwin, serialPeriod, wireBaud)
	}
	return text.String()
}

// badLines are the faults to draw from: those that a connection survives, and
// where viewers resume also those that end it.
func badLines(b *harness.Bench, frames, resume bool, seed uint64) []fault.Fault {
	devices, viewers := b.BrokerProxy, b.ViewerProxy
	all := []fault.Fault{
		devices.PacketFault(fault.PacketRule{Way: fault.Upstream, Type: fault.Publish, When: fault.When{Every: 3}, Do: fault.Delay, By: 80 * time.Millisecond}),
		devices.PacketFault(fault.PacketRule{Way: fault.Downstream, Type: fault.Puback, When: fault.When{Every: 3}, Do: fault.Drop}),
		devices.ResetFault(fault.Upstream, 200, 1_000, seed),
		viewers.JitterFault(fault.Downstream, fault.Tailed, 5*time.Millisecond, 5*time.Millisecond, seed),
		viewers.ThrottleFault(fault.Downstream, 200_000),
	}
	if line, ok := b.Serial[serialLine]; ok {
		all = append(all, line.Line.NoiseFault(0.05, seed), line.Line.SplitFault(7, 3*time.Millisecond, seed), line.Line.StallFault())
	}
	if frames {
		all = append(all,
			viewers.FrameFault(fault.FrameRule{Way: fault.Downstream, Type: fault.AnyData, When: fault.When{Every: 5}, Do: fault.Delay, By: 60 * time.Millisecond}),
			viewers.FrameFault(fault.FrameRule{Way: fault.Downstream, Type: fault.AnyData, When: fault.When{Every: 3}, Do: fault.Split, Seed: seed}))
	}
	if frames && resume {
		all = append(all, viewers.PingSilenceFault(fault.Both))
	}
	if resume {
		all = append(all, viewers.HalfOpenFault(fault.Upstream), viewers.HalfOpenFault(fault.Downstream), viewers.ResetFault(fault.Downstream, 500, 5_000, seed))
	}
	return all
}

func judgeBadLines(c *spec.Case) {
	l, j, facts := c.Load("badlines"), newJudged(c), spec.Facts[badLinesFacts](c)
	j.disturbed(l.Cycles)
	j.unharmed("REC-07", facts.Once, j.samples("REC-07"))
	j.show("t0i→t4, bad lines", slotOf(time.Duration(l.Cycles)*l.Hold*3/2))
}

// disturbed demands that so many faults were applied, and that of those that
// count what they do at least half did something.
func (j *judged) disturbed(least int) {
	applied, counted, idle := 0, 0, 0
	for _, e := range j.history.Log().Events {
		if e.Kind != record.FaultEnd {
			continue
		}
		applied++
		switch fired, counts := e.Fields["fired"]; {
		case counts && fired == "0":
			idle++
			fallthrough
		case counts:
			counted++
		}
	}
	gate := func(detail string) {
		j.unmet = append(j.unmet, stats.Gate{Reason: reports.ReasonSamples, Cure: "faults that reach the lines, held for longer", Detail: detail})
	}
	switch {
	case applied < least:
		gate(fmt.Sprintf("%d faults are on record, %d were to be applied", applied, least))
	case 2*idle > counted:
		gate(fmt.Sprintf("%d of %d faults found nothing to act on", idle, counted))
	}
}

// unharmed judges that every acknowledged message came to every viewer, under its
// topic, whole and in order, and once where the system claims that or the broker
// passed it on once.
func (j *judged) unharmed(id string, once bool, least int64) {
	d, found := j.history.Delivery(j.options(id))
	o, inOrder := j.history.Order(j.options(id))
	kinds := []string{"lost", "phantom", "misrouted", "corrupt"}
	harm, unsure := d.Lost+d.Phantom+d.Misrouted+d.Corrupted+o.Reordered+o.Backwards, d.Unconfirmed+o.Excused
	if once || !j.base.BrokerInside {
		harm += d.Duplicated
		kinds = append(kinds, "duplicate")
	}
	found = append(ofKind(found, kinds...), ofKind(inOrder, "reordered", "offset-backwards")...)
	j.none(id, "harm/harms", "deliveries of acknowledged messages", d.Owed, harm, unsure, found, least)
}
