package defects

import (
	"errors"
	"testing"
)

func TestASweepFindsTheSmallestSizeThatIsFoundEachTime(t *testing.T) {
	sizes := Sweep{ID: "F01", Sizes: sizes("8", "8", "7", "7", "6", "6", "5", "5", "4", "4", "3", "3", "2", "2")}
	for _, c := range []struct {
		name, from, unsure string
		found, missed      string
		most               int
	}{
		{"in the middle", "5", "", "5", "4", 8},
		{"the smallest", "2", "", "2", "", 8},
		{"the largest only", "8", "", "8", "7", 8},
		{"none", "9", "", "", "8", 2},
		{"found once only", "4", "4", "5", "4", 8},
	} {
		runs := map[string]int{}
		l, err := sizes.Search(func(s Size, _ int) (bool, error) {
			runs[s.Param]++
			return s.Param >= c.from && (s.Param != c.unsure || runs[s.Param] == 1), nil
		})
		if err != nil || l.Found != c.found || l.Missed != c.missed || l.Trials > c.most || l.Kills != "DEL-01" {
			t.Errorf("%s: %+v, %v; want found %q, missed %q in at most %d trials", c.name, l, err, c.found, c.missed, c.most)
		}
	}
	broken := errors.New("broken")
	if _, err := sizes.Search(func(Size, int) (bool, error) { return false, broken }); !errors.Is(err, broken) {
		t.Errorf("a trial that went wrong gave %v", err)
	}
	if _, err := (Sweep{ID: "F999", Sizes: sizes.Sizes}).Search(nil); err == nil {
		t.Error("a sweep of no defect was made")
	}
}

func TestSweepsAreOfDefectsThatHaveAParam(t *testing.T) {
	for _, s := range Sweeps() {
		d, ok := Find(s.ID)
		if !ok || len(s.Sizes) < 2 || s.What == "" || s.Under == "" {
			t.Errorf("%s: known %v, %d sizes", s.ID, ok, len(s.Sizes))
		}
		if _, err := d.Profile(); err != nil {
			t.Errorf("%s: %v", s.ID, err)
		}
	}
}

func TestCleanCampaignsBoundFalseAlarms(t *testing.T) {
	outcomes := make([]Outcome, 59)
	for i := range outcomes {
		outcomes[i] = Outcome{Status: Green, Seconds: 60, Date: "2026-11-26"}
	}
	c := CleanOf(outcomes)
	want := "59 clean campaigns of the correct bridge under the limits and loads of prove, 0 with a false FAIL: at 95 % confidence at most 5 % of such campaigns cry wolf; 59 green throughout, 0 left something open, 0 broke off; 1m0s each"
	if !c.Good() || c.String() != want {
		t.Errorf("%s, good %v; want %s", c, c.Good(), want)
	}
	outcomes[3].Status, outcomes[4].Status, outcomes[5].Status = FalseFail, Broken, Inconclusive
	if c = CleanOf(outcomes); c.Good() || c.Campaigns != 58 || c.FalseFails != 1 || c.Broken != 1 || c.Open != 1 {
		t.Errorf("%+v", c)
	}
	if CleanOf(nil).Good() {
		t.Error("no campaign at all is good")
	}
}
