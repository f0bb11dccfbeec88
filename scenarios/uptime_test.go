package scenarios

import (
	"testing"
	"time"

	"plumbline/harness/record"
	"plumbline/reports"
)

// A wrap is judged by what happened to viewers and messages, and only if there
// were any when it came.
func TestALongUptimeIsJudged(t *testing.T) {
	facts := uptimeFacts{Left: []time.Duration{time.Second, 0}}
	judge := func(wrap int) func(*judged) {
		return func(j *judged) {
			j.unmet = append(j.unmet, facts.early(wrap)...)
			j.steady("RES-07", "effect of the wrap/effects of the wrap")
		}
	}
	verdictsOf(t, "bench", calm, []seeded{
		{"none", nil, judge(0), reports.Pass, ""},
		{"F69 takes viewers for idle", func(l *record.Log) { *l = *goodLog() }, judge(0), reports.Fail, "session-ended"},
		{"the wrap came too early", nil, judge(1), reports.Inconclusive, ""},
		{"there was no second one", nil, judge(2), reports.Inconclusive, ""},
	})
}
