package scenarios

import (
	"cmp"
	"slices"
	"testing"
	"time"

	"plumbline/harness"
	"plumbline/harness/oracle"
	"plumbline/harness/record"
	"plumbline/reports"
)

// A driver that counts otherwise than its wire was damaged fails, unless the port
// was not read in time: then nobody knows what it rightly refused.
func TestDriversAreHeldToWhatWasDamaged(t *testing.T) {
	facts := func(refused, overrun uint64, counted bool) func(j *judged) {
		return func(j *judged) {
			j.counted("HW-02", wiresFacts{
				Wires: []oracle.Wire{{Device: "d", Serial: "SN", Damaged: 5000, Refused: refused, Overrun: overrun, Counted: counted}},
				Shown: map[string]map[string]harness.Roll{passedName: {}},
			})
		}
	}
	verdictsOf(t, "hardware", goodLog, []seeded{
		{defect: "none", judge: facts(5000, 0, true), verdict: reports.Pass},
		{defect: "one too few", judge: facts(4999, 0, true), verdict: reports.Fail, kind: "miscounted"},
		{defect: "one too many", judge: facts(5001, 0, true), verdict: reports.Fail, kind: "miscounted"},
		{defect: "nobody read the port", judge: facts(5003, 3, true), verdict: reports.Inconclusive, kind: "overrun"},
		{defect: "nobody read the port, and the number fits by chance", judge: facts(5000, 3, true), verdict: reports.Inconclusive, kind: "overrun"},
		{defect: "nobody counted", judge: facts(0, 0, false), verdict: reports.Inconclusive, kind: "not-counted"},
	})
}

// A device that its driver had back too late is not held against the system; one
// that the system kept back is.
func TestTheWayBackIsJudgedFromTheDriverOn(t *testing.T) {
	const shown = 3000 // the line of d1, one each 4 ms, that shows it again
	judge := func(late time.Duration) func(j *judged) {
		all := append(stimuli(40*time.Millisecond), stimuli(41*time.Millisecond)...)
		all = slices.DeleteFunc(all, func(s oracle.Stimulus) bool { return s.Seq > shown-2000 && s.Seq < shown })
		at := slices.IndexFunc(all, func(s oracle.Stimulus) bool { return s.Seq == shown })
		all[at].At -= int64(late)
		return func(j *judged) { j.back("HW-03", all) }
	}
	silent := func(log *record.Log) {
		log.Records = slices.DeleteFunc(log.Records, func(r record.Record) bool { return r.Stream == 0 && r.Seq > shown-2000 && r.Seq < shown })
	}
	keptBack := func(log *record.Log) {
		for i := range log.Records {
			if r := &log.Records[i]; r.Kind == record.Received && r.Stream == 0 && r.Seq == shown {
				r.At += int64(6 * time.Second)
			}
		}
		slices.SortFunc(log.Records, func(a, b record.Record) int { return cmp.Compare(a.At, b.At) })
	}
	verdictsOf(t, "hardware", goodLog, []seeded{
		{defect: "none", judge: judge(0), verdict: reports.Pass},
		{defect: "a port that is found late", tamper: silent, judge: judge(6 * time.Second), verdict: reports.Inconclusive},
		{defect: "lines that were there and not shown", judge: judge(6 * time.Second), verdict: reports.Fail},
		{defect: "a line kept back", tamper: keptBack, judge: judge(0), verdict: reports.Fail},
	})
}

// What is shown as new of a device that can say nothing fails, unless it was
// published in that time: the bench was late with it then.
func TestSilencesAreHeldToTheBroker(t *testing.T) {
	silences := func(shown, passed uint64) func(j *judged) {
		return func(j *judged) {
			var all []silence
			for range 2000 {
				all = append(all, silence{Device: "d", Viewer: "viewer-01", What: "hung"})
			}
			all[7].Shown, all[7].Passed = shown, passed
			j.quiet("HW-05", all)
		}
	}
	verdictsOf(t, "hardware", goodLog, []seeded{
		{defect: "none", judge: silences(0, 0), verdict: reports.Pass},
		{defect: "a line is shown again", judge: silences(1, 0), verdict: reports.Fail, kind: "not-silent"},
		{defect: "published late", judge: silences(1, 1), verdict: reports.Inconclusive, kind: "published-late"},
		{defect: "published late and shown twice", judge: silences(2, 1), verdict: reports.Fail, kind: "not-silent"},
	})
}
