package scenarios

import (
	"math"
	"strings"
	"testing"
	"time"

	"plumbline/harness"
	"plumbline/harness/oracle"
	"plumbline/harness/profile"
	"plumbline/harness/record"
	"plumbline/harness/spec"
	"plumbline/reports"
)

// Of a stop of 2 s, from 1 s to 3 s, in a window of 4 s at 100 messages/s.
const (
	stopAt, stopEnd = 1000 * ms, 3000 * ms
	stopWindow      = 4000 * ms
)

// frozen is a recording of a stop. Latency returns when a message arrives that was due then; 0 is never, below 0 not even written.
func frozen(latency func(due int64) int64) *recording {
	r := &recording{}
	r.Index = record.Index{
		Nodes:   []record.Node{{Name: "publisher", Role: "publisher"}, {Name: "viewer-01", Role: "viewer", Filters: []string{harness.AllTopics}}},
		Streams: []record.Stream{{Device: "d1", Topic: harness.Topic("d1")}},
	}
	r.event(0, record.Connected, "viewer-01")
	r.event(0, record.Subscribed, "viewer-01")
	r.event(0, record.WindowOpen, "freeze")
	r.event(stopAt, record.FaultOnset, "SIGSTOP")
	r.event(stopEnd, record.FaultEnd, "SIGSTOP")
	for i := range stopWindow / (10 * ms) {
		due, seq := i*10*ms+5*ms, uint64(i+1)
		at := latency(due)
		kind := record.Sent
		if at < 0 {
			kind = record.Blocked
		}
		r.add(kind, 0, 0, seq, due, due, 100)
		if at > 0 {
			r.add(record.Received, 1, 0, seq, 0, at, 100)
		}
	}
	r.event(stopWindow, record.WindowClose, "freeze")
	r.event(3*stopWindow, record.DrainEnd, "freeze")
	return r
}

// waits is what arithmetic demands.
func waits(due int64) int64 {
	if due >= stopAt && due < stopEnd {
		return stopEnd + 1
	}
	return due + ms
}

// The self-check is of the rig alone: what a system adds or keeps back is no
// FAIL of it, and never a PASS; a rig that measures wrongly fails.
func TestTheFreezeJudgesTheRigAlone(t *testing.T) {
	for name, c := range map[string]struct {
		latency func(due int64) int64
		want    reports.Verdict
		words   string
	}{
		"as arithmetic demands": {waits, reports.Pass, "Verdict PASS"},
		"messages are lost in the stop": {func(due int64) int64 {
			if due > stopAt && due < stopAt+200*ms {
				return 0
			}
			return waits(due)
		}, reports.Inconclusive, "of 400 messages 20 never arrived and 0 could not even be written"},
		"a window of unacknowledged messages is full": {func(due int64) int64 {
			if due > stopAt+200*ms && due < stopEnd {
				return -1
			}
			return waits(due)
		}, reports.Inconclusive, "of 400 messages 0 never arrived and 180 could not even be written"},
		"all is lost": {func(int64) int64 { return 0 }, reports.Inconclusive, "400 never arrived"},
		"what waited comes one by one": {func(due int64) int64 {
			if at := waits(due); at == stopEnd+1 {
				return at + (due-stopAt)/10
			}
			return due + ms
		}, reports.Inconclusive, "without the up to 200ms that the system took to bring what had waited"},
		"the rig waits for the system (coordinated omission)": {func(due int64) int64 { return due + ms }, reports.Fail, "Verdict FAIL"},
		"the rig does, and what waited comes one by one": {func(due int64) int64 {
			if due >= stopEnd-50*ms && due < stopEnd {
				return stopEnd + 150*ms
			}
			return due + ms
		}, reports.Fail, "Verdict FAIL"},
		"the viewer's stamps are 100 ms late": {func(due int64) int64 { return waits(due) + 100*ms }, reports.Fail, "Verdict FAIL"},
		"the viewer's stamps are early":       {func(due int64) int64 { return waits(due) - (waits(due)-due)/10 }, reports.Fail, "Verdict FAIL"},
	} {
		r := judgement(t, &frozen(c.latency).Log, func(j *judged) {
			j.arithmetic("RIG-01", j.history.Latencies(oracle.Options{}), time.Duration(stopEnd-stopAt), time.Duration(stopWindow))
		})
		if r.Verdict != c.want || (c.want == reports.Inconclusive && r.Reason != reports.ReasonSUT) || !strings.Contains(r.Sentence, c.words) {
			t.Errorf("%s: %s(%s): %s", name, r.Verdict, r.Reason, r.Sentence)
		}
		if nothing := math.IsNaN(float64(r.Measurement.Estimate)); nothing != (c.want == reports.Inconclusive) {
			t.Errorf("%s: a figure of %v", name, r.Measurement.Estimate)
		}
	}
}

// No viewer may leave for a silence that was made on purpose, and no broker may send it away for one, or grant the devices a window.
func TestTheFreezeLetsNobodyLeave(t *testing.T) {
	for _, name := range profile.Names() {
		p, err := spec.Catalogue().Load(name)
		if err != nil {
			t.Fatal(err)
		}
		plan := freezePlan(p.Loads["freeze"])
		if hold := plan.Load.Hold; hold <= 0 || plan.Silence <= hold || plan.KeepAlive <= hold || plan.KeepAlive%time.Second != 0 || !plan.QoS0 {
			t.Errorf("%s: %+v", name, plan)
		}
	}
}
