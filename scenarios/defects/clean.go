package defects

import (
	"context"
	"fmt"
	"time"

	"plumbline/harness/stats"
)

// cleanConfidence is that of the bound on false alarms.
const cleanConfidence = 0.95

// Clean is what came of campaigns of a correct bridge, each with every scenario.
type Clean struct {
	Campaigns  int     `json:"campaigns"`   // that came to their end
	Green      int     `json:"green"`       // every requirement said PASS
	Open       int     `json:"open"`        // some said nothing, none said FAIL
	FalseFails int     `json:"false_fails"` // some said FAIL
	Broken     int     `json:"broken"`      // the harness or the machine gave up
	Seconds    float64 `json:"seconds"`     // of a campaign on the average
	Date       string  `json:"date"`        // UTC, of the last
	Commit     string  `json:"commit,omitempty"`
}

// Campaign runs every scenario against the bridge as it ships, without flawed
// before it. dir must be empty.
func Campaign(ctx context.Context, with Programs, dir string, seed uint64) (Outcome, error) {
	out := Outcome{ID: campaignID, Title: "the bridge as it ships, every scenario"}
	run, err := trial(ctx, with, &out, run{id: campaignID, dir: dir, seed: seed, bare: true, asks: campaignAsks})
	if err != nil {
		out.Status, out.Why = Broken, err.Error()
		return out, err
	}
	out.Status, out.Why = hold(run, nil, true)
	return out, nil
}

const campaignID = "clean"

// campaignAsks is what a campaign differs in from the profile.
var campaignAsks = asks{clock: true, extend: true}

// CleanOf counts campaigns.
func CleanOf(outcomes []Outcome) Clean {
	var c Clean
	for _, o := range outcomes {
		switch o.Status {
		case Green:
			c.Green++
		case Inconclusive:
			c.Open++
		case FalseFail:
			c.FalseFails++
		default:
			c.Broken++
			continue
		}
		c.Campaigns++
		c.Seconds += o.Seconds
		c.Date, c.Commit = max(c.Date, o.Date), o.Commit
	}
	if c.Campaigns > 0 {
		c.Seconds /= float64(c.Campaigns)
	}
	return c
}

// Good reports whether there was a campaign and none cried wolf.
func (c Clean) Good() bool { return c.Campaigns > 0 && c.FalseFails == 0 && c.Broken == 0 }

// String is a sentence of the result with its bound.
func (c Clean) String() string {
	bound := stats.ZeroEvent(int64(c.Campaigns), int64(c.FalseFails), cleanConfidence).Upper
	return fmt.Sprintf("%d clean campaigns of the correct bridge under the limits and loads of prove, %d with a false FAIL: at %.0f %% confidence at most %.2g %% of such campaigns cry wolf; %d green throughout, %d left something open, %d broke off; %s each",
		c.Campaigns, c.FalseFails, 100*cleanConfidence, 100*bound, c.Green, c.Open, c.Broken, time.Duration(c.Seconds*float64(time.Second)).Round(time.Second))
}
