package scenarios

import (
	"errors"
	"testing"
	"time"

	"plumbline/harness/record"
	"plumbline/harness/sut"
	"plumbline/reports"
)

// A wrap is judged by what happened to viewers and messages, and only if there
// were any when it came.
func TestALongUptimeIsJudged(t *testing.T) {
	judge := func(a aged) func(*judged) {
		return func(j *judged) {
			j.unmet = append(j.unmet, a.unmet()...)
			j.steady("RES-07", "effect of the wrap/effects of the wrap")
		}
	}
	died := func(j *judged) { j.Judge(aged{Died: "exit status 2"}.death(j.Case, "RES-07", wraps[0])) }
	verdictsOf(t, "bench", calm, []seeded{
		{"none", nil, judge(aged{Left: time.Second}), reports.Pass, ""},
		{"F69 takes viewers for idle", func(l *record.Log) { *l = *goodLog() }, judge(aged{Left: time.Second}), reports.Fail, "session-ended"},
		{"F69x crashes", nil, died, reports.Fail, "died"},
		{"it crashed once of two times", nil, judge(aged{Left: time.Second, Once: "exit status 2"}), reports.Inconclusive, ""},
		{"the wrap came too early", nil, judge(aged{}), reports.Inconclusive, ""},
	})
}

// A death counts against an uptime when it comes again, and not at the true one.
func TestADeathIsHeldAgainstTheUptime(t *testing.T) {
	const up = time.Hour
	dead, well := aged{Died: "exit status 2"}, aged{Bench: "uptime"}
	for name, c := range map[string]struct {
		lives []aged // at up, at the true uptime, at up
		want  aged
		sut   bool // the error is that of a system that is not there
	}{
		"it lives":              {[]aged{well}, well, false},
		"it dies of the uptime": {[]aged{dead, well, dead}, dead, false},
		"it dies once":          {[]aged{dead, well, well}, aged{Bench: "uptime", Once: dead.Died}, false},
		"it dies at any uptime": {[]aged{dead, dead}, dead, true},
	} {
		n := 0
		got, err := confirm(up, func(asked time.Duration) (aged, error) {
			if want := []time.Duration{up, 0, up}[n]; asked != want {
				t.Errorf("%s: start %d was at %s, not at %s", name, n+1, asked, want)
			}
			n++
			return c.lives[n-1], nil
		})
		if got != c.want || errors.Is(err, sut.ErrUnavailable) != c.sut || (err != nil) != c.sut || n != len(c.lives) {
			t.Errorf("%s: %+v, %v after %d starts", name, got, err, n)
		}
	}
	broken := errors.New("no space")
	if _, err := confirm(up, func(time.Duration) (aged, error) { return dead, broken }); !errors.Is(err, broken) {
		t.Errorf("an error of the harness became %v", err)
	}
}
